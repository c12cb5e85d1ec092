//! A hole in the log of a running ledger, in memory: whoever finds it, writes end with the reason `gap`.

use ron_ledger::accumulator::Signer;
use ron_ledger::actors::admin::Order;
use ron_ledger::actors::mode::IllegalMove;
use ron_ledger::ledger::entry::Kind;
use ron_ledger::storage::engine::{
    DerivedBatch, DerivedFamily, ScanLimit, TruthBatch, TruthFamily,
};
use ron_ledger::storage::error::ReadError;

use super::*;
use crate::support::entries::entry;

const ALL: ScanLimit = ScanLimit { items: usize::MAX, bytes: usize::MAX };
const SIZE: Seq = 5;

fn notes() -> SignedNotes {
    SignedNotes::in_memory(Signer::new("localhost/test", &[9; 32]).unwrap())
}

/// A ledger of five mints, and the same again without one of them; derived data as it was.
async fn holed(missing: Seq) -> (Node, Vec<Entry>) {
    let engine = Arc::new(Faulty::new(MemoryEngine::new(1 << 26)));
    let node = node_on(Arc::clone(&engine), notes(), &[]);
    ready(&node).await;
    let entries: Vec<Entry> = (0..SIZE).map(|_| mint("alice", 10)).collect();
    for entry in &entries {
        commit(&node, vec![entry.clone()]).await;
    }
    node.stop().await;
    let copy = MemoryEngine::new(1 << 26);
    let mut truth = TruthBatch::new();
    for family in TruthFamily::ALL {
        for (key, value) in engine.truth_scan(family, &[], ALL).unwrap() {
            if family != TruthFamily::Blocks || key != missing.to_be_bytes() {
                truth.put(family, key, value);
            }
        }
    }
    copy.commit(&truth).unwrap();
    let mut derived = DerivedBatch::new();
    for family in DerivedFamily::ALL {
        for (key, value) in engine.derived_scan(family, &[], None, ALL).unwrap() {
            derived.put(family, key, value);
        }
    }
    copy.derived_write(derived).unwrap();
    let node = node_on(Arc::new(Faulty::new(copy)), notes(), &[]);
    ready(&node).await;
    (node, entries)
}

async fn is_frozen(node: &Node) {
    node.until("the gap is told", |node| reasons(node) == [SafeReason::Gap]).await;
    // Where the verifier was first, the committer counts it at its next look.
    let counted = &node.pipeline.metrics().seq_gap_detected;
    node.until("the gap is counted", |_| counted.get() == 1).await;
    assert_eq!(refusal(submit(node, vec![mint("alice", 1)])).await, Reason::SafeMode);
    assert_eq!(head(node), SIZE);
    assert!(node.pipeline.reader().entry(SIZE).unwrap().is_some(), "reads go on");
}

async fn clear(node: &Node) -> Result<(), IllegalMove> {
    let order = Order::SafeModeClear { has_verified: true };
    node.pipeline.order(order).await.expect("an answer").map(|_| ())
}

#[actix_rt::test]
async fn a_hole_that_a_reader_meets_ends_writes_and_is_not_cleared_while_it_is_there() {
    for missing in [1, 3] {
        let (node, _) = holed(missing).await;
        let reader = node.pipeline.reader();
        assert!(
            matches!(reader.entries(1, SIZE, 10), Err(ReadError::Missing(seq)) if seq == missing)
        );
        is_frozen(&node).await;
        // Whatever says that it was looked at: the place is known, and is looked at again.
        for tries in 2..4 {
            assert_eq!(clear(&node).await, Err(IllegalMove::NeedsVerification(SafeReason::Gap)));
            assert_eq!(reasons(&node), [SafeReason::Gap]);
            assert_eq!(node.pipeline.metrics().seq_gap_detected.get(), tries);
        }
        node.stop().await;
    }
}

#[actix_rt::test]
async fn a_hole_that_the_committer_meets_ends_writes() {
    let (node, entries) = holed(3).await;
    let reference = Some(entries[2].id);
    let reverse = Entry { reference, ..entry(Kind::Reverse, "alice", 10) };
    assert_eq!(refusal(submit(&node, vec![reverse])).await, Reason::SafeMode);
    is_frozen(&node).await;
    node.stop().await;
}
