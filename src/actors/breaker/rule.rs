//! The rule of a breaker: pure, the time is passed in.

use std::time::{Duration, Instant};

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered; a refusal (4xx) is an answer.
    Answered,
    /// It was not reached, did not answer in time, or failed (5xx).
    Failed,
}

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Failures in a row that open it; 0 is taken as 1.
    pub failures: u32,
    /// How long it stays open before a trial.
    pub open: Duration,
}

impl Default for Limits {
    /// Five in a row, five seconds.
    fn default() -> Self {
        Limits { failures: 5, open: Duration::from_secs(5) }
    }
}

/// Whether calls may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// All pass.
    Closed,
    /// None passes.
    Open,
    /// One passes at a time, to find out.
    HalfOpen,
}

impl Phase {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Closed => "closed",
            Phase::Open => "open",
            Phase::HalfOpen => "half_open",
        }
    }
}

/// What is published. Time alone turns open into half-open, so no timer is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerState {
    opening: Option<Opening>,
    /// Counts the changes. Outcomes of calls begun before the last one are not heard.
    pub(super) era: u64,
    /// Openings so far; a failed trial prolongs one and begins none.
    pub openings: u64,
    /// Length of all openings that have ended.
    open_before: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Opening {
    since: Instant,
    trial_at: Instant,
}

impl BreakerState {
    /// Whether no opening lasts; unlike the phase it does not depend on the time.
    pub fn is_closed(&self) -> bool {
        self.opening.is_none()
    }

    const NEW: BreakerState =
        BreakerState { opening: None, era: 0, openings: 0, open_before: Duration::ZERO };

    /// Whether calls may pass at that time.
    pub fn phase(&self, now: Instant) -> Phase {
        match self.opening {
            None => Phase::Closed,
            Some(opening) if now < opening.trial_at => Phase::Open,
            Some(_) => Phase::HalfOpen,
        }
    }

    /// How long the current opening has lasted, failed trials included; zero when closed.
    pub fn open_for(&self, now: Instant) -> Duration {
        let since = |opening: Opening| now.saturating_duration_since(opening.since);
        self.opening.map_or(Duration::ZERO, since)
    }

    /// How long it was open in all, up to now.
    pub fn open_in_all(&self, now: Instant) -> Duration {
        self.open_before.saturating_add(self.open_for(now))
    }
}

/// The rule, without actor or clock.
#[derive(Clone, Debug)]
pub struct Breaker {
    limits: Limits,
    /// In a row, while closed.
    failures: u32,
    state: BreakerState,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(limits: Limits) -> Self {
        Breaker { limits, failures: 0, state: BreakerState::NEW }
    }

    /// A closed breaker that follows on another's state; that one's calls are not heard.
    pub(super) fn following(limits: Limits, state: BreakerState, now: Instant) -> Self {
        let mut breaker = Breaker { limits, failures: 0, state };
        breaker.close(now);
        breaker
    }

    /// What callers are to see.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// Takes the outcome, heard at `now`, of a call that was let through by the state `seen`.
    pub fn record(&mut self, seen: BreakerState, outcome: Outcome, now: Instant) {
        if seen.era != self.state.era {
            return; // begun before the last change: it says nothing about the upstream of today
        }
        let trial_at = now + self.limits.open;
        match (self.state.opening, outcome) {
            (None, Outcome::Answered) => self.failures = 0,
            (None, Outcome::Failed) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= self.limits.failures {
                    self.turn(Some(Opening { since: now, trial_at }));
                    self.state.openings += 1;
                }
            }
            (Some(_), Outcome::Answered) => self.close(now),
            (Some(opening), Outcome::Failed) => self.turn(Some(Opening { trial_at, ..opening })),
        }
    }

    fn close(&mut self, now: Instant) {
        self.state.open_before = self.state.open_in_all(now);
        self.turn(None);
    }

    fn turn(&mut self, opening: Option<Opening>) {
        self.failures = 0;
        self.state.opening = opening;
        self.state.era += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome::*, Phase::*, *};

    const LIMITS: Limits = Limits { failures: 3, open: Duration::from_secs(5) };

    /// One step: so many ms after the start, an outcome of a call let through by the state of
    /// then; and the phase after it, at the same moment.
    fn check(claim: &str, steps: &[(u64, Outcome, Phase)], openings: u64) {
        let start = Instant::now();
        let mut breaker = Breaker::new(LIMITS);
        for (n, &(ms, outcome, phase)) in steps.iter().enumerate() {
            let now = start + Duration::from_millis(ms);
            breaker.record(breaker.state(), outcome, now);
            assert_eq!(breaker.state().phase(now), phase, "{claim}: step {n}");
        }
        assert_eq!(breaker.state().openings, openings, "{claim}");
    }

    #[test]
    fn a_breaker_opens_by_failures_in_a_row_and_closes_by_a_trial() {
        check(
            "failures in a row",
            &[(0, Failed, Closed), (1, Failed, Closed), (2, Failed, Open)],
            1,
        );
        check(
            "an answer between starts the count anew",
            &[(0, Failed, Closed), (1, Failed, Closed), (2, Answered, Closed), (3, Failed, Closed)],
            0,
        );
        let opens = [(0, Failed, Closed), (0, Failed, Closed), (0, Failed, Open)];
        let then = |more: &[_]| [&opens[..], more].concat();
        check("the trial is answered", &then(&[(5_000, Answered, Closed)]), 1);
        check("the trial fails", &then(&[(5_000, Failed, Open), (10_000, Answered, Closed)]), 1);
        check(
            "closed means a full count again",
            &then(&[(5_000, Answered, Closed), (5_001, Failed, Closed), (5_002, Failed, Closed)]),
            1,
        );
    }

    #[test]
    fn open_turns_half_open_by_time_alone_and_counts_from_the_first_failure() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut breaker = Breaker::new(LIMITS);
        (0..3).for_each(|_| breaker.record(breaker.state(), Failed, start));
        let state = breaker.state();
        assert_eq!([0, 4_999, 5_000].map(|ms| state.phase(at(ms))), [Open, Open, HalfOpen]);
        breaker.record(state, Failed, at(6_000));
        let state = breaker.state();
        assert_eq!([10_999, 11_000].map(|ms| state.phase(at(ms))), [Open, HalfOpen]);
        assert_eq!(state.open_for(at(11_000)), Duration::from_secs(11), "trials do not reset it");
        breaker.record(state, Answered, at(12_000));
        let closed = breaker.state();
        assert_eq!(closed.open_for(at(12_000)), Duration::ZERO);
        assert_eq!(closed.open_in_all(at(90_000)), Duration::from_secs(12));
        (0..3).for_each(|_| breaker.record(closed, Failed, at(20_000)));
        assert_eq!(breaker.state().open_in_all(at(21_000)), Duration::from_secs(13));
        let anew = Breaker::following(LIMITS, breaker.state(), at(22_000));
        assert_eq!(
            anew.state().open_in_all(at(90_000)),
            Duration::from_secs(14),
            "a crash ends one"
        );
    }

    #[test]
    fn calls_begun_before_a_change_are_not_heard_after_it() {
        let start = Instant::now();
        let mut breaker = Breaker::new(LIMITS);
        let closed = breaker.state();
        (0..3).for_each(|_| breaker.record(closed, Failed, start));
        let open = breaker.state();
        breaker.record(closed, Answered, start + LIMITS.open);
        breaker.record(closed, Failed, start + LIMITS.open);
        assert_eq!(breaker.state(), open, "neither closes nor prolongs");
        let anew = Breaker::following(LIMITS, open, start);
        assert_eq!(anew.state().phase(start), Closed);
        assert_ne!(anew.state().era, open.era, "a restarted breaker hears no old call");
    }
}
