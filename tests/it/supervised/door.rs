//! The bound.

use super::*;

/// Ten offers through each of so many clones, on a thread: accepted, full, and the deepest seen.
fn offer_10_each(door: &Door<Worker>, clones: usize) -> thread::JoinHandle<(usize, usize, usize)> {
    let door = door.clone();
    thread::spawn(move || {
        let clones: Vec<_> = (0..clones).map(|_| door.clone()).collect();
        let (mut accepted, mut full, mut deepest) = (0, 0, 0);
        for door in (0..10).flat_map(|_| &clones) {
            match door.offer(Do::Add(1, oneshot::channel().0)) {
                Ok(()) => accepted += 1,
                Err(Refused::Full(_)) => full += 1,
                Err(Refused::Closed(_)) => unreachable!("nobody closes it"),
            }
            deepest = deepest.max(door.depth());
        }
        (accepted, full, deepest)
    })
}

#[actix::test]
async fn door_never_exceeds_seats_with_1000_clones() {
    const SEATS: usize = 64;
    let world = World::default();
    let (_arbiter, door, _care) = up(&world, SEATS as u32, QUICK);
    let storm =
        || [offer_10_each(&door, 500), offer_10_each(&door, 500)].map(|t| t.join().unwrap());
    let gate = block(&door);
    let sums = storm();
    let accepted = sums[0].0 + sums[1].0;
    assert_eq!(accepted, SEATS - 1, "one seat is in hand");
    assert_eq!(accepted + sums[0].1 + sums[1].1, 10_000);
    assert_eq!((door.depth(), door.capacity(), door.free()), (SEATS, SEATS, 0));

    drop(gate); // and now against a running actor
    let sums = storm();
    assert!(sums.iter().all(|&(_, _, deepest)| deepest <= SEATS));
    door.drain().await;
    assert_eq!(world.handled.load(SeqCst), 1 + accepted + sums[0].0 + sums[1].0);
}

/// The only producer: a seat seen free stays free until it takes it. With a mailbox of exactly
/// as many places as seats this fails.
#[actix::test]
async fn a_free_seat_is_never_refused() {
    let (_arbiter, door, _care) = up(&World::default(), 2, QUICK);
    let mut accepted = 0;
    while accepted < 100_000 {
        if door.free() > 0 {
            assert!(door.offer(Do::Add(1, oneshot::channel().0)).is_ok());
            accepted += 1;
        }
    }
}

#[actix::test]
async fn seat_returns_after_panic() {
    let (_arbiter, door, care) = up(&World::default(), 3, DOWN);
    let ((bystander, lost_beside), (in_hand, lost)) = (oneshot::channel(), oneshot::channel());
    let gate = block(&door);
    assert!(door.offer(Do::Hold(bystander)).is_ok());
    assert!(door.offer(Do::PanicLater(in_hand)).is_ok());
    assert!(matches!(door.offer(Do::Stop), Err(Refused::Full(Do::Stop))));
    drop(gate);
    // Callers learn of it and seats are free at once, not after the minute of backoff: the one
    // whose future panicked and the one whose future only lived in the same context.
    assert!(lost.await.is_err() && lost_beside.await.is_err());
    assert_eq!(wait_down(&care).await, "future");
    assert_eq!((door.depth(), door.free()), (0, 3));
    let _held = [add(&door, 1), add(&door, 1), add(&door, 1)];
    let refused = door.offer(Do::Stop);
    assert!(matches!(refused, Err(Refused::Full(_))), "the bound holds while down");
}

#[actix::test]
async fn blocking_handler_blocks_only_its_own_thread() {
    let world = World::default();
    let (_arbiter, door, _care) = up(&world, 3, QUICK);
    let (_other_arbiter, other, _other_care) = up(&world, 3, QUICK);
    let gate = block(&door);
    let (first, second) = (add(&door, 1), add(&door, 1));
    let refused = door.offer(Do::Stop);
    assert!(matches!(refused, Err(Refused::Full(_))), "at once: the gate is still shut");
    assert_eq!(add(&other, 3).await, Ok(3));
    drop(gate);
    assert_eq!((first.await, second.await), (Ok(1), Ok(2)));
}

/// Refills its own door from the handler, as a producer that never lets up would.
struct Saturated {
    door: Arc<std::sync::OnceLock<Door<Saturated>>>,
    left: usize,
    ticks: usize,
    done: Option<oneshot::Sender<usize>>,
}
struct Work;
impl Actor for Saturated {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(Duration::from_millis(1), |act, _| act.ticks += 1);
    }
}
impl Supervised for Saturated {}
impl Handler<Seated<Work>> for Saturated {
    type Result = ();
    fn handle(&mut self, work: Seated<Work>, _: &mut Self::Context) {
        thread::sleep(Duration::from_micros(100));
        drop(work);
        self.left = self.left.saturating_sub(1);
        match self.left {
            0 => _ = self.done.take().map(|done| done.send(self.ticks)),
            _ => assert!(self.door.get().unwrap().offer(Work).is_ok(), "a seat was just freed"),
        }
    }
}

/// Seats bound the queue, they do not feed timers: a door that is always full starves them.
#[actix::test]
async fn a_saturated_door_still_starves_timers() {
    let (done, finished) = oneshot::channel();
    let own = Arc::new(std::sync::OnceLock::new());
    let inside = Arc::clone(&own);
    let spec = Spec { name: "saturated", seats: 8, policy: QUICK, hooks: Arc::new(()) };
    let build = move || Saturated { door: inside, left: 1000, ticks: 0, done: Some(done) };
    let (door, _care) = supervise::start(&Arbiter::current(), spec, build);
    assert!(own.set(door.clone()).is_ok());
    while door.offer(Work).is_ok() {}
    assert_eq!(door.depth(), 8);
    assert_eq!(finished.await, Ok(0), "of 100 ticks and more");
}
