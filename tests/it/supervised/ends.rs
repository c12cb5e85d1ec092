//! How supervision ends, and that it says so.

use super::*;

#[actix::test]
async fn panic_in_started_spends_budget_then_reports_exit() {
    let world = World::default();
    world.fail_started.store(usize::MAX, SeqCst);
    let (_arbiter, door, care) = up(&world, 8, QUICK);
    let queued = add(&door, 1);
    let end = care.ended().await;
    assert_eq!((end.exit_code(), &end), (70, &End::Spent("started".to_owned())));
    assert_eq!((world.lives.load(SeqCst), care.restarts()), (1 + QUICK.restarts, 3));
    assert_eq!(world.told.ends.load(SeqCst), 1);
    assert!(queued.await.is_err() && door.depth() == 0 && !door.is_open());
    assert!(matches!(door.offer(Do::Stop), Err(Refused::Closed(Do::Stop))));
    assert_eq!(care.state(), State::Ended(end));
}

struct Quitter;
impl Actor for Quitter {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
impl Supervised for Quitter {}

/// Where the stock supervisor spins. The thread stays usable, and Up is never said.
#[actix::test]
async fn stop_in_started_waits_and_spends_the_budget() {
    let since = Instant::now();
    let spec = Spec { name: "quitter", seats: 1, policy: QUICK, hooks: Arc::new(()) };
    let (_door, care) = supervise::start(&Arbiter::current(), spec, || Quitter);
    let (mut state, mut seen) = (care.watch(), Vec::new());
    while state.changed().await.is_ok() {
        seen.push(state.borrow_and_update().clone());
    }
    assert_eq!(seen.pop(), Some(State::Ended(End::Spent("ctx.stop()".to_owned()))));
    assert!(seen.iter().all(|at| matches!(at, State::Down(_))) && seen.len() == QUICK.restarts);
    assert!(since.elapsed() >= QUICK.shortest * (1 + 2 + 4));
}

#[actix::test]
async fn failing_build_reset_or_drop_is_reported_too() {
    let arbiter = Arbiter::new();
    let spec = Spec { name: "unborn", seats: 1, policy: QUICK, hooks: Arc::new(()) };
    let (door, care) = supervise::start(&arbiter.handle(), spec, || -> Worker { panic!("build") });
    assert_eq!(care.ended().await, End::Spent("build".to_owned()));
    assert!(matches!(door.offer(Do::Stop), Err(Refused::Closed(_))));

    let world = World::default();
    world.fail_reset.store(true, SeqCst);
    world.fail_drop.store(true, SeqCst);
    let (_arbiter, door, care) = up(&world, 1, QUICK);
    fell(&door);
    assert_eq!(care.ended().await, End::Spent("restarting".to_owned()));
}

#[actix::test]
async fn crashes_outside_the_window_do_not_count() {
    let world = World::default();
    let policy = Policy { restarts: 1, window: Duration::ZERO, ..QUICK };
    let (_arbiter, door, care) = up(&world, 1, policy);
    for life in 1..=4 {
        until("a seat is free", || door.free() == 1).await;
        fell(&door);
        until("the next life", || world.lives.load(SeqCst) == life + 1).await;
    }
    assert!(matches!(care.state(), State::Up | State::Down(_)));
}

#[actix::test]
async fn ordered_stop_drains_then_joins() {
    let world = World::default();
    let (arbiter, door, care) = up(&world, 200, QUICK);
    let gate = block(&door);
    let answers: Vec<_> = (0..100).map(|_| add(&door, 1)).collect();
    fell(&door); // a crash in the middle of it
    let more: Vec<_> = (0..50).map(|_| add(&door, 1)).collect();
    let draining = tokio::spawn({
        let door = door.clone();
        async move { door.drain().await }
    });
    tokio::task::yield_now().await;
    assert!(matches!(door.offer(Do::Stop), Err(Refused::Closed(_))), "closed before it is empty");
    assert_eq!(door.depth(), 152, "a drain does not count as work");
    assert!(!draining.is_finished());
    drop(gate);
    draining.await.unwrap();
    for (n, answer) in (1..).zip(answers).chain((1..).zip(more)) {
        assert_eq!(answer.await, Ok(n));
    }
    care.stop();
    assert_eq!(care.ended().await, End::Asked);
    arbiter.stop();
    assert!(tokio::task::spawn_blocking(|| arbiter.join()).await.unwrap().is_ok());
}

#[actix::test]
async fn stop_cuts_a_backoff_short_and_starts_nothing() {
    let world = World::default();
    let (_arbiter, door, care) = up(&world, 8, DOWN);
    fell(&door);
    wait_down(&care).await;
    care.stop();
    assert_eq!(care.ended().await, End::Asked);
    assert_eq!((world.lives.load(SeqCst), world.stopping.load(SeqCst)), (1, 0));
}

#[actix::test]
async fn lost_arbiter_is_reported_and_the_last_door_ends_nothing() {
    let world = World::default();
    let (arbiter, door, care) = up(&world, 8, QUICK);
    assert_eq!(add(&door, 1).await, Ok(1));
    drop(door.clone());
    fell(&door);
    let queued = add(&door, 1);
    drop(door);
    assert_eq!(queued.await, Ok(1), "the queue outlives the doors, a crash included");
    assert_eq!(world.handled.load(SeqCst), 3);
    arbiter.stop();
    assert_eq!(care.ended().await, End::Lost);
    assert_eq!(care.state(), State::Ended(End::Lost));
    assert_eq!(End::Lost.exit_code(), 70);
}

struct Doomed;
impl Actor for Doomed {
    type Context = Context<Self>;
    fn started(&mut self, _: &mut Self::Context) {
        panic!("cannot recover");
    }
}
impl Supervised for Doomed {}

/// Set in the child process, which then is a daemon whose only actor never recovers.
const DOOMED: &str = "RON_LEDGER_TEST_DOOMED";

/// Plays both parts: the test, and, started by it, the process that must not end with 0.
#[test]
fn spent_budget_exits_non_zero() {
    if std::env::var_os(DOOMED).is_some() {
        let end = System::new().block_on(async {
            let spec = Spec { name: "doomed", seats: 4, policy: QUICK, hooks: Arc::new(()) };
            let (_door, care) = supervise::start(&Arbiter::new().handle(), spec, || Doomed);
            care.ended().await
        });
        std::process::exit(end.exit_code().into());
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "supervised::ends::spent_budget_exits_non_zero"])
        .env(DOOMED, "1")
        .output()
        .unwrap();
    assert_eq!(child.status.code(), Some(70), "{child:?}");
}
