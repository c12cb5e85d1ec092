//! Keeps an actor's address and queue over a panic, which `actix::Supervisor` does not.
//!
//! Lives follow one another in one `ContextFut`. A life ends by a panic anywhere in its poll
//! (`started`, handler, timer, future of the context) or by `ctx.stop()`. Then, in this order:
//!   1. `restart()`: the futures of the dead life are dropped, so their seats, replies and locks
//!      are free at once and not after the wait; `Supervised::restarting` forgets the state;
//!   2. the crash is counted; too many in the window end supervision with [`End::Spent`];
//!   3. the backoff passes, messages wait in the mailbox;
//!   4. the next poll calls `started()`, the same as at boot: that is where recovery belongs.
//!
//! `docs/CONCURRENCY.md` has the rules that make an actor fit for this.

use std::{
    any::Any,
    cell::Cell,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix::dev::channel::{AddressReceiver, channel};
use actix::{dev::ContextFut, prelude::*};
use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use super::door::{Door, Gate, Progress};

/// An actor whose mailbox may never be empty yields after so many messages: actix would otherwise
/// drain it before it looks at the actor's own futures and timers, and at its neighbours.
pub(super) const MESSAGES_PER_TURN: u32 = 64;

/// The longest part of a panic's text that is kept, in bytes.
const WHY_BYTES_MAX: usize = 256;

/// How many crashes are answered by another life, and after what wait.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Crashes within `window` that are still answered by a restart.
    pub restarts: usize,
    /// How long a crash counts.
    pub window: Duration,
    /// Wait after the first crash of a window; doubles with each further one up to `longest`.
    /// Up to a quarter is added by chance, so that two actors felled by one fault part company.
    pub shortest: Duration,
    /// The wait is never longer than this and its quarter.
    pub longest: Duration,
}

impl Default for Policy {
    /// Five in a minute, after 50 ms to 5 s.
    fn default() -> Self {
        Policy {
            restarts: 5,
            window: Duration::from_secs(60),
            shortest: Duration::from_millis(50),
            longest: Duration::from_secs(5),
        }
    }
}

impl Policy {
    /// The wait after so many crashes; `chance` is in 0..1.
    fn backoff(&self, crashes: usize, chance: f64) -> Duration {
        let factor = 1 << crashes.saturating_sub(1).min(20);
        let wait = self.shortest.saturating_mul(factor).min(self.longest);
        wait.saturating_add((wait / 4).mul_f64(chance))
    }
}

/// Where an actor stands between its lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Until the first poll has returned, `started()` included.
    Starting,
    /// Takes messages.
    Up,
    /// Between two lives; the text is the panic's.
    Down(String),
    /// No life will follow.
    Ended(End),
}

impl State {
    /// A fixed word for each state, for reports.
    pub fn as_str(&self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Up => "up",
            State::Down(_) => "down",
            State::Ended(_) => "ended",
        }
    }
}

/// Why no life will follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// [`Supervision::stop`] was called.
    Asked,
    /// Crashed too often, or while being built or reset. The process must exit non-zero.
    Spent(String),
    /// The arbiter's thread went away under the actor.
    Lost,
}

impl End {
    /// What the process exits with: 0 if asked to, else 70 (`EX_SOFTWARE` of sysexits), so that
    /// systemd starts it anew.
    pub fn exit_code(&self) -> u8 {
        match self {
            End::Asked => 0,
            End::Spent(_) | End::Lost => 70,
        }
    }
}

/// Told of what happens to actors, at once and on the actor's thread: for metrics and for the
/// ledger's mode. Must be quick and must not panic.
pub trait Hooks: Send + Sync {
    /// A life ended by a panic or by `ctx.stop()`; its state is not reset yet.
    fn on_crash(&self, _actor: &'static str) {}
    /// The wait is over; the next life begins now.
    fn on_restart(&self, _actor: &'static str) {}
    /// No life will follow.
    fn on_end(&self, _actor: &'static str, _end: &End) {}
}

/// Tells nobody.
impl Hooks for () {}

/// What an actor is started with.
#[derive(Clone)]
pub struct Spec {
    /// Names the actor in logs, metrics and reports.
    pub name: &'static str,
    /// Messages that it may have accepted and not finished; above 0.
    pub seats: u32,
    /// When it is restarted.
    pub policy: Policy,
    /// Who is told.
    pub hooks: Arc<dyn Hooks>,
}

/// What the owner keeps. Clones speak of the same actor; dropping them changes nothing for it.
#[derive(Clone)]
pub struct Supervision {
    gate: Arc<Gate>,
    state: watch::Receiver<State>,
    restarts: Arc<AtomicU64>,
    stop: Arc<Notify>,
}

impl Supervision {
    /// The actor's name.
    pub fn name(&self) -> &'static str {
        self.gate.name()
    }

    /// Where the actor stands now.
    pub fn state(&self) -> State {
        // Looked at first: once the sender is gone nothing can change the state any more.
        let gone = self.state.has_changed().is_err();
        match self.state.borrow().clone() {
            State::Starting | State::Up | State::Down(_) if gone => State::Ended(End::Lost),
            state => state,
        }
    }

    /// Every change of the state. The sender is gone once the actor has ended or is lost.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Lives begun after the first one.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// As [`Door::depth`].
    pub fn depth(&self) -> usize {
        self.gate.depth()
    }

    /// As [`Door::capacity`].
    pub fn capacity(&self) -> usize {
        self.gate.capacity()
    }

    /// As [`Door::progress`].
    pub fn progress(&self) -> &Progress {
        self.gate.progress()
    }

    /// Ends the actor between two polls, also during a backoff. What is still queued is dropped:
    /// call [`Door::drain`] first.
    pub fn stop(&self) {
        self.stop.notify_one();
    }

    /// Waits for the end. The mailbox is closed by then.
    pub async fn ended(&self) -> End {
        let mut state = self.state.clone();
        let ended = |at: &State| matches!(at, State::Ended(_));
        match state.wait_for(ended).await.as_deref() {
            Ok(State::Ended(end)) => end.clone(),
            _ => End::Lost,
        }
    }
}

/// What can be supervised: an actor in an ordinary context that knows how to forget.
pub trait Lasting: Supervised + Actor<Context = Context<Self>> {}
impl<A: Supervised + Actor<Context = Context<A>>> Lasting for A {}

/// Starts an actor on the arbiter's thread. A handler may block if that thread is its own.
///
/// # Panics
/// When `spec.seats` is 0.
pub fn start<A: Lasting>(
    arbiter: &ArbiterHandle,
    spec: Spec,
    build: impl FnOnce() -> A + Send + 'static,
) -> (Door<A>, Supervision) {
    let gate = Gate::new(spec.name, spec.seats);
    // Our own channel: `start_in_arbiter` would have capacity 16 until the actor's thread runs.
    let (tx, rx) = channel(gate.mailbox_capacity());
    let (publish, state) = watch::channel(State::Starting);
    let (stop, restarts) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(0)));
    let keeper = Keeper {
        spec,
        gate: Arc::clone(&gate),
        stop: Arc::clone(&stop),
        restarts: Arc::clone(&restarts),
        publish,
    };
    // A dead arbiter drops this closure: the mailbox closes and `ended` says Lost.
    arbiter.spawn_fn(move || {
        actix::spawn(keeper.keep(build, rx));
    });
    (Door::new(Addr::new(tx), Arc::clone(&gate)), Supervision { gate, state, restarts, stop })
}

/// The actor whose code runs on this thread right now: for the process's panic hook.
pub fn acting() -> Option<&'static str> {
    ACTING.get()
}

thread_local! {
    static ACTING: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Runs a part of the actor under its name, which is taken back also when unwinding.
fn as_actor<T>(name: &'static str, part: impl FnOnce() -> T) -> T {
    struct Reset(Option<&'static str>);
    impl Drop for Reset {
        fn drop(&mut self) {
            ACTING.set(self.0);
        }
    }
    let _reset = Reset(ACTING.replace(Some(name)));
    part()
}

/// As [`as_actor`], and what a panic said.
fn caught<T>(name: &'static str, part: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(|| as_actor(name, part))).map_err(|panic| text(&*panic))
}

/// `ContextFut` polls once more while it is dropped and then calls `started`, `stopping` and
/// `stopped` of an actor that may be broken; a panic there, while unwinding, aborts the process.
/// After `terminate` its drop is only a drop. It must not be polled after that.
struct Lives<A: Lasting>(ContextFut<A, Context<A>>);

impl<A: Lasting> Drop for Lives<A> {
    fn drop(&mut self) {
        self.0.ctx().terminate();
    }
}

/// The supervising task's own part.
struct Keeper {
    spec: Spec,
    gate: Arc<Gate>,
    stop: Arc<Notify>,
    restarts: Arc<AtomicU64>,
    publish: watch::Sender<State>,
}

/// Also when the arbiter went away: nobody may wait for a place at a dead actor's door.
impl Drop for Keeper {
    fn drop(&mut self) {
        self.gate.close();
    }
}

impl Keeper {
    async fn keep<A: Lasting>(self, build: impl FnOnce() -> A, rx: AddressReceiver<A>) {
        let actor = self.spec.name;
        let end = self.lives(build, rx).await;
        match &end {
            End::Asked => tracing::info!(actor, "actor stopped"),
            End::Spent(_) | End::Lost => tracing::error!(actor, "actor will not be restarted"),
        }
        self.spec.hooks.on_end(actor, &end);
        self.publish.send_replace(State::Ended(end)); // last: by now the mailbox is closed
    }

    async fn lives<A: Lasting>(&self, build: impl FnOnce() -> A, rx: AddressReceiver<A>) -> End {
        let Spec { name, policy, ref hooks, .. } = self.spec;
        let mut lives = match caught(name, build) {
            Ok(actor) => Lives(Context::with_receiver(rx).into_future(actor)),
            Err(why) => return End::Spent(why),
        };
        // Without an address anywhere `restart` refuses and what is queued would be lost. So an
        // actor ends by `stop` or by a spent budget, never because the last door went.
        let _held = lives.0.address();
        let mut crashes = Vec::new();
        let end = loop {
            // Caught at the poll and not per handler: this covers all of a life, and only the
            // message in hand is dropped while unwinding.
            let life = AssertUnwindSafe(self.live(&mut lives)).catch_unwind();
            let why = tokio::select! {
                biased;
                () = self.stop.notified() => break End::Asked,
                died = life => died.map_or_else(|panic| text(&*panic), |()| "ctx.stop()".to_owned()),
            };
            hooks.on_crash(name);
            // `restarting` only forgets. If even that fails, nothing in memory can be trusted.
            if let Err(why) = caught(name, || lives.0.restart()) {
                break End::Spent(why);
            }
            let now = Instant::now();
            crashes.push(now);
            crashes.retain(|&at| now - at <= policy.window);
            if crashes.len() > policy.restarts {
                break End::Spent(why);
            }
            let wait = policy.backoff(crashes.len(), rand::random());
            // Not the panic's text: it may quote what the actor had in hand.
            let (crashes, wait_ms) = (crashes.len(), wait.as_millis() as u64);
            tracing::error!(actor = name, crashes, wait_ms, "actor crashed, will be restarted");
            self.publish.send_replace(State::Down(why));
            tokio::select! {
                biased;
                () = self.stop.notified() => break End::Asked,
                () = sleep(wait) => {}
            }
            self.restarts.fetch_add(1, Ordering::Relaxed);
            hooks.on_restart(name);
        };
        // Drops actor and mailbox. An actor whose Drop panics must not lose the end.
        let _ = caught(name, || drop(lives));
        end
    }

    /// One life, polled to its end. Up is said after the first poll, so never for a failing
    /// `started`.
    async fn live<A: Lasting>(&self, lives: &mut Lives<A>) {
        let mut polled = false;
        poll_fn(|cx| {
            let poll = as_actor(self.spec.name, || lives.0.poll_unpin(cx));
            if poll.is_pending() && !std::mem::replace(&mut polled, true) {
                self.publish.send_replace(State::Up);
            }
            poll
        })
        .await;
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    let whole = match panic.downcast_ref::<&str>() {
        Some(literal) => literal,
        None => panic.downcast_ref().map_or("", String::as_str),
    };
    let ends = whole.char_indices().map(|(at, char)| at + char.len_utf8());
    let cut = ends.take_while(|&end| end <= WHY_BYTES_MAX).last().unwrap_or(0);
    whole[..cut].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_the_longest_and_adds_a_quarter_at_most() {
        let ms = Duration::from_millis;
        let policy = Policy { shortest: ms(50), longest: ms(400), ..Policy::default() };
        let waits = |chance| [1, 2, 3, 4, 5, usize::MAX].map(|n| policy.backoff(n, chance));
        assert_eq!(waits(0.0), [50, 100, 200, 400, 400, 400].map(ms));
        assert_eq!(
            waits(1.0),
            [62_500, 125_000, 250_000, 500_000, 500_000, 500_000].map(Duration::from_micros)
        );
    }

    #[test]
    fn the_text_of_a_panic_is_bounded() {
        let long = "\u{e9}".repeat(WHY_BYTES_MAX);
        assert_eq!(text(&long).len(), WHY_BYTES_MAX);
        let odd = format!("x{long}");
        assert_eq!(text(&odd).len(), WHY_BYTES_MAX - 1, "cut between characters");
        assert_eq!(text(&"literal"), "literal");
        assert_eq!(text(&7), "");
    }

    #[test]
    fn the_acting_name_is_taken_back_when_unwinding() {
        assert_eq!(acting(), None);
        let said = caught("outer", || {
            assert!(caught("inner", || assert_eq!(acting(), None)).is_err());
            acting()
        });
        assert_eq!(said, Ok(Some("outer")));
        assert_eq!(acting(), None);
    }
}
