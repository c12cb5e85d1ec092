//! What a crash takes and what it leaves.

use super::*;

/// Each way to fail, with messages queued behind the failing one.
async fn survives(kind: &str, fail: impl FnOnce(&World, &Door<Worker>)) {
    let world = World::default();
    let (_arbiter, door, care) = up(&world, 16, QUICK);
    assert_eq!(add(&door, 1).await, Ok(1), "{kind}");
    let gate = block(&door);
    fail(&world, &door);
    let queued: Vec<_> = (0..5).map(|n| add(&door, n)).collect();
    drop(gate);
    let mut last = None;
    for answer in queued {
        last = Some(answer.await.unwrap_or_else(|_| panic!("{kind}: queued message lost")));
    }
    until("a second life", || world.lives.load(SeqCst) >= 2).await;
    assert!(last >= Some(10), "{kind}");
    assert!(add(&door, 7).await.is_ok_and(|sum| sum >= 7), "{kind}: the old door works");
    let before = world.timers.load(SeqCst);
    until("the timer is armed again", || world.timers.load(SeqCst) > before).await;
    until("idle again", || door.depth() == 0 && care.state() == State::Up).await;
    assert_eq!(door.free(), 16, "{kind}");
    assert_eq!(world.stopping.load(SeqCst), 0, "{kind}: no hook on a broken actor");
    let restarts = world.lives.load(SeqCst) - 1;
    let told = (world.told.crashes.load(SeqCst), world.told.restarts.load(SeqCst));
    assert_eq!(told, (restarts, restarts), "{kind}");
    assert_eq!(care.restarts(), restarts as u64, "{kind}");
}

#[actix::test]
async fn panic_keeps_addr_and_queue() {
    survives("handler", |_, door| fell(door)).await;
    let later = || Do::PanicLater(oneshot::channel().0);
    survives("future", |_, door| assert!(door.offer(later()).is_ok())).await;
    survives("timer", |world, _| world.fail_timer.store(true, SeqCst)).await;
    survives("started", |world, door| {
        world.fail_started.store(2, SeqCst); // the next two lives fail before any message
        fell(door);
    })
    .await;
}

#[actix::test]
async fn restart_calls_restarting_and_state_is_rebuilt() {
    let world = World::default();
    let (_arbiter, door, _care) = up(&world, 8, QUICK);
    assert_eq!((add(&door, 40).await, add(&door, 2).await), (Ok(40), Ok(42)));
    let (reply, lost) = oneshot::channel();
    assert!(door.offer(Do::Panic(reply)).is_ok());
    assert!(lost.await.is_err(), "outcome unknown to the caller in hand");
    assert_eq!(add(&door, 1).await, Ok(1), "nothing of the old state is left");
    assert!(door.offer(Do::Stop).is_ok());
    assert_eq!(add(&door, 2).await, Ok(2), "ctx.stop() is a crash like any other");
    assert_eq!((world.lives.load(SeqCst), world.resets.load(SeqCst)), (3, 2));
}

#[actix::test]
async fn backoff_holds_messages_until_up() {
    let world = World::default();
    let wait = Duration::from_millis(100);
    let (_arbiter, door, _care) = up(&world, 8, Policy { shortest: wait, longest: wait, ..QUICK });
    let since = Instant::now();
    fell(&door);
    let held = add(&door, 5);
    assert_eq!(held.await, Ok(5), "kept, and handled by the next life");
    assert_eq!(world.lives.load(SeqCst), 2);
    assert!(since.elapsed() >= wait, "a sleep is never shorter than asked");
}

#[actix::test]
async fn the_panic_hook_can_ask_whose_code_runs() {
    let (_arbiter, door, _care) = up(&World::default(), 8, QUICK);
    let (reply, name) = oneshot::channel();
    assert!(door.offer(Do::Whoami(reply)).is_ok());
    assert_eq!(name.await, Ok(Some("worker")));
    assert_eq!(supervise::acting(), None, "another thread, no actor");
}

/// A blocked handler cannot be stopped from inside; it can only be seen.
#[actix::test]
async fn a_blocked_actor_is_found_stuck_and_a_freed_one_is_live() {
    let (_arbiter, door, care) = up(&World::default(), 8, QUICK);
    assert_eq!(add(&door, 1).await, Ok(1));
    until("idle", || door.depth() == 0 && care.state() == State::Up).await;
    let (limit, start) = (Duration::from_secs(5), Instant::now());
    let mut observer = Observer::new(care);
    let mut look = |seconds| {
        let now = start + Duration::from_secs(seconds);
        let report = observer.observe(now);
        (report.depth, report.is_live(now, limit))
    };
    assert_eq!(look(0), (0, true));
    let gate = block(&door);
    let queued = add(&door, 1);
    assert_eq!([look(100), look(104), look(105)], [(2, true), (2, true), (2, false)]);
    drop(gate);
    assert_eq!(queued.await, Ok(2));
    until("idle again", || door.depth() == 0).await;
    assert_eq!(look(200), (0, true));
}

/// Two threads, a panic now and then, every kind of it: nothing hangs, nothing leaks.
#[actix::test]
async fn every_offer_is_answered_under_random_panics() {
    let world = World::default();
    let often = Policy { restarts: usize::MAX, shortest: Duration::from_micros(10), ..QUICK };
    let longest = Duration::from_micros(10);
    let (_arbiter, door, care) = up(&world, 32, Policy { longest, ..often });
    let storm = |seed: u64, door: Door<Worker>| {
        thread::spawn(move || {
            let mut answers = Vec::new();
            for n in 0..5_000u64 {
                let (reply, answer) = oneshot::channel();
                let mut what = match n.wrapping_mul(seed) % 100 {
                    0 => Do::Panic(reply),
                    1 => Do::PanicLater(reply),
                    2 => Do::Stop,
                    _ => Do::Add(1, reply),
                };
                while let Err(Refused::Full(back)) = door.offer(what) {
                    what = back; // Closed would drop it and end the loop: the answer tells
                    thread::yield_now();
                }
                answers.push(answer);
                assert!(door.depth() <= 32);
            }
            answers
        })
    };
    let threads = [storm(7919, door.clone()), storm(104_729, door.clone())];
    for thread in threads {
        let answers = tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
        for answer in answers {
            let ended = tokio::time::timeout(Duration::from_secs(10), answer).await;
            assert!(ended.is_ok(), "an answer or an error, never silence");
        }
    }
    door.drain().await;
    assert_eq!((door.depth(), door.free()), (0, 32));
    assert!(world.lives.load(SeqCst) > 100);
    assert_eq!(world.handled.load(SeqCst), 10_000, "no crash lost a queued message");
    care.stop();
    assert_eq!(care.ended().await, End::Asked);
}
