//! Checkpoints over time: those of earlier sizes, and those after the log's keys have changed.

use std::path::Path;

use ron_ledger::accumulator::{Checkpoint, SignedNote, Signer, VerifierKey};
use ron_ledger::actors::pipeline::LogKeys;
use ron_ledger::storage::engine::{TruthBatch, TruthFamily};
use ron_ledger::storage::error::ReadError;

use super::*;

const ORIGIN: &str = "localhost/test";

fn signer(seed: u8) -> Signer {
    Signer::new(ORIGIN, &[seed; 32]).unwrap()
}

fn vkey(seed: u8) -> VerifierKey {
    signer(seed).verifier_key().clone()
}

fn engine() -> Arc<Faulty<MemoryEngine>> {
    Arc::new(Faulty::new(MemoryEngine::new(1 << 26)))
}

/// A node on the same log and notes as those before it, by these keys.
fn node_by(engine: &Arc<Faulty<MemoryEngine>>, dir: &Path, keys: LogKeys) -> Node {
    let signed = SignedNotes::in_dir(&dir.join("signed"), keys).unwrap();
    node_on(Arc::clone(engine), signed, &[("publish.min_interval", "1ms")])
}

/// The size of a note, and by which of the seeds 1 to 3 it is signed.
fn signed_by(note: &str) -> (u64, Vec<u8>) {
    let note = SignedNote::parse(note.as_bytes()).unwrap();
    let keys = (1..=3).filter(|&seed| note.verify(&[vkey(seed)]).is_ok()).collect();
    (Checkpoint::parse(note.text()).unwrap().size(), keys)
}

/// Waits until the newest note is of `size`, by these keys.
async fn newest(node: &Node, size: u64, seeds: &[u8]) {
    let expected = (size, seeds.to_vec());
    let is_so = |node: &Node| {
        node.pipeline.published().is_some_and(|newest| signed_by(&newest.note) == expected)
    };
    node.until(&format!("{size} is signed by {seeds:?}"), is_so).await;
}

#[actix_rt::test]
async fn after_a_rotation_both_keys_sign_until_the_old_one_is_retired() {
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let node = node_by(&engine, dir.path(), signer(1).into());
    ready(&node).await;
    commit(&node, vec![mint("alice", 1)]).await;
    commit(&node, vec![mint("alice", 1)]).await;
    newest(&node, 2, &[1]).await;
    let before = node.pipeline.published().unwrap();
    node.stop().await;

    let node = node_by(&engine, dir.path(), LogKeys::new(signer(2), Some(signer(1)), vec![]));
    ready(&node).await;
    // Nothing was written: the same checkpoint, by the keys of now.
    newest(&node, 2, &[1, 2]).await;
    assert_eq!(node.pipeline.published().unwrap().checkpoint, before.checkpoint);
    assert_eq!(node.pipeline.verifier_key(), &vkey(2));
    let earlier = node.pipeline.note_at(1).unwrap().unwrap();
    assert_eq!(signed_by(&earlier), (1, vec![1, 2]));
    node.stop().await;

    let node = node_by(&engine, dir.path(), LogKeys::new(signer(2), None, vec![vkey(1)]));
    ready(&node).await;
    newest(&node, 2, &[2]).await;
    commit(&node, vec![mint("alice", 1)]).await;
    newest(&node, 3, &[2]).await;
    node.stop().await;

    // Two changes of keys between two starts: the note that is found is by a retired key alone.
    let retired = vec![vkey(1), vkey(2)];
    let node = node_by(&engine, dir.path(), LogKeys::new(signer(3), None, retired));
    ready(&node).await;
    newest(&node, 3, &[3]).await;
    node.stop().await;
}

#[actix_rt::test]
async fn a_note_by_a_key_that_nobody_knows_bars_writes() {
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let node = node_by(&engine, dir.path(), signer(1).into());
    ready(&node).await;
    commit(&node, vec![mint("alice", 1)]).await;
    newest(&node, 1, &[1]).await;
    node.stop().await;
    let node = node_by(&engine, dir.path(), signer(2).into());
    node.until("it has looked", |node| !reasons(node).is_empty()).await;
    assert_eq!(refusal(submit(&node, vec![mint("alice", 1)])).await, Reason::SafeMode);
    assert!(node.pipeline.published().is_none());
    node.stop().await;
}

#[actix_rt::test]
async fn a_root_with_which_the_signed_tree_does_not_begin_is_not_signed() {
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let node = node_by(&engine, dir.path(), signer(1).into());
    ready(&node).await;
    commit(&node, vec![mint("alice", 1), mint("alice", 1)]).await;
    commit(&node, vec![mint("alice", 1)]).await;
    newest(&node, 3, &[1]).await;
    let good = node.pipeline.note_at(2).unwrap().unwrap();
    assert_eq!(signed_by(&good), (2, vec![1]));
    assert_eq!(node.pipeline.note_at(2).unwrap().unwrap(), good, "the same bytes");
    assert_eq!(node.pipeline.note_at(1).unwrap(), None, "inside of a group");
    assert_eq!(node.pipeline.note_at(4).unwrap(), None);
    // A stored root of size 1 that is not the log's.
    let mut batch = TruthBatch::new();
    let row = [&[7; 32][..], &[0; 8]].concat();
    batch.put(TruthFamily::Roots, 1_u64.to_be_bytes(), row);
    engine.commit(&batch).unwrap();
    assert!(matches!(node.pipeline.note_at(1), Err(ReadError::Damaged(_))));
    assert_eq!(node.pipeline.note_at(2).unwrap().unwrap(), good);
    node.stop().await;
}
