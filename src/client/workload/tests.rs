//! Workloads: the same from a seed, whole, and accepted by the real ledger.

use std::collections::BTreeMap;

use super::*;
use crate::ledger::plan::Outcome;
use crate::ledger::testing::{Book, atomic, request};

fn spec(entries: usize, seed: u64) -> Spec {
    Spec { entries, seed, accounts: 200, ..Spec::default() }
}

fn units(spec: Spec) -> Vec<Unit> {
    Workload::new(spec).unwrap().collect()
}

/// Commits the units one by one and counts, for units that are meant to be valid and for the
/// others, what became of them.
fn counts(units: Vec<Unit>) -> [BTreeMap<&'static str, usize>; 2] {
    let mut book = Book::new();
    let mut counts = [BTreeMap::new(), BTreeMap::new()];
    for Unit { entries, atomic: whole, valid } in units {
        let outcomes = book.ingest(if whole { atomic(entries) } else { request(entries) });
        let refused = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Rejected(reject) => Some(reject.reason.as_str()),
            _ => None,
        });
        let replayed = matches!(outcomes[0], Outcome::Replayed(_));
        let word = refused.unwrap_or(if replayed { "replayed" } else { "committed" });
        *counts[usize::from(!valid)].entry(word).or_default() += 1;
    }
    book.check();
    counts
}

#[test]
fn the_same_seed_gives_the_same_units_and_another_seed_gives_others() {
    assert_eq!(units(spec(2_000, 7)), units(spec(2_000, 7)));
    assert_ne!(units(spec(2_000, 7)), units(spec(2_000, 8)));
    let longer = units(spec(2_000, 7));
    let shorter = units(spec(1_000, 7));
    let common = shorter.len() - UNIT_ENTRIES_MAX;
    assert_eq!(shorter[..common], longer[..common], "only the end depends on the count");
}

#[test]
fn the_count_comes_out_and_no_unit_is_empty() {
    for entries in [0, 1, 2, 3, 4, 5, 17, 1_000] {
        let units = units(spec(entries, 3));
        assert_eq!(units.iter().map(|unit| unit.entries.len()).sum::<usize>(), entries);
        assert!(units.iter().all(|unit| (1..=UNIT_ENTRIES_MAX).contains(&unit.entries.len())));
    }
}

#[test]
fn every_kind_and_every_form_of_unit_is_there() {
    let units = units(spec(10_000, 7));
    for &kind in Kind::ALL {
        let there = units.iter().flat_map(|unit| &unit.entries).any(|entry| entry.kind == kind);
        assert_eq!(there, kind != Kind::Expire, "{kind:?}");
    }
    let any = |what: &dyn Fn(&Unit) -> bool| units.iter().any(what);
    let captures = |keep: bool| {
        any(&move |u: &Unit| {
            u.entries.iter().any(|e| e.kind == Kind::Capture && e.keep_open == keep)
        })
    };
    assert!(captures(true) && captures(false));
    for legs in 2..=4 {
        assert!(any(&|u| u.entries[0].kind == Kind::Debit && u.entries.len() == legs), "{legs}");
    }
    assert!(any(&|u| u.atomic && u.entries.iter().all(|e| e.kind == Kind::Reverse)));
    assert!(any(&|u| u.entries[0].expires_at == Some(EXPIRES_AT)));
    assert!(any(&|u| u.entries[0].asset.as_str() == "EUR"));
}

#[test]
fn every_field_fits_its_kind() {
    for entry in units(spec(5_000, 9)).iter().flat_map(|unit| &unit.entries) {
        assert_eq!(entry.check(), Ok(()), "{entry:?}");
    }
}

/// The generator's picture of the ledger is the ledger's own.
#[test]
fn what_is_meant_to_be_valid_is_accepted_and_the_rest_refused() {
    let [valid, faulty] =
        counts(units(Spec { invalid_share: 0.1, accounts: 50, ..spec(10_000, 7) }));
    let accepted = ["committed", "replayed"];
    assert!(valid.keys().all(|word| accepted.contains(word)), "{valid:?}");
    assert!(valid["replayed"] > 0 && valid["committed"] > 6_000, "{valid:?}");
    assert!(!faulty.keys().any(|word| accepted.contains(word)), "{faulty:?}");
    for reason in ["insufficient_funds", "not_found", "already_resolved", "unbalanced", "conflict"]
    {
        assert!(faulty.contains_key(reason), "{reason} is missing from {faulty:?}");
    }
    let (good, bad) = (valid.values().sum::<usize>(), faulty.values().sum::<usize>());
    let share = bad as f64 / (good + bad) as f64;
    assert!((0.08..0.12).contains(&share), "{share}");
}

#[test]
fn small_worlds_work_too() {
    for (accounts, zipf, assets) in [(2, 0.0, 1), (2, 10.0, 2), (1_000, 2.0, 3)] {
        let small = Spec { accounts, zipf, invalid_share: 0.2, ..spec(3_000, 5) };
        let assets = small.assets[..assets].to_vec();
        let [valid, _] = counts(units(Spec { assets, ..small }));
        assert!(valid.keys().all(|word| ["committed", "replayed"].contains(word)), "{valid:?}");
    }
}

#[test]
fn a_mix_decides_which_scenarios_there_are() {
    let mix = "transfer=1".parse().unwrap();
    let units = units(Spec { mix, invalid_share: 0.0, ..spec(2_000, 7) });
    let of = |kind: Kind| units.iter().filter(|unit| unit.entries[0].kind == kind).count();
    assert_eq!(of(Kind::Mint) + of(Kind::Transfer), 2_000);
    assert!(of(Kind::Mint) > 0 && of(Kind::Transfer) > 1_000);
}

#[test]
fn ids_have_the_form_that_is_asked_for_and_no_two_are_the_same() {
    let mix: Mix = "transfer=9,mint=1".parse().unwrap();
    for (ids, version) in [(Ids::V4, b'4'), (Ids::V7, b'7'), (Ids::Ordered, b'7')] {
        let spec = Spec { ids, mix: mix.clone(), invalid_share: 0.0, ..spec(10_000, 7) };
        let of = |workload: Workload| -> Vec<EntryId> {
            workload.flat_map(|unit| unit.entries).map(|entry| entry.id).collect()
        };
        let all: Vec<Vec<EntryId>> =
            Workload::several(&spec, 3).unwrap().into_iter().map(of).collect();
        let flat: std::collections::BTreeSet<_> = all.iter().flatten().collect();
        assert_eq!(flat.len(), 30_000, "{ids}");
        assert!(flat.iter().all(|id| id.to_string().as_bytes()[14] == version), "{ids}");
        assert_eq!(all[0].is_sorted(), ids == Ids::Ordered, "{ids}");
        let times = all[1].iter().map(|id| id.as_bytes()[..6].to_vec());
        assert_eq!(times.is_sorted(), ids != Ids::V4, "{ids}");
        let first = Workload::new(spec.clone()).unwrap().flat_map(|unit| unit.entries);
        assert!(first.map(|entry| entry.id).eq(all[0].iter().copied()), "{ids}");
    }
}
