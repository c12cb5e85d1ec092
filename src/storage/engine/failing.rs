//! An engine whose fsync fails on order, for drills on a running node.
//!
//! Around another engine it adds one branch to a commit. [`Faulty`](super::Faulty) can do more and
//! keeps what would undo each write of derived data: that is for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    CommitError, DerivedBatch, DerivedFamily, Durability, Engine, Figures, Item, Look, ScanLimit,
    StoreError, TruthBatch, TruthFamily, Usage,
};

/// What makes the next commit fail. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct FsyncFault(Arc<AtomicBool>);

impl FsyncFault {
    /// From the next commit on.
    pub fn arm(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn strikes(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

/// The engine around another one.
pub struct Failing {
    inner: Arc<dyn Engine>,
    fault: FsyncFault,
    poisoned: AtomicBool,
}

impl Failing {
    /// Behaves like `inner` until the fault is armed.
    pub fn new(inner: Arc<dyn Engine>, fault: FsyncFault) -> Self {
        Failing { inner, fault, poisoned: AtomicBool::new(false) }
    }

    /// The struck commit is written all the same: nobody knows, which is the worst that a failed
    /// fsync leaves behind.
    fn pass(
        &self,
        write: impl FnOnce(&dyn Engine) -> Result<(), CommitError>,
    ) -> Result<(), CommitError> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(CommitError::Unknown(StoreError::Poisoned));
        }
        write(&*self.inner)?;
        if self.fault.strikes() {
            self.poisoned.store(true, Ordering::Release);
            let message = "a drill: the fsync failed".to_owned();
            return Err(CommitError::Unknown(StoreError::Backend { verb: "fsync", message }));
        }
        Ok(())
    }
}

impl Engine for Failing {
    fn directory(&self) -> Option<&std::path::Path> {
        self.inner.directory()
    }

    fn checkpoint(&self, into: &std::path::Path) -> Result<(), StoreError> {
        self.inner.checkpoint(into)
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    fn commit(&self, batch: &TruthBatch) -> Result<(), CommitError> {
        self.pass(|inner| inner.commit(batch))
    }

    fn commit_again(&self, batch: &TruthBatch) -> Result<(), CommitError> {
        self.pass(|inner| inner.commit_again(batch))
    }

    fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire) || self.inner.is_poisoned()
    }

    fn truth_get(&self, family: TruthFamily, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.truth_get(family, key)
    }

    fn truth_last_at_or_before(
        &self,
        family: TruthFamily,
        key: &[u8],
    ) -> Result<Option<Item>, StoreError> {
        self.inner.truth_last_at_or_before(family, key)
    }

    fn truth_each_at_or_before(
        &self,
        family: TruthFamily,
        keys: &[[u8; 8]],
        look: &mut Look<'_>,
    ) -> Result<(), StoreError> {
        self.inner.truth_each_at_or_before(family, keys, look)
    }

    fn truth_scan(
        &self,
        family: TruthFamily,
        from: &[u8],
        limit: ScanLimit,
    ) -> Result<Vec<Item>, StoreError> {
        self.inner.truth_scan(family, from, limit)
    }

    fn derived_get(
        &self,
        family: DerivedFamily,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.derived_get(family, key)
    }

    fn derived_multi_get(
        &self,
        family: DerivedFamily,
        keys: &[&[u8]],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.inner.derived_multi_get(family, keys)
    }

    fn derived_scan(
        &self,
        family: DerivedFamily,
        from: &[u8],
        to: Option<&[u8]>,
        limit: ScanLimit,
    ) -> Result<Vec<Item>, StoreError> {
        self.inner.derived_scan(family, from, to, limit)
    }

    fn derived_write(&self, batch: DerivedBatch) -> Result<(), StoreError> {
        self.inner.derived_write(batch)
    }

    fn derived_flush(&self) -> Result<(), StoreError> {
        self.inner.derived_flush()
    }

    fn derived_behind(&self) -> u8 {
        self.inner.derived_behind()
    }

    fn derived_wipe(&self) -> Result<(), StoreError> {
        self.inner.derived_wipe()
    }

    fn derived_is_damaged(&self) -> bool {
        self.inner.derived_is_damaged()
    }

    fn room(&self, bytes: u64) -> Result<(), StoreError> {
        self.inner.room(bytes)
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        self.inner.usage()
    }

    fn figures(&self) -> Option<Figures> {
        self.inner.figures()
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryEngine;
    use super::super::contract::{Subject, contract_tests};
    use super::*;

    struct Unarmed(Failing);

    impl Subject for Unarmed {
        type Engine = Failing;

        fn open() -> Self {
            let inner = Arc::new(MemoryEngine::new(64 << 20));
            Unarmed(Failing::new(inner, FsyncFault::default()))
        }

        fn engine(&self) -> &Failing {
            &self.0
        }
    }

    mod unarmed {
        super::contract_tests!(super::Unarmed);
    }

    fn batch(key: u8) -> TruthBatch {
        let mut batch = TruthBatch::new();
        batch.put(TruthFamily::Meta, [key], [key]);
        batch
    }

    #[test]
    fn the_struck_commit_is_there_and_none_follows_it() {
        let fault = FsyncFault::default();
        let engine = Failing::new(Arc::new(MemoryEngine::new(1 << 20)), fault.clone());
        engine.commit(&batch(1)).unwrap();
        assert!(!engine.is_poisoned());
        fault.arm();
        let struck = engine.commit(&batch(2)).unwrap_err();
        assert!(matches!(struck, CommitError::Unknown(StoreError::Backend { .. })), "{struck}");
        for write in [Engine::commit, Engine::commit_again] {
            let after = write(&engine, &batch(3)).unwrap_err();
            assert!(matches!(after, CommitError::Unknown(StoreError::Poisoned)), "{after}");
        }
        assert!(engine.is_poisoned());
        let there = |key: u8| engine.truth_get(TruthFamily::Meta, &[key]).unwrap().is_some();
        assert_eq!([1, 2, 3].map(there), [true, true, false]);
    }
}
