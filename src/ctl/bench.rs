//! `bench`: load over HTTP, and what came of it on both sides.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use comfy_table::Table;
use serde::Serialize;

use super::context::{Context, ask, capability_id};
use super::{CtlError, Ui};
use crate::client::load::{self, ENTRIES_MAX, Load, Measured, default_mix};
use crate::client::workload::{Mix, Spec};
use crate::ledger::names::KeyName;

/// Measure a ledger under load
///
/// Closed loop: each connection sends its next request when the last one is answered. The requests
/// are made before the clock starts. Latencies of the ledger itself are read off its metrics
/// listener, before and after. The entries stay in the ledger: use one that may be thrown away.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    ron-ledgerctl bench --connections 64 --batch 16 --entries 200000 --token-file ./dev/token")]
pub(super) struct BenchArgs {
    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,

    /// About so many entries a request
    #[arg(long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,

    /// Entries in all
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=ENTRIES_MAX as i64))]
    entries: u32,

    /// Where chance starts; another one for each run on the same ledger, or all is replayed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// How many accounts
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    accounts: u32,

    /// How unevenly accounts are chosen: the exponent of Zipf's law; 0 is evenly
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    zipf: f64,

    /// How often each scenario comes, as weights. `atomic` makes small requests, whatever --batch says
    #[arg(long, default_value_t = default_mix())]
    mix: Mix,
}

/// The result.
#[derive(Debug, Serialize)]
struct Report {
    connections: u16,
    batch: u16,
    seconds: f64,
    requests: u64,
    entries: u64,
    committed: u64,
    rejected: u64,
    retries: u64,
    requests_per_second: f64,
    entries_per_second: f64,
    /// Of requests as the client sees them, in ms.
    request_ms: Quantiles,
    /// What the ledger counted meanwhile; `null` when its metrics cannot be read.
    ledger: Option<Ledger>,
    client_cpu_seconds: f64,
}

#[derive(Debug, Serialize)]
struct Quantiles {
    p50: f64,
    p95: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// The difference of two readings of the ledger's metrics.
#[derive(Debug, PartialEq, Serialize)]
struct Ledger {
    /// Of `ledger_commit_latency_seconds`, in ms: interpolated in its buckets, as Prometheus does.
    commit_p50_ms: f64,
    commit_p95_ms: f64,
    commit_p99_ms: f64,
    commits: f64,
    entries_per_commit: f64,
    cpu_seconds: f64,
    resident_bytes: f64,
    store_bytes: f64,
}

pub(super) async fn run(args: BenchArgs, context: &Context) -> Result<(), CtlError> {
    let token = context.token()?.ok_or_else(|| {
        CtlError::usage("a token is needed").hint("--token-file ./dev/token, for instance")
    })?;
    let capability = KeyName::new(capability_id(&token)?).map_err(CtlError::usage)?;
    let spec = Spec {
        entries: args.entries as usize,
        seed: args.seed,
        accounts: args.accounts,
        zipf: args.zipf,
        mix: args.mix,
        invalid_share: 0.0,
        capability,
        ..Spec::default()
    };
    let (connections, batch) = (args.connections.into(), args.batch.into());
    context.ui.note("preparing the requests");
    let streams = Load { connections, batch, spec }.requests()?;
    let client = context.client_with(Some(token))?;
    let metrics = context.metrics_client()?;
    // Also finds out whether a ledger is there at all.
    ask(|| client.probe("version")).await?;
    let before = metrics.text("metrics").await.ok();
    let bar = context.ui.progress(args.entries.into());
    let (ticking, cpu_before) = (bar.clone(), cpu_seconds());
    let measured = load::run(&client, streams, move |entries| ticking.inc(entries)).await;
    let client_cpu_seconds = cpu_seconds() - cpu_before;
    bar.finish_and_clear();
    let measured = measured?;
    let after = metrics.text("metrics").await.ok();
    let ledger = before.zip(after).map(|(before, after)| Ledger::between(&before, &after));
    let report = Report::of(args.connections, args.batch, &measured, ledger, client_cpu_seconds);
    context.ui.show(&report, || report.table(&context.ui))
}

impl Report {
    fn of(
        connections: u16,
        batch: u16,
        measured: &Measured,
        ledger: Option<Ledger>,
        client_cpu_seconds: f64,
    ) -> Self {
        let seconds = measured.elapsed.max(Duration::from_micros(1)).as_secs_f64();
        let at = |quantile| measured.latency_us.value_at_quantile(quantile) as f64 / 1000.0;
        Report {
            connections,
            batch,
            seconds,
            requests: measured.requests,
            entries: measured.entries,
            committed: measured.committed,
            rejected: measured.rejected,
            retries: measured.retries,
            requests_per_second: measured.requests as f64 / seconds,
            entries_per_second: measured.entries as f64 / seconds,
            request_ms: Quantiles {
                p50: at(0.5),
                p95: at(0.95),
                p99: at(0.99),
                p999: at(0.999),
                max: measured.latency_us.max() as f64 / 1000.0,
            },
            ledger,
            client_cpu_seconds,
        }
    }

    fn table(&self, ui: &Ui) -> Table {
        let mut table = ui.table(["measured", ""]);
        let mut row = |name: &str, text: String| _ = table.add_row([name.to_owned(), text]);
        row("connections, entries a request", format!("{}, {}", self.connections, self.batch));
        row("requests/s", format!("{:.0}", self.requests_per_second));
        row("entries/s", format!("{:.0}", self.entries_per_second));
        row("requests", format!("{} in {:.2} s", self.requests, self.seconds));
        let (committed, rejected) = (self.committed, self.rejected);
        row("entries", format!("{committed} committed, {rejected} rejected"));
        row("retries", self.retries.to_string());
        let Quantiles { p50, p95, p99, p999, max } = self.request_ms;
        let quantiles = format!("p50 {p50:.2}, p95 {p95:.2}, p99 {p99:.2}, p99.9 {p999:.2}");
        row("request, ms", format!("{quantiles}, max {max:.2}"));
        row("client's CPU", format!("{:.2} s", self.client_cpu_seconds));
        let Some(ledger) = &self.ledger else {
            row("ledger", "its metrics cannot be read: --metrics-url".to_owned());
            return table;
        };
        let Ledger { commit_p50_ms: p50, commit_p95_ms: p95, commit_p99_ms: p99, .. } = ledger;
        row("commit latency, ms", format!("p50 {p50:.2}, p95 {p95:.2}, p99 {p99:.2}"));
        let (commits, each) = (ledger.commits, ledger.entries_per_commit);
        row("commits", format!("{commits:.0}, {each:.1} entries each"));
        row("ledger's CPU", format!("{:.2} s", ledger.cpu_seconds));
        row("ledger's memory", format!("{:.0} MiB", ledger.resident_bytes / 1_048_576.0));
        table
    }
}

impl Ledger {
    fn between(before: &str, after: &str) -> Self {
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
        let millis = |quantile| quantile_of(&buckets, quantile) * 1000.0;
        Ledger {
            commit_p50_ms: millis(0.5),
            commit_p95_ms: millis(0.95),
            commit_p99_ms: millis(0.99),
            commits,
            entries_per_commit: rise("ledger_entries_committed_total") / commits.max(1.0),
            cpu_seconds: rise("process_cpu_seconds_total"),
            resident_bytes: at(&after, "process_resident_memory_bytes"),
            store_bytes: at(&after, "store_bytes"),
        }
    }
}

/// The lines of Prometheus' text format that have one value.
fn series(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.rsplit_once(' '));
    pairs.filter_map(|(series, value)| Some((series, value.parse().ok()?))).collect()
}

/// As `histogram_quantile` of Prometheus: linear within the bucket; the last bound for what is
/// beyond it. `buckets` are cumulative, by upper bound.
fn quantile_of(buckets: &[(f64, f64)], quantile: f64) -> f64 {
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

/// What this process has used so far.
fn cpu_seconds() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
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
            process_cpu_seconds_total 2\nprocess_resident_memory_bytes 5000\nstore_bytes 7\n\
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
            store_bytes: 7.0,
        };
        assert_eq!(Ledger::between(before, after), expected);
    }
}
