//! Small durable files and private directories: what the store keeps beside its engine.
//!
//! A small file is replaced whole: a reader, also after a crash, sees the old content or the new,
//! never a mixture. Directories are 0700 and files 0600, since what they hold is the ledger's own.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the end of a process that was killed may take.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Mode of every directory that the store makes.
pub const DIR_MODE: u32 = 0o700;
/// Mode of every small file that the store makes.
pub const FILE_MODE: u32 = 0o600;
/// Permission bits that nothing of the store may have: any access by group or others.
const FOREIGN_BITS: u32 = 0o077;

/// Why an operation on a file or directory failed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("could not {verb} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        verb: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Group or others may reach the path.
    #[error("{} is open to others (mode {mode:03o}): take their access away with chmod go=", path.display())]
    NotPrivate {
        /// The path that was checked.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The path belongs to another user than the one this process runs as.
    #[error("{} belongs to uid {owner}, this process runs as uid {uid}: chown it or run as its owner", path.display())]
    NotOwned {
        /// The path that was checked.
        path: PathBuf,
        /// The owner of the path.
        owner: u32,
        /// The effective user of this process.
        uid: u32,
    },
    /// Another holder has the directory's lock.
    #[error("{} is in use by another process: stop that one first, two writers would destroy the ledger", path.display())]
    InUse {
        /// The locked directory.
        path: PathBuf,
    },
}

/// Room on a file system, as `df` counts it: blocks that only root may use are in neither figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that this user may still write.
    pub bytes_free: u64,
    /// Bytes in use by anyone.
    pub bytes_used: u64,
}

/// Replaces the file at `path` by `bytes`, durable when this returns `Ok`.
///
/// After an error, or a crash at any moment, the file holds its old content or the new, whole. The
/// temporary file is `path` with `.new` appended: each path must have one writer.
///
/// # Errors
/// [`FileError::Io`] naming the step that failed.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let temporary = temporary_of(path);
    let written = write_and_swap(&temporary, path, bytes);
    if written.is_err() {
        // Best effort: a left-over is removed by the next call, and never read.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// The system calls, in the order that makes the replacement durable:
///
/// 1. `unlink(new)`, `open(new, O_CREAT|O_EXCL, 0600)`: never the inode of an earlier attempt, whose
///    pages may be marked clean after a failed fsync although they never reached the disk;
/// 2. `write(new)`, `fsync(new)`: the content is on disk before any name leads to it;
/// 3. `rename(new, path)`: readers switch from the old content to the new at once;
/// 4. `fsync(directory)`: the switch itself is on disk. Without it a crash may bring the old file back.
fn write_and_swap(temporary: &Path, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    gone(fs::remove_file(temporary)).map_err(io_error("remove", temporary))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(temporary)
        .map_err(io_error("create", temporary))?;
    file.write_all(bytes).map_err(io_error("write", temporary))?;
    file.sync_all().map_err(io_error("fsync", temporary))?;
    drop(file);
    fs::rename(temporary, path).map_err(io_error("rename over", path))?;
    sync_dir(parent_of(path))
}

/// Reads a text file of at most `bytes_max`; `None` when there is none. Of a longer one a byte more is
/// read, so that its reader refuses it as too long.
///
/// # Errors
/// [`FileError::Io`], also for what is not UTF-8.
pub fn read_bounded(path: &Path, bytes_max: usize) -> Result<Option<String>, FileError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io_error("open", path))?,
    };
    let mut text = String::new();
    file.take(bytes_max as u64 + 1).read_to_string(&mut text).map_err(io_error("read", path))?;
    Ok(Some(text))
}

/// Makes the directory `path`, and what is missing above it, with mode 0700 and durable names. One
/// that exists is checked by [`check_private`] instead.
///
/// # Errors
/// [`FileError::Io`], or what [`check_private`] finds.
pub fn create_dir_private(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return check_private(path);
    }
    let parent = parent_of(path);
    if !parent.is_dir() {
        create_dir_private(parent)?;
    }
    DirBuilder::new().mode(DIR_MODE).create(path).map_err(io_error("create", path))?;
    sync_dir(parent)
}

/// Checks that `path` belongs to this process's user and that nobody else may reach it. Root may use
/// what another user owns.
///
/// # Errors
/// [`FileError::NotPrivate`], [`FileError::NotOwned`], or [`FileError::Io`] when it cannot be looked at.
pub fn check_private(path: &Path) -> Result<(), FileError> {
    let metadata = fs::metadata(path).map_err(io_error("look at", path))?;
    let mode = metadata.mode() & 0o777;
    if mode & FOREIGN_BITS != 0 {
        return Err(FileError::NotPrivate { path: path.into(), mode });
    }
    let uid = rustix::process::geteuid();
    if metadata.uid() != uid.as_raw() && !uid.is_root() {
        let owner = metadata.uid();
        return Err(FileError::NotOwned { path: path.into(), owner, uid: uid.as_raw() });
    }
    Ok(())
}

/// Room on the file system that holds `path`.
///
/// # Errors
/// [`FileError::Io`] when the file system does not answer.
pub fn disk_space(path: &Path) -> Result<DiskSpace, FileError> {
    let stat = rustix::fs::statvfs(path).map_err(|e| io_error("measure", path)(e.into()))?;
    let used_blocks = stat.f_blocks.saturating_sub(stat.f_bfree);
    Ok(DiskSpace {
        bytes_free: stat.f_bavail.saturating_mul(stat.f_frsize),
        bytes_used: used_blocks.saturating_mul(stat.f_frsize),
    })
}

/// Makes the names in the directory `path` durable.
///
/// # Errors
/// [`FileError::Io`].
pub fn sync_dir(path: &Path) -> Result<(), FileError> {
    let directory = File::open(path).map_err(io_error("open", path))?;
    directory.sync_all().map_err(io_error("fsync", path))
}

/// Whether there is something at `path`.
///
/// # Errors
/// [`FileError::Io`] when it cannot be told.
pub fn exists(path: &Path) -> Result<bool, FileError> {
    path.try_exists().map_err(io_error("look at", path))
}

/// A file that has no name and lies in memory; `name` is for who lists the files of the process.
///
/// # Errors
/// [`FileError::Io`].
pub fn in_memory(name: &'static str) -> Result<File, FileError> {
    let made = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC);
    made.map(File::from).map_err(|error| io_error("make in memory", Path::new(name))(error.into()))
}

/// By which this process can open such a file once more.
pub fn path_of(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Copies `from` to a new file at `to`, and says how many bytes that were. Their content, not the name, is
/// durable when this returns `Ok`. Each part of so many bytes is on the disk before the next, so that no other
/// fsync waits behind more than one.
///
/// # Errors
/// [`FileError::Io`].
pub fn copy_in_parts(mut from: File, to: &Path, part_bytes: usize) -> Result<u64, FileError> {
    let mut options = OpenOptions::new();
    let copy = options.write(true).create_new(true).mode(FILE_MODE).open(to);
    let mut copy = copy.map_err(io_error("create", to))?;
    let (mut part, mut bytes_copied) = (vec![0; part_bytes], 0);
    loop {
        let bytes = from.read(&mut part).map_err(io_error("read for", to))?;
        if bytes == 0 {
            copy.sync_all().map_err(io_error("fsync", to))?;
            return Ok(bytes_copied);
        }
        copy.write_all(&part[..bytes]).map_err(io_error("write", to))?;
        copy.sync_data().map_err(io_error("fsync", to))?;
        bytes_copied += bytes as u64;
    }
}

/// Renames `from` to `to`, which must not exist; durable when this returns `Ok`.
///
/// # Errors
/// [`FileError::Io`].
pub fn rename_durably(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(io_error("rename", from))?;
    sync_dir(parent_of(to))
}

/// Removes the file at `path`, if there is one. A crash may bring it back.
///
/// # Errors
/// [`FileError::Io`].
pub fn remove(path: &Path) -> Result<(), FileError> {
    gone(fs::remove_file(path)).map_err(io_error("remove", path))
}

/// Removes the file at `path`, if there is one; durable when this returns `Ok`.
///
/// # Errors
/// [`FileError::Io`].
pub fn remove_durably(path: &Path) -> Result<(), FileError> {
    remove(path)?;
    sync_dir(parent_of(path))
}

/// Removes the directory `path` and all in it, if there is one. A crash may leave some of it.
///
/// # Errors
/// [`FileError::Io`].
pub fn remove_tree(path: &Path) -> Result<(), FileError> {
    gone(fs::remove_dir_all(path)).map_err(io_error("remove", path))
}

/// What is not there is removed.
pub(super) fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The right to be the one process that uses a directory; given back on drop.
///
/// It is an advisory `flock` on `<directory>/LOCK`, which the kernel drops with the process however it
/// ends, so no stale lock can remain. The file itself stays, empty.
#[derive(Debug)]
pub struct DirLock {
    file: File,
}

impl DirLock {
    /// Takes the lock of `directory` without waiting.
    ///
    /// # Errors
    /// [`FileError::InUse`] while another holder (also one in this process) has it, else
    /// [`FileError::Io`].
    pub fn acquire(directory: &Path) -> Result<Self, FileError> {
        let path = directory.join("LOCK");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(io_error("open", &path))?;
        Self::of(directory, &path, file.try_lock(), file)
    }

    /// As [`DirLock::acquire`], for a start: waits for two seconds, since a process that was killed gives
    /// its memory back before its locks.
    ///
    /// # Errors
    /// As [`DirLock::acquire`].
    pub fn acquire_after_a_kill(directory: &Path) -> Result<Self, FileError> {
        let began = Instant::now();
        loop {
            match Self::acquire(directory) {
                Err(FileError::InUse { .. }) if began.elapsed() < ENDS_WITHIN => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                outcome => return outcome,
            }
        }
    }

    /// As [`DirLock::acquire`], for one who only reads: together with others who do, and without making
    /// the file. A directory that was never locked, as a copy may be, needs none.
    ///
    /// # Errors
    /// As [`DirLock::acquire`].
    pub fn acquire_shared(directory: &Path) -> Result<Option<Self>, FileError> {
        let path = directory.join("LOCK");
        match File::open(&path) {
            Ok(file) => Self::of(directory, &path, file.try_lock_shared(), file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("open", &path)(error)),
        }
    }

    fn of(
        directory: &Path,
        path: &Path,
        locked: Result<(), TryLockError>,
        file: File,
    ) -> Result<Self, FileError> {
        match locked {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(FileError::InUse { path: directory.into() }),
            Err(TryLockError::Error(source)) => Err(io_error("lock", path)(source)),
        }
    }
}

impl Drop for DirLock {
    /// Closing the file alone would leave the lock with a child that another thread has just forked, until
    /// that child becomes its program.
    fn drop(&mut self) {
        // What it comes to, closing comes to as well.
        let _ = self.file.unlock();
    }
}

fn temporary_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// The directory that holds `path`'s name; a bare name lies in the working directory.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError::Io { verb, path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_small_file_is_replaced_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mode");
        for content in ["a first, longer content", "second", ""] {
            write_durably(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(mode_of(&path), FILE_MODE);
            assert!(!temporary_of(&path).exists());
        }
    }

    #[test]
    fn what_was_made_in_memory_is_copied_whole_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        for (len, part_bytes) in [(0, 16), (16, 16), (100, 16), (5, 16)] {
            let content: Vec<u8> = (0..len).collect();
            let made = in_memory("test").unwrap();
            fs::write(path_of(&made), &content).unwrap();
            assert_eq!(copy_in_parts(made, &path, part_bytes).unwrap(), u64::from(len));
            assert_eq!(fs::read(&path).unwrap(), content);
            assert_eq!(mode_of(&path), FILE_MODE);
            assert!(
                copy_in_parts(in_memory("test").unwrap(), &path, 16).is_err(),
                "never over one"
            );
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_left_over_of_a_crash_is_never_continued() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mode");
        fs::write(temporary_of(&path), "half of an earlier, much longer attempt").unwrap();
        fs::set_permissions(temporary_of(&path), fs::Permissions::from_mode(0o666)).unwrap();
        write_durably(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(mode_of(&path), FILE_MODE);
    }

    #[test]
    fn a_failed_replacement_leaves_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "old").unwrap();
        let error = write_durably(&path, b"new").unwrap_err();
        assert!(error.to_string().starts_with("could not rename over"), "{error}");
        assert_eq!(fs::read(path.join("inside")).unwrap(), b"old");
        assert!(!temporary_of(&path).exists());
    }

    #[test]
    fn directories_are_made_private_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        create_dir_private(&deep).unwrap();
        create_dir_private(&deep).unwrap();
        assert_eq!(mode_of(&deep), DIR_MODE);
        assert_eq!(mode_of(&dir.path().join("a")), DIR_MODE);
        for mode in [0o750, 0o701] {
            fs::set_permissions(&deep, fs::Permissions::from_mode(mode)).unwrap();
            assert!(
                matches!(create_dir_private(&deep), Err(FileError::NotPrivate { mode: m, .. }) if m == mode)
            );
        }
    }

    #[test]
    fn a_second_holder_of_a_directory_is_refused_until_the_first_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(dir.path()).unwrap();
        assert!(matches!(DirLock::acquire(dir.path()), Err(FileError::InUse { .. })));
        // What a child has of it that another thread forks.
        let _copy = first.file.try_clone().unwrap();
        drop(first);
        DirLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn a_start_waits_for_a_holder_that_ends() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(dir.path()).unwrap();
        std::thread::scope(|scope| {
            let next = scope.spawn(|| DirLock::acquire_after_a_kill(dir.path()));
            std::thread::sleep(Duration::from_millis(50));
            drop(first);
            next.join().unwrap().unwrap();
        });
    }

    #[test]
    fn disk_space_counts_bytes_not_blocks() {
        let space = disk_space(Path::new("/")).unwrap();
        let total = space.bytes_used + space.bytes_free;
        assert!(space.bytes_used > 0 && total > 1 << 26, "{space:?}");
        assert!(disk_space(Path::new("/nowhere/at/all")).is_err());
    }
}
