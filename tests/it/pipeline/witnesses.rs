//! Witnesses, each a process of its own: what they have cosigned is shown with their word, and what they
//! know better stops writes.

use std::time::Duration;

use ron_ledger::accumulator::{Policy, SignedNote, Signer};
use ron_ledger::actors::pipeline::Watchers;
use ron_ledger::telemetry::{ActorName, WitnessAnswer};
use ron_ledger::upstream::witness::WitnessClient;

use super::*;
use crate::support::witness::{Witness, policy};

const ORIGIN: &str = "localhost/witnessed";

fn signer() -> Signer {
    Signer::new(ORIGIN, &[9; 32]).unwrap()
}

fn log_key() -> String {
    signer().verifier_key().to_string()
}

fn witness(name: &str) -> Witness {
    Witness::new(name, &[&log_key()])
}

fn engine() -> Arc<Faulty<MemoryEngine>> {
    Arc::new(Faulty::new(MemoryEngine::new(1 << 26)))
}

fn watched(engine: &Arc<Faulty<MemoryEngine>>, policy: &Policy, hold: bool) -> Node {
    let client = |witness| Arc::new(WitnessClient::new(witness, Duration::from_secs(5)).unwrap());
    let clients = policy.witnesses().iter().map(client).collect();
    let interval = Duration::from_millis(20);
    let watchers = Watchers { policy: policy.clone(), clients, hold, interval };
    node_of(Arc::clone(engine), SignedNotes::in_memory(signer()), Some(watchers), &[])
}

async fn fill(node: &Node, entries: usize) {
    ready(node).await;
    for _ in 0..entries {
        commit(node, vec![mint("alice", 1)]).await;
    }
}

fn answers(node: &Node, answer: WitnessAnswer) -> u64 {
    node.pipeline.metrics().witness_answers.of(answer).get()
}

async fn is_witnessed(node: &Node, size: u64) {
    node.until("enough have cosigned", |node| {
        node.pipeline.witnessed().is_some_and(|last| last.checkpoint.size() == size)
    })
    .await;
}

#[actix_rt::test]
async fn what_two_of_three_have_cosigned_is_shown_with_their_word() {
    let (one, other) = (witness("witness.example/1").start(), witness("witness.example/2").start());
    let away = witness("witness.example/3");
    let policy = policy(&[&one, &other, &away], 2);
    let node = watched(&engine(), &policy, false);
    for size in [3, 300, 301] {
        fill(&node, size - head(&node) as usize).await;
        is_witnessed(&node, size as u64).await;
        let shown = node.pipeline.published().unwrap();
        assert_eq!(shown.checkpoint.size(), size as u64);
        let note = SignedNote::parse(shown.note.as_bytes()).unwrap();
        assert_eq!(note.signatures().len(), 3, "the log's, and two witnesses'");
        note.verify(&[signer().verifier_key().clone()]).unwrap();
        assert!(policy.is_met(note.text(), note.signatures()));
    }
    assert!(answers(&node, WitnessAnswer::Failed) > 0, "the third one was asked too");
    assert!(node.pipeline.readiness().ready);
    node.stop().await;
}

#[actix_rt::test]
async fn nothing_is_published_before_there_are_enough_where_publication_waits() {
    let mut late = witness("witness.example/late");
    let policy = policy(&[&late], 1);
    let node = watched(&engine(), &policy, true);
    fill(&node, 5).await;
    let signed = &node.pipeline.metrics().roots_published;
    node.until("the root is signed", |_| signed.get() > 0).await;
    assert!(node.pipeline.published().is_none());
    late.run();
    is_witnessed(&node, 5).await;
    assert_eq!(node.pipeline.published().unwrap().checkpoint.size(), 5);
    late.kill();
    let failed = answers(&node, WitnessAnswer::Failed);
    fill(&node, 2).await;
    node.until("it is asked in vain", |node| answers(node, WitnessAnswer::Failed) > failed).await;
    assert_eq!(node.pipeline.published().unwrap().checkpoint.size(), 5);
    node.stop().await;
}

#[actix_rt::test]
async fn a_ledger_that_a_witness_has_seen_more_of_takes_no_writes() {
    let witness = witness("witness.example/1").start();
    let policy = policy(&[&witness], 1);
    let node = watched(&engine(), &policy, false);
    fill(&node, 20).await;
    is_witnessed(&node, 20).await;
    node.stop().await;
    // The whole store is lost, and what was signed with it.
    let node = watched(&engine(), &policy, false);
    node.until("it is found out", |node| reasons(node).contains(&SafeReason::RollBack)).await;
    let refused = node.send(vec![mint("alice", 1)]).await.unwrap().unwrap();
    assert_eq!(reason(&refused), Reason::SafeMode);
    assert_eq!(head(&node), 0);
    assert!(answers(&node, WitnessAnswer::Ahead) > 0);
    node.stop().await;
}

#[actix_rt::test]
async fn a_ledger_whose_history_a_witness_has_seen_otherwise_takes_no_writes() {
    let witness = witness("witness.example/1").start();
    let policy = policy(&[&witness], 1);
    let node = watched(&engine(), &policy, false);
    fill(&node, 20).await;
    is_witnessed(&node, 20).await;
    node.stop().await;
    for entries in [20, 33] {
        let other = engine();
        let node = node_on(Arc::clone(&other), SignedNotes::in_memory(signer()), &[]);
        fill(&node, entries).await;
        node.stop().await;
        let node = watched(&other, &policy, false);
        node.until("it is found out", |node| reasons(node).contains(&SafeReason::HeadMismatch))
            .await;
        assert!(answers(&node, WitnessAnswer::Fork) > 0);
        node.stop().await;
    }
}

#[actix_rt::test]
async fn a_panic_of_the_one_who_asks_is_survived() {
    let witness = witness("witness.example/1").start();
    let policy = policy(&[&witness], 1);
    for (point, way) in [
        (Point::WitnessesTimer, None),
        (Point::WitnessesAnswered, None),
        (Point::WitnessesStarted, Some(Point::WitnessesTimer)),
    ] {
        let node = watched(&engine(), &policy, false);
        let crashes = if way.is_some() { 2 } else { 1 };
        node.trigger.arm(way.unwrap_or(point), 1, move || panic!("planted at {point}"));
        if way.is_some() {
            node.trigger.arm(point, 1, move || panic!("planted at {point}"));
        }
        let restarts = node.pipeline.metrics().actor_restarts.of(ActorName::Witnesses);
        node.until("it is restarted", |_| restarts.get() == crashes).await;
        node.stop().await;
    }
}
