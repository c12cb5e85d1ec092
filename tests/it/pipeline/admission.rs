//! The front door: twins, the budget, deadlines, and who gets the thread.

use std::time::{Duration, Instant};

use ron_ledger::actors::admin::Order;
use ron_ledger::telemetry::Queue;

use super::*;

fn inflight(node: &Node) -> (i64, i64) {
    let metrics = node.pipeline.measure();
    (metrics.inflight_requests.get(), metrics.inflight_bytes.get())
}

async fn none_in_flight(node: &Node) {
    node.until("the budget is free", |node| inflight(node) == (0, 0)).await;
}

#[actix_rt::test]
async fn twins_get_one_answer_and_both_hold_budget() {
    let node = micronode(&[]).await;
    let (stall, held) = held_committer(&node).await;
    let entry = mint("alice", 5);
    let twins = [submit(&node, vec![entry.clone()]), submit(&node, vec![entry.clone()])];
    let mut sibling = node.submission(vec![entry.clone()]);
    sibling.fingerprint = [1; 32];
    let sibling = node.pipeline.submit(sibling).unwrap();
    node.until("they are sequenced", |node| {
        depth_of(node, "ingress") == 0 && depth_of(node, "sequencer") == 3
    })
    .await;
    assert_eq!(inflight(&node), (4, 1200), "each of the four holds its own");
    drop(stall);
    assert_eq!(committed(&outcome(held).await.unwrap()), [1]);
    let [one, other] = twins.map(outcome);
    let (one, other) = (one.await.unwrap(), other.await.unwrap());
    assert!(Arc::ptr_eq(&one, &other), "one answer for both");
    let sibling = outcome(sibling).await.unwrap();
    let mut both = [outcomes(&one)[0].clone(), outcomes(&sibling)[0].clone()];
    both.sort_by_key(|outcome| matches!(outcome, Outcome::Replayed(_)));
    assert_eq!(both, [Outcome::Committed(2), Outcome::Replayed(2)], "the same ids, once");
    assert_eq!(head(&node), 2);
    none_in_flight(&node).await;
    assert_eq!(replayed(&node, &entry).await, 2, "a retry after the answer is no twin");
    node.stop().await;
}

#[actix_rt::test]
async fn a_twin_of_a_request_that_a_crash_took_is_told_the_same() {
    let node = micronode(&[]).await;
    let stall = Stall::and_then(&node, Point::CommitAfterWrite, || panic!("planted"));
    let entry = mint("alice", 5);
    let first = submit(&node, vec![entry.clone()]);
    stall.reached(&node).await;
    let twin = submit(&node, vec![entry.clone()]);
    node.until("it is joined", |node| depth_of(node, "ingress") == 0 && inflight(node).0 == 2)
        .await;
    drop(stall);
    assert!(outcome(first).await.is_none() && outcome(twin).await.is_none());
    none_in_flight(&node).await;
    node.until("the crash is noted", |node| !reasons(node).is_empty()).await;
    node.pipeline.order(Order::SafeModeClear { has_verified: true }).await.unwrap().unwrap();
    assert_eq!(replayed(&node, &entry).await, 1);
    node.stop().await;
}

#[actix_rt::test]
async fn either_bound_of_the_budget_says_busy_until_it_is_freed() {
    for bound in [
        &[("limits.inflight_requests", "3")][..],
        &[("limits.body_max_bytes", "1000"), ("limits.inflight_bytes", "1000")],
    ] {
        let node = micronode(bound).await;
        let (stall, held) = held_committer(&node).await;
        let more: Vec<_> = (0..2).map(|_| submit(&node, vec![mint("alice", 1)])).collect();
        let refused = mint("alice", 1);
        assert_eq!(refused_now(&node, vec![refused.clone()]), Some(Reason::Busy), "{bound:?}");
        assert_eq!(node.pipeline.metrics().busy_rejections.of(Queue::Ingress).get(), 1);
        assert_eq!(inflight(&node), (3, 900), "what was refused holds nothing");
        drop(stall);
        for answer in more.into_iter().chain([held]) {
            committed(&outcome(answer).await.unwrap());
        }
        none_in_flight(&node).await;
        commit(&node, vec![refused]).await;
        node.stop().await;
    }
}

#[actix_rt::test]
async fn an_abandoned_request_holds_budget_until_it_is_settled() {
    let node = micronode(&[]).await;
    let (stall, held) = held_committer(&node).await;
    drop(held);
    assert_eq!(inflight(&node).0, 1);
    drop(stall);
    none_in_flight(&node).await;
    assert_eq!(head(&node), 1, "nobody waits, and it is committed all the same");
    node.stop().await;
}

#[actix_rt::test]
async fn safe_mode_and_draining_are_told_at_the_door() {
    let node = micronode(&[]).await;
    let entered = node.pipeline.order(Order::SafeModeEnter).await.unwrap().unwrap();
    assert_eq!(entered.reasons().collect::<Vec<_>>(), [SafeReason::Operator]);
    assert_eq!(refusal(submit(&node, vec![mint("alice", 1)])).await, Reason::SafeMode);
    node.pipeline.order(Order::SafeModeClear { has_verified: true }).await.unwrap().unwrap();
    commit(&node, vec![mint("alice", 1)]).await;
    node.pipeline.order(Order::Drain).await.unwrap().unwrap();
    assert_eq!(refusal(submit(&node, vec![mint("alice", 1)])).await, Reason::Draining);
    none_in_flight(&node).await;
    node.stop().await;
}

/// A request with time to spare, however short the deadline and however slow the machine.
fn unhurried(node: &Node, entry: &Entry) -> Waiting {
    let mut submission = node.submission(vec![entry.clone()]);
    submission.received += Duration::from_secs(60);
    node.pipeline.submit(submission).unwrap()
}

#[actix_rt::test]
async fn a_late_ticket_is_refused_and_not_applied() {
    let node = micronode(&[("limits.request_deadline", "400ms")]).await;
    let stall = Stall::and_then(&node, Point::CommitBeforeWrite, || ());
    let held = unhurried(&node, &mint("held", 1));
    stall.reached(&node).await;
    let late = [mint("alice", 1), mint("alice", 1)];
    let answer = submit(&node, vec![late[0].clone()]);
    let gave_up = submit(&node, vec![late[1].clone()]);
    let over = Instant::now() + node.pipeline.deadline();
    node.until("they are sequenced", |node| depth_of(node, "sequencer") == 3).await;
    node.until("their time is over", |_| Instant::now() > over).await;
    // As HTTP does when its own wait is over.
    drop(gave_up);
    drop(stall);
    assert_eq!(committed(&outcome(held).await.unwrap()), [1], "what was in hand is committed");
    assert_eq!(refusal(answer).await, Reason::Timeout);
    node.until("all are settled", |node| depth_of(node, "sequencer") == 0).await;
    assert_eq!(head(&node), 1);
    for (entry, seq) in late.iter().zip(2..) {
        assert_eq!(committed(&outcome(unhurried(&node, entry)).await.unwrap()), [seq]);
    }
    let mut old = node.submission(vec![mint("alice", 1)]);
    old.received = Instant::now().checked_sub(Duration::from_secs(3600)).unwrap();
    assert_eq!(refusal(node.pipeline.submit(old).unwrap()).await, Reason::Timeout);
    assert_eq!(head(&node), 3, "refused before it is sequenced");
    node.stop().await;
}

/// The admin has a thread of its own: neither a flood nor a stuck ingress holds up an order.
#[actix_rt::test]
async fn a_flood_of_requests_does_not_hold_up_the_operator() {
    let node = micronode(&[]).await;
    let stall = Stall::and_then(&node, Point::IngressHandle, || ());
    let mut flood = vec![submit(&node, vec![mint("alice", 1)])];
    stall.reached(&node).await;
    flood.extend((1..400).map(|_| submit(&node, vec![mint("alice", 1)])));
    node.pipeline.order(Order::SafeModeEnter).await.expect("an answer").unwrap();
    drop(stall);
    for answer in flood {
        assert_eq!(refusal(answer).await, Reason::SafeMode);
    }
    node.stop().await;
}
