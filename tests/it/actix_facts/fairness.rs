//! Who gets the thread.

use super::*;

/// Sends itself the next message from the handler, so its mailbox is never empty.
struct Busy {
    left: usize,
    breathe: bool,
    ticks: Arc<AtomicUsize>,
    done: Option<tokio::sync::oneshot::Sender<usize>>,
}
impl Actor for Busy {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        let tick = |act: &mut Self, _: &mut Self::Context| _ = act.ticks.fetch_add(1, SeqCst);
        ctx.run_interval(Duration::from_millis(1), tick);
        ctx.address().do_send(Hit);
    }
}
impl Handler<Hit> for Busy {
    type Result = ();
    fn handle(&mut self, _: Hit, ctx: &mut Self::Context) {
        thread::sleep(Duration::from_micros(50));
        self.left -= 1;
        if self.left == 0 {
            self.done.take().unwrap().send(self.ticks.load(SeqCst)).unwrap();
            return;
        }
        ctx.address().do_send(Hit);
        if self.breathe && self.left.is_multiple_of(64) {
            ctx.wait(tokio::task::yield_now().into_actor(self));
        }
    }
}

/// Ticks of its own timer and of a neighbour's in at least 50 ms of work.
async fn ticks_while_busy(breathe: bool) -> (usize, usize) {
    let (done, finished) = tokio::sync::oneshot::channel();
    let neighbour = Arc::new(AtomicUsize::new(0));
    let beats = neighbour.clone();
    let beat = actix::spawn(async move {
        loop {
            sleep(Duration::from_millis(1)).await;
            beats.fetch_add(1, SeqCst);
        }
    });
    Busy { left: 1000, breathe, ticks: Arc::default(), done: Some(done) }.start();
    let ticks = finished.await.unwrap();
    beat.abort();
    (ticks, neighbour.load(SeqCst))
}

#[actix::test]
async fn busy_mailbox_starves_timers() {
    assert_eq!(ticks_while_busy(false).await, (0, 0));
}

/// The cure: an occasional `ctx.wait(yield_now())` lets timers and neighbours run. Each of the 15
/// yields comes after 3 ms of work, when both are due.
#[actix::test]
async fn waiting_for_a_yield_feeds_timers_and_neighbours() {
    let (own, neighbour) = ticks_while_busy(true).await;
    assert!(own >= 5 && neighbour >= 5, "{own} {neighbour}");
}
