//! Batches of derived data as table files, which RocksDB takes in as they are.
//!
//! Through memtables each change would be copied twice and ordered once more.
//!
//! RocksDB takes files into one family at a time, and a batch is to be whole in all of them. So its tables are
//! made in a directory of their own, and a file beside them decides, which is made when all of them are on the
//! disk: from then on the batch is there, and what was not taken in by the end of a process is taken in when the
//! instance is opened. To take a table in twice changes nothing, since nothing else writes to the instance.

use std::path::{Path, PathBuf};

use rocksdb::{DB, IngestExternalFileOptions, Options, SstFileWriter};

use super::super::batch::DerivedChange;
use super::options::TableOptions;
use super::{DerivedBatch, DerivedFamily, StoreError, backend, handle};
use crate::storage::files::{self, FileError};

/// Within the instance's directory, where RocksDB leaves alone what it does not know, and a wipe takes it along.
const DIR: &str = "batch";
/// Says that all tables beside it are whole. Between its removal and the next table lies an fsync.
const WHOLE: &str = "whole";

/// A table goes to the disk in parts of so many bytes, so that no commit's fsync waits behind all of it.
const PART_BYTES: usize = 256 << 10;

/// Makes the tables of `batch`, which is sorted and not empty, and says how many bytes they have. No other batch
/// is waiting, and nothing is left of one.
///
/// # Errors
/// When the disk does not take them; the instance is as it was.
pub(super) fn make(
    instance: &Path,
    batch: &DerivedBatch,
    options: &TableOptions,
) -> Result<u64, StoreError> {
    let making = instance.join(DIR);
    files::create_dir_private(&making)?;
    let (mut changes, mut bytes) = (batch.changes().peekable(), 0);
    while let Some(&(family, ..)) = changes.peek() {
        let of_family = std::iter::from_fn(|| changes.next_if(|(of, ..)| *of == family));
        bytes += write_table(&table_of(instance, family), options.of(family), of_family)?;
    }
    // Which makes the names of the tables durable as well, but not before its own.
    files::sync_dir(&making)?;
    files::write_durably(&making.join(WHOLE), b"")?;
    Ok(bytes)
}

/// RocksDB's writer has the system forget what it wrote, which a merge at the latest would read from the disk
/// again, and brings it to the disk in one piece. So it writes into memory, and what it has made is copied.
fn write_table<'a>(
    path: &Path,
    options: &Options,
    changes: impl Iterator<Item = DerivedChange<'a>>,
) -> Result<u64, StoreError> {
    const VERB: &str = "make a table for";
    let made = files::in_memory("table")?;
    let mut writer = SstFileWriter::create(options);
    writer.open(files::path_of(&made)).map_err(backend(VERB))?;
    for (_, key, value) in changes {
        let added = match value {
            Some(value) => writer.put(key, value),
            None => writer.delete(key),
        };
        added.map_err(backend(VERB))?;
    }
    writer.finish().map_err(backend(VERB))?;
    Ok(files::copy_in_parts(made, path, PART_BYTES)?)
}

/// The tables of a batch that are not, or not surely, taken in.
///
/// # Errors
/// When it cannot be told.
pub(super) fn waiting(instance: &Path) -> Result<Vec<(DerivedFamily, PathBuf)>, FileError> {
    let mut waiting = Vec::new();
    if files::exists(&instance.join(DIR).join(WHOLE))? {
        for family in DerivedFamily::ALL {
            let table = table_of(instance, family);
            if files::exists(&table)? {
                waiting.push((family, table));
            }
        }
    }
    Ok(waiting)
}

/// Takes in what waits.
///
/// # Errors
/// RocksDB's; what was not taken in still waits.
pub(super) fn take_in(db: &DB, waiting: &[(DerivedFamily, PathBuf)]) -> Result<(), rocksdb::Error> {
    let mut options = IngestExternalFileOptions::default();
    // A link in place of a copy; what was taken in is removed here.
    options.set_move_files(true);
    for (family, table) in waiting {
        db.ingest_external_file_cf_opts(handle(db, *family), &options, vec![table])?;
    }
    Ok(())
}

/// Removes what was taken in, or was not made to its end; to be done before the next batch.
///
/// # Errors
/// When it cannot be removed.
pub(super) fn clear(instance: &Path) -> Result<(), FileError> {
    let whole = instance.join(DIR).join(WHOLE);
    if files::exists(&whole)? {
        files::remove_durably(&whole)?;
    }
    DerivedFamily::ALL.iter().try_for_each(|family| files::remove(&table_of(instance, *family)))
}

fn table_of(instance: &Path, family: DerivedFamily) -> PathBuf {
    instance.join(DIR).join(family.name()).with_extension("sst")
}
