//! What is durable in truth and not yet flushed to derived data. Readers look here first.
//!
//! Two layers: the active one takes in each group after its fsync; from time to time it is frozen, and
//! flushed in the background. A value in the active layer is newer than one in the frozen layer, which is
//! newer than the engine's or equal. Once a flush is visible in the engine, single keys of its layer are
//! still found in memory until the next one is: what was just changed is asked for again more often than
//! not, and its values are the engine's.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::mem::take;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parking_lot::RwLock;

use super::block::Fresh;
use super::codec::Head;
use super::filter::SharedFilter;
use crate::accumulator::TileId;
use crate::ledger::entry::{EntryId, Millis, Seq};
use crate::ledger::names::{AccountId, AccountKey};
use crate::ledger::state::{Account, Delta, HoldState, State};

/// Changes of some groups in a row.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) state: State,
    /// The rows of `state.accounts` by account, for all assets of one.
    of_account: OfAccount,
    /// True: the hold is open and waits for its time. False: it does no longer.
    pub(super) due: BTreeMap<(Millis, EntryId), bool>,
    pub(super) tiles: BTreeMap<TileId, Vec<u8>>,
    /// By the first entry of each. Truth has them too: what is reversed is young more often than not, and
    /// found here at once.
    blocks: BTreeMap<Seq, Fresh>,
    pub(super) entries: u64,
    /// The height that the layer brings derived data to.
    pub(super) height: u64,
    /// A filter of all that is known at that height, when it is to be saved.
    pub(super) filter: Option<SharedFilter>,
}

impl Layer {
    pub(super) fn take_in(
        &mut self,
        delta: Delta,
        tiles: Vec<(TileId, Vec<u8>)>,
        block: Fresh,
        entries: u64,
    ) {
        self.blocks.insert(self.height + 1, block);
        for (id, hold) in &delta.holds {
            if let Some(at) = hold.due(*id) {
                self.due.insert(at, hold.state == HoldState::Open);
            }
        }
        let known = self.state.accounts.len();
        self.state.merge(delta);
        self.of_account.take_in(self.state.accounts.keys(), known);
        self.tiles.extend(tiles);
        self.entries += entries;
        self.height += entries;
    }
}

impl Layer {
    /// What single keys are looked up by, and all else.
    fn split(mut self) -> (Layer, Layer) {
        let rest = Layer {
            state: State { idem: take(&mut self.state.idem), ..State::default() },
            of_account: take(&mut self.of_account),
            due: take(&mut self.due),
            tiles: take(&mut self.tiles),
            filter: self.filter.take(),
            ..Layer::default()
        };
        (self, rest)
    }

    /// The tables of a layer that [`Layer::split`] has divided, emptied for another one: new memory would
    /// have to be mapped page by page, under the lock that commits need.
    fn emptied(kept: Layer, rest: Layer) -> State {
        let mut state = State { idem: rest.state.idem, ..kept.state };
        state.clear();
        state
    }

    /// All assets of an account that this layer changed.
    pub(super) fn assets_of(
        &self,
        id: &AccountId,
    ) -> impl Iterator<Item = (&AccountKey, &Account)> {
        let (keys, values) = (self.state.accounts.keys(), self.state.accounts.values());
        self.of_account.rows(keys, AccountKey::prefix(id)).map(|at| (&keys[at], &values[at]))
    }

    /// The canonical form of an entry of this layer.
    pub(super) fn form(&self, seq: Seq) -> Option<&[u8]> {
        let (first, block) = self.blocks.range(..=seq).next_back()?;
        block.form(usize::try_from(seq - first).ok()?)
    }
}

/// Which rows of a table are of one account, whatever the asset.
#[derive(Debug, Default)]
struct OfAccount {
    rows: HashTable<u32>,
    hasher: RandomState,
}

impl OfAccount {
    /// Takes in the keys from `known` on, which are new.
    fn take_in(&mut self, keys: &[AccountKey], known: usize) {
        let OfAccount { rows, hasher } = self;
        let hash = |at: usize| hasher.hash_one(keys[at].account_bytes());
        for at in known..keys.len() {
            // A table has fewer than 2^32 rows.
            rows.insert_unique(hash(at), at as u32, |&at| hash(at as usize));
        }
    }

    fn rows(&self, keys: &[AccountKey], prefix: Vec<u8>) -> impl Iterator<Item = usize> {
        let candidates = self.rows.iter_hash(self.hasher.hash_one(&prefix[..]));
        let candidates = candidates.map(|&at| at as usize);
        candidates.filter(move |&at| keys[at].account_bytes() == prefix)
    }
}

/// What a flush has made superfluous: a layer, and what was not kept of another.
#[derive(Default)]
pub(super) struct Done {
    layer: Option<Layer>,
    rest: Option<Layer>,
}

/// Both layers and the head that they lead to.
#[derive(Debug)]
pub(super) struct Overlay {
    pub(super) head: Head,
    pub(super) active: Layer,
    pub(super) frozen: Option<Arc<Layer>>,
    /// The layer that was flushed last, for look-ups of single keys.
    pub(super) settled: Option<Layer>,
    /// Empty tables for the next layer.
    pub(super) spare: Option<State>,
    /// Counts what changes the engine's share of an answer: see the view.
    pub(super) era: u64,
}

impl Overlay {
    pub(super) fn new(head: Head) -> Self {
        let active = Layer { height: head.seq, ..Layer::default() };
        Overlay { head, active, frozen: None, settled: None, spare: None, era: 0 }
    }

    /// Newest first.
    pub(super) fn layers(&self) -> impl DoubleEndedIterator<Item = &Layer> {
        std::iter::once(&self.active).chain(self.frozen.as_deref())
    }

    /// The same, and what the engine has too.
    pub(super) fn recent(&self) -> impl Iterator<Item = &Layer> {
        self.layers().chain(&self.settled)
    }

    /// Entries whose derived data is not flushed.
    pub(super) fn lag(&self) -> u64 {
        self.layers().map(|layer| layer.entries).sum()
    }

    /// Whether nothing waits for a flush, or for the end of one.
    pub(super) fn is_flushed(&self) -> bool {
        self.frozen.is_none() && self.active.entries == 0
    }

    /// Puts the active layer on its way to the engine, with a filter that is to be saved with it.
    /// `None` while the one before is still there, or when there is neither.
    pub(super) fn freeze(&mut self, filter: Option<SharedFilter>) -> Option<Arc<Layer>> {
        if self.frozen.is_some() || (self.active.entries == 0 && filter.is_none()) {
            return None;
        }
        // Tables that do not grow entry by entry, each time with a copy of all that is there.
        let state = self.spare.take();
        let state = state.unwrap_or_else(|| State::with_capacity(self.active.state.ids.len()));
        let next = Layer { height: self.active.height, state, ..Layer::default() };
        let full = std::mem::replace(&mut self.active, next);
        let full = Arc::new(Layer { filter, ..full });
        self.frozen = Some(Arc::clone(&full));
        self.era += 1;
        Some(full)
    }

    /// The flush of this layer is visible in the engine: scans find its values there from here on, and
    /// single keys too, unless they are to be found in memory. What is given back takes a while to drop.
    #[must_use]
    pub(super) fn flushed(&mut self, layer: Arc<Layer>, is_kept: bool) -> Done {
        // Where it is another one, another writer has recovered meanwhile.
        let is_mine = self.frozen.take_if(|frozen| Arc::ptr_eq(frozen, &layer)).is_some();
        let Ok(layer) = Arc::try_unwrap(layer) else { return Done::default() };
        if !is_mine || !is_kept {
            return Done { layer: Some(layer), rest: None };
        }
        let (settled, rest) = layer.split();
        Done { layer: self.settled.replace(settled), rest: Some(rest) }
    }

    /// Gives tables back that nobody looks into any more, emptied without the overlay's lock.
    pub(super) fn reuse(overlay: &RwLock<Overlay>, done: Done) {
        if let Done { layer: Some(layer), rest: Some(rest) } = done {
            let emptied = Layer::emptied(layer, rest);
            overlay.write().spare = Some(emptied);
        }
    }
}
