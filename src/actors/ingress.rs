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
use super::mode::{Bar, ModeCell};
use super::prevalidator::Prevalidator;
use super::probe::{Point, Probe};
use super::ticket::{Admitted, Arrival, Reply, Waiters};
use crate::ledger::reason::{Reason, Reject};
use crate::telemetry::{Metrics, Queue};

/// The first actor of the pipeline.
pub(super) struct Ingress {
    pub(super) deps: Deps,
    pub(super) twins: Twins,
    pub(super) next: usize,
}

pub(super) struct Deps {
    pub(super) mode: ModeCell,
    pub(super) pool: Vec<Door<Prevalidator>>,
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

    fn handle(&mut self, arrived: Seated<Arrival>, _: &mut Self::Context) {
        let Arrival { submission, sender, held } = arrived.msg;
        self.deps.probe.hit(Point::IngressHandle);
        if let Some(bar) = self.deps.mode.get().bar() {
            return Reply::new(sender, held).refuse(reject_of(bar));
        }
        let fingerprint = submission.fingerprint;
        let (sender, held) = match self.twins.of(&fingerprint) {
            Some(twin) => match twin.join(sender, held) {
                Ok(()) => return,
                Err(back) => back,
            },
            None => (sender, held),
        };
        let deadline = submission.received + self.deps.deadline;
        let reply = Reply::new(sender, held);
        self.twins.insert(fingerprint, reply.waiters());
        self.hand_over(Admitted { submission, deadline, reply });
    }
}

impl Ingress {
    /// To the next prevalidator in turn, or to any that has room.
    fn hand_over(&mut self, mut admitted: Admitted) {
        let pool = &self.deps.pool;
        for turn in 0..pool.len() {
            match pool[(self.next + turn) % pool.len()].offer(admitted) {
                Ok(()) => {
                    self.next = (self.next + turn + 1) % pool.len();
                    return;
                }
                Err(Refused::Full(back) | Refused::Closed(back)) => admitted = back,
            }
        }
        refuse_busy(&self.deps.metrics, Queue::Preval, admitted.reply);
    }
}

/// The answer of a full queue.
pub(super) fn refuse_busy(metrics: &Metrics, queue: Queue, reply: Reply) {
    metrics.busy_rejections.of(queue).inc();
    reply.refuse(busy());
}

pub(super) fn busy() -> Reject {
    Reject::new(Reason::Busy, "the ledger has as much work as it can hold; try again soon")
}

/// Why writes are barred, as their clients are told.
pub(super) fn reject_of(bar: Bar) -> Reject {
    match bar {
        Bar::Draining => Reject::new(Reason::Draining, "the service is shutting down"),
        Bar::Maintenance => Reject::new(Reason::Maintenance, "the service is in maintenance"),
        Bar::Frozen => Reject::new(Reason::Frozen, "an operator has frozen writes"),
        Bar::Safe(why) => Reject::new(
            Reason::SafeMode,
            format!("writes are refused, reads go on; safe-mode: {}", why.as_str()),
        ),
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

/// When a ticket's time is over, it is not worth more work.
pub(super) fn is_late(deadline: Instant) -> bool {
    Instant::now() >= deadline
}

/// The refusal of a ticket that nobody waits for any longer.
pub(super) fn timeout() -> Reject {
    Reject::new(Reason::Timeout, "the deadline passed before the request was committed")
}
