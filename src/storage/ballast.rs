//! Ballast: a file in the data directory that takes room from everybody, for drills.
//!
//! It never outlives its purpose: whoever holds a [`Ballast`] removes it on drop, a deadline removes
//! it whatever its holder does, and each start of a node removes what a killed one left.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate};

use super::files::{DiskSpace, FILE_MODE, FileError, disk_space, remove_durably};

/// The file's name in a data directory.
pub const BALLAST_NAME: &str = "chaos.ballast";

/// Why there is no ballast.
#[derive(Debug, thiserror::Error)]
pub enum BallastError {
    /// The file system is fuller than that without it.
    #[error("{used} % are in use already: nothing to fill")]
    Full {
        /// In percent, rounded down.
        used: u8,
    },
    /// The operating system refused; nothing is left behind.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Ballast that lies there until its deadline, or until it is dropped.
#[derive(Debug)]
pub struct Ballast {
    bytes: u64,
    /// Dropped first: its end is what wakes the keeper.
    lease: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Ballast {
    /// Fills the file system of the directory `dir` up to `percent`, for no longer than `lasting`.
    ///
    /// # Errors
    /// [`BallastError`].
    pub fn lay(dir: &Path, percent: u8, lasting: Duration) -> Result<Self, BallastError> {
        remove(dir)?;
        let space = disk_space(dir)?;
        let bytes = missing(space, percent)
            .ok_or_else(|| BallastError::Full { used: percent_used(space) })?;
        Ok(Self::of(dir, bytes, lasting)?)
    }

    fn of(dir: &Path, bytes: u64, lasting: Duration) -> Result<Self, FileError> {
        let path = dir.join(BALLAST_NAME);
        let failed = |verb, source| FileError::Io { verb, path: path.clone(), source };
        let made = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path);
        let file = made.map_err(|error| failed("create", error))?;
        if let Err(error) = fill(&file, bytes) {
            remove(dir)?;
            return Err(failed("fill", error));
        }
        let (lease, end) = channel();
        let (kept, name) = (dir.to_owned(), "ballast".to_owned());
        let keeper =
            std::thread::Builder::new().name(name).spawn(move || keep(&kept, &end, lasting));
        match keeper {
            Ok(keeper) => Ok(Ballast { bytes, lease: Some(lease), keeper: Some(keeper) }),
            Err(error) => {
                remove(dir)?;
                Err(failed("keep", error))
            }
        }
    }

    /// Its size; 0 once its deadline has passed.
    pub fn bytes(&self) -> u64 {
        let lies = self.keeper.as_ref().is_some_and(|keeper| !keeper.is_finished());
        if lies { self.bytes } else { 0 }
    }
}

/// The file is gone when this returns.
impl Drop for Ballast {
    fn drop(&mut self) {
        drop(self.lease.take());
        if let Some(keeper) = self.keeper.take() {
            // It cannot panic, and there would be nothing to add to what it said.
            let _ = keeper.join();
        }
    }
}

/// Removes the ballast that lies in the directory `dir`, whoever laid it.
///
/// # Errors
/// [`FileError::Io`].
pub fn remove(dir: &Path) -> Result<(), FileError> {
    let path: PathBuf = dir.join(BALLAST_NAME);
    if path.exists() { remove_durably(&path) } else { Ok(()) }
}

fn keep(dir: &Path, end: &Receiver<()>, lasting: Duration) {
    if let Err(RecvTimeoutError::Timeout) = end.recv_timeout(lasting) {
        tracing::warn!("the ballast's time is over");
    }
    if let Err(error) = remove(dir) {
        tracing::error!(%error, "the ballast is left behind: remove it by hand");
    }
}

fn fill(file: &File, bytes: u64) -> std::io::Result<()> {
    fallocate(file, FallocateFlags::empty(), 0, bytes)?;
    Ok(())
}

/// In whole percent of what this user can have, as the disk marks count it.
pub fn percent_used(space: DiskSpace) -> u8 {
    let total = u128::from(space.bytes_used) + u128::from(space.bytes_free);
    u8::try_from(u128::from(space.bytes_used) * 100 / total.max(1)).unwrap_or(100)
}

/// What has to be added until `percent` are in use; `None` when they are.
fn missing(space: DiskSpace, percent: u8) -> Option<u64> {
    let total = u128::from(space.bytes_used) + u128::from(space.bytes_free);
    // Rounded up, so that the mark is reached when all of it is there.
    let wanted = (total * u128::from(percent.min(100))).div_ceil(100);
    let bytes = u64::try_from(wanted).unwrap_or(u64::MAX).checked_sub(space.bytes_used)?;
    (bytes > 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_what_is_missing_to_the_mark() {
        let space = |used, free| DiskSpace { bytes_used: used, bytes_free: free };
        for (used, free, percent, expected) in [
            (50, 50, 95, Some(45)),
            (0, 1_000, 1, Some(10)),
            (1, 2, 50, Some(1)),
            (95, 5, 95, None),
            (96, 4, 95, None),
            (u64::MAX / 2, u64::MAX / 2, 100, Some(u64::MAX / 2)),
        ] {
            assert_eq!(missing(space(used, free), percent), expected, "{used} {free} {percent}");
        }
        assert_eq!([(0, 0), (1, 2), (95, 5)].map(|(u, f)| percent_used(space(u, f))), [0, 33, 95]);
    }

    #[test]
    fn ballast_goes_when_it_is_dropped_and_when_its_time_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(BALLAST_NAME);
        let ballast = Ballast::of(dir.path(), 1 << 20, Duration::from_secs(600)).unwrap();
        assert_eq!((std::fs::metadata(&path).unwrap().len(), ballast.bytes()), (1 << 20, 1 << 20));
        drop(ballast);
        assert!(!path.exists());
        let ballast = Ballast::of(dir.path(), 1 << 20, Duration::ZERO).unwrap();
        while ballast.bytes() > 0 {
            std::thread::yield_now();
        }
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_a_full_disk_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(BALLAST_NAME);
        std::fs::write(&path, b"left").unwrap();
        remove(dir.path()).unwrap();
        assert!(!path.exists());
        remove(dir.path()).unwrap();
        let full = Ballast::lay(dir.path(), 0, Duration::ZERO).unwrap_err();
        assert!(matches!(full, BallastError::Full { .. }), "{full}");
        assert!(Ballast::lay(&dir.path().join("missing"), 99, Duration::ZERO).is_err());
    }
}
