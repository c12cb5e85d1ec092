//! What restarting and stopping leave behind.

use super::*;

/// Two timers per life: the first is cancelled by the handler that stops, the second tells that
/// the first would have fired.
#[derive(Clone, Default)]
struct Fired {
    first: Arc<AtomicUsize>,
    second: Arc<AtomicUsize>,
}
struct Cancels {
    first: Option<SpawnHandle>,
    fired: Fired,
}
impl Actor for Cancels {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        let fire = |count: fn(&Fired) -> &AtomicUsize| {
            move |act: &mut Self, _: &mut Self::Context| _ = count(&act.fired).fetch_add(1, SeqCst)
        };
        self.first = Some(ctx.run_later(Duration::from_millis(5), fire(|fired| &fired.first)));
        ctx.run_later(Duration::from_millis(10), fire(|fired| &fired.second));
    }
}
impl Supervised for Cancels {}
impl Handler<Stop> for Cancels {
    type Result = ();
    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.cancel_future(self.first.unwrap());
        ctx.stop();
    }
}

#[actix::test]
async fn cancel_before_restart_hits_a_timer_of_the_next_life() {
    let fired = Fired::default();
    let inside = fired.clone();
    let addr = Supervisor::start(move |_| Cancels { first: None, fired: inside });
    addr.send(Stop).await.unwrap();
    until("the later timer fired", || fired.second.load(SeqCst) == 1).await;
    assert_eq!(fired.first.load(SeqCst), 0, "started() armed it anew, and it never fires");
}

/// `ContextFut::drop` runs `started` when the restarted context was never polled.
#[actix::test]
async fn dropping_a_restarted_context_calls_started_unless_terminated() {
    for (terminate, expected) in [(false, 2), (true, 1)] {
        let seen = Seen::default();
        let ctx = Context::new();
        let addr = ctx.address();
        let mut fut = ctx.into_future(Probe(seen.clone()));
        addr.do_send(Boom);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            std::pin::Pin::new(&mut fut).poll(&mut cx)
        }));
        assert!(caught.is_err() && fut.restart());
        if terminate {
            fut.ctx().terminate();
        }
        drop(fut);
        assert_eq!(seen.started.load(SeqCst), expected);
        assert!(!addr.connected());
    }
}

/// Stops in `started` as often as it is told.
struct Flighty(usize, Arc<AtomicUsize>);
impl Actor for Flighty {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        if self.1.fetch_add(1, SeqCst) < self.0 {
            ctx.stop();
        }
    }
}
impl Supervised for Flighty {}

#[actix::test]
async fn stock_supervisor_spins_when_started_stops() {
    let starts = Arc::new(AtomicUsize::new(0));
    let inside = starts.clone();
    let _addr = Supervisor::start(move |_| Flighty(100_000, inside));
    tokio::task::yield_now().await; // one turn of the runtime: all of it is one single poll
    assert_eq!(starts.load(SeqCst), 100_001);
}

struct Asks;
impl Message for Asks {
    type Result = ();
}
impl Handler<Asks> for Probe {
    type Result = ResponseFuture<()>;
    fn handle(&mut self, _: Asks, _: &mut Self::Context) -> Self::Result {
        Box::pin(async { panic!("detached") })
    }
}

#[actix::test]
async fn panic_in_response_future_is_seen_by_the_caller_only() {
    let (addr, seen) = supervised();
    assert_eq!(addr.send(Asks).await, Err(MailboxError::Closed));
    assert_eq!(addr.send(Hit).await, Ok(()));
    assert_eq!((seen.started.load(SeqCst), seen.restarting.load(SeqCst)), (1, 0));
}

struct Park;
impl Message for Park {
    type Result = ();
}
impl Handler<Park> for Probe {
    type Result = ();
    fn handle(&mut self, _: Park, ctx: &mut Self::Context) {
        ctx.wait(std::future::pending().into_actor(self));
    }
}

#[actix::test]
async fn arbiter_survives_a_factory_panic_and_stop_drops_the_queue() {
    let arbiter = Arbiter::new();
    let never = Probe::start_in_arbiter(&arbiter.handle(), |_| panic!("factory"));
    assert_eq!(never.send(Hit).await, Err(MailboxError::Closed));
    let seen = Seen::default();
    let inside = seen.clone();
    let addr = Probe::start_in_arbiter(&arbiter.handle(), move |_| Probe(inside));
    assert_eq!(addr.send(Hit).await, Ok(()), "the thread lives");
    addr.do_send(Park); // busy in a future, so its mailbox waits
    let queued = addr.send(Hit);
    arbiter.stop();
    assert_eq!(queued.await, Err(MailboxError::Closed));
    assert_eq!(seen.hits.load(SeqCst), 1);
}
