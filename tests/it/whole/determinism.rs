//! One workload, sent in order, gives one ledger: the same seqs, balances and roots in any batching,
//! on either engine, over a restart, and with derived data that was computed anew.
//!
//! Each run is held to the same digests, so that all runs are alike, on every machine.

use ron_ledger::client::unit::{UnitIn, pack};
use ron_ledger::client::workload::{Mix, Spec, Workload};
use ron_ledger::http::dto::RequestIn;
use serde::Serialize;

use crate::support::daemon::{Daemon, PATIENT};
use crate::support::keys::Keys;
use crate::support::picture::Picture;
use crate::support::sending::{Fate, requests, send_all, spec};

const ENTRIES: usize = 100_000;

/// Digests of a run.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    entries: u64,
    /// Over all entries.
    root: String,
    /// Of the root at each size.
    roots: String,
    /// Of what became of each entry of the workload.
    fates: String,
    /// Of all balances, and of the supply.
    balances: String,
}

fn expected() -> Run {
    let text = str::to_owned;
    Run {
        entries: 97_881,
        root: text("d52728a225983f0b8b8cf7dd47b7b0063e2ba78546a2282dfe56b3c632481400"),
        roots: text("693b1c1e44bb3e81"),
        fates: text("a1c5b12e52258749"),
        balances: text("c85be405ce58531d"),
    }
}

/// All kinds, and some entries that must be refused. What has to be a request of its own is rare, so
/// that requests come near to the size that is asked for.
fn workload() -> Spec {
    let mix: Mix =
        "mint=500,burn=300,transfer=4600,posting=1000,hold=1200,capture=900,release=300,\
                    reverse=50,atomic=5,replay=200"
            .parse()
            .unwrap();
    Spec { mix, invalid_share: 0.003, ..spec(ENTRIES, 20_250_101) }
}

fn digest(value: &impl Serialize) -> String {
    let text = serde_json::to_vec(value).unwrap();
    blake3::hash(&text).to_hex()[..16].to_owned()
}

/// Reads the ledger back, checks it, and takes its digests.
async fn run_of(node: &Daemon, token: &str, fates: &[Fate]) -> (Run, Vec<u64>) {
    let client = node.client(token);
    let picture = Picture::take(&client).await;
    let published = picture.check_published(&client).await;
    assert_eq!(fates.len(), ENTRIES);
    let run = Run {
        entries: picture.size(),
        root: picture.root().to_string(),
        roots: digest(&picture.roots),
        fates: digest(&fates.iter().map(Fate::to_string).collect::<Vec<_>>()),
        balances: digest(&(&picture.balances, &picture.supply)),
    };
    (run, published)
}

async fn check(profile: &str, batch: usize) -> Vec<u64> {
    let keys = Keys::new();
    let token = keys.master();
    let node = Daemon::start(&keys, profile, &PATIENT);
    let fates = send_all(&node.client(&token), requests(workload(), batch)).await;
    let (run, published) = run_of(&node, &token, &fates).await;
    assert_eq!(run, expected(), "{profile}, {batch} entries a request");
    assert_eq!(node.stop().0, Some(0));
    published
}

/// Sends one half, stops, does something to the directory, starts, and sends the other half.
async fn check_in_two_lives(between: impl FnOnce(&Keys)) {
    let keys = Keys::new();
    let token = keys.master();
    let mut requests = requests(workload(), 16);
    let node = Daemon::start(&keys, "macronode", &PATIENT);
    let mut fates = Vec::new();
    while fates.len() < ENTRIES / 2 {
        let next: Option<RequestIn<'_>> = requests.next();
        fates.extend(send_all(&node.client(&token), next).await);
    }
    assert_eq!(node.stop().0, Some(0));
    between(&keys);
    let node = Daemon::start(&keys, "macronode", &PATIENT);
    fates.extend(send_all(&node.client(&token), requests).await);
    assert_eq!(run_of(&node, &token, &fates).await.0, expected());
}

#[actix_rt::test]
async fn a_macronode_and_single_entries() {
    let published = check("macronode", 1).await;
    // Each request was a commit group of its own, and nearly each is a unit of one entry.
    assert!(published.len() > ENTRIES / 2, "{}", published.len());
}

#[actix_rt::test]
async fn a_macronode_and_batches_of_16() {
    check("macronode", 16).await;
}

#[actix_rt::test]
async fn a_macronode_and_batches_of_1000() {
    let published = check("macronode", 1000).await;
    assert!(published.len() < ENTRIES / 200, "{}", published.len());
}

#[actix_rt::test]
async fn a_micronode_and_single_entries() {
    check("micronode", 1).await;
}

#[actix_rt::test]
async fn a_micronode_and_batches_of_16() {
    check("micronode", 16).await;
}

#[actix_rt::test]
async fn a_micronode_and_batches_of_1000() {
    check("micronode", 1000).await;
}

#[actix_rt::test]
async fn a_restart_in_the_middle() {
    check_in_two_lives(|_| ()).await;
}

#[actix_rt::test]
async fn derived_data_is_computed_anew_in_the_middle() {
    check_in_two_lives(|keys| {
        std::fs::remove_dir_all(keys.dir().join("data/derived")).unwrap();
    })
    .await;
}

/// What was rejected is left out of the second time: a refusal is not pinned, and an overdraft may be
/// none when the account has more.
#[actix_rt::test]
async fn sent_twice_it_is_replayed_and_changes_nothing() {
    let keys = Keys::new();
    let token = keys.master();
    let node = Daemon::start(&keys, "macronode", &PATIENT);
    let client = node.client(&token);
    let first = send_all(&client, requests(workload(), 1000)).await;
    let before = run_of(&node, &token, &first).await.0;
    let valid = Workload::new(workload()).unwrap().filter(|unit| unit.valid);
    let again = pack(valid.map(|unit| UnitIn::from(&unit)), 16).map(|packed| packed.request);
    let again = send_all(&client, again).await;
    let original: Vec<_> = first.iter().filter_map(Fate::seq).map(Fate::Replayed).collect();
    assert!(original.len() > ENTRIES * 98 / 100);
    assert!(again == original, "a seq has changed");
    assert_eq!(run_of(&node, &token, &first).await.0, before);
}
