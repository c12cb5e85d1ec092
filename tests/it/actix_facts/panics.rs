//! What a panic costs with stock actix.

use super::*;

struct OnThread(Arc<AtomicUsize>, mpsc::Receiver<()>);
impl Actor for OnThread {
    type Context = SyncContext<Self>;
}
impl Handler<Hit> for OnThread {
    type Result = ();
    fn handle(&mut self, _: Hit, _: &mut Self::Context) {
        self.0.fetch_add(1, SeqCst);
    }
}
impl Handler<Boom> for OnThread {
    type Result = ();
    fn handle(&mut self, _: Boom, _: &mut Self::Context) {
        self.1.recv().unwrap();
        panic!("boom");
    }
}

#[actix::test]
async fn sync_arbiter_is_unbounded_and_dies_on_panic() {
    let (hits, built) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (gate, wait) = mpsc::channel();
    let (inside, made) = (hits.clone(), built.clone());
    let wait = std::sync::Mutex::new(Some(wait));
    let addr = SyncArbiter::start(1, move || {
        made.fetch_add(1, SeqCst);
        OnThread(inside.clone(), wait.lock().unwrap().take().unwrap())
    });
    let in_hand = addr.send(Boom);
    assert!((0..100_000).all(|_| addr.try_send(Hit).is_ok()), "never Full");
    let queued = addr.send(Hit);
    tokio::task::yield_now().await; // the forwarding task, on this thread, moves it all over
    gate.send(()).unwrap();
    assert_eq!(in_hand.await, Err(MailboxError::Closed));
    assert_eq!(queued.await, Err(MailboxError::Closed)); // the queue went with the last thread
    assert!(addr.connected(), "the forwarding task has not noticed yet");
    assert_eq!(addr.send(Hit).await, Err(MailboxError::Closed)); // kills the forwarding task
    until("the mailbox is closed", || !addr.connected()).await;
    assert_eq!((hits.load(SeqCst), built.load(SeqCst)), (0, 1), "no respawn");
}

#[actix::test]
async fn stock_supervisor_does_not_survive_panic() {
    let (addr, seen) = supervised();
    let in_hand = addr.send(Boom);
    let queued = addr.send(Hit);
    assert_eq!(in_hand.await, Err(MailboxError::Closed));
    assert_eq!(queued.await, Err(MailboxError::Closed));
    assert!(!addr.connected());
    addr.do_send(Hit); // goes nowhere
    tokio::task::yield_now().await; // the thread lives on
    assert_eq!((seen.hits.load(SeqCst), seen.restarting.load(SeqCst)), (0, 0));
    let unwinding = seen.stopped_unwinding.load(SeqCst);
    assert!(unwinding, "stopped() ran on the broken actor, while unwinding");
}

/// The same with a `stopped` that panics as well, in a process of its own.
#[test]
fn second_panic_in_stopped_aborts_the_process() {
    use std::os::unix::process::ExitStatusExt;
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "actix_facts::panics::stock_supervisor_does_not_survive_panic"])
        .env(SECOND_PANIC, "1")
        .output()
        .unwrap();
    assert_eq!(child.status.signal(), Some(6), "{child:?}");
}

#[actix::test]
async fn stop_keeps_mailbox_and_instance() {
    let (addr, seen) = supervised();
    let (stop, hit) = (addr.send(Stop), addr.send(Hit));
    let (stop_again, hit_again) = (addr.send(Stop), addr.send(Hit));
    assert_eq!(stop.await, Ok(()), "the stopping message is answered");
    assert_eq!((hit.await, stop_again.await, hit_again.await), (Ok(()), Ok(()), Ok(())));
    assert_eq!((seen.started.load(SeqCst), seen.restarting.load(SeqCst)), (3, 2));
}
