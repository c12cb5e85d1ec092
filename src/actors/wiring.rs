//! Wires the actors bottom-up, so that each is given the door of the one behind it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix::{Arbiter, ArbiterHandle};
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::admin::Admin;
use super::ages::Ages;
use super::archiver::{self, ArchiveTo, Archived, Archiver};
use super::authority::Authority;
use super::breaker::{self, BreakerHandle, Target};
use super::budget::Budget;
use super::committer::{self, Committer};
use super::disk::Disk;
use super::door::Door;
use super::followed::{FollowFrom, Followed};
use super::follower::{self, Follower};
use super::guard::Guard;
use super::ingress::{self, Ingress, Twins};
use super::judges::Judges;
use super::limits::Limits;
use super::mode::{Checker, Event, ModeCell};
use super::pipeline::{Doors, Inner, Pipeline, Role};
use super::prevalidator::{self, Prevalidator};
use super::probe::Probe;
use super::prober::{self, Prober};
use super::publisher::{self, RootPublisher};
use super::report::Observer;
use super::revoking::RevokedFile;
use super::sequencer::{self, Sequencer};
use super::settings::Settings;
use super::signed::SignedNotes;
use super::supervise::{self, Hooks, Lasting, Policy, Spec, Supervision};
use super::unpublished::Unpublished;
use super::upstreams::{Services, Upstreams};
use super::verifier::{self, Verifier};
use super::witnesses::{self, Watchers, Witnessed, Witnesses};
use crate::capability::CachedVerifier;
use crate::policy::Policy as Rules;
use crate::storage::store::Store;
use crate::telemetry::{ActorName, Metrics, Queue};

/// What the committer may be given beyond the group in hand: one more group, so that it need not
/// wait for the sequencer's thread to wake up.
const GROUPS: u32 = 2;

/// Looks that wait at the publisher's door; the head itself lies in a cell.
const LOOKS: u32 = 2;

/// Nobody writes to the witnesses' actor: it looks by itself.
const WITNESSES: u32 = 1;

/// Nor to the archiver.
const ARCHIVER: u32 = 1;

/// To the follower, that it is to flush.
const FOLLOWER: u32 = 1;

/// Nor to the verifier.
const VERIFIER: u32 = 1;

/// Nor to the prober.
const PROBER: u32 = 1;

/// Orders that wait at the admin's door.
const ORDERS: u32 = 16;

/// What the pipeline works with.
pub struct Parts {
    /// The ledger.
    pub store: Arc<Store>,
    /// Its signed checkpoints.
    pub signed: Arc<SignedNotes>,
    /// Who verifies tokens.
    pub capabilities: Arc<CachedVerifier>,
    /// What capabilities leave open, and the operator does not.
    pub rules: Rules,
    /// The services that are asked; none is local.
    pub services: Services,
    /// Where revocations outlive the process.
    pub revoked_file: Option<RevokedFile>,
    /// Who is to cosign them.
    pub watchers: Option<Watchers>,
    /// Where what is published is kept besides.
    pub archive: Option<ArchiveTo>,
    /// Whom the node follows, which then takes no requests.
    pub follow: Option<FollowFrom>,
    /// The mode to begin in.
    pub mode: ModeCell,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
    /// Where tests and drills strike.
    pub probe: Probe,
}

struct Watch {
    mode: ModeCell,
    metrics: Arc<Metrics>,
}

impl Hooks for Watch {
    fn on_crash(&self, name: &'static str) {
        if let Some(label) = label_of(name) {
            self.metrics.actor_panics.of(label).inc();
        }
        // Before its next life begins, so that no message of it is handled in another mode.
        let event = match name {
            "committer" => Event::CommitterPanicked,
            "sequencer" => Event::CheckStarted(Checker::Sequencer),
            "root_publisher" => Event::CheckStarted(Checker::Publisher),
            _ => return,
        };
        if let Err(error) = self.mode.apply(event) {
            tracing::error!(%error, name, "the mode did not take a crash");
        }
    }

    fn on_restart(&self, name: &'static str) {
        if let Some(label) = label_of(name) {
            self.metrics.actor_restarts.of(label).inc();
        }
    }
}

fn label_of(name: &str) -> Option<ActorName> {
    Some(match name {
        "ingress" => ActorName::Ingress,
        "prevalidator" => ActorName::Prevalidator,
        "sequencer" => ActorName::Sequencer,
        "committer" => ActorName::Committer,
        "root_publisher" => ActorName::RootPublisher,
        "admin" => ActorName::Admin,
        "witnesses" => ActorName::Witnesses,
        "verifier" => ActorName::Verifier,
        "prober" => ActorName::Prober,
        "archiver" => ActorName::Archiver,
        "follower" => ActorName::Follower,
        other if other.starts_with("breaker") => ActorName::Breaker,
        _ => return None,
    })
}

/// Starts actors and remembers them.
struct Starter {
    policy: Policy,
    hooks: Arc<dyn Hooks>,
    cares: Vec<Supervision>,
    threads: Vec<ArbiterHandle>,
}

impl Starter {
    /// A thread for one actor or for several.
    fn thread(&mut self) -> std::io::Result<ArbiterHandle> {
        let handle = Arbiter::try_new()?.handle();
        self.threads.push(handle.clone());
        Ok(handle)
    }

    fn start<A: Lasting>(
        &mut self,
        at: &ArbiterHandle,
        name: &'static str,
        seats: u32,
        build: impl FnOnce() -> A + Send + 'static,
    ) -> Door<A> {
        let spec = Spec { name, seats, policy: self.policy, hooks: Arc::clone(&self.hooks) };
        let (door, care) = supervise::start(at, spec, build);
        self.cares.push(care);
        door
    }

    /// A breaker for each target, and the prober where one of them is remote.
    fn upstreams(
        &mut self,
        at: &ArbiterHandle,
        services: Services,
        settings: &Settings,
        metrics: &Arc<Metrics>,
        probe: &Probe,
    ) -> Upstreams {
        let start = |&target: &Target| {
            let (hooks, probe) = (Arc::clone(&self.hooks), probe.clone());
            let limits = settings.breaker;
            let (handle, care) = breaker::start(at, target, limits, self.policy, hooks, probe);
            self.cares.push(care);
            handle
        };
        let breakers: Vec<BreakerHandle> = Target::ALL.iter().map(start).collect();
        let most = settings.upstream_connections_max;
        let upstreams = Upstreams::new(breakers, services, most, metrics);
        let remotes = upstreams.remotes();
        if !remotes.is_empty() {
            let (interval, deadline) = (settings.breaker.open, settings.request_deadline);
            let deps = prober::Deps { remotes, interval, deadline, probe: probe.clone() };
            self.start(at, "prober", PROBER, || Prober { deps, asked: Vec::new() });
        }
        upstreams
    }
}

impl Pipeline {
    /// Starts every actor. The ledger is in safe-mode `recovering` until the committer has verified
    /// its store.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(parts: Parts, settings: &Settings) -> std::io::Result<Pipeline> {
        let Parts { store, signed, watchers, archive, capabilities, services, rules, .. } = parts;
        let Parts { revoked_file, follow, mode, metrics, probe, .. } = parts;
        let hooks = Arc::new(Watch { mode: mode.clone(), metrics: Arc::clone(&metrics) });
        let mut starter =
            Starter { policy: settings.policy, hooks, cares: Vec::new(), threads: Vec::new() };
        // Writes are barred before the first actor runs.
        let _ = mode.apply(Event::RecoveryStarted);
        let [front, commit] = [starter.thread()?, starter.thread()?];
        // Its own: an order is written down before it is answered.
        let orders = starter.thread()?;
        let (reader, recovery) = (store.reader(), store.stop());
        let (newest, published) = (Arc::default(), Arc::new(ArcSwapOption::empty()));
        let unpublished = Unpublished::default();
        let witnessed = Witnessed::new(watchers.as_ref().is_some_and(|watchers| watchers.hold));
        let witnessed = Arc::new(witnessed);
        if let Some(watchers) = watchers {
            // Writes wait for the first round.
            let _ = mode.apply(Event::CheckStarted(Checker::Witnesses));
            let at = starter.thread()?;
            let deps = witnesses::Deps {
                watchers,
                signed: Arc::clone(&signed),
                newest: Arc::clone(&published),
                witnessed: Arc::clone(&witnessed),
                reader: reader.clone(),
                mode: mode.clone(),
                metrics: Arc::clone(&metrics),
                probe: probe.clone(),
            };
            let build = || Witnesses { deps, state: witnesses::State::default() };
            starter.start(&at, "witnesses", WITNESSES, build);
        }
        let archived = Arc::new(Archived::new(archive.as_ref()));
        if let Some(to) = archive {
            // Writes wait for the first round.
            let _ = mode.apply(Event::CheckStarted(Checker::Archive));
            let at = starter.thread()?;
            let deps = archiver::Deps {
                to,
                signed: Arc::clone(&signed),
                published: Arc::clone(&published),
                archived: Arc::clone(&archived),
                reader: reader.clone(),
                mode: mode.clone(),
                metrics: Arc::clone(&metrics),
                probe: probe.clone(),
            };
            let build = || Archiver { deps, state: archiver::State::default() };
            starter.start(&at, "archiver", ARCHIVER, build);
        }
        if settings.verifier.entries_per_second > 0 {
            let at = starter.thread()?;
            let deps = verifier::Deps {
                reader: reader.clone(),
                published: Arc::clone(&published),
                mode: mode.clone(),
                pace: settings.verifier,
                metrics: Arc::clone(&metrics),
                probe: probe.clone(),
            };
            let build = || Verifier { deps, state: verifier::State::default() };
            starter.start(&at, "verifier", VERIFIER, build);
        }
        let disk = Disk::new(settings.disk);
        let (clock_suspect, ages) = (Arc::new(AtomicBool::new(false)), Ages::default());

        let upstreams = starter.upstreams(&front, services, settings, &metrics, &probe);
        let limits = Arc::new(Limits::new(settings.rates));
        let guard = Arc::new(Guard::new(rules, Arc::clone(&metrics)));
        let authority = Authority::new(Arc::clone(&capabilities), &upstreams);
        let role = if let Some(from) = follow {
            let followed = Arc::new(Followed::new(from.interval));
            let deps = follower::Deps {
                from,
                store,
                signed: Arc::clone(&signed),
                published: Arc::clone(&published),
                followed: Arc::clone(&followed),
                mode: mode.clone(),
                metrics: Arc::clone(&metrics),
                probe: probe.clone(),
            };
            let build = || Follower { deps, state: follower::State::default() };
            Role::Follows { door: starter.start(&commit, "follower", FOLLOWER, build), followed }
        } else {
            let publish = starter.thread()?;
            let deps = publisher::Deps {
                signed: Arc::clone(&signed),
                newest: Arc::clone(&newest),
                unpublished: unpublished.clone(),
                published: Arc::clone(&published),
                reader: reader.clone(),
                mode: mode.clone(),
                min_interval: settings.publish_min_interval,
                metrics: Arc::clone(&metrics),
                probe: probe.clone(),
            };
            let publisher = starter.start(&publish, "root_publisher", LOOKS, || RootPublisher {
                deps,
                state: publisher::State::default(),
            });

            let deps = committer::Deps {
                store,
                signed: Arc::clone(&signed),
                publisher: publisher.clone(),
                newest,
                unpublished,
                mode: mode.clone(),
                expire_max: settings.expire_max,
                wall_step_max: settings.wall_step_max,
                clock_suspect: Arc::clone(&clock_suspect),
                auto_clear: settings.auto_clear,
                disk: disk.clone(),
                metrics: Arc::clone(&metrics),
                probe: probe.clone(),
            };
            let build = || Committer { deps, state: None };
            let committer = starter.start(&commit, "committer", GROUPS, build);

            let deps = sequencer::Deps {
                committer: committer.clone(),
                mode: mode.clone(),
                reader: reader.clone(),
                entries_max: settings.batch_max_entries,
                bytes_max: settings.batch_max_bytes,
                ages: ages.clone(),
                metrics: Arc::clone(&metrics),
                probe: probe.clone(),
            };
            let build = || Sequencer { deps, state: sequencer::State::default() };
            let sequencer = starter.start(&front, "sequencer", settings.queue_commit, build);

            let deps = prevalidator::Deps {
                sequencer: sequencer.clone(),
                authority: authority.clone(),
                judges: Judges::new(&upstreams, reader.clone()),
                limits: Arc::clone(&limits),
                bridges: settings.bridges,
                guard: Arc::clone(&guard),
                reader: reader.clone(),
                metrics: Arc::clone(&metrics),
                probe: probe.clone(),
            };
            // A question to a service is followed by a look into the store, which would hold up the others.
            let is_local = upstreams.remotes().is_empty();
            let at = is_local.then_some(&front);
            let pool = prevalidators(&mut starter, at, &deps, settings)?;

            let deps = ingress::Deps {
                mode: mode.clone(),
                pool: pool.clone(),
                limits: Arc::clone(&limits),
                deadline: settings.request_deadline,
                metrics: Arc::clone(&metrics),
                probe: probe.clone(),
            };
            let build = || Ingress { deps, twins: Twins::default(), next: 0, messages: 0 };
            let ingress = starter.start(&front, "ingress", settings.queue_ingress, build);
            Role::Writes(Doors { ingress, pool, sequencer, committer, publisher })
        };
        let writer = match &role {
            Role::Writes(doors) => Some(doors.committer.clone()),
            Role::Follows { .. } => None,
        };
        let mode_too = mode.clone();
        let verifier = Arc::clone(&capabilities);
        let build = || Admin {
            mode: mode_too,
            committer: writer,
            capabilities: verifier,
            revoked_file,
            probe,
        };
        let admin = starter.start(&orders, "admin", ORDERS, build);

        capacities(&metrics, settings);
        let observers = starter.cares.iter().cloned().map(Observer::new).collect();
        Ok(Pipeline {
            inner: Arc::new(Inner {
                role,
                admin,
                cares: starter.cares,
                recovery,
                disk,
                observers: Mutex::new(observers),
                measuring: Mutex::default(),
                threads: starter.threads,
                ages,
                budget: Budget::new(settings.inflight),
                upstreams,
                authority,
                mode,
                reader,
                published,
                witnessed,
                archived,
                signed,
                capabilities,
                limits,
                guard,
                metrics,
                deadline: settings.request_deadline,
                stuck_after: settings.stuck_after,
                clock_suspect,
            }),
        })
    }
}

/// The pool, sharing the seats of its queue: the first on the thread `at`, where one is given, each other on
/// a thread of its own.
fn prevalidators(
    starter: &mut Starter,
    at: Option<&ArbiterHandle>,
    deps: &prevalidator::Deps,
    settings: &Settings,
) -> std::io::Result<Vec<Door<Prevalidator>>> {
    let each = (settings.queue_prevalidator / settings.prevalidators).max(1);
    let start = |nth| {
        let at = at.filter(|_| nth == 0).cloned();
        let (at, deps) = (at.map_or_else(|| starter.thread(), Ok)?, deps.clone());
        Ok(starter.start(&at, "prevalidator", each, || Prevalidator { deps }))
    };
    (0..settings.prevalidators).map(start).collect()
}

fn capacities(metrics: &Metrics, settings: &Settings) {
    for (queue, seats) in [
        (Queue::Ingress, settings.queue_ingress),
        (Queue::Preval, settings.queue_prevalidator),
        (Queue::Commit, settings.queue_commit),
    ] {
        metrics.queue_capacity.of(queue).set(i64::from(seats));
    }
    metrics.inflight_requests_capacity.set(settings.inflight.requests as i64);
    metrics.inflight_bytes_capacity.set(settings.inflight.bytes as i64);
}
