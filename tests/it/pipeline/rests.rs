//! Commits that rest, so that merges of derived data keep up with them.

use ron_ledger::storage::engine::Fault;

use super::*;

async fn told(node: &Node, percent: i64) {
    let behind = |node: &Node| node.pipeline.measure().merges_behind_percent.get();
    node.until("ledger_merges_behind_percent tells it", |node| behind(node) == percent).await;
}

/// Seconds, as `ledger_rest_seconds_total` tells them.
fn rested(node: &Node) -> f64 {
    node.pipeline.measure().rest_seconds.get()
}

#[actix_rt::test]
async fn commits_rest_while_merges_are_far_behind_and_no_longer() {
    let engine = Arc::new(Faulty::new(MemoryEngine::new(1 << 26)));
    let signer = ron_ledger::accumulator::Signer::new("localhost/test", &[9; 32]).unwrap();
    engine.fall_behind(90);
    let each = [("derived.flush_entries", "1")];
    let node = node_on(Arc::clone(&engine), SignedNotes::in_memory(signer), &each);
    ready(&node).await;
    // A flush tells it.
    assert_eq!(commit(&node, vec![mint("alice", 1)]).await, [1]);
    told(&node, 90).await;
    assert_eq!(commit(&node, vec![mint("alice", 1)]).await, [2]);
    node.until("the committer has rested", |node| rested(node) > 0.0).await;
    // A little: requests are answered all the while.
    for seq in 3..12 {
        assert_eq!(commit(&node, vec![mint("alice", 1)]).await, [seq]);
    }

    // Nothing is on its way any more, so that it is told without a flush.
    node.until("all is flushed", |node| node.pipeline.measure().derived_lag_entries.get() == 0)
        .await;
    actix_rt::time::sleep(std::time::Duration::from_millis(50)).await;
    engine.fall_behind(10);
    told(&node, 10).await;
    node.until("the committer is idle", |node| depth_of(node, "committer") == 0).await;
    let before = rested(&node);
    assert_eq!(commit(&node, vec![mint("alice", 1)]).await, [12]);
    node.until("the committer is idle", |node| depth_of(node, "committer") == 0).await;
    assert_eq!(rested(&node), before);
    node.stop().await;
}

#[actix_rt::test]
async fn commits_rest_while_far_more_waits_for_its_flush_than_two_layers() {
    const LAYERS: [(&str, &str); 5] = [
        ("derived.flush_entries", "20"),
        ("derived.max_lag_entries", "100"),
        ("commit.batch_max_entries", "20"),
        ("limits.batch_max_entries", "20"),
        ("commit.expire_max", "20"),
    ];
    let engine = Arc::new(Faulty::new(MemoryEngine::new(1 << 26)));
    let signer = ron_ledger::accumulator::Signer::new("localhost/test", &[9; 32]).unwrap();
    engine.plan(Fault::DerivedWrite, 0, u64::MAX);
    let node = node_on(Arc::clone(&engine), SignedNotes::in_memory(signer), &LAYERS);
    ready(&node).await;
    for (entries, rests) in [(20, false), (20, false), (20, false), (20, true)] {
        commit(&node, (0..entries).map(|_| mint("alice", 1)).collect()).await;
        node.until("the committer is idle", |node| depth_of(node, "committer") == 0).await;
        assert_eq!(rested(&node) > 0.0, rests);
    }
    assert_eq!(node.pipeline.measure().derived_lag_entries.get(), 80);
    engine.heal();
    node.until("it is flushed", |node| node.pipeline.measure().derived_lag_entries.get() == 0)
        .await;
    node.stop().await;
}
