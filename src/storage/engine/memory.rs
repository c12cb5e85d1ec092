//! The engine of a node that forgets: ordered maps within a byte bound. It never touches a file.

use std::collections::BTreeMap;
use std::ops::Bound;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{
    CommitError, DerivedBatch, DerivedFamily, Durability, Engine, Item, NoRoom, Resource,
    ScanLimit, StoreError, TruthBatch, TruthFamily, Usage,
};

type Map = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// A batch of derived data is a layer of many groups: so many of its changes are made before those who
/// wait for the lock have their turn.
const CHANGES_AT_ONCE: usize = 64;

/// An engine in memory, bounded in bytes.
///
/// It holds its callers to the contract more strictly than a disk does: a commit that gives a key of
/// append-only truth another value is refused.
#[derive(Debug)]
pub struct MemoryEngine {
    bytes_max: u64,
    /// One lock over everything, so that a commit becomes visible at once.
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    truth: [Map; TruthFamily::ALL.len()],
    derived: [Map; DerivedFamily::ALL.len()],
    /// Sum of [`MemoryEngine::item_bytes`] over the items of all maps.
    bytes: u64,
}

impl MemoryEngine {
    /// What an item costs beside its key and value: two fat pointers in a tree node that is half
    /// full at worst (64 bytes), and the allocator's share of two small allocations (32 bytes).
    pub const ITEM_OVERHEAD_BYTES: u64 = 96;

    /// An empty engine that holds at most `bytes_max`, overhead included.
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max, state: RwLock::default() }
    }

    /// What an item counts against the bound.
    pub const fn item_bytes(key_len: usize, value_len: usize) -> u64 {
        key_len as u64 + value_len as u64 + Self::ITEM_OVERHEAD_BYTES
    }

    /// The bytes that `batch` adds and those that it takes away. Exact, since derived data is mostly
    /// replaced: a batch that does not grow always fits. Nobody else changes derived data meanwhile.
    fn growth(&self, batch: &DerivedBatch) -> (u64, u64) {
        let (mut grows, mut shrinks) = (0, 0);
        let mut state = self.state.read();
        for (at, (family, key, value)) in batch.changes().enumerate() {
            if at % CHANGES_AT_ONCE == 0 {
                RwLockReadGuard::bump(&mut state);
            }
            let stored = state.derived[family.index()].get(key);
            shrinks += stored.map_or(0, |stored| Self::item_bytes(key.len(), stored.len()));
            grows += value.map_or(0, |value| Self::item_bytes(key.len(), value.len()));
        }
        (grows, shrinks)
    }

    fn check_room(&self, bytes_used: u64, bytes_needed: u64) -> Result<(), StoreError> {
        let bytes_free = self.bytes_max.saturating_sub(bytes_used);
        if bytes_needed > bytes_free {
            return Err(NoRoom { resource: Resource::Memory, bytes_needed, bytes_free }.into());
        }
        Ok(())
    }
}

impl Engine for MemoryEngine {
    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn commit(&self, batch: &TruthBatch) -> Result<(), CommitError> {
        let mut state = self.state.write();
        // Every check comes before the first change. A put is counted as if its key were new: only
        // the few keys of `meta` are ever put again.
        let needed = batch.puts().iter().map(|(_, k, v)| Self::item_bytes(k.len(), v.len())).sum();
        self.check_room(state.bytes, needed).map_err(CommitError::NotWritten)?;
        for (family, key, value) in batch.puts() {
            let stored = state.truth[family.index()].get(key.as_slice());
            if !family.is_mutable() && stored.is_some_and(|stored| **stored != **value) {
                let family = family.name();
                return Err(CommitError::NotWritten(StoreError::Overwrite { family }));
            }
        }
        for (family, key, value) in batch.puts() {
            state.put_truth(*family, key, value);
        }
        Ok(())
    }

    fn is_poisoned(&self) -> bool {
        false
    }

    fn truth_get(&self, family: TruthFamily, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state.read().truth[family.index()].get(key).map(|value| value.to_vec()))
    }

    fn truth_last_at_or_before(
        &self,
        family: TruthFamily,
        key: &[u8],
    ) -> Result<Option<Item>, StoreError> {
        let state = self.state.read();
        let up_to_key = (Bound::Unbounded, Bound::Included(key));
        let last = state.truth[family.index()].range::<[u8], _>(up_to_key).next_back();
        Ok(last.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }

    fn truth_scan(
        &self,
        family: TruthFamily,
        from: &[u8],
        limit: ScanLimit,
    ) -> Result<Vec<Item>, StoreError> {
        Ok(scan(&self.state.read().truth[family.index()], from, None, limit))
    }

    fn derived_get(
        &self,
        family: DerivedFamily,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state.read().derived[family.index()].get(key).map(|value| value.to_vec()))
    }

    fn derived_multi_get(
        &self,
        family: DerivedFamily,
        keys: &[&[u8]],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let state = self.state.read();
        let map = &state.derived[family.index()];
        Ok(keys.iter().map(|key| map.get(*key).map(|value| value.to_vec())).collect())
    }

    fn derived_scan(
        &self,
        family: DerivedFamily,
        from: &[u8],
        to: Option<&[u8]>,
        limit: ScanLimit,
    ) -> Result<Vec<Item>, StoreError> {
        Ok(scan(&self.state.read().derived[family.index()], from, to, limit))
    }

    fn derived_write(&self, mut batch: DerivedBatch) -> Result<(), StoreError> {
        batch.sort();
        let (grows, shrinks) = self.growth(&batch);
        let mut state = self.state.write();
        self.check_room(state.bytes, grows.saturating_sub(shrinks))?;
        // Before the changes, so that no commit between them takes their room.
        state.bytes = state.bytes + grows - shrinks;
        for (at, (family, key, value)) in batch.changes().enumerate() {
            if at % CHANGES_AT_ONCE == 0 {
                RwLockWriteGuard::bump(&mut state);
            }
            let map = &mut state.derived[family.index()];
            match value {
                Some(value) => drop(map.insert(key.into(), value.into())),
                None => drop(map.remove(key)),
            }
        }
        Ok(())
    }

    fn derived_flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn derived_wipe(&self) -> Result<(), StoreError> {
        let mut state = self.state.write();
        let emptied = std::mem::take(&mut state.derived);
        let items = emptied.iter().flatten();
        let bytes: u64 = items.map(|(key, value)| Self::item_bytes(key.len(), value.len())).sum();
        state.bytes -= bytes;
        Ok(())
    }

    fn derived_is_damaged(&self) -> bool {
        false
    }

    fn room(&self, bytes: u64) -> Result<(), StoreError> {
        self.check_room(self.state.read().bytes, bytes)
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        let bytes_used = self.state.read().bytes;
        Ok(Usage { bytes_used, bytes_total: self.bytes_max, bytes_own: bytes_used })
    }
}

impl State {
    fn put_truth(&mut self, family: TruthFamily, key: &[u8], value: &[u8]) {
        let replaced = self.truth[family.index()].insert(key.into(), value.into());
        self.bytes += MemoryEngine::item_bytes(key.len(), value.len());
        self.bytes -= replaced.map_or(0, |old| MemoryEngine::item_bytes(key.len(), old.len()));
    }
}

fn scan(map: &Map, from: &[u8], to: Option<&[u8]>, limit: ScanLimit) -> Vec<Item> {
    if to.is_some_and(|to| to <= from) {
        return Vec::new();
    }
    let mut items = Vec::new();
    let mut bytes = 0;
    let range = (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded));
    for (key, value) in map.range::<[u8], _>(range) {
        items.push((key.to_vec(), value.to_vec()));
        bytes += key.len() + value.len();
        if limit.reached(items.len(), bytes) {
            break;
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_room<T: std::fmt::Debug>(result: Result<T, StoreError>) -> NoRoom {
        match result {
            Err(StoreError::NoRoom(no_room)) => no_room,
            other => panic!("expected no room, got {other:?}"),
        }
    }

    #[test]
    fn the_bound_counts_truth_and_derived_and_refuses_whole_batches() {
        let item = MemoryEngine::item_bytes(1, 10);
        let engine = MemoryEngine::new(3 * item);
        let mut two = TruthBatch::new();
        two.put(TruthFamily::Blocks, "a", [0; 10]);
        two.put(TruthFamily::Blocks, "b", [0; 10]);
        engine.commit(&two).unwrap();

        let mut more = TruthBatch::new();
        more.put(TruthFamily::Blocks, "c", [0; 10]);
        more.put(TruthFamily::Blocks, "d", [0; 10]);
        let Err(CommitError::NotWritten(error)) = engine.commit(&more) else {
            panic!("a commit over the bound must be refused")
        };
        let expected =
            NoRoom { resource: Resource::Memory, bytes_needed: 2 * item, bytes_free: item };
        assert_eq!(no_room::<()>(Err(error)), expected);
        assert_eq!(engine.truth_get(TruthFamily::Blocks, b"c").unwrap(), None);
        engine.room(item).unwrap();
        no_room(engine.room(item + 1));

        let mut derived = DerivedBatch::new();
        derived.put(DerivedFamily::Ids, "x", [0; 10]);
        engine.derived_write(derived).unwrap();
        let mut derived = DerivedBatch::new();
        derived.put(DerivedFamily::Ids, "x", [1; 10]);
        derived.put(DerivedFamily::Ids, "y", [0; 10]);
        assert_eq!(no_room(engine.derived_write(derived)).bytes_needed, item);
        let x = engine.derived_get(DerivedFamily::Ids, b"x").unwrap();
        assert_eq!(x, Some(vec![0; 10]), "a refused batch changes nothing");
    }

    #[test]
    fn a_full_engine_still_replaces_and_deletes_derived_data() {
        let engine = MemoryEngine::new(MemoryEngine::item_bytes(1, 10));
        for value in [[1; 10], [2; 10]] {
            let mut batch = DerivedBatch::new();
            batch.put(DerivedFamily::Accounts, "x", value);
            engine.derived_write(batch).unwrap();
        }
        let mut swap = DerivedBatch::new();
        swap.delete(DerivedFamily::Accounts, "x");
        swap.put(DerivedFamily::Supply, "y", [3; 10]);
        engine.derived_write(swap).unwrap();
        assert_eq!(engine.usage().unwrap().fraction(), 1.0);
        engine.derived_wipe().unwrap();
        assert_eq!(engine.usage().unwrap().bytes_used, 0);
    }

    #[test]
    fn who_waits_has_its_turn_in_the_middle_of_a_large_batch() {
        const IDS: u32 = 50_000;
        let engine = MemoryEngine::new(1 << 30);
        let has =
            |id: u32| engine.derived_get(DerivedFamily::Ids, &id.to_be_bytes()).unwrap().is_some();
        // A batch in one hold of the lock has its last id as soon as it has its first. Some rounds, since this
        // thread may lose its core between the two questions.
        let is_seen_half_done = |round: u32| {
            let mut batch = DerivedBatch::new();
            let (first, last) = (round * IDS, round * IDS + IDS - 1);
            (first..=last).for_each(|id| batch.put(DerivedFamily::Ids, id.to_be_bytes(), [0; 10]));
            std::thread::scope(|scope| {
                scope.spawn(|| engine.derived_write(batch).unwrap());
                while !has(first) {
                    std::thread::yield_now();
                }
                !has(last)
            })
        };
        assert!((0..20).any(is_seen_half_done), "readers wait for all of a batch");
    }

    #[test]
    fn accounting_follows_replaced_truth() {
        let engine = MemoryEngine::new(1 << 20);
        for len in [5, 300, 20] {
            let mut batch = TruthBatch::new();
            batch.put(TruthFamily::Meta, "head", vec![7; len]);
            engine.commit(&batch).unwrap();
            assert_eq!(engine.usage().unwrap().bytes_used, MemoryEngine::item_bytes(4, len));
        }
    }

    #[test]
    fn another_value_for_a_key_of_truth_is_refused_and_the_same_is_not() {
        let engine = MemoryEngine::new(1 << 20);
        for (family, value, refused) in [
            (TruthFamily::Blocks, "one", false),
            (TruthFamily::Blocks, "one", false),
            (TruthFamily::Blocks, "two", true),
            (TruthFamily::Meta, "one", false),
            (TruthFamily::Meta, "two", false),
        ] {
            let mut batch = TruthBatch::new();
            batch.put(TruthFamily::Roots, value, "a mate in the batch");
            batch.put(family, "key", value);
            let result = engine.commit(&batch);
            assert_eq!(result.is_err(), refused, "{family:?} {value} {result:?}");
        }
        let mate = engine.truth_get(TruthFamily::Roots, b"two").unwrap();
        assert!(mate.is_some(), "written by the batch that put it into meta");
    }
}
