//! How the two RocksDB instances are set up, each setting with its reason.

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompactionStyle,
    DBCompressionType, LogLevel, Options, UniversalCompactOptions, WriteBufferManager,
    WriteOptions, statistics::StatsLevel,
};

use super::super::{DerivedFamily, TruthFamily};
use super::figures::counting;
use crate::config::{Config, RocksConfig, Sources};

const MEBIBYTE: i64 = 1 << 20;

/// Bytes of one read or write by flushes and merges, by measurement.
const IO_BYTES: usize = 64 << 10;

/// What is left free on the file system.
const DISK_BYTES_FREE_MIN: u64 = 256 << 20;

/// What an operator may set. Memory is bounded by `block_cache_bytes` + `write_buffer_bytes`, plus a
/// few kilobytes for each of `open_files_max` files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RocksOptions {
    /// One cache of blocks, indexes and filters for truth and derived data together, in bytes.
    pub block_cache_bytes: usize,
    /// Bytes of truth's memtables, those being flushed included. Derived data has none.
    pub write_buffer_bytes: usize,
    /// Flushes and compactions of an instance at a time, at least two: one of four flushes.
    pub background_jobs: u16,
    /// Bound of the bytes that flushes and compactions of each instance write in a second.
    pub background_bytes_per_second_max: u64,
    /// Table files that each instance keeps open.
    pub open_files_max: u16,
    /// A commit is refused when it would leave fewer bytes free on the file system: the reserve lets
    /// flushes and compactions end well.
    pub disk_bytes_free_min: u64,
}

/// Those of a node that says nothing else, for whoever opens a store without a configuration.
impl Default for RocksOptions {
    fn default() -> Self {
        let defaults = Config::load(Sources::default()).expect("the defaults are whole");
        Self::from(&defaults.config.rocksdb)
    }
}

impl From<&RocksConfig> for RocksOptions {
    fn from(config: &RocksConfig) -> Self {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            block_cache_bytes: size(config.block_cache_bytes),
            write_buffer_bytes: size(config.write_buffer_bytes),
            background_jobs: config.background_jobs,
            background_bytes_per_second_max: config.background_bytes_per_second_max,
            open_files_max: u16::try_from(config.open_files_max).unwrap_or(u16::MAX),
            disk_bytes_free_min: DISK_BYTES_FREE_MIN,
        }
    }
}

/// The block cache and the bounds of the memtables, which both instances are opened with.
pub(super) struct Shared {
    pub(super) cache: Cache,
    pub(super) cache_bytes_max: u64,
    /// What each instance counts in. Of truth also the times of fsyncs: few, and worth more than they
    /// cost.
    pub(super) truth_counted: Options,
    pub(super) derived_counted: Options,
    pub(super) truth_buffers: WriteBufferManager,
}

impl Shared {
    pub(super) fn new(options: &RocksOptions) -> Self {
        // Half of it fills while the other half is flushed. Writers are not stalled at the bound itself:
        // RocksDB stops them when too many memtables of a family wait for their flush.
        let truth_buffers =
            WriteBufferManager::new_write_buffer_manager(options.write_buffer_bytes / 2, false);
        Self {
            cache: Cache::new_lru_cache(options.block_cache_bytes),
            cache_bytes_max: options.block_cache_bytes as u64,
            truth_counted: counting(StatsLevel::ExceptDetailedTimers),
            derived_counted: counting(StatsLevel::ExceptHistogramOrTimers),
            truth_buffers,
        }
    }

    /// Bytes in the cache and in memtables.
    pub(super) fn bytes(&self) -> usize {
        self.cache.get_usage() + self.truth_buffers.get_usage()
    }
}

pub(super) fn background_jobs(options: &RocksOptions) -> i32 {
    options.background_jobs.max(2).into()
}

/// A commit: in the log and fsynced when the write returns.
pub(super) fn truth_write() -> WriteOptions {
    let mut write = WriteOptions::default();
    write.set_sync(true);
    write
}

pub(super) fn truth_instance(options: &RocksOptions, shared: &Shared) -> Options {
    let mut db = instance(options, &shared.truth_counted);
    // A flush lets go of a log as soon as it is done, so that none waits for a family that hardly grows.
    db.set_atomic_flush(true);
    db.set_write_buffer_manager(&shared.truth_buffers);
    // There is one writer: locks for several cost a tenth and gain nothing.
    db.set_allow_concurrent_memtable_write(false);
    // A log file that is used again is allocated already, so that an fdatasync writes no metadata:
    // the p99 of small groups is a third. It needs a recovery mode that ends at the first record
    // that does not check, which may be a left-over of the file's earlier use.
    db.set_recycle_log_file_num(4);
    db.set_wal_recovery_mode(rocksdb::DBRecoveryMode::PointInTime);
    // A closed log that was synced and is missing or too short fails the opening.
    db.set_track_and_verify_wals_in_manifest(true);
    // `wal_bytes_per_sync` stays 0: each commit syncs the log, so nothing collects that could be
    // written early. The log is preallocated by the size of the write buffer.
    db
}

pub(super) fn derived_instance(options: &RocksOptions, shared: &Shared) -> Options {
    instance(options, &shared.derived_counted)
}

/// What both instances share.
fn instance(options: &RocksOptions, counted: &Options) -> Options {
    let mut db = counted.clone();
    db.create_if_missing(true);
    db.create_missing_column_families(true);
    db.set_paranoid_checks(true);
    db.set_max_background_jobs(background_jobs(options));
    db.set_max_open_files(options.open_files_max.into());
    // What flushes and merges read and write, they ask of the disk in small pieces, and hand over steadily: a
    // disk may answer one request after another, so that a commit's fsync waits for all of a large one.
    db.set_compaction_readahead_size(IO_BYTES);
    db.set_writable_file_max_buffer_size(IO_BYTES as u64);
    db.set_bytes_per_sync(IO_BYTES as u64);
    // Flushes go first. Ten times a second, so that what is let through at once is little to wait behind.
    let rate = i64::try_from(options.background_bytes_per_second_max).unwrap_or(i64::MAX);
    db.set_ratelimiter(rate.max(MEBIBYTE), 100_000, 10);
    // RocksDB's own log is for its bugs, not for operators: kept small.
    db.set_log_level(LogLevel::Warn);
    db.set_keep_log_file_num(4);
    db.set_max_log_file_size(4 << 20);
    db.set_stats_dump_period_sec(0);
    db
}

pub(super) fn truth_families(shared: &Shared) -> Vec<ColumnFamilyDescriptor> {
    let families = TruthFamily::ALL.iter().map(|family| {
        // One compression on all levels: keys ascend, so files move down the levels unread, which
        // RocksDB does only where it need not compress anew.
        let mut options = Options::default();
        // The instance's bound is reached first, whichever family grows.
        options.set_write_buffer_size(shared.truth_buffers.get_buffer_size());
        options.set_compression_type(DBCompressionType::Lz4);
        // A commit never waits for a flush that is merely slow: the first memtable is flushed at half of
        // the bound, those after it at a quarter, so that the third one still lies within it.
        options.set_max_write_buffer_number(3);
        options.set_block_based_table_factory(&tables(shared));
        ColumnFamilyDescriptor::new(family.name(), options)
    });
    families.collect()
}

pub(super) fn derived_families(shared: &Shared) -> Vec<ColumnFamilyDescriptor> {
    let families = DerivedFamily::ALL.iter().map(|family| {
        let mut options = Options::default();
        options.set_compression_type(compression_of(*family));
        if is_merged_rarely(*family) {
            merge_rarely(&mut options);
        }
        options.set_level_zero_stop_writes_trigger(runs_max(*family) as i32);
        options.set_block_based_table_factory(&derived_tables(*family, shared, Parts::Several));
        ColumnFamilyDescriptor::new(family.name(), options)
    });
    families.collect()
}

pub(super) fn is_merged_rarely(family: DerivedFamily) -> bool {
    matches!(family, DerivedFamily::Ids | DerivedFamily::Idem | DerivedFamily::Holds)
}

/// So many tables that came and are not merged yet stop writes.
pub(super) fn runs_max(family: DerivedFamily) -> u32 {
    match is_merged_rarely(family) {
        // A merge of large runs takes a minute beside commits, in which a run comes with each layer; who looks for a
        // key passes over most of them by their filters.
        true => 64,
        // RocksDB's own.
        false => 36,
    }
}

fn compression_of(family: DerivedFamily) -> DBCompressionType {
    use DerivedFamily::{Filter, Idem, Ids, Tiles};
    match family {
        // Random bytes do not compress. A filter that few ids are in does.
        Ids | Idem | Tiles => DBCompressionType::None,
        Filter => DBCompressionType::Zstd,
        _ => DBCompressionType::Lz4,
    }
}

/// Of the index and the filter of a table.
#[derive(Clone, Copy, PartialEq)]
enum Parts {
    /// Found at once: of the many small tables that are looked into for each key.
    One,
    /// The filter of a large table is larger than a shard of the cache, which would read all of it again for each
    /// question.
    Several,
}

fn derived_tables(family: DerivedFamily, shared: &Shared, parts: Parts) -> BlockBasedOptions {
    use DerivedFamily::{Accounts, Holds, Idem, Ids};
    let mut tables = tables(shared);
    // Where single keys are asked for that mostly are not there. Ten bits: one false answer in
    // a hundred.
    if matches!(family, Accounts | Ids | Idem | Holds) {
        tables.set_bloom_filter(10.0, false);
        tables.set_optimize_filters_for_memory(true);
        if parts == Parts::Several {
            tables.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
            tables.set_partition_filters(true);
            tables.set_metadata_block_size(16 << 10);
        }
        // One of its keys is read where others are not: less to read, to check and to unpack.
        tables.set_block_size(4 << 10);
    }
    tables
}

/// How the tables of a batch of derived data are written, by family.
pub(super) struct TableOptions([Options; DerivedFamily::ALL.len()]);

impl TableOptions {
    pub(super) fn new(shared: &Shared) -> Self {
        Self(DerivedFamily::ALL.map(|family| {
            use DerivedFamily::{Accounts, Due, Holds};
            let mut options = Options::default();
            options.set_compression_type(match family {
                // They are soon merged into what is there, and read more often until then.
                Accounts | Holds | Due => DBCompressionType::None,
                _ => compression_of(family),
            });
            options.set_block_based_table_factory(&derived_tables(family, shared, Parts::One));
            options
        }))
    }

    pub(super) fn of(&self, family: DerivedFamily) -> &Options {
        &self.0[family.index()]
    }
}

/// For random keys that are hardly ever asked for when they are not there (the never-seen filter sees to
/// that, and a hold is mostly there). By levels, each merge would write a level that is ten times as large anew,
/// or all of a small one; by size, runs of one size are merged once there are many, and an entry is written three
/// or four times in all.
fn merge_rarely(options: &mut Options) {
    const RUNS_MAX: i32 = 8;
    let mut universal = UniversalCompactOptions::default();
    // Of the largest run, what the others may take beside it before all are merged into one. Few keys come again,
    // of entries that are reversed and of holds that change, so that such a merge of all gains little room.
    universal.set_max_size_amplification_percent(400);
    options.set_compaction_style(DBCompactionStyle::Universal);
    options.set_universal_compaction_options(&universal);
    options.set_level_zero_file_num_compaction_trigger(RUNS_MAX);
    options.set_level_zero_slowdown_writes_trigger(6 * RUNS_MAX);
    // What stands behind a random key is small numbers.
    options.set_bottommost_compression_type(DBCompressionType::Lz4);
    // The largest run needs no filter: what is asked for and in none of the others is in it.
    options.set_optimize_filters_for_hits(true);
}

fn tables(shared: &Shared) -> BlockBasedOptions {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(&shared.cache);
    tables.set_block_size(16 << 10);
    // In the cache, so that its bound covers indexes and filters too.
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
    tables
}
