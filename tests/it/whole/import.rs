//! A micronode that begins with what another one has exported.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ron_ledger::audit::export;
use ron_ledger::client::Client;
use ron_ledger::client::workload::Spec;

use crate::support::daemon::Daemon;
use crate::support::keys::Keys;
use crate::support::picture::{Picture, published};
use crate::support::sending::{Fate, requests, send_all, spec};

/// A micronode of so many entries, all published; its keys' directory takes the exports.
struct Site {
    keys: Keys,
    node: Daemon,
    client: Client,
    vkey: String,
}

impl Site {
    async fn new(entries: usize) -> Self {
        let keys = Keys::new();
        let node = Daemon::start(&keys, "micronode", &[]);
        let client = node.client(&keys.master());
        let fates = send_all(&client, requests(workload(entries), 8)).await;
        let last = fates.iter().filter_map(|fate| fate.seq()).max().unwrap();
        while published(&client).await.is_none_or(|(size, _)| size < last) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let version = client.probe("version").await.unwrap();
        let vkey = version["verifier_key"].as_str().unwrap().to_owned();
        Site { keys, node, client, vkey }
    }

    async fn exported(&self, name: &str, range: &str) -> PathBuf {
        let path = self.keys.dir().join(name);
        let range = range.parse().unwrap();
        export(&self.client, range, &path, &|_| (), &|_| ()).await.unwrap();
        path
    }
}

fn workload(entries: usize) -> Spec {
    Spec { invalid_share: 0.05, ..spec(entries, 3) }
}

fn importing(export: &Path, vkey: &str) -> Command {
    let mut command = Daemon::program();
    command.arg("--import").arg(export).args(["--import-key", vkey]);
    command
}

#[actix_rt::test]
async fn what_was_exported_goes_on_in_another_micronode() {
    let site = Site::new(3_000).await;
    let export = site.exported("whole", "0:latest").await;
    let before = Picture::take(&site.client).await;
    let origin = site.client.probe("version").await.unwrap()["origin"].clone();
    assert_eq!(site.node.stop().0, Some(0));

    let keys = Keys::new();
    let mut node = Daemon::spawn_by(importing(&export, &site.vkey), &keys, "micronode", &[]);
    node.await_line("ready=1");
    let client = node.client(&keys.master());
    let after = Picture::take(&client).await;
    assert!(before.canonical == after.canonical, "every entry, byte by byte");
    assert_eq!((before.root(), &before.balances), (after.root(), &after.balances));
    assert_eq!(before.supply, after.supply);
    let version = client.probe("version").await.unwrap();
    assert_eq!(version["parent"]["origin"], origin);
    assert_eq!(version["parent"]["size"], before.size());
    assert_ne!(version["origin"], origin, "it signs under a name of its own");

    let again = requests(workload(3_000), 8).take(20);
    let replayed = send_all(&client, again).await;
    let replayed = replayed.iter().filter(|fate| matches!(fate, Fate::Replayed(_))).count();
    assert!(replayed > 100, "what was sent there is known here: {replayed}");
    let more = requests(Spec { invalid_share: 0.0, ..spec(64, 4) }, 8);
    assert!(send_all(&client, more).await.iter().any(|fate| fate.seq().is_some()));
    let mut after = after;
    after.go_on(&client).await;
    assert!(after.size() > before.size());
    assert_eq!(node.stop().0, Some(0));
}

#[actix_rt::test]
async fn an_export_that_is_not_what_was_signed_is_no_beginning() {
    let site = Site::new(200).await;
    let whole = site.exported("whole", "0:latest").await;
    let part = site.exported("part", "5:latest").await;
    let damaged = site.keys.dir().join("damaged");
    let text = fs::read_to_string(&whole).unwrap();
    fs::write(&damaged, text.replacen("\"kind\":\"Mint\"", "\"kind\":\"Burn\"", 1)).unwrap();
    let stranger = ron_ledger::accumulator::Signer::new("localhost/test", &[1; 32]).unwrap();
    let stranger = stranger.verifier_key().to_string();
    for (export, vkey, profile, told) in [
        (&damaged, &site.vkey, "micronode", "kind is not what the canonical bytes say"),
        (&part, &site.vkey, "micronode", "export all of them"),
        (&whole, &stranger, "micronode", "the checkpoint"),
        (&whole, &"no key".to_owned(), "micronode", "--import-key no key: there is no such file"),
        (&site.keys.dir().join("none"), &site.vkey, "micronode", "No such file"),
        (&whole, &site.vkey, "macronode", "snapshot restore"),
    ] {
        let keys = Keys::new();
        let (code, said) = Daemon::refused_by(importing(export, vkey), &keys, profile, &[]);
        assert!(code == Some(1) && said.contains(told), "{told}: {code:?}\n{said}");
    }
    assert_eq!(site.node.stop().0, Some(0));
}
