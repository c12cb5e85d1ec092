//! Follower: takes what another node has archived, on a node that takes no requests of its own.
//!
//! Owns: the right to write, through [`Replica`]; its place in the archive. Receives: [`Settle`]; else its
//! own timer drives it, one segment at a time. Publishes: the head, group by group; the checkpoint of each
//! segment, once all of it is taken and the root compared; how far it is. On a crash: the segment in hand
//! is lost, the next life recovers as at a start, and asks the archive where it stands.
//!
//! A difference ends it for as long as the process lives: what was verified is read on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use arc_swap::ArcSwapOption;

use super::committer::{Settle, event_of};
use super::door::Seated;
use super::followed::{FollowFrom, Followed};
use super::mode::{Event, ModeCell};
use super::probe::{Point, Probe};
use super::publisher::Published;
use super::signed::{SignedError, SignedNotes};
use crate::accumulator::{Checkpoint, CheckpointError};
use crate::backup::archive::{Archive, ArchiveError, Found, Place, manifest_name};
use crate::backup::target::{Target, TargetError};
use crate::ledger::entry::Seq;
use crate::storage::engine::CommitError;
use crate::storage::error::ReadError;
use crate::storage::follow::{FollowError, Follower as Replica};
use crate::storage::genesis::Genesis;
use crate::storage::groups::CommitGroup;
use crate::storage::store::Store;
use crate::telemetry::Metrics;

/// How often it looks whether a round is due, and how long it has not had everything.
const TICK: Duration = Duration::from_secs(1);

pub(super) struct Follower {
    pub(super) deps: Deps,
    pub(super) state: State,
}

pub(super) struct Deps {
    pub(super) from: FollowFrom,
    pub(super) store: Arc<Store>,
    pub(super) signed: Arc<SignedNotes>,
    pub(super) published: Arc<ArcSwapOption<Published>>,
    pub(super) followed: Arc<Followed>,
    pub(super) mode: ModeCell,
    pub(super) metrics: Arc<Metrics>,
    pub(super) probe: Probe,
}

#[derive(Default)]
pub(super) struct State {
    /// None: the store could not be recovered.
    replica: Option<Replica>,
    archive: Option<Arc<Archive>>,
    stand: Stand,
    is_busy: bool,
    due: Option<Instant>,
    /// What goes on failing is logged once.
    told: Option<String>,
}

/// Where it stands in the archive.
#[derive(Clone, Default)]
struct Stand {
    /// Asked of the archive at first.
    place: Option<Place>,
    /// The last segment that was taken in this life: it must stay where it is.
    last: Option<Found>,
    /// As many entries the archive was seen to have.
    tip: Seq,
}

/// What the archive was found to have.
struct Look {
    archive: Arc<Archive>,
    place: Place,
    tip: Seq,
    /// The segment that follows, with its groups.
    next: Option<(Found, Vec<CommitGroup>)>,
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("the archive is of another ledger")]
    OtherLedger,
    #[error("{0} is gone, or is another one: the archive was rolled back or replaced")]
    Rewritten(String),
    #[error(
        "the archive has {archived} entries, this node {here}: it was rolled back, or is behind"
    )]
    Short { archived: Seq, here: Seq },
    #[error("at {0} entries the root is not the one that was signed")]
    OtherRoot(Seq),
    #[error("its groups are refused: {0}")]
    Follow(#[from] FollowError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("a checkpoint is not this ledger's: {0}")]
    Checkpoint(#[from] CheckpointError),
    #[error("the signed checkpoint cannot be kept: {0}")]
    Keep(#[from] SignedError),
}

impl Trouble {
    /// It may pass, and says nothing about the ledger.
    fn may_pass(&self) -> bool {
        use TargetError as T;
        match self {
            Trouble::Archive(ArchiveError::Target(error)) => {
                matches!(error, T::Store(_) | T::File(_) | T::Late(_))
            }
            Trouble::Archive(ArchiveError::None(_)) | Trouble::Keep(_) => true,
            _ => false,
        }
    }
}

impl Actor for Follower {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.deps.probe.hit(Point::FollowerStarted);
        self.recover();
        ctx.run_interval(TICK.min(self.deps.from.interval), |follower, ctx| {
            follower.deps.probe.hit(Point::FollowerTimer);
            follower.measure();
            follower.look(ctx);
        });
    }
}

impl Supervised for Follower {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.state = State::default();
    }
}

impl Handler<Seated<Settle>> for Follower {
    type Result = ();

    fn handle(&mut self, settle: Seated<Settle>, _: &mut Self::Context) {
        let Settle { deadline, done } = settle.msg;
        let settled = self.state.replica.as_mut().is_some_and(|replica| replica.settle(deadline));
        // Whoever asked may have stopped waiting.
        let _ = done.send(settled);
    }
}

impl Follower {
    /// As the committer's.
    fn recover(&mut self) {
        self.note(Event::RecoveryStarted);
        let last = self.deps.signed.last();
        let anchor = self.deps.signed.anchor();
        let (Ok(last), Ok(anchor)) = (last, anchor) else {
            tracing::error!("the last signed checkpoint cannot be trusted");
            return self.note(Event::RecoveryFailed(super::mode::Fault::HeadMismatch));
        };
        match Replica::of(Arc::clone(&self.deps.store), anchor.as_ref()) {
            Ok(replica) => {
                let head = replica.head();
                tracing::info!(head = head.seq, root = %head.root, "follower=online");
                self.state.replica = Some(replica);
                if let Some((checkpoint, note)) = last {
                    self.show(checkpoint, &note, head.time);
                }
                self.note(Event::RecoveredClean);
            }
            Err(error) => {
                tracing::error!(%error, "the store is not opened");
                event_of(&error).into_iter().for_each(|event| self.note(event));
            }
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        let is_due = self.state.due.is_none_or(|due| due <= Instant::now());
        if is_due && !self.state.is_busy {
            self.begin(ctx);
        }
    }

    fn may_follow(&self) -> bool {
        let mode = self.deps.mode.get();
        !mode.is_draining() && mode.safe_reason().is_none() && !self.deps.followed.is_stopped()
    }

    fn begin(&mut self, ctx: &mut Context<Self>) {
        let Some(replica) = self.state.replica.as_ref().filter(|_| self.may_follow()) else {
            return;
        };
        self.state.is_busy = true;
        self.state.due = Some(Instant::now() + self.deps.from.interval);
        let work = Work {
            target: self.deps.from.target.clone(),
            signed: Arc::clone(&self.deps.signed),
            genesis: replica.genesis().clone(),
            head: replica.head().seq,
        };
        let (archive, stand) = (self.state.archive.clone(), self.state.stand.clone());
        let look = async move { work.look(archive, stand).await };
        ctx.spawn(look.into_actor(self).map(|outcome, follower, ctx| {
            follower.deps.probe.hit(Point::FollowerAnswered);
            follower.state.is_busy = false;
            match outcome.and_then(|look| follower.take(look)) {
                Ok(true) => follower.begin(ctx),
                Ok(false) => {}
                Err(trouble) => follower.failed(&trouble),
            }
            follower.measure();
        }));
    }

    /// Takes what was found, and says whether there is more.
    fn take(&mut self, look: Look) -> Result<bool, Trouble> {
        let Look { archive, place, tip, next } = look;
        self.state.archive = Some(archive);
        self.state.stand.tip = tip;
        self.state.stand.place = Some(place);
        if self.state.told.take().is_some() {
            tracing::info!(size = place.size, "following goes on");
        }
        self.deps.followed.answered();
        let Some((found, groups)) = next else {
            self.deps.followed.has_all();
            return Ok(false);
        };
        if !self.apply(&groups)? {
            return Ok(false);
        }
        let manifest = &found.manifest;
        let reader = self.deps.store.reader();
        let row = reader.roots(manifest.to.saturating_sub(1), manifest.to, 1)?.pop();
        if row.is_none_or(|row| (row.seq, row.root) != (manifest.to, manifest.root)) {
            return Err(Trouble::OtherRoot(manifest.to));
        }
        let signed = &self.deps.signed;
        let note = manifest.checkpoint.as_bytes();
        let checkpoint = Checkpoint::open(note, signed.origin(), signed.known_keys())?;
        // The log first: a note that is newer than the log says that the log was rolled back.
        if self.published_size() < checkpoint.size() {
            signed.keep(&manifest.checkpoint)?;
            self.show(checkpoint, &manifest.checkpoint, manifest.last_time);
        }
        self.deps.metrics.follow_size.set(manifest.to as i64);
        self.state.stand.place = Some(found.place());
        self.state.stand.last = Some(found);
        Ok(true)
    }

    /// One group at a time, so that readers are never shown more than one that is not written. Says
    /// whether all were taken: an end of the process does not wait for them.
    fn apply(&mut self, groups: &[CommitGroup]) -> Result<bool, Trouble> {
        let Some(replica) = &mut self.state.replica else { return Ok(false) };
        for group in groups {
            if self.deps.mode.get().is_draining() {
                return Ok(false);
            }
            // Its beginning may be here: a life, or a copy, ended within the segment.
            if group.size > replica.head().seq {
                let head = replica.take(std::slice::from_ref(group))?;
                self.deps.metrics.head_seq.set(head.seq as i64);
            }
        }
        Ok(true)
    }

    fn failed(&mut self, trouble: &Trouble) {
        let words = trouble.to_string();
        if let Trouble::Follow(FollowError::Commit(error)) = trouble {
            tracing::error!(%error, "what was followed could not be written");
            // Memory is beyond the disk: a restart recovers, and takes the group again.
            if let CommitError::Unknown(_) = error {
                self.deps.metrics.wal_fsync_fail.inc();
            }
            return self.note(Event::WriteUnknown);
        }
        if trouble.may_pass() {
            self.deps.metrics.follow_failures.inc();
            self.deps.followed.failed();
            if self.state.told.as_ref() != Some(&words) {
                tracing::warn!(error = %trouble, "the archive is not followed now");
                self.state.told = Some(words);
            }
            return;
        }
        tracing::error!(error = %trouble, "following has stopped: what was verified is served");
        self.deps.metrics.follow_stopped.set(1);
        self.deps.followed.stop(words);
    }

    fn measure(&self) {
        let metrics = &self.deps.metrics;
        let head = self.deps.store.reader().head().seq;
        let lag = self.state.stand.tip.saturating_sub(head);
        metrics.follow_lag_entries.set(lag as i64);
        metrics.follow_lag.set(self.deps.followed.lag().as_secs_f64());
    }

    fn published_size(&self) -> Seq {
        self.deps.published.load().as_ref().map_or(0, |newest| newest.checkpoint.size())
    }

    fn show(&self, checkpoint: Checkpoint, note: &str, time: u64) {
        self.deps.metrics.published_size.set(checkpoint.size() as i64);
        let published = Published { checkpoint, note: note.into(), time };
        self.deps.published.store(Some(Arc::new(published)));
    }

    fn note(&self, event: Event) {
        if let Err(error) = self.deps.mode.apply(event) {
            tracing::error!(%error, "the mode did not take an event");
        }
    }
}

/// What a look works with.
struct Work {
    target: Target,
    signed: Arc<SignedNotes>,
    genesis: Genesis,
    head: Seq,
}

impl Work {
    /// One segment at most.
    async fn look(&self, archive: Option<Arc<Archive>>, stand: Stand) -> Result<Look, Trouble> {
        let archive = match archive {
            Some(archive) => archive,
            None => Arc::new(self.opened().await?),
        };
        let place = match stand.place {
            Some(place) => place,
            None => archive.place_of(self.head).await?,
        };
        let mut tip = stand.tip;
        // A backlog that is known is gone through without another look at all of it.
        if tip <= place.size {
            if let Some(last) = &stand.last {
                stays(&archive, last).await?;
            }
            tip = self.tip(&archive, place).await?;
        }
        let next = match archive.after(place).await? {
            Some(found) => {
                tip = tip.max(found.manifest.to);
                let is_new = found.manifest.to > self.head;
                let groups =
                    if is_new { archive.groups(&found.manifest).await? } else { Vec::new() };
                Some((found, groups))
            }
            None if tip > place.size => {
                return Err(Trouble::Rewritten(manifest_name(place.size + 1)));
            }
            None if place.size < self.head => {
                return Err(Trouble::Short { archived: place.size, here: self.head });
            }
            None => None,
        };
        Ok(Look { archive, place, tip, next })
    }

    async fn opened(&self) -> Result<Archive, Trouble> {
        let keys = self.signed.known_keys().to_vec();
        let archive = Archive::open(self.target.clone(), keys).await?;
        match *archive.genesis() == self.genesis {
            true => Ok(archive),
            false => Err(Trouble::OtherLedger),
        }
    }

    /// How many entries the archive has.
    async fn tip(&self, archive: &Archive, place: Place) -> Result<Seq, Trouble> {
        let firsts = archive.firsts(place.size).await?;
        let Some(&from) = firsts.last() else { return Ok(place.size) };
        let last = archive.manifest(from).await?;
        last.map(|last| last.manifest.to).ok_or(Trouble::Rewritten(manifest_name(from)))
    }
}

/// What was taken is there still, as it was.
async fn stays(archive: &Archive, last: &Found) -> Result<(), Trouble> {
    let from = last.manifest.from;
    match archive.manifest(from).await? {
        Some(found) if found.digest == last.digest => Ok(()),
        _ => Err(Trouble::Rewritten(manifest_name(from))),
    }
}
