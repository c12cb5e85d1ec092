//! The archive: what is published comes into it, what it has can be made a ledger again, up to any group,
//! and what it knows better stops writes.

use std::path::Path;
use std::time::Duration;

use ron_ledger::accumulator::{Signer, VerifierKey};
use ron_ledger::backup::archive::{Archive, ArchiveError};
use ron_ledger::backup::check::check;
use ron_ledger::backup::restore::{RestoreError, Until, follow};
use ron_ledger::backup::target::Target;
use ron_ledger::ledger::names::AccountId;
use ron_ledger::storage::follow::Follower;
use ron_ledger::telemetry::ActorName;

use super::*;
use crate::support::entries::transfer;

fn signer() -> Signer {
    Signer::new("localhost/archived", &[9; 32]).unwrap()
}

fn keys() -> Vec<VerifierKey> {
    vec![signer().verifier_key().clone()]
}

fn engine() -> Arc<Faulty<MemoryEngine>> {
    Arc::new(Faulty::new(MemoryEngine::new(1 << 26)))
}

fn target(dir: &Path) -> Target {
    let url = format!("file://{}", dir.display());
    Target::open(&url, true, Duration::from_secs(5)).unwrap()
}

fn archived_at(engine: &Arc<Faulty<MemoryEngine>>, target: Target) -> Node {
    let to = ArchiveTo { target, interval: Duration::from_millis(20) };
    node_kept(Arc::clone(engine), SignedNotes::in_memory(signer()), None, Some(to), &[])
}

fn archived(engine: &Arc<Faulty<MemoryEngine>>, dir: &Path) -> Node {
    archived_at(engine, target(dir))
}

async fn fill(node: &Node, entries: usize) {
    ready(node).await;
    for count in 0..entries {
        let entry = match count % 3 {
            2 => transfer("alice", "bob", 1),
            _ => mint("alice", 2),
        };
        commit(node, vec![entry]).await;
    }
}

async fn is_archived(node: &Node) {
    node.until("all is archived", |node| {
        let size = node.pipeline.metrics().archived_size.get();
        size == head(node) as i64 && head(node) > 0
    })
    .await;
}

async fn open(dir: &Path) -> Archive {
    Archive::open(target(dir), keys()).await.unwrap()
}

fn follower(archive: &Archive) -> Follower {
    let lag = Lag { flush: 7, max: 1 << 20 };
    let options = StoreOptions { filter_bytes: 1 << 16, lag };
    let engine = Arc::new(MemoryEngine::new(1 << 26));
    Follower::open(engine, Some(archive.genesis().clone()), None, options).unwrap()
}

#[actix_rt::test]
async fn what_is_published_is_archived_and_comes_back_up_to_any_group() {
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    // The second life finds its place.
    for entries in [20, 13] {
        let node = archived(&engine, dir.path());
        fill(&node, entries).await;
        is_archived(&node).await;
        assert!(!node.pipeline.readiness().degraded);
        node.stop().await;
    }
    let node = archived(&engine, dir.path());
    ready(&node).await;
    let reader = node.pipeline.reader().clone();
    let roots = reader.roots(0, 33, 33).unwrap();
    let archive = open(dir.path()).await;
    let checked = check(&archive, &|_, _| ()).await.unwrap();
    assert_eq!((checked.entries, checked.root), (33, reader.head().root));
    for row in &roots {
        let mut copy = follower(&archive);
        let proven = follow(&mut copy, &archive, Until::Seq(row.seq), &|_, _| ()).await.unwrap();
        assert_eq!((copy.head().seq, copy.head().root, proven), (row.seq, row.root, row.seq));
        let mut copy = follower(&archive);
        follow(&mut copy, &archive, Until::Time(row.time), &|_, _| ()).await.unwrap();
        let last = roots.iter().rfind(|other| other.time <= row.time).unwrap();
        assert_eq!(copy.head().seq, last.seq);
    }
    let mut copy = follower(&archive);
    follow(&mut copy, &archive, Until::Latest, &|_, _| ()).await.unwrap();
    assert_eq!(copy.head(), reader.head());
    for name in ["alice", "bob"] {
        let id = AccountId::new(name).unwrap();
        assert_eq!(copy.reader().account(&id).unwrap(), reader.account(&id).unwrap());
    }
    // In the middle of a segment it goes on too.
    let mut copy = follower(&archive);
    follow(&mut copy, &archive, Until::Seq(5), &|_, _| ()).await.unwrap();
    follow(&mut copy, &archive, Until::Latest, &|_, _| ()).await.unwrap();
    assert_eq!(copy.head(), reader.head());
    node.stop().await;
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let inner = |dir: &Path| std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    inner(dir)
        .flat_map(|path| if path.is_dir() { inner(&path).collect() } else { vec![path] })
        .collect()
}

#[actix_rt::test]
async fn each_piece_that_is_damaged_or_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let node = archived(&engine(), dir.path());
    for _ in 0..3 {
        fill(&node, 4).await;
        is_archived(&node).await;
    }
    node.stop().await;
    let pieces = files(dir.path());
    assert!(pieces.len() >= 7, "{pieces:?}");
    for piece in pieces {
        let name = piece.file_name().unwrap().to_str().unwrap().to_owned();
        let whole = std::fs::read(&piece).unwrap();
        for damage in [Some(whole.len() / 2), None] {
            match damage {
                Some(at) => {
                    let mut bytes = whole.clone();
                    bytes[at] ^= 1;
                    std::fs::write(&piece, bytes).unwrap();
                }
                None => std::fs::remove_file(&piece).unwrap(),
            }
            let found = match Archive::open(target(dir.path()), keys()).await {
                Ok(archive) => check(&archive, &|_, _| ()).await.map(|it| it.entries),
                Err(error) => Err(error),
            };
            match (found, damage) {
                (Err(ArchiveError::None(_)), None) => assert_eq!(name, "genesis"),
                // Nothing tells that there was a last one.
                (Ok(size), None) => assert!(size < 12 && piece.to_string_lossy().contains("manif")),
                (Err(error), _) => assert!(error.to_string().contains(&name), "{name}: {error}"),
                (Ok(_), Some(_)) => panic!("{name}: damage goes unseen"),
            }
            std::fs::write(&piece, &whole).unwrap();
        }
    }
    let stranger = Signer::new("localhost/archived", &[8; 32]).unwrap().verifier_key().clone();
    let refused = Archive::open(target(dir.path()), vec![stranger]).await.err().unwrap();
    assert!(refused.to_string().contains("no signature by a known key"), "{refused}");
}

#[actix_rt::test]
async fn what_the_same_rules_do_not_make_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let node = archived(&engine(), dir.path());
    fill(&node, 3).await;
    is_archived(&node).await;
    node.stop().await;
    let archive = open(dir.path()).await;
    let first = archive.manifest(1).await.unwrap().unwrap().manifest;
    let mut groups = archive.groups(&first).await.unwrap();
    let mut copy = follower(&archive);
    groups[0].root.0[0] ^= 1;
    assert!(copy.take(&groups[..1]).unwrap_err().to_string().contains("root"));
    groups[0].root.0[0] ^= 1;
    assert_eq!(copy.take(&groups[..1]).unwrap().seq, 1);
    assert!(copy.take(&groups[..1]).is_err(), "the same group twice");
    assert_eq!(copy.head().seq, 1);
}

#[actix_rt::test]
async fn a_ledger_that_its_archive_has_more_of_takes_no_writes() {
    let dir = tempfile::tempdir().unwrap();
    let node = archived(&engine(), dir.path());
    fill(&node, 20).await;
    is_archived(&node).await;
    node.stop().await;
    // The whole store is lost, and what was signed with it.
    let node = archived(&engine(), dir.path());
    node.until("it is found out", |node| reasons(node).contains(&SafeReason::RollBack)).await;
    let refused = node.send(vec![mint("alice", 1)]).await.unwrap().unwrap();
    assert_eq!(reason(&refused), Reason::SafeMode);
    assert_eq!(head(&node), 0);
    node.stop().await;
    // Another history, as long and longer.
    for entries in [20, 33] {
        let other = engine();
        let node = node_on(Arc::clone(&other), SignedNotes::in_memory(signer()), &[]);
        fill(&node, entries).await;
        node.stop().await;
        let node = archived(&other, dir.path());
        node.until("it is found out", |node| reasons(node).contains(&SafeReason::HeadMismatch))
            .await;
        node.stop().await;
    }
    let copy = check(&open(dir.path()).await, &|_, _| ()).await.unwrap();
    assert_eq!(copy.entries, 20, "nothing of it came into the archive");
}

#[actix_rt::test]
async fn an_archive_that_fails_degrades_the_node_and_stops_no_write() {
    let dir = tempfile::tempdir().unwrap();
    // Where a folder must be.
    std::fs::write(dir.path().join("manifests"), b"").unwrap();
    let node = archived(&engine(), dir.path());
    fill(&node, 5).await;
    let failures = &node.pipeline.metrics().archive_failures;
    node.until("it has failed", |_| failures.get() > 1).await;
    let readiness = node.pipeline.readiness();
    assert!(readiness.ready && readiness.reason.unwrap().contains("archive"));
    std::fs::remove_file(dir.path().join("manifests")).unwrap();
    is_archived(&node).await;
    node.until("it is well again", |node| !node.pipeline.readiness().degraded).await;
    node.stop().await;
}

#[actix_rt::test]
async fn a_panic_of_the_one_who_archives_is_survived() {
    for point in [Point::ArchiverTimer, Point::ArchiverAnswered] {
        let dir = tempfile::tempdir().unwrap();
        let node = archived(&engine(), dir.path());
        node.trigger.arm(point, 1, move || panic!("planted at {point}"));
        let restarts = node.pipeline.metrics().actor_restarts.of(ActorName::Archiver);
        node.until("it is restarted", |_| restarts.get() == 1).await;
        fill(&node, 3).await;
        is_archived(&node).await;
        node.stop().await;
    }
}

#[actix_rt::test]
async fn an_end_before_what_is_there_already_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = archived(&engine(), dir.path());
    fill(&node, 6).await;
    is_archived(&node).await;
    node.stop().await;
    let archive = open(dir.path()).await;
    let mut copy = follower(&archive);
    follow(&mut copy, &archive, Until::Latest, &|_, _| ()).await.unwrap();
    // A log that parted from the archive's is not taken for its beginning.
    let other = archived(&engine(), tempfile::tempdir().unwrap().path());
    fill(&other, 2).await;
    let group = other.pipeline.reader().groups(0, 2, 1).unwrap();
    let mut parted = follower(&archive);
    parted.take(&group[..1]).unwrap();
    let refused = follow(&mut parted, &archive, Until::Latest, &|_, _| ()).await.unwrap_err();
    assert!(matches!(refused, RestoreError::Follow(_) | RestoreError::OtherRoot { .. }));
    other.stop().await;
}
