//! The pipeline as its users see it: a way in for requests, the state that is published, and an
//! orderly end. [`super::wiring`] puts the actors together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix::{Actor, ArbiterHandle, Context, Handler};
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::admin::{Admin, Command};
use super::ages::Ages;
use super::archiver::Archived;
use super::authority::Authority;
use super::breaker::Target;
use super::budget::Budget;
use super::committer::{Committer, Settle};
use super::disk::{Disk, Pressure};
use super::door::{Door, Refused, Seated};
use super::followed::Followed;
use super::follower::Follower;
use super::ingress::Ingress;
use super::mode::{Event, IllegalMove, Mode, ModeCell};
use super::prevalidator::Prevalidator;
use super::publisher::{Finish, RootPublisher};
use super::refusal::{busy, draining, follower};
use super::report::{ActorReport, Observer};
use super::sequencer::Sequencer;
use super::supervise::{End, Supervision};
use super::ticket::Arrival;
use super::upstreams::Upstreams;
use super::witnesses::Witnessed;
use crate::accumulator::VerifierKey;
use crate::capability::CachedVerifier;
use crate::ledger::reason::Reject;
use crate::storage::reader::Reader;
use crate::storage::store::Stop;
use crate::telemetry::{Metrics, Queue, Trace};

pub use super::admin::Order;
pub use super::archiver::ArchiveTo;
pub use super::disk::Marks;
pub use super::followed::FollowFrom;
pub use super::guard::Guard;
pub use super::limits::{CAPABILITY_BUCKETS_MAX, Limits, RATE_MAX, Rates};
pub use super::publisher::Published;
pub use super::revoking::{RevokeError, RevokedFile, RevokedFileError};
pub use super::settings::Settings;
pub use super::signed::{LogKeys, SIGNED_FILE, SignedError, SignedNotes};
pub use super::snapshots::SnapshotsError;
pub use super::ticket::{Answer, Bearer, Submission};
pub use super::upstreams::{Services, UpstreamReport};
pub use super::verifier::Pace;
pub use super::wiring::Parts;
pub use super::witnesses::Watchers;

/// What a drain keeps for the last root when derived data takes all of its time to flush.
const AFTER_SETTLE: Duration = Duration::from_millis(500);

/// Queues above this share of their seats count as backpressure.
const BACKPRESSURE_PERCENT: usize = 80;

/// What an actor that was told to stop may take to notice.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// How ready the ledger is, for probes and operators.
#[derive(Clone, Debug)]
pub struct Readiness {
    /// Takes writes; of a node that follows, has had all that is archived, and goes on.
    pub ready: bool,
    /// Every actor gets on with its work, or is being restarted.
    pub live: bool,
    /// `ready`, or what bars writes; of a node that follows, how it does.
    pub mode: String,
    /// In words, when something is not as it should be.
    pub reason: Option<String>,
    /// Works, and something is amiss.
    pub degraded: bool,
    /// Writes are taken over the local socket alone.
    pub is_ingress_locked: bool,
    /// The key service answers.
    pub kms_ready: bool,
    /// The policy guard answers.
    pub policy_ready: bool,
    /// The wallet answers.
    pub wallet_ready: bool,
    /// No queue is nearly full.
    pub backpressure_ok: bool,
    /// The age of the oldest request that is sequenced and not durable, in ms.
    pub committer_lag_ms: u64,
    /// The last durable entry.
    pub head_seq: u64,
    /// The size of the last signed checkpoint.
    pub published_size: u64,
    /// Each actor.
    pub actors: Vec<ActorReport>,
}

pub(super) struct Doors {
    pub(super) ingress: Door<Ingress>,
    pub(super) pool: Vec<Door<Prevalidator>>,
    pub(super) sequencer: Door<Sequencer>,
    pub(super) committer: Door<Committer>,
    pub(super) publisher: Door<RootPublisher>,
}

/// What the node does with the ledger.
pub(super) enum Role {
    /// It takes requests.
    Writes(Doors),
    /// It takes what another node has archived.
    Follows { door: Door<Follower>, followed: Arc<Followed> },
}

pub(super) struct Inner {
    pub(super) role: Role,
    pub(super) admin: Door<Admin>,
    pub(super) cares: Vec<Supervision>,
    pub(super) observers: Mutex<Vec<Observer>>,
    pub(super) measuring: Mutex<()>,
    pub(super) threads: Vec<ArbiterHandle>,
    pub(super) recovery: Stop,
    pub(super) disk: Disk,
    pub(super) ages: Ages,
    pub(super) budget: Budget,
    pub(super) upstreams: Upstreams,
    pub(super) authority: Authority,
    pub(super) mode: ModeCell,
    pub(super) reader: Reader,
    pub(super) published: Arc<ArcSwapOption<Published>>,
    pub(super) witnessed: Arc<Witnessed>,
    pub(super) archived: Arc<Archived>,
    pub(super) signed: Arc<SignedNotes>,
    pub(super) capabilities: Arc<CachedVerifier>,
    pub(super) limits: Arc<Limits>,
    pub(super) guard: Arc<Guard>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) deadline: Duration,
    pub(super) stuck_after: Duration,
    pub(super) clock_suspect: Arc<AtomicBool>,
}

/// The running pipeline. Cheap to clone; dropping it stops nothing.
#[derive(Clone)]
pub struct Pipeline {
    pub(super) inner: Arc<Inner>,
}

impl Pipeline {
    /// Offers a request; never waits. The answer comes through the channel, and a channel that
    /// closes without one means that the outcome is unknown.
    ///
    /// # Errors
    /// `busy` when the budget or the door is full, `draining` when the door is closed, `follower` when
    /// the node follows another one.
    pub fn submit(&self, submission: Submission) -> Result<oneshot::Receiver<Arc<Answer>>, Reject> {
        self.submit_in(Trace::none(), submission)
    }

    /// As [`Pipeline::submit`], its way told in a trace.
    ///
    /// # Errors
    /// As [`Pipeline::submit`].
    pub fn submit_in(
        &self,
        trace: Trace,
        submission: Submission,
    ) -> Result<oneshot::Receiver<Arc<Answer>>, Reject> {
        let inner = &*self.inner;
        let Role::Writes(doors) = &inner.role else { return Err(follower()) };
        let Some(held) = inner.budget.try_take(submission.body_bytes as u64) else {
            inner.metrics.busy_rejections.of(Queue::Ingress).inc();
            return Err(busy());
        };
        let (sender, answer) = oneshot::channel();
        match doors.ingress.offer(Arrival { submission, sender, held, trace }) {
            Ok(()) => Ok(answer),
            Err(Refused::Full(_)) => {
                inner.metrics.busy_rejections.of(Queue::Ingress).inc();
                Err(busy())
            }
            Err(Refused::Closed(_)) => Err(draining()),
        }
    }

    /// After this, from its receipt, a request is answered `timeout`.
    pub fn deadline(&self) -> Duration {
        self.inner.deadline
    }

    /// The newest signed checkpoint, or, where publication waits for witnesses, the newest that enough
    /// of them have cosigned; `None` until there is one.
    pub fn published(&self) -> Option<Arc<Published>> {
        self.inner.witnessed.shown(self.inner.published.load_full())
    }

    /// The newest checkpoint that enough witnesses have cosigned.
    pub fn witnessed(&self) -> Option<Arc<Published>> {
        self.inner.witnessed.last.load_full()
    }

    /// The key that checkpoints are verified with.
    pub fn verifier_key(&self) -> &VerifierKey {
        self.inner.signed.verifier_key()
    }

    /// Reads of the ledger.
    pub fn reader(&self) -> &Reader {
        &self.inner.reader
    }

    /// Who verifies tokens.
    pub fn capabilities(&self) -> &Arc<CachedVerifier> {
        &self.inner.capabilities
    }

    /// Who says what a token is worth.
    pub fn authority(&self) -> &Authority {
        &self.inner.authority
    }

    /// How the upstreams are.
    pub fn upstreams(&self) -> Vec<UpstreamReport> {
        self.inner.upstreams.reports(Instant::now())
    }

    /// The services that are asked, which may be given other settings.
    pub fn services(&self) -> &Services {
        self.inner.upstreams.services()
    }

    /// The rates of requests, which may be set.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.inner.limits
    }

    /// The policy, which may be replaced.
    pub fn guard(&self) -> &Arc<Guard> {
        &self.inner.guard
    }

    /// The metrics. Gauges that are read off something else are as of the last
    /// [`Pipeline::measure`].
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.inner.metrics
    }

    /// What bars writes now, and why.
    pub fn mode(&self) -> Mode {
        self.inner.mode.get()
    }

    /// Every change of it from now on.
    pub fn modes(&self) -> watch::Receiver<Mode> {
        self.inner.mode.watch()
    }

    /// Whether it is in safe-mode or an upstream's breaker is not closed: each request is of interest.
    pub fn is_in_trouble(&self) -> bool {
        let mut breakers = self.inner.upstreams.breakers();
        self.mode().safe_reason().is_some() || breakers.any(|breaker| !breaker.state().is_closed())
    }

    /// How ready the ledger is. Looks at every actor, so call it now and then.
    pub fn readiness(&self) -> Readiness {
        let (inner, now) = (&*self.inner, Instant::now());
        let actors: Vec<ActorReport> =
            inner.observers.lock().iter_mut().map(|observer| observer.observe(now)).collect();
        let mode = inner.mode.get();
        let (bar, is_ingress_locked) = (mode.bar(), mode.is_ingress_locked());
        let stuck = actors.iter().find(|actor| actor.is_stuck(now, inner.stuck_after));
        let down = actors.iter().find(|actor| !actor.is_live(now, inner.stuck_after));
        let followed = inner.followed();
        let is_asked = |target: &Target| followed.is_none() || *target == Target::Kms;
        let is_away = |target: &Target| is_asked(target) && !inner.upstreams.is_ready(*target);
        let away: Vec<Target> = Target::ALL.into_iter().filter(is_away).collect();
        let backpressure_ok = actors.iter().all(|actor| {
            actor.depth * 100 <= actor.capacity * BACKPRESSURE_PERCENT || actor.capacity < 5
        });
        let pressure = inner.disk.pressure();
        let clock_ok = !inner.clock_suspect.load(Ordering::Relaxed);
        let amiss = [
            bar.map(|bar| format!("writes are barred: {}", name_of(bar))),
            followed.and_then(Followed::amiss),
            down.map(|actor| format!("{} is {}", actor.name, actor.state.as_str())),
            (!away.is_empty()).then(|| does_not_answer(&away)),
            (!backpressure_ok).then(|| "a queue is nearly full".to_owned()),
            (pressure != Pressure::None)
                .then(|| format!("the disk is {} % full", inner.disk.percent())),
            (!clock_ok).then(|| "the wall clock stepped; holds do not expire".to_owned()),
            is_ingress_locked.then(|| "the network is closed to writes".to_owned()),
            inner.witnessed.is_late().then(|| "too few witnesses have cosigned".to_owned()),
            inner.archived.is_late().then(|| "the archive is behind".to_owned()),
        ];
        let reason = amiss.into_iter().flatten().next();
        Readiness {
            ready: bar.is_none()
                && followed.is_none_or(Followed::is_ready)
                && down.is_none()
                && away.is_empty()
                && pressure != Pressure::Refusing,
            live: stuck.is_none(),
            mode: bar.map_or_else(|| followed.map_or("ready", Followed::name).to_owned(), name_of),
            degraded: reason.is_some(),
            reason,
            is_ingress_locked,
            kms_ready: !away.contains(&Target::Kms),
            policy_ready: !away.contains(&Target::Policy),
            wallet_ready: !away.contains(&Target::Wallet),
            backpressure_ok,
            committer_lag_ms: inner.ages.oldest_ms(now),
            head_seq: inner.reader.head().seq,
            published_size: self.published().map_or(0, |newest| newest.checkpoint.size()),
            actors,
        }
    }

    /// Whether it takes what another node has archived, and nothing else.
    pub fn follows(&self) -> bool {
        self.inner.followed().is_some()
    }

    /// Gives an order to the admin actor and waits for its outcome; `None` when nobody answers.
    pub async fn order(&self, order: Order) -> Option<Result<Mode, IllegalMove>> {
        let (done, outcome) = oneshot::channel();
        self.inner.admin.offer(Command { order, done }).ok()?;
        outcome.await.ok()
    }

    /// Ends in order, from the front to the back: what was accepted is committed and answered, the
    /// last root is signed, derived data is flushed. What does not end by the deadline is left, and
    /// counted.
    ///
    /// # Errors
    /// [`Leaked`], also when every actor ended, but only after what it had in hand was dropped.
    pub async fn drain(&self, deadline: Instant) -> Result<(), Leaked> {
        let inner = &*self.inner;
        // Not by way of the admin: a stuck actor must not hold up the end.
        if !inner.mode.get().is_draining() {
            let _ = inner.mode.apply(Event::Drain);
        }
        inner.recovery.stop();
        let in_time = tokio::time::timeout_at(deadline.into(), inner.empty(deadline)).await.is_ok();
        inner.cares.iter().for_each(Supervision::stop);
        let ended = async {
            for care in &inner.cares {
                care.ended().await;
            }
        };
        let grace = Instant::now() + STOP_GRACE;
        let all_ended = tokio::time::timeout_at(grace.into(), ended).await.is_ok();
        // A thread that is blocked looks at this when it is free again.
        for thread in &inner.threads {
            thread.stop();
        }
        if in_time && all_ended {
            return Ok(());
        }
        let left = inner.cares.iter().filter(|care| !is_ended(care)).count() as u64;
        inner.metrics.tasks_leaked.inc_by(left);
        Err(Leaked(left))
    }

    /// Waits until an actor ends for good without having been asked to.
    pub async fn broken(&self) -> (&'static str, End) {
        let ends = self.inner.cares.iter().map(|care| {
            let ended = async move {
                match care.ended().await {
                    End::Asked => std::future::pending().await,
                    end => (care.name(), end),
                }
            };
            Box::pin(ended)
        });
        futures_util::future::select_all(ends).await.0
    }
}

impl Inner {
    fn followed(&self) -> Option<&Followed> {
        match &self.role {
            Role::Writes(_) => None,
            Role::Follows { followed, .. } => Some(followed),
        }
    }

    /// Empties the doors from the front to the back. Whoever is behind finds nobody in front.
    async fn empty(&self, deadline: Instant) {
        let doors = match &self.role {
            Role::Writes(doors) => doors,
            Role::Follows { door, .. } => return settle(door, deadline).await,
        };
        doors.ingress.drain().await;
        for door in &doors.pool {
            door.drain().await;
        }
        doors.sequencer.drain().await;
        // What cannot be flushed, as on a full disk, must leave time for those behind.
        settle(&doors.committer, deadline.checked_sub(AFTER_SETTLE).unwrap_or(deadline)).await;
        if let Some(place) = doors.publisher.reserve().await {
            // Refused when the publisher is gone for good: then nothing more is signed.
            drop(place.offer(Finish));
        }
        doors.publisher.drain().await;
    }
}

/// Flushes what is behind a door, and empties it.
async fn settle<A>(door: &Door<A>, deadline: Instant)
where
    A: Handler<Seated<Settle>, Result = ()> + Actor<Context = Context<A>>,
{
    // From a place: a full door would skip what must come last.
    if let Some(place) = door.reserve().await {
        let (done, settled) = oneshot::channel();
        if place.offer(Settle { deadline, done }).is_ok() {
            drop(settled.await);
        }
    }
    door.drain().await;
}

/// So many actors did not end by the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not everything ended in time; actors left: {0}")]
pub struct Leaked(pub u64);

fn is_ended(care: &Supervision) -> bool {
    matches!(care.state(), super::supervise::State::Ended(_))
}

/// In words.
fn does_not_answer(away: &[Target]) -> String {
    let names: Vec<&str> = away.iter().map(|target| target.as_str()).collect();
    let verb = if names.len() == 1 { "does" } else { "do" };
    format!("{} {verb} not answer: writes that need it are refused", names.join(", "))
}

fn name_of(bar: super::mode::Bar) -> String {
    use super::mode::Bar;
    match bar {
        Bar::Draining => "draining".into(),
        Bar::Maintenance => "maintenance".into(),
        Bar::Frozen => "frozen".into(),
        Bar::IngressLocked => "ingress_locked".into(),
        Bar::Safe(why) => format!("safe_mode: {}", why.as_str()),
    }
}
