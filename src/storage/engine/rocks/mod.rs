//! The durable engine: two RocksDB instances below one directory.
//!
//! `truth` writes a log that is recycled and fsynced commit by commit; `derived` writes no log and is
//! given table files in bulk. They are two because RocksDB refuses a recycled log together with writes that
//! skip it. Opening takes `LOCK` in the directory, so that there is one process on it.

mod deleting;
mod derived;
mod figures;
mod manifest;
mod options;
mod tables;
#[cfg(test)]
mod tests;
mod threads;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{ColumnFamily, DB, DBRawIterator, ReadOptions, WriteBatch, properties};

use self::deleting::Deleter;
use self::derived::Derived;
pub use self::options::RocksOptions;
use self::options::Shared;
use super::{
    CommitError, DerivedBatch, DerivedFamily, Durability, Engine, Figures, Item, Look, NoRoom,
    Resource, ScanLimit, StoreError, TruthBatch, TruthFamily, Usage,
};
use crate::storage::files::{self, DirLock};
use crate::storage::staging::STAGING;

/// What a copy may take beyond its links, in bytes: memtables that are flushed, and a copy of the log.
const CHECKPOINT_ROOM: u64 = 256 << 20;

/// The engine of a node that remembers.
pub struct RocksEngine {
    // In the order in which they are dropped: the lock goes when both instances are closed.
    /// None where nothing is removed.
    _deleter: Option<Deleter>,
    truth: DB,
    derived: Derived,
    shared: Arc<Shared>,
    writer: Mutex<()>,
    poisoned: AtomicBool,
    truth_is_new: bool,
    disk_bytes_free_min: u64,
    directory: PathBuf,
    /// None on a copy that was never in use, which is only read.
    _lock: Option<DirLock>,
}

impl RocksEngine {
    /// Opens the store in `directory`, or makes it with mode 0700 where it is missing.
    ///
    /// When this returns, what was recovered from truth's log lies in table files that this process
    /// wrote and fsynced: RocksDB flushes recovered memtables while opening (its option to avoid
    /// that is off). After a failed fsync the page cache may show a log that is not on disk; nothing
    /// read from it is relied upon before it is written anew.
    ///
    /// Derived data that is too damaged to be opened is no reason not to: see
    /// [`Engine::derived_is_damaged`].
    ///
    /// # Errors
    /// [`StoreError::File`] when the directory is in use, open to others or not reachable, and
    /// [`StoreError::Backend`] when an instance cannot be opened.
    pub fn open(directory: &Path, options: &RocksOptions) -> Result<Self, StoreError> {
        let truth_dir = directory.join("truth");
        files::create_dir_private(directory)?;
        let lock = DirLock::acquire_after_a_kill(directory)?;
        // A snapshot that a killed process was making pins files that are long replaced.
        files::remove_tree(&directory.join(STAGING))?;
        // RocksDB writes CURRENT last when it makes an instance.
        let truth_is_new = !truth_dir.join("CURRENT").exists();
        files::create_dir_private(&truth_dir)?;
        deleting::clear(&truth_dir)?;
        let shared = Arc::new(Shared::new(options));
        threads::start(options).map_err(backend("start threads for"))?;
        let (truth, derived) = open_both(
            || {
                let truth_options = options::truth_instance(options, &shared);
                let families = options::truth_families(&shared);
                is_readable(&truth_dir)?;
                DB::open_cf_descriptors(&truth_options, &truth_dir, families)
                    .map_err(backend("open truth of"))
            },
            || Derived::open(directory, options, &shared),
        );
        let (truth, derived) = (truth?, derived?);
        let deleter = Deleter::start(vec![truth_dir, directory.join(derived::DIR)]);
        let deleter = deleter.map_err(|source| StoreError::Backend {
            verb: "start the thread that removes tables of",
            message: source.to_string(),
        })?;
        Ok(Self {
            _deleter: Some(deleter),
            truth,
            derived,
            shared,
            writer: Mutex::new(()),
            poisoned: AtomicBool::new(false),
            truth_is_new,
            disk_bytes_free_min: options.disk_bytes_free_min,
            directory: directory.into(),
            _lock: Some(lock),
        })
    }

    /// Opens the store in `directory` to be read alone: no file in it is written, made or removed, and
    /// every write is refused. What a log holds and no table does is read into memory.
    ///
    /// # Errors
    /// As [`RocksEngine::open`]; a store that another process has open is in use.
    pub fn open_read_only(directory: &Path, options: &RocksOptions) -> Result<Self, StoreError> {
        let lock = DirLock::acquire_shared(directory)?;
        let truth_dir = directory.join("truth");
        let shared = Arc::new(Shared::new(options));
        let mut truth_options = options::truth_instance(options, &shared);
        truth_options.create_if_missing(false);
        truth_options.create_missing_column_families(false);
        let families = options::truth_families(&shared);
        is_readable(&truth_dir)?;
        let truth = DB::open_cf_descriptors_read_only(&truth_options, &truth_dir, families, false)
            .map_err(backend("open truth of"))?;
        Ok(Self {
            _deleter: None,
            truth,
            derived: Derived::open_read_only(directory, options, &shared),
            shared,
            writer: Mutex::new(()),
            poisoned: AtomicBool::new(true),
            truth_is_new: false,
            disk_bytes_free_min: options.disk_bytes_free_min,
            directory: directory.into(),
            _lock: lock,
        })
    }

    /// Whether this opening made truth. Where derived data is not new then, truth was lost: the
    /// caller decides what that means.
    pub fn truth_is_new(&self) -> bool {
        self.truth_is_new
    }

    /// Whether this opening made the derived instance.
    pub fn derived_is_new(&self) -> bool {
        self.derived.is_new()
    }

    /// Bytes in the block cache and in memtables.
    pub fn memory_bytes(&self) -> usize {
        self.shared.bytes()
    }

    fn truth_family(&self, family: TruthFamily) -> &ColumnFamily {
        self.truth.cf_handle(family.name()).expect("opened with every family of truth")
    }

    fn check_poison(&self) -> Result<(), CommitError> {
        match self.is_poisoned() {
            true => Err(CommitError::Unknown(StoreError::Poisoned)),
            false => Ok(()),
        }
    }

    fn write_truth(&self, batch: &TruthBatch) -> Result<(), CommitError> {
        let mut write = WriteBatch::with_capacity_bytes(encoded_bytes(batch));
        for (family, key, value) in batch.puts() {
            write.put_cf(self.truth_family(*family), key, value);
        }
        // From here on nothing is known of the disk until RocksDB says Ok. Whatever it does to
        // recover from its own error, this writer does not write again.
        let poison = PoisonOnDrop(&self.poisoned);
        self.truth
            .write_opt(write, &options::truth_write())
            .map_err(|error| CommitError::Unknown(backend("commit to")(error)))?;
        poison.defuse();
        Ok(())
    }
}

impl Engine for RocksEngine {
    fn durability(&self) -> Durability {
        Durability::Fsync
    }

    fn commit(&self, batch: &TruthBatch) -> Result<(), CommitError> {
        let _writer = self.writer.lock();
        self.check_poison()?;
        self.room(batch.bytes()).map_err(CommitError::NotWritten)?;
        self.write_truth(batch)
    }

    fn commit_again(&self, batch: &TruthBatch) -> Result<(), CommitError> {
        let _writer = self.writer.lock();
        self.check_poison()?;
        self.write_truth(batch)
    }

    fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    fn truth_get(&self, family: TruthFamily, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.truth.get_cf(self.truth_family(family), key).map_err(backend("read"))
    }

    fn truth_last_at_or_before(
        &self,
        family: TruthFamily,
        key: &[u8],
    ) -> Result<Option<Item>, StoreError> {
        let mut cursor = self.truth.raw_iterator_cf(self.truth_family(family));
        cursor.seek_for_prev(key);
        let last = cursor.item().map(|(key, value)| (key.to_vec(), value.to_vec()));
        cursor.status().map_err(backend("read"))?;
        Ok(last)
    }

    fn truth_each_at_or_before(
        &self,
        family: TruthFamily,
        keys: &[[u8; 8]],
        look: &mut Look<'_>,
    ) -> Result<(), StoreError> {
        // A cursor over all levels costs more than a seek.
        let mut cursor = self.truth.raw_iterator_cf(self.truth_family(family));
        for (at, key) in keys.iter().enumerate() {
            cursor.seek_for_prev(key);
            cursor.status().map_err(backend("read"))?;
            look(at, cursor.item());
        }
        Ok(())
    }

    fn truth_scan(
        &self,
        family: TruthFamily,
        from: &[u8],
        limit: ScanLimit,
    ) -> Result<Vec<Item>, StoreError> {
        let mut read = ReadOptions::default();
        // Replays and exports read each block once: they must not drive out what is read often.
        read.fill_cache(false);
        let cursor = self.truth.raw_iterator_cf_opt(self.truth_family(family), read);
        collect(cursor, from, limit).map_err(backend("read"))
    }

    fn derived_get(
        &self,
        family: DerivedFamily,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.derived.read(|db| db.get_cf(handle(db, family), key))
    }

    fn derived_multi_get(
        &self,
        family: DerivedFamily,
        keys: &[&[u8]],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.derived.read(|db| {
            let keys_sorted = keys.is_sorted();
            let values =
                db.batched_multi_get_cf(handle(db, family), keys.iter().copied(), keys_sorted);
            values.into_iter().map(|value| Ok(value?.map(|value| value.to_vec()))).collect()
        })
    }

    fn derived_scan(
        &self,
        family: DerivedFamily,
        from: &[u8],
        to: Option<&[u8]>,
        limit: ScanLimit,
    ) -> Result<Vec<Item>, StoreError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        let mut read = ReadOptions::default();
        if let Some(to) = to {
            read.set_iterate_upper_bound(to);
        }
        self.derived
            .read(|db| collect(db.raw_iterator_cf_opt(handle(db, family), read), from, limit))
    }

    fn derived_write(&self, mut batch: DerivedBatch) -> Result<(), StoreError> {
        batch.sort();
        self.derived.write(&batch)
    }

    fn compact(&self) -> Result<(), StoreError> {
        for family in TruthFamily::ALL {
            let family = self.truth_family(family);
            self.truth.flush_cf(family).map_err(backend("flush"))?;
            self.truth.compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
        }
        self.derived.read(|db| {
            for family in DerivedFamily::ALL {
                db.compact_range_cf(handle(db, family), None::<&[u8]>, None::<&[u8]>);
            }
            Ok(())
        })
    }

    fn derived_flush(&self) -> Result<(), StoreError> {
        // A batch is on the disk when it is written.
        Ok(())
    }

    fn derived_behind(&self) -> u8 {
        self.derived.behind()
    }

    fn derived_wipe(&self) -> Result<(), StoreError> {
        self.derived.wipe()
    }

    fn derived_is_damaged(&self) -> bool {
        self.derived.is_damaged()
    }

    fn directory(&self) -> Option<&Path> {
        Some(&self.directory)
    }

    fn checkpoint(&self, into: &Path) -> Result<(), StoreError> {
        // What the flushes below need must not come out of the reserve.
        self.room(CHECKPOINT_ROOM)?;
        let copy = |db: &DB, name| Checkpoint::new(db)?.create_checkpoint(into.join(name));
        if !self.derived_is_damaged() {
            self.derived.copy(|db| copy(db, "derived"))?;
        }
        copy(&self.truth, "truth").map_err(backend("copy truth of"))
    }

    fn room(&self, bytes: u64) -> Result<(), StoreError> {
        let bytes_free = files::disk_space(&self.directory)?.bytes_free;
        let bytes_needed = self.disk_bytes_free_min.saturating_add(bytes);
        if bytes_needed > bytes_free {
            return Err(NoRoom { resource: Resource::Disk, bytes_needed, bytes_free }.into());
        }
        Ok(())
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        let space = files::disk_space(&self.directory)?;
        // Truth's memtables stand for its log.
        let on_disk = [properties::TOTAL_SST_FILES_SIZE, properties::SIZE_ALL_MEM_TABLES];
        let mut bytes_own = 0;
        for (family, property) in
            TruthFamily::ALL.iter().flat_map(|family| on_disk.map(|property| (family, property)))
        {
            let bytes = self.truth.property_int_value_cf(self.truth_family(*family), property);
            bytes_own += bytes.map_err(backend("measure"))?.unwrap_or(0);
        }
        for family in DerivedFamily::ALL {
            let bytes = self.derived.read(|db| {
                db.property_int_value_cf(handle(db, family), properties::TOTAL_SST_FILES_SIZE)
            });
            bytes_own += bytes?.unwrap_or(0);
        }
        Ok(Usage {
            bytes_used: space.bytes_used,
            bytes_total: space.bytes_used.saturating_add(space.bytes_free),
            bytes_own: bytes_own.min(space.bytes_used),
        })
    }

    fn figures(&self) -> Option<Figures> {
        let families = TruthFamily::ALL.iter().map(|family| self.truth_family(*family));
        let counted = &self.shared.truth_counted;
        Some(Figures {
            truth: figures::of_instance(counted, Some(&self.truth), families),
            derived: self.derived.figures(),
            log_syncs: figures::log_syncs(counted),
            cache_bytes: self.shared.cache.get_usage() as u64,
            cache_bytes_max: self.shared.cache_bytes_max,
        })
    }
}

/// Whether RocksDB comes back from reading which files there are.
fn is_readable(truth: &Path) -> Result<(), StoreError> {
    manifest::check(truth).map_err(|message| StoreError::Backend { verb: "open truth of", message })
}

/// Opens the instances side by side: each waits for the disk most of its time.
fn open_both(
    truth: impl FnOnce() -> Result<DB, StoreError>,
    derived: impl FnOnce() -> Result<Derived, StoreError> + Send,
) -> (Result<DB, StoreError>, Result<Derived, StoreError>) {
    std::thread::scope(|scope| {
        let derived = scope.spawn(|| {
            let started = Instant::now();
            let opened = derived();
            tracing::info!(millis = started.elapsed().as_millis() as u64, "derived data is open");
            opened
        });
        let started = Instant::now();
        let truth = truth();
        tracing::info!(millis = started.elapsed().as_millis() as u64, "truth is open");
        let derived = derived.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (truth, derived)
    })
}

/// Poisons the writer unless the write is known to have succeeded: an error and a panic both leave
/// the disk in doubt.
struct PoisonOnDrop<'a>(&'a AtomicBool);

impl PoisonOnDrop<'_> {
    fn defuse(self) {
        std::mem::forget(self);
    }
}

impl Drop for PoisonOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// About the size of `batch` in RocksDB's form: a put has a tag, a family number and two lengths.
fn encoded_bytes(batch: &TruthBatch) -> usize {
    batch.bytes() as usize + 16 * (batch.puts().len() + 1)
}

fn collect(
    mut cursor: DBRawIterator<'_>,
    from: &[u8],
    limit: ScanLimit,
) -> Result<Vec<Item>, rocksdb::Error> {
    let mut items = Vec::new();
    let mut bytes = 0;
    cursor.seek(from);
    while let Some((key, value)) = cursor.item() {
        items.push((key.to_vec(), value.to_vec()));
        bytes += key.len() + value.len();
        if limit.reached(items.len(), bytes) {
            break;
        }
        cursor.next();
    }
    // A cursor ends at an error as it ends at the last key.
    cursor.status()?;
    Ok(items)
}

fn handle(db: &DB, family: DerivedFamily) -> &ColumnFamily {
    db.cf_handle(family.name()).expect("opened with every derived family")
}

fn backend(verb: &'static str) -> impl Fn(rocksdb::Error) -> StoreError {
    move |error| StoreError::Backend { verb, message: error.into_string() }
}
