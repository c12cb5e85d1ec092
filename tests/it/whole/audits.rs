//! Auditors at a node that runs: an export that needs nobody, proofs of ranges, a comparison.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ron_ledger::accumulator::{Hash, HashAlgo, VerifierKey, verify_range};
use ron_ledger::audit::{
    ExportError, FilePrefixes, LedgerPrefixes, Prefixes, Range, Report, compare, export,
    verify_export,
};
use ron_ledger::client::Client;
use ron_ledger::client::workload::Spec;

use crate::support::daemon::{Daemon, PATIENT};
use crate::support::keys::Keys;
use crate::support::picture::published;
use crate::support::sending::{requests, send_all, spec};

/// A node with so many entries of all kinds that are published.
async fn filled(keys: &Keys, profile: &str, entries: usize) -> (Daemon, Client) {
    let node = Daemon::start(keys, profile, &PATIENT);
    let client = node.client(&keys.master());
    let workload = requests(Spec { invalid_share: 0.05, ..spec(entries, 11) }, 64);
    let fates = send_all(&client, workload).await;
    let last = fates.iter().filter_map(|fate| fate.seq()).max().unwrap();
    for _ in 0..1_000 {
        if published(&client).await.is_some_and(|(size, _)| size >= last) {
            return (node, client);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("entry {last} is not published");
}

async fn key_of(client: &Client) -> VerifierKey {
    let version = client.probe("version").await.unwrap();
    version["verifier_key"].as_str().unwrap().parse().unwrap()
}

async fn exported(client: &Client, range: &str, path: &Path) -> Result<(), ExportError> {
    let range: Range = range.parse().unwrap();
    export(client, range, path, &|_| (), &|_| ()).await.map(drop)
}

fn verified(path: &Path, key: &VerifierKey) -> Report {
    let report = verify_export(path, key, &|_, _| ()).unwrap();
    assert_eq!(report.problem, None);
    report
}

fn ctl(args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ron-ledgerctl"));
    let done = command.env_clear().args(args).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8(said).unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[actix_rt::test]
async fn an_export_is_verified_without_the_node() {
    let keys = Keys::new();
    let (node, client) = filled(&keys, "micronode", 3_000).await;
    let (key, dir) = (key_of(&client).await, tempfile::tempdir().unwrap());
    let file = |name: &str| -> PathBuf { dir.path().join(name) };
    exported(&client, "0:latest", &file("all")).await.unwrap();
    exported(&client, "1000:1499", &file("part")).await.unwrap();
    exported(&client, "1:1000", &file("first")).await.unwrap();
    exported(&client, "0:latest", &file("again")).await.unwrap();
    let read = |name: &str| std::fs::read_to_string(file(name)).unwrap();
    assert_eq!(read("all"), read("again"), "lines are a function of the range and the size");
    let refused = exported(&client, "1:1000000000", &file("more")).await;
    assert!(matches!(refused, Err(ExportError::NotPublished { .. })), "{refused:?}");
    node.kill();

    let whole = verified(&file("all"), &key);
    assert!(whole.entries > 2_000 && whole.entries == whole.size, "{whole:?}");
    assert_eq!(verified(&file("part"), &key).entries, 500);
    assert_eq!(verified(&file("first"), &key).entries, 1_000);
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(names.len(), 4, "nothing is left of the export that was refused");

    let (code, said) =
        ctl(&["audit", "verify", "--in", text(&file("all")), "--vkey", &key.to_string()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("not checked"), "{said}");
    let other = file("bad");
    std::fs::write(&other, read("all").replacen("\"linked\":false", "\"linked\":true", 1)).unwrap();
    let (code, said) =
        ctl(&["audit", "verify", "--json", "--in", text(&other), "--vkey", &key.to_string()]);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("\"verified\": false") && said.contains("line 2, entry 1"), "{said}");
    let (code, _) = ctl(&["audit", "verify", "--in", "/nowhere", "--vkey", &key.to_string()]);
    assert_eq!(code, Some(2));
}

#[actix_rt::test]
async fn ranges_are_proved_and_bad_ones_are_refused() {
    let keys = Keys::new();
    let (node, client) = filled(&keys, "micronode", 700).await;
    let anyone = Client::new(&ron_ledger::client::ClientOptions::new(&node.api)).unwrap();
    let roots = client.roots(0, 1000).await.unwrap().roots;
    let last = roots.last().unwrap().seq;
    for (from, to, size) in [(1, last, last), (1, 1, last), (last, last, last), (300, 299, last)] {
        let proof = anyone.range_proof(from, to, size).await.unwrap();
        let hashes: Vec<Hash> = proof.hashes.iter().map(|hash| hash.parse().unwrap()).collect();
        let page = client.entries(from, (to + 1 - from) as usize + 1).await.unwrap();
        let leaves = page.entries.iter().take((to + 1 - from) as usize);
        let leaf = |canonical: &str| HashAlgo::Sha256.leaf(&hex::decode(canonical).unwrap());
        let leaves = leaves.map(|entry| leaf(&entry.canonical));
        let root = proof.root.parse().unwrap();
        assert_eq!(proof.root, roots.last().unwrap().root);
        verify_range(HashAlgo::Sha256, from - 1, leaves, size, &hashes, &root).unwrap();
    }
    let older = &roots[roots.len() / 2];
    let proof = anyone.range_proof(1, 5, older.seq).await.unwrap();
    assert_eq!((proof.size, &proof.root), (older.seq, &older.root));
    for (from, to, size) in [(0, 5, last), (7, 5, last), (5, last + 1, last), (1, 2, 0)] {
        let error = anyone.range_proof(from, to, size).await.unwrap_err().to_string();
        assert!(error.contains("400"), "{from} {to} {size}: {error}");
    }
    let error = anyone.range_proof(1, 5, last + 1).await.unwrap_err().to_string();
    assert!(error.contains("404"), "{error}");
}

#[actix_rt::test]
async fn two_ledgers_are_compared_by_their_proofs() {
    let (one, other) = (Keys::new(), Keys::new());
    let (first, client) = filled(&one, "micronode", 600).await;
    let (second, stranger) = filled(&other, "micronode", 600).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("export");
    exported(&client, "0:latest", &file).await.unwrap();
    let of_file = Prefixes::File(FilePrefixes::open(&file, Some(&key_of(&client).await)).unwrap());
    let of_ledger =
        async |client| Prefixes::Ledger(LedgerPrefixes::open(client, None).await.unwrap());
    let (one, other) = (of_ledger(client).await, of_ledger(stranger).await);
    let same = compare(&one, &of_file).await.unwrap();
    assert_eq!(same.first_difference, None);
    assert_eq!(same.same, same.sides[0].to);
    // Same entries, the same order: nothing in an entry is the node's own.
    let twins = compare(&one, &other).await.unwrap();
    assert_eq!((twins.first_difference, twins.same), (None, twins.sides[0].to));
    let (code, said) = ctl(&["audit", "compare", &first.api, &second.api]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = ctl(&["audit", "compare", text(&file), &second.api]);
    assert_eq!(code, Some(0), "{said}");
}

#[cfg(feature = "rocks")]
mod stores {
    use std::collections::BTreeMap;

    use ron_ledger::audit::{Check, verify_store};

    use super::*;

    /// Every file below a directory, with its bytes.
    fn all_files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => found.extend(all_files(&path)),
                false => drop(found.insert(path.clone(), std::fs::read(&path).unwrap())),
            }
        }
        found
    }

    #[actix_rt::test]
    async fn a_store_is_verified_and_nothing_in_it_changes() {
        let keys = Keys::new();
        let (node, client) = filled(&keys, "macronode", 4_000).await;
        let (key, data) = (key_of(&client).await, keys.dir().join("data"));
        let file = keys.dir().join("export");
        exported(&client, "0:latest", &file).await.unwrap();
        let whole = verified(&file, &key);
        let in_use = verify_store(&data, &key, &|_, _| ()).unwrap_err().to_string();
        assert!(in_use.contains("in use"), "{in_use}");
        // What a kill leaves, with a log that no table has yet, and what an orderly stop leaves.
        node.kill();
        unchanged(&data, &key, &whole);
        let node = Daemon::start(&keys, "macronode", &PATIENT);
        assert_eq!(node.stop().0, Some(0));
        let report = unchanged(&data, &key, &whole);
        assert!(report.checked.contains(&Check::Derived), "{report:?}");
        let (code, said) =
            ctl(&["audit", "verify", "--data-dir", text(&data), "--vkey", &key.to_string()]);
        assert_eq!(code, Some(0), "{said}");
    }

    fn unchanged(data: &Path, key: &VerifierKey, whole: &Report) -> Report {
        let before = all_files(data);
        let report = verify_store(data, key, &|_, _| ()).unwrap();
        assert_eq!(report.problem, None);
        assert_eq!((report.entries, report.root), (whole.entries, whole.root));
        assert!(all_files(data) == before, "a file was changed, made or removed");
        report
    }
}
