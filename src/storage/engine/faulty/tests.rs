//! The faulty engine keeps the contract, and fails exactly as it is told to.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::MemoryEngine;
use super::super::contract::{Subject, Survives, contract_tests, survival_tests};
use super::*;

/// A fault-free engine over memory, whose crash loses every batch that was not flushed.
struct NoFaults(Faulty<MemoryEngine>);

impl Subject for NoFaults {
    type Engine = Faulty<MemoryEngine>;

    fn open() -> Self {
        Self(fresh())
    }

    fn engine(&self) -> &Self::Engine {
        &self.0
    }
}

impl Survives for NoFaults {
    fn reopen(self) -> Self {
        self
    }

    fn crash(self) -> Self {
        self.0.crash(0).unwrap();
        self
    }
}

mod no_faults {
    super::contract_tests!(super::NoFaults);
    super::survival_tests!(super::NoFaults);
}

fn fresh() -> Faulty<MemoryEngine> {
    Faulty::new(MemoryEngine::new(64 << 20))
}

fn commit(engine: &Faulty<MemoryEngine>, key: &str) -> Result<(), CommitError> {
    let mut batch = TruthBatch::new();
    batch.put(TruthFamily::Blocks, key, "value");
    engine.commit(&batch)
}

fn is_there(engine: &Faulty<MemoryEngine>, key: &str) -> bool {
    engine.truth_get(TruthFamily::Blocks, key.as_bytes()).unwrap().is_some()
}

#[test]
fn each_fault_of_a_commit_leaves_what_it_says() {
    // fault, panics, unknown (so poisoned), batch kept
    for (fault, panics, unknown, kept) in [
        (Fault::CommitNotWritten, false, false, false),
        (Fault::CommitUnknownKept, false, true, true),
        (Fault::CommitUnknownLost, false, true, false),
        (Fault::CommitPanicBefore, true, true, false),
        (Fault::CommitPanicAfter, true, true, true),
    ] {
        let engine = fresh();
        engine.plan_next(fault);
        let result = catch_unwind(AssertUnwindSafe(|| commit(&engine, "struck")));
        assert_eq!(result.is_err(), panics, "{fault:?}");
        if let Ok(result) = result {
            let error = result.unwrap_err();
            assert_eq!(matches!(error, CommitError::Unknown(_)), unknown, "{fault:?} {error}");
        }
        assert_eq!(is_there(&engine, "struck"), kept, "{fault:?}");

        assert_eq!(engine.is_poisoned(), unknown, "{fault:?}");
        match commit(&engine, "next") {
            Ok(()) => assert!(!unknown, "{fault:?}"),
            Err(CommitError::Unknown(StoreError::Poisoned)) => assert!(unknown, "{fault:?}"),
            Err(other) => panic!("{fault:?} {other}"),
        }
        engine.crash(0).unwrap();
        assert_eq!(is_there(&engine, "struck"), kept, "{fault:?}");
        commit(&engine, "after the crash").unwrap();
    }
}

#[test]
fn faults_strike_by_count_and_kind() {
    let engine = fresh();
    engine.plan(Fault::CommitNotWritten, 2, 2);
    engine.plan(Fault::TruthRead, 0, 1);
    assert!(engine.truth_get(TruthFamily::Meta, b"x").is_err());
    let outcomes: Vec<bool> = (0..6).map(|n| commit(&engine, &n.to_string()).is_ok()).collect();
    assert_eq!(outcomes, [true, true, false, false, true, true]);
    engine.plan(Fault::CommitNotWritten, 0, u64::MAX);
    assert!(commit(&engine, "x").is_err());
    engine.heal();
    commit(&engine, "x").unwrap();
}

#[test]
fn reads_and_derived_operations_fail_on_order() {
    let engine = fresh();
    let scan = ScanLimit { items: 1, bytes: 1 };
    let put = || {
        let mut batch = DerivedBatch::new();
        batch.put(DerivedFamily::Ids, "k", "v");
        batch
    };
    engine.plan(Fault::TruthRead, 0, 3);
    assert!(engine.truth_get(TruthFamily::Meta, b"").is_err());
    assert!(engine.truth_scan(TruthFamily::Meta, b"", scan).is_err());
    assert!(engine.truth_last_at_or_before(TruthFamily::Meta, b"").is_err());
    engine.plan(Fault::DerivedRead, 0, 3);
    assert!(engine.derived_get(DerivedFamily::Ids, b"k").is_err());
    assert!(engine.derived_multi_get(DerivedFamily::Ids, &[b"k"]).is_err());
    assert!(engine.derived_scan(DerivedFamily::Ids, b"", None, scan).is_err());
    engine.plan_next(Fault::DerivedWrite);
    assert!(engine.derived_write(put()).is_err());
    assert_eq!(engine.derived_get(DerivedFamily::Ids, b"k").unwrap(), None);
    engine.derived_write(put()).unwrap();
    engine.plan_next(Fault::DerivedFlush);
    assert!(engine.derived_flush().is_err());
    assert_eq!(engine.unflushed_batches(), 1, "a failed flush flushes nothing");
    engine.derived_flush().unwrap();
    assert_eq!(engine.unflushed_batches(), 0);
}

#[test]
fn a_crash_keeps_the_oldest_batches_that_it_is_told_to_keep() {
    let value_after = |batches_kept: usize| {
        let engine = fresh();
        for n in 1..=5_u8 {
            let mut batch = DerivedBatch::new();
            batch.put(DerivedFamily::Meta, "height", [n]);
            batch.put(DerivedFamily::Ids, [n], [n]);
            batch.delete(DerivedFamily::Ids, [n - 1]);
            engine.derived_write(batch).unwrap();
            if n == 2 {
                engine.derived_flush().unwrap();
            }
        }
        engine.crash(batches_kept).unwrap();
        let height = engine.derived_get(DerivedFamily::Meta, b"height").unwrap().unwrap()[0];
        let limit = ScanLimit { items: 9, bytes: usize::MAX };
        let ids = engine.derived_scan(DerivedFamily::Ids, b"", None, limit).unwrap();
        assert_eq!(ids, [(vec![height], vec![height])]);
        engine.crash(0).unwrap();
        let again = engine.derived_get(DerivedFamily::Meta, b"height").unwrap().unwrap()[0];
        assert_eq!(again, height, "what a crash left is flushed");
        height
    };
    let heights: Vec<u8> = [0, 1, 2, 3, 99].map(value_after).into();
    assert_eq!(heights, [2, 3, 4, 5, 5]);
}
