//! Committer: the one writer, a synchronous actor alone on its thread.
//!
//! Owns: the right to write. Receives: [`Group`], [`Settle`]. Sends: the durable head to the root
//! publisher, the answers to those who wait. On a crash: the tickets in hand are told that the
//! outcome is unknown; the next life recovers as at a start, and the ledger is in safe-mode
//! `committer_crashed` until that is cleared. Groups that waited are refused, not applied.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::clock::Clock;
use super::door::{Door, Seated};
use super::ingress::{busy, is_late, reject_of, timeout};
use super::mode::{Bar, Event, Fault, ModeCell};
use super::prevalidator::unix_ms;
use super::probe::{Point, Probe};
use super::publisher::{HeadCell, Look, RootPublisher};
use super::signed::SignedNotes;
use super::ticket::{Answer, Group, Sequenced};
use crate::ledger::plan::{self, Outcome, Plan};
use crate::ledger::reason::{Reason, Reject};
use crate::ledger::request::Request;
use crate::storage::engine::{CommitError, NoRoom, Resource, StoreError};
use crate::storage::store::{Lease, RecoverError, Store};
use crate::storage::writer::{Prepared, Writer};
use crate::telemetry::Metrics;

/// How long a group waits for derived data to catch up before it is refused.
const ROOM_WAIT: Duration = Duration::from_secs(1);

/// How often holds that are due are looked for while nothing is ingested.
const EXPIRY_TICK: Duration = Duration::from_secs(1);

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
    pub(super) mode: ModeCell,
    pub(super) expire_max: usize,
    pub(super) wall_step_max: Duration,
    pub(super) clock_suspect: Arc<AtomicBool>,
    pub(super) auto_clear: bool,
    pub(super) metrics: Arc<Metrics>,
    pub(super) probe: Probe,
}

pub(super) struct State {
    writer: Writer,
    clock: Clock,
    // After the writer: fields drop in order, and the next lease starts when the writer is gone.
    _lease: Lease,
}

/// Flush derived data until the deadline, for a quick next start.
pub(super) struct Settle {
    pub(super) deadline: Instant,
    pub(super) done: oneshot::Sender<bool>,
}

impl Actor for Committer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.deps.probe.hit(Point::CommitterStarted);
        self.recover();
        ctx.run_interval(EXPIRY_TICK, |committer, _| committer.commit(Vec::new()));
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
        late.into_iter().for_each(|ticket| ticket.checked.reply.refuse(timeout()));
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

impl Committer {
    /// The one way back, at a start and after a crash: see `storage::store`.
    fn recover(&mut self) {
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
                self.state = Some(State { writer, clock, _lease: lease });
                self.note(Event::RecoveredClean);
                if self.deps.auto_clear {
                    // Refused unless a crash is what stands; then there is nothing to clear.
                    let _ = self.deps.mode.apply(Event::CrashAutoCleared);
                }
                tracing::info!(head = head.get().seq, root = %head.get().root, "committer=online");
                self.publish(head);
            }
            Err(error) => {
                tracing::error!(%error, "the store is not opened for writes");
                if let RecoverError::Gap { .. } = error {
                    self.deps.metrics.seq_gap_detected.inc();
                }
                self.note(Event::RecoveryFailed(fault_of(&error)));
            }
        }
    }

    /// A group, from its reads to its answers.
    fn commit(&mut self, tickets: Vec<Sequenced>) {
        if let Some(why) = self.deps.mode.get().safe_reason() {
            return refuse_all(tickets, &reject_of(Bar::Safe(why)));
        }
        let started = Instant::now();
        self.deps.probe.hit(Point::CommitBeforePlan);
        // A crash up to the write leaves no trace: nothing has changed.
        let (mut prepared, tickets) = match self.prepare(tickets) {
            Ok(prepared) => prepared,
            Err((reject, tickets)) => return refuse_all(tickets, &reject),
        };
        if !prepared.is_empty() {
            self.deps.probe.hit(Point::CommitBeforeWrite);
            let Some(state) = &mut self.state else { return };
            // The commit point. A crash inside leaves the whole group in the log, or nothing of it.
            let written = match state.writer.write(&mut prepared) {
                Ok(written) => written,
                Err(error) => return self.not_written(&error, tickets),
            };
            self.deps.probe.hit(Point::CommitAfterWrite);
            // A crash from here on loses answers and nothing else: recovery finds the group.
            let outcomes = std::mem::take(&mut prepared.plan.outcomes);
            count(&self.deps.metrics, &prepared.plan);
            self.deps.probe.hit(Point::CommitBeforeApply);
            let head = state.writer.apply(prepared, written);
            self.deps.metrics.head_seq.set(head.get().seq as i64);
            self.deps.metrics.committer_batch_latency.observe(started.elapsed().as_secs_f64());
            self.deps.probe.hit(Point::CommitBeforeReply);
            self.answer(tickets, outcomes);
            self.publish(head);
        } else {
            self.answer(tickets, prepared.plan.outcomes);
        }
    }

    fn prepare(
        &self,
        tickets: Vec<Sequenced>,
    ) -> Result<(Prepared, Vec<Sequenced>), (Reject, Vec<Sequenced>)> {
        let Some(state) = &self.state else {
            let details = "the ledger is not open for writes";
            return Err((Reject::new(Reason::SafeMode, details), tickets));
        };
        let entries: usize = tickets.iter().map(|ticket| ticket.checked.request.items.len()).sum();
        let room = state.writer.make_room(entries as u64, Instant::now() + ROOM_WAIT);
        if let Err(error) = room {
            return Err((no_room(&error), tickets));
        }
        let wall = unix_ms();
        let may_expire =
            state.clock.is_steady(wall, Instant::now()) && !self.deps.mode.get().is_frozen();
        let requests: Vec<&Request> =
            tickets.iter().map(|ticket| &ticket.checked.request).collect();
        let group = plan::Group {
            requests: &requests,
            now: state.writer.next_time(wall),
            expire_max: if may_expire { self.deps.expire_max } else { 0 },
        };
        match state.writer.prepare(&group) {
            Ok(prepared) => Ok((prepared, tickets)),
            Err(error) => {
                tracing::error!(%error, "the store cannot be read");
                self.note(Event::FaultFound(Fault::HeadMismatch));
                Err((Reject::new(Reason::SafeMode, "the store cannot be read"), tickets))
            }
        }
    }

    fn not_written(&self, error: &CommitError, tickets: Vec<Sequenced>) {
        tracing::error!(%error, "commit error");
        let reject = match error {
            CommitError::NotWritten(error) => no_room(error),
            CommitError::Unknown(_) => {
                self.deps.metrics.wal_fsync_fail.inc();
                self.note(Event::WriteUnknown);
                let details = "the write failed and may have happened: retry with the same ids";
                Reject::new(Reason::OutcomeUnknown, details)
            }
        };
        refuse_all(tickets, &reject);
    }

    fn answer(&self, tickets: Vec<Sequenced>, outcomes: Vec<Vec<Outcome>>) {
        let head = self.deps.store.reader().head();
        for (ticket, outcomes) in tickets.into_iter().zip(outcomes) {
            let latency = ticket.checked.received.elapsed().as_secs_f64();
            self.deps.metrics.commit_latency.observe(latency);
            let answer = Answer::Done { outcomes, root: head.root, root_size: head.seq };
            ticket.checked.reply.send(answer);
        }
    }

    /// The cell holds the newest head; the message only says that there is one, so that a full door
    /// loses nothing.
    fn publish(&self, head: crate::storage::writer::Durable<crate::storage::Head>) {
        self.deps.newest.store(Some(Arc::new(head)));
        drop(self.deps.publisher.offer(Look));
    }

    fn note(&self, event: Event) {
        if let Err(error) = self.deps.mode.apply(event) {
            tracing::error!(%error, "the mode did not take an event");
        }
    }
}

fn count(metrics: &Metrics, plan: &Plan) {
    metrics.commits.inc();
    metrics.entries_committed.inc_by(plan.entries_count() as u64);
}

fn refuse_all(tickets: Vec<Sequenced>, reject: &Reject) {
    for ticket in tickets {
        ticket.checked.reply.refuse(reject.clone());
    }
}

fn no_room(error: &StoreError) -> Reject {
    match error {
        StoreError::NoRoom(NoRoom { resource: Resource::Memory, .. }) => {
            Reject::new(Reason::Capacity, "the memory bound of this ledger is reached")
        }
        StoreError::NoRoom(NoRoom { resource: Resource::Disk, .. }) => {
            Reject::new(Reason::DiskPressure, "the store's file system is nearly full")
        }
        StoreError::NoRoom(NoRoom { resource: Resource::DerivedLag, .. }) => busy(),
        _ => Reject::new(Reason::Internal, "the group was not written; nothing has changed"),
    }
}

fn fault_of(error: &RecoverError) -> Fault {
    match error {
        RecoverError::RollBack { .. } => Fault::RollBack,
        RecoverError::Gap { .. } => Fault::Gap,
        _ => Fault::HeadMismatch,
    }
}
