//! Sends packed requests, shows how it goes, and counts what became of the entries.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use comfy_table::Table;
use futures_util::StreamExt as _;
use serde::Serialize;

use super::ui::or_dash;
use super::{CtlError, Exit, Ui};
use crate::client::unit::Packed;
use crate::client::{Client, ClientError, Retry};
use crate::http::dto::{AnswerOut, Status};

/// A pause that is worth a line.
const LONG_PAUSE: Duration = Duration::from_secs(2);

/// What became of everything that was sent.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Requests that were answered.
    pub requests: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Entries that were answered for: the sum of the next three.
    pub entries: u64,
    /// New in the ledger.
    pub committed: u64,
    /// In the ledger since before.
    pub replayed: u64,
    /// Refused by a rule.
    pub rejected: u64,
    /// The rejected ones by reason.
    pub rejects: BTreeMap<String, Rejects>,
    /// The first new entry.
    pub first_seq: Option<u64>,
    /// The last new entry.
    pub last_seq: Option<u64>,
    /// The root of the largest tree that an answer spoke of, in hex.
    pub root: Option<String>,
    /// The size of that tree.
    pub root_size: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Entries that were rejected for one reason.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Rejects {
    /// How many.
    pub count: u64,
    /// What the ledger said of the first of them.
    pub example: String,
}

impl Report {
    fn add(&mut self, answer: AnswerOut<'_>) {
        self.requests += 1;
        self.entries += answer.results.len() as u64;
        for result in &answer.results {
            match result.status {
                Status::Committed => self.committed += 1,
                Status::Replayed => self.replayed += 1,
                Status::Rejected => self.rejected += 1,
            }
        }
        for reason in answer.reasons {
            let rejects = self.rejects.entry(reason.reason.into_owned()).or_default();
            if rejects.count == 0 {
                rejects.example = reason.details.into_owned();
            }
            rejects.count += 1;
        }
        let earliest = [self.first_seq, answer.seq_start].into_iter().flatten().min();
        let latest = [self.last_seq, answer.seq_end].into_iter().flatten().max();
        (self.first_seq, self.last_seq) = (earliest, latest);
        if answer.root_size >= self.root_size {
            self.root_size = answer.root_size;
            self.root = Some(answer.new_root.into_owned());
        }
    }

    /// The counts, for people.
    pub(super) fn table(&self, ui: &Ui) -> Table {
        let mut table = ui.table(["sent", ""]);
        let per_second = self.entries as f64 / self.seconds.max(0.001);
        table.add_row(["entries", &format!("{} in {:.1} s", self.entries, self.seconds)]);
        table.add_row(["entries/s", &format!("{per_second:.0}")]);
        table.add_row(["requests", &format!("{}, {} retries", self.requests, self.retries)]);
        table.add_row(["committed", &self.committed.to_string()]);
        table.add_row(["replayed", &self.replayed.to_string()]);
        table.add_row(["rejected", &self.rejected.to_string()]);
        for (reason, rejects) in &self.rejects {
            let text = format!("{}, e.g. {}", rejects.count, rejects.example);
            table.add_row([&format!("  {reason}"), &text]);
        }
        table.add_row(["first new seq", &or_dash(self.first_seq)]);
        table.add_row(["last new seq", &or_dash(self.last_seq)]);
        table.add_row(["root", &or_dash(self.root.as_ref())]);
        table.add_row(["root's size", &self.root_size.to_string()]);
        table
    }

    /// Whether this is a success: something was accepted, or there was nothing to send, and with
    /// `strict` also nothing rejected.
    pub(super) fn judge(&self, strict: bool) -> Result<(), CtlError> {
        if self.rejected > 0 && self.committed + self.replayed == 0 {
            return Err(CtlError::new(Exit::Refused, "every entry was rejected"));
        }
        if strict && self.rejected > 0 {
            let message = format!("{} entries were rejected", self.rejected);
            return Err(CtlError::new(Exit::Refused, message));
        }
        Ok(())
    }
}

/// How requests are sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    /// Requests at a time. With one, the order is kept.
    pub(super) connections: usize,
    /// Entries in all, for the progress bar.
    pub(super) total: u64,
}

/// Sends all requests, until one is refused as a whole. The report says how far that came.
pub(super) async fn send(
    client: &Client,
    ui: &Ui,
    requests: impl Iterator<Item = Packed>,
    sending: Sending,
) -> (Report, Result<(), CtlError>) {
    let (bar, started, retries) = (ui.progress(sending.total), Instant::now(), Cell::new(0));
    let (bar, retries) = (&bar, &retries);
    let send_one = |packed: Packed| async move {
        let attempt = || client.ingest(&packed.request);
        let on_pause = |error: &ClientError, pause: Duration| {
            retries.set(retries.get() + 1);
            let told = format!("{error}; again in {} ms", pause.as_millis());
            // Without a bar only what makes people wonder is told.
            if bar.is_hidden() && pause >= LONG_PAUSE {
                ui.note(&told);
            }
            bar.set_message(told);
        };
        let answer = Retry::default().run(attempt, on_pause).await;
        (packed.units, answer)
    };
    let mut answers =
        futures_util::stream::iter(requests).map(send_one).buffered(sending.connections.max(1));
    let (mut report, mut outcome) = (Report::default(), Ok(()));
    while let Some((units, answer)) = answers.next().await {
        match answer {
            Ok(answer) => {
                bar.inc(answer.results.len() as u64);
                bar.set_message("");
                report.add(answer);
            }
            Err(error) => {
                let (from, to) = (units.start + 1, units.end);
                ui.note(format_args!("stopped at the request with units {from} to {to}"));
                outcome = Err(CtlError::from(error));
                break;
            }
        }
    }
    bar.finish_and_clear();
    report.retries = retries.get();
    report.seconds = started.elapsed().as_secs_f64();
    (report, outcome)
}

#[cfg(test)]
mod tests;
