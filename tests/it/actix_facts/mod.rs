//! What actix 0.13.5 does, pinned: names are the claims. They fail if an upgrade changes the ground.
//! Most run on one thread: as long as the test does not await, the actor cannot take a message.

mod fairness;
mod mailbox;
mod panics;
mod restarts;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use actix::{dev::SendError, prelude::*};
use futures_util::{future::join_all, poll};
use tokio::time::sleep;

struct Hit;
impl Message for Hit {
    type Result = ();
}
struct Stop;
impl Message for Stop {
    type Result = ();
}
struct Boom;
impl Message for Boom {
    type Result = ();
}

#[derive(Clone, Default)]
struct Seen {
    hits: Arc<AtomicUsize>,
    started: Arc<AtomicUsize>,
    restarting: Arc<AtomicUsize>,
    stopped_unwinding: Arc<AtomicBool>,
}

/// Set in a child process that is to panic in `stopped` as well.
const SECOND_PANIC: &str = "RON_LEDGER_TEST_SECOND_PANIC";

struct Probe(Seen);
impl Actor for Probe {
    type Context = Context<Self>;
    fn started(&mut self, _: &mut Self::Context) {
        self.0.started.fetch_add(1, SeqCst);
    }
    fn stopped(&mut self, _: &mut Self::Context) {
        self.0.stopped_unwinding.store(thread::panicking(), SeqCst);
        assert!(std::env::var_os(SECOND_PANIC).is_none(), "second panic");
    }
}
impl Supervised for Probe {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.0.restarting.fetch_add(1, SeqCst);
    }
}
impl Handler<Hit> for Probe {
    type Result = ();
    fn handle(&mut self, _: Hit, _: &mut Self::Context) {
        self.0.hits.fetch_add(1, SeqCst);
    }
}
impl Handler<Stop> for Probe {
    type Result = ();
    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
impl Handler<Boom> for Probe {
    type Result = ();
    fn handle(&mut self, _: Boom, _: &mut Self::Context) {
        panic!("boom");
    }
}

fn probe(capacity: usize) -> (Addr<Probe>, Seen) {
    let seen = Seen::default();
    let inside = seen.clone();
    let addr = Probe::create(move |ctx| {
        ctx.set_mailbox_capacity(capacity);
        Probe(inside)
    });
    (addr, seen)
}

fn supervised() -> (Addr<Probe>, Seen) {
    let seen = Seen::default();
    let inside = seen.clone();
    (Supervisor::start(move |_| Probe(inside)), seen)
}

/// Returns when everything queued before has been handled: the mailbox is first in, first out.
async fn settle(addr: &Addr<Probe>) {
    let before = addr.send(Hit);
    assert_eq!(before.await, Ok(()));
}

/// Waits for what must come to be, and says what when it does not.
async fn until(what: &str, is: impl Fn() -> bool) {
    for _ in 0..5_000 {
        if is() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("never came to be: {what}");
}
