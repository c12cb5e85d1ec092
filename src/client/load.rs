//! Closed-loop load: so many connections, each of which sends its next request when the last one is
//! answered. Requests are made before the clock starts, so that the generator takes little of the
//! time that is measured.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::unit::{UnitIn, pack};
use super::workload::{Mix, Spec, SpecError, Workload};
use super::{Client, ClientError, Retry};
use crate::http::dto::{RequestIn, Status};

/// Most entries of one run: their requests lie in memory, about half a kilobyte for each.
pub const ENTRIES_MAX: usize = 8_000_000;

/// The longest latency that is told apart, in microseconds.
const LATENCY_US_MAX: u64 = 60_000_000;

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
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// From sending to the answer, pauses before a retry included, in microseconds.
    pub latency_us: Histogram<u64>,
}

impl Load {
    /// The requests of each connection.
    ///
    /// # Errors
    /// [`SpecError`] for a spec out of its bounds.
    pub fn requests(&self) -> Result<Vec<Vec<RequestIn<'static>>>, SpecError> {
        let connections = self.connections.max(1);
        let each = self.spec.entries / connections;
        let stream = |at: usize| {
            let seed = self.spec.seed.wrapping_add(at as u64);
            let units = Workload::new(Spec { entries: each, seed, ..self.spec.clone() })?;
            let packed = pack(units.map(|unit| UnitIn::from(&unit)), self.batch);
            Ok(packed.map(|packed| packed.request).collect())
        };
        (0..connections).map(stream).collect()
    }
}

/// Sends all of it. `progress` is told the entries of each answer.
///
/// # Errors
/// The first error that is not worth another try.
pub async fn run(
    client: &Client,
    streams: Vec<Vec<RequestIn<'static>>>,
    progress: impl Fn(u64) + Clone + Send + 'static,
) -> Result<Measured, ClientError> {
    let started = Instant::now();
    let mut connections = JoinSet::new();
    for requests in streams {
        connections.spawn(send(client.clone(), requests, progress.clone()));
    }
    let mut total = empty(started);
    while let Some(ended) = connections.join_next().await {
        let one = ended.expect("a sender neither panics nor is cancelled")?;
        total.requests += one.requests;
        total.entries += one.entries;
        total.committed += one.committed;
        total.rejected += one.rejected;
        total.retries += one.retries;
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

async fn send(
    client: Client,
    requests: Vec<RequestIn<'static>>,
    progress: impl Fn(u64),
) -> Result<Measured, ClientError> {
    let mut sum = empty(Instant::now());
    for request in &requests {
        let sent = Instant::now();
        let mut retries = 0;
        let answer = Retry::default().run(|| client.ingest(request), |_, _| retries += 1).await?;
        sum.latency_us.saturating_record(micros(sent.elapsed()));
        sum.requests += 1;
        sum.retries += retries;
        sum.entries += answer.results.len() as u64;
        for result in &answer.results {
            match result.status {
                Status::Committed => sum.committed += 1,
                Status::Replayed => {}
                Status::Rejected => sum.rejected += 1,
            }
        }
        progress(answer.results.len() as u64);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn connections_share_the_entries_and_no_id() {
        let spec =
            Spec { entries: 4_000, mix: default_mix(), invalid_share: 0.0, ..Spec::default() };
        let streams = Load { connections: 4, batch: 16, spec }.requests().unwrap();
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
