//! Snapshots and the archive of a node that runs, and ledgers that are made of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use ron_ledger::client::{Client, workload::Spec};
use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::keys::Keys;
use crate::support::picture::published;
use crate::support::sending::{requests, send, spec};

/// A node with a local socket and an archive beside it.
struct Site {
    keys: Keys,
    more: Vec<(&'static str, String)>,
}

impl Site {
    fn new() -> Self {
        let keys = Keys::new();
        let at = |name: &str| keys.dir().join(name).display().to_string();
        let archive = format!("file://{}", at("archive"));
        let more = vec![
            ("uds.path", at("socket")),
            ("archive.url", archive),
            ("archive.interval", "1s".to_owned()),
        ];
        Site { keys, more }
    }

    fn settings<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = self.more.iter().map(|(key, value)| (*key, value.as_str()));
        own.chain(more.iter().copied()).collect()
    }

    fn start(&self, more: &[(&str, &str)]) -> Daemon {
        Daemon::start(&self.keys, "macronode", &self.settings(more))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.keys.dir().join(name)
    }

    fn archive(&self) -> &str {
        &self.more[1].1
    }

    fn ctl(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ron-ledgerctl"));
        command.env_clear().args(["--quiet", "--json", "--socket", &self.more[0].1]).args(args);
        let done = command.output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8(said).unwrap())
    }

    /// A command that succeeds, and what it shows.
    fn shown(&self, args: &[&str]) -> Value {
        let (code, said) = self.ctl(args);
        assert_eq!(code, Some(0), "{args:?}: {said}");
        serde_json::from_str(&said).unwrap()
    }

    fn refused(&self, exit: i32, told: &str, args: &[&str]) {
        let (code, said) = self.ctl(args);
        assert!(code == Some(exit) && said.contains(told), "{args:?}: {code:?} {said}");
    }
}

async fn key_of(client: &Client) -> String {
    client.probe("version").await.unwrap()["verifier_key"].as_str().unwrap().to_owned()
}

async fn fill(client: &Client, entries: usize, seed: u64) -> u64 {
    let mut size = 0;
    for request in requests(Spec { invalid_share: 0.0, ..spec(entries, seed) }, 16) {
        size = send(client, &request).await.unwrap().1.root_size;
    }
    size
}

/// The signed root of this size.
async fn root_at(client: &Client, size: u64) -> String {
    for _ in 0..1_000 {
        if published(client).await.is_some_and(|(reached, _)| reached >= size) {
            let roots = client.roots(size - 1, 1).await.unwrap();
            return roots.roots[0].root.to_string();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{size} is not published");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[actix_rt::test]
async fn a_snapshot_and_the_archive_after_it_are_the_ledger_again() {
    let site = Site::new();
    let daemon = site.start(&[]);
    let client = daemon.client(&site.keys.master());
    let key = key_of(&client).await;
    let before = fill(&client, 600, 1).await;
    let file = site.at("one.tar.zst");
    // While entries are written.
    let (made, after) = {
        let load = fill(&client, 2_000, 2);
        let args = ["snapshot", "create", "--out", text(&file), "--vkey", &key];
        let args = args.map(str::to_owned);
        let socket = site.more[0].1.clone();
        let create = tokio::task::spawn_blocking(move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ron-ledgerctl"));
            command.env_clear().args(["--quiet", "--json", "--socket", &socket]).args(args);
            command.output().unwrap()
        });
        let (after, made) = tokio::join!(load, create);
        (made.unwrap(), after)
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let (entries, root) = (made["entries"].as_u64().unwrap(), made["root"].as_str().unwrap());
    assert!((before..=after).contains(&entries), "{before} {entries} {after}");
    assert_eq!(root_at(&client, entries).await, root);
    assert_eq!(
        site.shown(&["snapshot", "verify", "--in", text(&file), "--vkey", &key])["root"],
        root
    );
    let metrics = client_of(&daemon.metrics).text("metrics").await.unwrap();
    assert!(metrics.contains("snapshots_total{outcome=\"made\"} 1"), "{metrics}");
    assert!(!site.at("data/staging").exists(), "nothing is left of the copy");
    let root = root_at(&client, after).await;
    let midway = client.roots(before - 1, 1).await.unwrap().roots[0].ts;
    let args = ["archive", "status", "--url", site.archive(), "--vkey", &key];
    while site.shown(&args)["entries"] != after {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let checked = site.shown(&["archive", "verify", "--url", site.archive(), "--vkey", &key]);
    assert_eq!((&checked["entries"], &checked["root"]), (&after.into(), &root.clone().into()));
    daemon.kill();

    // The snapshot and what came after it, then the archive alone, up to the middle.
    let (whole, part) = (site.at("whole"), site.at("part"));
    let from = ["--in", text(&file), "--archive", site.archive(), "--vkey", &key];
    let restore = ["snapshot", "restore", "--data-dir", text(&whole)];
    let restored = site.shown(&[&restore[..], &from].concat());
    assert_eq!((&restored["entries"], &restored["root"]), (&after.into(), &root.into()));
    assert_eq!(
        (&restored["from_snapshot"], &restored["takes_writes"]),
        (&entries.into(), &true.into())
    );
    assert_eq!(restored["is_proven"], true);
    site.refused(2, "not empty", &[&restore[..], &from].concat());
    let archive = ["--archive", site.archive(), "--vkey", &key, "--to-seq", "777"];
    let restored =
        site.shown(&[&["snapshot", "restore", "--data-dir", text(&part)], &archive[..]].concat());
    let reached = restored["entries"].as_u64().unwrap();
    assert!((700..=777).contains(&reached), "{restored}");
    assert_eq!((&restored["takes_writes"], &restored["is_proven"]), (&false.into(), &true.into()));
    let time = UNIX_EPOCH + Duration::from_millis(midway);
    let time = humantime::format_rfc3339_millis(time).to_string();
    let then = site.at("then");
    let archive = ["--archive", site.archive(), "--vkey", &key, "--to-time", &time];
    let restored =
        site.shown(&[&["snapshot", "restore", "--data-dir", text(&then)], &archive[..]].concat());
    let then = restored["entries"].as_u64().unwrap();
    // Groups of the same millisecond are all there.
    assert!((before..after).contains(&then), "{before} {restored} {after}");
    site.refused(
        2,
        "more than is asked for",
        &[&["snapshot", "restore", "--data-dir", text(&site.at("no")), "--to-seq", "5"], &from[..]]
            .concat(),
    );

    // The whole one goes on, the part does not.
    let daemon = site.start(&[("node.data_dir", text(&whole))]);
    let client = daemon.client(&site.keys.master());
    let again = requests(Spec { invalid_share: 0.0, ..spec(600, 1) }, 16).next().unwrap();
    let fates = send(&client, &again).await.unwrap().0;
    assert!(
        fates.iter().all(|fate| fate.to_string().starts_with('=')),
        "they are known: {fates:?}"
    );
    assert!(fill(&client, 100, 3).await > after);
    assert_eq!(daemon.stop().0, Some(0));
    let settings = site.settings(&[("node.data_dir", text(&part))]);
    let mut daemon = Daemon::spawn(&site.keys, "macronode", &settings);
    daemon.await_line("roll_back");
    let client = daemon.client(&site.keys.master());
    assert_eq!(client.entry(reached).await.unwrap().entry.seq, reached, "it is read");
    assert!(client.entry(reached + 1).await.is_err());
    let more = requests(Spec { invalid_share: 0.0, ..spec(16, 9) }, 16).next().unwrap();
    let refused = client.ingest(&more).await.unwrap_err().to_string();
    assert!(refused.contains("safe_mode"), "{refused}");
    assert_eq!(daemon.stop().0, Some(0));
}

fn client_of(url: &str) -> Client {
    Client::new(&ron_ledger::client::ClientOptions::new(url)).unwrap()
}

/// The names of a snapshot's files, and where the packed bytes of each begin is not known: so damage is
/// spread over all of it.
#[actix_rt::test]
async fn a_snapshot_that_is_damaged_or_anothers_is_refused_and_says_where() {
    let site = Site::new();
    let daemon = site.start(&[]);
    let client = daemon.client(&site.keys.master());
    let key = key_of(&client).await;
    fill(&client, 400, 1).await;
    let dir = site.at("snapshots");
    std::fs::create_dir(&dir).unwrap();
    site.shown(&["snapshot", "create", "--out", text(&dir)]);
    let [ref file] = files(&dir)[..] else { panic!("one file") };
    let stranger = ron_ledger::accumulator::Signer::new("localhost/test", &[1; 32]).unwrap();
    let stranger = stranger.verifier_key().to_string();
    let verify = ["snapshot", "verify", "--in", text(file), "--vkey"];
    site.refused(
        4,
        "manifest: the note has no signature by a known key",
        &[&verify[..], &[&stranger]].concat(),
    );
    let new = site.at("new");
    site.refused(
        4,
        "manifest",
        &["snapshot", "restore", "--data-dir", text(&new), "--in", text(file), "--vkey", &stranger],
    );
    assert_eq!(files(&new), Vec::<PathBuf>::new());

    let mut tar = tar::Archive::new(
        ron_ledger::backup::pack::Unpacker::new(std::fs::File::open(file).unwrap()).unwrap(),
    );
    let name = |entry: std::io::Result<tar::Entry<'_, _>>| {
        entry.unwrap().path().unwrap().to_str().unwrap().to_owned()
    };
    let names: Vec<String> = tar.entries().unwrap().map(name).collect();
    let place = |name: &str| names.iter().position(|it| it == name).unwrap();
    assert_eq!(names[..2], ["manifest", "files"]);
    assert!(place("signed/checkpoint") < place("derived/CURRENT"));
    assert!(place("derived/CURRENT") < place("truth/CURRENT"));
    assert!(!names.iter().any(|name| name.contains("key")), "{names:?}");

    let whole = std::fs::read(file).unwrap();
    let mut told = 0;
    for at in (0..whole.len()).step_by((whole.len() / 40).max(1)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(file, bytes).unwrap();
        let (code, said) = site.ctl(&[&verify[..], &[&key]].concat());
        assert_eq!(code, Some(4), "byte {at}: {said}");
        told += usize::from(names.iter().any(|name| said.contains(name.as_str())));
    }
    std::fs::write(file, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(site.ctl(&[&verify[..], &[&key]].concat()).0, Some(4), "the last byte is missing");
    assert!(told > 30, "{told} of 40 name a piece");
    std::fs::write(file, whole).unwrap();

    for _ in 0..2 {
        // Names go by the second.
        tokio::time::sleep(Duration::from_millis(1_050)).await;
        site.shown(&["snapshot", "create", "--out", text(&dir), "--keep", "2"]);
    }
    let listed = site.shown(&["snapshot", "list", "--dir", text(&dir), "--vkey", &key]);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert!(!file.exists(), "the oldest is gone");
    site.shown(&["snapshot", "prune", "--dir", text(&dir), "--keep", "1"]);
    let left: Vec<PathBuf> = files(&dir);
    assert_eq!(left.len(), 1);
    assert_eq!(listed[0]["file"], text(&left[0]), "the newest stays");
    assert_eq!(daemon.stop().0, Some(0));
}

fn files(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect()
}

#[actix_rt::test]
async fn a_full_disk_leaves_no_half_snapshot_and_the_ledger_goes_on() {
    let site = Site::new();
    let small = site.at("small");
    std::fs::create_dir(&small).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"]).arg(&small);
    if !mount.status().is_ok_and(|status| status.success()) {
        println!("SKIPPED: no file system can be mounted here");
        return;
    }
    let daemon = site.start(&[]);
    let client = daemon.client(&site.keys.master());
    let size = fill(&client, 1_000, 1).await;
    for _ in 0..2 {
        site.refused(
            5,
            "No space left",
            &["snapshot", "create", "--out", text(&small.join("x.tar.zst"))],
        );
        assert_eq!(files(&small), Vec::<PathBuf>::new());
    }
    assert!(fill(&client, 100, 2).await > size);
    // The copy goes when the daemon finds that nobody reads.
    while site.at("data/staging").exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(daemon.stop().0, Some(0));
    let _ = Command::new("umount").arg("-l").arg(&small).status();
}
