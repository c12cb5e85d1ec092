//! The rules of each kind, by examples.

use crate::ledger::entry::{Entry, EntryId, Kind};
use crate::ledger::names::{AccountId, AccountKey, Asset, IdemId};
use crate::ledger::plan::Outcome;
use crate::ledger::reason::Reason;
use crate::ledger::testing::{Book, atomic, entry, entry_of, request};

/// One line an entry: `mint a 5`, `transfer a>b 5`, `hold a 5`, `capture a>b 5 =h1`. A word that
/// starts with `#` names the entry, one with `=` refers to a named one.
#[derive(Default)]
struct Script {
    book: Book,
    names: std::collections::HashMap<String, EntryId>,
}

impl Script {
    fn new() -> Self {
        Script { book: Book::new(), ..Script::default() }
    }

    fn parse(&mut self, line: &str) -> Entry {
        let words: Vec<_> = line.split_whitespace().collect();
        let kind = Kind::ALL.iter().find(|kind| kind.as_str().eq_ignore_ascii_case(words[0]));
        let (account, counterparty) = match words[1].split_once('>') {
            Some((account, other)) => (account, Some(AccountId::new(other).unwrap())),
            None => (words[1], None),
        };
        let (amount, asset) = words[2].split_once('/').unwrap_or((words[2], "RON"));
        let mut made = entry_of(*kind.unwrap(), account, amount.parse().unwrap(), asset);
        made.counterparty = counterparty;
        for word in &words[3..] {
            match word.split_at(1) {
                ("#", name) => {
                    self.names.insert(name.into(), made.id);
                }
                ("=", name) => {
                    let unknown = EntryId::from_bytes([0xee; 16]);
                    made.reference = Some(self.names.get(name).copied().unwrap_or(unknown));
                }
                ("@", at) => made.expires_at = Some(at.parse().unwrap()),
                ("+", _) => made.keep_open = true,
                other => panic!("{other:?}"),
            }
        }
        made
    }

    /// Each line ends with what must become of it: `ok`, or a reason. A `|` joins entries that are
    /// sent as one request, and a leading `!` makes that request atomic.
    fn run(&mut self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (entries, expected) = line.rsplit_once(" -> ").unwrap();
            let (is_atomic, entries) = match entries.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, entries),
            };
            let entries: Vec<_> = entries.split('|').map(|part| self.parse(part)).collect();
            let sent = if is_atomic { atomic(entries) } else { request(entries) };
            let outcomes = self.book.ingest(sent);
            assert_eq!(words(&outcomes), expected, "{line}");
            self.book.check();
        }
    }
}

fn words(outcomes: &[Outcome]) -> String {
    let words: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Committed(_) => "ok",
            Outcome::Replayed(_) => "replayed",
            Outcome::Rejected(reject) => reject.reason.as_str(),
        })
        .collect();
    words.join(" ")
}

#[test]
fn value_moves_and_never_falls_below_zero() {
    let mut script = Script::new();
    script.run(
        "mint a 100 -> ok
         transfer a>b 30 -> ok
         burn b 10 -> ok
         transfer a>b 71 -> insufficient_funds
         burn c 1 -> insufficient_funds
         mint a 5/USD -> ok
         transfer a>b 6/USD -> insufficient_funds
         transfer a>b 5/USD -> ok",
    );
    assert_eq!((script.book.available("a"), script.book.available("b")), (70, 20));
    assert_eq!(script.book.head(), 5);
}

#[test]
fn a_refusal_leaves_no_gap_and_the_rest_goes_on() {
    let mut script = Script::new();
    script.run("mint a 1 | transfer a>b 2 | transfer a>b 1 -> ok insufficient_funds ok");
    assert_eq!(script.book.head(), 2);
}

#[test]
fn a_posting_stands_or_falls_as_one_on_its_net() {
    let mut script = Script::new();
    script.run(
        "mint a 10 -> ok
         debit a 10 | credit b 4 | credit c 6 -> ok ok ok
         debit a 1 | credit b 1 -> insufficient_funds atomic_aborted
         credit b 5 | debit b 5 -> ok ok
         credit z 9 | debit b 9 -> atomic_aborted insufficient_funds
         debit b 1 -> unbalanced
         debit b 1 | mint a 1 | credit a 1 -> unbalanced ok unbalanced
         debit b 2 | credit a 1 | mint a 1 -> unbalanced unbalanced ok",
    );
    assert_eq!(script.book.available("b"), 4);
}

#[test]
fn an_atomic_request_is_judged_at_its_end() {
    let mut script = Script::new();
    script.run(
        "!transfer a>b 5 | mint a 5 -> ok ok
         !mint a 5 | transfer a>b 6 -> atomic_aborted insufficient_funds
         !hold c 3 #h | mint c 3 | capture c>d 2 =h -> ok ok ok
         !mint a 1 | debit a 1 -> atomic_aborted unbalanced
         !capture e>d 1 =h2 | mint e 1 | hold e 1 #h2 -> not_found atomic_aborted atomic_aborted",
    );
    assert_eq!((script.book.available("b"), script.book.available("d")), (5, 2));
    assert_eq!((script.book.available("c"), script.book.held("c")), (1, 0));
    let linked: Vec<_> = script.book.log.iter().map(|entry| entry.linked).collect();
    assert_eq!(linked, [true, false, true, true, false]);
}

#[test]
fn a_hold_is_captured_in_parts_and_released() {
    let mut script = Script::new();
    script.run(
        "mint a 100 -> ok
         hold a>shop 60 #h -> ok
         transfer a>b 41 -> insufficient_funds
         capture a>other 1 =h -> conflict
         capture a>shop 61 =h -> insufficient_funds
         capture a>shop 20 =h + -> ok
         release a 10 =h -> ok
         release b 10 =h -> conflict
         release a 31 =h -> insufficient_funds
         capture a>shop 10 =h -> ok
         capture a>shop 1 =h -> already_resolved
         capture a>other 1 =h -> conflict
         release a 1 =h -> already_resolved
         release a 1 =nobody -> not_found
         mint a 1 #m -> ok
         release a 1 =m -> conflict",
    );
    assert_eq!((script.book.available("a"), script.book.held("a")), (71, 0));
    assert_eq!(script.book.available("shop"), 30);
    script.run(
        "hold a 5 #h2 -> ok
         release a 5 =h2 -> ok
         capture a>shop 5 =h2 -> already_resolved
         hold a 5 #h3 -> ok
         capture a>shop 5 =h3 + -> ok
         release a 1 =h3 -> already_resolved",
    );
}

#[test]
fn a_hold_expires_first_in_its_group_in_the_order_of_time_and_id() {
    let mut script = Script::new();
    script.run(
        "mint a 10 -> ok
         hold a 1 @1000 -> hold_expired
         hold a 3 #late @3000 -> ok
         hold a 2 #soon @2000 -> ok
         hold a 1 #forever -> ok
         capture a>b 1 =soon + -> ok",
    );
    script.book.now = 1999;
    script.run("transfer a>b 5 -> insufficient_funds");
    script.book.now = 3000;
    script.run("transfer a>b 5 -> ok");
    let expired: Vec<_> = script.book.log.iter().filter(|e| e.entry.kind == Kind::Expire).collect();
    assert_eq!(expired.iter().map(|e| e.entry.ts).collect::<Vec<_>>(), [2000, 3000]);
    assert_eq!(expired.iter().map(|e| e.entry.amount.get()).collect::<Vec<_>>(), [1, 3]);
    assert!(expired.iter().all(|e| e.entry.id.is_ledgers_own() && e.seq > 5 && e.seq < 8));
    script.run(
        "capture a>b 1 =late -> hold_expired
         release a 1 =late -> already_resolved
         release a 1 =forever -> ok",
    );
    assert_eq!(script.book.commit(&[]).entries_count(), 0);
}

#[test]
fn a_due_hold_that_the_bound_left_over_can_no_longer_be_captured() {
    let mut script = Script::new();
    script.run("mint a 2 -> ok\nhold a 1 #h @2000 -> ok\nhold a 1 #i @2000 -> ok");
    (script.book.now, script.book.expire_max) = (2000, 1);
    script.book.expire_max = 0;
    script.run("capture a>b 1 =h -> hold_expired");
    script.book.expire_max = 1;
    assert_eq!(script.book.commit(&[]).expired.len(), 1);
    assert_eq!(script.book.commit(&[]).expired.len(), 1);
    assert_eq!(script.book.available("a"), 2);
}

#[test]
fn a_clients_tuple_cannot_stop_an_expiry() {
    let mut book = Book::new();
    let mut hold = entry(Kind::Hold, "a", 7);
    (hold.expires_at, hold.nonce) = (Some(2000), [0xaa; 16]);
    let mut squatter = entry(Kind::Mint, "a", 7);
    squatter.nonce = *hold.id.as_bytes();
    book.ingest(request([squatter, hold]));
    book.now = 2000;
    assert_eq!(book.commit(&[]).expired.len(), 1);
    book.check();
}

#[test]
fn what_may_be_reversed_is_reversed_once_and_in_full() {
    let mut script = Script::new();
    script.run(
        "mint a 100 #m -> ok
         transfer a>b 40 #t -> ok
         reverse a 39 =t -> conflict
         reverse b 40 =t -> conflict
         reverse a 40 =nobody -> not_found
         transfer b>c 1 #x -> ok
         reverse a 40 =t -> insufficient_funds
         reverse b 1 =x #rx -> ok
         reverse a 40 =t -> ok
         reverse a 40 =t -> already_resolved
         reverse b 1 =rx -> not_reversible
         hold a 50 #h -> ok
         reverse a 50 =h -> not_reversible
         capture a>b 20 =h #c -> ok
         reverse a 20 =c -> ok
         release a 1 =h -> already_resolved
         burn a 10 #burn -> ok
         reverse a 10 =burn -> ok
         reverse a 100 =m -> ok
         mint a 5 #n -> ok
         transfer a>b 5 -> ok
         reverse a 5 =n -> insufficient_funds",
    );
    let supply = script.book.state.supply.get(&Asset::new("RON").unwrap()).unwrap();
    assert_eq!((supply.minted, supply.burned), (115, 110));
}

#[test]
fn a_posting_is_reversed_whole_or_not_at_all() {
    let mut script = Script::new();
    script.run(
        "mint a 10 -> ok
         debit a 10 #d | credit b 4 #c1 | credit c 6 #c2 -> ok ok ok
         reverse a 10 =d -> not_reversible
         !reverse a 10 =d | reverse b 4 =c1 -> not_reversible atomic_aborted
         reverse a 10 =d | reverse b 4 =c1 | reverse c 6 =c2 -> not_reversible not_reversible not_reversible
         !reverse a 10 =d | reverse b 4 =c1 | reverse c 6 =c2 -> ok ok ok
         !reverse a 10 =d | reverse b 4 =c1 | reverse c 6 =c2 -> already_resolved atomic_aborted atomic_aborted",
    );
    assert_eq!(script.book.available("a"), 10);
}

#[test]
fn undoing_a_mint_needs_the_right_to_it() {
    use crate::ledger::request::{Grants, Item, Request};
    let mut book = Book::new();
    let (mint, mut undo) = (entry(Kind::Mint, "a", 5), entry(Kind::Reverse, "a", 5));
    undo.reference = Some(mint.id);
    book.ingest(request([mint]));
    let grants = Grants { reverse_mint: false, reverse_burn: true };
    let mut sent = Request { items: vec![Item::new(undo, grants)], atomic: false };
    assert_eq!(words(&book.ingest(sent.clone())), "cap_invalid");
    sent.items[0].grants = Grants::ALL;
    assert_eq!(words(&book.ingest(sent)), "ok");
}

#[test]
fn a_retry_is_told_its_first_seq_and_changes_nothing() {
    let mut book = Book::new();
    let mint = entry(Kind::Mint, "a", 5);
    let mut posting = [entry(Kind::Debit, "a", 2), entry(Kind::Credit, "b", 2)];
    posting[0].idem_id = Some(IdemId::new("order-1").unwrap());
    let sent = || [mint.clone(), posting[0].clone(), posting[1].clone()];
    book.ingest(request(sent()));
    let again = book.ingest(request(sent()));
    assert_eq!(again, [Outcome::Replayed(1), Outcome::Replayed(2), Outcome::Replayed(3)]);

    let mut other_id = mint.clone();
    other_id.id = entry(Kind::Mint, "x", 1).id;
    (other_id.ts, other_id.capability) = (1, mint.kid.clone());
    assert_eq!(book.ingest(request([other_id])), [Outcome::Replayed(1)]);

    let mut other_content = mint.clone();
    other_content.amount = crate::ledger::entry::Amount::new(6).unwrap();
    assert_eq!(words(&book.ingest(request([other_content]))), "conflict");

    let mut other_asset = mint.clone();
    (other_asset.id, other_asset.asset) =
        (entry(Kind::Mint, "x", 1).id, Asset::new("USD").unwrap());
    assert_eq!(words(&book.ingest(request([other_asset]))), "conflict");

    let mut other_idem = mint.clone();
    other_idem.id = entry(Kind::Mint, "x", 1).id;
    other_idem.idem_id = Some(IdemId::new("x").unwrap());
    assert_eq!(words(&book.ingest(request([other_idem]))), "ok");
    book.check();
}

#[test]
fn within_one_group_a_retry_is_a_replay_and_within_one_unit_a_conflict() {
    let mut book = Book::new();
    let mint = entry(Kind::Mint, "a", 5);
    let outcomes = book.ingest(request([mint.clone(), mint.clone()]));
    assert_eq!(outcomes, [Outcome::Committed(1), Outcome::Replayed(1)]);
    let twice = entry(Kind::Mint, "a", 5);
    let outcomes = book.ingest(atomic([twice.clone(), twice.clone()]));
    assert_eq!(words(&outcomes), "atomic_aborted conflict");
    let outcomes = book.ingest(atomic([mint, twice]));
    assert_eq!(words(&outcomes), "atomic_aborted conflict");
    assert_eq!(book.head(), 1);
}

#[test]
fn a_reject_is_not_pinned() {
    let mut book = Book::new();
    let mut send = entry(Kind::Transfer, "a", 5);
    send.counterparty = Some(AccountId::new("b").unwrap());
    assert_eq!(words(&book.ingest(request([send.clone()]))), "insufficient_funds");
    book.ingest(request([entry(Kind::Mint, "a", 5)]));
    assert_eq!(words(&book.ingest(request([send]))), "ok");
}

#[test]
fn sums_are_checked() {
    let mut script = Script::new();
    let max = u128::MAX;
    script.run(&format!(
        "mint a {max} -> ok
         mint a 1 -> overflow
         mint b 1 -> overflow
         transfer a>b {max} -> ok
         transfer b>a 1 -> overflow
         transfer a>c 1 -> overflow
         mint a {max}/USD | mint b 1/EUR -> ok ok"
    ));
    assert_eq!(script.book.available("b"), max);
}

/// Otherwise anyone could bring the totals of an account to their end, and lock it, without a single
/// atom.
#[test]
fn what_only_passes_through_an_account_leaves_its_totals() {
    let mut script = Script::new();
    let max = u128::MAX;
    script.run(&format!(
        "debit a {max} | credit a {max} -> ok ok
         credit a {max} | debit a {max} -> ok ok
         mint a 5 -> ok
         !transfer a>b 4 | transfer b>a 3 -> ok ok"
    ));
    let total = |name: &str| {
        let key = AccountKey::new(&AccountId::new(name).unwrap(), &Asset::new("RON").unwrap());
        let account = script.book.state.accounts.get(&key).unwrap();
        (account.available, account.credits, account.debits)
    };
    assert_eq!((total("a"), total("b")), ((4, 5, 1), (1, 1, 0)));
}

/// The written order of the reasons: an entry with every fault is told the first, and once that is
/// mended, the next.
#[test]
fn faults_are_told_in_the_order_of_precedence() {
    let mut script = Script::new();
    script.run(
        "mint a 10 #taken -> ok
         hold a 5 #h @2000 -> ok
         mint b 1 -> ok",
    );
    script.book.now = 1_500;
    let told = |script: &mut Script, entry: Entry| -> Reason {
        match &script.book.ingest(request([entry]))[0] {
            Outcome::Rejected(reject) => reject.reason,
            other => panic!("{other:?}"),
        }
    };
    let mut bad = entry(Kind::Capture, "b", 6);
    bad.counterparty = Some(AccountId::new("c").unwrap());
    bad.id = script.names["taken"];
    assert_eq!(told(&mut script, bad.clone()), Reason::Conflict);
    bad.id = entry(Kind::Mint, "x", 1).id;
    bad.reference = Some(EntryId::from_bytes([0xee; 16]));
    assert_eq!(told(&mut script, bad.clone()), Reason::NotFound);
    bad.reference = Some(script.names["h"]);
    assert_eq!(told(&mut script, bad.clone()), Reason::Conflict);
    bad.account = AccountId::new("a").unwrap();
    (script.book.now, script.book.expire_max) = (2_000, 0);
    assert_eq!(told(&mut script, bad.clone()), Reason::HoldExpired);
    script.book.now = 1_999;
    assert_eq!(told(&mut script, bad.clone()), Reason::InsufficientFunds);
    let order = [Reason::Conflict, Reason::HoldExpired, Reason::InsufficientFunds];
    assert!(order.is_sorted());
}
