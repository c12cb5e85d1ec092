//! Commits that rest, so that merges of derived data keep up with them.

use super::*;

fn rested(node: &Node) -> f64 {
    node.pipeline.measure().rest_seconds.get()
}

#[actix_rt::test]
async fn commits_rest_while_merges_are_far_behind_and_no_longer() {
    let engine = Arc::new(Faulty::new(MemoryEngine::new(1 << 26)));
    let signer = ron_ledger::accumulator::Signer::new("localhost/test", &[9; 32]).unwrap();
    engine.fall_behind(90);
    let node = node_on(Arc::clone(&engine), SignedNotes::in_memory(signer), &[]);
    ready(&node).await;
    node.until("it is told", |node| node.pipeline.measure().merges_behind_percent.get() == 90)
        .await;
    assert_eq!(rested(&node), 0.0);
    assert_eq!(commit(&node, vec![mint("alice", 1)]).await, [1]);
    node.until("the committer has rested", |node| rested(node) > 0.0).await;
    // A little: requests are answered all the while.
    for seq in 2..12 {
        assert_eq!(commit(&node, vec![mint("alice", 1)]).await, [seq]);
    }

    engine.fall_behind(10);
    node.until("it is told", |node| node.pipeline.measure().merges_behind_percent.get() == 10)
        .await;
    node.until("the committer is idle", |node| depth_of(node, "committer") == 0).await;
    let before = rested(&node);
    assert_eq!(commit(&node, vec![mint("alice", 1)]).await, [12]);
    node.until("the committer is idle", |node| depth_of(node, "committer") == 0).await;
    assert_eq!(rested(&node), before);
    node.stop().await;
}
