//! Gives the room of removed tables back piece by piece.
//!
//! A file system that is mounted with `discard` tells its disk of all blocks that are free again, and the disk
//! may answer nothing else meanwhile: an fsync beside the removal of a table of 64 MiB takes 20 ms. RocksDB
//! removes a table in one go. So each table has a second name here, and once RocksDB has removed the first one
//! the file is shortened bit by bit. A table that has gone before it had a second name was small.
//!
//! RocksDB leaves alone what it does not know in the directory of an instance, and a wipe takes it along.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::DELETING;
use crate::storage::background;
use crate::storage::files::{self, FileError};

/// How often tables are looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Bytes that are given back at once, which takes a disk well below a millisecond.
const PIECE_BYTES: u64 = 1 << 20;

/// Between two pieces: some 400 MB are given back in a second, more than merges write.
const PAUSE: Duration = Duration::from_millis(2);

/// The thread that does so, for as long as the instances are open.
pub(super) struct Deleter {
    /// Its end is what ends the thread.
    lease: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Deleter {
    /// For the instances in these directories.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(instances: Vec<PathBuf>) -> io::Result<Self> {
        let (lease, end) = channel();
        let thread = std::thread::Builder::new().name("table-delete".into()).spawn(move || {
            background::give_way();
            let mut told = false;
            while !ended_within(&end, LOOK) {
                for instance in &instances {
                    // Slower for others, and nothing worse: told once.
                    if let Err(error) = look(instance, &end)
                        && !std::mem::replace(&mut told, true)
                    {
                        tracing::info!(%error, "a table may be removed in one go");
                    }
                }
            }
            // A copy of what then lies still is not twice as large.
            instances.iter().for_each(|instance| drop(clear(instance)));
        })?;
        Ok(Self { lease: Some(lease), thread: Some(thread) })
    }
}

/// What is not given back yet is given back at once.
impl Drop for Deleter {
    fn drop(&mut self) {
        drop(self.lease.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was logged where it happened.
            drop(thread.join());
        }
    }
}

/// Removes all second names, and what has no other. A process that was killed has left some, and before the instance
/// is opened they have to go: a number may be used again.
///
/// # Errors
/// When it cannot be removed.
pub(super) fn clear(instance: &Path) -> Result<(), FileError> {
    files::remove_tree(&instance.join(DELETING))
}

fn ended_within(end: &Receiver<()>, pause: Duration) -> bool {
    !matches!(end.recv_timeout(pause), Err(RecvTimeoutError::Timeout))
}

/// Gives new tables their second name, and removes those that have no other any more.
fn look(instance: &Path, end: &Receiver<()>) -> Result<(), FileError> {
    let deleting = instance.join(DELETING);
    files::create_dir_private(&deleting)?;
    let failed = |path: &Path, verb| {
        let path = path.to_owned();
        move |source| FileError::Io { verb, path, source }
    };
    let held = names_in(&deleting).map_err(failed(&deleting, "list"))?;
    let tables = names_in(instance).map_err(failed(instance, "list"))?;
    for name in
        tables.difference(&held).filter(|name| Path::new(name).extension() == Some("sst".as_ref()))
    {
        // Each of them may be removed meanwhile.
        files::gone(fs::hard_link(instance.join(name), deleting.join(name)))
            .map_err(failed(&deleting.join(name), "link"))?;
    }
    for path in held.difference(&tables).map(|name| deleting.join(name)) {
        files::gone(delete(&path, || ended_within(end, PAUSE))).map_err(failed(&path, "remove"))?;
    }
    Ok(())
}

fn names_in(directory: &Path) -> io::Result<HashSet<OsString>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Shortens the file to nothing and removes it, unless a copy of the store has it too: then it is that copy's, and
/// looked at again later. `pause` says whether all has to end.
fn delete(path: &Path, mut pause: impl FnMut() -> bool) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let about = file.metadata()?;
    if about.nlink() > 1 {
        return Ok(());
    }
    let mut bytes = about.len();
    while bytes > PIECE_BYTES {
        bytes -= PIECE_BYTES;
        file.set_len(bytes)?;
        if pause() {
            return Ok(());
        }
    }
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::{RocksEngine, RocksOptions};
    use super::*;
    use crate::storage::engine::{DerivedBatch, DerivedFamily, Engine as _};

    fn looks(instance: &Path, times: usize) {
        let (_lease, end) = channel();
        (0..times).for_each(|_| look(instance, &end).unwrap());
    }

    #[test]
    fn a_removed_table_is_shortened_piece_by_piece_and_then_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.sst");
        fs::write(&path, vec![7; 3 * PIECE_BYTES as usize + 1]).unwrap();
        let mut sizes = Vec::new();
        delete(&path, || {
            sizes.push(fs::metadata(&path).unwrap().len());
            false
        })
        .unwrap();
        assert_eq!(sizes, [2 * PIECE_BYTES + 1, PIECE_BYTES + 1, 1]);
        assert!(!path.exists());
    }

    #[test]
    fn a_table_goes_with_its_last_other_name_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let (table, copy) = (dir.path().join("7.sst"), dir.path().join("copy"));
        let held = dir.path().join(DELETING).join("7.sst");
        fs::write(&table, b"rows").unwrap();
        fs::write(dir.path().join("CURRENT"), b"").unwrap();
        looks(dir.path(), 2);
        assert_eq!(names_in(&dir.path().join(DELETING)).unwrap(), HashSet::from(["7.sst".into()]));

        fs::hard_link(&table, &copy).unwrap();
        fs::remove_file(&table).unwrap();
        looks(dir.path(), 1);
        assert_eq!(fs::read(&copy).unwrap(), b"rows");
        fs::remove_file(&copy).unwrap();
        looks(dir.path(), 1);
        assert!(!held.exists());
    }

    #[test]
    fn a_number_that_is_used_again_is_another_table() {
        let dir = tempfile::tempdir().unwrap();
        let table = dir.path().join("7.sst");
        fs::write(&table, b"old").unwrap();
        looks(dir.path(), 1);
        fs::remove_file(&table).unwrap();
        fs::write(&table, b"new").unwrap();
        looks(dir.path(), 1);
        assert_eq!(fs::read(&table).unwrap(), b"new");
        fs::remove_file(&table).unwrap();
        looks(dir.path(), 1);
        assert_eq!(names_in(&dir.path().join(DELETING)).unwrap(), HashSet::new());
        clear(dir.path()).unwrap();
        assert!(!dir.path().join(DELETING).exists());
    }

    fn comes_true(is: impl Fn() -> bool) {
        let since = Instant::now();
        while !is() {
            assert!(since.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn the_tables_that_a_merge_has_replaced_are_given_back_while_the_store_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let engine = RocksEngine::open(&data, &RocksOptions::default()).unwrap();
        for value in [b"1", b"2"] {
            let mut batch = DerivedBatch::new();
            batch.put(DerivedFamily::Ids, b"id", value);
            engine.derived_write(batch).unwrap();
        }
        let derived = data.join("derived");
        let held = || names_in(&derived.join(DELETING)).unwrap_or_default();
        comes_true(|| held().len() == 2);
        engine.compact().unwrap();
        let merged = names_in(&derived).unwrap();
        let replaced: Vec<_> = held().into_iter().filter(|name| !merged.contains(name)).collect();
        assert!(!replaced.is_empty(), "{merged:?}");
        comes_true(|| !replaced.iter().any(|name| held().contains(name)));
        assert_eq!(engine.derived_get(DerivedFamily::Ids, b"id").unwrap().unwrap(), b"2");

        drop(engine);
        assert!(!derived.join(DELETING).exists());
        fs::create_dir(derived.join(DELETING)).unwrap();
        fs::write(derived.join(DELETING).join("left"), b"by a killed process").unwrap();
        let again = RocksEngine::open(&data, &RocksOptions::default()).unwrap();
        assert!(!held().contains::<std::ffi::OsStr>("left".as_ref()));
        drop(again);
    }
}
