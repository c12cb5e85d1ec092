//! Verifier: reads the published part of the store again while the ledger runs, at a bounded rate, and
//! holds it against what was signed.
//!
//! Owns: the pass in hand. Receives: nothing; its own timer drives it, a few groups at a time. Publishes:
//! metrics, and what it finds to the mode. On a crash: the pass in hand is lost, and the next one begins
//! after the interval, so that what makes it fall over cannot spend the process's restarts at once.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwapOption;

use super::mode::{Event, Fault, ModeCell};
use super::prevalidator::unix_ms;
use super::probe::{Point, Probe};
use super::publisher::Published;
use crate::ledger::entry::Seq;
use crate::storage::reader::Reader;
use crate::storage::scrub::{Scrub, ScrubError};
use crate::telemetry::{Metrics, VerifierFinding};

/// A pass that could not begin is tried again after this, unless the interval is shorter; so is the first.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Steps a second: what one step may read is the rate's share of it.
const STEPS_PER_SECOND: u64 = 10;

/// Entries of one step whatever the rate, save those of a group that is larger: the actor is stopped
/// between two steps.
const STEP_ENTRIES_MAX: u64 = 10_000;

/// How fast and how often.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Entries that are verified in a second; 0: none ever.
    pub entries_per_second: u32,
    /// Between the end of a pass and the next one.
    pub interval: Duration,
}

impl Pace {
    fn step_entries(self) -> u64 {
        (u64::from(self.entries_per_second) / STEPS_PER_SECOND).clamp(1, STEP_ENTRIES_MAX)
    }

    /// What a step of so many entries has to take.
    fn pause(self, entries: u64) -> Duration {
        Duration::from_secs_f64(entries as f64 / f64::from(self.entries_per_second.max(1)))
    }
}

pub(super) struct Verifier {
    pub(super) deps: Deps,
    pub(super) state: State,
}

pub(super) struct Deps {
    pub(super) reader: Reader,
    pub(super) published: Arc<ArcSwapOption<Published>>,
    pub(super) mode: ModeCell,
    pub(super) pace: Pace,
    pub(super) metrics: Arc<Metrics>,
    pub(super) probe: Probe,
}

#[derive(Default)]
pub(super) struct State {
    pass: Option<Scrub>,
    /// What was logged last: a fault that stays is told once.
    told: Option<(VerifierFinding, Seq)>,
    is_restarted: bool,
}

impl Actor for Verifier {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.deps.probe.hit(Point::VerifierStarted);
        let interval = self.deps.pace.interval;
        let pause = if self.state.is_restarted { interval } else { interval.min(FIRST_PAUSE) };
        self.after(pause, ctx);
    }
}

impl Supervised for Verifier {
    fn restarting(&mut self, _: &mut Self::Context) {
        if self.state.pass.is_some() {
            self.deps.metrics.verifier_findings.of(VerifierFinding::Incomplete).inc();
        }
        self.state = State { is_restarted: true, ..State::default() };
    }
}

impl Verifier {
    fn after(&self, pause: Duration, ctx: &mut Context<Self>) {
        ctx.run_later(pause, |verifier, ctx| {
            verifier.deps.probe.hit(Point::VerifierStep);
            let pause = verifier.step();
            verifier.after(pause, ctx);
        });
    }

    /// Verifies a step's share of entries, and says when the next step is due.
    fn step(&mut self) -> Duration {
        let Some(pass) = self.state.pass.take().or_else(|| self.begun()) else {
            self.count(VerifierFinding::NotRun);
            return self.deps.pace.interval.min(FIRST_PAUSE);
        };
        match self.advance(pass) {
            Ok(pause) => pause,
            Err(found) => {
                self.tell(found);
                self.deps.pace.interval
            }
        }
    }

    fn begun(&self) -> Option<Scrub> {
        // Until the log is verified to its end nothing may be read.
        let published = self.deps.published.load();
        let checkpoint = &published.as_ref()?.checkpoint;
        let head = self.deps.reader.head().seq;
        (checkpoint.size() <= head)
            .then(|| self.deps.reader.scrub(checkpoint.size(), checkpoint.root()))
    }

    fn advance(&mut self, mut pass: Scrub) -> Result<Duration, ScrubError> {
        let mut entries = 0;
        while entries < self.deps.pace.step_entries() {
            if self.deps.mode.get().is_draining() {
                self.count(VerifierFinding::Incomplete);
                return Ok(self.deps.pace.interval);
            }
            let Some(group) = pass.step()? else {
                let seconds = (unix_ms() / 1000) as i64;
                self.deps.metrics.verifier_last_complete_pass.set(seconds);
                tracing::debug!(size = pass.position(), "the published log was verified again");
                return Ok(self.deps.pace.interval);
            };
            entries += group;
            self.deps.metrics.verifier_position.set(pass.position() as i64);
        }
        self.state.pass = Some(pass);
        Ok(self.deps.pace.pause(entries))
    }

    fn tell(&mut self, found: ScrubError) {
        let (kind, seq, error, fault) = match found {
            ScrubError::Chain(seq, error) => {
                (VerifierFinding::ChainBroken, seq, error, Some(Fault::Gap))
            }
            ScrubError::Differs(seq, error) => {
                (VerifierFinding::Differs, seq, error, Some(Fault::HeadMismatch))
            }
            ScrubError::Unread(error) => (VerifierFinding::Incomplete, 0, error, None),
        };
        self.count(kind);
        let is_new = self.state.told.replace((kind, seq)) != Some((kind, seq));
        match fault {
            Some(_) if is_new => tracing::error!(
                seq, %error, "the stored log is not what was published: writes are refused"
            ),
            None if is_new => tracing::warn!(%error, "the store could not be verified to its end"),
            _ => {}
        }
        let Some(fault) = fault else { return };
        if let Err(error) = self.deps.mode.apply(Event::FaultFound(fault)) {
            tracing::error!(%error, "the mode did not take what the verifier found");
        }
    }

    fn count(&self, kind: VerifierFinding) {
        self.deps.metrics.verifier_findings.of(kind).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_tenth_of_a_second_and_bounded() {
        let of = |entries_per_second| Pace { entries_per_second, interval: Duration::ZERO };
        for (rate, step) in [(1, 1), (9, 1), (5_000, 500), (1_000_000, STEP_ENTRIES_MAX)] {
            assert_eq!(of(rate).step_entries(), step);
        }
        assert_eq!(of(5_000).pause(500), Duration::from_millis(100));
        assert_eq!(of(5_000).pause(50_000), Duration::from_secs(10), "a large group is paid for");
    }
}
