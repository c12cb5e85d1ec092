//! Stores that lie still: a good one is verified, each record that was changed is found.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::client::workload::{Spec, Workload};
use crate::ledger::names::Asset;
use crate::ledger::plan::Group;
use crate::ledger::request::{Grants, Item};
use crate::storage::engine::{
    DerivedBatch, DerivedFamily, Engine, MemoryEngine, ScanLimit, TruthBatch, TruthFamily,
};
use crate::storage::genesis::Genesis;
use crate::storage::store::{Store, StoreOptions};
use crate::storage::writer::Lag;

/// A ledger whose derived data goes so far as its log, and its note.
fn filled() -> (Arc<MemoryEngine>, String) {
    filled_with(900)
}

/// Of so many entries, most of which are accepted.
pub(super) fn filled_with(entries: usize) -> (Arc<MemoryEngine>, String) {
    let engine = Arc::new(MemoryEngine::new(1 << 30));
    let genesis = Genesis {
        hash: HashAlgo::Blake3,
        origin: ORIGIN.into(),
        default_asset: Asset::new("RON").unwrap(),
        parent: None,
    };
    let options = StoreOptions { filter_bytes: 1 << 16, lag: Lag { flush: 50, max: 1 << 20 } };
    let shared = Arc::clone(&engine) as Arc<dyn Engine>;
    let store = Store::open(shared, genesis, options).unwrap();
    let (mut writer, _lease) = store.writer(None).unwrap();
    let spec = Spec { entries, seed: 5, ..Spec::default() };
    for (at, unit) in Workload::new(spec).unwrap().enumerate() {
        let items = unit.entries.into_iter().map(|entry| Item::new(entry, Grants::ALL)).collect();
        let request = Request { items, atomic: unit.atomic };
        let group = Group { requests: &[&request], now: 1_000 + at as u64 / 3, expire_max: 9 };
        let mut prepared = writer.prepare(&group).unwrap();
        if !prepared.is_empty() {
            let written = writer.write(&mut prepared).unwrap();
            writer.apply(prepared, written);
        }
    }
    assert!(writer.settle(Instant::now() + Duration::from_secs(20)));
    let head = writer.head().get();
    let checkpoint = Checkpoint::new(ORIGIN, head.seq, head.root).unwrap();
    (engine, note(&signer(), &checkpoint))
}

pub(super) fn verify(engine: &dyn Engine, note: Option<&str>) -> Report {
    verify_engine(engine, note, signer().verifier_key(), &|_, _| ()).unwrap()
}

#[test]
fn a_store_in_order_is_verified() {
    let (engine, note) = filled();
    let report = verify(&*engine, Some(&note));
    assert_eq!(report.problem, None);
    assert!(report.entries > 500 && report.entries == report.size);
    assert!(report.checked.contains(&Check::Derived), "{report:?}");
    let unsigned = verify(&*engine, None);
    assert!(unsigned.verified && unsigned.not_checked.len() == report.not_checked.len() + 1);
    let foreign = Signer::new(ORIGIN, &[8; 32]).unwrap();
    let report = verify_engine(&*engine, Some(&note), foreign.verifier_key(), &|_, _| ()).unwrap();
    assert_eq!(report.problem.unwrap().check, Check::Signature);
}

#[test]
fn a_log_that_is_not_what_was_signed_is_found() {
    let (engine, _) = filled();
    let size = verify(&*engine, None).entries;
    let checked = |size: Seq| {
        let checkpoint = Checkpoint::new(ORIGIN, size, Hash([1; 32])).unwrap();
        verify(&*engine, Some(&note(&signer(), &checkpoint))).problem.unwrap().check
    };
    assert_eq!(checked(size), Check::Root, "another root");
    assert_eq!(checked(size + 1), Check::Root, "more than there is");
    assert_eq!(checked(1), Check::Root, "an old one");
}

#[test]
fn a_changed_record_of_truth_is_found() {
    let (engine, note) = filled();
    for family in [TruthFamily::Blocks, TruthFamily::Roots, TruthFamily::Meta] {
        let items = engine.truth_scan(family, &[], ALL).unwrap();
        for (at, (key, value)) in items.iter().enumerate().step_by(97) {
            let mut bad = value.clone();
            let byte = at % bad.len();
            bad[byte] ^= 1;
            let forged = forged(&engine, family, key, &bad);
            let found = verify_engine(&forged, Some(&note), signer().verifier_key(), &|_, _| ());
            // Without a genesis there is no ledger at all.
            let Ok(report) = found else { continue };
            let problem = report.problem.unwrap_or_else(|| panic!("{family:?} {at}, byte {byte}"));
            if family != TruthFamily::Meta {
                let first = Seq::from_be_bytes(key[..].try_into().unwrap());
                assert!(problem.seq.unwrap().abs_diff(first) <= 4, "{at}: {problem:?}");
            }
        }
    }
    let whole = forged(&engine, TruthFamily::Meta, b"other", b"");
    assert_eq!(verify(&whole, Some(&note)).problem, None);
}

pub(super) const ALL: ScanLimit = ScanLimit { items: usize::MAX, bytes: usize::MAX };

/// A copy in which one record of truth says something else.
fn forged(engine: &MemoryEngine, family: TruthFamily, key: &[u8], value: &[u8]) -> MemoryEngine {
    let copy = MemoryEngine::new(1 << 30);
    let mut truth = TruthBatch::new();
    for of in TruthFamily::ALL {
        for (known, was) in engine.truth_scan(of, &[], ALL).unwrap() {
            let is_it = of == family && known == key;
            truth.put(of, known, if is_it { value.to_vec() } else { was });
        }
    }
    copy.commit(&truth).unwrap();
    let mut derived = DerivedBatch::new();
    for of in DerivedFamily::ALL {
        for (known, was) in engine.derived_scan(of, &[], None, ALL).unwrap() {
            derived.put(of, known, was);
        }
    }
    copy.derived_write(derived).unwrap();
    copy
}

#[test]
fn changed_derived_data_is_found() {
    use DerivedFamily::{Accounts, Holds, Idem, Ids, Supply, Tiles};
    let limit = ScanLimit { items: 1, bytes: usize::MAX };
    for family in [Accounts, Supply, Ids, Idem, Holds, Tiles] {
        let (engine, note) = filled();
        let (key, value) = engine.derived_scan(family, &[], None, limit).unwrap().remove(0);
        let check = |what: &str, change: &dyn Fn(&mut DerivedBatch)| {
            let mut batch = DerivedBatch::new();
            change(&mut batch);
            engine.derived_write(batch).unwrap();
            let problem = verify(&*engine, Some(&note)).problem;
            let mut batch = DerivedBatch::new();
            batch.put(family, &key[..], &value[..]);
            engine.derived_write(batch).unwrap();
            let problem = problem.unwrap_or_else(|| panic!("{what} of {family:?}"));
            let expected = if family == Tiles { Check::StoredRoots } else { Check::Derived };
            assert_eq!(problem.check, expected, "{what} of {family:?}: {problem:?}");
        };
        let mut bad = value.clone();
        *bad.last_mut().unwrap() ^= 1;
        check("a change", &|batch| batch.put(family, &key[..], &bad[..]));
        check("a loss", &|batch| batch.delete(family, &key[..]));
        assert_eq!(verify(&*engine, Some(&note)).problem, None);
    }
}
