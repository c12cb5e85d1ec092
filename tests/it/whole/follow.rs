//! A node that follows another one, each a process of its own, over an archive in a directory.

use std::time::{Duration, Instant};

use ron_ledger::client::workload::Spec;
use ron_ledger::client::{Client, ClientError};

use crate::support::daemon::Daemon;
use crate::support::keys::Keys;
use crate::support::picture::{Picture, published};
use crate::support::sending::{requests, send, send_all, spec};

/// The ledger of one node, the archive of it, and the keys of another node, which cannot sign.
struct Pair {
    leader: Keys,
    follower: Keys,
    archive: String,
    vkey: String,
}

impl Pair {
    fn new() -> Self {
        let (leader, follower) = (Keys::new(), Keys::new());
        std::fs::remove_dir_all(follower.dir().join("signing")).unwrap();
        let archive = format!("file://{}", leader.dir().join("archive").display());
        Pair { leader, follower, archive, vkey: String::new() }
    }

    async fn lead(&mut self) -> (Daemon, Client) {
        let settings = [("archive.url", self.archive.as_str()), ("archive.interval", "1s")];
        let daemon = Daemon::start(&self.leader, "macronode", &settings);
        let client = daemon.client(&self.leader.master());
        let version = client.probe("version").await.unwrap();
        self.vkey = version["verifier_key"].as_str().unwrap().to_owned();
        (daemon, client)
    }

    fn follow(&self, profile: &str) -> (Daemon, Client) {
        let mut command = Daemon::program();
        command.args(["--follow", &self.archive, "--follow-key", &self.vkey]);
        let more = [("archive.interval", "1s")];
        let daemon = Daemon::spawn_by(command, &self.follower, profile, &more);
        let client = daemon.client(&self.follower.master());
        (daemon, client)
    }
}

async fn fill(client: &Client, entries: usize, seed: u64) {
    send_all(client, requests(Spec { invalid_share: 0.0, ..spec(entries, seed) }, 16)).await;
}

/// Until both publish the same checkpoint.
async fn same(one: &Client, other: &Client) -> (u64, String) {
    let started = Instant::now();
    loop {
        let both = (published(one).await, published(other).await);
        match both {
            (Some(one), Some(other)) if one == other => return one,
            _ => assert!(started.elapsed() < Duration::from_secs(30), "{both:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[actix_rt::test]
async fn a_follower_serves_the_same_over_its_own_kill_and_becomes_the_writer() {
    let mut pair = Pair::new();
    let (leader, source) = pair.lead().await;
    fill(&source, 300, 1).await;
    let (follower, copy) = pair.follow("macronode");
    same(&source, &copy).await;
    assert_eq!(Picture::take(&copy).await.balances, Picture::take(&source).await.balances);
    let request = requests(spec(4, 9), 4).next().unwrap();
    match send(&copy, &request).await {
        Err(ClientError::Refused { status, body, .. }) => {
            assert_eq!((status, body.reason.as_ref()), (503, "follower"));
        }
        other => panic!("{other:?}"),
    }
    // Killed wherever it is by then, again and again.
    let mut killed = Some(follower);
    for seed in 2..6 {
        fill(&source, 100, seed).await;
        killed.take().into_iter().for_each(Daemon::kill);
        let (next, _) = pair.follow("macronode");
        tokio::time::sleep(Duration::from_millis(37 * seed)).await;
        killed = Some(next);
    }
    let follower = killed.unwrap();
    let copy = follower.client(&pair.follower.master());
    let (size, root) = same(&source, &copy).await;
    let picture = Picture::take(&copy).await;
    picture.assert_root(size, &root);
    assert_eq!(picture.canonical, Picture::take(&source).await.canonical);
    picture.check_published(&copy).await;
    // The node that writes ends, and has archived all; then the other one gets its keys.
    let started = Instant::now();
    let metrics = Client::new(&ron_ledger::client::ClientOptions::new(&leader.metrics)).unwrap();
    while !metrics
        .text("metrics")
        .await
        .unwrap()
        .contains(&format!("ledger_archived_size {size}\n"))
    {
        assert!(started.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(leader.stop().0, Some(0));
    assert_eq!(follower.stop().0, Some(0));
    for key in ["signing", "keyring"] {
        let to = pair.follower.dir().join(key);
        let _ = std::fs::remove_dir_all(&to);
        std::fs::rename(pair.leader.dir().join(key), to).unwrap();
    }
    let settings = [("archive.url", pair.archive.as_str()), ("archive.interval", "1s")];
    let writer = Daemon::start(&pair.follower, "macronode", &settings);
    let client = writer.client(&pair.follower.master());
    fill(&client, 50, 99).await;
    let mut picture = picture;
    picture.go_on(&client).await;
    assert!(picture.size() > size);
    picture.check_published(&client).await;
    assert_eq!(writer.stop().0, Some(0));
}

#[actix_rt::test]
async fn a_follower_in_memory_notices_an_archive_that_was_tampered_with() {
    let mut pair = Pair::new();
    let (leader, source) = pair.lead().await;
    fill(&source, 100, 1).await;
    let (mut follower, copy) = pair.follow("micronode");
    let (size, _) = same(&source, &copy).await;
    // A statement that is in its way.
    let path = pair.leader.dir().join(format!("archive/manifests/{:020}", size + 1));
    std::fs::write(path, "what nobody signed\n").unwrap();
    follower.await_line("following has stopped");
    let ready = copy.probe("readyz").await.unwrap();
    assert_eq!((&ready["ready"], &ready["mode"]), (&false.into(), &"follow_stopped".into()));
    assert_eq!(published(&copy).await.unwrap().0, size);
    assert_eq!(follower.stop().0, Some(0));
    drop(leader);
}
