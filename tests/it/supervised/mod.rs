//! Our door and supervisor: names are the promises.

mod door;
mod ends;
mod lives;
mod places;

use std::{
    panic::panic_any,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use actix::prelude::*;
use ron_ledger::actors::{
    door::{Door, Refused, Seat, Seated},
    report::Observer,
    supervise::{self, End, Hooks, Policy, Spec, State, Supervision},
};
use tokio::sync::oneshot;

const QUICK: Policy = Policy {
    restarts: 3,
    window: Duration::from_secs(60),
    shortest: Duration::from_millis(5),
    longest: Duration::from_millis(20),
};

/// Stays down until it is stopped.
const DOWN: Policy =
    Policy { shortest: Duration::from_secs(60), longest: Duration::from_secs(60), ..QUICK };

/// Outlives the actor: what the test looks at, and the switches it sets.
#[derive(Clone, Default)]
struct World {
    handled: Arc<AtomicUsize>,
    lives: Arc<AtomicUsize>,
    resets: Arc<AtomicUsize>,
    timers: Arc<AtomicUsize>,
    fail_started: Arc<AtomicUsize>,
    fail_timer: Arc<AtomicBool>,
    fail_reset: Arc<AtomicBool>,
    fail_drop: Arc<AtomicBool>,
    stopping: Arc<AtomicUsize>,
    told: Told,
}

/// What the hooks were told.
#[derive(Clone, Default)]
struct Told {
    crashes: Arc<AtomicUsize>,
    restarts: Arc<AtomicUsize>,
    ends: Arc<AtomicUsize>,
}

impl Hooks for Told {
    fn on_crash(&self, actor: &'static str) {
        assert_eq!(actor, "worker");
        self.crashes.fetch_add(1, SeqCst);
    }
    fn on_restart(&self, _: &'static str) {
        self.restarts.fetch_add(1, SeqCst);
    }
    fn on_end(&self, _: &'static str, _: &End) {
        self.ends.fetch_add(1, SeqCst);
    }
}

fn take(count: &AtomicUsize) -> bool {
    count.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok()
}

struct Sums {
    sum: u64,
}

struct Worker {
    world: World,
    state: Option<Sums>,
}

impl Worker {
    fn build(world: &World) -> impl FnOnce() -> Worker + Send + 'static {
        let world = world.clone();
        move || Worker { world, state: None }
    }
}

impl Actor for Worker {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        self.world.lives.fetch_add(1, SeqCst);
        ctx.run_interval(Duration::from_millis(1), |act, _| {
            act.world.timers.fetch_add(1, SeqCst);
            assert!(!act.world.fail_timer.swap(false, SeqCst), "timer");
        });
        assert!(!take(&self.world.fail_started), "started");
        self.state = Some(Sums { sum: 0 });
    }
    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        self.world.stopping.fetch_add(1, SeqCst);
        Running::Stop
    }
}
impl Supervised for Worker {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.world.resets.fetch_add(1, SeqCst);
        assert!(!self.world.fail_reset.load(SeqCst), "restarting");
        self.state = None;
    }
}
impl Drop for Worker {
    fn drop(&mut self) {
        assert!(!self.world.fail_drop.load(SeqCst), "drop");
    }
}

enum Do {
    Add(u64, oneshot::Sender<u64>),
    Panic(oneshot::Sender<u64>),
    PanicLater(oneshot::Sender<u64>),
    Hold(oneshot::Sender<u64>),
    /// Gives its seat away, as a ticket that travels on does.
    Leave(oneshot::Sender<Seat>),
    Block(mpsc::Receiver<()>),
    Whoami(oneshot::Sender<Option<&'static str>>),
    Stop,
}

impl Handler<Seated<Do>> for Worker {
    type Result = ();
    fn handle(&mut self, Seated { msg, seat }: Seated<Do>, ctx: &mut Self::Context) {
        let state = self.state.as_mut().expect("started has recovered the state");
        self.world.handled.fetch_add(1, SeqCst);
        match msg {
            Do::Add(n, reply) => {
                state.sum += n;
                let _ = reply.send(state.sum);
            }
            Do::Panic(_reply) => panic!("handler"),
            Do::PanicLater(reply) => {
                let later = async move {
                    let _held = (reply, seat);
                    tokio::task::yield_now().await;
                    panic_any("future".to_owned());
                };
                ctx.spawn(later.into_actor(self));
            }
            Do::Hold(reply) => {
                let hold = async move {
                    let _held = (reply, seat);
                    std::future::pending::<()>().await;
                };
                ctx.spawn(hold.into_actor(self));
            }
            Do::Leave(taken) => _ = taken.send(seat),
            Do::Block(gate) => _ = gate.recv(),
            Do::Whoami(reply) => _ = reply.send(supervise::acting()),
            Do::Stop => ctx.stop(),
        }
    }
}

type Up = (Arbiter, Door<Worker>, Supervision);

fn up(world: &World, seats: u32, policy: Policy) -> Up {
    let arbiter = Arbiter::new();
    let spec = Spec { name: "worker", seats, policy, hooks: Arc::new(world.told.clone()) };
    let (door, care) = supervise::start(&arbiter.handle(), spec, Worker::build(world));
    (arbiter, door, care)
}

fn add(door: &Door<Worker>, n: u64) -> oneshot::Receiver<u64> {
    let (reply, answer) = oneshot::channel();
    assert!(door.offer(Do::Add(n, reply)).is_ok());
    answer
}

/// One that falls over; nobody waits for its answer.
fn fell(door: &Door<Worker>) {
    assert!(door.offer(Do::Panic(oneshot::channel().0)).is_ok());
}

/// Holds the actor's thread inside a handler until the sender is dropped.
fn block(door: &Door<Worker>) -> mpsc::Sender<()> {
    let (open, gate) = mpsc::channel();
    assert!(door.offer(Do::Block(gate)).is_ok());
    open
}

/// The text of the crash. For actors that stay [`DOWN`]: a short backoff may pass unseen.
async fn wait_down(care: &Supervision) -> String {
    let mut state = care.watch();
    let down = |state: &State| matches!(state, State::Down(_));
    let seen = state.wait_for(down).await.expect("the actor lives").clone();
    let State::Down(why) = seen else { unreachable!("it was waited for") };
    why
}

/// Waits for what must come to be, and says what when it does not.
async fn until(what: &str, is: impl Fn() -> bool) {
    for _ in 0..5_000 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never came to be: {what}");
}
