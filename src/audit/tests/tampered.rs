//! One flipped bit anywhere in a store, in a key or in a value of any family: whatever changes what the
//! ledger says is found and named, and what is not found changes nothing.

use super::stores::{ALL, filled_with, verify};
use super::*;
use crate::storage::engine::{
    DerivedBatch, DerivedFamily, Engine, Item, MemoryEngine, TruthBatch, TruthFamily,
};

/// All records of a store.
#[derive(Clone)]
struct Records {
    truth: Vec<(TruthFamily, Item)>,
    derived: Vec<(DerivedFamily, Item)>,
}

impl Records {
    fn of(engine: &dyn Engine) -> Self {
        let truth = TruthFamily::ALL.into_iter().flat_map(|family| {
            let items = engine.truth_scan(family, &[], ALL).unwrap();
            items.into_iter().map(move |item| (family, item))
        });
        let derived = DerivedFamily::ALL.into_iter().flat_map(|family| {
            let items = engine.derived_scan(family, &[], None, ALL).unwrap();
            items.into_iter().map(move |item| (family, item))
        });
        Records { truth: truth.collect(), derived: derived.collect() }
    }

    fn store(&self) -> MemoryEngine {
        let engine = MemoryEngine::new(1 << 30);
        let mut truth = TruthBatch::new();
        for (family, (key, value)) in &self.truth {
            truth.put(*family, key.clone(), value.clone());
        }
        engine.commit(&truth).unwrap();
        let mut derived = DerivedBatch::new();
        for (family, (key, value)) in &self.derived {
            derived.put(*family, key.clone(), value.clone());
        }
        engine.derived_write(derived).unwrap();
        engine
    }
}

/// The first byte of a text and another one, each with another bit.
fn places(length: usize, salt: usize) -> impl Iterator<Item = (usize, u8)> {
    let mut at = vec![0, (7 * salt + 3) % length.max(1)];
    at.dedup();
    let is_there = move |byte: &usize| *byte < length;
    at.into_iter().filter(is_there).map(move |byte| (byte, 1 << ((byte + salt) % 8)))
}

/// What the audit says of a store in which a bit was flipped.
enum Told {
    Named(Check),
    NoLedger,
    NotChecked,
    Nothing,
}

fn told(records: &Records, note: &str) -> Told {
    let report = verify_engine(&records.store(), Some(note), signer().verifier_key(), &|_, _| ());
    match report {
        Err(_) => Told::NoLedger,
        Ok(Report { problem: Some(problem), .. }) => Told::Named(problem.check),
        Ok(report) if !report.checked.contains(&Check::Derived) => Told::NotChecked,
        Ok(_) => Told::Nothing,
    }
}

#[test]
fn a_flipped_bit_of_truth_is_found_in_every_family() {
    let (engine, note) = filled_with(30);
    let good = Records::of(&*engine);
    assert_eq!(verify(&good.store(), Some(&note)).problem, None);
    let asset = good.truth.iter().position(|(_, (key, _))| key == b"genesis").unwrap();
    for record in 0..good.truth.len() {
        let (family, (key, value)) = &good.truth[record];
        for (is_key, length) in [(true, key.len()), (false, value.len())] {
            for (byte, bit) in places(length, record) {
                let mut bad = good.clone();
                let (_, (key, value)) = &mut bad.truth[record];
                if is_key {
                    key[byte] ^= bit
                } else {
                    value[byte] ^= bit
                };
                let what = format!("{family:?}, record {record}, key {is_key}, byte {byte}");
                match told(&bad, &note) {
                    Told::Named(check) => assert!(
                        matches!(
                            check,
                            Check::Encoding
                                | Check::Continuity
                                | Check::Replay
                                | Check::Uniqueness
                                | Check::StoredRoots
                                | Check::Signature
                                | Check::Root
                        ),
                        "{what}: {check:?}"
                    ),
                    Told::NoLedger => assert_eq!(*family, TruthFamily::Meta, "{what}"),
                    // The asset of entries to come that name none: the log says nothing of it.
                    Told::Nothing if record == asset && !is_key => {}
                    Told::Nothing | Told::NotChecked => panic!("{what} is not found"),
                }
            }
        }
    }
}

#[test]
fn a_flipped_bit_of_derived_data_is_found_in_every_family() {
    let (engine, note) = filled_with(30);
    let good = Records::of(&*engine);
    let mut families = std::collections::BTreeSet::new();
    for record in 0..good.derived.len() {
        let (family, (key, value)) = &good.derived[record];
        families.insert(*family as u8);
        for (is_key, length) in [(true, key.len()), (false, value.len())] {
            for (byte, bit) in places(length, record) {
                let mut bad = good.clone();
                let (_, (key, value)) = &mut bad.derived[record];
                if is_key {
                    key[byte] ^= bit
                } else {
                    value[byte] ^= bit
                };
                let what = format!("{family:?}, record {record}, key {is_key}, byte {byte}");
                match told(&bad, &note) {
                    Told::Named(check) => {
                        assert!(matches!(check, Check::Derived | Check::StoredRoots), "{what}");
                    }
                    // Without its height it is made anew from the log, and the report says so.
                    Told::NotChecked => assert_eq!(*family, DerivedFamily::Meta, "{what}"),
                    // A filter of another version is made anew too.
                    Told::Nothing if *family == DerivedFamily::Filter && byte == 0 => {}
                    Told::Nothing | Told::NoLedger => panic!("{what} is not found"),
                }
            }
        }
    }
    let all = DerivedFamily::ALL.map(|family| family as u8);
    let unused: Vec<_> = all.iter().filter(|family| !families.contains(family)).collect();
    assert!(unused.iter().all(|family| **family == DerivedFamily::Filter as u8), "{unused:?}");
}

/// A whole saved filter that says it knows more than it does would let an entry in twice.
#[test]
fn a_saved_filter_that_forgets_is_found() {
    use crate::storage::walk::saved_filter;
    let (engine, note) = filled_with(30);
    let size = verify(&*engine, Some(&note)).entries;
    for (height, is_found) in [(0, false), (size, true)] {
        let mut records = Records::of(&*engine);
        records.derived.retain(|(family, _)| *family != DerivedFamily::Filter);
        let empty = saved_filter(1 << 12, height);
        records.derived.extend(empty.into_iter().map(|item| (DerivedFamily::Filter, item)));
        let problem = verify(&records.store(), Some(&note)).problem;
        assert_eq!(problem.map(|problem| problem.check), is_found.then_some(Check::Derived));
    }
}
