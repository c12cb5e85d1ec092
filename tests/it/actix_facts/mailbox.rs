//! What capacity means.

use super::*;

#[actix::test]
async fn one_shared_handle_honours_capacity() {
    let (addr, _) = probe(4);
    let accepted = (0..100).filter(|_| addr.try_send(Hit).is_ok()).count();
    assert_eq!(accepted, 4);
}

#[actix::test]
async fn clone_bypasses_capacity() {
    let (addr, seen) = probe(4);
    let clones: Vec<_> = (0..1000).map(|_| addr.clone()).collect();
    let accepted = || clones.iter().filter(|clone| clone.try_send(Hit).is_ok()).count();
    assert_eq!(accepted(), 1000);
    assert_eq!(accepted(), 3, "those that were not at the cap when they first sent");
    let weak = addr.downgrade();
    assert!((0..50).all(|_| weak.upgrade().unwrap().try_send(Hit).is_ok()));
    let recipient = addr.clone().recipient::<Hit>();
    assert!((0..50).all(|_| recipient.clone().try_send(Hit).is_ok()));
    settle(&addr).await;
    assert_eq!(seen.hits.load(SeqCst), 1103 + 1);
}

#[actix::test]
async fn send_never_waits_for_room() {
    let (addr, seen) = probe(1);
    addr.try_send(Hit).unwrap();
    assert!(matches!(addr.try_send(Hit), Err(SendError::Full(_))));
    let mut requests: Vec<_> = (0..100).map(|_| Box::pin(addr.send(Hit))).collect();
    for request in &mut requests {
        assert!(poll!(request).is_pending()); // polled once while full and never again
    }
    until("all were pushed", || seen.hits.load(SeqCst) == 101).await;
}

#[actix::test]
async fn do_send_ignores_capacity() {
    let (addr, seen) = probe(1);
    (0..1000).for_each(|_| addr.do_send(Hit));
    settle(&addr).await;
    assert_eq!(seen.hits.load(SeqCst), 1000 + 1);
}

#[actix::test]
async fn dropped_request_is_skipped() {
    let (addr, seen) = probe(16);
    drop(addr.send(Hit)); // pushed by `send` itself, the receiver is gone before it is handled
    let mut polled = Box::pin(addr.send(Hit));
    assert!(poll!(&mut polled).is_pending());
    drop(polled);
    addr.do_send(Hit); // nobody waits for this one, it counts
    settle(&addr).await;
    assert_eq!(seen.hits.load(SeqCst), 1 + 1);
}

#[actix::test]
async fn many_senders_wait_for_one_reply_each() {
    let (addr, _) = probe(1);
    let replies = join_all((0..100).map(|_| addr.send(Hit))).await;
    assert!(replies.iter().all(Result::is_ok));
}
