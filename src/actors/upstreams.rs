//! The services that the pipeline asks, each behind its breaker: retries, room and deadlines.
//!
//! A question takes room, which bounds how many wait for one service; then leave of the breaker, for
//! each attempt anew. An attempt that had less than its configured time because its request was late
//! says nothing about the service. What is refused (4xx) is an answer, and never asked again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::breaker::{BreakerHandle, Outcome, Phase, Target};
use crate::ledger::reason::{Reason, Reject};
use crate::telemetry::{Label as _, Metrics, Target as Label, UpstreamOutcome};
use crate::upstream::service::{AskError, Service};

/// What a request keeps of its time for what comes after the services.
const RESERVE: Duration = Duration::from_millis(100);

/// Before an attempt that follows on another; up to as much again is added by chance.
const PAUSE: Duration = Duration::from_millis(20);

/// The services of the configuration; none is a target that is local.
#[derive(Clone, Default)]
pub struct Services {
    /// Verifies capabilities.
    pub kms: Option<Arc<Service>>,
    /// Decides by policy.
    pub policy: Option<Arc<Service>>,
    /// Checks for double spends.
    pub wallet: Option<Arc<Service>>,
}

impl Services {
    /// Whether every target is local.
    pub fn is_empty(&self) -> bool {
        Target::ALL.into_iter().all(|target| self.of(target).is_none())
    }

    fn of(&self, target: Target) -> Option<&Arc<Service>> {
        match target {
            Target::Kms => self.kms.as_ref(),
            Target::Policy => self.policy.as_ref(),
            Target::Wallet => self.wallet.as_ref(),
        }
    }
}

/// How a target is, for operators.
#[derive(Clone, Debug)]
pub struct UpstreamReport {
    /// Which.
    pub target: Target,
    /// Whether a service is asked.
    pub is_remote: bool,
    /// Of its breaker.
    pub phase: Phase,
    /// Of the current opening; zero while closed.
    pub open_for: Duration,
    /// Openings since the start.
    pub openings: u64,
    /// What went wrong last, in words; of a service that has not failed since the start, none.
    pub last_failure: Option<String>,
}

/// A target's breaker, and the service behind it where it is remote.
pub(super) struct Upstream {
    pub(super) breaker: BreakerHandle,
    remote: Option<Arc<Remote>>,
}

/// All three, in the order of [`Target::ALL`].
pub(super) struct Upstreams {
    all: Vec<Upstream>,
    services: Services,
}

impl Upstreams {
    pub(super) fn new(
        breakers: Vec<BreakerHandle>,
        services: Services,
        connections_max: u32,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let upstream = |breaker: BreakerHandle| {
            let remote = services.of(breaker.target()).map(|service| {
                Arc::new(Remote {
                    service: Arc::clone(service),
                    breaker: breaker.clone(),
                    room: Semaphore::new(connections_max as usize),
                    last_failure: Mutex::default(),
                    metrics: Arc::clone(metrics),
                })
            });
            Upstream { breaker, remote }
        };
        Upstreams { all: breakers.into_iter().map(upstream).collect(), services }
    }

    pub(super) fn services(&self) -> &Services {
        &self.services
    }

    /// The service of a target that is remote.
    pub(super) fn remote(&self, target: Target) -> Option<Arc<Remote>> {
        self.all.iter().find(|it| it.breaker.target() == target)?.remote.clone()
    }

    pub(super) fn remotes(&self) -> Vec<Arc<Remote>> {
        self.all.iter().filter_map(|it| it.remote.clone()).collect()
    }

    pub(super) fn breakers(&self) -> impl Iterator<Item = &BreakerHandle> {
        self.all.iter().map(|it| &it.breaker)
    }

    /// Whether the target is there for those who ask it.
    pub(super) fn is_ready(&self, target: Target) -> bool {
        self.breakers().all(|it| it.target() != target || it.state().is_closed())
    }

    pub(super) fn reports(&self, now: Instant) -> Vec<UpstreamReport> {
        let report = |Upstream { breaker, remote }: &Upstream| {
            let state = breaker.state();
            UpstreamReport {
                target: breaker.target(),
                is_remote: remote.is_some(),
                phase: state.phase(now),
                open_for: state.open_for(now),
                openings: state.openings,
                last_failure: remote.as_ref().and_then(|it| it.last_failure.lock().clone()),
            }
        };
        self.all.iter().map(report).collect()
    }
}

/// A service behind its breaker.
pub(super) struct Remote {
    service: Arc<Service>,
    breaker: BreakerHandle,
    room: Semaphore,
    last_failure: Mutex<Option<String>>,
    metrics: Arc<Metrics>,
}

impl Remote {
    pub(super) fn target(&self) -> Target {
        self.breaker.target()
    }

    pub(super) fn phase(&self) -> Phase {
        self.breaker.state().phase(Instant::now())
    }

    /// Asks until there is an answer, at most as often as configured, and no longer than the deadline
    /// leaves. `read` makes an answer of the bytes.
    ///
    /// # Errors
    /// `upstream_unavailable`, which names the target.
    pub(super) async fn ask<T>(
        &self,
        question: &[u8],
        answer_bytes_max: usize,
        deadline: Instant,
        read: impl Fn(&[u8]) -> Result<T, AskError>,
    ) -> Result<T, Reject> {
        let by = deadline.checked_sub(RESERVE).unwrap_or(deadline);
        for attempt in 0..=self.service.retries() {
            if attempt > 0 {
                tokio::time::sleep(PAUSE + PAUSE.mul_f64(rand::random())).await;
            }
            let room = tokio::time::timeout_at(by.into(), self.room.acquire()).await;
            let Ok(Ok(_room)) = room else { break };
            let Some(call) = self.breaker.may_call() else { return Err(self.unavailable()) };
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let full = self.service.timeout();
            let answer = self.attempt(question, answer_bytes_max, full.min(left)).await;
            match answer.and_then(|answer| read(&answer)).inspect_err(|error| self.note(error)) {
                Ok(answer) => {
                    call.ended(Outcome::Answered);
                    self.count(UpstreamOutcome::Answered);
                    return Ok(answer);
                }
                Err(AskError::Refused(_)) => {
                    call.ended(Outcome::Answered);
                    return Err(self.unavailable());
                }
                Err(AskError::Late) if left < full => break,
                Err(_) => call.ended(Outcome::Failed),
            }
        }
        Err(self.unavailable())
    }

    async fn attempt(
        &self,
        question: &[u8],
        answer_bytes_max: usize,
        timeout: Duration,
    ) -> Result<Vec<u8>, AskError> {
        let started = Instant::now();
        let answer = self.service.ask(question, answer_bytes_max, timeout).await;
        let duration = self.metrics.upstream_duration.of(label_of(self.target()));
        duration.observe(started.elapsed().as_secs_f64());
        answer
    }

    /// What went wrong is for operators; clients are told which target it is.
    fn note(&self, error: &AskError) {
        self.count(match error {
            AskError::Unreachable(_) => UpstreamOutcome::Unreachable,
            AskError::Late => UpstreamOutcome::Late,
            AskError::Failed(_) => UpstreamOutcome::Failed,
            AskError::Refused(_) => UpstreamOutcome::Refused,
            AskError::Strange(_) => UpstreamOutcome::Strange,
        });
        let (text, target) = (error.to_string(), self.target().as_str());
        let mut last = self.last_failure.lock();
        // Once for each change, so that a service that is away fills no log.
        if last.as_ref() != Some(&text) {
            tracing::warn!(target_name = target, why = text, "an upstream failed");
            *last = Some(text);
        }
    }

    fn count(&self, outcome: UpstreamOutcome) {
        let target = self.target().as_str();
        self.metrics.upstream_calls.with_label_values(&[target, outcome.as_str()]).inc();
    }

    fn unavailable(&self) -> Reject {
        let target = self.target().as_str();
        let details = format!("{target} does not answer; writes that need it are refused");
        Reject::new(Reason::UpstreamUnavailable, details)
    }
}

/// The label of a target in metrics.
pub(super) fn label_of(target: Target) -> Label {
    match target {
        Target::Kms => Label::Kms,
        Target::Policy => Label::Policy,
        Target::Wallet => Label::Wallet,
    }
}
