//! The result of a closed loop.

use std::fmt;
use std::time::Duration;

use comfy_table::Table;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::super::Ui;
use super::histogram::Bars;
use super::watch::Seen;
use crate::client::load::Measured;
use crate::client::workload::Ids;
use crate::http::Format;

/// What was asked for, as far as a report repeats it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Asked {
    pub(super) connections: u16,
    pub(super) batch: u16,
    pub(super) format: Format,
    pub(super) uuid: Ids,
    /// Entries that were sent before the clock started.
    pub(super) preload: u32,
}

/// The result.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    asked: Asked,
    seconds: f64,
    requests: u64,
    entries: u64,
    committed: u64,
    rejected: u64,
    retries: u64,
    /// Requests that were made while the clock ran.
    made_late: u64,
    requests_per_second: f64,
    entries_per_second: f64,
    /// Of requests as the client sees them, in ms.
    request_ms: Quantiles,
    latencies: Bars,
    #[serde(flatten)]
    seen: Seen,
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
    pub(super) fn of(asked: Asked, measured: &Measured, seen: Seen) -> Self {
        let seconds = measured.elapsed.max(Duration::from_micros(1)).as_secs_f64();
        Report {
            asked,
            seconds,
            requests: measured.requests,
            entries: measured.entries,
            committed: measured.committed,
            rejected: measured.rejected,
            retries: measured.retries,
            made_late: measured.made_late,
            requests_per_second: measured.requests as f64 / seconds,
            entries_per_second: measured.entries as f64 / seconds,
            request_ms: Quantiles::of(&measured.latency_us),
            latencies: Bars::of(&measured.latency_us),
            seen,
        }
    }

    pub(super) fn table(&self, ui: &Ui) -> Table {
        let mut table = ui.table(["measured", ""]);
        let mut row = |name: &str, text: String| _ = table.add_row([name.to_owned(), text]);
        let Asked { connections, batch, format, uuid, preload } = self.asked;
        row("connections, entries a request", format!("{connections}, {batch}"));
        row("form; ids; entries before", format!("{format}; {uuid}; {preload}"));
        row("requests/s", format!("{:.0}", self.requests_per_second));
        row("entries/s", format!("{:.0}", self.entries_per_second));
        row("requests", format!("{} in {:.2} s", self.requests, self.seconds));
        let (committed, rejected) = (self.committed, self.rejected);
        row("entries", format!("{committed} committed, {rejected} rejected"));
        row("sent again", self.retries.to_string());
        row("request, ms", self.request_ms.to_string());
        if self.made_late > 0 {
            row("made while the clock ran", format!("{} requests", self.made_late));
        }
        self.seen.rows(self.entries, &mut table);
        table
    }

    /// The latencies of requests, as bars.
    pub(super) fn bars(&self) -> &Bars {
        &self.latencies
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
