//! What can go wrong in an engine, sorted by what is known of the disk afterwards.

use std::fmt;

use crate::storage::files::FileError;

/// Why an operation of an engine failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room: nothing was written, and the same call may succeed once there is.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// An earlier write ended with an unknown outcome, and this engine writes no more.
    #[error("the writer is poisoned by an earlier write of unknown outcome: restart to recover")]
    Poisoned,
    /// A key of append-only truth was given another value.
    #[error("a key of {family} is given another value, but truth is append-only")]
    Overwrite {
        /// Name of the family.
        family: &'static str,
    },
    /// Derived data is not what was written: it has to be made anew from truth.
    #[error("derived data is damaged: {0}")]
    DerivedDamaged(String),
    /// A file or directory beside the engine refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// What the engine's library said.
    #[error("could not {verb} the store: {message}")]
    Backend {
        /// What was tried, as a verb.
        verb: &'static str,
        /// The library's own words.
        message: String,
    },
}

/// A bound that a write would break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room in {resource}: {bytes_needed} bytes needed, {bytes_free} free")]
pub struct NoRoom {
    /// What is short.
    pub resource: Resource,
    /// Bytes that the write needs, the reserve included.
    pub bytes_needed: u64,
    /// Bytes that are there.
    pub bytes_free: u64,
}

/// What an engine can run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The bound of the memory engine.
    Memory,
    /// The file system of the data directory.
    Disk,
    /// The bound on what is committed and not yet flushed to derived data.
    DerivedLag,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resource::Memory => "the memory bound of the store",
            Resource::Disk => "the data directory's file system",
            Resource::DerivedLag => "the bound on derived data's lag",
        })
    }
}

/// Why a commit failed, by what is then known of the disk.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Failed before anything was written: the batch is nowhere, and the engine goes on.
    #[error("not written: {0}")]
    NotWritten(#[source] StoreError),
    /// The batch may be on disk, whole, or not at all. The engine refuses every later commit with
    /// this error until it is reopened, since only recovery can tell.
    #[error("the outcome of the write is unknown: {0}")]
    Unknown(#[source] StoreError),
}
