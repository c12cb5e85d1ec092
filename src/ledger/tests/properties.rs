//! What holds for every history, tried on random ones. `RON_PROPTEST_CASES` (or proptest's own
//! `PROPTEST_CASES`) says how many; a failure prints the `PROPTEST_RNG_SEED` that brings it back.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::model::{Balance, Held, Model, Verdict};
use super::scenario::{SentGroup, any_groups};
use super::wide::{nets, postings};
use crate::ledger::entry::{Entry, Kind, Millis, Seq, Sequenced};
use crate::ledger::plan::Outcome;
use crate::ledger::reason::Reason;
use crate::ledger::replay::{Originals, Replay};
use crate::ledger::request::{Item, Request};
use crate::ledger::testing::{Book, entry as any_entry, item};

/// In the quick loop; a full run asks for ten times as many.
const CASES: u32 = 1_000;

fn cases() -> u32 {
    let asked = ["RON_PROPTEST_CASES", "PROPTEST_CASES"].map(std::env::var).into_iter().flatten();
    asked.filter_map(|text| text.parse().ok()).next().unwrap_or(CASES)
}

/// Tries a claim on random groups of requests.
fn for_all_groups(claim: impl Fn(&[SentGroup]) -> Result<(), TestCaseError>) {
    let mut config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => uuid::Uuid::new_v4().as_u64_pair().0,
    };
    config.rng_seed = RngSeed::Fixed(seed);
    let tried = TestRunner::new(config).run(&any_groups(), |groups| claim(&groups));
    if let Err(failure) = tried {
        panic!("{failure}\nreproduce it with PROPTEST_RNG_SEED={seed}");
    }
}

fn refs(requests: &[Request]) -> Vec<&Request> {
    requests.iter().collect()
}

fn commit(book: &mut Book, group: &SentGroup) -> Vec<Vec<Outcome>> {
    (book.now, book.expire_max) = (group.now, group.expire_max);
    book.commit(&refs(&group.requests)).outcomes
}

fn committed(groups: &[SentGroup]) -> Book {
    let mut book = Book::new();
    for group in groups {
        commit(&mut book, group);
    }
    book
}

fn verdict(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Committed(seq) => Verdict::Committed(*seq),
        Outcome::Replayed(seq) => Verdict::Replayed(*seq),
        Outcome::Rejected(reject) => Verdict::Rejected(reject.reason),
    }
}

#[test]
fn the_book_and_the_naive_model_agree_on_every_outcome_and_state() {
    for_all_groups(|groups| {
        let (mut book, mut model) = (Book::new(), Model::default());
        for group in groups {
            let outcomes = commit(&mut book, group);
            let told: Vec<Vec<_>> =
                outcomes.iter().map(|request| request.iter().map(verdict).collect()).collect();
            let expected = model.commit(group.now, group.expire_max, &refs(&group.requests));
            prop_assert_eq!(told, expected, "left: the book, right: the model");
            same_state(&book, &model)?;
        }
        Ok(())
    });
}

fn same_state(book: &Book, model: &Model) -> Result<(), TestCaseError> {
    prop_assert!(book.log.iter().eq(model.log.iter().map(AsRef::as_ref)), "{:?}", book.log);
    let state = &book.state;
    let balances: BTreeMap<_, _> = (state.accounts.iter())
        .map(|(key, account)| {
            let (free, held) = (account.available, account.held);
            let balance = Balance { free, held, came: account.credits, went: account.debits };
            (key.names().unwrap(), balance)
        })
        .collect();
    prop_assert_eq!(&balances, &model.balances);
    let supply: BTreeMap<_, _> =
        state.supply.iter().map(|(asset, s)| (asset.clone(), (s.minted, s.burned))).collect();
    prop_assert_eq!(&supply, &model.supply);
    let holds: BTreeMap<_, _> = (state.holds.iter())
        .map(|(id, h)| (*id, Held { left: h.remaining, paid: h.captured, state: h.state }))
        .collect();
    prop_assert_eq!(&holds, &model.holds);
    let records = || state.ids.values().iter();
    let reversed: BTreeMap<_, _> =
        records().filter_map(|record| Some((record.seq, record.reversed_by?))).collect();
    prop_assert_eq!(&reversed, &model.reversed);
    let legs: BTreeMap<_, _> = records()
        .filter_map(|record| {
            let posting = record.posting?;
            Some((record.seq, (posting.first..).take(posting.legs as usize).collect()))
        })
        .collect();
    prop_assert_eq!(&legs, &model.postings);
    Ok(())
}

#[test]
fn value_is_conserved_never_negative_and_held_by_open_holds_alone() {
    for_all_groups(|groups| {
        let mut book = Book::new();
        for group in groups {
            commit(&mut book, group);
            book.check();
        }
        Ok(())
    });
}

/// What stands linked in the log, as one unit each.
fn units(log: &[Sequenced]) -> Vec<Vec<Entry>> {
    log.split_inclusive(|entry| !entry.linked)
        .map(|unit| unit.iter().map(|entry| entry.entry.clone()).collect())
        .collect()
}

fn as_request(unit: Vec<Entry>) -> Request {
    Request { items: unit.into_iter().map(item).collect(), atomic: true }
}

#[test]
fn the_legs_of_each_unit_net_to_zero() {
    for_all_groups(|groups| {
        let book = committed(groups);
        prop_assert!(book.log.last().is_none_or(|last| !last.linked), "the log ends a unit");
        for unit in units(&book.log) {
            let legs: Vec<&Entry> = unit.iter().filter(|entry| entry.kind.is_leg()).collect();
            prop_assert!(nets(&legs).into_iter().all(|net| net.value() == Ok(0)), "{legs:?}");
            let items: Vec<Item> = unit.iter().cloned().map(item).collect();
            prop_assert!(postings(&items).is_ok(), "{legs:?}");
        }
        Ok(())
    });
}

/// What is stored of a group: its time, and where its entries begin and end.
struct Stored {
    now: Millis,
    entries: std::ops::Range<usize>,
}

#[test]
fn replaying_the_log_gives_the_log_and_the_state_again() {
    for_all_groups(|groups| {
        let (mut book, mut stored) = (Book::new(), Vec::new());
        for group in groups {
            let first = book.log.len();
            commit(&mut book, group);
            stored.push(Stored { now: group.now, entries: first..book.log.len() });
        }
        let mut again = Book::new();
        for Stored { now, entries } in stored.into_iter().filter(|s| !s.entries.is_empty()) {
            let block = &book.log[entries];
            let clients = block.iter().position(|entry| entry.entry.kind != Kind::Expire);
            let expired = clients.unwrap_or(block.len());
            let requests = units(&block[expired..]).into_iter().map(as_request).collect();
            let outcomes = commit(&mut again, &SentGroup { now, expire_max: expired, requests });
            let accepted = |outcome: &Outcome| matches!(outcome, Outcome::Committed(_));
            prop_assert!(outcomes.iter().flatten().all(accepted), "{outcomes:?}");
        }
        prop_assert_eq!(&again.log, &book.log);
        prop_assert_eq!(&again.state, &book.state);
        Ok(())
    });
}

/// A log in the hands of its reader.
struct Read<'a>(&'a [Sequenced]);

impl Originals for Read<'_> {
    type Error = std::convert::Infallible;

    fn entry(&self, seq: Seq) -> Result<Entry, Self::Error> {
        Ok(self.0[seq as usize - 1].entry.clone())
    }
}

/// By whole groups, and cut after every unit.
#[test]
fn the_offline_replay_comes_to_the_same_state_and_adds_up() {
    for_all_groups(|groups| {
        let mut book = Book::new();
        let (mut whole, mut cut) = (Replay::new(), Replay::new());
        for group in groups {
            let first = book.log.len();
            commit(&mut book, group);
            let block = &book.log[first..];
            prop_assert_eq!(whole.group(group.now, block.to_vec(), &Read(&book.log)), Ok(()));
            for unit in block.split_inclusive(|entry| !entry.linked) {
                prop_assert_eq!(cut.group(group.now, unit.to_vec(), &Read(&book.log)), Ok(()));
            }
        }
        prop_assert_eq!(whole.state(), &book.state);
        prop_assert_eq!(cut.state(), &book.state);
        prop_assert_eq!((whole.head(), whole.add_up()), (book.head(), Ok(())));
        Ok(())
    });
}

/// The same requests at the same times in one group each, and in as few groups as times.
#[test]
fn batching_decides_nothing() {
    for_all_groups(|groups| {
        let (mut single, mut joined) = (Vec::new(), Vec::<SentGroup>::new());
        for SentGroup { now, requests, .. } in groups.iter().cloned() {
            let group = |requests| SentGroup { now, expire_max: usize::MAX, requests };
            single.extend(requests.iter().map(|request| group(vec![request.clone()])));
            match joined.last_mut() {
                Some(last) if last.now == now => last.requests.extend(requests),
                _ => joined.push(group(requests)),
            }
        }
        same_book(&single, &joined)
    });
}

/// Without an expiry the time decides nothing either: all requests in one group, and each alone.
#[test]
fn without_an_expiry_time_decides_nothing() {
    for_all_groups(|groups| {
        let timeless = |mut request: Request| {
            for item in &mut request.items {
                item.entry.expires_at = None;
            }
            request
        };
        let groups = groups.iter().flat_map(|group| {
            let requests = group.requests.iter().cloned().map(timeless);
            requests.map(|request| SentGroup { requests: vec![request], ..*group })
        });
        let single: Vec<SentGroup> = groups.collect();
        let requests = single.iter().flat_map(|group| group.requests.clone()).collect();
        same_book(&single, &[SentGroup { now: 5, expire_max: 0, requests }])
    });
}

fn same_book(one: &[SentGroup], other: &[SentGroup]) -> Result<(), TestCaseError> {
    let (one, other) = (committed(one), committed(other));
    prop_assert_eq!(&one.log, &other.log);
    prop_assert_eq!(&one.state, &other.state);
    Ok(())
}

#[test]
fn whatever_was_committed_is_replayed_for_ever_and_changes_nothing() {
    for_all_groups(|groups| {
        let mut book = committed(groups);
        // All that is due ends first, so that the retries alone could change something.
        (book.now, book.expire_max) = (u64::MAX, usize::MAX);
        book.commit(&[]);
        let before = book.clone();
        let units = before.log.split_inclusive(|entry| !entry.linked);
        for unit in units.filter(|unit| unit[0].entry.kind != Kind::Expire) {
            let expected: Vec<_> = unit.iter().map(|e| Outcome::Replayed(e.seq)).collect();
            let same: Vec<_> = unit.iter().map(|e| e.entry.clone()).collect();
            let mut other_ids = same.clone();
            for entry in &mut other_ids {
                entry.id = any_entry(Kind::Mint, "a", 1).id;
                entry.ts += 1;
            }
            for again in [same, other_ids] {
                prop_assert_eq!(&book.ingest(as_request(again)), &expected);
            }
        }
        prop_assert_eq!(&book.log, &before.log);
        prop_assert_eq!(&book.state, &before.state);
        Ok(())
    });
}

/// The properties above say little of what random requests never reach.
#[test]
fn random_requests_reach_each_kind_and_each_reason() {
    let mut runner = TestRunner::deterministic();
    let mut reached: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..600 {
        let tree = any_groups().new_tree(&mut runner).unwrap();
        let groups = proptest::strategy::ValueTree::current(&tree);
        let mut book = Book::new();
        for outcome in groups.iter().flat_map(|group| commit(&mut book, group)).flatten() {
            let name = match outcome {
                Outcome::Committed(_) => continue,
                Outcome::Replayed(_) => "replayed",
                Outcome::Rejected(reject) => reject.reason.as_str(),
            };
            *reached.entry(name.into()).or_default() += 1;
        }
        for Sequenced { entry, linked, .. } in &book.log {
            *reached.entry(entry.kind.as_str().into()).or_default() += 1;
            *reached.entry(format!("linked {linked}")).or_default() += 1;
        }
        for record in book.state.ids.values().iter().filter(|record| record.reversed_by.is_some()) {
            let kind = book.log[record.seq as usize - 1].entry.kind;
            *reached.entry(format!("reversed {}", kind.as_str())).or_default() += 1;
        }
    }
    use Reason::{
        AlreadyResolved, AtomicAborted, CapInvalid, Conflict, HoldExpired, InsufficientFunds,
        NotFound, NotReversible, Overflow, Unbalanced,
    };
    let reasons = [
        AlreadyResolved,
        AtomicAborted,
        CapInvalid,
        Conflict,
        HoldExpired,
        InsufficientFunds,
        NotFound,
        NotReversible,
        Overflow,
        Unbalanced,
    ];
    let undone = ["Mint", "Burn", "Transfer", "Capture", "Debit", "Credit"];
    let wanted = (Kind::ALL.iter().map(|kind| kind.as_str().to_owned()))
        .chain(reasons.iter().map(|reason| reason.as_str().to_owned()))
        .chain(undone.iter().map(|kind| format!("reversed {kind}")))
        .chain(["replayed".to_owned(), "linked true".to_owned()]);
    for name in wanted {
        let times = reached.get(&name).copied().unwrap_or(0);
        assert!(times >= 20, "{name} {times} times: {reached:#?}");
    }
}
