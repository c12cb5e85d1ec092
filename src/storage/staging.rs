//! A copy of a running ledger's files, made of links, from which a snapshot is packed.
//!
//! What is copied first can only be older than what is copied next: revocations and signed notes, then
//! derived data, then truth. So truth in the copy reaches every note and the height of derived data in
//! it, and the copy opens as a directory does after a crash. Keys are never in a data directory.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::codec::Head;
use super::engine::StoreError;
use super::error::ReadError;
use super::files::{DIR_MODE, FileError, remove_tree};
use super::genesis::Genesis;
use super::reader::Reader;
use super::store::RecoverError;

/// The directory of the copy, in the data directory: there is one at a time.
pub const STAGING: &str = "staging";

/// Small files that a snapshot has, in the order in which they are copied, each read and written whole.
pub const SMALL_FILES: [&str; 3] = ["caps/revoked", "signed/witnessed", "signed/checkpoint"];

/// Why there is no copy. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// Nothing on disk to copy.
    #[error("a ledger in memory has no snapshots")]
    NothingLasts,
    /// One at a time.
    #[error("another snapshot is being made")]
    Busy,
    /// The ledger is not open for reads.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The engine.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The copy does not open, or its log does not hold together.
    #[error("the copy cannot be used: {0}")]
    Unfit(#[from] RecoverError),
    /// The small files, or the directory.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The copy. Removed when dropped; what a killed process leaves, the next start removes.
#[derive(Debug)]
pub struct Staging {
    dir: PathBuf,
}

impl Staging {
    /// Makes the copy. Blocks for as long as the engine flushes what memory holds; commits go on.
    ///
    /// # Errors
    /// [`StagingError`].
    pub fn create(reader: &Reader) -> Result<Self, StagingError> {
        let engine = reader.engine()?;
        let data_dir = engine.directory().ok_or(StagingError::NothingLasts)?;
        let dir = data_dir.join(STAGING);
        match DirBuilder::new().mode(DIR_MODE).create(&dir) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(StagingError::Busy);
            }
            Err(source) => return Err(FileError::Io { verb: "create", path: dir, source }.into()),
        }
        let staging = Staging { dir };
        for name in SMALL_FILES {
            copy_small(data_dir, &staging.dir, name)?;
        }
        engine.checkpoint(&staging.dir)?;
        Ok(staging)
    }

    /// The end of the log in the copy, held against its last block and root. The copy is opened for it, so
    /// that one which does not open is never handed out.
    ///
    /// # Errors
    /// [`StagingError::Unfit`].
    #[cfg(feature = "rocks")]
    pub fn head(&self, genesis: &Genesis) -> Result<Head, StagingError> {
        use super::engine::{RocksEngine, RocksOptions};
        let engine = RocksEngine::open_read_only(&self.dir, &RocksOptions::default())?;
        Ok(super::recovery::verified_head(&engine, genesis)?)
    }

    /// Without a durable engine there is no copy to look into.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "rocks"))]
    pub fn head(&self, _: &Genesis) -> Result<Head, StagingError> {
        Err(StagingError::NothingLasts)
    }

    /// A directory that a test has made.
    #[cfg(test)]
    pub(crate) fn of(dir: PathBuf) -> Self {
        Staging { dir }
    }

    /// Where the copy is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.dir) {
            tracing::error!(%error, "the files of a snapshot are left behind until the next start");
        }
    }
}

fn copy_small(from: &Path, to: &Path, name: &str) -> Result<(), FileError> {
    let error = |verb, path: &Path| {
        let path = path.to_owned();
        move |source| FileError::Io { verb, path, source }
    };
    let (from, to) = (from.join(name), to.join(name));
    let Some(mut source) = exists(File::open(&from)).map_err(error("open", &from))? else {
        return Ok(());
    };
    if let Some(dir) = to.parent() {
        let made = DirBuilder::new().mode(DIR_MODE).recursive(true).create(dir);
        made.map_err(error("create", dir))?;
    }
    let mut copy = File::create(&to).map_err(error("create", &to))?;
    io::copy(&mut source, &mut copy).map_err(error("copy", &from))?;
    fs::set_permissions(&to, permissions()).map_err(error("chmod", &to))
}

fn permissions() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(super::files::FILE_MODE)
}

fn exists(opened: io::Result<File>) -> io::Result<Option<File>> {
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
