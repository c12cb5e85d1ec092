//! Files that hold secrets: created 0600 in directories of 0700, and read through a bound.
//!
//! A file is refused when group or others have any right on it, a directory when they can put
//! another file in its place.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use zeroize::Zeroizing;

/// The longest file that is read, in bytes.
const FILE_LEN_MAX: usize = 1024;
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;
/// The permission bits that nobody but the owner may have.
const FILE_MODE_REFUSED: u32 = 0o077;
const DIR_MODE_REFUSED: u32 = 0o022;

/// Why a private file or directory could not be used. No message shows what is in it.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The step that failed.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Group or others have rights on it that only the owner may have.
    #[error(
        "{} has mode {mode:03o}, which lets other users read or replace a secret: run `chmod {wanted:03o} {}`",
        path.display(), path.display()
    )]
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The permission bits to set.
        wanted: u32,
    },
    /// Longer than any file of this kind, or not UTF-8.
    #[error("{} is not a short text file", path.display())]
    NotShortText {
        /// The file.
        path: PathBuf,
    },
}

/// Adds the step and the path to an I/O error.
fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PrivateFileError {
    let path = path.to_owned();
    move |source| PrivateFileError::Io { doing, path, source }
}

/// Creates the directory with its parents, if it is not there, and checks it.
pub(super) fn create_dir(dir: &Path) -> Result<(), PrivateFileError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(DIR_MODE).create(dir).map_err(at("create", dir))?;
    check_dir(dir)
}

/// Refuses a directory that group or others can write to.
pub(super) fn check_dir(dir: &Path) -> Result<(), PrivateFileError> {
    let metadata = fs::metadata(dir).map_err(at("open", dir))?;
    check_mode(dir, &metadata, DIR_MODE_REFUSED, DIR_MODE)
}

/// The names in a directory.
pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>, PrivateFileError> {
    fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(at("list", dir))
}

/// When a file was last written, in unix milliseconds; 0 for one of before 1970.
pub(super) fn written_ms(path: &Path) -> Result<u64, PrivateFileError> {
    let modified = fs::metadata(path).and_then(|data| data.modified()).map_err(at("open", path))?;
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Reads a file that is its owner's alone.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, PrivateFileError> {
    let file = File::open(path).map_err(at("open", path))?;
    // Asked of the open file, so that it cannot be exchanged between check and read.
    let metadata = file.metadata().map_err(at("open", path))?;
    check_mode(path, &metadata, FILE_MODE_REFUSED, FILE_MODE)?;
    // Reserved in full, so that growing leaves no copy of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_LEN_MAX + 1));
    file.take(FILE_LEN_MAX as u64 + 1).read_to_end(&mut bytes).map_err(at("read", path))?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if bytes.len() <= FILE_LEN_MAX => Ok(Zeroizing::new(text.to_owned())),
        _ => Err(PrivateFileError::NotShortText { path: path.to_owned() }),
    }
}

/// Writes a file that must not exist yet; it is durable on return.
pub(super) fn create(path: &Path, parts: &[&[u8]]) -> Result<(), PrivateFileError> {
    write_new(path, parts)?;
    sync_parent(path)
}

/// Puts a file in the place of another one in a single step; it is durable on return.
pub(super) fn replace(path: &Path, parts: &[&[u8]]) -> Result<(), PrivateFileError> {
    let new = path.with_extension("new");
    // What a crash may have left behind.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(at("remove", &new)(error));
        }
        _ => write_new(&new, parts)?,
    }
    fs::rename(&new, path).map_err(at("replace", path))?;
    sync_parent(path)
}

/// Deletes a file; that is durable on return.
pub(super) fn remove(path: &Path) -> Result<(), PrivateFileError> {
    fs::remove_file(path).map_err(at("remove", path))?;
    sync_parent(path)
}

fn write_new(path: &Path, parts: &[&[u8]]) -> Result<(), PrivateFileError> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)
        .map_err(at("create", path))?;
    parts
        .iter()
        .try_for_each(|part| file.write_all(part))
        .and_then(|()| file.sync_all())
        .map_err(at("write", path))
}

fn sync_parent(path: &Path) -> Result<(), PrivateFileError> {
    let dir = path.parent().expect("private files are named inside a directory");
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at("sync", dir))
}

fn check_mode(
    path: &Path,
    metadata: &fs::Metadata,
    refused: u32,
    wanted: u32,
) -> Result<(), PrivateFileError> {
    let mode = metadata.mode() & 0o777;
    if mode & refused == 0 {
        return Ok(());
    }
    Err(PrivateFileError::Exposed { path: path.to_owned(), mode, wanted })
}
