//! Archiver: puts what is published into the archive, segment by segment.
//!
//! Owns: its place in the archive. Receives: nothing; its own timer drives it, one round at a time.
//! Publishes: metrics, and what it finds to the mode. On a crash: the round in hand is lost, and the
//! place is asked of the archive anew, which has each manifest once.
//!
//! It reads as any reader does and waits for nobody. In its first round writes wait, for
//! [`FIRST_ROUND`] at most: an archive with more entries than the log has proves that the store was
//! rolled back. An archive that does not answer proves nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use arc_swap::ArcSwapOption;

use super::history;
use super::mode::{Checker, Event, Fault, ModeCell, SafeReason};
use super::prevalidator::unix_ms;
use super::probe::{Point, Probe};
use super::publisher::Published;
use super::signed::SignedNotes;
use crate::accumulator::Hash;
use crate::backup::archive::{
    Archive, ArchiveError, Draft, Found, GENESIS, Place, genesis_statement, manifest_name,
};
use crate::backup::segment::SegmentError;
use crate::backup::target::{Put, Target, TargetError};
use crate::ledger::entry::Seq;
use crate::storage::error::ReadError;
use crate::storage::reader::Reader;
use crate::telemetry::Metrics;

/// How often it looks whether a round is due, and how old the oldest entry is that is not archived.
const TICK: Duration = Duration::from_secs(1);

/// What writes wait for its first round.
const FIRST_ROUND: Duration = Duration::from_secs(30);

/// Groups of so many bytes make a segment; the last goes beyond.
const SEGMENT_BYTES: usize = 8 << 20;

/// Beyond two intervals, how long entries may lack the archive before the node is degraded.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where to, and how often.
#[derive(Clone, Debug)]
pub struct ArchiveTo {
    /// The object store.
    pub target: Target,
    /// Between two rounds.
    pub interval: Duration,
}

/// How far the archive is, for probes.
#[derive(Default)]
pub(super) struct Archived {
    patience_ms: u64,
    /// When the oldest entry that is published and not archived was committed, in ms; 0: there is none.
    oldest_ms: AtomicU64,
    is_failing: AtomicBool,
}

impl Archived {
    pub(super) fn new(to: Option<&ArchiveTo>) -> Self {
        let patience = to.map_or(Duration::ZERO, |to| 2 * to.interval + PATIENCE);
        Archived { patience_ms: patience.as_millis() as u64, ..Archived::default() }
    }

    /// How long the oldest entry that is not archived has been waiting, in ms.
    fn lag_ms(&self) -> u64 {
        match self.oldest_ms.load(Ordering::Relaxed) {
            0 => 0,
            oldest => unix_ms().saturating_sub(oldest),
        }
    }

    pub(super) fn is_late(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed) || self.lag_ms() > self.patience_ms
    }
}

pub(super) struct Archiver {
    pub(super) deps: Deps,
    pub(super) state: State,
}

pub(super) struct Deps {
    pub(super) to: ArchiveTo,
    pub(super) signed: Arc<SignedNotes>,
    pub(super) published: Arc<ArcSwapOption<Published>>,
    pub(super) archived: Arc<Archived>,
    pub(super) reader: Reader,
    pub(super) mode: ModeCell,
    pub(super) metrics: Arc<Metrics>,
    pub(super) probe: Probe,
}

#[derive(Default)]
pub(super) struct State {
    archive: Option<Arc<Archive>>,
    place: Option<Place>,
    is_busy: bool,
    /// The archive was asked in this process, or was given the time to answer.
    pub(super) is_checked: bool,
    /// What goes on failing is logged once.
    told: Option<String>,
    /// When the next round is due; at once, before the first.
    due: Option<Instant>,
}

/// What a round came to.
struct Round {
    archive: Arc<Archive>,
    place: Place,
    /// There is more to archive.
    is_behind: bool,
    took: Duration,
}

#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Segment(#[from] SegmentError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the archive is of another ledger: give this one a URL of its own")]
    OtherLedger,
    #[error("the archive has {0} entries, the log fewer: the store was rolled back")]
    Ahead(Seq),
    #[error("the archive has another history of this ledger, up to entry {0}")]
    Fork(Seq),
    #[error("no checkpoint can be signed for {0} entries")]
    Unsigned(Seq),
}

impl Actor for Archiver {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.deps.probe.hit(Point::ArchiverStarted);
        ctx.run_interval(TICK.min(self.deps.to.interval), |archiver, ctx| {
            archiver.deps.probe.hit(Point::ArchiverTimer);
            archiver.measure();
            archiver.look(ctx);
        });
        if !self.state.is_checked {
            ctx.run_later(FIRST_ROUND, |archiver, _| archiver.checked(None));
        }
    }
}

impl Supervised for Archiver {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.state = State { is_checked: self.state.is_checked, ..State::default() };
    }
}

impl Archiver {
    fn look(&mut self, ctx: &mut Context<Self>) {
        // Until the log is verified nobody knows how long it is.
        let is_open = self.deps.mode.get().reasons().all(|why| why != SafeReason::Recovering);
        let is_due = self.state.due.is_none_or(|due| due <= Instant::now());
        if !self.state.is_busy && is_open && is_due {
            self.begin(ctx);
        }
    }

    fn begin(&mut self, ctx: &mut Context<Self>) {
        self.state.is_busy = true;
        self.state.due = Some(Instant::now() + self.deps.to.interval);
        let work = Work {
            target: self.deps.to.target.clone(),
            signed: Arc::clone(&self.deps.signed),
            published: self.deps.published.load_full(),
            reader: self.deps.reader.clone(),
        };
        let (archive, place) = (self.state.archive.clone(), self.state.place);
        let round = async move { work.round(archive, place).await };
        ctx.spawn(round.into_actor(self).map(|outcome, archiver, ctx| {
            archiver.deps.probe.hit(Point::ArchiverAnswered);
            archiver.state.is_busy = false;
            archiver.take(outcome, ctx);
        }));
    }

    fn take(&mut self, outcome: Result<Round, RoundError>, ctx: &mut Context<Self>) {
        match outcome {
            Ok(round) => {
                if self.state.told.take().is_some() {
                    tracing::info!(size = round.place.size, "the archive goes on");
                }
                self.deps.archived.is_failing.store(false, Ordering::Relaxed);
                self.state.archive = Some(round.archive);
                self.state.place = Some(round.place);
                self.deps.metrics.archived_size.set(round.place.size as i64);
                self.checked(None);
                self.measure();
                if round.is_behind && !self.deps.mode.get().is_draining() {
                    // As long as it worked: a backlog takes half of one core at most.
                    ctx.run_later(round.took, |archiver, ctx| {
                        if !archiver.state.is_busy {
                            archiver.begin(ctx);
                        }
                    });
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &RoundError) {
        self.deps.metrics.archive_failures.inc();
        self.deps.archived.is_failing.store(true, Ordering::Relaxed);
        // What an interrupted round has done is asked of the archive.
        self.state.place = None;
        let words = error.to_string();
        if self.state.told.as_ref() != Some(&words) {
            tracing::error!(%error, "what is published is not archived");
            self.state.told = Some(words);
        }
        let fault = match error {
            RoundError::Ahead(_) => Some(Fault::RollBack),
            RoundError::Fork(_) => Some(Fault::HeadMismatch),
            _ => None,
        };
        self.checked(fault);
    }

    fn checked(&mut self, fault: Option<Fault>) {
        let is_first = !std::mem::replace(&mut self.state.is_checked, true);
        let event = match (is_first, fault) {
            (true, None) => Event::CheckPassed(Checker::Archive),
            (true, Some(fault)) => Event::CheckFailed(Checker::Archive, fault),
            (false, Some(fault)) => Event::FaultFound(fault),
            (false, None) => return,
        };
        if let Err(error) = self.deps.mode.apply(event) {
            tracing::error!(%error, "the mode did not take what the archive says");
        }
    }

    /// The age of the oldest entry that a loss of this machine would take.
    fn measure(&self) {
        let published = self.deps.published.load();
        let published = published.as_ref().map_or(0, |newest| newest.checkpoint.size());
        let archived = self.state.place.map_or(self.deps.metrics.archived_size.get(), |place| {
            i64::try_from(place.size).unwrap_or(i64::MAX)
        });
        let archived = Seq::try_from(archived).unwrap_or(0);
        let oldest = match self.deps.reader.roots(archived, published, 1) {
            Ok(rows) => rows.first().map_or(0, |row| row.time.max(1)),
            // Not open for reads now: what was known stays.
            Err(_) => return,
        };
        self.deps.archived.oldest_ms.store(oldest, Ordering::Relaxed);
        self.deps.metrics.archive_lag.set(self.deps.archived.lag_ms() as f64 / 1000.0);
    }
}

/// What a round works with.
struct Work {
    target: Target,
    signed: Arc<SignedNotes>,
    published: Option<Arc<Published>>,
    reader: Reader,
}

impl Work {
    /// One segment at most.
    async fn round(
        &self,
        archive: Option<Arc<Archive>>,
        place: Option<Place>,
    ) -> Result<Round, RoundError> {
        let started = Instant::now();
        let archive = match archive {
            Some(archive) => archive,
            None => Arc::new(self.opened().await?),
        };
        let place = match place {
            Some(place) => place,
            None => match archive.last().await? {
                Some(found) => self.agreed(&found)?,
                None => archive.start(),
            },
        };
        let published = self.published.as_ref();
        let published = published.filter(|newest| newest.checkpoint.size() > place.size);
        let place = match published {
            Some(newest) => self.segment(&archive, place, newest).await?,
            None => place,
        };
        let is_behind = published.is_some_and(|newest| newest.checkpoint.size() > place.size);
        Ok(Round { archive, place, is_behind, took: started.elapsed() })
    }

    /// The archive, which is begun where there is none.
    async fn opened(&self) -> Result<Archive, RoundError> {
        let genesis = self.reader.genesis();
        let note = self.signed.attest(&genesis_statement(genesis));
        let note = note.ok_or(RoundError::Unsigned(0))?.encode();
        // Whoever is second finds the first one's.
        self.target.create(GENESIS, note.into_bytes()).await?;
        let keys = self.signed.known_keys().to_vec();
        let archive = Archive::open(self.target.clone(), keys).await?;
        match archive.genesis() == genesis {
            true => Ok(archive),
            false => Err(RoundError::OtherLedger),
        }
    }

    /// Behind a manifest, if the log has what it says.
    fn agreed(&self, found: &Found) -> Result<Place, RoundError> {
        let (size, root) = (found.manifest.to, found.manifest.root);
        // First this: a ledger that is not open for reads says that it has no entries.
        let row = self.reader.roots(size.saturating_sub(1), size, 1)?.pop();
        if size > self.reader.head().seq {
            return Err(RoundError::Ahead(size));
        }
        match row {
            Some(row) if row.seq == size && row.root == root => Ok(found.place()),
            _ => Err(RoundError::Fork(size)),
        }
    }

    async fn segment(
        &self,
        archive: &Archive,
        place: Place,
        newest: &Published,
    ) -> Result<Place, RoundError> {
        let groups = self.reader.groups(place.size, newest.checkpoint.size(), SEGMENT_BYTES)?;
        let size = groups.last().map_or(place.size, |last| last.size);
        let note = history::note_of(&self.reader, &self.signed, newest, size)?;
        let note = note.ok_or(RoundError::Unsigned(size))?.to_string();
        let draft = Draft::new(self.signed.origin(), &groups, place.previous, note)?;
        drop(groups);
        let manifest = self.signed.attest(&draft.statement());
        let manifest = manifest.ok_or(RoundError::Unsigned(size))?.encode();
        let digest: Hash = crate::backup::archive::sha256(manifest.as_bytes());
        let Draft { manifest: said, object } = draft;
        // Named by its digest: what is there already is the same.
        self.target.create(&said.segment, object).await?;
        match self.target.create(&manifest_name(said.from), manifest.into_bytes()).await? {
            Put::Made => Ok(Place { size: said.to, previous: digest }),
            // An answer was lost, or another node writes here.
            Put::Exists => match archive.after(place).await? {
                Some(found) => self.agreed(&found),
                None => Ok(place),
            },
        }
    }
}
