//! The traces of requests that are durable and whose root is not published yet. The publisher ends them:
//! it signs one root for whatever came since its last one, and knows no requests.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::ledger::entry::Seq;
use crate::telemetry::{Stages, Trace};

/// Traces that wait for a root. Those above it end without the stage of publication.
const TRACES_MAX: usize = 256;

/// Shared by the committer and the publisher.
#[derive(Clone, Default)]
pub(super) struct Unpublished(Arc<Mutex<Vec<(Seq, Trace)>>>);

impl Unpublished {
    /// Remembers those of `traces` that are sampled; `seq` is the end of their group. Takes no lock
    /// when none is.
    pub(super) fn add<'a>(&self, seq: Seq, traces: impl Iterator<Item = &'a Trace>) {
        let mut sampled = traces.filter(|trace| trace.is_sampled()).peekable();
        if sampled.peek().is_none() {
            return;
        }
        let mut waiting = self.0.lock();
        let room = TRACES_MAX.saturating_sub(waiting.len());
        waiting.extend(sampled.take(room).map(|trace| (seq, trace.clone())));
    }

    /// Begins the publication of a root of this size for all that it covers.
    pub(super) fn publish(&self, size: Seq) -> Stages {
        let mut waiting = self.0.lock();
        if waiting.is_empty() {
            return Stages::default();
        }
        let (covered, rest) = waiting.drain(..).partition::<Vec<_>, _>(|(seq, _)| *seq <= size);
        *waiting = rest;
        drop(waiting);
        Stages::begin(covered.iter().map(|(_, trace)| trace), "publish.root")
    }
}
