//! RootPublisher: signs the newest durable root, makes the note durable, and only then shows it.
//!
//! Owns: the signed notes. Receives: [`Look`]; the head itself lies in a cell, so that older ones
//! coalesce. [`Finish`] comes last. Publishes: the checkpoint. On a crash: the last note is read back,
//! made durable again, shown, and held against the log; it never signs a smaller tree, nor another root
//! of the same size.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use arc_swap::ArcSwapOption;

use super::door::Seated;
use super::mode::{Checker, Event, Fault, ModeCell};
use super::prevalidator::unix_ms;
use super::probe::{Point, Probe};
use super::signed::{SignedError, SignedNotes};
use super::unpublished::Unpublished;
use crate::accumulator::Checkpoint;
use crate::storage::Head;
use crate::storage::reader::Reader;
use crate::storage::writer::Durable;
use crate::telemetry::Metrics;

/// A failed write of the note is tried again after this.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The newest durable head, put there by the committer.
pub(super) type HeadCell = Arc<ArcSwapOption<Durable<Head>>>;

/// What readers are shown.
#[derive(Clone, Debug)]
pub struct Published {
    /// Origin, size and root.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: Arc<str>,
    /// When it was published, in ms.
    pub time: u64,
}

/// There is a newer head in the cell.
pub(super) struct Look;

/// Nothing newer will come: sign what there is, however short the time since the last.
pub(super) struct Finish;

pub(super) struct RootPublisher {
    pub(super) deps: Deps,
    pub(super) state: State,
}

pub(super) struct Deps {
    pub(super) signed: Arc<SignedNotes>,
    pub(super) newest: HeadCell,
    pub(super) unpublished: Unpublished,
    pub(super) published: Arc<ArcSwapOption<Published>>,
    pub(super) reader: Reader,
    pub(super) mode: ModeCell,
    pub(super) min_interval: Duration,
    pub(super) metrics: Arc<Metrics>,
    pub(super) probe: Probe,
}

#[derive(Default)]
pub(super) struct State {
    /// The last checkpoint was held against the log in this life.
    is_checked: bool,
    /// The note that was found was made durable in this life, and shown.
    is_restored: bool,
    last: Option<Checkpoint>,
    /// The last note has other signatures than it would get now: the log's keys have changed.
    is_outdated: bool,
    /// Nothing is signed before this, save at the end.
    not_before: Option<Instant>,
    is_scheduled: bool,
}

impl Actor for RootPublisher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.deps.probe.hit(Point::PublisherStarted);
        // Tried again, and told, when there is something to sign.
        let _ = self.restore();
        // At a start there is no head yet: the check waits for the committer's first one.
        if self.deps.newest.load().is_some() {
            self.publish_when_due(ctx);
        }
    }
}

impl Supervised for RootPublisher {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.state = State::default();
    }
}

impl Handler<Seated<Look>> for RootPublisher {
    type Result = ();

    fn handle(&mut self, _: Seated<Look>, ctx: &mut Self::Context) {
        self.deps.probe.hit(Point::PublisherHandle);
        self.publish_when_due(ctx);
    }
}

impl Handler<Seated<Finish>> for RootPublisher {
    type Result = ();

    fn handle(&mut self, _: Seated<Finish>, ctx: &mut Self::Context) {
        // Without a head nothing was recovered, and there is nothing to be checked against.
        if self.deps.newest.load().is_some() && self.check() && self.restored(ctx) {
            self.publish(ctx);
        }
    }
}

impl RootPublisher {
    /// The time is looked at for each message and not by the timer alone, which a mailbox that is
    /// never empty would starve.
    fn publish_when_due(&mut self, ctx: &mut Context<Self>) {
        if !self.check() || !self.restored(ctx) {
            return;
        }
        let now = Instant::now();
        match self.state.not_before {
            Some(at) if at > now => self.schedule(at - now, ctx),
            _ => self.publish(ctx),
        }
    }

    fn schedule(&mut self, wait: Duration, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.state.is_scheduled, true) {
            return;
        }
        ctx.run_later(wait, |publisher, ctx| {
            publisher.deps.probe.hit(Point::PublisherTimer);
            publisher.state.is_scheduled = false;
            publisher.publish_when_due(ctx);
        });
    }

    /// Once in a life: shows the note that the one before left. That one may have ended, or failed,
    /// between the note's new name and the fsync of the name: who is shown it now must find it after
    /// a loss of power too.
    fn restore(&mut self) -> Result<(), SignedError> {
        if self.state.is_restored {
            return Ok(());
        }
        if let Some((checkpoint, note)) = self.deps.signed.last()? {
            self.deps.signed.keep(&note)?;
            self.show(checkpoint, &note);
        }
        self.state.is_restored = true;
        Ok(())
    }

    /// As [`Self::restore`], tried again later when it fails. Writes do not wait for it.
    fn restored(&mut self, ctx: &mut Context<Self>) -> bool {
        let outcome = self.restore();
        if let Err(error) = &outcome {
            tracing::error!(%error, "the last signed checkpoint is not shown");
            self.schedule(RETRY_PAUSE, ctx);
        }
        outcome.is_ok()
    }

    /// Once in a life, before anything is signed: the log has the root that was signed last.
    fn check(&mut self) -> bool {
        if self.state.is_checked {
            return true;
        }
        self.note(Event::CheckStarted(Checker::Publisher));
        match self.deps.signed.last() {
            Ok(last)
                if last.as_ref().is_none_or(|(last, _)| self.log_has(last))
                    && self.deps.signed.at_least().is_none_or(|least| self.log_has(least)) =>
            {
                self.state.is_outdated = last
                    .as_ref()
                    .is_some_and(|(last, note)| self.signed(last).is_some_and(|now| now != *note));
                self.state.last = last.map(|(last, _)| last);
                self.state.is_checked = true;
                self.note(Event::CheckPassed(Checker::Publisher));
            }
            _ => self.note(Event::CheckFailed(Checker::Publisher, Fault::HeadMismatch)),
        }
        self.state.is_checked
    }

    fn log_has(&self, last: &Checkpoint) -> bool {
        if last.size() == 0 {
            return true;
        }
        match self.deps.reader.roots(last.size() - 1, last.size(), 1) {
            Ok(rows) => rows.iter().any(|row| row.seq == last.size() && row.root == last.root()),
            Err(_) => false,
        }
    }

    fn publish(&mut self, ctx: &mut Context<Self>) {
        let Some(head) = self.deps.newest.load_full() else { return };
        let head = head.get();
        let Some(checkpoint) = self.next(&head) else { return };
        let mut stages = self.deps.unpublished.publish(head.seq);
        stages.set("ledger.root_size", head.seq as i64);
        self.deps.probe.hit(Point::PublisherBeforeSign);
        let Some(note) = self.signed(&checkpoint) else { return };
        self.deps.probe.hit(Point::PublisherBeforeDurable);
        // A crash from here to the end of `keep` leaves the old note or the new one, never a mix.
        let kept = self.deps.signed.keep(&note);
        let pause = if kept.is_ok() { self.deps.min_interval } else { RETRY_PAUSE };
        self.state.not_before = Some(Instant::now() + pause);
        if let Err(error) = kept {
            stages.fail("the signed checkpoint could not be kept");
            tracing::error!(%error, size = head.seq, "the signed checkpoint could not be kept");
            return self.schedule(pause, ctx);
        }
        self.deps.probe.hit(Point::PublisherAfterDurable);
        self.state.last = Some(checkpoint.clone());
        self.state.is_outdated = false;
        self.show(checkpoint, &note);
        self.deps.metrics.roots_published.inc();
    }

    /// What is to be signed of this head: nothing smaller than what was signed last, and of the same
    /// size only what was signed last, by the keys of now.
    fn next(&self, head: &Head) -> Option<Checkpoint> {
        if let Some(last) = self.state.last.as_ref().filter(|last| head.seq <= last.size()) {
            let again = head.seq == last.size() && self.state.is_outdated;
            return again.then(|| last.clone());
        }
        let checkpoint = Checkpoint::new(self.deps.signed.origin(), head.seq, head.root);
        checkpoint.inspect_err(|error| tracing::error!(%error, "nothing can be signed")).ok()
    }

    fn signed(&self, checkpoint: &Checkpoint) -> Option<String> {
        Some(self.deps.signed.sign(checkpoint)?.encode())
    }

    /// Of what is durable.
    fn show(&self, checkpoint: Checkpoint, note: &str) {
        self.deps.metrics.published_size.set(checkpoint.size() as i64);
        let published = Published { checkpoint, note: note.into(), time: unix_ms() };
        self.deps.published.store(Some(Arc::new(published)));
    }

    fn note(&self, event: Event) {
        if let Err(error) = self.deps.mode.apply(event) {
            tracing::error!(%error, "the mode did not take an event");
        }
    }
}
