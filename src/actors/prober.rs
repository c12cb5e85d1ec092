//! Prober: asks each remote upstream a question of its own, so that breakers close, and idle nodes learn
//! that a service is away, without waiting for a client.
//!
//! Owns: when each was last asked. Receives: nothing. Asks: a breaker that is half-open at once, a closed
//! one when its time has come, one question at a time for each. Without it a node that is not ready,
//! and so gets no requests, would never try again. On a crash: the questions in hand are given up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::authority;
use super::breaker::{Phase, Target};
use super::probe::{Point, Probe};
use super::upstreams::Remote;
use crate::upstream::entries::{self, Bearing, answer_bytes_max};

/// Between two looks at the breakers.
const LOOK: Duration = Duration::from_millis(100);

pub(super) struct Prober {
    pub(super) deps: Deps,
    /// Of each remote: since when its last question is out or over, and whether it is out.
    pub(super) asked: Vec<(Instant, bool)>,
}

#[derive(Clone)]
pub(super) struct Deps {
    pub(super) remotes: Vec<Arc<Remote>>,
    /// Between two questions to a service whose breaker is closed.
    pub(super) interval: Duration,
    /// Within which a question is answered.
    pub(super) deadline: Duration,
    pub(super) probe: Probe,
}

impl Actor for Prober {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.deps.probe.hit(Point::ProberStarted);
        self.asked = vec![(Instant::now(), false); self.deps.remotes.len()];
        ctx.run_interval(LOOK.min(self.deps.interval), |prober, ctx| {
            prober.deps.probe.hit(Point::ProberTimer);
            prober.look(ctx);
        });
    }
}

impl Supervised for Prober {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.asked.clear();
    }
}

impl Prober {
    fn look(&mut self, ctx: &mut Context<Self>) {
        for at in 0..self.deps.remotes.len() {
            let (since, is_out) = self.asked[at];
            let is_due = match self.deps.remotes[at].phase() {
                Phase::Open => false,
                Phase::HalfOpen => true,
                Phase::Closed => since.elapsed() >= self.deps.interval,
            };
            if is_out || !is_due {
                continue;
            }
            self.asked[at] = (Instant::now(), true);
            let remote = Arc::clone(&self.deps.remotes[at]);
            let deadline = Instant::now() + self.deps.deadline;
            let question = async move { question(&remote, deadline).await };
            ctx.spawn(question.into_actor(self).map(move |(), prober, _| {
                prober.asked[at] = (Instant::now(), false);
            }));
        }
    }
}

/// A question that changes nothing: about no token, or about no entries. How it went is the breaker's
/// to hear.
async fn question(remote: &Remote, deadline: Instant) {
    let read = match remote.target() {
        Target::Kms => return drop(authority::ask(remote, "", deadline).await),
        Target::Policy => entries::guards_answer,
        Target::Wallet => entries::wallets_answer,
    };
    let bearing = Bearing { kid: "", capability: "", atomic: false };
    let question = entries::question(&bearing, &[]);
    let read = |answer: &[u8]| read(&[], answer);
    drop(remote.ask(&question, answer_bytes_max(0), deadline, read).await);
}
