//! An engine that fails on order, and the crash of a disk that keeps only what was flushed.
//!
//! Faults are planned by kind and count, so that a run is reproducible. Each kind says what is on
//! disk afterwards, since that is what recovery has to cope with.

use parking_lot::Mutex;

use super::{
    CommitError, DerivedBatch, DerivedFamily, Durability, Engine, Figures, Item, ScanLimit,
    StoreError, TruthBatch, TruthFamily, Usage,
};

/// A fault, by the operation that it strikes and what the disk holds afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A commit fails before it writes.
    CommitNotWritten,
    /// A commit fails with an unknown outcome; the batch is there.
    CommitUnknownKept,
    /// A commit fails with an unknown outcome; the batch is not there.
    CommitUnknownLost,
    /// A commit panics before it writes.
    CommitPanicBefore,
    /// A commit panics after the batch is there.
    CommitPanicAfter,
    /// A read of truth fails.
    TruthRead,
    /// A read of derived data fails.
    DerivedRead,
    /// A read of derived data finds it damaged, and damaged it is until it is wiped.
    DerivedDamage,
    /// A write of derived data fails; the batch is not there.
    DerivedWrite,
    /// A flush of derived data fails; nothing is flushed.
    DerivedFlush,
}

impl Fault {
    fn operation(self) -> Operation {
        match self {
            Fault::CommitNotWritten
            | Fault::CommitUnknownKept
            | Fault::CommitUnknownLost
            | Fault::CommitPanicBefore
            | Fault::CommitPanicAfter => Operation::Commit,
            Fault::TruthRead => Operation::TruthRead,
            Fault::DerivedRead | Fault::DerivedDamage => Operation::DerivedRead,
            Fault::DerivedWrite => Operation::DerivedWrite,
            Fault::DerivedFlush => Operation::DerivedFlush,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Commit,
    TruthRead,
    DerivedRead,
    DerivedWrite,
    DerivedFlush,
}

/// An engine around another one, with faults that are planned and a crash that can be called.
#[derive(Debug)]
pub struct Faulty<E> {
    inner: E,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    poisoned: bool,
    damaged: bool,
    behind: Option<u8>,
    plan: Vec<Planned>,
    /// For each batch of derived data since the last flush: what undoes it, oldest first.
    unflushed: Vec<DerivedBatch>,
}

#[derive(Debug)]
struct Planned {
    fault: Fault,
    /// Operations of the fault's kind that still pass before it strikes.
    skip: u64,
    /// Operations that it then strikes.
    times: u64,
}

impl<E: Engine> Faulty<E> {
    /// Wraps `inner`; until a fault is planned it behaves like it.
    pub fn new(inner: E) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Plans `fault` for `times` operations of its kind, after `skip` more of them have passed. The
    /// plan made first strikes first where two meet.
    pub fn plan(&self, fault: Fault, skip: u64, times: u64) {
        self.state.lock().plan.push(Planned { fault, skip, times });
    }

    /// Plans `fault` for the next operation of its kind.
    pub fn plan_next(&self, fault: Fault) {
        self.plan(fault, 0, 1);
    }

    /// Tells that merges are so far behind, in hundredths, whatever the wrapped engine says.
    pub fn fall_behind(&self, percent: u8) {
        self.state.lock().behind = Some(percent);
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        self.state.lock().plan.clear();
    }

    /// Batches of derived data that were written since the last flush.
    pub fn unflushed_batches(&self) -> usize {
        self.state.lock().unflushed.len()
    }

    /// What a crash and a new start leave: truth as it is, the writer no longer poisoned, and of the
    /// derived batches since the last flush the oldest `batches_kept`, which then count as flushed.
    /// Planned faults stay planned.
    ///
    /// # Errors
    /// When the wrapped engine refuses.
    pub fn crash(&self, batches_kept: usize) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        while state.unflushed.len() > batches_kept {
            let undo = state.unflushed.pop().expect("longer than a number that is not negative");
            self.inner.derived_write(undo)?;
        }
        state.unflushed.clear();
        state.poisoned = false;
        Ok(())
    }

    /// The wrapped engine.
    pub fn inner(&self) -> &E {
        &self.inner
    }

    fn strike(&self, operation: Operation) -> Option<Fault> {
        self.state.lock().strike(operation)
    }

    fn truth_fault(&self) -> Result<(), StoreError> {
        self.strike(Operation::TruthRead).map_or(Ok(()), |_| Err(planned("read")))
    }

    fn derived_fault(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        match state.strike(Operation::DerivedRead) {
            None => Ok(()),
            Some(Fault::DerivedDamage) => {
                state.damaged = true;
                Err(StoreError::DerivedDamaged("planned fault".into()))
            }
            Some(_) => Err(planned("read")),
        }
    }

    /// What `batch` would have to be followed by to leave no trace.
    fn undo_of(&self, batch: &DerivedBatch) -> Result<DerivedBatch, StoreError> {
        let mut undo = DerivedBatch::new();
        for (family, key, _) in batch.changes() {
            match self.inner.derived_get(family, key)? {
                Some(value) => undo.put(family, key, value),
                None => undo.delete(family, key),
            }
        }
        Ok(undo)
    }
}

impl State {
    /// Counts one operation and returns the fault that strikes it.
    fn strike(&mut self, operation: Operation) -> Option<Fault> {
        let mut struck = None;
        for planned in self.plan.iter_mut().filter(|p| p.fault.operation() == operation) {
            if planned.skip > 0 {
                planned.skip -= 1;
            } else if struck.is_none() && planned.times > 0 {
                planned.times -= 1;
                struck = Some(planned.fault);
            }
        }
        self.plan.retain(|planned| planned.times > 0);
        struck
    }
}

impl<E: Engine> Engine for Faulty<E> {
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
        let struck = {
            let mut state = self.state.lock();
            if state.poisoned {
                return Err(CommitError::Unknown(StoreError::Poisoned));
            }
            state.strike(Operation::Commit)
        };
        let fault = match struck {
            None => return self.inner.commit(batch),
            Some(Fault::CommitNotWritten) => return Err(CommitError::NotWritten(planned("write"))),
            Some(fault) => fault,
        };
        if matches!(fault, Fault::CommitUnknownKept | Fault::CommitPanicAfter) {
            self.inner.commit(batch)?;
        }
        self.state.lock().poisoned = true;
        if matches!(fault, Fault::CommitPanicBefore | Fault::CommitPanicAfter) {
            panic!("planned panic in a commit");
        }
        Err(CommitError::Unknown(planned("fsync")))
    }

    fn is_poisoned(&self) -> bool {
        self.state.lock().poisoned || self.inner.is_poisoned()
    }

    fn truth_get(&self, family: TruthFamily, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.truth_fault()?;
        self.inner.truth_get(family, key)
    }

    fn truth_last_at_or_before(
        &self,
        family: TruthFamily,
        key: &[u8],
    ) -> Result<Option<Item>, StoreError> {
        self.truth_fault()?;
        self.inner.truth_last_at_or_before(family, key)
    }

    fn truth_scan(
        &self,
        family: TruthFamily,
        from: &[u8],
        limit: ScanLimit,
    ) -> Result<Vec<Item>, StoreError> {
        self.truth_fault()?;
        self.inner.truth_scan(family, from, limit)
    }

    fn derived_get(
        &self,
        family: DerivedFamily,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.derived_fault()?;
        self.inner.derived_get(family, key)
    }

    fn derived_multi_get(
        &self,
        family: DerivedFamily,
        keys: &[&[u8]],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.derived_fault()?;
        self.inner.derived_multi_get(family, keys)
    }

    fn derived_scan(
        &self,
        family: DerivedFamily,
        from: &[u8],
        to: Option<&[u8]>,
        limit: ScanLimit,
    ) -> Result<Vec<Item>, StoreError> {
        self.derived_fault()?;
        self.inner.derived_scan(family, from, to, limit)
    }

    fn derived_write(&self, batch: DerivedBatch) -> Result<(), StoreError> {
        // Held to the end: the order of the undo list must be the order of the writes.
        let mut state = self.state.lock();
        if state.strike(Operation::DerivedWrite).is_some() {
            return Err(planned("write"));
        }
        let undo = self.undo_of(&batch)?;
        self.inner.derived_write(batch)?;
        state.unflushed.push(undo);
        Ok(())
    }

    fn derived_flush(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if state.strike(Operation::DerivedFlush).is_some() {
            return Err(planned("flush"));
        }
        self.inner.derived_flush()?;
        state.unflushed.clear();
        Ok(())
    }

    fn derived_behind(&self) -> u8 {
        self.state.lock().behind.unwrap_or_else(|| self.inner.derived_behind())
    }

    fn derived_wipe(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        self.inner.derived_wipe()?;
        state.unflushed.clear();
        state.damaged = false;
        Ok(())
    }

    fn derived_is_damaged(&self) -> bool {
        self.state.lock().damaged || self.inner.derived_is_damaged()
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

fn planned(verb: &'static str) -> StoreError {
    StoreError::Backend { verb, message: "planned fault".into() }
}

#[cfg(test)]
mod tests;
