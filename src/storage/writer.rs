//! The one way to change the ledger. A group goes through it in three calls, so that whoever drives
//! it says what a crash between two of them means: [`Writer::prepare`] (reads, decides, hashes;
//! nothing has changed), [`Writer::write`] (the commit point), [`Writer::apply`] (cannot fail).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::block::{BlockBuilder, Fresh, framed_bytes};
use super::codec::{self, Head};
use super::engine::{
    CommitError, Durability, NoRoom, Resource, StoreError, TruthBatch, TruthFamily,
};
use super::error::ReadError;
use super::flusher::Flusher;
use super::groups::CommitGroup;
use super::overlay::Layer;
use super::pace;
use super::seen::Seen;
use super::view::Shared;
use crate::accumulator::{Hash, TileId, Tiles};
use crate::ledger::entry::{Entry, EntryId, Millis, Seq};
use crate::ledger::idempotency::IdemDigest;
use crate::ledger::names::{AccountKey, Asset};
use crate::ledger::plan::{Group, Plan, plan};
use crate::ledger::prefetch::{Source, prefetch};
use crate::ledger::state::{Account, Hold, IdRecord, Supply};

/// The key of the head in truth's meta family.
pub(super) const HEAD: &[u8] = b"head";

/// What one entry may cost beyond its canonical form: its share of a block, its ids and tuples in
/// the indexes, its accounts, hold and tiles, with the memory engine's overhead for each.
const ENTRY_COST_BYTES: u64 = 1536;

/// The largest layer of an engine in memory, in entries.
const FLUSH_IN_MEMORY_MAX: u64 = 50_000;

/// How long a follower waits for derived data to catch up.
const FOLLOW_WAIT: Duration = Duration::from_secs(60);

/// Proof that a value is fsynced, or as durable as the engine makes it. Only the store makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable<T>(T);

impl<T: Copy> Durable<T> {
    /// The value.
    pub fn get(&self) -> T {
        self.0
    }

    pub(super) fn new(value: T) -> Self {
        Durable(value)
    }
}

/// Proof that a group is past the commit point and waits to be applied.
#[must_use = "a written group must be applied, or memory and disk part company"]
pub struct Written(());

/// A group that was decided and hashed; nothing has changed yet.
pub struct Prepared {
    /// What becomes of the entries.
    pub plan: Plan,
    head: Head,
    tiles: Tiles,
    touched: Vec<(TileId, Vec<u8>)>,
    pub(super) block: Fresh,
}

impl Prepared {
    /// Nothing to write: all entries were refused or replayed, and no hold was due.
    pub fn is_empty(&self) -> bool {
        self.plan.entries_count() == 0
    }

    /// Of its entries' canonical forms together, while it is not written.
    pub(super) fn canonical_bytes(&self) -> u64 {
        framed_bytes(&self.block.bytes, self.plan.entries_count())
    }

    /// The root after the group.
    pub fn root(&self) -> Hash {
        self.head.root
    }
}

/// How far derived data may lag, in entries.
#[derive(Clone, Copy, Debug)]
pub struct Lag {
    /// A layer of so many is flushed.
    pub flush: u64,
    /// With so many not flushed, writes wait.
    pub max: u64,
}

impl Lag {
    /// On disk a large layer pays: each flush makes a file of each family, which is compacted. In memory
    /// it would only be taken off what the ledger may grow to.
    pub(super) fn of(self, durability: Durability) -> Self {
        match durability {
            Durability::Memory => Lag { flush: self.flush.min(FLUSH_IN_MEMORY_MAX), ..self },
            _ => self,
        }
    }
}

/// The only owner of the right to write. Not `Clone`, by intent.
pub struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) tiles: Tiles,
    pub(super) seen: Option<Seen>,
    pub(super) flusher: Option<Flusher>,
    pub(super) lag: Lag,
}

impl Writer {
    /// The end of the log.
    pub fn head(&self) -> Durable<Head> {
        Durable::new(self.shared.head())
    }

    /// The time for a group, given the wall clock: time never goes back.
    pub fn next_time(&self, wall: Millis) -> Millis {
        wall.max(self.shared.head().time)
    }

    /// What the never-seen filter takes in memory.
    pub fn filter_bytes(&self) -> u64 {
        self.seen.as_ref().map_or(0, |seen| seen.filter.size_bytes())
    }

    /// Makes sure that `entries` more fit: on the engine, and within the bound of the lag, for which
    /// it waits until `deadline`.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`]; nothing was changed.
    pub fn make_room(&mut self, entries: u64, deadline: Instant) -> Result<(), StoreError> {
        // A layer that filled up behind another waits for the next group; if that group is refused
        // for want of room, there is none after it.
        self.flush_when_full();
        let lag = || self.shared.overlay.read().lag();
        if lag().saturating_add(entries) > self.lag.max {
            let fits = || lag().saturating_add(entries) <= self.lag.max;
            let waited = self.flusher.as_ref().is_some_and(|flusher| flusher.wait(deadline, fits));
            if !waited {
                return Err(StoreError::NoRoom(NoRoom {
                    resource: Resource::DerivedLag,
                    bytes_needed: entries.saturating_mul(ENTRY_COST_BYTES),
                    bytes_free: 0,
                }));
            }
        }
        let unflushed = lag().saturating_add(entries);
        self.shared.engine.room(unflushed.saturating_mul(ENTRY_COST_BYTES))
    }

    /// How long to rest after so much work, so that flushes and merges keep up: see the pace.
    pub fn rest_after(&self, work: Duration) -> Duration {
        let merges = self.shared.behind.load(Ordering::Relaxed);
        let flushes = pace::flushes_behind(self.shared.overlay.read().lag(), self.lag);
        pace::rest_after(work, merges.max(flushes))
    }

    /// Reads, plans, encodes and hashes. Changes nothing: a crash here leaves no trace.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    pub fn prepare(&self, group: &Group<'_>) -> Result<Prepared, ReadError> {
        // Whoever found it, a reader or the flusher: nothing more is decided by what is left of it.
        if self.shared.engine.derived_is_damaged() {
            let found = "found while it was in use".into();
            return Err(StoreError::DerivedDamaged(found).into());
        }
        let head = self.shared.head();
        // A number is assigned where the tree ends, and the log with it: else one would be left out.
        if self.tiles.size() != head.seq {
            return Err(self.shared.miss(self.tiles.size().min(head.seq) + 1));
        }
        let facts = prefetch(self, group)?;
        let plan = plan(head.seq, facts, group);
        let mut block = BlockBuilder::new(group.now, plan.entries_count());
        let mut tiles = self.tiles.clone();
        let algo = tiles.algo();
        let leaves = plan
            .entries(group.requests)
            .map(|(seq, linked, entry)| algo.leaf(block.push(seq, linked, entry)));
        let touched = tiles.append(leaves);
        let head = Head { seq: tiles.size(), root: tiles.root(), time: group.now };
        let (bytes, starts) = block.into_parts();
        Ok(Prepared { plan, head, tiles, touched, block: Fresh { bytes, starts } })
    }

    /// The commit point: one atomic batch, fsynced when this returns `Ok`. A crash inside of it
    /// leaves all of the group or nothing.
    ///
    /// # Errors
    /// [`CommitError`], sorted by what is then known of the disk.
    pub fn write(&mut self, prepared: &mut Prepared) -> Result<Written, CommitError> {
        let block = std::mem::take(&mut prepared.block.bytes);
        let batch = truth_batch(prepared.plan.first_seq, block, &prepared.head);
        self.shared.engine.commit(&batch)?;
        // It was lent.
        prepared.block.bytes = batch.into_value();
        Ok(Written(()))
    }

    /// Makes memory agree with the disk. A crash before this is as one right after the write: the
    /// group is there, and recovery applies it.
    pub fn apply(&mut self, prepared: Prepared, written: Written) -> Durable<Head> {
        let Written(()) = written;
        self.absorb(prepared)
    }

    /// Takes in a group that was planned again, and adds it to `batch`; nothing is flushed before
    /// [`Writer::commit_followed`], so that derived data never goes beyond truth.
    pub(super) fn follow(
        &mut self,
        prepared: Prepared,
        group: &CommitGroup,
        batch: &mut TruthBatch,
    ) {
        put_group(batch, group.first, group.block.clone(), &prepared.head);
        self.take_in(prepared);
    }

    /// Writes what [`Writer::follow`] has collected.
    pub(super) fn commit_followed(&mut self, batch: &TruthBatch) -> Result<(), CommitError> {
        if !batch.puts().is_empty() {
            self.shared.engine.commit(batch)?;
        }
        // The bound of the lag holds here too: whoever hands over waits for the flush.
        let deadline = Instant::now() + FOLLOW_WAIT;
        self.make_room(0, deadline).map_err(CommitError::NotWritten)
    }

    pub(super) fn absorb(&mut self, prepared: Prepared) -> Durable<Head> {
        let head = self.take_in(prepared);
        self.flush_when_full();
        head
    }

    fn take_in(&mut self, prepared: Prepared) -> Durable<Head> {
        let Prepared { plan, head, tiles, touched, block } = prepared;
        let entries = plan.entries_count() as u64;
        if let Some(seen) = &mut self.seen {
            // Nobody asked for the ids that the ledger has made; it knows all others since the prefetch.
            plan.expired.iter().for_each(|entry| _ = seen.filter.insert(entry.id.as_bytes()));
            seen.count(entries);
        }
        self.tiles = tiles;
        let mut overlay = self.shared.overlay.write();
        overlay.active.take_in(plan.delta, touched, block, entries);
        overlay.head = head;
        drop(overlay);
        Durable::new(head)
    }

    /// Hands the layer over that is full, unless another one is on its way. Each group does so; where none
    /// comes any more, somebody has to.
    pub fn flush_when_full(&mut self) {
        let is_full = self.shared.overlay.read().active.entries >= self.lag.flush;
        if is_full
            && let Some(layer) = self.freeze(false)
            && let Some(flusher) = &self.flusher
        {
            flusher.send(layer);
        }
    }

    /// Takes what is not flushed, if nothing is on its way; with the filter, when the saved one lacks enough, or
    /// when `all` is to be saved, be there nothing else.
    pub(super) fn freeze(&mut self, all: bool) -> Option<Arc<Layer>> {
        let is_on_its_way = self.shared.overlay.read().frozen.is_some();
        if is_on_its_way {
            return None;
        }
        let head = self.shared.head().seq;
        let lasts = self.shared.durability() != Durability::Memory;
        // The layer before this one is flushed, and the filter with it.
        let filter = self.seen.as_mut().filter(|_| lasts).and_then(|seen| seen.share(head, all));
        // Only this thread adds to the active layer, so that it is as it was.
        self.shared.overlay.write().freeze(filter)
    }

    /// Flushes derived data as far as it goes, for a quick next start. Returns whether all of it is
    /// flushed at the deadline; what is not will be replayed.
    pub fn settle(&mut self, deadline: Instant) -> bool {
        let Some(flusher) = self.flusher.take() else { return false };
        let settled = flusher.wait(deadline, || {
            if let Some(layer) = self.freeze(true) {
                flusher.send(layer);
            }
            self.shared.overlay.read().is_flushed()
        });
        self.flusher = Some(flusher);
        settled
    }

    /// The filter takes the key in at the same touch: what it comes to know of a group that is then refused
    /// costs a look-up when the key comes again.
    fn unseen(&self, key: &[u8; 16]) -> bool {
        self.seen.as_ref().is_some_and(|seen| !seen.filter.insert(key))
    }

    /// Asks only about keys that the filter cannot exclude.
    fn perhaps<K: Copy, V>(
        &self,
        keys: &[K],
        bytes: fn(&K) -> &[u8; 16],
        ask: impl FnOnce(&Shared, &[K]) -> Result<Vec<Option<V>>, ReadError>,
    ) -> Result<Vec<Option<V>>, ReadError> {
        let possible: Vec<usize> =
            (0..keys.len()).filter(|&at| !self.unseen(bytes(&keys[at]))).collect();
        let asked: Vec<K> = possible.iter().map(|&at| keys[at]).collect();
        let mut answers: Vec<Option<V>> = keys.iter().map(|_| None).collect();
        if !asked.is_empty() {
            for (at, found) in possible.into_iter().zip(ask(&self.shared, &asked)?) {
                answers[at] = found;
            }
        }
        Ok(answers)
    }
}

pub(super) fn truth_batch(first: Seq, block: Vec<u8>, head: &Head) -> TruthBatch {
    let mut batch = TruthBatch::new();
    put_group(&mut batch, first, block, head);
    batch
}

/// Several groups may be in one batch: the last head stands.
fn put_group(batch: &mut TruthBatch, first: Seq, block: Vec<u8>, head: &Head) {
    batch.put(TruthFamily::Blocks, codec::seq_key(first), block);
    batch.put(
        TruthFamily::Roots,
        codec::seq_key(head.seq),
        codec::root_value(&head.root, head.time),
    );
    batch.put(TruthFamily::Meta, HEAD, codec::head_value(head));
}

impl Source for Writer {
    type Error = ReadError;

    fn ids(&self, ids: &[EntryId]) -> Result<Vec<Option<IdRecord>>, ReadError> {
        self.perhaps(ids, EntryId::as_bytes, |shared, ids| shared.ids(ids))
    }

    fn idem(&self, digests: &[IdemDigest]) -> Result<Vec<Option<Seq>>, ReadError> {
        self.perhaps(digests, |digest| &digest.0, |shared, digests| shared.idem(digests))
    }

    fn holds(&self, ids: &[EntryId]) -> Result<Vec<Option<Hold>>, ReadError> {
        Ok(self.shared.holds(ids)?.value)
    }

    fn entries(&self, seqs: &[Seq]) -> Result<Vec<Entry>, ReadError> {
        self.shared.entries_at(seqs)
    }

    fn accounts(&self, keys: &[AccountKey]) -> Result<Vec<Account>, ReadError> {
        let found = self.shared.accounts(keys)?;
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }

    fn supply(&self, assets: &[Asset]) -> Result<Vec<Supply>, ReadError> {
        let found = self.shared.supplies(assets)?;
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }

    fn due(&self, now: Millis, max: usize) -> Result<Vec<EntryId>, ReadError> {
        self.shared.due(now, max)
    }
}
