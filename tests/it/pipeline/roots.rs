//! Published roots: they only grow, there is one for each size, they are what the log says, and they
//! are signed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ron_ledger::accumulator::{Checkpoint, Signer, VerifierKey};
use ron_ledger::actors::pipeline::Published;

use super::*;

const ORIGIN: &str = "localhost/test";

fn signer() -> Signer {
    Signer::new(ORIGIN, &[9; 32]).unwrap()
}

fn notes(dir: &Path) -> SignedNotes {
    SignedNotes::in_dir(&dir.join("signed"), signer()).unwrap()
}

fn engine() -> Arc<Faulty<MemoryEngine>> {
    Arc::new(Faulty::new(MemoryEngine::new(1 << 26)))
}

fn published_size(node: &Node) -> u64 {
    node.pipeline.published().map_or(0, |newest| newest.checkpoint.size())
}

/// Everything that a reader sees who never looks away.
struct Watcher {
    stop: Arc<AtomicBool>,
    seen_count: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<Vec<Arc<Published>>>,
}

impl Watcher {
    fn start(node: &Node) -> Self {
        let (pipeline, stop) = (node.pipeline.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let seen_count = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen_count);
        let thread = std::thread::spawn(move || {
            let mut seen: Vec<Arc<Published>> = Vec::new();
            loop {
                // Once more after it was told to stop: what is there by then is seen.
                let is_last = stopped.load(Ordering::Acquire);
                let newest = pipeline.published();
                let is_new = |newest: &Arc<Published>| {
                    seen.last().is_none_or(|last| !Arc::ptr_eq(last, newest))
                };
                seen.extend(newest.filter(is_new));
                count.store(seen.len(), Ordering::Release);
                if is_last {
                    return seen;
                }
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        Watcher { stop, seen_count, thread }
    }

    /// Checks all that was seen; how many sizes there were.
    fn check(self, node: &Node, key: &VerifierKey) -> usize {
        self.stop.store(true, Ordering::Release);
        let seen = self.thread.join().unwrap();
        let sizes: Vec<u64> = seen.iter().map(|one| one.checkpoint.size()).collect();
        assert!(sizes.is_sorted(), "{sizes:?}");
        let mut roots = BTreeMap::new();
        for one in &seen {
            let note = one.note.as_bytes();
            let opened = Checkpoint::open(note, ORIGIN, std::slice::from_ref(key)).unwrap();
            assert_eq!(opened, one.checkpoint);
            let size = one.checkpoint.size();
            let root = *roots.entry(size).or_insert(one.checkpoint.root());
            assert_eq!(root, one.checkpoint.root(), "two roots of size {size}");
            if size > 0 {
                let rows = node.pipeline.reader().roots(size - 1, size, 1).unwrap();
                assert_eq!((rows[0].seq, rows[0].root), (size, root), "the log's own");
            }
        }
        roots.len()
    }
}

#[actix_rt::test]
async fn published_roots_grow_and_share_what_was_committed_in_between() {
    let dir = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let node = node_on(engine(), notes(dir.path()), &[("publish.min_interval", "20ms")]);
    ready(&node).await;
    let watcher = Watcher::start(&node);
    for seq in 1..=100 {
        assert_eq!(commit(&node, vec![mint("alice", 1)]).await, [seq]);
    }
    // However quickly they were committed: something is published before the rest follows.
    node.until("one is seen", |_| watcher.seen_count.load(Ordering::Acquire) > 0).await;
    for seq in 101..=200 {
        assert_eq!(commit(&node, vec![mint("alice", 1)]).await, [seq]);
    }
    node.until("the last one is published", |node| published_size(node) == 200).await;
    assert!(watcher.check(&node, signer().verifier_key()) > 1);
    let metrics = node.pipeline.measure();
    assert_eq!(metrics.published_size.get(), 200);
    assert_eq!(metrics.commits.get(), 200);
    let most = started.elapsed().as_millis() as u64 / 20 + 1;
    assert!(metrics.roots_published.get() <= most, "not more often than the interval");
    node.stop().await;
}

#[actix_rt::test]
async fn a_publisher_that_falls_over_never_takes_a_root_back() {
    let points =
        [Point::PublisherBeforeSign, Point::PublisherBeforeDurable, Point::PublisherAfterDurable];
    let dir = tempfile::tempdir().unwrap();
    let node = node_on(engine(), notes(dir.path()), &[("publish.min_interval", "1ms")]);
    ready(&node).await;
    let watcher = Watcher::start(&node);
    publisher_idle(&node).await;
    for (crashes, point) in (1..).zip(points) {
        node.trigger.arm(point, 1, move || panic!("planted at {point}"));
        let size = commit(&node, vec![mint("alice", 1)]).await[0];
        node.until("it is back", |node| {
            use ron_ledger::telemetry::ActorName::RootPublisher;
            node.pipeline.metrics().actor_restarts.of(RootPublisher).get() == crashes
        })
        .await;
        node.until("and published", |node| published_size(node) == size).await;
        ready(&node).await;
        let (kept, note) = notes(dir.path()).last().unwrap().unwrap();
        let shown = node.pipeline.published().unwrap();
        assert_eq!((&kept, note.as_str()), (&shown.checkpoint, &*shown.note), "durable first");
    }
    watcher.check(&node, signer().verifier_key());
    node.stop().await;
}

#[actix_rt::test]
async fn a_note_that_cannot_be_kept_is_not_shown_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let signed = dir.path().join("signed");
    let node = node_on(engine(), notes(dir.path()), &[("publish.min_interval", "1ms")]);
    ready(&node).await;
    publisher_idle(&node).await;
    let stall = Stall::and_then(&node, Point::PublisherBeforeDurable, || ());
    commit(&node, vec![mint("alice", 1)]).await;
    stall.reached(&node).await;
    std::fs::rename(&signed, dir.path().join("away")).unwrap();
    drop(stall);
    node.until("it has tried", |node| depth_of(node, "root_publisher") == 0).await;
    assert_eq!(published_size(&node), 0);
    assert!(node.pipeline.readiness().ready, "writes do not wait for roots");
    std::fs::rename(dir.path().join("away"), &signed).unwrap();
    node.until("it is published", |node| published_size(node) == 1).await;
    node.stop().await;
}

#[actix_rt::test]
async fn a_note_that_is_found_is_made_durable_again_before_it_is_shown() {
    use std::os::unix::fs::MetadataExt as _;

    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let node = node_on(Arc::clone(&engine), notes(dir.path()), &[]);
    ready(&node).await;
    commit(&node, vec![mint("alice", 1)]).await;
    node.stop().await;
    let note = dir.path().join("signed/checkpoint");
    let file = || std::fs::metadata(&note).unwrap().ino();
    let before = file();
    // In the way of the file that is to take the note's name.
    let in_the_way = dir.path().join("signed/checkpoint.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let node = node_on(engine, notes(dir.path()), &[]);
    ready(&node).await;
    node.until("it has tried", |node| depth_of(node, "root_publisher") == 0).await;
    assert_eq!(published_size(&node), 0, "what may be gone without power is not shown");
    assert_eq!(file(), before);
    std::fs::remove_dir(&in_the_way).unwrap();
    node.until("it is shown", |node| published_size(node) == 1).await;
    assert_ne!(file(), before, "written again");
    node.stop().await;
}

#[actix_rt::test]
async fn a_log_that_lacks_what_was_signed_takes_no_writes() {
    let dir = tempfile::tempdir().unwrap();
    let node = node_on(engine(), notes(dir.path()), &[]);
    ready(&node).await;
    commit(&node, vec![mint("alice", 1)]).await;
    node.stop().await;
    // The notes are kept, the ledger is another one.
    let node = node_on(engine(), notes(dir.path()), &[]);
    node.until("it has looked", |node| reasons(node) == [SafeReason::RollBack]).await;
    assert_eq!(refusal(submit(&node, vec![mint("alice", 1)])).await, Reason::SafeMode);
    node.until("what was signed is shown", |node| published_size(node) == 1).await;
    node.stop().await;
    assert_eq!(notes(dir.path()).last().unwrap().unwrap().0.size(), 1, "and not signed over");
}

/// A ledger whose store and notes are lost together, and of which a note was saved elsewhere.
async fn saved(entries: usize) -> String {
    let dir = tempfile::tempdir().unwrap();
    let node = node_on(engine(), notes(dir.path()), &[]);
    ready(&node).await;
    for _ in 0..entries {
        commit(&node, vec![mint("alice", 1)]).await;
    }
    node.stop().await;
    notes(dir.path()).last().unwrap().unwrap().1
}

#[actix_rt::test]
async fn a_note_from_elsewhere_stops_a_ledger_that_lacks_it_now_and_later() {
    for (here, there, why) in [
        (3, 5, SafeReason::RollBack),
        (5, 5, SafeReason::HeadMismatch),
        (5, 3, SafeReason::HeadMismatch),
    ] {
        let note = saved(there).await;
        let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
        let node = node_on(Arc::clone(&engine), notes(dir.path()), &[]);
        ready(&node).await;
        for _ in 0..here {
            commit(&node, vec![mint("alice", 1)]).await;
        }
        node.stop().await;
        let held = notes(dir.path()).hold_to(note).unwrap();
        let node = node_on(Arc::clone(&engine), held, &[]);
        node.until("it has looked", |node| reasons(node) == [why]).await;
        node.stop().await;
        if there > here {
            let node = node_on(engine, notes(dir.path()), &[]);
            node.until("it remembers", |node| reasons(node) == [why]).await;
            node.stop().await;
        }
    }
}

#[actix_rt::test]
async fn a_note_from_elsewhere_that_the_ledger_contains_changes_nothing() {
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let node = node_on(Arc::clone(&engine), notes(dir.path()), &[]);
    ready(&node).await;
    let mut saved = Vec::new();
    for size in 1..=3 {
        commit(&node, vec![mint("alice", 1)]).await;
        node.until("it is published", |node| published_size(node) == size).await;
        saved.push(node.pipeline.published().unwrap().note.to_string());
    }
    node.stop().await;
    // The newest here is gone: the one from elsewhere takes its place.
    for lost in [false, true] {
        for note in &saved {
            if lost {
                std::fs::remove_file(dir.path().join("signed/checkpoint")).unwrap();
            }
            let held = notes(dir.path()).hold_to(note.clone()).unwrap();
            let node = node_on(Arc::clone(&engine), held, &[]);
            ready(&node).await;
            node.until("it is published", |node| published_size(node) == 3).await;
            node.stop().await;
        }
    }
    let stranger = Signer::new(ORIGIN, &[8; 32]).unwrap();
    let checkpoint = Checkpoint::new(ORIGIN, 9, ron_ledger::accumulator::Hash([1; 32])).unwrap();
    let forged = ron_ledger::accumulator::sign_checkpoint(&stranger, &checkpoint).encode();
    assert!(notes(dir.path()).hold_to(forged).is_err());
    assert_eq!(notes(dir.path()).last().unwrap().unwrap().0.size(), 3);
}
