//! Data directories that earlier versions have left: this one opens each, and finds what was written.
//!
//! `tests/vectors/store-N.tar.zst` is the directory of schema N after an orderly stop, with the keys that
//! every test has; `store-N.json` is what that version showed of it. A published one never changes. The
//! one of a new schema is made once, by the version that brings it:
//! `cargo test --release --test it make_the_store_of_this_schema -- --ignored`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ron_ledger::backup::pack::{Packer, Unpacker};
use ron_ledger::client::unit::UnitIn;
use ron_ledger::client::workload::{Spec, Unit};
use ron_ledger::http::dto::{AssetOut, BalanceOut};
use ron_ledger::ledger::encode::decode;
use ron_ledger::ledger::entry::{Entry, Kind};
use ron_ledger::ledger::names::AccountId;
use ron_ledger::storage::genesis::SCHEMA;
use serde::{Deserialize, Serialize};

use crate::support::daemon::{Daemon, PATIENT};
use crate::support::entries::{entry, mint};
use crate::support::keys::{Keys, now_ms};
use crate::support::picture::Picture;
use crate::support::sending::{requests, send_all, spec};

/// What a version showed of its store.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Shown {
    schema: u32,
    version: String,
    size: u64,
    root: String,
    balances: BTreeMap<String, Vec<BalanceOut<'static>>>,
    supply: Vec<AssetOut<'static>>,
}

impl Shown {
    fn of(picture: &Picture, schema: u32, version: &str) -> Self {
        Shown {
            schema,
            version: version.to_owned(),
            size: picture.size(),
            root: picture.root().to_string(),
            balances: picture.balances.clone(),
            supply: picture.supply.clone(),
        }
    }
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn upgraded(keys: &Keys) {
    let mut command = Daemon::program();
    command.arg("--upgrade");
    for (key, value) in keys.settings("macronode", &[]) {
        command.args(["--set", &format!("{key}={value}")]);
    }
    let out = command.stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[actix_rt::test]
async fn the_store_of_every_schema_opens_and_goes_on() {
    for schema in 1..=SCHEMA {
        let path = vectors().join(format!("store-{schema}.json"));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|_| panic!("schema {schema} has no store: see the head of this file"));
        let shown: Shown = serde_json::from_str(&text).unwrap();
        let keys = Keys::new();
        let file = File::open(vectors().join(format!("store-{schema}.tar.zst"))).unwrap();
        tar::Archive::new(Unpacker::new(file).unwrap()).unpack(keys.dir()).unwrap();
        upgraded(&keys);
        let daemon = Daemon::start(&keys, "macronode", &PATIENT);
        let client = daemon.client(&keys.master());
        let mut picture = Picture::take(&client).await;
        assert_eq!(Shown::of(&picture, schema, &shown.version), shown);
        assert_eq!(picture.check_published(&client).await.last(), Some(&shown.size));
        let more = requests(Spec { invalid_share: 0.0, ..spec(40, 77) }, 8);
        send_all(&client, more).await;
        picture.go_on(&client).await;
        assert!(picture.size() > shown.size);
        picture.check_published(&client).await;
        assert_eq!(daemon.stop().0, Some(0));
    }
}

/// A hold whose time passes while the node looks on: the one kind that no client sends.
fn soon_expired() -> UnitIn {
    let hold = Entry {
        counterparty: Some(AccountId::new("shop").unwrap()),
        expires_at: Some(now_ms() + 1_500),
        ts: now_ms(),
        ..entry(Kind::Hold, "expiring", 5)
    };
    UnitIn::from(&Unit { entries: vec![mint("expiring", 5), hold], atomic: true, valid: true })
}

#[actix_rt::test]
#[ignore = "makes tests/vectors/store-N, once for a schema"]
async fn make_the_store_of_this_schema() {
    let packed = vectors().join(format!("store-{SCHEMA}.tar.zst"));
    assert!(!packed.exists(), "a published store never changes");
    let keys = Keys::new();
    let daemon = Daemon::start(&keys, "macronode", &PATIENT);
    let client = daemon.client(&keys.master());
    let load = Spec { invalid_share: 0.0, accounts: 8, ..spec(120, 1) };
    send_all(&client, requests(load, 8)).await;
    send_all(&client, ron_ledger::client::unit::pack([soon_expired()], 8).map(|one| one.request))
        .await;
    let kind = |bytes: &Vec<u8>| decode(bytes).unwrap().entry.kind;
    let picture = loop {
        let picture = Picture::take(&client).await;
        if picture.canonical.iter().any(|bytes| kind(bytes) == Kind::Expire) {
            break picture;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let kinds: Vec<Kind> = picture.canonical.iter().map(kind).collect();
    for wanted in Kind::ALL {
        assert!(kinds.contains(wanted), "no entry is a {wanted:?}");
    }
    picture.check_published(&client).await;
    assert_eq!(daemon.stop().0, Some(0));

    let mut tar = tar::Builder::new(Packer::new(File::create(&packed).unwrap()).unwrap());
    tar.append_dir("data", keys.dir().join("data")).unwrap();
    add(&mut tar, keys.dir(), Path::new("data"));
    tar.into_inner().unwrap().finish().unwrap().sync_all().unwrap();
    let shown = Shown::of(&picture, SCHEMA, env!("CARGO_PKG_VERSION"));
    let mut json = File::create(packed.with_file_name(format!("store-{SCHEMA}.json"))).unwrap();
    json.write_all(&serde_json::to_vec_pretty(&shown).unwrap()).unwrap();
    json.write_all(b"\n").unwrap();
}

/// What the engine writes for people, and would find out anew, is left out: it names this machine.
fn add(tar: &mut tar::Builder<Packer<File>>, root: &Path, folder: &Path) {
    let files = std::fs::read_dir(root.join(folder)).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let (at, text) = (folder.join(&name), name.to_str().unwrap());
        if root.join(&at).is_dir() {
            tar.append_dir(&at, root.join(&at)).unwrap();
            add(tar, root, &at);
        } else if !["LOG", "LOCK", "OPTIONS"].iter().any(|own| text.starts_with(own)) {
            tar.append_path_with_name(root.join(&at), &at).unwrap();
        }
    }
}
