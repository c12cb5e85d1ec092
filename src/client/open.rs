//! Open-loop load: requests are due by a constant schedule, whatever becomes of those before them.
//!
//! Latency counts from when a request was due, not from when it left: a ledger that stalls holds up
//! the requests behind, and their wait belongs to it (corrected for coordinated omission). Nothing is
//! sent again: a refusal is an answer, and the next request is due when it is due.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::audit::Receipts;
use super::load::{ENTRIES_MAX, Load, empty_histogram, micros};
use super::sender::{Sender, Told};
use super::stream::{Feed, Prepared};
use super::workload::SpecError;
use super::{Client, ClientError};

/// Unless it is said otherwise, the requests of so long are made before the clock starts, so that the generator
/// takes less of the time that is measured; later ones while their connection waits. At most [`ENTRIES_MAX`]
/// entries.
const PREPARED: Duration = Duration::from_secs(60);

/// When requests are due.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Requests a second, over all connections; 0 counts as 1.
    pub rate: u32,
    /// From the first to the last.
    pub duration: Duration,
}

impl Schedule {
    /// The requests that are due in all.
    pub fn planned(&self) -> u64 {
        let planned = self.duration.as_nanos() * u128::from(self.rate.max(1)) / 1_000_000_000;
        u64::try_from(planned).unwrap_or(u64::MAX)
    }

    /// How long after the start the `nth` is due, counted from 0.
    fn due(&self, nth: u64) -> Duration {
        let nanos = u128::from(nth) * 1_000_000_000 / u128::from(self.rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What is kept of the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Counts and latencies.
    Counts,
    /// Also [`Receipts`], to hold them against the ledger afterwards.
    Receipts,
}

/// What became of the requests, each counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// 200: all entries accepted.
    pub ok: u64,
    /// 207: some of them.
    pub partly: u64,
    /// 429: too much work.
    pub busy: u64,
    /// 503: no writes now.
    pub unavailable: u64,
    /// 504: not in time.
    pub late: u64,
    /// Any other status.
    pub other: u64,
    /// No answer: no connection, or it broke.
    pub unanswered: u64,
    /// Due, and not sent by the end, since every connection had one that was not answered.
    pub unsent: u64,
    /// Refusals with 429 or 503 that did not say after which pause to come again.
    pub without_retry_after: u64,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Offered {
    /// The requests.
    pub counts: Counts,
    /// Entries that are in the ledger, as it said.
    pub committed: u64,
    /// Entries that were refused by a rule.
    pub rejected: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Of requests with an accepted entry, from when they were due, in microseconds.
    pub accepted_us: Histogram<u64>,
    /// Of the same, from when they were sent: the rest is what they waited for their connection.
    pub accepted_sent_us: Histogram<u64>,
    /// Of all other requests with an answer.
    pub refused_us: Histogram<u64>,
    /// What the ledger said of each entry, where that is kept.
    pub receipts: Receipts,
}

impl Default for Offered {
    fn default() -> Self {
        Offered {
            counts: Counts::default(),
            committed: 0,
            rejected: 0,
            elapsed: Duration::ZERO,
            accepted_us: empty_histogram(),
            accepted_sent_us: empty_histogram(),
            refused_us: empty_histogram(),
            receipts: Receipts::default(),
        }
    }
}

impl Offered {
    /// Adds what another run measured; the time is that of both together.
    pub fn add(&mut self, one: Offered) {
        let (sum, more) = (&mut self.counts, one.counts);
        sum.ok += more.ok;
        sum.partly += more.partly;
        sum.busy += more.busy;
        sum.unavailable += more.unavailable;
        sum.late += more.late;
        sum.other += more.other;
        sum.unanswered += more.unanswered;
        sum.unsent += more.unsent;
        sum.without_retry_after += more.without_retry_after;
        self.committed += one.committed;
        self.rejected += one.rejected;
        self.accepted_us += one.accepted_us;
        self.accepted_sent_us += one.accepted_sent_us;
        self.refused_us += one.refused_us;
        self.receipts.add(one.receipts);
        self.elapsed += one.elapsed;
    }

    fn note(
        &mut self,
        request: &Prepared,
        outcome: &Result<Told<'_>, ClientError>,
        (since_due, since_sent): (Duration, Duration),
    ) {
        let counts = &mut self.counts;
        match outcome {
            Ok(told) => {
                let tally = told.tally;
                self.committed += u64::from(tally.committed);
                self.rejected += u64::from(tally.rejected);
                let accepted = tally.committed > 0 || tally.replayed > 0;
                match (accepted, tally.rejected) {
                    (true, 0) => counts.ok += 1,
                    (true, _) => counts.partly += 1,
                    (false, _) => counts.other += 1,
                }
                if accepted {
                    self.accepted_us.saturating_record(micros(since_due));
                    self.accepted_sent_us.saturating_record(micros(since_sent));
                } else {
                    self.refused_us.saturating_record(micros(since_due));
                }
                if !request.ids.is_empty() {
                    self.receipts.answered(&request.ids, &told.places());
                }
            }
            Err(ClientError::Refused { status, retry_after, .. }) => {
                match status {
                    429 => counts.busy += 1,
                    503 => counts.unavailable += 1,
                    504 => counts.late += 1,
                    _ => counts.other += 1,
                }
                if matches!(status, 429 | 503) && retry_after.is_none() {
                    counts.without_retry_after += 1;
                }
                self.refused_us.saturating_record(micros(since_due));
                // Of these the outcome may be unknown, and the status alone does not tell.
                if matches!(status, 503 | 504) {
                    self.receipts.unknown(&request.ids);
                }
            }
            Err(_) => {
                counts.unanswered += 1;
                self.receipts.unknown(&request.ids);
            }
        }
    }
}

/// Connections that stand, each with its first requests: all that is done before the clock starts.
pub struct Ready {
    connections: Vec<(Sender, Feed, Offered)>,
    schedule: Schedule,
}

impl Ready {
    /// Prepares requests of `load` and connects. Where that fails, the first request of the connection
    /// tries again. Entries of the load are those that are prepared; with 0 those of a minute.
    ///
    /// # Errors
    /// [`SpecError`] for a spec out of its bounds.
    pub async fn new(
        client: &Client,
        load: &Load,
        schedule: Schedule,
        keep: Keep,
    ) -> Result<Self, SpecError> {
        let prepared = match load.spec.entries {
            0 => Schedule { duration: schedule.duration.min(PREPARED), ..schedule }.planned(),
            entries => entries as u64 / load.batch.max(1) as u64,
        };
        let entries = schedule.planned().min(prepared).saturating_mul(load.batch as u64);
        let entries = usize::try_from(entries).unwrap_or(usize::MAX).min(ENTRIES_MAX);
        let each = (entries / load.connections.max(1)).max(1);
        let feeds = load.prepare(load.units(usize::MAX)?, each, keep == Keep::Receipts);
        let mut ready = Vec::new();
        for feed in feeds {
            let mut sender = Sender::new(client);
            sender.connect().await;
            ready.push((sender, feed, Offered::default()));
        }
        Ok(Ready { connections: ready, schedule })
    }

    /// Offers requests by the schedule. `progress` is told of each answer.
    pub async fn offer(self, progress: impl Fn() + Clone + Send + 'static) -> Offered {
        let Ready { connections, schedule } = self;
        let (count, mut senders) = (connections.len(), JoinSet::new());
        let start = Instant::now();
        for (at, (sender, feed, sum)) in (0..).zip(connections) {
            let turns = (at..schedule.planned()).step_by(count);
            senders.spawn(send(sender, feed, sum, schedule, start, turns, progress.clone()));
        }
        let (mut total, mut fed) = (Offered::default(), Vec::new());
        while let Some(ended) = senders.join_next().await {
            let (one, feed) = ended.expect("a sender neither panics nor is cancelled");
            total.add(one);
            fed.push(feed);
        }
        total.elapsed = start.elapsed();
        total
    }
}

/// Prepares requests of `load`, and offers them: [`Ready::new`] and [`Ready::offer`].
///
/// # Errors
/// [`SpecError`] for a spec out of its bounds.
pub async fn offer(
    client: &Client,
    load: &Load,
    schedule: Schedule,
    keep: Keep,
    progress: impl Fn() + Clone + Send + 'static,
) -> Result<Offered, SpecError> {
    Ok(Ready::new(client, load, schedule, keep).await?.offer(progress).await)
}

/// The feed comes back, to be dropped when all others have ended: that takes tens of milliseconds, which their answers
/// would wait for.
async fn send(
    mut sender: Sender,
    mut feed: Feed,
    mut sum: Offered,
    schedule: Schedule,
    start: Instant,
    turns: impl Iterator<Item = u64>,
    progress: impl Fn(),
) -> (Offered, Feed) {
    for turn in turns {
        if start.elapsed() > schedule.duration {
            sum.counts.unsent += 1;
            continue;
        }
        let request = feed.next().expect("a workload of this size does not end");
        let due = start + schedule.due(turn);
        sleep_until(due).await;
        let sent = Instant::now();
        let outcome = sender.send(&request.body).await;
        sum.note(&request, &outcome, (due.elapsed(), sent.elapsed()));
        progress();
    }
    (sum, feed)
}

#[cfg(test)]
mod tests {
    use super::super::workload::Spec;
    use super::*;
    use crate::http::{Body, Format};

    #[test]
    fn requests_are_due_evenly_and_none_is_lost_to_rounding() {
        let schedule = Schedule { rate: 3, duration: Duration::from_secs(7) };
        assert_eq!(schedule.planned(), 21);
        let due: Vec<u128> = (0..4).map(|nth| schedule.due(nth).as_millis()).collect();
        assert_eq!(due, [0, 333, 666, 1_000]);
        let day = Schedule { rate: 12_000, duration: Duration::from_secs(86_400) };
        assert_eq!(day.due(day.planned()), day.duration);
    }

    #[tokio::test]
    async fn as_many_requests_as_are_asked_for_are_made_before_the_clock_starts() {
        let client = Client::new(&super::super::ClientOptions::new("http://127.0.0.1:1")).unwrap();
        let schedule = Schedule { rate: 100, duration: Duration::from_secs(1) };
        // Of about two entries each, of which a unit may have four.
        for (entries, prepared) in [(0, 12..=26), (40, 2..=6), (4_000, 12..=26)] {
            let spec = Spec { entries, ..Spec::default() };
            let load = Load { connections: 4, batch: 2, format: Format::Json, spec };
            let ready = Ready::new(&client, &load, schedule, Keep::Counts).await.unwrap();
            assert_eq!(ready.connections.len(), 4);
            for (_, mut feed, _) in ready.connections {
                let made_before = (0..).find(|_| {
                    feed.next().expect("it has no end");
                    feed.made_late() > 0
                });
                assert!(
                    made_before.is_some_and(|made| prepared.contains(&made)),
                    "{made_before:?}"
                );
            }
        }
    }

    #[test]
    fn each_outcome_is_counted_in_its_place() {
        let request = Prepared {
            body: Body { format: Format::Json, bytes: Vec::new() },
            entries: 0,
            ids: Vec::new(),
        };
        let mut sum = Offered::default();
        let pause = Some(Duration::from_secs(1));
        let took = (Duration::from_millis(2), Duration::from_millis(1));
        for (status, retry_after) in
            [(429, pause), (429, None), (503, pause), (504, None), (500, None)]
        {
            let refused = ClientError::refused(status, "busy", "", retry_after);
            sum.note(&request, &Err(refused), took);
        }
        let gone = ClientError::Unreachable { url: String::new(), cause: String::new() };
        sum.note(&request, &Err(gone), took);
        let expected = Counts {
            busy: 2,
            unavailable: 1,
            late: 1,
            other: 1,
            unanswered: 1,
            without_retry_after: 1,
            ..Counts::default()
        };
        assert_eq!(sum.counts, expected);
        assert_eq!((sum.refused_us.len(), sum.accepted_us.len()), (5, 0));
    }

    #[tokio::test]
    async fn an_open_loop_waits_for_nobody() {
        // Nothing listens there: each request fails at once, and the next is due all the same.
        let client = Client::new(&super::super::ClientOptions::new("http://127.0.0.1:1")).unwrap();
        let load = Load { connections: 3, batch: 2, format: Format::Json, spec: Spec::default() };
        let schedule = Schedule { rate: 1_000, duration: Duration::from_millis(100) };
        let offered = offer(&client, &load, schedule, Keep::Counts, || ()).await.unwrap();
        let counts = offered.counts;
        assert_eq!(counts.unanswered + counts.unsent, 100, "{counts:?}");
        assert!(counts.unanswered > 0);
    }
}
