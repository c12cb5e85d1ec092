//! What an engine tells of its own work, for the metrics. Nothing is decided by it.

/// Of both instances. Zero is also what cannot be told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Truth's.
    pub truth: InstanceFigures,
    /// Derived data's.
    pub derived: InstanceFigures,
    /// The fsyncs of truth's log.
    pub log_syncs: LogSyncs,
    /// Bytes in the block cache that both share.
    pub cache_bytes: u64,
    /// Bytes that it may hold.
    pub cache_bytes_max: u64,
}

/// Of one instance. Counts begin with the process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "each is the metric of the same name")]
pub struct InstanceFigures {
    pub cache_hits: u64,
    pub cache_misses: u64,
    pub compaction_bytes_read: u64,
    pub compaction_bytes_written: u64,
    pub flush_bytes_written: u64,
    pub stall_micros: u64,
    pub compactions_running: u64,
    pub flushes_running: u64,
    pub compaction_bytes_pending: u64,
    pub memtable_bytes: u64,
    pub background_errors: u64,
    pub is_write_stopped: bool,
}

/// How long fsyncs of the log took, in microseconds, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LogSyncs {
    /// How many.
    pub count: u64,
    /// All together.
    pub sum_micros: u64,
    /// Half took at most this.
    pub p50_micros: f64,
    /// 95 of 100.
    pub p95_micros: f64,
    /// 99 of 100.
    pub p99_micros: f64,
    /// The longest.
    pub max_micros: f64,
}
