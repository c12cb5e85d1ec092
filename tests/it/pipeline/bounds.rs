//! A ledger in memory that is full: it refuses what is new, and forgets nothing before its end.

use std::collections::HashSet;

use super::*;

const SMALL: [(&str, &str); 5] = [
    ("limits.body_max_bytes", "64KiB"),
    ("limits.inflight_bytes", "1MiB"),
    ("derived.filter_bytes", "64KiB"),
    ("derived.flush_entries", "50"),
    ("memory.max_bytes", "1500KiB"),
];

/// Sends entries one by one until there is no room, and no flush on its way that would make some.
async fn fill(node: &Node) -> Vec<Entry> {
    let mut sent = Vec::new();
    loop {
        assert!(sent.len() < 2_000, "there must be an end");
        let (entry, was_settled) = (mint("alice", 1), is_settled(node));
        let answer = node.send(vec![entry.clone()]).await.unwrap().unwrap();
        match &*answer {
            Answer::Done { .. } => assert_eq!(committed(&answer), [sent.len() as Seq + 1]),
            Answer::Refused(reject) => {
                assert_eq!(reject.reason, Reason::Capacity);
                if was_settled {
                    return sent;
                }
                node.until("there is room for what was reserved", is_settled).await;
                continue;
            }
        }
        sent.push(entry);
    }
}

#[actix_rt::test]
async fn a_full_micronode_refuses_what_is_new_and_knows_what_is_old() {
    let node = micronode(&SMALL).await;
    let sent = fill(&node).await;
    assert!(sent.len() > 50, "{}", sent.len());
    let (size, root) = (head(&node), node.pipeline.reader().head().root);
    let bound = node.pipeline.reader().usage().unwrap().bytes_total;
    for entry in sent.iter().step_by(17) {
        assert_eq!(replayed(&node, entry).await, committed_at(&node, entry));
    }
    let mixed = vec![sent[0].clone(), mint("alice", 1), sent[1].clone()];
    let answer = node.send(mixed).await.unwrap().unwrap();
    match outcomes(&answer) {
        [Outcome::Replayed(1), Outcome::Rejected(reject), Outcome::Replayed(2)] => {
            assert_eq!(reject.reason, Reason::Capacity);
        }
        other => panic!("{other:?}"),
    }
    for _ in 0..20 {
        let refused = node.send(vec![mint("alice", 1)]).await.unwrap().unwrap();
        assert_eq!(reason(&refused), Reason::Capacity);
    }
    assert_eq!((head(&node), node.pipeline.reader().head().root), (size, root));
    assert!(node.pipeline.measure().store_bytes.get() as u64 <= bound);
    assert!(node.pipeline.readiness().ready, "full is no fault");
    node.until("the root is published", |node| node.pipeline.readiness().published_size == size)
        .await;
    node.stop().await;
}

/// Nothing of derived data is on its way to the engine, but what makes no layer yet.
fn is_settled(node: &Node) -> bool {
    node.pipeline.reader().derived_lag() < 50
}

fn committed_at(node: &Node, entry: &Entry) -> Seq {
    node.pipeline.reader().find(entry.id).unwrap().unwrap().seq
}

#[actix_rt::test]
async fn a_full_micronode_survives_its_committer() {
    let node = micronode(&[&SMALL[..], &[("safe_mode.auto_clear", "true")]].concat()).await;
    let sent = fill(&node).await;
    node.trigger.arm(Point::CommitBeforePlan, 1, || panic!("planted"));
    let _ = node.send(vec![mint("alice", 1)]).await;
    node.until("restarted", |node| {
        use ron_ledger::telemetry::ActorName::Committer;
        node.pipeline.metrics().actor_restarts.of(Committer).get() == 1
    })
    .await;
    ready(&node).await;
    for (entry, seq) in sent.iter().zip(1..).step_by(29) {
        assert_eq!(replayed(&node, entry).await, seq);
    }
    node.stop().await;
}

#[actix_rt::test]
async fn a_micronode_forgets_and_never_signs_two_histories_under_one_name() {
    let keys = Keys::new();
    let (mut keys, mut origins) = (Some(keys), HashSet::new());
    let entry = mint("alice", 1);
    for _ in 0..2 {
        let node = Node::open(keys.take().unwrap(), "micronode", &QUICK).await;
        assert_eq!(head(&node), 0, "nothing is left of the last one");
        assert_eq!(commit(&node, vec![entry.clone()]).await, [1], "not known any more");
        node.until("it is published", |node| node.pipeline.readiness().published_size == 1).await;
        origins.insert(node.pipeline.published().unwrap().checkpoint.origin().to_owned());
        keys = Some(node.stop().await);
        assert!(!keys.as_ref().unwrap().dir().join("data").exists(), "nothing on disk");
    }
    assert_eq!(origins.len(), 2);
}
