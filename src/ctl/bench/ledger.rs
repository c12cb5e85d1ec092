//! What the ledger's own metrics say of a run: the difference of two readings of them.

use std::collections::BTreeMap;

use comfy_table::Table;
use serde::Serialize;

/// The difference of two readings of the ledger's metrics.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Ledger {
    /// Of `ledger_commit_latency_seconds`, in ms: interpolated in its buckets, as Prometheus does.
    commit_p50_ms: f64,
    commit_p95_ms: f64,
    commit_p99_ms: f64,
    commits: f64,
    entries_per_commit: f64,
    /// Of the log; none in memory.
    fsyncs: f64,
    fsync_mean_ms: f64,
    pub(super) cpu_seconds: f64,
    resident_bytes: f64,
    store_bytes: f64,
    /// The entries of all times.
    entries: f64,
    /// Of the store, over all of them.
    bytes_per_entry: f64,
}

impl Ledger {
    pub(super) fn between(before: &str, after: &str) -> Self {
        let (before, after) = (series(before), series(after));
        let at = |all: &BTreeMap<&str, f64>, name| all.get(name).copied().unwrap_or(0.0);
        let rise = |name| at(&after, name) - at(&before, name);
        let commits = rise("ledger_commits_total");
        let name = "ledger_commit_latency_seconds_bucket{le=\"";
        let mut buckets: Vec<(f64, f64)> = after
            .iter()
            .filter_map(|(series, value)| {
                let bound = series.strip_prefix(name)?.strip_suffix("\"}")?;
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
                Some((bound, value - at(&before, series)))
            })
            .collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (fsyncs, entries) = (rise("rocksdb_wal_fsyncs_total"), at(&after, "ledger_head_seq"));
        let store_bytes = at(&after, "store_bytes");
        let millis = |quantile| quantile_of(&buckets, quantile) * 1000.0;
        Ledger {
            commit_p50_ms: millis(0.5),
            commit_p95_ms: millis(0.95),
            commit_p99_ms: millis(0.99),
            commits,
            entries_per_commit: rise("ledger_entries_committed_total") / commits.max(1.0),
            fsyncs,
            fsync_mean_ms: rise("rocksdb_wal_fsync_seconds_total") * 1000.0 / fsyncs.max(1.0),
            cpu_seconds: rise("process_cpu_seconds_total"),
            resident_bytes: at(&after, "process_resident_memory_bytes"),
            store_bytes,
            entries,
            bytes_per_entry: store_bytes / entries.max(1.0),
        }
    }

    /// The entries of all times.
    pub(super) fn entries(&self) -> f64 {
        self.entries
    }

    /// The rows of it; without a reading, one that says why.
    pub(super) fn rows(ledger: Option<&Ledger>, table: &mut Table) {
        let mut row = |name: &str, text: String| _ = table.add_row([name.to_owned(), text]);
        let Some(ledger) = ledger else {
            return row("ledger", "its metrics cannot be read: --metrics-url".to_owned());
        };
        let Ledger { commit_p50_ms: p50, commit_p95_ms: p95, commit_p99_ms: p99, .. } = ledger;
        row("commit latency, ms", format!("p50 {p50:.2}, p95 {p95:.2}, p99 {p99:.2}"));
        let (commits, each) = (ledger.commits, ledger.entries_per_commit);
        row("commits", format!("{commits:.0}, {each:.1} entries each"));
        row("fsyncs", format!("{:.0}, {:.2} ms each", ledger.fsyncs, ledger.fsync_mean_ms));
        let (entries, each) = (ledger.entries, ledger.bytes_per_entry);
        row("store", format!("{each:.0} bytes an entry, of {entries:.0}"));
        row("ledger's memory", format!("{:.0} MiB", ledger.resident_bytes / 1_048_576.0));
    }
}

/// The lines of Prometheus' text format that have one value.
pub(in crate::ctl) fn series(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.rsplit_once(' '));
    pairs.filter_map(|(series, value)| Some((series, value.parse().ok()?))).collect()
}

/// As `histogram_quantile` of Prometheus: linear within the bucket; the last bound for what is
/// beyond it. `buckets` are cumulative, by upper bound.
pub(in crate::ctl) fn quantile_of(buckets: &[(f64, f64)], quantile: f64) -> f64 {
    let rank = quantile * buckets.last().map_or(0.0, |last| last.1);
    let mut below = (0.0, 0.0);
    for &(bound, count) in buckets {
        if count >= rank && count > 0.0 {
            let (from, before) = below;
            if bound.is_infinite() {
                return from;
            }
            return from + (bound - from) * (rank - before) / (count - before);
        }
        below = (bound, count);
    }
    below.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated_in_their_bucket() {
        let buckets = [(0.01, 50.0), (0.02, 90.0), (f64::INFINITY, 100.0)];
        assert_eq!(quantile_of(&buckets, 0.25), 0.005);
        assert_eq!(quantile_of(&buckets, 0.7), 0.015);
        assert_eq!(quantile_of(&buckets, 0.99), 0.02, "the last bound");
        assert_eq!(quantile_of(&[], 0.5), 0.0);
    }

    #[test]
    fn only_what_happened_between_the_readings_counts() {
        let before = "# TYPE x counter\nledger_commits_total 10\n\
            ledger_entries_committed_total 100\nprocess_cpu_seconds_total 1.5\n\
            ledger_commit_latency_seconds_bucket{le=\"0.01\"} 7\n\
            ledger_commit_latency_seconds_bucket{le=\"+Inf\"} 10\n";
        let after = "ledger_commits_total 14\nledger_entries_committed_total 120\n\
            process_cpu_seconds_total 2\nprocess_resident_memory_bytes 5000\nstore_bytes 700\n\
            ledger_head_seq 140\nrocksdb_wal_fsyncs_total 4\nrocksdb_wal_fsync_seconds_total 0.5\n\
            ledger_commit_latency_seconds_bucket{le=\"0.01\"} 11\n\
            ledger_commit_latency_seconds_bucket{le=\"+Inf\"} 14\n";
        let expected = Ledger {
            commit_p50_ms: 5.0,
            commit_p95_ms: 9.5,
            commit_p99_ms: 9.9,
            commits: 4.0,
            entries_per_commit: 5.0,
            cpu_seconds: 0.5,
            resident_bytes: 5000.0,
            fsyncs: 4.0,
            fsync_mean_ms: 125.0,
            store_bytes: 700.0,
            entries: 140.0,
            bytes_per_entry: 5.0,
        };
        assert_eq!(Ledger::between(before, after), expected);
    }
}
