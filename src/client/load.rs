//! Closed-loop load: so many connections, each of which sends its next request when the last one is
//! answered. Requests are made before the clock starts, so that the generator takes little of the
//! time that is measured.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::sender::{Sender, Tally};
use super::stream::{Feed, requests};
use super::workload::{Mix, Spec, SpecError, Workload};
use super::{Client, ClientError};
use crate::http::Format;

/// Most entries that are prepared for one run: the bytes of their requests lie in memory, about 250
/// for each.
pub const ENTRIES_MAX: usize = 40_000_000;

/// The longest latency that is told apart, in microseconds.
const LATENCY_US_MAX: u64 = 60_000_000;

/// Entries a request of the history that is there before the clock starts.
const HISTORY_BATCH: usize = 500;

/// How far the seeds of the history are from those of the load.
const HISTORY_SEED: u64 = 1 << 32;

/// All kinds, without what is a request of its own however few entries it has.
pub fn default_mix() -> Mix {
    let weights = "mint=5,burn=3,transfer=46,posting=10,hold=12,capture=9,release=3,reverse=4";
    weights.parse().expect("names of scenarios and small numbers")
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Load {
    /// Requests at a time.
    pub connections: usize,
    /// Entries a request, about: a unit is never split.
    pub batch: usize,
    /// The form of requests.
    pub format: Format,
    /// The entries, all connections together. Each has a seed of its own, counted up from this one,
    /// so that what one sends never refers to what another one sends.
    pub spec: Spec,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Requests that were answered.
    pub requests: u64,
    /// Their entries: accepted and refused.
    pub entries: u64,
    /// Entries that were committed.
    pub committed: u64,
    /// Entries that were refused.
    pub rejected: u64,
    /// Requests that were sent again after a transient error.
    pub retries: u64,
    /// Requests that were made while the clock ran, since none was left of those that were ready.
    pub made_late: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// From sending to the answer, pauses before a retry included, in microseconds.
    pub latency_us: Histogram<u64>,
}

impl Load {
    /// What each connection sends: its share of the entries; or entries without an end, of which that
    /// share is made now.
    ///
    /// # Errors
    /// [`SpecError`] for a spec out of its bounds.
    pub fn feeds(&self, endless: bool) -> Result<Vec<Feed>, SpecError> {
        let each = self.spec.entries / self.connections.max(1);
        let units = self.units(if endless { usize::MAX } else { each })?;
        Ok(self.prepare(units, each, false))
    }

    /// The feeds of workloads, so many entries of each made now, by all cores.
    pub(super) fn prepare(&self, units: Vec<Workload>, each: usize, with_ids: bool) -> Vec<Feed> {
        let feed = |units| Feed::new(units, each, (self.batch, self.format), with_ids);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (mut rest, count) = (units.into_iter(), self.connections.max(1));
        std::thread::scope(|scope| {
            let shares = (0..cores).map(|_| rest.by_ref().take(count.div_ceil(cores)).collect());
            let threads: Vec<_> = shares
                .map(|share: Vec<Workload>| {
                    scope.spawn(move || share.into_iter().map(feed).collect::<Vec<Feed>>())
                })
                .collect();
            let made = threads.into_iter().map(|thread| thread.join());
            made.flat_map(|feeds| feeds.expect("a request of a workload can always be made"))
                .collect()
        })
    }

    /// So many entries for each connection.
    pub(super) fn units(&self, each: usize) -> Result<Vec<Workload>, SpecError> {
        let spec = Spec { entries: each, ..self.spec.clone() };
        Workload::several(&spec, self.connections.max(1))
    }
}

/// Sends about so many entries of the same spec and of other seeds, so that a run does not begin with an
/// empty ledger. `progress` is told the entries of each answer.
///
/// # Errors
/// The first error that is not worth another try.
pub async fn preload(
    client: &Client,
    load: &Load,
    entries: usize,
    progress: impl Fn(u64),
) -> Result<(), PreloadError> {
    let seed = load.spec.seed.wrapping_add(HISTORY_SEED);
    let history = Load { spec: Spec { seed, ..load.spec.clone() }, ..*load };
    let progress = &progress;
    let send = |units| async move {
        let mut sender = Sender::new(client);
        for request in requests(units, HISTORY_BATCH) {
            let (tally, _) = sender.deliver(&load.format.body_of(&request)).await?;
            progress(tally.entries());
        }
        Ok::<(), ClientError>(())
    };
    let units = history.units(entries / load.connections.max(1))?;
    Ok(try_join_all(units.into_iter().map(send)).await.map(drop)?)
}

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub enum PreloadError {
    /// There is nothing to send.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// It was not taken.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Sends all of it, or what it comes to in `duration`. `progress` is told the entries of each answer.
///
/// # Errors
/// The first error that is not worth another try.
pub async fn run(
    client: &Client,
    feeds: Vec<Feed>,
    duration: Option<Duration>,
    progress: impl Fn(u64) + Clone + Send + 'static,
) -> Result<Measured, ClientError> {
    let started = Instant::now();
    let until = duration.map(|duration| started + duration);
    let mut connections = JoinSet::new();
    for feed in feeds {
        connections.spawn(send(Sender::new(client), feed, until, progress.clone()));
    }
    let (mut total, mut fed) = (empty(started), Vec::new());
    while let Some(ended) = connections.join_next().await {
        let (one, feed) = ended.expect("a sender neither panics nor is cancelled")?;
        fed.push(feed);
        total.requests += one.requests;
        total.entries += one.entries;
        total.committed += one.committed;
        total.rejected += one.rejected;
        total.retries += one.retries;
        total.made_late += one.made_late;
        total.latency_us += one.latency_us;
    }
    total.elapsed = started.elapsed();
    Ok(total)
}

fn empty(started: Instant) -> Measured {
    Measured {
        requests: 0,
        entries: 0,
        committed: 0,
        rejected: 0,
        retries: 0,
        made_late: 0,
        elapsed: started.elapsed(),
        latency_us: empty_histogram(),
    }
}

/// Of latencies in microseconds.
pub(super) fn empty_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are in order")
}

pub(super) fn micros(latency: Duration) -> u64 {
    u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)
}

/// The feed comes back, to be dropped when all others have ended: that takes a while, which their answers would wait for.
async fn send(
    mut sender: Sender,
    mut feed: Feed,
    until: Option<Instant>,
    progress: impl Fn(u64),
) -> Result<(Measured, Feed), ClientError> {
    let mut sum = empty(Instant::now());
    for request in feed.by_ref() {
        let sent = Instant::now();
        if until.is_some_and(|until| sent >= until) {
            break;
        }
        let (tally, retries) = sender.deliver(&request.body).await?;
        sum.latency_us.saturating_record(micros(sent.elapsed()));
        let Tally { committed, rejected, .. } = tally;
        sum.requests += 1;
        sum.retries += retries;
        sum.entries += tally.entries();
        sum.committed += u64::from(committed);
        sum.rejected += u64::from(rejected);
        progress(tally.entries());
    }
    sum.made_late = feed.made_late();
    Ok((sum, feed))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::dto::RequestIn;

    #[test]
    fn feeds_are_in_the_order_of_their_workloads_whoever_makes_them() {
        for connections in [1, 2, 3, 7] {
            let spec = Spec { entries: 700, ..Spec::default() };
            let load = Load { connections, batch: 16, format: Format::Json, spec };
            let units = || load.units(100).unwrap();
            let form = (load.batch, load.format);
            let expected: Vec<Vec<_>> = units()
                .into_iter()
                .map(|units| Feed::new(units, 0, form, true).collect())
                .collect();
            let feeds = load.prepare(units(), 100, true);
            let made: Vec<Vec<_>> = feeds.into_iter().map(Feed::collect).collect();
            assert_eq!(made, expected);
        }
    }

    #[test]
    fn connections_share_the_entries_and_no_id() {
        let spec =
            Spec { entries: 4_000, mix: default_mix(), invalid_share: 0.0, ..Spec::default() };
        let load = Load { connections: 4, batch: 16, format: Format::Binary, spec };
        let streams: Vec<Vec<RequestIn<'static>>> = load
            .units(load.spec.entries / load.connections)
            .unwrap()
            .into_iter()
            .map(|units| requests(units, load.batch).collect())
            .collect();
        assert_eq!(streams.len(), 4);
        let ids: Vec<BTreeSet<String>> = streams
            .iter()
            .map(|requests| {
                let entries = requests.iter().flat_map(|request| &request.batch);
                entries.map(|entry| entry.id.to_string()).collect()
            })
            .collect();
        for (at, own) in ids.iter().enumerate() {
            assert!(own.len() > 900, "{}", own.len());
            assert!(ids[at + 1..].iter().all(|other| own.is_disjoint(other)));
        }
        let sizes = || streams.iter().flatten().map(|request| request.batch.len());
        assert!(sizes().max() <= Some(16));
        let full = sizes().filter(|&size| size >= 13).count();
        assert!(full * 10 > sizes().count() * 9, "{full} of {}", sizes().count());
    }
}
