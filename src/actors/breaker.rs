//! Keeps calls away from an upstream that fails: closed, open, half-open, closed.
//!
//! [`Breaker`] is the rule, pure, with the time passed in. Each target has a [`BreakerActor`] that
//! owns one, takes the outcomes of calls and publishes the [`BreakerState`]; callers ask that state
//! and no mailbox. On a crash it begins closed. A local upstream never fails, so its breaker stays
//! closed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use actix::prelude::*;
use tokio::sync::watch;

mod rule;

pub use rule::{Breaker, BreakerState, Limits, Outcome, Phase};

use super::door::{Door, Seated};
use super::probe::{Point, Probe};
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
    probe: Probe,
}

/// Starts a target's breaker, closed.
pub fn start(
    arbiter: &ArbiterHandle,
    target: Target,
    limits: Limits,
    policy: Policy,
    hooks: Arc<dyn Hooks>,
    probe: Probe,
) -> (BreakerHandle, Supervision) {
    let (publish, state) = watch::channel(Breaker::new(limits).state());
    let spec = Spec { name: target.actor_name(), seats: SEATS, policy, hooks };
    let build = move || BreakerActor { target, limits, publish, breaker: None, probe };
    let (door, care) = supervise::start(arbiter, spec, build);
    (BreakerHandle { target, door, state, trial: Arc::default() }, care)
}

impl BreakerActor {
    fn publish(&self, after: BreakerState) {
        let before = self.publish.send_replace(after);
        let target = self.target.as_str();
        match (before.is_closed(), after.is_closed()) {
            (true, false) => tracing::warn!(target_name = target, "breaker opened"),
            (false, true) => tracing::info!(target_name = target, "breaker closed"),
            (true, true) | (false, false) => {}
        }
    }
}

impl Actor for BreakerActor {
    type Context = Context<Self>;
    fn started(&mut self, _: &mut Self::Context) {
        self.probe.hit(Point::BreakerStarted);
        let breaker = Breaker::following(self.limits, *self.publish.borrow(), Instant::now());
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
        self.probe.hit(Point::BreakerHandle);
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
    use std::time::Duration;

    const LIMITS: Limits = Limits { failures: 3, open: Duration::from_secs(5) };

    /// Waits until the published state is as asked.
    async fn until(handle: &BreakerHandle, is: impl Fn(&BreakerState) -> bool) {
        handle.watch().wait_for(|state| is(state)).await.expect("the breaker lives");
    }

    #[actix::test]
    async fn the_actor_opens_lets_one_trial_through_and_closes() {
        let arbiter = Arbiter::current();
        let (handle, _care) =
            start(&arbiter, Target::Wallet, LIMITS, Policy::default(), Arc::new(()), Probe::none());
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
        let era = handle.state().era;
        trial.ended(Failed);
        until(&handle, |state| state.era > era).await;
        assert!(handle.may_call_at(now).is_none(), "open for as long again");
        let trial = handle.may_call_at(late).expect("and then the next trial");
        trial.ended(Answered);
        until(&handle, |state| state.phase(now) == Closed).await;
        assert!(handle.may_call_at(now).is_some());
        assert_eq!((handle.target().as_str(), handle.state().openings), ("wallet", 1));
    }

    /// It costs the report in hand: the next life begins closed, in an era of its own.
    #[actix::test]
    async fn a_crash_closes_it_and_frees_the_trial() {
        for also_at_the_start in [false, true] {
            let (probe, trigger) = Probe::armable();
            let policy = Policy { shortest: Duration::from_millis(1), ..Policy::default() };
            let (handle, _care) =
                start(&Arbiter::current(), Target::Kms, LIMITS, policy, Arc::new(()), probe);
            until(&handle, |state| state.era == 1).await;
            let (now, late) = (Instant::now(), Instant::now() + Duration::from_secs(60));
            let fail =
                || (0..3).for_each(|_| handle.may_call_at(now).expect("closed").ended(Failed));
            fail();
            until(&handle, |state| state.openings == 1).await;
            if also_at_the_start {
                trigger.arm(Point::BreakerStarted, 1, || panic!("planted"));
            }
            trigger.arm(Point::BreakerHandle, 1, || panic!("planted"));
            let era = handle.state().era;
            handle.may_call_at(late).expect("half-open").ended(Failed);
            until(&handle, |state| state.era > era).await;
            assert_eq!(handle.state().phase(now), Closed);
            fail();
            until(&handle, |state| state.openings == 2).await;
            assert!(handle.may_call_at(late).is_some(), "the trial of the lost report is free");
        }
    }
}
