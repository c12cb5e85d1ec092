//! The result of an open loop.

use std::time::Duration;

use comfy_table::Table;
use serde::Serialize;

use super::super::Ui;
use super::histogram::Bars;
use super::report::{Asked, Quantiles};
use super::watch::Seen;
use crate::client::audit::Audit;
use crate::client::open::{Counts, Offered, Schedule};

/// The result.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    asked: Asked,
    /// Requests a second, as asked for.
    rate: u32,
    /// Requests that were due.
    planned: u64,
    seconds: f64,
    /// What became of them.
    requests: Counts,
    committed: u64,
    rejected: u64,
    accepted_per_second: f64,
    /// Of requests with an accepted entry, from when they were due, in ms.
    accepted_ms: Quantiles,
    /// Of the same, from when they were sent, in ms.
    accepted_sent_ms: Quantiles,
    /// Of refused requests.
    refused_ms: Quantiles,
    /// Those of accepted ones, from when they were due.
    latencies: Bars,
    #[serde(flatten)]
    seen: Seen,
    /// What was acknowledged, held against what is there; `null` unless asked for.
    pub(super) audit: Option<Audit>,
}

impl Report {
    pub(super) fn of(asked: Asked, schedule: Schedule, offered: &Offered, seen: Seen) -> Self {
        let seconds = offered.elapsed.max(Duration::from_micros(1)).as_secs_f64();
        let counts = offered.counts;
        Report {
            asked,
            rate: schedule.rate,
            planned: schedule.planned(),
            seconds,
            requests: counts,
            committed: offered.committed,
            rejected: offered.rejected,
            accepted_per_second: (counts.ok + counts.partly) as f64 / seconds,
            accepted_ms: Quantiles::of(&offered.accepted_us),
            accepted_sent_ms: Quantiles::of(&offered.accepted_sent_us),
            refused_ms: Quantiles::of(&offered.refused_us),
            latencies: Bars::of(&offered.accepted_us),
            seen,
            audit: None,
        }
    }

    pub(super) fn table(&self, ui: &Ui) -> Table {
        let mut table = ui.table(["measured", ""]);
        let mut row = |name: &str, text: String| _ = table.add_row([name.to_owned(), text]);
        let Report { rate, planned, seconds, requests, .. } = self;
        let Asked { connections, batch, format, uuid, preload } = self.asked;
        row("connections, entries a request", format!("{connections}, {batch}"));
        row("form; ids; entries before", format!("{format}; {uuid}; {preload}"));
        row("due", format!("{rate} requests/s: {planned} in {seconds:.2} s"));
        let Counts { ok, partly, busy, unavailable, late, other, .. } = requests;
        row("200, 207", format!("{ok}, {partly}: {:.0} requests/s", self.accepted_per_second));
        row("429, 503, 504, others", format!("{busy}, {unavailable}, {late}, {other}"));
        row("without Retry-After", format!("{} of 429 and 503", requests.without_retry_after));
        row("no answer; not sent", format!("{}; {}", requests.unanswered, requests.unsent));
        row("entries", format!("{} committed, {} rejected", self.committed, self.rejected));
        row("accepted, ms since due", self.accepted_ms.to_string());
        row("accepted, ms since sent", self.accepted_sent_ms.to_string());
        row("refused, ms since due", self.refused_ms.to_string());
        if let Some(audit) = &self.audit {
            let Audit { acknowledged, present, unknown_present, unknown, .. } = audit;
            row("acknowledged; present", format!("{acknowledged}; {present}"));
            row("of unknown outcome; of them present", format!("{unknown}; {unknown_present}"));
            let Audit { lost, doubled, gaps, strange, .. } = audit;
            row("lost, doubled, gaps, strange", format!("{lost}, {doubled}, {gaps}, {strange}"));
        }
        self.seen.rows(self.committed + self.rejected, &mut table);
        table
    }

    /// The latencies of accepted requests, as bars.
    pub(super) fn bars(&self) -> &Bars {
        &self.latencies
    }
}
