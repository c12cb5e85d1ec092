//! Every metric of the process, declared once, on a registry of its own.
//!
//! `docs/OBSERVABILITY.md` lists them all; a test compares both ways.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter,
    IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::exemplars::{Exemplars, Latency, LatencyVec};
use super::labels::{
    ActorName, Anomaly, Closed, Denial, Drill, DropReason, Instance, Label, Peer, Queue, RateScope,
    Reload, SnapshotOutcome, Target, TlsReload, VerifierFinding, WitnessAnswer,
};
use super::openmetrics;
use super::process::Process;
use super::stage::Trace;

/// Bounds of latency buckets, in seconds. The objectives (80 ms and 150 ms of a commit) are bounds,
/// so that a share below one of them is exact.
pub const LATENCY_SECONDS: [f64; 15] =
    [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.3, 0.6];

/// Bounds of batch sizes, in entries.
const BATCH_ENTRIES: [f64; 14] =
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0];

/// The methods that have a series of their own. A client can send any token; the others share one.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The registry, and the exemplars of its latencies by their names.
#[derive(Default)]
struct Registered {
    registry: Registry,
    exemplars: Mutex<Vec<(String, Exemplars)>>,
}

/// Declares the struct and its registration from one list, so that neither can miss a metric.
macro_rules! metrics {
    ($($field:ident: $type:ty = $make:ident($name:literal, $help:literal $(, $extra:expr)*);)+) => {
        /// All metrics. Fields that hold [`Closed`] are indexed by a label, the others are plain.
        pub struct Metrics {
            registered: Registered,
            /// The rules that have a series.
            policy_labels: Mutex<BTreeSet<String>>,
            $(#[doc = concat!("`", $name, "`: ", $help, ".")] pub $field: $type,)+
        }

        impl Metrics {
            /// The names of all metrics but the `process_` ones, whether they have series or not.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// Registers every metric, with the series of closed labels at zero.
            ///
            /// # Panics
            /// When a metric is declared twice or with an unfit name: an error of this file.
            pub fn new() -> Arc<Self> {
                let registered = Registered::default();
                let process = Box::new(Process::new());
                registered.registry.register(process).expect("no other collector has its names");
                Arc::new(Self {
                    $($field: $make(&registered, $name, $help $(, $extra)*),)+
                    registered,
                    policy_labels: Mutex::default(),
                })
            }
        }
    };
}

metrics! {
    commits: IntCounter = counter("ledger_commits_total", "Commit groups that became durable");
    entries_committed: IntCounter = counter("ledger_entries_committed_total", "Entries that became durable");
    roots_published: IntCounter = counter("ledger_roots_published_total", "Roots that were signed and published");
    head_seq: IntGauge = gauge("ledger_head_seq", "Sequence number of the last durable entry");
    published_size: IntGauge = gauge("ledger_published_size", "Size of the tree of the last published root");
    witnessed_size: IntGauge = gauge("ledger_witnessed_size", "Size of the last checkpoint that enough witnesses have cosigned");
    witness_answers: Closed<WitnessAnswer, IntCounter> = counter_of("witness_answers_total", "Answers of witnesses, by what became of the question");
    verifier_findings: Closed<VerifierFinding, IntCounter> = counter_of("verifier_findings_total", "Passes of the verifier over the published log that were not completed, by the reason");
    verifier_last_complete_pass: IntGauge = gauge("verifier_last_complete_pass_seconds", "Unix time at which the verifier last ended a pass and found nothing");
    verifier_position: IntGauge = gauge("verifier_position", "Last entry that the present pass of the verifier, or the last one, has verified");
    archived_size: IntGauge = gauge("ledger_archived_size", "Entries that the archive has");
    archive_lag: Gauge = float_gauge("archive_lag_seconds", "Age of the oldest published entry that the archive does not have, 0 when it has all");
    follow_size: IntGauge = gauge("ledger_follow_size", "Entries up to which a node that follows is at a signed checkpoint of the archive");
    follow_lag_entries: IntGauge = gauge("ledger_follow_lag_entries", "Entries that the archive was seen to have and a node that follows has not taken");
    follow_lag: Gauge = float_gauge("ledger_follow_lag_seconds", "Since a node that follows had all that the archive has");
    follow_stopped: IntGauge = gauge("ledger_follow_stopped", "1 when a node that follows has found a difference and takes no more");
    follow_failures: IntCounter = counter("follow_failures_total", "Rounds of following that failed and are tried again");
    archive_failures: IntCounter = counter("archive_failures_total", "Rounds of archiving that failed");
    snapshots: Closed<SnapshotOutcome, IntCounter> = counter_of("snapshots_total", "Snapshots that were asked for");
    snapshot_last_success: IntGauge = gauge("snapshot_last_success_seconds", "Unix time at which a snapshot was last handed over whole by this process");
    commit_latency: Latency = latency("ledger_commit_latency_seconds", "From the receipt of a request until it was durable");
    committer_batch_latency: Latency = latency("committer_batch_latency_seconds", "Time of the committer for one group");
    committer_lag: Gauge = float_gauge("committer_lag_seconds", "Age of the oldest request that is sequenced and not durable");
    sequencer_batch_size: Histogram = histogram("sequencer_batch_size", "Entries in one commit group", &BATCH_ENTRIES);
    prevalidator_duration: Latency = latency("prevalidator_duration_seconds", "Time to validate one request");
    safe_mode: IntGauge = gauge("ledger_safe_mode", "1 while writes are refused because the store is in doubt");
    ingress_locked: IntGauge = gauge("ledger_ingress_locked", "1 while writes are taken over the local socket alone");
    seq_gap_detected: IntCounter = counter("ledger_seq_gap_detected_total", "Gaps found in the sequence");
    wal_fsync_fail: IntCounter = counter("wal_fsync_fail_total", "Durable writes that failed with an unknown outcome");
    rejected: IntCounterVec = counter_vec("rejected_total", "Entries and requests that were refused, by reason", &["reason"]);
    busy_rejections: Closed<Queue, IntCounter> = counter_of("busy_rejections_total", "Requests refused because a queue was full, or above the limit of the rate");
    rate_limited: Closed<RateScope, IntCounter> = counter_of("rate_limited_total", "Requests above a rate");
    policy_denied: IntCounterVec = counter_vec("policy_denied_total", "Entries that the policy denied, by the rule that decided", &["rule"]);
    policy_reloads: Closed<Reload, IntCounter> = counter_of("policy_reloads_total", "Times that the rules were read again, by outcome");
    config_reloads: Closed<Reload, IntCounter> = counter_of("config_reloads_total", "Times that the settings were read again, by outcome");
    anomalies: Closed<Anomaly, IntCounter> = counter_of("anomaly_total", "Requests that look like a synthetic flood, by what shows it");
    denied: Closed<Denial, IntCounter> = counter_of("denied_total", "Requests that met a pattern that an operator denies, by its kind");
    queue_depth: Closed<Queue, IntGauge> = gauge_of("queue_depth", "Requests in a queue");
    queue_capacity: Closed<Queue, IntGauge> = gauge_of("queue_capacity", "Requests that a queue can hold");
    inflight_requests: IntGauge = gauge("inflight_requests", "Requests that hold a seat");
    inflight_requests_capacity: IntGauge = gauge("inflight_requests_capacity", "Seats for requests");
    inflight_bytes: IntGauge = gauge("inflight_bytes", "Bytes of the bodies of requests that hold a seat");
    inflight_bytes_capacity: IntGauge = gauge("inflight_bytes_capacity", "Bytes that requests in flight may take together");
    derived_lag_entries: IntGauge = gauge("derived_lag_entries", "Entries by which flushed derived data trails the log");
    overlay_entries: IntGauge = gauge("overlay_entries", "Entries that are applied and not yet flushed");
    disk_pressure: IntGauge = gauge("disk_pressure", "Percent in use of the store's file system");
    uds_denied: IntCounter = counter("uds_denied_total", "Connections by users who may not");
    admin_denied: IntCounter = counter("admin_denied_total", "Requests on the admin plane without the role or the capability");
    never_seen_filter_bytes: IntGauge = gauge("never_seen_filter_bytes", "Bytes of the filter that tells a new id from a known one");
    store_bytes: IntGauge = gauge("store_bytes", "Bytes of the store, on disk or in memory");
    rocksdb_log_syncs: IntCounter = counter("rocksdb_wal_fsyncs_total", "Fsyncs of the log of truth");
    rocksdb_log_sync_seconds: Counter = float_counter("rocksdb_wal_fsync_seconds_total", "Time in fsyncs of the log of truth");
    rocksdb_log_sync_percentile: GaugeVec = float_gauge_vec("rocksdb_wal_fsync_percentile_seconds", "Length of an fsync of the log of truth since the start; 100 is the longest", &["percentile"]);
    rocksdb_cache_bytes: IntGauge = gauge("rocksdb_block_cache_bytes", "Bytes in the block cache");
    rocksdb_cache_bytes_max: IntGauge = gauge("rocksdb_block_cache_capacity_bytes", "Bytes that the block cache may hold");
    rocksdb_cache_hits: Closed<Instance, IntCounter> = counter_of("rocksdb_block_cache_hits_total", "Blocks that were found in the cache");
    rocksdb_cache_misses: Closed<Instance, IntCounter> = counter_of("rocksdb_block_cache_misses_total", "Blocks that were not");
    rocksdb_compaction_bytes_read: Closed<Instance, IntCounter> = counter_of("rocksdb_compaction_read_bytes_total", "Bytes that compactions read");
    rocksdb_compaction_bytes_written: Closed<Instance, IntCounter> = counter_of("rocksdb_compaction_written_bytes_total", "Bytes that compactions wrote");
    rocksdb_compaction_bytes_pending: Closed<Instance, IntGauge> = gauge_of("rocksdb_compaction_pending_bytes", "Bytes that compactions are to rewrite, estimated");
    rocksdb_compactions_running: Closed<Instance, IntGauge> = gauge_of("rocksdb_compactions_running", "Compactions that run");
    rocksdb_flush_bytes: Closed<Instance, IntCounter> = counter_of("rocksdb_flush_written_bytes_total", "Bytes in the tables that flushes made");
    rocksdb_flushes_running: Closed<Instance, IntGauge> = gauge_of("rocksdb_flushes_running", "Flushes that run");
    rocksdb_memtable_bytes: Closed<Instance, IntGauge> = gauge_of("rocksdb_memtable_bytes", "Bytes in memtables that are not flushed; derived data has none");
    rocksdb_stall_seconds: Closed<Instance, Counter> = float_counter_of("rocksdb_stall_seconds_total", "Time that writes were stalled");
    rocksdb_write_stopped: Closed<Instance, IntGauge> = gauge_of("rocksdb_write_stopped", "1 while writes are stopped");
    merges_behind_percent: IntGauge = gauge("ledger_merges_behind_percent", "How far merges of derived data are behind, of where writes are stopped");
    rest_seconds: Counter = float_counter("ledger_rest_seconds_total", "Time that commits rested, so that flushes and merges of derived data keep up");
    rocksdb_background_errors: Closed<Instance, IntGauge> = gauge_of("rocksdb_background_errors", "Errors of flushes and compactions since the instance was opened");
    breaker_open: Closed<Target, IntCounter> = counter_of("breaker_open_total", "Openings of a breaker");
    breaker_open_seconds: Closed<Target, Gauge> = float_gauge_of("breaker_open_seconds", "Length of the current opening of a breaker, 0 while closed");
    breaker_open_seconds_total: Closed<Target, Counter> = float_counter_of("breaker_open_seconds_total", "Time that a breaker was open");
    breaker_state: Closed<Target, IntGauge> = gauge_of("breaker_state", "State of a breaker: 0 closed, 1 half-open, 2 open");
    upstream_calls: IntCounterVec = counter_vec("upstream_calls_total", "Attempts to ask a service, by what became of them", &["target", "outcome"]);
    upstream_duration: Closed<Target, Histogram> = latency_of("upstream_call_duration_seconds", "Time of one attempt to ask a service");
    actor_restarts: Closed<ActorName, IntCounter> = counter_of("actor_restarts_total", "Restarts of an actor");
    actor_panics: Closed<ActorName, IntCounter> = counter_of("actor_panics_total", "Panics of an actor that were caught");
    tasks_leaked: IntCounter = counter("tasks_leaked_total", "Tasks that outlived their actor");
    chaos_drills: Closed<Drill, IntCounter> = counter_of("chaos_drills_total", "Drills that were ordered");
    auth_failures: Closed<Peer, IntCounter> = counter_of("auth_failures_total", "Requests without a valid capability, by the kind of connection");
    keys_expiring: IntGaugeVec = gauge_vec("keys_expiring", "Keys whose 90 days end within so many days, or have ended", &["kind", "within"]);
    tls_handshake_failures: IntCounter = counter("tls_handshake_failures_total", "TLS handshakes that failed");
    tls_reloads: Closed<TlsReload, IntCounter> = counter_of("tls_reloads_total", "Times that certificates were read again, by outcome");
    tls_cert_expiry: IntGaugeVec = gauge_vec("tls_cert_expiry_seconds", "Until the first certificate of the chain in use expires, by plane", &["plane"]);
    http_requests: IntCounterVec = counter_vec("http_requests_total", "Answered HTTP requests", &["route", "method", "status"]);
    http_duration: LatencyVec = latency_vec("http_request_duration_seconds", "Time to answer an HTTP request", &["method", "route"]);
    trace_sampling_ratio: Gauge = float_gauge("trace_sampling_ratio", "Share of requests that is traced now, 0 without a collector");
    traces_sampled: IntCounter = counter("traces_sampled_total", "Requests that were traced");
    spans_exported: IntCounter = counter("trace_spans_exported_total", "Spans that the collector took");
    spans_dropped: Closed<DropReason, IntCounter> = counter_of("trace_spans_dropped_total", "Spans that did not reach the collector");
    trace_exports_failed: IntCounter = counter("trace_exports_failed_total", "Exports of spans that failed");
    log_lines_left_out: IntCounter = counter("log_lines_left_out_total", "Repeated warnings and errors that were left out of the log");
}

impl Metrics {
    /// Counts one refusal. `reason` is the string on the wire, from the closed set of rejects.
    pub fn count_rejected(&self, reason: &'static str) {
        self.rejected.with_label_values(&[reason]).inc();
    }

    /// Counts one answered request. `route` is the pattern that matched, never the path; `None`
    /// when nothing matched.
    pub fn observe_http(
        &self,
        (route, method): (Option<&str>, &str),
        status: u16,
        seconds: f64,
        trace: &Trace,
    ) {
        let route = route.unwrap_or("unmatched");
        let method = METHODS.into_iter().find(|m| *m == method).unwrap_or("other");
        self.http_requests.with_label_values(&[route, method, &status.to_string()]).inc();
        self.http_duration.observe_in(&[method, route], seconds, trace);
    }

    /// The rules that may deny from now on. Each has a series, and no other: their number is bounded by
    /// that of the rules of one file.
    pub fn policy_rules<'a>(&self, rules: impl Iterator<Item = &'a str>) {
        let rules: BTreeSet<&str> = rules.collect();
        let mut known = self.policy_labels.lock();
        for gone in known.iter().filter(|known| !rules.contains(known.as_str())) {
            // Fails for what is not there, and what is known is.
            let _ = self.policy_denied.remove_label_values(&[gone]);
        }
        for rule in &rules {
            self.policy_denied.with_label_values(&[*rule]);
        }
        *known = rules.into_iter().map(str::to_owned).collect();
    }

    /// Counts one entry that a rule has denied, while the rule is in force.
    pub fn count_policy_denied(&self, rule: &str) {
        if self.policy_labels.lock().contains(rule) {
            self.policy_denied.with_label_values(&[rule]).inc();
        }
    }

    /// All series in the text format of Prometheus, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = String::new();
        TextEncoder::new()
            .encode_utf8(&self.registered.registry.gather(), &mut text)
            .expect("a string takes every write and registered families are well formed");
        text
    }

    /// All series in the OpenMetrics text format, version 1.0.0, latencies with exemplars.
    pub fn render_openmetrics(&self) -> String {
        let exemplars = self.registered.exemplars.lock();
        openmetrics::encode(&self.registered.registry.gather(), |name| {
            exemplars.iter().find(|(known, _)| known == name).map(|(_, exemplars)| exemplars)
        })
    }
}

/// Adds a metric to the registry. Both results are errors of the list above and of nothing else.
fn add<C, E>(to: &Registered, metric: Result<C, E>) -> C
where
    C: Collector + Clone + 'static,
    E: Display,
{
    let metric = metric.unwrap_or_else(|error| panic!("a metric is declared wrong: {error}"));
    let twice = to.registry.register(Box::new(metric.clone()));
    twice.unwrap_or_else(|error| panic!("a metric is declared wrong: {error}"));
    metric
}

fn counter(to: &Registered, name: &str, help: &str) -> IntCounter {
    add(to, IntCounter::new(name, help))
}

fn gauge(to: &Registered, name: &str, help: &str) -> IntGauge {
    add(to, IntGauge::new(name, help))
}

fn histogram(to: &Registered, name: &str, help: &str, bounds: &[f64]) -> Histogram {
    let opts = HistogramOpts::new(name, help).buckets(bounds.to_vec());
    add(to, Histogram::with_opts(opts))
}

fn latency(to: &Registered, name: &str, help: &str) -> Latency {
    Latency::new(histogram(to, name, help, &LATENCY_SECONDS), exemplars(to, name))
}

/// The exemplars of a latency, where exposition finds them.
fn exemplars(to: &Registered, name: &str) -> Exemplars {
    let exemplars = Exemplars::default();
    to.exemplars.lock().push((name.to_owned(), exemplars.clone()));
    exemplars
}

fn float_counter(to: &Registered, name: &str, help: &str) -> Counter {
    add(to, Counter::new(name, help))
}

fn float_gauge_vec(to: &Registered, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    add(to, GaugeVec::new(Opts::new(name, help), labels))
}

fn float_gauge(to: &Registered, name: &str, help: &str) -> Gauge {
    add(to, Gauge::new(name, help))
}

fn counter_vec(to: &Registered, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    add(to, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauge_vec(to: &Registered, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    add(to, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn latency_vec(to: &Registered, name: &str, help: &str, labels: &[&str]) -> LatencyVec {
    let opts = HistogramOpts::new(name, help).buckets(LATENCY_SECONDS.to_vec());
    LatencyVec::new(add(to, HistogramVec::new(opts, labels)), exemplars(to, name))
}

fn latency_of<L: Label>(to: &Registered, name: &str, help: &str) -> Closed<L, Histogram> {
    let opts = HistogramOpts::new(name, help).buckets(LATENCY_SECONDS.to_vec());
    Closed::new(&add(to, HistogramVec::new(opts, &[L::NAME])))
}

fn counter_of<L: Label>(to: &Registered, name: &str, help: &str) -> Closed<L, IntCounter> {
    Closed::new(&counter_vec(to, name, help, &[L::NAME]))
}

fn gauge_of<L: Label>(to: &Registered, name: &str, help: &str) -> Closed<L, IntGauge> {
    Closed::new(&gauge_vec(to, name, help, &[L::NAME]))
}

fn float_gauge_of<L: Label>(to: &Registered, name: &str, help: &str) -> Closed<L, Gauge> {
    Closed::new(&add(to, GaugeVec::new(Opts::new(name, help), &[L::NAME])))
}

fn float_counter_of<L: Label>(to: &Registered, name: &str, help: &str) -> Closed<L, Counter> {
    Closed::new(&add(to, CounterVec::new(Opts::new(name, help), &[L::NAME])))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn line_of(text: &str, series: &str) -> Option<String> {
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map(str::to_owned)
    }

    #[test]
    fn closed_series_exist_before_the_first_event() {
        let text = Metrics::new().render();
        let check = |series| assert_eq!(line_of(&text, series).as_deref(), Some("0"), "{series}");
        check(r#"busy_rejections_total{q="ingress"}"#);
        check(r#"queue_depth{q="preval"}"#);
        check(r#"queue_capacity{q="commit"}"#);
        check(r#"breaker_open_seconds{target="kms"}"#);
        check(r#"breaker_open_seconds_total{target="wallet"}"#);
        check(r#"actor_restarts_total{actor="committer"}"#);
        check(r#"auth_failures_total{peer="uds"}"#);
        check("ledger_safe_mode");
        check("tasks_leaked_total");
    }

    #[test]
    fn each_label_has_its_own_series() {
        let metrics = Metrics::new();
        metrics.queue_depth.of(Queue::Preval).set(7);
        metrics.breaker_open_seconds.of(Target::Policy).set(1.5);
        metrics.count_rejected("busy");
        let text = metrics.render();
        let check = |series, value| assert_eq!(line_of(&text, series).as_deref(), value);
        check(r#"queue_depth{q="ingress"}"#, Some("0"));
        check(r#"queue_depth{q="preval"}"#, Some("7"));
        check(r#"breaker_open_seconds{target="policy"}"#, Some("1.5"));
        check(r#"rejected_total{reason="busy"}"#, Some("1"));
        check(r#"rejected_total{reason="timeout"}"#, None);
    }

    #[test]
    fn strange_methods_and_paths_share_one_series() {
        let metrics = Metrics::new();
        for method in ["BREW", "get", "X-1"] {
            metrics.observe_http((None, method), 404, 0.001, &Trace::none());
        }
        metrics.observe_http((Some("/ingest"), "POST"), 200, 0.001, &Trace::none());
        let text = metrics.render();
        let check = |series, value: &str| assert_eq!(line_of(&text, series).unwrap(), value);
        check(r#"http_requests_total{method="other",route="unmatched",status="404"}"#, "3");
        check(r#"http_requests_total{method="POST",route="/ingest",status="200"}"#, "1");
    }

    #[test]
    fn objectives_are_bucket_bounds() {
        assert!(LATENCY_SECONDS.is_sorted_by(|a, b| a < b));
        for bound in [0.0005, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6] {
            assert!(LATENCY_SECONDS.contains(&bound), "{bound}");
        }
        let metrics = Metrics::new();
        metrics.commit_latency.observe(0.08);
        let text = metrics.render();
        let bucket =
            |le| line_of(&text, &format!("ledger_commit_latency_seconds_bucket{{le=\"{le}\"}}"));
        assert_eq!(bucket("0.06").as_deref(), Some("0"));
        assert_eq!(bucket("0.08").as_deref(), Some("1"));
    }

    #[test]
    fn two_instances_do_not_share() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.commits.inc();
        assert_eq!((one.commits.get(), other.commits.get()), (1, 0));
    }

    #[test]
    fn the_manual_lists_exactly_these_metrics() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OBSERVABILITY.md");
        let manual = std::fs::read_to_string(path).unwrap();
        let row = |line: &str| Some(line.strip_prefix("| `")?.split(['`', '{']).next()?.to_owned());
        // The tables of log fields and of spans come after it.
        let metrics = manual.lines().take_while(|line| *line != "## Logs");
        let documented: BTreeSet<String> = metrics.filter_map(row).collect();
        let families = Metrics::new().registered.registry.gather();
        let process = families.iter().map(|f| f.name()).filter(|n| n.starts_with("process_"));
        let exported = Metrics::NAMES.iter().copied().chain(process).map(str::to_owned).collect();
        assert_eq!(documented, exported);
    }
}
