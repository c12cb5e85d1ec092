//! A node that follows another one's archive: it has the same ledger, checked by the same rules, signs
//! nothing, takes no writes, and stops at the first difference.

use std::path::Path;
use std::time::Duration;

use ron_ledger::accumulator::Signer;
use ron_ledger::actors::admin::Order;
use ron_ledger::actors::pipeline::{FollowFrom, LogKeys};
use ron_ledger::backup::target::Target;
use ron_ledger::ledger::names::AccountId;
use ron_ledger::telemetry::ActorName;

use super::*;
use crate::support::entries::transfer;

fn signer() -> Signer {
    Signer::new("localhost/followed", &[9; 32]).unwrap()
}

fn engine() -> Arc<Faulty<MemoryEngine>> {
    Arc::new(Faulty::new(MemoryEngine::new(1 << 26)))
}

fn target(dir: &Path) -> Target {
    let url = format!("file://{}", dir.display());
    Target::open(&url, true, Duration::from_secs(5)).unwrap()
}

fn leader(engine: &Arc<Faulty<MemoryEngine>>, dir: &Path) -> Node {
    let to = ArchiveTo { target: target(dir), interval: Duration::from_millis(20) };
    node_kept(Arc::clone(engine), SignedNotes::in_memory(signer()), None, Some(to), &[])
}

fn notes() -> SignedNotes {
    SignedNotes::in_memory(LogKeys::of_another(signer().verifier_key().clone(), Vec::new()))
}

fn follower_on(engine: &Arc<Faulty<MemoryEngine>>, dir: &Path, signed: SignedNotes) -> Node {
    let from = FollowFrom { target: target(dir), interval: Duration::from_millis(10) };
    node_by_parts(Arc::clone(engine), signed, None, (None, Some(from)), &[])
}

fn follower(dir: &Path) -> Node {
    follower_on(&engine(), dir, notes())
}

/// So many commits, and all of it archived.
async fn fill(node: &Node, entries: usize) {
    ready(node).await;
    for count in 0..entries {
        let entry = match count % 3 {
            2 => transfer("alice", "bob", 1),
            _ => mint("alice", 2),
        };
        commit(node, vec![entry]).await;
    }
    node.until("all is archived", |node| {
        node.pipeline.metrics().archived_size.get() == head(node) as i64
    })
    .await;
}

async fn reaches(node: &Node, size: Seq) {
    node.until("it has all", |node| {
        let published = node.pipeline.published().map_or(0, |newest| newest.checkpoint.size());
        published == size && head(node) == size && node.pipeline.readiness().ready
    })
    .await;
}

fn assert_same(one: &Node, other: &Node) {
    let (ours, theirs) = (one.pipeline.reader(), other.pipeline.reader());
    assert_eq!(ours.head(), theirs.head());
    assert_eq!(ours.roots(0, 1_000, 1_000).unwrap(), theirs.roots(0, 1_000, 1_000).unwrap());
    assert_eq!(ours.supply().unwrap(), theirs.supply().unwrap());
    for name in ["alice", "bob"] {
        let id = AccountId::new(name).unwrap();
        assert_eq!(ours.account(&id).unwrap(), theirs.account(&id).unwrap());
    }
}

async fn stops(node: &Node, why: &str) {
    node.until("it has stopped", |node| node.pipeline.metrics().follow_stopped.get() == 1).await;
    let readiness = node.pipeline.readiness();
    let reason = readiness.reason.unwrap();
    assert!(reason.contains(why), "{reason}");
    assert!(!readiness.ready && readiness.live && readiness.mode == "follow_stopped");
}

#[actix_rt::test]
async fn a_follower_has_the_same_ledger_and_refuses_writes() {
    let dir = tempfile::tempdir().unwrap();
    let source = leader(&engine(), dir.path());
    fill(&source, 20).await;
    let node = follower(dir.path());
    reaches(&node, 20).await;
    fill(&source, 7).await;
    reaches(&node, 27).await;
    assert_same(&node, &source);
    // What the archive carries, not one of its own.
    assert_eq!(node.pipeline.published().unwrap().note, source.pipeline.published().unwrap().note);
    assert!(node.pipeline.note_at(27).unwrap().is_some());
    assert_eq!(node.pipeline.note_at(5).unwrap(), None);
    assert_eq!(refused_now(&node, vec![mint("alice", 1)]), Some(Reason::Follower));
    let snapshot = node.pipeline.snapshot().err().unwrap().to_string();
    assert!(!snapshot.is_empty());
    let metrics = node.pipeline.measure();
    assert_eq!(metrics.follow_size.get(), 27);
    assert_eq!(metrics.follow_lag_entries.get(), 0);
    assert!(metrics.follow_lag.get() < 20.0 && metrics.head_seq.get() == 27);
    let readiness = node.pipeline.readiness();
    assert_eq!((readiness.mode.as_str(), readiness.degraded), ("following", false));
    source.stop().await;
    node.stop().await;
}

#[actix_rt::test]
async fn a_new_life_goes_on_where_its_own_store_is() {
    let (dir, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, own) = (leader(&engine(), dir.path()), engine());
    let key = || LogKeys::of_another(signer().verifier_key().clone(), Vec::new());
    for entries in [8, 8, 0] {
        fill(&source, entries).await;
        let signed = SignedNotes::in_dir(&kept.path().join("signed"), key()).unwrap();
        let node = follower_on(&own, dir.path(), signed);
        reaches(&node, head(&source)).await;
        assert_same(&node, &source);
        node.stop().await;
    }
    // And as the node that writes, once the other one has ended.
    source.stop().await;
    let signed = SignedNotes::in_dir(&kept.path().join("signed"), signer()).unwrap();
    let to = ArchiveTo { target: target(dir.path()), interval: Duration::from_millis(20) };
    let node = node_kept(own, signed, None, Some(to), &[]);
    fill(&node, 4).await;
    assert_eq!(head(&node), 20);
    let watching = follower(dir.path());
    reaches(&watching, 20).await;
    assert_same(&watching, &node);
    watching.stop().await;
    node.stop().await;
}

#[actix_rt::test]
async fn a_panic_of_the_one_who_follows_is_survived() {
    for point in [Point::FollowerTimer, Point::FollowerAnswered] {
        let dir = tempfile::tempdir().unwrap();
        let source = leader(&engine(), dir.path());
        fill(&source, 5).await;
        let node = follower(dir.path());
        node.trigger.arm(point, 1, move || panic!("planted at {point}"));
        let restarts = node.pipeline.metrics().actor_restarts.of(ActorName::Follower);
        node.until("it is restarted", |_| restarts.get() == 1).await;
        fill(&source, 5).await;
        reaches(&node, 10).await;
        assert_same(&node, &source);
        source.stop().await;
        node.stop().await;
    }
}

/// The objects of a folder, in order.
fn objects(dir: &Path, folder: &str) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(dir.join(folder)).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[actix_rt::test]
async fn a_difference_stops_it_and_what_was_verified_is_served() {
    type Damage = fn(&Path);
    let cases: [(&str, &str, Damage); 5] = [
        ("a byte of a segment", "its digest is not that of its manifest", |dir| {
            let last = objects(dir, "segments").pop().unwrap();
            let mut bytes = std::fs::read(&last).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            std::fs::write(last, bytes).unwrap();
        }),
        ("a segment that is gone", "it is not there", |dir| {
            std::fs::remove_file(objects(dir, "segments").pop().unwrap()).unwrap();
        }),
        ("a statement that nobody signed", "signature", |dir| {
            let last = objects(dir, "manifests").pop().unwrap();
            let text = std::fs::read_to_string(&last).unwrap();
            std::fs::write(last, text.replacen("\"to\":", "\"to\": ", 1)).unwrap();
        }),
        ("a gap", "is gone, or is another one", |dir| {
            let manifests = objects(dir, "manifests");
            std::fs::remove_file(&manifests[manifests.len() - 2]).unwrap();
        }),
        ("a roll-back", "is gone, or is another one", |dir| {
            for manifest in objects(dir, "manifests") {
                std::fs::remove_file(manifest).unwrap();
            }
        }),
    ];
    for (case, why, damage) in cases {
        let dir = tempfile::tempdir().unwrap();
        let source = leader(&engine(), dir.path());
        fill(&source, 6).await;
        let node = follower(dir.path());
        reaches(&node, 6).await;
        // Held while the archive grows, so that it sees nothing but the damage.
        let (release, held) = mpsc::channel::<()>();
        let (tell, reached) = mpsc::channel();
        node.trigger.arm(Point::FollowerTimer, 1, move || {
            let _ = tell.send(());
            let _ = held.recv();
        });
        node.until("it is held", |_| reached.try_recv().is_ok()).await;
        fill(&source, 1).await;
        fill(&source, 1).await;
        source.stop().await;
        damage(dir.path());
        drop(release);
        stops(&node, why).await;
        let size = head(&node);
        assert!((6..8).contains(&size), "{case}: {size}");
        assert_eq!(node.pipeline.published().unwrap().checkpoint.size(), size, "{case}");
        assert_eq!(node.pipeline.reader().entries(1, 6, 10).unwrap().len(), 6, "{case}");
        assert_eq!(refused_now(&node, vec![mint("alice", 1)]), Some(Reason::Follower));
        node.stop().await;
    }
}

#[actix_rt::test]
async fn an_archive_that_has_less_than_the_node_stops_it() {
    let (dir, short) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = leader(&engine(), dir.path());
    fill(&source, 6).await;
    std::fs::copy(dir.path().join("genesis"), short.path().join("genesis")).unwrap();
    let own = engine();
    let node = follower_on(&own, dir.path(), notes());
    reaches(&node, 6).await;
    node.stop().await;
    let node = follower_on(&own, short.path(), notes());
    stops(&node, "the archive has 0 entries, this node 6").await;
    assert_eq!(head(&node), 6);
    node.stop().await;
    source.stop().await;
}

#[actix_rt::test]
async fn an_archive_that_does_not_answer_stops_nothing() {
    let (dir, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = leader(&engine(), dir.path());
    fill(&source, 3).await;
    let node = follower(dir.path());
    reaches(&node, 3).await;
    let manifests = dir.path().join("manifests");
    // Where a folder must be.
    std::fs::rename(&manifests, away.path().join("manifests")).unwrap();
    std::fs::write(&manifests, b"").unwrap();
    let failures = &node.pipeline.metrics().follow_failures;
    node.until("it has failed", |_| failures.get() > 1).await;
    let readiness = node.pipeline.readiness();
    assert!(readiness.ready && readiness.reason.unwrap().contains("does not answer"));
    std::fs::remove_file(&manifests).unwrap();
    std::fs::rename(away.path().join("manifests"), &manifests).unwrap();
    node.until("it is well again", |node| !node.pipeline.readiness().degraded).await;
    fill(&source, 3).await;
    reaches(&node, 6).await;
    source.stop().await;
    node.stop().await;
}

#[actix_rt::test]
async fn an_operators_safe_mode_holds_it_until_it_is_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let source = leader(&engine(), dir.path());
    fill(&source, 3).await;
    let node = follower(dir.path());
    reaches(&node, 3).await;
    node.pipeline.order(Order::SafeModeEnter).await.unwrap().unwrap();
    assert!(!node.pipeline.readiness().ready);
    fill(&source, 3).await;
    let clear = Order::SafeModeClear { has_verified: false };
    node.pipeline.order(clear).await.unwrap().unwrap();
    reaches(&node, 6).await;
    assert!(node.pipeline.order(clear).await.unwrap().is_err(), "nothing stands");
    source.stop().await;
    node.stop().await;
}
