//! A simulated engine: a disk with a page cache, whose crashes keep what a real one would keep.
//!
//! It tells apart what a real store tells apart: a write that was fsynced, one that lies in the page
//! cache (lost with the power, kept over a death of the process), and one that lies in the process's
//! memory (lost with either). Faults are planned one at a time, by whoever runs the simulation.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::{
    CommitError, DerivedBatch, DerivedFamily, Durability, Engine, Item, NoRoom, Resource,
    ScanLimit, StoreError, TruthBatch, TruthFamily, Usage,
};

/// What happens to the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextCommit {
    /// It is written and fsynced.
    Good,
    /// Refused before the write, for want of room.
    NoRoom,
    /// Written, and the fsync fails: visible, and in the page cache alone.
    FsyncFails,
    /// Not written whole: nothing of it is visible, and its remains are no record.
    Torn,
    /// The process panics before anything is written.
    PanicBefore,
    /// The process panics after the fsync.
    PanicAfter,
}

/// Which derived operation fails next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextDerived {
    /// A write, which leaves nothing.
    WriteFails,
    /// A flush, which flushes nothing.
    FlushFails,
}

type Key = (u8, Vec<u8>);

/// What brings one batch's keys back to what they were.
type Undo = Vec<(Key, Option<Vec<u8>>)>;

#[derive(Default)]
struct Disk {
    truth: BTreeMap<Key, Vec<u8>>,
    derived: BTreeMap<Key, Vec<u8>>,
    /// Truth that no fsync has covered, oldest first.
    unsynced: Vec<Undo>,
    /// Derived batches since the last flush, oldest first.
    unflushed: Vec<Undo>,
    /// Records whose checksum no longer fits.
    damaged: Vec<Key>,
    poisoned: bool,
    next_commit: Option<NextCommit>,
    next_derived: Option<NextDerived>,
    /// Reads that still succeed; `None`: all.
    reads_left: Option<u64>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct SimEngine(Mutex<Disk>);

impl SimEngine {
    pub(crate) fn plan_commit(&self, next: NextCommit) {
        self.0.lock().next_commit = Some(next);
    }

    pub(crate) fn plan_derived(&self, next: NextDerived) {
        self.0.lock().next_derived = Some(next);
    }

    /// The next `reads` reads succeed and all after them fail; `None`: all succeed again.
    pub(crate) fn plan_reads(&self, reads: Option<u64>) {
        self.0.lock().reads_left = reads;
    }

    /// The process died: its memory is gone, the page cache is not. Of the derived batches that were
    /// not flushed the first `kept` are there, since a background flush may have taken them.
    pub(crate) fn kill(&self, kept: usize) {
        let mut disk = self.0.lock();
        let Disk { derived, unflushed, .. } = &mut *disk;
        roll_back(derived, unflushed, kept);
        disk.restarted();
    }

    /// The power failed: also what was not fsynced is gone, but for the first `truth_kept` commits,
    /// which the disk may have got to.
    pub(crate) fn lose_power(&self, truth_kept: usize, derived_kept: usize) {
        let mut disk = self.0.lock();
        let Disk { truth, derived, unsynced, unflushed, .. } = &mut *disk;
        roll_back(truth, unsynced, truth_kept);
        roll_back(derived, unflushed, derived_kept);
        disk.restarted();
    }

    /// Commits that are visible and were not fsynced.
    pub(crate) fn unsynced(&self) -> usize {
        self.0.lock().unsynced.len()
    }

    /// Derived batches that were not flushed.
    pub(crate) fn unflushed(&self) -> usize {
        self.0.lock().unflushed.len()
    }

    /// A bit of the `at`-th record of truth flips: from now on it fails its checksum.
    pub(crate) fn damage_truth(&self, at: usize) -> bool {
        let mut disk = self.0.lock();
        let key = disk.truth.keys().nth(at).cloned();
        disk.damaged.extend(key.clone());
        key.is_some()
    }
}

/// Takes back all but the oldest `kept`, newest first.
fn roll_back(map: &mut BTreeMap<Key, Vec<u8>>, undo: &mut Vec<Undo>, kept: usize) {
    while undo.len() > kept {
        for (key, before) in undo.pop().into_iter().flatten() {
            match before {
                Some(value) => _ = map.insert(key, value),
                None => _ = map.remove(&key),
            }
        }
    }
    undo.clear();
}

impl Disk {
    fn restarted(&mut self) {
        (self.poisoned, self.next_commit, self.next_derived) = (false, None, None);
    }

    fn read(&mut self, keys: &[&Key]) -> Result<(), StoreError> {
        if let Some(left) = &mut self.reads_left {
            *left = left.checked_sub(1).ok_or_else(|| failed("read"))?;
        }
        match keys.iter().any(|key| self.damaged.contains(key)) {
            true => Err(failed("read a block with a wrong checksum of")),
            false => Ok(()),
        }
    }

    fn get(&mut self, truth: bool, key: Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(&[&key])?;
        let map = if truth { &self.truth } else { &self.derived };
        Ok(map.get(&key).cloned())
    }

    fn put_truth(&mut self, batch: &TruthBatch) {
        let mut undo = Undo::new();
        for (family, key, value) in batch.puts() {
            let key = (*family as u8, key.clone());
            let before = self.truth.insert(key.clone(), value.clone());
            undo.push((key, before));
        }
        undo.reverse();
        self.unsynced.push(undo);
    }
}

fn failed(verb: &'static str) -> StoreError {
    StoreError::Backend { verb, message: "simulated fault".into() }
}

fn scan(
    map: &BTreeMap<Key, Vec<u8>>,
    family: u8,
    from: &[u8],
    to: Option<&[u8]>,
    limit: ScanLimit,
) -> Vec<Item> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    for ((of, key), value) in map.range((family, from.to_vec())..) {
        if *of != family || to.is_some_and(|to| key.as_slice() >= to) {
            break;
        }
        bytes += key.len() + value.len();
        found.push((key.clone(), value.clone()));
        if limit.reached(found.len(), bytes) {
            break;
        }
    }
    found
}

impl Engine for SimEngine {
    fn durability(&self) -> Durability {
        Durability::Fsync
    }

    fn commit(&self, batch: &TruthBatch) -> Result<(), CommitError> {
        let mut disk = self.0.lock();
        if disk.poisoned {
            return Err(CommitError::Unknown(StoreError::Poisoned));
        }
        match disk.next_commit.take().unwrap_or(NextCommit::Good) {
            NextCommit::Good => {
                disk.put_truth(batch);
                // An fsync covers all that was written to the log before it.
                disk.unsynced.clear();
                Ok(())
            }
            NextCommit::NoRoom => {
                let (bytes_needed, bytes_free) = (batch.bytes(), 0);
                let short = NoRoom { resource: Resource::Disk, bytes_needed, bytes_free };
                Err(CommitError::NotWritten(short.into()))
            }
            NextCommit::FsyncFails => {
                disk.put_truth(batch);
                disk.poisoned = true;
                Err(CommitError::Unknown(failed("fsync")))
            }
            NextCommit::Torn => {
                disk.poisoned = true;
                Err(CommitError::Unknown(failed("write")))
            }
            NextCommit::PanicBefore => {
                disk.poisoned = true;
                drop(disk);
                panic!("simulated panic before the write");
            }
            NextCommit::PanicAfter => {
                disk.put_truth(batch);
                disk.unsynced.clear();
                // As after any panic in here: nobody knows how far it came.
                disk.poisoned = true;
                drop(disk);
                panic!("simulated panic after the write");
            }
        }
    }

    fn is_poisoned(&self) -> bool {
        self.0.lock().poisoned
    }

    fn truth_get(&self, family: TruthFamily, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.lock().get(true, (family as u8, key.to_vec()))
    }

    fn truth_last_at_or_before(
        &self,
        family: TruthFamily,
        key: &[u8],
    ) -> Result<Option<Item>, StoreError> {
        let mut disk = self.0.lock();
        let family = family as u8;
        let range = (family, Vec::new())..=(family, key.to_vec());
        let last = disk.truth.range(range).next_back();
        let last = last.map(|(key, value)| (key.clone(), value.clone()));
        let asked: Vec<&Key> = last.iter().map(|(key, _)| key).collect();
        disk.read(&asked)?;
        Ok(last.map(|((_, key), value)| (key, value)))
    }

    fn truth_scan(
        &self,
        family: TruthFamily,
        from: &[u8],
        limit: ScanLimit,
    ) -> Result<Vec<Item>, StoreError> {
        let mut disk = self.0.lock();
        let found = scan(&disk.truth, family as u8, from, None, limit);
        let keys: Vec<Key> = found.iter().map(|(key, _)| (family as u8, key.clone())).collect();
        disk.read(&keys.iter().collect::<Vec<_>>())?;
        Ok(found)
    }

    fn derived_get(
        &self,
        family: DerivedFamily,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.lock().get(false, (family as u8, key.to_vec()))
    }

    fn derived_multi_get(
        &self,
        family: DerivedFamily,
        keys: &[&[u8]],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut disk = self.0.lock();
        keys.iter().map(|key| disk.get(false, (family as u8, key.to_vec()))).collect()
    }

    fn derived_scan(
        &self,
        family: DerivedFamily,
        from: &[u8],
        to: Option<&[u8]>,
        limit: ScanLimit,
    ) -> Result<Vec<Item>, StoreError> {
        let mut disk = self.0.lock();
        disk.read(&[])?;
        Ok(scan(&disk.derived, family as u8, from, to, limit))
    }

    fn derived_write(&self, batch: DerivedBatch) -> Result<(), StoreError> {
        let mut disk = self.0.lock();
        if disk.next_derived == Some(NextDerived::WriteFails) {
            disk.next_derived = None;
            return Err(failed("write"));
        }
        let mut undo = Undo::new();
        for (family, key, value) in batch.changes() {
            let key = (family as u8, key.to_vec());
            let before = match value {
                Some(value) => disk.derived.insert(key.clone(), value.to_vec()),
                None => disk.derived.remove(&key),
            };
            undo.push((key, before));
        }
        undo.reverse();
        disk.unflushed.push(undo);
        Ok(())
    }

    fn derived_flush(&self) -> Result<(), StoreError> {
        let mut disk = self.0.lock();
        if disk.next_derived == Some(NextDerived::FlushFails) {
            disk.next_derived = None;
            return Err(failed("flush"));
        }
        disk.unflushed.clear();
        Ok(())
    }

    fn derived_wipe(&self) -> Result<(), StoreError> {
        let mut disk = self.0.lock();
        disk.derived.clear();
        disk.unflushed.clear();
        Ok(())
    }

    fn derived_is_damaged(&self) -> bool {
        false
    }

    fn room(&self, bytes: u64) -> Result<(), StoreError> {
        let bytes_free = u64::MAX >> 1;
        match bytes > bytes_free {
            false => Ok(()),
            true => {
                let resource = Resource::Disk;
                Err(NoRoom { resource, bytes_needed: bytes, bytes_free }.into())
            }
        }
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        let disk = self.0.lock();
        let size = |(key, value): (&Key, &Vec<u8>)| (key.1.len() + value.len()) as u64;
        let bytes_own = disk.truth.iter().chain(&disk.derived).map(size).sum();
        Ok(Usage { bytes_used: bytes_own, bytes_total: u64::MAX, bytes_own })
    }
}

mod tests {
    use super::super::contract::{Subject, Survives, contract_tests, survival_tests};
    use super::*;

    /// A process that dies and is started again.
    struct Killed(SimEngine);

    impl Subject for Killed {
        type Engine = SimEngine;

        fn open() -> Self {
            Self(SimEngine::default())
        }

        fn engine(&self) -> &SimEngine {
            &self.0
        }
    }

    impl Survives for Killed {
        fn reopen(self) -> Self {
            self.0.derived_flush().unwrap();
            self
        }

        fn crash(self) -> Self {
            self.0.kill(1);
            self
        }
    }

    mod killed {
        super::contract_tests!(super::Killed);
        super::survival_tests!(super::Killed);
    }

    /// A machine that loses its power.
    struct PoweredOff(SimEngine);

    impl Subject for PoweredOff {
        type Engine = SimEngine;

        fn open() -> Self {
            Self(SimEngine::default())
        }

        fn engine(&self) -> &SimEngine {
            &self.0
        }
    }

    impl Survives for PoweredOff {
        fn reopen(self) -> Self {
            self.0.derived_flush().unwrap();
            self
        }

        fn crash(self) -> Self {
            self.0.lose_power(0, 2);
            self
        }
    }

    mod powered_off {
        super::survival_tests!(super::PoweredOff);
    }

    #[test]
    fn only_what_was_fsynced_outlives_the_power() {
        let engine = SimEngine::default();
        let put = |key: &str| {
            let mut batch = TruthBatch::new();
            batch.put(TruthFamily::Blocks, key, "value");
            engine.commit(&batch).is_ok()
        };
        let is_there =
            |key: &str| engine.truth_get(TruthFamily::Blocks, key.as_bytes()).unwrap().is_some();
        assert!(put("a"));
        engine.plan_commit(NextCommit::FsyncFails);
        assert!(!put("b") && is_there("b") && !put("c") && engine.is_poisoned());
        engine.kill(0);
        assert!(is_there("b") && engine.unsynced() == 1, "the page cache outlives the process");
        engine.lose_power(0, 0);
        assert!(is_there("a") && !is_there("b"));
        engine.plan_commit(NextCommit::FsyncFails);
        assert!(!put("b"));
        engine.kill(0);
        // The next fsync covers it.
        assert!(put("c"));
        engine.lose_power(0, 0);
        assert!(is_there("b") && is_there("c"));
    }
}
