//! Takes commit groups that come from elsewhere: each is planned again by the code of recovery, its
//! bytes and its root compared, and only then written. What a restore from the archive rests on, and a
//! node that follows another one.
//!
//! A [`Follower`] has the store's one writer, so that nobody commits beside it.

use std::sync::Arc;
use std::time::Instant;

use super::block::Block;
use super::codec::Head;
use super::engine::{CommitError, Engine, TruthBatch, TruthFamily};
use super::genesis::Genesis;
use super::groups::CommitGroup;
use super::reader::Reader;
use super::recovery::plan_again;
use super::store::{Anchor, GENESIS, Lease, RecoverError, Store, StoreOptions};
use super::writer::Writer;
use crate::accumulator::Hash;
use crate::ledger::entry::Kind;

/// Why a group was not taken, or not all of them. What was taken before is written.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// It does not follow from what is here, or is not what the same rules make of it.
    #[error(transparent)]
    Refused(#[from] RecoverError),
    /// It could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// A ledger that takes groups, and no requests.
pub struct Follower {
    writer: Writer,
    store: Store,
    // After the writer: fields drop in order.
    _lease: Lease,
}

impl Follower {
    /// Opens the ledger in `engine`, or makes it from `genesis` where the engine is empty, and recovers
    /// it. `signed` is a checkpoint that it must contain.
    ///
    /// # Errors
    /// [`RecoverError`]; also for an empty engine without a genesis.
    pub fn open(
        engine: Arc<dyn Engine>,
        genesis: Option<Genesis>,
        signed: Option<&Anchor>,
        options: StoreOptions,
    ) -> Result<Self, RecoverError> {
        let stored = engine.truth_get(TruthFamily::Meta, GENESIS)?;
        let stored = stored.map(|bytes| Genesis::from_bytes(&bytes)).transpose()?;
        let genesis = genesis.or(stored).ok_or(super::genesis::GenesisError::Unreadable)?;
        let store = Store::open(engine, genesis, options)?;
        let (writer, _lease) = store.writer(signed)?;
        Ok(Follower { writer, store, _lease })
    }

    /// The end of the log.
    pub fn head(&self) -> Head {
        self.writer.head().get()
    }

    /// What the ledger was made with.
    pub fn genesis(&self) -> &Genesis {
        &self.writer.shared.genesis
    }

    /// Reads of it.
    pub fn reader(&self) -> Reader {
        self.store.reader()
    }

    /// Takes groups, in order, the first of which begins where the log ends: all of them in one fsynced
    /// write, or in several where one reverses what is in another. Readers see each when it is planned,
    /// so that whoever serves reads hands over one at a time.
    ///
    /// # Errors
    /// [`FollowError`]; what came before the group at fault is written. After a failed write the
    /// follower is of no more use.
    pub fn take(&mut self, groups: &[CommitGroup]) -> Result<Head, FollowError> {
        let mut batch = TruthBatch::new();
        let mut refused = Ok(());
        for group in groups {
            // What it reverses is read from the log, and may be in a group that is not written yet.
            if !batch.puts().is_empty() && reverses(group) {
                self.writer.commit_followed(&std::mem::take(&mut batch))?;
            }
            match plan_again(&self.writer, group) {
                Ok(prepared) => self.writer.follow(prepared, group, &mut batch),
                Err(error) => {
                    refused = Err(error);
                    break;
                }
            }
        }
        self.writer.commit_followed(&batch)?;
        refused?;
        Ok(self.head())
    }

    /// Whether the log, with these groups behind it, has this root: what shows that a log which ends
    /// before a signed checkpoint is the beginning of what was signed. Nothing of them is taken.
    ///
    /// # Errors
    /// When a group is not one, or does not follow.
    pub fn leads_to(&self, rest: &[CommitGroup], root: &Hash) -> Result<bool, RecoverError> {
        let mut tiles = self.writer.tiles.clone();
        for group in rest {
            if group.first != tiles.size() + 1 {
                return Err(RecoverError::Gap { missing: tiles.size() + 1 });
            }
            tiles.append(group.leaves(tiles.algo())?);
        }
        Ok(tiles.root() == *root)
    }

    /// Flushes derived data until the deadline, for a quick next start; says whether all of it is.
    pub fn settle(&mut self, deadline: Instant) -> bool {
        self.writer.settle(deadline)
    }
}

/// Whether a group has a reversal; one that is no block is refused when it is planned.
fn reverses(group: &CommitGroup) -> bool {
    let Ok(block) = Block::parse(group.first, group.block.clone()) else { return false };
    block.entries().flatten().any(|sequenced| sequenced.entry.kind == Kind::Reverse)
}
