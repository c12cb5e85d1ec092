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
use super::disk::{Disk, Pressure};
use super::door::{Door, Seated};
use super::mode::{Bar, Checker, Event, Fault, IllegalMove, Mode, ModeCell, SafeReason, WayOut};
use super::prevalidator::unix_ms;
use super::probe::{Point, Probe};
use super::publisher::{HeadCell, Look, RootPublisher};
use super::refusal::{disk_pressure, is_late, not_written, refuse_all, reject_of, timeout};
use super::signed::SignedNotes;
use super::ticket::{Answer, Group, Sequenced};
use super::unpublished::Unpublished;
use crate::ledger::plan::{self, Outcome, Plan};
use crate::ledger::reason::{Reason, Reject};
use crate::ledger::request::Request;
use crate::storage::engine::{CommitError, Durability};
use crate::storage::error::ReadError;
use crate::storage::store::{Lease, RecoverError, Store};
use crate::storage::writer::{Prepared, Writer};
use crate::telemetry::{Metrics, Stages};

/// How long a group waits for derived data to catch up before it is refused.
const ROOM_WAIT: Duration = Duration::from_secs(1);

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
    writer: Writer,
    clock: Clock,
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

    /// A group, from its reads to its answers.
    fn commit(&mut self, tickets: Vec<Sequenced>) {
        self.look_for_gap();
        if let Some(why) = self.deps.mode.get().safe_reason() {
            return refuse_all(tickets, &reject_of(Bar::Safe(why)));
        }
        let (started, mut append) = (Instant::now(), stages_of(&tickets, "commit.append"));
        self.deps.probe.hit(Point::CommitBeforePlan);
        // A crash up to the write leaves no trace: nothing has changed.
        let mut prepared = match self.prepare(&tickets) {
            Ok(prepared) => prepared,
            Err(error) => return self.unreadable(tickets, &error),
        };
        if prepared.is_empty() {
            return self.answer(tickets, prepared.plan.outcomes);
        }
        let Some(state) = &mut self.state else { return };
        // Only now: what was durable before needs no room to be told again.
        let entries = prepared.plan.entries_count() as u64;
        let first_seq = prepared.plan.first_seq;
        tell(&mut append, first_seq, entries);
        if self.deps.disk.pressure() == Pressure::Refusing {
            return self.refuse_new(tickets, prepared.plan, &disk_pressure());
        }
        if let Err(error) = state.writer.make_room(entries, Instant::now() + ROOM_WAIT) {
            return self.refuse_new(tickets, prepared.plan, &not_written(&error));
        }
        self.deps.probe.hit(Point::CommitBeforeWrite);
        drop(append);
        let mut fsync = stages_of(&tickets, "commit.fsync");
        tell(&mut fsync, first_seq, entries);
        // The commit point. A crash inside leaves the whole group in the log, or nothing of it.
        let written = match state.writer.write(&mut prepared) {
            Ok(written) => written,
            Err(error) => {
                fsync.fail("commit error");
                let reject = self.failed(&error);
                return self.refuse_new(tickets, prepared.plan, &reject);
            }
        };
        drop(fsync);
        self.deps.probe.hit(Point::CommitAfterWrite);
        // A crash from here on loses answers and nothing else: recovery finds the group.
        let outcomes = std::mem::take(&mut prepared.plan.outcomes);
        self.deps.metrics.commits.inc();
        self.deps.metrics.entries_committed.inc_by(entries);
        self.deps.probe.hit(Point::CommitBeforeApply);
        let head = state.writer.apply(prepared, written);
        self.deps.metrics.head_seq.set(head.get().seq as i64);
        self.deps.metrics.never_seen_filter_bytes.set(state.writer.filter_bytes() as i64);
        self.measured(started.elapsed(), &tickets);
        self.deps.unpublished.add(head.get().seq, tickets.iter().map(Sequenced::trace));
        self.deps.probe.hit(Point::CommitBeforeReply);
        self.answer(tickets, outcomes);
        self.publish(head);
    }

    /// The trace of any sampled request of the group leads to all of it.
    fn measured(&self, took: Duration, tickets: &[Sequenced]) {
        let trace = tickets.iter().map(Sequenced::trace).find(|trace| trace.is_sampled());
        let latency = &self.deps.metrics.committer_batch_latency;
        match trace {
            Some(trace) => latency.observe_in(took.as_secs_f64(), trace),
            None => latency.observe(took.as_secs_f64()),
        }
    }

    fn prepare(&mut self, tickets: &[Sequenced]) -> Result<Prepared, ReadError> {
        let Some(state) = &mut self.state else { return Err(ReadError::NotOpen) };
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
        state.writer.prepare(&group)
    }

    /// Nothing was decided and nothing has changed. What is wrong with derived data alone a recovery
    /// mends, which those who wait need not wait for.
    fn unreadable(&mut self, tickets: Vec<Sequenced>, error: &ReadError) {
        tracing::error!(%error, "the store cannot be read");
        let is_mended = error.is_of_derived_data();
        if let ReadError::Missing(_) = error {
            self.look_for_gap();
        } else if !is_mended {
            self.note(Event::FaultFound(Fault::HeadMismatch));
        }
        refuse_all(tickets, &Reject::new(Reason::SafeMode, "the store cannot be read"));
        if is_mended {
            self.state = None;
            self.recover();
        }
    }

    /// Whoever found that an entry is missing, this or any reader: nothing is written after that.
    fn look_for_gap(&mut self) {
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

    /// What a failed write means for those who wait, and for the ledger.
    fn failed(&self, error: &CommitError) -> Reject {
        tracing::error!(%error, "commit error");
        match error {
            CommitError::NotWritten(error) => not_written(error),
            CommitError::Unknown(_) => {
                self.deps.metrics.wal_fsync_fail.inc();
                self.note(Event::WriteUnknown);
                let details = "the write failed and may have happened: retry with the same ids";
                Reject::new(Reason::OutcomeUnknown, details)
            }
        }
    }

    /// Nothing new was written. What was durable before is told all the same; all else of the plan
    /// rests on entries that are not there, and is refused.
    fn refuse_new(&self, tickets: Vec<Sequenced>, plan: Plan, reject: &Reject) {
        let is_old =
            |outcome: &Outcome| matches!(outcome, Outcome::Replayed(seq) if *seq < plan.first_seq);
        for (ticket, mut outcomes) in tickets.into_iter().zip(plan.outcomes) {
            if outcomes.iter().any(is_old) {
                let new = outcomes.iter_mut().filter(|outcome| !is_old(outcome));
                new.for_each(|outcome| *outcome = Outcome::Rejected(reject.clone()));
                self.answer(vec![ticket], vec![outcomes]);
            } else {
                ticket.settle().reply.refuse(reject.clone());
            }
        }
    }

    fn answer(&self, tickets: Vec<Sequenced>, outcomes: Vec<Vec<Outcome>>) {
        let head = self.deps.store.reader().head();
        for (ticket, outcomes) in tickets.into_iter().zip(outcomes) {
            let checked = ticket.settle();
            let latency = checked.received.elapsed().as_secs_f64();
            self.deps.metrics.commit_latency.observe_in(latency, checked.reply.trace());
            let answer = Answer::Done { outcomes, root: head.root, root_size: head.seq };
            checked.reply.send(answer);
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

fn stages_of(tickets: &[Sequenced], name: &'static str) -> Stages {
    Stages::begin(tickets.iter().map(Sequenced::trace), name)
}

/// Which group it was.
fn tell(stages: &mut Stages, first_seq: u64, entries: u64) {
    stages.set("ledger.seq", first_seq as i64);
    stages.set("ledger.batch_size", entries as i64);
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
