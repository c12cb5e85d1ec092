//! RocksDB's own figures: its counters, which it keeps in memory, and the properties of an instance.

use rocksdb::properties::PropName;
use rocksdb::properties::{
    BACKGROUND_ERRORS, CUR_SIZE_ALL_MEM_TABLES, ESTIMATE_PENDING_COMPACTION_BYTES,
    IS_WRITE_STOPPED, NUM_RUNNING_COMPACTIONS, NUM_RUNNING_FLUSHES,
};
use rocksdb::statistics::{Histogram, StatsLevel, Ticker};
use rocksdb::{ColumnFamily, DB, Options};

use super::super::figures::{InstanceFigures, LogSyncs};

/// Options that count. Instances that are opened with a clone count together.
pub(super) fn counting(level: StatsLevel) -> Options {
    let mut options = Options::default();
    options.enable_statistics();
    options.set_statistics_level(level);
    options
}

/// Of one instance, by the options that it counts in; a `db` that is not open has counters alone.
pub(super) fn of_instance<'a>(
    counted: &Options,
    db: Option<&DB>,
    families: impl Iterator<Item = &'a ColumnFamily> + Clone,
) -> InstanceFigures {
    let whole =
        |name: &PropName| db.and_then(|db| db.property_int_value(name).ok().flatten()).unwrap_or(0);
    let sum = |name: &PropName| {
        let of = |family| db?.property_int_value_cf(family, name).ok().flatten();
        families.clone().filter_map(of).sum()
    };
    InstanceFigures {
        cache_hits: counted.get_ticker_count(Ticker::BlockCacheHit),
        cache_misses: counted.get_ticker_count(Ticker::BlockCacheMiss),
        compaction_bytes_read: counted.get_ticker_count(Ticker::CompactReadBytes),
        compaction_bytes_written: counted.get_ticker_count(Ticker::CompactWriteBytes),
        flush_bytes_written: counted.get_ticker_count(Ticker::FlushWriteBytes),
        stall_micros: counted.get_ticker_count(Ticker::StallMicros),
        compactions_running: whole(NUM_RUNNING_COMPACTIONS),
        flushes_running: whole(NUM_RUNNING_FLUSHES),
        compaction_bytes_pending: sum(ESTIMATE_PENDING_COMPACTION_BYTES),
        memtable_bytes: sum(CUR_SIZE_ALL_MEM_TABLES),
        background_errors: whole(BACKGROUND_ERRORS),
        is_write_stopped: whole(IS_WRITE_STOPPED) > 0,
    }
}

/// Of the log of the instance that counts in these options.
pub(super) fn log_syncs(counted: &Options) -> LogSyncs {
    let syncs = counted.get_histogram_data(Histogram::WalFileSyncMicros);
    LogSyncs {
        count: syncs.count(),
        sum_micros: syncs.sum(),
        p50_micros: syncs.median(),
        p95_micros: syncs.p95(),
        p99_micros: syncs.p99(),
        max_micros: syncs.max(),
    }
}
