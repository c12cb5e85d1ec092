//! The order: what came first goes first, one turn is sorted, groups keep to their bounds, and what is
//! full says so.

use super::*;
use ron_ledger::telemetry::Queue;

/// One prevalidator, so that requests come to the sequencer as they were sent.
const IN_LINE: (&str, &str) = ("concurrency.prevalidators", "1");

/// The committer holds one group, another waits at its door, and the door is full: what comes now is
/// one turn.
async fn full_committer(node: &Node) -> (Stall, [Waiting; 2]) {
    let (stall, first) = held_committer(node).await;
    let second = submit(node, vec![stamped(1_900_000_000_000)]);
    node.until("two groups are handed over", |node| depth_of(node, "committer") == 2).await;
    (stall, [first, second])
}

fn stamped(ts: u64) -> Entry {
    Entry { ts, ..mint("alice", 1) }
}

async fn sequenced(node: &Node, requests: i64) {
    node.until("all are sequenced", |node| {
        node.pipeline.measure().queue_depth.of(Queue::Commit).get() == requests
    })
    .await;
}

#[actix_rt::test]
async fn a_turn_is_ordered_by_time_and_id_and_a_request_by_its_client() {
    let node = micronode(&[IN_LINE]).await;
    let (stall, before) = full_committer(&node).await;
    // By their first entries: c, a, b; b and c at the same time, b with the lower id.
    let (b, c) = (stamped(2_000), stamped(2_000));
    let requests = [vec![c, stamped(1)], vec![stamped(1_000), stamped(9_000)], vec![b, stamped(5)]];
    let expected = [vec![7, 8], vec![3, 4], vec![5, 6]];
    let answers: Vec<_> = requests.map(|request| submit(&node, request)).into_iter().collect();
    sequenced(&node, 5).await;
    drop(stall);
    for (earlier, seq) in before.into_iter().zip([1, 2]) {
        assert_eq!(committed(&outcome(earlier).await.unwrap()), [seq], "earlier turns go first");
    }
    for (answer, seqs) in answers.into_iter().zip(expected) {
        assert_eq!(committed(&outcome(answer).await.unwrap()), seqs);
    }
    node.stop().await;
}

/// Sends requests of these sizes in one turn; the sizes of the groups that they were committed in.
async fn groups(bound: (&str, &str), sizes: &[usize]) -> Vec<u64> {
    let node = micronode(&[IN_LINE, bound]).await;
    let (stall, _) = full_committer(&node).await;
    let request = |&size: &usize| (0..size).map(|_| mint("alice", 1)).collect();
    let answers: Vec<_> = sizes.iter().map(|size| submit(&node, request(size))).collect();
    sequenced(&node, sizes.len() as i64 + 2).await;
    drop(stall);
    for answer in answers {
        committed(&outcome(answer).await.unwrap());
    }
    let rows = node.pipeline.reader().roots(1, Seq::MAX, 100).unwrap();
    let ends: Vec<u64> = rows.iter().map(|row| row.seq).collect();
    node.stop().await;
    ends.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[actix_rt::test]
async fn groups_keep_to_their_bounds_and_what_is_larger_goes_alone() {
    let entries = ("commit.batch_max_entries", "10");
    assert_eq!(groups(entries, &[3, 3, 3, 3, 25, 1, 9, 1]).await, [9, 3, 25, 10, 1]);
    // A submission counts 300 bytes for each of its entries.
    let bytes = ("commit.batch_max_bytes", "1000");
    assert_eq!(groups(bytes, &[1, 1, 1, 1, 4, 2, 2]).await, [3, 1, 4, 2, 2]);
}

#[actix_rt::test]
async fn all_that_is_not_durable_counts_and_a_full_queue_says_busy() {
    let node = micronode(&[IN_LINE, ("queues.commit", "5")]).await;
    let (stall, before) = full_committer(&node).await;
    let more = [mint("alice", 1), mint("alice", 1), mint("alice", 1)];
    let waiting: Vec<_> = more.iter().map(|entry| submit(&node, vec![entry.clone()])).collect();
    sequenced(&node, 5).await;
    let refused = mint("alice", 1);
    assert_eq!(refusal(submit(&node, vec![refused.clone()])).await, Reason::Busy);
    let metrics = node.pipeline.metrics();
    let busy = [Queue::Ingress, Queue::Preval, Queue::Commit]
        .map(|queue| metrics.busy_rejections.of(queue).get());
    assert_eq!(busy, [0, 0, 1]);
    let readiness = node.pipeline.readiness();
    assert!(!readiness.backpressure_ok);
    assert_eq!(readiness.reason.as_deref(), Some("a queue is nearly full"));
    assert_eq!(node.pipeline.measure().queue_capacity.of(Queue::Commit).get(), 5);
    node.until("the oldest has an age", |node| {
        node.pipeline.measure().committer_lag.get() > 0.0
            && node.pipeline.readiness().committer_lag_ms > 0
    })
    .await;
    drop(stall);
    for answer in before.into_iter().chain(waiting) {
        committed(&outcome(answer).await.unwrap());
    }
    sequenced(&node, 0).await;
    assert_eq!(node.pipeline.measure().committer_lag.get(), 0.0);
    assert_eq!(commit(&node, vec![refused]).await, [6]);
    node.stop().await;
}
