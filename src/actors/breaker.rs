//! Keeps calls away from an upstream that fails: closed, open, half-open, closed.
//!
//! [`Breaker`] is the rule, pure, with the time passed in. [`BreakerActor`] owns one for each
//! target, takes the outcomes of calls and publishes the [`BreakerState`]; callers ask that state
//! and no mailbox. On a crash it begins closed. A local upstream never fails, so its breaker stays
//! closed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actix::prelude::*;
use tokio::sync::watch;

use super::door::{Door, Seated};
use super::supervise::{self, Hooks, Policy, Spec, Supervision};

/// Outcomes that may wait for a breaker. One that finds no seat is not counted.
const SEATS: u32 = 1024;

/// What a breaker stands in front of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The key management service that verifies capabilities.
    Kms,
    /// The policy guard.
    Policy,
    /// The wallet.
    Wallet,
}

impl Target {
    /// All targets.
    pub const ALL: [Target; 3] = [Target::Kms, Target::Policy, Target::Wallet];

    /// The label in metrics and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Target::Kms => "kms",
            Target::Policy => "policy",
            Target::Wallet => "wallet",
        }
    }

    fn actor_name(self) -> &'static str {
        match self {
            Target::Kms => "breaker_kms",
            Target::Policy => "breaker_policy",
            Target::Wallet => "breaker_wallet",
        }
    }
}

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
    era: u64,
    /// Openings so far; a failed trial prolongs one and begins none.
    pub openings: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Opening {
    since: Instant,
    trial_at: Instant,
}

impl BreakerState {
    const NEW: BreakerState = BreakerState { opening: None, era: 0, openings: 0 };

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
    fn following(limits: Limits, state: BreakerState) -> Self {
        let mut breaker = Breaker { limits, failures: 0, state };
        breaker.turn(None);
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
            (Some(_), Outcome::Answered) => self.turn(None),
            (Some(opening), Outcome::Failed) => self.turn(Some(Opening { trial_at, ..opening })),
        }
    }

    fn turn(&mut self, opening: Option<Opening>) {
        self.failures = 0;
        self.state.opening = opening;
        self.state.era += 1;
    }
}

/// What callers hold: cheap to clone, asks no mailbox.
#[derive(Clone)]
pub struct BreakerHandle {
    target: Target,
    door: Door<BreakerActor>,
    state: watch::Receiver<BreakerState>,
    /// Set while a trial is on its way.
    trial: Arc<AtomicBool>,
}

impl BreakerHandle {
    /// What it stands in front of.
    pub fn target(&self) -> Target {
        self.target
    }

    /// The state that is published now.
    pub fn state(&self) -> BreakerState {
        *self.state.borrow()
    }

    /// Every change of the state, except that time alone turns open into half-open.
    pub fn watch(&self) -> watch::Receiver<BreakerState> {
        self.state.clone()
    }

    /// Leave for one call, or none while the breaker is open or another caller tries.
    pub fn may_call(&self) -> Option<Call> {
        self.may_call_at(Instant::now())
    }

    fn may_call_at(&self, now: Instant) -> Option<Call> {
        let call = |seen, trial| Call { door: self.door.clone(), seen, trial };
        let seen = self.state();
        match seen.phase(now) {
            Phase::Closed => Some(call(seen, None)),
            Phase::Open => None,
            Phase::HalfOpen => {
                let trial = Trial::begin(&self.trial)?;
                // Read again: a trial that ended just before may have changed it.
                let seen = self.state();
                (seen.phase(now) != Phase::Open).then(|| call(seen, Some(trial)))
            }
        }
    }
}

/// Leave for one call. Dropped without [`Call::ended`] it says nothing: the caller gave up for a
/// reason of its own.
pub struct Call {
    door: Door<BreakerActor>,
    seen: BreakerState,
    trial: Option<Trial>,
}

impl Call {
    /// Reports how it went.
    pub fn ended(self, outcome: Outcome) {
        let Call { door, seen, trial } = self;
        // A report that finds no seat is one of a thousand, and they say enough.
        let _ = door.offer(Report { seen, outcome, trial });
    }
}

/// The one trial of a half-open breaker. Freed by drop, which is after the state has changed.
struct Trial(Arc<AtomicBool>);

impl Trial {
    fn begin(running: &Arc<AtomicBool>) -> Option<Trial> {
        let begun = running.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire);
        begun.ok().map(|_| Trial(Arc::clone(running)))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What a finished call tells.
struct Report {
    seen: BreakerState,
    outcome: Outcome,
    trial: Option<Trial>,
}

/// Owns the rule of one target. Receives outcomes, sends nothing, publishes the state.
pub struct BreakerActor {
    target: Target,
    limits: Limits,
    publish: watch::Sender<BreakerState>,
    breaker: Option<Breaker>,
}

/// Starts a target's breaker, closed.
pub fn start(
    arbiter: &ArbiterHandle,
    target: Target,
    limits: Limits,
    policy: Policy,
    hooks: Arc<dyn Hooks>,
) -> (BreakerHandle, Supervision) {
    let (publish, state) = watch::channel(Breaker::new(limits).state());
    let spec = Spec { name: target.actor_name(), seats: SEATS, policy, hooks };
    let build = move || BreakerActor { target, limits, publish, breaker: None };
    let (door, care) = supervise::start(arbiter, spec, build);
    (BreakerHandle { target, door, state, trial: Arc::default() }, care)
}

impl BreakerActor {
    fn publish(&self, after: BreakerState) {
        let before = self.publish.send_replace(after);
        let target = self.target.as_str();
        match (before.opening, after.opening) {
            (None, Some(_)) => tracing::warn!(target_name = target, "breaker opened"),
            (Some(_), None) => tracing::info!(target_name = target, "breaker closed"),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }
}

impl Actor for BreakerActor {
    type Context = Context<Self>;
    fn started(&mut self, _: &mut Self::Context) {
        let breaker = Breaker::following(self.limits, *self.publish.borrow());
        self.publish(breaker.state());
        self.breaker = Some(breaker);
    }
}

impl Supervised for BreakerActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.breaker = None;
    }
}

impl Handler<Seated<Report>> for BreakerActor {
    type Result = ();
    fn handle(&mut self, Seated { msg, .. }: Seated<Report>, _: &mut Self::Context) {
        let breaker = self.breaker.as_mut().expect("started() comes before any message");
        let before = breaker.state();
        breaker.record(msg.seen, msg.outcome, Instant::now());
        let after = breaker.state();
        if before != after {
            self.publish(after);
        }
        drop(msg.trial); // only now may another try: it must see the state that this one left
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
        assert_eq!(breaker.state().open_for(at(12_000)), Duration::ZERO);
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
        let anew = Breaker::following(LIMITS, open);
        assert_eq!(anew.state().phase(start), Closed);
        assert_ne!(anew.state().era, open.era, "a restarted breaker hears no old call");
    }

    /// Waits until the published state is as asked.
    async fn until(handle: &BreakerHandle, is: impl Fn(&BreakerState) -> bool) {
        handle.watch().wait_for(|state| is(state)).await.expect("the breaker lives");
    }

    #[actix::test]
    async fn the_actor_opens_lets_one_trial_through_and_closes() {
        let arbiter = Arbiter::current();
        let (handle, _care) =
            start(&arbiter, Target::Wallet, LIMITS, Policy::default(), Arc::new(()));
        until(&handle, |state| state.era == 1).await; // started
        let now = Instant::now();
        let late = now + Duration::from_secs(60);
        for _ in 0..3 {
            handle.may_call_at(now).expect("closed").ended(Failed);
        }
        until(&handle, |state| state.openings == 1).await;
        assert!(handle.may_call_at(now).is_none(), "open");
        let trial = handle.may_call_at(late).expect("half-open");
        assert!(handle.may_call_at(late).is_none(), "one trial at a time");
        drop(trial);
        let trial = handle.may_call_at(late).expect("a trial that was given up is free again");
        trial.ended(Answered);
        until(&handle, |state| state.phase(now) == Closed).await;
        assert!(handle.may_call_at(now).is_some());
        assert_eq!((handle.target().as_str(), handle.state().openings), ("wallet", 1));
    }
}
