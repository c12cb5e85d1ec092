//! Committer: the one writer, a synchronous actor alone on its thread.
//!
//! Owns: the right to write. Receives: [`Group`], [`Settle`], [`Clear`]. Sends: the durable head to the
//! root publisher, the answers to those who wait. On a crash: the tickets in hand are told that the
//! outcome is unknown; the next life recovers as at a start, and the ledger is in safe-mode
//! `committer_crashed` until that is cleared. Groups that waited are refused, not applied.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::clock::Clock;
use super::disk::Disk;
use super::door::{Door, Seated};
use super::mode::{Checker, Event, Fault, IllegalMove, Mode, ModeCell, SafeReason, WayOut};
use super::prevalidator::unix_ms;
use super::probe::{Point, Probe};
use super::publisher::{HeadCell, RootPublisher};
use super::refusal::{is_late, refuse_all, timeout};
use super::signed::SignedNotes;
use super::ticket::Group;
use super::unpublished::Unpublished;
use crate::storage::engine::Durability;
use crate::storage::store::{Lease, RecoverError, Store};
use crate::storage::writer::Writer;
use crate::telemetry::Metrics;

/// How often the disk is looked at, and holds that are due while nothing is ingested.
const TICK: Duration = Duration::from_secs(1);

/// One for each ledger.
pub(super) struct Committer {
    pub(super) deps: Deps,
    pub(super) state: Option<State>,
}

pub(super) struct Deps {
    pub(super) store: Arc<Store>,
    pub(super) signed: Arc<SignedNotes>,
    pub(super) publisher: Door<RootPublisher>,
    pub(super) newest: HeadCell,
    pub(super) unpublished: Unpublished,
    pub(super) mode: ModeCell,
    pub(super) expire_max: usize,
    pub(super) wall_step_max: Duration,
    pub(super) clock_suspect: Arc<AtomicBool>,
    pub(super) auto_clear: bool,
    pub(super) disk: Disk,
    pub(super) metrics: Arc<Metrics>,
    pub(super) probe: Probe,
}

pub(super) struct State {
    pub(super) writer: Writer,
    pub(super) clock: Clock,
    /// A missing entry was found in this life, and told.
    gap_told: bool,
    // After the writer: fields drop in order, and the next lease starts when the writer is gone.
    _lease: Lease,
}

/// Flush derived data until the deadline, for a quick next start.
pub(super) struct Settle {
    pub(super) deadline: Instant,
    pub(super) done: oneshot::Sender<bool>,
}

/// An operator wants safe-mode cleared. Comes by this door and not by the mode alone, since what must
/// be verified first is verified here.
pub(super) struct Clear {
    pub(super) has_verified: bool,
    pub(super) done: oneshot::Sender<Result<Mode, IllegalMove>>,
}

impl Actor for Committer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.deps.probe.hit(Point::CommitterStarted);
        self.recover();
        self.look_at_disk();
        ctx.run_interval(TICK, |committer, _| {
            committer.deps.probe.hit(Point::CommitterTick);
            committer.look_at_disk();
            committer.commit(Vec::new());
            if let Some(state) = &mut committer.state {
                state.writer.flush_when_full();
            }
        });
    }
}

impl Supervised for Committer {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.state = None;
    }
}

impl Handler<Seated<Group>> for Committer {
    type Result = ();

    fn handle(&mut self, group: Seated<Group>, _: &mut Self::Context) {
        let (late, tickets): (Vec<_>, Vec<_>) =
            group.msg.tickets.into_iter().partition(|ticket| is_late(ticket.checked.deadline));
        refuse_all(late, &timeout());
        if !tickets.is_empty() {
            self.commit(tickets);
        }
    }
}

impl Handler<Seated<Settle>> for Committer {
    type Result = ();

    fn handle(&mut self, settle: Seated<Settle>, _: &mut Self::Context) {
        let Settle { deadline, done } = settle.msg;
        let settled = self.state.as_mut().is_some_and(|state| state.writer.settle(deadline));
        // Whoever asked may have stopped waiting.
        let _ = done.send(settled);
    }
}

impl Handler<Seated<Clear>> for Committer {
    type Result = ();

    fn handle(&mut self, clear: Seated<Clear>, _: &mut Self::Context) {
        // What no verification can clear is told before anything is done.
        let possible = self.deps.mode.get().after(Event::OperatorClear { verified: true });
        let outcome = possible.and_then(|_| {
            let in_doubt = |why: &SafeReason| why.is_of_integrity() && !clear.msg.has_verified;
            if let Some(why) = self.deps.mode.get().reasons().find(in_doubt) {
                return Err(IllegalMove::NeedsWord(why));
            }
            let verified = self.verify();
            self.deps.mode.apply(Event::OperatorClear { verified })
        });
        tracing::info!(legal = outcome.is_ok(), "safe-mode clear");
        let _ = clear.msg.done.send(outcome);
    }
}

impl Committer {
    /// Recovers once more where a reason stands that only a verification ends.
    fn verify(&mut self) -> bool {
        if self.deps.mode.get().reasons().any(|why| why.way_out() == WayOut::VerifiedClear) {
            self.state = None;
            self.recover();
        }
        self.state.is_some()
    }

    /// The one way back, at a start and after a crash: see `storage::store`.
    pub(super) fn recover(&mut self) {
        self.note(Event::RecoveryStarted);
        let anchor = match self.deps.signed.anchor() {
            Ok(anchor) => anchor,
            Err(error) => {
                tracing::error!(%error, "the last signed checkpoint cannot be trusted");
                return self.note(Event::RecoveryFailed(Fault::HeadMismatch));
            }
        };
        match self.deps.store.writer(anchor.as_ref()) {
            Ok((writer, lease)) => {
                let (suspect, step) =
                    (Arc::clone(&self.deps.clock_suspect), self.deps.wall_step_max);
                let clock = Clock::new(unix_ms(), Instant::now(), step, suspect);
                let head = writer.head();
                self.deps.metrics.never_seen_filter_bytes.set(writer.filter_bytes() as i64);
                self.state = Some(State { writer, clock, gap_told: false, _lease: lease });
                if self.deps.newest.load().is_none() {
                    // The first head is what the publisher waits for with its own check. Its reason
                    // stands before this one leaves: the ledger is not ready in between.
                    self.note(Event::CheckStarted(Checker::Publisher));
                }
                self.note(Event::RecoveredClean);
                let crashed = |why| why == SafeReason::CommitterCrashed;
                if self.deps.auto_clear && self.deps.mode.get().reasons().any(crashed) {
                    self.note(Event::CrashAutoCleared);
                }
                tracing::info!(head = head.get().seq, root = %head.get().root, "committer=online");
                self.publish(head);
            }
            // `recovering` stands until the process has ended.
            Err(RecoverError::Stopped) => tracing::info!("the recovery was stopped"),
            Err(error) => {
                tracing::error!(%error, "the store is not opened for writes");
                if error.is_gap() {
                    self.deps.metrics.seq_gap_detected.inc();
                }
                event_of(&error).into_iter().for_each(|event| self.note(event));
            }
        }
    }

    /// Whoever found that an entry is missing, this or any reader: nothing is written after that.
    pub(super) fn look_for_gap(&mut self) {
        let Some(state) = &mut self.state else { return };
        let Some(missing) = self.deps.store.reader().missing() else { return };
        if std::mem::replace(&mut state.gap_told, true) {
            return;
        }
        tracing::error!(missing, "the log has no entry {missing}: writes are frozen");
        self.deps.metrics.seq_gap_detected.inc();
        self.note(Event::FaultFound(Fault::Gap));
    }

    /// A ledger in memory has its own bound.
    fn look_at_disk(&self) {
        let reader = self.deps.store.reader();
        if reader.durability() == Durability::Memory {
            return;
        }
        match reader.usage() {
            Ok(usage) => self.deps.disk.look(&usage),
            Err(error) => tracing::error!(%error, "the disk's usage cannot be told"),
        }
    }

    pub(super) fn note(&self, event: Event) {
        if let Err(error) = self.deps.mode.apply(event) {
            tracing::error!(%error, "the mode did not take an event");
        }
    }
}

/// What a recovery that has failed means for the mode.
pub(super) fn event_of(error: &RecoverError) -> Option<Event> {
    match error {
        // `recovering` stands until the process has ended.
        RecoverError::Stopped => None,
        // Nothing is wrong with what was read. What is known of the disk is not enough to go on, and an
        // engine that has failed writes no more: `recovering` stands until the process has restarted.
        RecoverError::Tail(_) => Some(Event::WriteUnknown),
        _ => Some(Event::RecoveryFailed(fault_of(error))),
    }
}

fn fault_of(error: &RecoverError) -> Fault {
    match error {
        RecoverError::RollBack { .. } => Fault::RollBack,
        error if error.is_gap() => Fault::Gap,
        _ => Fault::HeadMismatch,
    }
}
