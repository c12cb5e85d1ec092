//! The verifier reads the store of a running ledger again: a good one is passed over, and each kind of
//! damage is found, counted and told to the mode.

use ron_ledger::accumulator::Signer;
use ron_ledger::storage::engine::{
    DerivedBatch, DerivedFamily, Fault, ScanLimit, TruthBatch, TruthFamily,
};
use ron_ledger::telemetry::VerifierFinding;

use super::*;

const ALL: ScanLimit = ScanLimit { items: usize::MAX, bytes: usize::MAX };
const SIZE: Seq = 300;
const GROUP: usize = 30;

/// Passes follow one another, fast.
const EAGER: [(&str, &str); 2] =
    [("verifier.interval", "5ms"), ("verifier.entries_per_second", "1000000")];

/// It does not look before the damage is there.
const LATE: [(&str, &str); 1] = [("verifier.entries_per_second", "0")];

fn notes() -> SignedNotes {
    SignedNotes::in_memory(Signer::new("localhost/test", &[9; 32]).unwrap())
}

/// A ledger of more than one tile, flushed, whose node has ended.
async fn filled() -> Arc<Faulty<MemoryEngine>> {
    let engine = Arc::new(Faulty::new(MemoryEngine::new(1 << 26)));
    let node = node_on(Arc::clone(&engine), notes(), &LATE);
    ready(&node).await;
    while head(&node) < SIZE {
        commit(&node, (0..GROUP).map(|_| mint("alice", 10)).collect()).await;
    }
    node.stop().await;
    engine
}

/// A copy in which some records say something else, or are gone.
fn changed(
    engine: &Faulty<MemoryEngine>,
    truth: impl Fn(TruthFamily, &[u8], Vec<u8>) -> Option<Vec<u8>>,
    derived: impl Fn(DerivedFamily, &[u8], Vec<u8>) -> Option<Vec<u8>>,
) -> Arc<Faulty<MemoryEngine>> {
    let copy = MemoryEngine::new(1 << 26);
    let mut batch = TruthBatch::new();
    for family in TruthFamily::ALL {
        for (key, value) in engine.truth_scan(family, &[], ALL).unwrap() {
            if let Some(value) = truth(family, &key, value) {
                batch.put(family, key, value);
            }
        }
    }
    copy.commit(&batch).unwrap();
    let mut batch = DerivedBatch::new();
    for family in DerivedFamily::ALL {
        for (key, value) in engine.derived_scan(family, &[], None, ALL).unwrap() {
            if let Some(value) = derived(family, &key, value) {
                batch.put(family, key, value);
            }
        }
    }
    copy.derived_write(batch).unwrap();
    Arc::new(Faulty::new(copy))
}

fn flipped(mut value: Vec<u8>, at: usize) -> Option<Vec<u8>> {
    value[at] ^= 1;
    Some(value)
}

fn count(node: &Node, kind: VerifierFinding) -> u64 {
    node.pipeline.metrics().verifier_findings.of(kind).get()
}

fn last_pass(node: &Node) -> i64 {
    node.pipeline.metrics().verifier_last_complete_pass.get()
}

#[actix_rt::test]
async fn a_store_in_order_is_passed_over_and_the_time_told() {
    let node = node_on(filled().await, notes(), &EAGER);
    ready(&node).await;
    node.until("a pass is complete", |node| last_pass(node) > 1_600_000_000).await;
    let position = &node.pipeline.metrics().verifier_position;
    node.until("to the published end", |_| position.get() == SIZE as i64).await;
    // What comes later is in a later pass, while the ledger is written to.
    for size in SIZE + 1..SIZE + 20 {
        assert_eq!(commit(&node, vec![mint("alice", 1)]).await, [size]);
    }
    node.until("also what is new", |_| position.get() == SIZE as i64 + 19).await;
    for kind in [VerifierFinding::ChainBroken, VerifierFinding::Differs] {
        assert_eq!(count(&node, kind), 0);
    }
    assert!(node.pipeline.readiness().ready);
    node.stop().await;
}

#[actix_rt::test]
async fn each_kind_of_damage_is_found_and_stops_writes() {
    let engine = filled().await;
    let first = |seq: u64| seq.to_be_bytes().to_vec();
    let keep = |_: DerivedFamily, _: &[u8], value: Vec<u8>| Some(value);
    let truth = |family: TruthFamily, key: Vec<u8>, change: fn(Vec<u8>) -> Option<Vec<u8>>| {
        changed(
            &engine,
            move |of, at, value| {
                if of == family && at == key { change(value) } else { Some(value) }
            },
            keep,
        )
    };
    let mut tile = vec![0; 9];
    let (found, _) = engine.derived_scan(DerivedFamily::Tiles, &[], None, ALL).unwrap().remove(0);
    tile.splice(.., found);
    let tiles = changed(
        &engine,
        |_, _, value| Some(value),
        |of, at, value| match of == DerivedFamily::Tiles && at == tile {
            true => flipped(value, 77),
            false => Some(value),
        },
    );
    let blocks = TruthFamily::Blocks;
    use VerifierFinding::{ChainBroken, Differs};
    for (what, damaged, kind, reason) in [
        ("a lost block", truth(blocks, first(61), |_| None), ChainBroken, SafeReason::Gap),
        (
            "a seq in a block",
            truth(blocks, first(61), |value| flipped(value, 8 + 2 + 2 + 7)),
            ChainBroken,
            SafeReason::Gap,
        ),
        (
            "an entry's time",
            truth(blocks, first(61), |value| flipped(value, 8 + 2 + 2 + 8 + 7)),
            Differs,
            SafeReason::HeadMismatch,
        ),
        (
            "a version",
            truth(blocks, first(31), |value| flipped(value, 8 + 2)),
            Differs,
            SafeReason::HeadMismatch,
        ),
        (
            "a stored root",
            truth(TruthFamily::Roots, first(90), |value| flipped(value, 3)),
            Differs,
            SafeReason::HeadMismatch,
        ),
        ("a tile", tiles, Differs, SafeReason::HeadMismatch),
    ] {
        let node = node_on(damaged, notes(), &EAGER);
        node.until(what, |node| count(node, kind) > 0).await;
        node.until(what, |node| reasons(node).contains(&reason)).await;
        assert_eq!(refusal(submit(&node, vec![mint("alice", 1)])).await, Reason::SafeMode);
        let other = if kind == Differs { ChainBroken } else { Differs };
        assert_eq!((count(&node, other), last_pass(&node)), (0, 0), "{what}");
        assert!(node.pipeline.metrics().verifier_position.get() < SIZE as i64, "{what}");
        node.stop().await;
    }
}

#[actix_rt::test]
async fn what_cannot_be_read_is_no_finding_of_integrity() {
    let engine = filled().await;
    let node = node_on(Arc::clone(&engine), notes(), &EAGER);
    ready(&node).await;
    node.until("a pass is complete", |node| last_pass(node) > 0).await;
    let before = count(&node, VerifierFinding::Incomplete);
    engine.plan(Fault::TruthRead, 0, 3);
    node.until("a pass ends early", |node| count(node, VerifierFinding::Incomplete) > before).await;
    engine.heal();
    assert_eq!(count(&node, VerifierFinding::Differs), 0);
    assert_eq!(count(&node, VerifierFinding::ChainBroken), 0);
    assert_eq!(reasons(&node), []);
    node.stop().await;
}

#[actix_rt::test]
async fn one_that_is_turned_off_or_has_nothing_to_read_says_so() {
    let off = node_on(filled().await, notes(), &LATE);
    ready(&off).await;
    assert!(off.pipeline.readiness().actors.iter().all(|actor| actor.name != "verifier"));
    assert_eq!(last_pass(&off), 0);
    off.stop().await;
    let stuck = Arc::new(Faulty::new(MemoryEngine::new(1 << 26)));
    let node = node_on(Arc::clone(&stuck), notes(), &[]);
    ready(&node).await;
    node.stop().await;
    // It can be opened, and not recovered: nothing is published.
    stuck.plan(Fault::TruthRead, 1, u64::MAX);
    let node = node_on(stuck, notes(), &EAGER);
    node.until("it waits", |node| count(node, VerifierFinding::NotRun) > 1).await;
    assert_eq!(last_pass(&node), 0);
}
