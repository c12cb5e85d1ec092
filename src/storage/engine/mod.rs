//! The engine: ordered bytes under two promises, durable truth and derived data that may lag.
//!
//! Truth is append-only and fsynced batch by batch; derived data follows from it and is written in
//! bulk. What the keys mean is not known here. [`MemoryEngine`] forgets with the process,
//! `RocksEngine` does not, and [`Faulty`] wraps either to fail on order; [`Failing`] does so for
//! drills; [`Recording`] keeps what is written, for measurements. One suite of contract tests runs over
//! all of them.

mod batch;
mod error;
mod failing;
mod faulty;
mod figures;
mod memory;
mod recording;
#[cfg(feature = "rocks")]
mod rocks;

#[cfg(test)]
mod contract;
#[cfg(test)]
pub(crate) mod sim;

use std::path::Path;

pub use batch::{DerivedBatch, DerivedChange, DerivedFamily, TruthBatch, TruthFamily};
pub use error::{CommitError, NoRoom, Resource, StoreError};
pub use failing::{Failing, FsyncFault};
pub use faulty::{Fault, Faulty};
pub use figures::{Figures, InstanceFigures, LogSyncs};
pub use memory::MemoryEngine;
pub use recording::{Journal, Recording};
#[cfg(feature = "rocks")]
pub use rocks::{RocksEngine, RocksOptions};

/// The directory beside the tables of an instance in which those that were removed lose their blocks, and each
/// table has a second name until then: to be passed over by who counts what a store takes.
pub const DELETING: &str = "deleting";

/// A key and its value.
pub type Item = (Vec<u8>, Vec<u8>);

/// Is shown what was found for each of several keys: the place among them, and the item.
pub type Look<'a> = dyn FnMut(usize, Option<(&[u8], &[u8])>) + 'a;

/// What survives a crash of the process or of the machine after a commit returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: the data lives as long as the process.
    Memory,
    /// Everything: it is fsynced.
    Fsync,
}

impl Durability {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Durability::Memory => "memory",
            Durability::Fsync => "fsync",
        }
    }
}

/// How much one scan may answer. A scan ends with the first item that reaches either bound, and
/// always gives one item if there is any, so that a caller who goes on behind the last key advances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanLimit {
    /// Items, at least one.
    pub items: usize,
    /// Bytes of keys and values; the last item may go beyond.
    pub bytes: usize,
}

impl ScanLimit {
    /// Whether a scan that holds this much is complete.
    pub(crate) fn reached(&self, items: usize, bytes: usize) -> bool {
        items >= self.items.max(1) || bytes >= self.bytes
    }
}

/// How full the engine's resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes in use: of the memory bound, or of the file system by anyone.
    pub bytes_used: u64,
    /// Bytes there are: the memory bound, or what the file system offers this user.
    pub bytes_total: u64,
    /// Bytes that the engine itself holds; at most `bytes_used`, estimated on disk.
    pub bytes_own: u64,
}

impl Usage {
    /// The part in use, 0.0 to 1.0; 1.0 where there is nothing at all.
    pub fn fraction(&self) -> f64 {
        if self.bytes_total == 0 {
            return 1.0;
        }
        self.bytes_used as f64 / self.bytes_total as f64
    }
}

/// An ordered byte store with the two promises.
///
/// Keys are compared as unsigned bytes. Reads may come from any thread while one thread writes; a
/// batch is seen whole or not at all by every read, and one call's answer is of one moment. Writing
/// from several threads is safe but nobody needs it: the ledger has one writer.
pub trait Engine: Send + Sync + 'static {
    /// What survives a crash after [`Engine::commit`] returned `Ok`.
    fn durability(&self) -> Durability;

    /// Writes `batch` to truth: the commit point.
    ///
    /// Atomic, after earlier commits, as durable as [`Engine::durability`] says when it returns
    /// `Ok`, and visible at once to reads. An empty batch is a commit like another.
    ///
    /// # Errors
    /// [`CommitError::NotWritten`] when the batch surely is nowhere and never will be;
    /// [`CommitError::Unknown`] for everything else. After an `Unknown`, or a panic in here, every
    /// further commit returns `Unknown` with [`StoreError::Poisoned`] until the engine is reopened;
    /// reads go on, and may or may not show the batch in doubt.
    fn commit(&self, batch: &TruthBatch) -> Result<(), CommitError>;

    /// As [`Engine::commit`], for what a recovery writes again: it may use the engine's reserve, so
    /// that a ledger can be opened, and read, where nothing new can be written.
    ///
    /// # Errors
    /// As [`Engine::commit`].
    fn commit_again(&self, batch: &TruthBatch) -> Result<(), CommitError> {
        self.commit(batch)
    }

    /// Whether commits are refused because of an earlier `Unknown`.
    fn is_poisoned(&self) -> bool;

    /// The value of `key`.
    ///
    /// # Errors
    /// [`StoreError::Backend`] when the data cannot be read or fails its checksum; so for all reads
    /// of truth.
    fn truth_get(&self, family: TruthFamily, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The item with the greatest key that is not greater than `key`.
    ///
    /// # Errors
    /// As [`Engine::truth_get`].
    fn truth_last_at_or_before(
        &self,
        family: TruthFamily,
        key: &[u8],
    ) -> Result<Option<Item>, StoreError>;

    /// As [`Engine::truth_last_at_or_before`] for each of `keys`, in their order: `look` is shown the place
    /// among the keys, and the item as it lies there. Keys in ascending order are cheaper.
    ///
    /// # Errors
    /// As [`Engine::truth_get`]; what `look` was shown before stands.
    fn truth_each_at_or_before(
        &self,
        family: TruthFamily,
        keys: &[[u8; 8]],
        look: &mut Look<'_>,
    ) -> Result<(), StoreError> {
        for (at, key) in keys.iter().enumerate() {
            let found = self.truth_last_at_or_before(family, key)?;
            look(at, found.as_ref().map(|(key, value)| (&key[..], &value[..])));
        }
        Ok(())
    }

    /// Items in ascending order of keys, from `from` on (inclusive), as many as `limit` allows.
    ///
    /// # Errors
    /// As [`Engine::truth_get`].
    fn truth_scan(
        &self,
        family: TruthFamily,
        from: &[u8],
        limit: ScanLimit,
    ) -> Result<Vec<Item>, StoreError>;

    /// The value of `key`.
    ///
    /// # Errors
    /// [`StoreError::DerivedDamaged`] when the data is not what was written, and
    /// [`StoreError::Backend`] when it cannot be read for another reason; so for all reads of it.
    fn derived_get(&self, family: DerivedFamily, key: &[u8])
    -> Result<Option<Vec<u8>>, StoreError>;

    /// The values of `keys`, in their order, all of one moment. Keys in ascending order are cheaper.
    ///
    /// # Errors
    /// As [`Engine::derived_get`]; one key that cannot be read fails the call.
    fn derived_multi_get(
        &self,
        family: DerivedFamily,
        keys: &[&[u8]],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Items in ascending order of keys, from `from` (inclusive) to `to` (exclusive; `None`: to the
    /// end), as many as `limit` allows. An empty or inverted range has no items.
    ///
    /// # Errors
    /// As [`Engine::derived_get`].
    fn derived_scan(
        &self,
        family: DerivedFamily,
        from: &[u8],
        to: Option<&[u8]>,
        limit: ScanLimit,
    ) -> Result<Vec<Item>, StoreError>;

    /// Writes `batch` to derived data, visible to reads when this returns. Meanwhile a read may see some
    /// of its changes, in whatever order: what is on its way is found in memory first.
    ///
    /// A crash may lose it, but only whole, and only with every batch after it: what is left is
    /// always the result of the first so many batches.
    ///
    /// # Errors
    /// After any error the batch may be visible or not, and may survive or not, whole in each case.
    /// [`StoreError::NoRoom`] says that it is not, and will not.
    fn derived_write(&self, batch: DerivedBatch) -> Result<(), StoreError>;

    /// Makes everything that was written to derived data survive a crash, where the engine is
    /// durable at all.
    ///
    /// # Errors
    /// After an error nothing more is promised than before, and of the last batch nothing at all: the
    /// caller writes it again.
    fn derived_flush(&self) -> Result<(), StoreError>;

    /// How far merges of derived data are behind, in hundredths of where its writes are stopped. An engine without
    /// merges is never behind.
    fn derived_behind(&self) -> u8 {
        0
    }

    /// Merges the tables of all families, so that what is on the disk is what a store takes at rest.
    /// Nothing changes for readers. An engine without tables has nothing to do.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    fn compact(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Empties all derived families for a rebuild from truth, durably and all at once.
    ///
    /// Nothing else may write derived data meanwhile.
    ///
    /// # Errors
    /// After an error the families are all as they were, or all empty.
    fn derived_wipe(&self) -> Result<(), StoreError>;

    /// Whether something of derived data was found not to be what was written, since it was last
    /// wiped: by this process, or by an earlier one. [`Engine::derived_wipe`] is the way out.
    fn derived_is_damaged(&self) -> bool;

    /// Checks that there is room for `bytes` more, with the engine's reserve left over.
    ///
    /// [`Engine::commit`] checks for its own batch; asking before saves the work of planning one.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`], or another error when it cannot be told.
    fn room(&self, bytes: u64) -> Result<(), StoreError>;

    /// Where the engine keeps its files; `None` when it has none.
    fn directory(&self) -> Option<&Path> {
        None
    }

    /// Copies derived data and then truth, as each is at one moment, into the directory `into`, on the
    /// same file system: table files are linked and not copied. Truth comes last, so that derived data in
    /// the copy never goes beyond it; derived data that is damaged is left out. Commits go on meanwhile.
    ///
    /// # Errors
    /// When there are no files, or they cannot be linked or flushed.
    fn checkpoint(&self, into: &Path) -> Result<(), StoreError> {
        let message = format!("nothing can be copied to {}", into.display());
        Err(StoreError::Backend { verb: "copy, of an engine in memory,", message })
    }

    /// How full the engine is, for the disk marks and the metrics.
    ///
    /// # Errors
    /// When it cannot be told.
    fn usage(&self) -> Result<Usage, StoreError>;

    /// What the engine tells of its own work; nothing, where it does none that is worth telling.
    fn figures(&self) -> Option<Figures> {
        None
    }
}
