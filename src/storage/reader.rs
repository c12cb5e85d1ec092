//! The read view: what HTTP and the actors may ask. It never enters a mailbox and never waits for a
//! commit; each answer says of which size it speaks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::codec::{Head, RootRow};
use super::engine::{Durability, Engine, StoreError, Usage};
use super::error::ReadError;
use super::genesis::Genesis;
use super::view::Shared;
use crate::accumulator::TileId;
use crate::ledger::encode::decode;
use crate::ledger::entry::{EntryId, Millis, Seq, Sequenced};
use crate::ledger::idempotency::IdemDigest;
use crate::ledger::names::{AccountId, Asset};
use crate::ledger::state::{Account, Hold, IdRecord, Supply};

pub use super::engine::{Figures, InstanceFigures, LogSyncs};
pub use super::genesis::SCHEMA;
pub use super::proof::{Consistency, Inclusion};
pub use super::view::At;

/// An entry as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What it says.
    pub sequenced: Sequenced,
    /// When its group was committed, in ms.
    pub time: Millis,
    /// Its canonical form.
    pub bytes: Vec<u8>,
}

/// Reads of the ledger. Cheap to clone; has no way to write.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Reader { shared }
    }

    /// The ledger's records, once they are verified.
    fn open(&self) -> Result<&Shared, ReadError> {
        match self.shared.is_open.load(Ordering::Acquire) {
            true => Ok(&self.shared),
            false => Err(ReadError::NotOpen),
        }
    }

    /// The engine, once its records are verified.
    pub(super) fn engine(&self) -> Result<&dyn Engine, ReadError> {
        Ok(&*self.open()?.engine)
    }

    /// Notes that an entry is not there although the log reaches further.
    pub(super) fn miss(&self, seq: Seq) -> ReadError {
        self.shared.miss(seq)
    }

    /// The end of the log; 0 entries until the ledger is open.
    pub fn head(&self) -> Head {
        self.shared.head()
    }

    /// What an acknowledgement means here.
    pub fn durability(&self) -> Durability {
        self.shared.durability()
    }

    /// What the ledger was made with.
    pub fn genesis(&self) -> &Genesis {
        &self.shared.genesis
    }

    /// How full the store is.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        self.shared.engine.usage()
    }

    /// What the engine tells of its own work.
    pub fn figures(&self) -> Option<Figures> {
        self.shared.engine.figures()
    }

    /// How far merges of derived data are behind, in hundredths of where its writes are stopped; commits rest from
    /// halfway there on.
    pub fn merges_behind(&self) -> u8 {
        self.shared.behind.load(Ordering::Relaxed)
    }

    /// Entries whose derived data is not flushed yet.
    pub fn derived_lag(&self) -> u64 {
        self.shared.overlay.read().lag()
    }

    /// The entry at `seq`; `None` when the ledger does not reach that far.
    ///
    /// # Errors
    /// [`ReadError`]; as for all reads, `NotOpen` until the ledger is verified.
    pub fn entry(&self, seq: Seq) -> Result<Option<Stored>, ReadError> {
        Ok(self.entries(seq, seq, 1)?.pop())
    }

    /// Entries `from..=to` as far as they exist, at most `limit`.
    ///
    /// # Errors
    /// As [`Reader::entry`].
    pub fn entries(&self, from: Seq, to: Seq, limit: usize) -> Result<Vec<Stored>, ReadError> {
        let shared = self.open()?;
        let (mut next, to) = (from.max(1), to.min(shared.head().seq));
        let mut found = Vec::new();
        while next <= to && found.len() < limit {
            let block = shared.block_of(next)?;
            let skip = (next - block.first) as usize;
            let before = next;
            for form in block.forms().skip(skip) {
                if next > to || found.len() == limit {
                    break;
                }
                let bytes = form?.to_vec();
                let sequenced = decode(&bytes).map_err(|_| super::codec::Damaged("entry"))?;
                if sequenced.seq != next {
                    return Err(shared.miss(next));
                }
                found.push(Stored { sequenced, time: block.time, bytes });
                next += 1;
            }
            if next == before {
                return Err(shared.miss(next));
            }
        }
        Ok(found)
    }

    /// The first entry that a read looked for within the log and did not find, since this process
    /// began or a recovery found it after all.
    pub fn missing(&self) -> Option<Seq> {
        self.shared.missing()
    }

    /// Where the entry of this id is.
    ///
    /// # Errors
    /// As [`Reader::entry`].
    pub fn find(&self, id: EntryId) -> Result<Option<IdRecord>, ReadError> {
        Ok(self.shared.ids(&[id])?.pop().flatten())
    }

    /// For each (id, tuple) whether either is known: what a replay looks like before it is planned.
    ///
    /// # Errors
    /// As [`Reader::entry`].
    pub fn known(&self, ids: &[EntryId], tuples: &[IdemDigest]) -> Result<Vec<bool>, ReadError> {
        let (ids, tuples) = (self.shared.ids(ids)?, self.shared.idem(tuples)?);
        Ok(ids.iter().zip(&tuples).map(|(id, tuple)| id.is_some() || tuple.is_some()).collect())
    }

    /// All assets of an account, in order; none for an account that no entry has touched.
    ///
    /// # Errors
    /// As [`Reader::entry`].
    pub fn account(&self, id: &AccountId) -> Result<At<Vec<(Asset, Account)>>, ReadError> {
        self.shared.assets_of(id)
    }

    /// The hold of this id.
    ///
    /// # Errors
    /// As [`Reader::entry`].
    pub fn hold(&self, id: EntryId) -> Result<At<Option<Hold>>, ReadError> {
        let At { size, value } = self.shared.holds(&[id])?;
        Ok(At { size, value: value.into_iter().next().flatten() })
    }

    /// All assets that exist, in order.
    ///
    /// # Errors
    /// As [`Reader::entry`].
    pub fn supply(&self) -> Result<At<Vec<(Asset, Supply)>>, ReadError> {
        self.shared.all_supplies()
    }

    /// Roots of commit groups with `since < seq <= up_to`, in order, at most `limit`.
    ///
    /// # Errors
    /// As [`Reader::entry`].
    pub fn roots(&self, since: Seq, up_to: Seq, limit: usize) -> Result<Vec<RootRow>, ReadError> {
        let shared = self.open()?;
        let up_to = up_to.min(shared.head().seq);
        let mut rows = shared.roots_after(since, limit)?;
        rows.retain(|row| row.seq <= up_to);
        Ok(rows)
    }

    /// A tile of the Merkle tree with the hashes it has now.
    ///
    /// # Errors
    /// As [`Reader::entry`].
    pub fn tile(&self, tile: TileId) -> Result<Option<Vec<u8>>, ReadError> {
        self.shared.tile(tile)
    }
}
