//! Sequencer: the only place where order is made.
//!
//! Owns: what has arrived and is not handed over. Receives: [`Checked`]. Sends: [`Group`] to the
//! committer, whenever it has a place free: so a group grows while the committer is busy, and waits
//! for nothing when it is not. On a crash: what it held is told that the outcome is unknown; nothing
//! of it was handed over. The seat of a request is held from here until the request is durable, so
//! that the depth of this door counts all that is sequenced and not durable.

use std::collections::VecDeque;
use std::sync::Arc;

use actix::prelude::*;

use super::ages::Ages;
use super::committer::Committer;
use super::door::{Door, Place, Refused, Seated};
use super::mode::{Checker, Event, Fault, ModeCell};
use super::probe::{Point, Probe};
use super::supervise::MESSAGES_PER_TURN;
use super::ticket::{Checked, Group, Sequenced};
use crate::storage::reader::Reader;
use crate::telemetry::Metrics;

/// One for each ledger.
pub(super) struct Sequencer {
    pub(super) deps: Deps,
    pub(super) state: State,
}

pub(super) struct Deps {
    pub(super) committer: Door<Committer>,
    pub(super) mode: ModeCell,
    pub(super) reader: Reader,
    pub(super) entries_max: usize,
    pub(super) bytes_max: usize,
    pub(super) ages: Ages,
    pub(super) metrics: Arc<Metrics>,
    pub(super) probe: Probe,
}

#[derive(Default)]
pub(super) struct State {
    /// Drained in this turn, not yet ordered.
    arrived: Vec<Sequenced>,
    /// In order, not yet handed over.
    ordered: VecDeque<Sequenced>,
    /// Whether a place at the committer is being waited for.
    is_waiting: bool,
    messages: u32,
}

impl Actor for Sequencer {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.deps.probe.hit(Point::SequencerStarted);
        let checks = self.deps.mode.apply(Event::CheckStarted(Checker::Sequencer));
        let verdict = match self.head_is_in_the_log() {
            true => Event::CheckPassed(Checker::Sequencer),
            false => Event::CheckFailed(Checker::Sequencer, Fault::HeadMismatch),
        };
        if let Err(error) = checks.and_then(|_| self.deps.mode.apply(verdict)) {
            tracing::error!(%error, "the sequencer's check could not be noted");
        }
    }
}

impl Supervised for Sequencer {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.state = State::default();
    }
}

impl Handler<Seated<Checked>> for Sequencer {
    type Result = ();

    fn handle(&mut self, message: Seated<Checked>, ctx: &mut Self::Context) {
        self.deps.probe.hit(Point::SequencerHandle);
        message.seat.progress().bump();
        let age = self.deps.ages.enter(message.msg.received);
        let assigning = message.msg.reply.trace().stage("sequencer.assign");
        let ticket = Sequenced { checked: message.msg, _seat: message.seat, _age: age, assigning };
        self.state.arrived.push(ticket);
        self.wait_for_place(ctx);
        // The mailbox would otherwise be drained before the future that waits is looked at.
        self.state.messages = self.state.messages.wrapping_add(1);
        if self.state.messages.is_multiple_of(MESSAGES_PER_TURN) {
            ctx.wait(tokio::task::yield_now().into_actor(self));
        }
    }
}

impl Sequencer {
    fn wait_for_place(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.state.is_waiting, true) {
            return;
        }
        let committer = self.deps.committer.clone();
        let place = async move { committer.reserve().await };
        ctx.spawn(place.into_actor(self).map(|place, sequencer, ctx| {
            sequencer.state.is_waiting = false;
            match place {
                Some(place) => sequencer.close_group(place, ctx),
                // The committer is gone for good; so is the process, soon.
                None => sequencer.state = State::default(),
            }
        }));
    }

    fn close_group(&mut self, place: Place<Committer>, ctx: &mut Context<Self>) {
        self.deps.probe.hit(Point::SequencerClose);
        self.state.order();
        let mut tickets = self.state.take(self.deps.entries_max, self.deps.bytes_max);
        if tickets.is_empty() {
            return;
        }
        let entries: usize = tickets.iter().map(|t| t.checked.request.items.len()).sum();
        self.deps.metrics.sequencer_batch_size.observe(entries as f64);
        for ticket in &mut tickets {
            let mut assigned = std::mem::take(&mut ticket.assigning);
            assigned.set("ledger.batch_size", entries as i64);
        }
        if let Err(Refused::Full(group) | Refused::Closed(group)) = place.offer(Group { tickets }) {
            drop(group);
        }
        if !self.state.ordered.is_empty() {
            self.wait_for_place(ctx);
        }
    }

    /// After a crash: the log's last root is the one that readers are shown.
    fn head_is_in_the_log(&self) -> bool {
        let head = self.deps.reader.head();
        let Some(before) = head.seq.checked_sub(1) else { return true };
        match self.deps.reader.roots(before, head.seq, 1) {
            Ok(rows) => rows.iter().any(|row| row.seq == head.seq && row.root == head.root),
            Err(_) => false,
        }
    }
}

impl State {
    /// Requests of one turn by (first ts, first id); earlier turns go first.
    fn order(&mut self) {
        self.arrived.sort_by_key(|ticket| {
            ticket.checked.request.items.first().map(|item| (item.entry.ts, item.entry.id))
        });
        self.ordered.extend(self.arrived.drain(..));
    }

    /// The next group: as many requests as fit both bounds, and at least one; so a request that is
    /// larger than a bound goes alone.
    fn take(&mut self, entries_max: usize, bytes_max: usize) -> Vec<Sequenced> {
        let (mut entries, mut bytes, mut count) = (0usize, 0usize, 0);
        for ticket in &self.ordered {
            entries = entries.saturating_add(ticket.checked.request.items.len());
            bytes = bytes.saturating_add(ticket.checked.bytes);
            if count > 0 && (entries > entries_max || bytes > bytes_max) {
                break;
            }
            count += 1;
        }
        self.ordered.drain(..count).collect()
    }
}
