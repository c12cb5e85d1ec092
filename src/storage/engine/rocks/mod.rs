//! The durable engine: two RocksDB instances below one directory.
//!
//! `truth` writes a log that is recycled and fsynced commit by commit; `derived` writes no log and is
//! flushed in bulk. They are two because RocksDB refuses a recycled log together with writes that
//! skip it. Opening takes `LOCK` in the directory, so that there is one process on it.

mod options;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBRawIterator, FlushOptions, ReadOptions, WriteBatch,
    properties,
};

pub use self::options::RocksOptions;
use self::options::Shared;
use super::{
    CommitError, DerivedBatch, DerivedFamily, Durability, Engine, Item, NoRoom, Resource,
    ScanLimit, StoreError, TruthBatch, TruthFamily, Usage,
};
use crate::storage::files::{self, DirLock};

/// The engine of a node that remembers.
pub struct RocksEngine {
    // In the order in which they are dropped: the lock goes when both instances are closed.
    truth: DB,
    derived: DB,
    shared: Shared,
    writer: Mutex<()>,
    poisoned: AtomicBool,
    truth_is_new: bool,
    derived_is_new: bool,
    disk_bytes_free_min: u64,
    directory: PathBuf,
    _lock: DirLock,
}

impl RocksEngine {
    /// Opens the store in `directory`, or makes it with mode 0700 where it is missing.
    ///
    /// When this returns, what was recovered from truth's log lies in table files that this process
    /// wrote and fsynced: RocksDB flushes recovered memtables while opening (its option to avoid
    /// that is off). After a failed fsync the page cache may show a log that is not on disk; nothing
    /// read from it is relied upon before it is written anew.
    ///
    /// # Errors
    /// [`StoreError::File`] when the directory is in use, open to others or not reachable, and
    /// [`StoreError::Backend`] when an instance cannot be opened.
    pub fn open(directory: &Path, options: &RocksOptions) -> Result<Self, StoreError> {
        let (truth_dir, derived_dir) = (directory.join("truth"), directory.join("derived"));
        files::create_dir_private(directory)?;
        let lock = DirLock::acquire(directory)?;
        // RocksDB writes CURRENT last when it makes an instance.
        let truth_is_new = !truth_dir.join("CURRENT").exists();
        let derived_is_new = !derived_dir.join("CURRENT").exists();
        files::create_dir_private(&truth_dir)?;
        files::create_dir_private(&derived_dir)?;
        let shared = Shared::new(options);
        let open = |db: &rocksdb::Options, path: &Path, families: Vec<ColumnFamilyDescriptor>| {
            DB::open_cf_descriptors(db, path, families)
        };
        let truth_options = options::truth_instance(options, &shared);
        let truth = open(&truth_options, &truth_dir, options::truth_families(&shared))
            .map_err(backend("open truth of"))?;
        let derived_options = options::derived_instance(options, &shared);
        let derived = open(&derived_options, &derived_dir, options::derived_families(&shared))
            .map_err(backend("open derived data of"))?;
        Ok(Self {
            truth,
            derived,
            shared,
            writer: Mutex::new(()),
            poisoned: AtomicBool::new(false),
            truth_is_new,
            derived_is_new,
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
        self.derived_is_new
    }

    /// Bytes in the block cache and in memtables.
    pub fn memory_bytes(&self) -> usize {
        self.shared.bytes()
    }

    fn truth_family(&self, family: TruthFamily) -> &ColumnFamily {
        self.truth.cf_handle(family.name()).expect("opened with every family of truth")
    }

    fn derived_family(&self, family: DerivedFamily) -> &ColumnFamily {
        self.derived.cf_handle(family.name()).expect("opened with every derived family")
    }

    /// All keys of a family as a range that RocksDB can delete; `None` where there are none.
    fn range_of(&self, family: DerivedFamily) -> Result<Option<Vec<u8>>, StoreError> {
        let mut cursor = self.derived.raw_iterator_cf(self.derived_family(family));
        cursor.seek_to_last();
        let last = cursor.key().map(<[u8]>::to_vec);
        cursor.status().map_err(backend("read"))?;
        Ok(last.map(|mut key| {
            // The least key after the last.
            key.push(0);
            key
        }))
    }
}

impl Engine for RocksEngine {
    fn durability(&self) -> Durability {
        Durability::Fsync
    }

    fn commit(&self, batch: &TruthBatch) -> Result<(), CommitError> {
        let _writer = self.writer.lock();
        if self.poisoned.load(Ordering::Acquire) {
            return Err(CommitError::Unknown(StoreError::Poisoned));
        }
        self.room(batch.bytes()).map_err(CommitError::NotWritten)?;
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

    fn truth_scan(
        &self,
        family: TruthFamily,
        from: &[u8],
        limit: ScanLimit,
    ) -> Result<Vec<Item>, StoreError> {
        let mut read = ReadOptions::default();
        // Replays and exports read each block once: they must not drive out what is read often.
        read.fill_cache(false);
        collect(self.truth.raw_iterator_cf_opt(self.truth_family(family), read), from, limit)
    }

    fn derived_get(
        &self,
        family: DerivedFamily,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.derived.get_cf(self.derived_family(family), key).map_err(backend("read"))
    }

    fn derived_multi_get(
        &self,
        family: DerivedFamily,
        keys: &[&[u8]],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let sorted = keys.is_sorted();
        let family = self.derived_family(family);
        let values = self.derived.batched_multi_get_cf(family, keys.iter().copied(), sorted);
        values
            .into_iter()
            .map(|value| Ok(value.map_err(backend("read"))?.map(|value| value.to_vec())))
            .collect()
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
        collect(self.derived.raw_iterator_cf_opt(self.derived_family(family), read), from, limit)
    }

    fn derived_write(&self, batch: DerivedBatch) -> Result<(), StoreError> {
        let mut write = WriteBatch::with_capacity_bytes(2 * batch.bytes() as usize);
        for (family, key, value) in batch.into_sorted() {
            let family = self.derived_family(family);
            match value {
                Some(value) => write.put_cf(family, key, value),
                None => write.delete_cf(family, key),
            }
        }
        self.derived.write_opt(write, &options::derived_write()).map_err(backend("write to"))
    }

    fn derived_flush(&self) -> Result<(), StoreError> {
        let families = DerivedFamily::ALL.map(|family| self.derived_family(family));
        let families: Vec<&&ColumnFamily> = families.iter().collect();
        self.derived.flush_cfs_opt(&families, &FlushOptions::default()).map_err(backend("flush"))
    }

    fn derived_wipe(&self) -> Result<(), StoreError> {
        let mut write = WriteBatch::default();
        for family in DerivedFamily::ALL {
            if let Some(end) = self.range_of(family)? {
                write.delete_range_cf(self.derived_family(family), Vec::new(), end);
            }
        }
        self.derived.write_opt(write, &options::derived_write()).map_err(backend("wipe"))?;
        self.derived_flush()?;
        // Only now that the emptiness is durable for all families at once: give the space back.
        for family in DerivedFamily::ALL {
            self.derived.compact_range_cf(
                self.derived_family(family),
                None::<&[u8]>,
                None::<&[u8]>,
            );
        }
        Ok(())
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
        let truth = TruthFamily::ALL.map(|family| (&self.truth, self.truth_family(family)));
        let derived = DerivedFamily::ALL.map(|family| (&self.derived, self.derived_family(family)));
        let truth = truth.iter().flat_map(|family| on_disk.map(|property| (*family, property)));
        let derived = derived.iter().map(|family| (*family, properties::TOTAL_SST_FILES_SIZE));
        let mut bytes_own = 0;
        for ((db, family), property) in truth.chain(derived) {
            let bytes = db.property_int_value_cf(family, property).map_err(backend("measure"))?;
            bytes_own += bytes.unwrap_or(0);
        }
        Ok(Usage {
            bytes_used: space.bytes_used,
            bytes_total: space.bytes_used.saturating_add(space.bytes_free),
            bytes_own: bytes_own.min(space.bytes_used),
        })
    }
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
) -> Result<Vec<Item>, StoreError> {
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
    cursor.status().map_err(backend("read"))?;
    Ok(items)
}

fn backend(verb: &'static str) -> impl Fn(rocksdb::Error) -> StoreError {
    move |error| StoreError::Backend { verb, message: error.into_string() }
}
