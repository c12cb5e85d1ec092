//! The end: what was accepted is answered, the last root is signed, and nobody is waited for too long.

use std::time::{Duration, Instant};

use super::*;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[actix_rt::test]
async fn a_drain_answers_what_was_accepted_signs_the_last_root_and_ends_every_actor() {
    // With this interval the last root would still wait for its time.
    let node = micronode(&[("publish.min_interval", "900ms")]).await;
    commit(&node, vec![mint("alice", 1)]).await;
    let (stall, held) = held_committer(&node).await;
    let sent: Vec<_> = (0..50).map(|_| submit(&node, vec![mint("alice", 1)])).collect();
    node.until("they are sequenced", |node| depth_of(node, "sequencer") == 51).await;
    let pipeline = node.pipeline.clone();
    let drained = actix_rt::spawn(async move { pipeline.drain(soon()).await });
    node.until("it is told", |node| node.pipeline.mode().is_draining()).await;
    node.until("the door is closed", |node| {
        refused_now(node, vec![mint("alice", 1)]) == Some(Reason::Draining)
    })
    .await;
    assert!(!node.pipeline.readiness().ready);
    assert_eq!(node.pipeline.readiness().mode, "draining");
    drop(stall);
    drained.await.unwrap().unwrap();
    for answer in sent.into_iter().chain([held]) {
        committed(&outcome(answer).await.unwrap());
    }
    assert_eq!(head(&node), 52);
    assert_eq!(node.pipeline.published().unwrap().checkpoint.size(), 52);
    let readiness = node.pipeline.readiness();
    assert!(readiness.actors.iter().all(|actor| actor.state.as_str() == "ended"), "{readiness:?}");
    assert!(readiness.actors.iter().all(|actor| actor.depth == 0));
    let metrics = node.pipeline.measure();
    assert_eq!((metrics.inflight_requests.get(), metrics.tasks_leaked.get()), (0, 0));
    let broken = tokio::time::timeout(Duration::from_millis(1), node.pipeline.broken()).await;
    assert!(broken.is_err(), "they were asked to");
}

#[actix_rt::test]
async fn what_waits_at_the_door_of_a_draining_ledger_is_told_so() {
    let node = micronode(&[]).await;
    let stall = Stall::and_then(&node, Point::IngressHandle, || ());
    let waiting: Vec<_> = (0..9).map(|_| submit(&node, vec![mint("alice", 1)])).collect();
    stall.reached(&node).await;
    let pipeline = node.pipeline.clone();
    let drained = actix_rt::spawn(async move { pipeline.drain(soon()).await });
    node.until("it is told", |node| node.pipeline.mode().is_draining()).await;
    drop(stall);
    for answer in waiting {
        assert_eq!(refusal(answer).await, Reason::Draining);
    }
    drained.await.unwrap().unwrap();
}

/// Whoever is stuck, the deadline holds, and those that share its thread are counted with it.
#[actix_rt::test]
async fn a_stuck_actor_is_left_behind_at_the_deadline_and_counted() {
    for (point, left) in [(Point::CommitBeforeWrite, 1), (Point::IngressHandle, 6)] {
        let node = micronode(&[]).await;
        let stall = Stall::and_then(&node, point, || ());
        let answer = submit(&node, vec![mint("alice", 1)]);
        stall.reached(&node).await;
        let drained = node.pipeline.drain(Instant::now() + Duration::from_millis(30));
        let drained = tokio::time::timeout(Duration::from_secs(20), drained).await.unwrap();
        let leaked = drained.unwrap_err();
        assert_eq!(leaked.0, left, "{point}");
        assert_eq!(node.pipeline.metrics().tasks_leaked.get(), left, "{point}");
        drop(stall);
        // It had it in hand, and goes on with it.
        drop(outcome(answer).await);
        node.until("it ends after all", |node| {
            let actors = node.pipeline.readiness().actors;
            actors.iter().all(|actor| actor.state.as_str() == "ended")
        })
        .await;
    }
}

#[actix_rt::test]
async fn a_drain_does_not_wait_for_a_crashed_committer_longer_than_its_deadline() {
    let slow = [("supervision.backoff_min", "30s"), ("supervision.backoff_max", "30s")];
    let node = Node::with("micronode", &slow).await;
    node.trigger.arm(Point::CommitBeforeWrite, 1, || panic!("planted"));
    assert!(node.send(vec![mint("alice", 1)]).await.is_none());
    let drained = node.pipeline.drain(Instant::now() + Duration::from_millis(30));
    let leaked = tokio::time::timeout(Duration::from_secs(20), drained).await.unwrap().unwrap_err();
    assert_eq!(leaked.0, 0, "a wait between two lives ends at once");
}
