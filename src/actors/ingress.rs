//! Ingress: admits or refuses, and joins an identical request in flight to its twin.
//!
//! Owns: the twins in flight. Receives: [`Arrival`]. Sends: [`Admitted`] to the prevalidators. On a
//! crash: the request in hand is told that its outcome is unknown, the table of twins is forgotten,
//! which costs a second look-up and nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::door::{Door, Refused, Seated};
use super::limits::Limits;
use super::mode::ModeCell;
use super::prevalidator::Prevalidator;
use super::probe::{Point, Probe};
use super::refusal::{refuse_busy, refuse_rate, reject_of};
use super::supervise::MESSAGES_PER_TURN;
use super::ticket::{Admitted, Arrival, Reply, Waiters};
use crate::telemetry::{Metrics, Queue};

/// The first actor of the pipeline.
pub(super) struct Ingress {
    pub(super) deps: Deps,
    pub(super) twins: Twins,
    /// The prevalidator whose turn it is.
    pub(super) next: usize,
    pub(super) messages: u32,
}

pub(super) struct Deps {
    pub(super) mode: ModeCell,
    pub(super) pool: Vec<Door<Prevalidator>>,
    pub(super) limits: Arc<Limits>,
    pub(super) deadline: Duration,
    pub(super) metrics: Arc<Metrics>,
    pub(super) probe: Probe,
}

impl Actor for Ingress {
    type Context = Context<Self>;
}

impl Supervised for Ingress {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.twins = Twins::default();
    }
}

impl Handler<Seated<Arrival>> for Ingress {
    type Result = ();

    fn handle(&mut self, arrived: Seated<Arrival>, ctx: &mut Self::Context) {
        // Its neighbours on this thread (admin, breakers) must get their turn under any load.
        self.messages = self.messages.wrapping_add(1);
        if self.messages.is_multiple_of(MESSAGES_PER_TURN) {
            ctx.wait(tokio::task::yield_now().into_actor(self));
        }
        let Arrival { submission, sender, held, trace } = arrived.msg;
        let mut stage = trace.stage("ingress.handle");
        stage.set("ledger.batch_size", submission.entries.len() as i64);
        self.deps.probe.hit(Point::IngressHandle);
        if let Some(bar) = self.deps.mode.get().bar_to(submission.peer) {
            stage.fail("writes are barred");
            return Reply::new(sender, held, trace).refuse(reject_of(bar));
        }
        let fingerprint = submission.fingerprint;
        let (sender, held) = match self.twins.of(&fingerprint) {
            Some(twin) => match twin.join(sender, held) {
                Ok(()) => return stage.set("ledger.joined_twin", true),
                Err(back) => back,
            },
            None => (sender, held),
        };
        let reply = Reply::new(sender, held, trace);
        // After the twins: who joins one makes no work.
        if let Err(scope) = self.deps.limits.admit(submission.peer, Instant::now()) {
            stage.fail("above the rate");
            return refuse_rate(&self.deps.metrics, scope, reply);
        }
        let deadline = submission.received + self.deps.deadline;
        self.twins.insert(fingerprint, reply.waiters());
        self.hand_over(Admitted { submission, deadline, reply });
    }
}

impl Ingress {
    /// To the first prevalidator, as long as it keeps up: where it works on this thread no other has to wake
    /// up. Else to the next in turn, or to any that has room.
    fn hand_over(&mut self, mut admitted: Admitted) {
        let pool = &self.deps.pool;
        let keeps_up = pool.first().is_some_and(|first| first.depth() < MESSAGES_PER_TURN as usize);
        let from = if keeps_up { 0 } else { self.next };
        for turn in 0..pool.len() {
            match pool[(from + turn) % pool.len()].offer(admitted) {
                Ok(()) => {
                    self.next = (from + turn + 1) % pool.len();
                    return;
                }
                Err(Refused::Full(back) | Refused::Closed(back)) => admitted = back,
            }
        }
        refuse_busy(&self.deps.metrics, Queue::Preval, admitted.reply);
    }
}

/// Requests in flight by fingerprint. At most as many as the budget admits are alive; the dead are
/// swept out when the table has doubled.
#[derive(Default)]
pub(super) struct Twins {
    table: HashMap<[u8; 32], Weak<Waiters>>,
    sweep_at: usize,
}

impl Twins {
    fn of(&self, fingerprint: &[u8; 32]) -> Option<Arc<Waiters>> {
        self.table.get(fingerprint)?.upgrade()
    }

    fn insert(&mut self, fingerprint: [u8; 32], waiters: Weak<Waiters>) {
        if self.table.len() >= self.sweep_at {
            self.table.retain(|_, waiters| waiters.strong_count() > 0);
            self.sweep_at = self.table.len() * 2 + 64;
        }
        self.table.insert(fingerprint, waiters);
    }
}
