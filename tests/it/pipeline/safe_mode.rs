//! What a failing store does to the ledger, and that nothing is cleared which was not verified.

use ron_ledger::accumulator::Signer;
use ron_ledger::actors::admin::Order;
use ron_ledger::actors::mode::IllegalMove;
use ron_ledger::storage::engine::Fault;

use super::*;

async fn faulty() -> (Node, Arc<Faulty<MemoryEngine>>) {
    let engine = Arc::new(Faulty::new(MemoryEngine::new(1 << 26)));
    let signer = Signer::new("localhost/test", &[9; 32]).unwrap();
    let node = node_on(Arc::clone(&engine), SignedNotes::in_memory(signer), &[]);
    ready(&node).await;
    commit(&node, vec![mint("alice", 1)]).await;
    node.until("it is published", |node| node.pipeline.readiness().published_size == 1).await;
    (node, engine)
}

async fn clear(node: &Node) -> Result<(), IllegalMove> {
    node.pipeline
        .order(Order::SafeModeClear { has_verified: true })
        .await
        .expect("an answer")
        .map(|_| ())
}

#[actix_rt::test]
async fn what_a_failed_recovery_found_is_not_cleared_before_a_recovery_passes() {
    let (node, engine) = faulty().await;
    let stall = Stall::and_then(&node, Point::CommitterStarted, || ());
    node.trigger.arm(Point::CommitBeforeWrite, 1, || panic!("planted"));
    assert!(node.send(vec![mint("alice", 1)]).await.is_none());
    stall.reached(&node).await;
    // Whoever clears before the recovery has begun waits for it.
    let pipeline = node.pipeline.clone();
    let early = actix_rt::spawn(async move {
        pipeline.order(Order::SafeModeClear { has_verified: true }).await
    });
    node.until("the order waits", |node| depth_of(node, "committer") == 1).await;
    engine.plan(Fault::TruthRead, 0, u64::MAX);
    drop(stall);
    let unverified = IllegalMove::NeedsVerification(SafeReason::HeadMismatch);
    assert_eq!(early.await.unwrap(), Some(Err(unverified)));
    assert_eq!(reasons(&node), [SafeReason::HeadMismatch, SafeReason::CommitterCrashed]);
    assert_eq!(clear(&node).await, Err(unverified));
    assert_eq!(refusal(submit(&node, vec![mint("alice", 1)])).await, Reason::SafeMode);
    assert!(!node.pipeline.readiness().ready);
    engine.heal();
    assert_eq!(clear(&node).await, Ok(()));
    ready(&node).await;
    assert_eq!(commit(&node, vec![mint("alice", 1)]).await, [2]);
    node.stop().await;
}

#[actix_rt::test]
async fn damaged_derived_data_is_made_anew_and_the_ledger_goes_on() {
    let (node, engine) = faulty().await;
    engine.plan_next(Fault::DerivedDamage);
    let refused = node.send(vec![mint("bob", 1)]).await.unwrap();
    assert_eq!(
        refused.map_or_else(|reject| reject.reason, |answer| reason(&answer)),
        Reason::SafeMode
    );
    // Whoever met the damage, the committer looks for work once a second.
    node.until("it is mended", |_| !engine.derived_is_damaged()).await;
    ready(&node).await;
    assert_eq!(commit(&node, vec![mint("bob", 1)]).await, [2]);
    // A disk that does it again is not to be trusted.
    engine.plan_next(Fault::DerivedDamage);
    let _ = node.send(vec![mint("bob", 1)]).await;
    node.until("it gives up", |node| reasons(node) == [SafeReason::HeadMismatch]).await;
    node.stop().await;
}

#[actix_rt::test]
async fn a_store_that_cannot_be_read_stops_writes_until_it_is_verified() {
    let (node, engine) = faulty().await;
    engine.plan(Fault::DerivedRead, 0, u64::MAX);
    let refused = node.send(vec![mint("bob", 1)]).await.unwrap().unwrap();
    assert_eq!(reason(&refused), Reason::SafeMode);
    assert_eq!(reasons(&node), [SafeReason::HeadMismatch]);
    assert_eq!(clear(&node).await, Err(IllegalMove::NeedsVerification(SafeReason::HeadMismatch)));
    engine.heal();
    assert_eq!(clear(&node).await, Ok(()));
    assert_eq!(commit(&node, vec![mint("bob", 1)]).await, [2]);
    node.stop().await;
}

#[actix_rt::test]
async fn a_write_of_unknown_outcome_ends_writes_for_this_process() {
    for fault in [Fault::CommitUnknownKept, Fault::CommitUnknownLost] {
        let (node, engine) = faulty().await;
        engine.plan_next(fault);
        let answer = node.send(vec![mint("alice", 1)]).await.unwrap().unwrap();
        assert_eq!(reason(&answer), Reason::OutcomeUnknown);
        assert_eq!(node.pipeline.metrics().wal_fsync_fail.get(), 1);
        assert_eq!(reasons(&node), [SafeReason::WriteUnknown]);
        assert_eq!(clear(&node).await, Err(IllegalMove::NeedsRestart(SafeReason::WriteUnknown)));
        assert_eq!(refusal(submit(&node, vec![mint("alice", 1)])).await, Reason::SafeMode);
        assert_eq!(head(&node), 1, "readers see what is known");
        node.stop().await;
    }
}

#[actix_rt::test]
async fn a_write_that_did_not_happen_is_told_and_the_ledger_goes_on() {
    let (node, engine) = faulty().await;
    let old = mint("alice", 1);
    commit(&node, vec![old.clone()]).await;
    engine.plan_next(Fault::CommitNotWritten);
    let new = mint("alice", 1);
    let answer = node.send(vec![old, new.clone()]).await.unwrap().unwrap();
    match outcomes(&answer) {
        [Outcome::Replayed(2), Outcome::Rejected(reject)] => {
            assert_eq!(reject.reason, Reason::Internal);
        }
        other => panic!("{other:?}"),
    }
    assert!(node.pipeline.readiness().ready);
    assert_eq!(commit(&node, vec![new]).await, [3]);
    node.stop().await;
}

/// The engine writes no more, so that the recovery cannot make the tail durable.
#[actix_rt::test]
async fn a_panic_inside_a_write_leaves_its_outcome_to_a_restart() {
    for fault in [Fault::CommitPanicBefore, Fault::CommitPanicAfter] {
        let (node, engine) = faulty().await;
        engine.plan_next(fault);
        assert!(node.send(vec![mint("alice", 1)]).await.is_none());
        node.until("it has tried to recover", |node| {
            reasons(node).first() == Some(&SafeReason::WriteUnknown)
        })
        .await;
        assert_eq!(clear(&node).await, Err(IllegalMove::NeedsRestart(SafeReason::WriteUnknown)));
        assert_eq!(refusal(submit(&node, vec![mint("alice", 1)])).await, Reason::SafeMode);
        assert_eq!(head(&node), 1, "readers see what is known");
        node.stop().await;
    }
}

#[actix_rt::test]
async fn what_does_not_stand_cannot_be_cleared() {
    let (node, _) = faulty().await;
    assert_eq!(clear(&node).await, Err(IllegalMove::NotStanding("safe-mode")));
    node.stop().await;
}
