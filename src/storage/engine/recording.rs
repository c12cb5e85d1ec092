//! An engine that keeps a copy of all that is written, for measurements: what was written once can be
//! written again, to a store of its own, without deciding it again.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    CommitError, DerivedBatch, DerivedFamily, Durability, Engine, Figures, Item, Look, ScanLimit,
    StoreError, TruthBatch, TruthFamily, Usage,
};

/// What was written, in memory.
#[derive(Debug, Default)]
pub struct Journal {
    /// The commits, in order.
    pub commits: Vec<TruthBatch>,
    /// The batches of derived data, in order, each with the commits that were there before it.
    pub derived: Vec<(usize, DerivedBatch)>,
}

/// The engine around another one.
pub struct Recording {
    inner: Arc<dyn Engine>,
    journal: Mutex<Journal>,
}

impl Recording {
    /// Behaves like `inner`.
    pub fn new(inner: Arc<dyn Engine>) -> Self {
        Recording { inner, journal: Mutex::default() }
    }

    /// What was written since the last time that this was asked.
    pub fn take(&self) -> Journal {
        std::mem::take(&mut self.journal.lock())
    }
}

impl Engine for Recording {
    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    fn commit(&self, batch: &TruthBatch) -> Result<(), CommitError> {
        self.inner.commit(batch)?;
        self.journal.lock().commits.push(batch.clone());
        Ok(())
    }

    fn is_poisoned(&self) -> bool {
        self.inner.is_poisoned()
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
        let copy = batch.clone();
        self.inner.derived_write(batch)?;
        let mut journal = self.journal.lock();
        let before = journal.commits.len();
        journal.derived.push((before, copy));
        Ok(())
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

    fn directory(&self) -> Option<&std::path::Path> {
        self.inner.directory()
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

    struct Recorded(Recording);

    impl Subject for Recorded {
        type Engine = Recording;

        fn open() -> Self {
            Recorded(Recording::new(Arc::new(MemoryEngine::new(64 << 20))))
        }

        fn engine(&self) -> &Recording {
            &self.0
        }
    }

    mod recorded {
        super::contract_tests!(super::Recorded);
    }

    #[test]
    fn what_is_refused_is_not_in_the_journal() {
        let engine = Recording::new(Arc::new(MemoryEngine::new(1 << 10)));
        let batch = |bytes: usize| {
            let mut batch = TruthBatch::new();
            batch.put(TruthFamily::Meta, [bytes as u8], vec![0; bytes]);
            batch
        };
        engine.commit(&batch(1)).unwrap();
        engine.commit(&batch(4096)).unwrap_err();
        let mut derived = DerivedBatch::new();
        derived.put(DerivedFamily::Meta, [1], vec![2]);
        engine.derived_write(derived.clone()).unwrap();
        engine.commit(&batch(2)).unwrap();
        let Journal { commits, derived } = engine.take();
        assert_eq!(commits, [batch(1), batch(2)]);
        assert_eq!(derived.iter().map(|(before, _)| *before).collect::<Vec<_>>(), [1]);
        assert!(engine.take().commits.is_empty());
    }
}
