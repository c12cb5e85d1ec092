//! The derived instance: what follows from truth, and may be thrown away and made anew.
//!
//! It is never repaired. Once anything of it cannot be read it is marked as damaged, by a file
//! beside it that outlives the process; the way out is [`Derived::wipe`], which reads nothing of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use rocksdb::properties::num_files_at_level;
use rocksdb::{DB, ErrorKind, properties};

use super::super::figures::InstanceFigures;
use super::manifest;
use super::options::{self, RocksOptions, Shared, TableOptions};
use super::{DerivedBatch, DerivedFamily, StoreError, backend, deleting, figures, handle, tables};
use crate::storage::files::{self, FileError};

/// Its directory in the data directory.
pub(super) const DIR: &str = "derived";
/// What a wipe has put aside and not yet deleted.
const OLD: &str = "derived-old";
/// RocksDB's own number.
const LEVELS: usize = 7;
/// The file that says that it is damaged, and how.
const MARK: &str = "derived-damaged";

pub(super) struct Derived {
    directory: PathBuf,
    options: RocksOptions,
    shared: Arc<Shared>,
    /// `None` while it is damaged so much that it cannot be opened.
    db: RwLock<Option<DB>>,
    damaged: AtomicBool,
    is_new: bool,
    /// Nothing in the directory may change, not even by a mark.
    is_read_only: bool,
    tables: TableOptions,
    /// In tables that were made of batches, since the start.
    bytes_written: AtomicU64,
    /// The disk has failed, after which RocksDB takes nothing until it is opened anew. Held by who writes.
    stopped: Mutex<bool>,
    /// Held while families are given their parts of a batch one after another. Readers do not wait: whoever
    /// has the batch written has all of it in memory until then.
    taking_in: Mutex<()>,
}

impl Derived {
    /// Opens what is in the data directory `directory`, or makes it. What is too damaged to be opened
    /// is left for a wipe.
    pub(super) fn open(
        directory: &Path,
        options: &RocksOptions,
        shared: &Arc<Shared>,
    ) -> Result<Self, StoreError> {
        files::remove_tree(&directory.join(OLD))?;
        deleting::clear(&directory.join(DIR))?;
        let derived = Self {
            directory: directory.into(),
            options: options.clone(),
            shared: Arc::clone(shared),
            db: RwLock::new(None),
            damaged: AtomicBool::new(directory.join(MARK).exists()),
            // RocksDB writes CURRENT last when it makes an instance.
            is_new: !directory.join(DIR).join("CURRENT").exists(),
            tables: TableOptions::new(shared),
            bytes_written: AtomicU64::new(0),
            stopped: Mutex::default(),
            taking_in: Mutex::default(),
            is_read_only: false,
        };
        match derived.instance("open derived data of") {
            Ok(db) => *derived.db.write() = Some(db),
            Err(Unopened::Damaged(message)) => derived.mark(&message),
            Err(Unopened::Store(error)) => return Err(error),
        }
        Ok(derived)
    }

    /// Opens what is in the data directory `directory` to be read alone. What is not there, or cannot
    /// be opened, counts as damaged.
    pub(super) fn open_read_only(
        directory: &Path,
        options: &RocksOptions,
        shared: &Arc<Shared>,
    ) -> Self {
        let derived = Self {
            directory: directory.into(),
            options: options.clone(),
            shared: Arc::clone(shared),
            damaged: AtomicBool::new(directory.join(MARK).exists()),
            db: RwLock::new(None),
            is_new: false,
            tables: TableOptions::new(shared),
            bytes_written: AtomicU64::new(0),
            stopped: Mutex::default(),
            taking_in: Mutex::default(),
            is_read_only: true,
        };
        let whole = match tables::waiting(&directory.join(DIR)) {
            Ok(waiting) if waiting.is_empty() => derived.instance_to_read(),
            Ok(_) => Err("a batch was cut off on its way, which the next start mends".into()),
            Err(error) => Err(error.to_string()),
        };
        match whole {
            Ok(db) => *derived.db.write() = Some(db),
            Err(message) => derived.mark(&message),
        }
        derived
    }

    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// One read, which sees one instance from its begin to its end.
    pub(super) fn read<T>(
        &self,
        operation: impl FnOnce(&DB) -> Result<T, rocksdb::Error>,
    ) -> Result<T, StoreError> {
        self.run("read", is_damage, operation)
    }

    /// Copies the instance as it is now. That it cannot be copied says nothing of what is there.
    pub(super) fn copy(
        &self,
        operation: impl FnOnce(&DB) -> Result<(), rocksdb::Error>,
    ) -> Result<(), StoreError> {
        let _whole_batches = self.taking_in.lock();
        self.run("copy", |_| false, operation)
    }

    /// Writes a sorted batch, which is on the disk when this returns; at the first try after a failure of
    /// the disk to an instance opened anew. After an error the batch is the caller's to write again.
    pub(super) fn write(&self, batch: &DerivedBatch) -> Result<(), StoreError> {
        let mut stopped = self.stopped.lock();
        if *stopped {
            self.reopen()?;
            *stopped = false;
        }
        // What was left of a batch before this one.
        self.take_in(&mut stopped)?;
        if batch.is_empty() {
            return Ok(());
        }
        self.wait_for_merges()?;
        let bytes = tables::make(&self.directory.join(DIR), batch, &self.tables)?;
        self.bytes_written.fetch_add(bytes, Ordering::Relaxed);
        self.take_in(&mut stopped)
    }

    /// RocksDB stops writes where merges are too far behind, but takes tables in all the same.
    fn wait_for_merges(&self) -> Result<(), StoreError> {
        const WAIT_MAX: Duration = Duration::from_secs(5);
        const LOOK: Duration = Duration::from_millis(20);
        let since = Instant::now();
        while self.read(|db| db.property_int_value(properties::IS_WRITE_STOPPED))? == Some(1) {
            if since.elapsed() > WAIT_MAX {
                let message = "merges are too far behind".into();
                return Err(StoreError::Backend { verb: "write to", message });
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// How far merges are behind, in hundredths of where writes are stopped: of the family where they are furthest.
    pub(super) fn behind(&self) -> u8 {
        let db = self.db.read();
        let tables = |family, level| -> Option<u32> {
            let db = db.as_ref()?;
            let count =
                db.property_value_cf(handle(db, family), num_files_at_level(level)).ok()??;
            count.parse().ok()
        };
        // As RocksDB counts: where runs are merged by size, each level below the first one is a run as well.
        let runs_of = |family| -> Option<u32> {
            let levels = if options::is_merged_rarely(family) { 1..LEVELS } else { 1..1 };
            let below =
                levels.filter(|&level| tables(family, level).is_some_and(|count| count > 0));
            Some(tables(family, 0)? + below.count() as u32)
        };
        let part = |family| 100 * runs_of(family).unwrap_or(0) / options::runs_max(family);
        let most = DerivedFamily::ALL.into_iter().map(part).max().unwrap_or(0);
        u8::try_from(most).unwrap_or(u8::MAX)
    }

    fn take_in(&self, stopped: &mut bool) -> Result<(), StoreError> {
        let _whole_batches = self.taking_in.lock();
        let directory = self.directory.join(DIR);
        let waiting = tables::waiting(&directory)?;
        self.change("write to", stopped, |db| tables::take_in(db, &waiting))?;
        Ok(tables::clear(&directory)?)
    }

    /// That the disk takes nothing says nothing of what is there, and reads go on.
    fn change(
        &self,
        verb: &'static str,
        stopped: &mut bool,
        operation: impl FnOnce(&DB) -> Result<(), rocksdb::Error>,
    ) -> Result<(), StoreError> {
        self.run(
            verb,
            |error| error.kind() == ErrorKind::Corruption,
            |db| operation(db).inspect_err(|error| *stopped |= stops_writes(error)),
        )
    }

    /// Closes the instance and opens it again. Where it cannot be opened for writes it is opened for reads,
    /// until the next try.
    fn reopen(&self) -> Result<(), StoreError> {
        let mut db = self.db.write();
        drop(db.take());
        const VERB: &str = "open derived data, after a failed write, of";
        match self.instance(VERB) {
            Ok(opened) => *db = Some(opened),
            Err(error) => {
                match self.instance_to_read() {
                    Ok(readable) => *db = Some(readable),
                    Err(message) => self.mark(&message),
                }
                return Err(error.in_words_of(VERB));
            }
        }
        tracing::warn!("derived data is opened anew after a failed write");
        Ok(())
    }

    fn run<T>(
        &self,
        verb: &'static str,
        is_damage: impl FnOnce(&rocksdb::Error) -> bool,
        operation: impl FnOnce(&DB) -> Result<T, rocksdb::Error>,
    ) -> Result<T, StoreError> {
        let db = self.db.read();
        let Some(db) = db.as_ref() else {
            return Err(StoreError::DerivedDamaged("it cannot be opened".into()));
        };
        operation(db).map_err(|error| match is_damage(&error) {
            true => {
                let message = error.into_string();
                self.mark(&message);
                StoreError::DerivedDamaged(message)
            }
            false => backend(verb)(error),
        })
    }

    /// Puts an empty instance into its place. One rename decides: a crash before it leaves all as it
    /// was, the mark included, and one after it an instance that is made by the next opening.
    pub(super) fn wipe(&self) -> Result<(), StoreError> {
        let mut stopped = self.stopped.lock();
        let mut db = self.db.write();
        drop(db.take());
        let old = self.directory.join(OLD);
        files::remove_tree(&old)?;
        files::rename_durably(&self.directory.join(DIR), &old)?;
        const VERB: &str = "make derived data of";
        *db = Some(self.instance(VERB).map_err(|error| error.in_words_of(VERB))?);
        files::remove_durably(&self.directory.join(MARK))?;
        self.damaged.store(false, Ordering::Release);
        *stopped = false;
        files::remove_tree(&old)?;
        Ok(())
    }

    fn instance(&self, verb: &'static str) -> Result<DB, Unopened> {
        let directory = self.directory.join(DIR);
        let of_system = |error: FileError| Unopened::Store(error.into());
        files::create_dir_private(&directory).map_err(of_system)?;
        manifest::check(&directory).map_err(Unopened::Damaged)?;
        let options = options::derived_instance(&self.options, &self.shared);
        let families = options::derived_families(&self.shared);
        let unopened = |error: rocksdb::Error| match is_damage(&error) {
            true => Unopened::Damaged(error.into_string()),
            false => Unopened::Store(backend(verb)(error)),
        };
        let db = DB::open_cf_descriptors(&options, &directory, families).map_err(unopened)?;
        // What a crash has left of the last batch, before anybody reads.
        let waiting = tables::waiting(&directory).map_err(of_system)?;
        tables::take_in(&db, &waiting).map_err(unopened)?;
        tables::clear(&directory).map_err(of_system)?;
        Ok(db)
    }

    /// Of which no file is written, made or removed.
    fn instance_to_read(&self) -> Result<DB, String> {
        let directory = self.directory.join(DIR);
        manifest::check(&directory)?;
        let mut options = options::derived_instance(&self.options, &self.shared);
        options.create_if_missing(false);
        options.create_missing_column_families(false);
        let families = options::derived_families(&self.shared);
        DB::open_cf_descriptors_read_only(&options, &directory, families, false)
            .map_err(rocksdb::Error::into_string)
    }

    /// Of the instance that is open now; the counters go on over its end.
    pub(super) fn figures(&self) -> InstanceFigures {
        let db = self.db.read();
        let families = db.iter().flat_map(|db| DerivedFamily::ALL.map(|family| handle(db, family)));
        InstanceFigures {
            // RocksDB itself flushes nothing here.
            flush_bytes_written: self.bytes_written.load(Ordering::Relaxed),
            ..figures::of_instance(&self.shared.derived_counted, db.as_ref(), families)
        }
    }

    fn mark(&self, message: &str) {
        if self.damaged.swap(true, Ordering::AcqRel) || self.is_read_only {
            return;
        }
        tracing::error!(error = message, "derived data is damaged, and is to be made anew");
        if let Err(error) = files::write_durably(&self.directory.join(MARK), message.as_bytes()) {
            tracing::error!(%error, "the mark of the damage could not be kept");
        }
    }
}

/// Why an instance was not opened.
enum Unopened {
    /// The files are not, or no longer, what was written.
    Damaged(String),
    /// They may be as they should.
    Store(StoreError),
}

impl Unopened {
    fn in_words_of(self, verb: &'static str) -> StoreError {
        match self {
            Unopened::Damaged(message) => StoreError::Backend { verb, message },
            Unopened::Store(error) => error,
        }
    }
}

/// Whether an error says that the files are not, or no longer, what was written: and not that memory,
/// room, rights or file handles are short, which making all anew would not mend.
fn is_damage(error: &rocksdb::Error) -> bool {
    use ErrorKind::{Corruption, IOError, InvalidArgument, NotFound, NotSupported};
    match error.kind() {
        Corruption | NotFound | InvalidArgument | NotSupported => true,
        // RocksDB has one kind for all of errno, whose text it quotes.
        IOError => {
            let text = error.as_ref();
            ["Input/output error", "No such file or directory"].iter().any(|e| text.contains(e))
        }
        _ => false,
    }
}

/// Whether RocksDB takes no more writes after this error. When room was short it goes on by itself.
fn stops_writes(error: &rocksdb::Error) -> bool {
    error.kind() == ErrorKind::IOError && !error.as_ref().contains("No space left on device")
}
