//! The result of a closed loop.

use std::fmt;
use std::time::Duration;

use comfy_table::Table;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::super::Ui;
use super::ledger::Ledger;
use crate::client::load::Measured;

/// The result.
#[derive(Debug, Serialize)]
pub(super) struct Report {
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

#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::ctl) struct Quantiles {
    p50: f64,
    pub(in crate::ctl) p95: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Report {
    pub(super) fn of(
        (connections, batch): (u16, u16),
        measured: &Measured,
        ledger: Option<Ledger>,
        client_cpu_seconds: f64,
    ) -> Self {
        let seconds = measured.elapsed.max(Duration::from_micros(1)).as_secs_f64();
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
            request_ms: Quantiles::of(&measured.latency_us),
            ledger,
            client_cpu_seconds,
        }
    }

    pub(super) fn table(&self, ui: &Ui) -> Table {
        let mut table = ui.table(["measured", ""]);
        let mut row = |name: &str, text: String| _ = table.add_row([name.to_owned(), text]);
        row("connections, entries a request", format!("{}, {}", self.connections, self.batch));
        row("requests/s", format!("{:.0}", self.requests_per_second));
        row("entries/s", format!("{:.0}", self.entries_per_second));
        row("requests", format!("{} in {:.2} s", self.requests, self.seconds));
        let (committed, rejected) = (self.committed, self.rejected);
        row("entries", format!("{committed} committed, {rejected} rejected"));
        row("retries", self.retries.to_string());
        row("request, ms", self.request_ms.to_string());
        row("client's CPU", format!("{:.2} s", self.client_cpu_seconds));
        Ledger::rows(self.ledger.as_ref(), &mut table);
        table
    }
}

impl Quantiles {
    /// Of latencies in microseconds.
    pub(in crate::ctl) fn of(latency_us: &Histogram<u64>) -> Self {
        let at = |quantile| latency_us.value_at_quantile(quantile) as f64 / 1000.0;
        Quantiles {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: latency_us.max() as f64 / 1000.0,
        }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Quantiles { p50, p95, p99, p999, max } = self;
        write!(f, "p50 {p50:.2}, p95 {p95:.2}, p99 {p99:.2}, p99.9 {p999:.2}, max {max:.2}")
    }
}
