//! The system says that a write, or its way to the disk, has failed: nothing is acknowledged from
//! then on, reads go on, and the next start knows what is there.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::told::{Told, get, metric, workload};
use super::tracer::{Tracer, can_attach, fail, files_that_end};
use crate::support::daemon::{Daemon, PATIENT};
use crate::support::keys::Keys;
use crate::support::picture::Picture;
use crate::support::sending::{Fate, send};

/// Fails `call` on truth's logs with `error` in the middle of a life.
async fn a_log_that_fails(call: &str, error: &str) {
    let keys = Keys::new();
    let mut node = Daemon::start(&keys, "macronode", &PATIENT);
    let (mut requests, mut told) = (workload(11), Told::default());
    let client = node.client(&keys.master());
    for request in requests.by_ref().take(20) {
        told.send(&client, &request).await.unwrap();
    }
    let logs: Vec<PathBuf> = files_that_end(&keys.dir().join("data/truth"), ".log");
    let tracer = Tracer::attach(node.pid(), &fail(call, error, &logs));
    let lost = requests.next().unwrap();
    let answer = told.send(&client, &lost).await;
    assert_eq!(answer, Err("503 outcome_unknown".into()));
    node.await_line("commit error");
    let picture = Picture::take(&client).await;
    told.check(&picture);
    for request in requests.by_ref().take(5) {
        assert_eq!(told.send(&client, &request).await, Err("503 safe_mode".into()));
    }
    assert!(tracer.detach().contains("(INJECTED)"), "the fault hit");
    // The disk is well again; what happened before is still not known.
    assert_eq!(told.send(&client, &lost).await, Err("503 safe_mode".into()));
    assert_eq!(metric(&node, "wal_fsync_fail_total").await, 1);
    let ready = get(&format!("{}/readyz", node.metrics)).await;
    assert!(ready.contains("write_unknown"), "{ready}");
    told.check(&Picture::take(&client).await);
    assert_eq!(node.stop().0, Some(0));

    let node = Daemon::start(&keys, "macronode", &PATIENT);
    let client = node.client(&keys.master());
    let picture = Picture::take(&client).await;
    told.check(&picture);
    // Whole or not at all, and once.
    let (fates, _) = send(&client, &lost).await.unwrap();
    for (entry, fate) in lost.batch.iter().zip(fates) {
        match picture.seqs.get(&entry.id.to_string()) {
            Some(seq) => assert_eq!(fate, Fate::Replayed(*seq)),
            None => assert!(matches!(fate, Fate::Committed(_)), "{fate}"),
        }
    }
    for request in requests.take(5) {
        told.send(&client, &request).await.unwrap();
    }
    let picture = Picture::take(&client).await;
    told.check(&picture);
    picture.check_published(&client).await;
    assert_eq!(node.stop().0, Some(0));
}

#[actix_rt::test]
async fn a_log_that_cannot_be_synced_ends_writes_until_a_restart() {
    if can_attach() {
        a_log_that_fails("fdatasync", "EIO").await;
    }
}

#[actix_rt::test]
async fn a_log_that_cannot_be_written_ends_writes_until_a_restart() {
    if can_attach() {
        a_log_that_fails("write", "EIO").await;
        a_log_that_fails("write", "ENOSPC").await;
    }
}

/// All that RocksDB has in the directory of derived data, and what it will make there.
fn files_of_derived_data(data: &Path) -> Vec<PathBuf> {
    let derived = data.join("derived");
    let numbered = (1..600).flat_map(|number| {
        let tables = [format!("{number:06}.sst"), format!("{number:06}.dbtmp")];
        tables.into_iter().chain([format!("MANIFEST-{number:06}")])
    });
    numbered.map(|name| derived.join(name)).collect()
}

/// Bounds that are met soon.
const SHORT_LAG: [(&str, &str); 5] = [
    ("derived.flush_entries", "100"),
    ("derived.max_lag_entries", "400"),
    ("commit.batch_max_entries", "100"),
    ("limits.batch_max_entries", "100"),
    ("commit.expire_max", "10"),
];

/// A table's file is synced before the manifest names it: a fault that begins between the two is another one.
async fn no_flush_on_its_way(node: &Daemon) {
    let started = Instant::now();
    // A layer has as many when it is handed over.
    while metric(node, "derived_lag_entries").await >= 100 {
        assert!(started.elapsed() < Duration::from_secs(20), "it is not flushed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fails `call` on derived data until it trails to its bound, and lets go.
async fn derived_data_that_fails(call: &str) {
    let keys = Keys::new();
    let settings = [&PATIENT[..], &SHORT_LAG].concat();
    let node = Daemon::start(&keys, "macronode", &settings);
    let (mut requests, mut told) = (workload(12), Told::default());
    let client = node.client(&keys.master());
    for request in requests.by_ref().take(40) {
        told.send(&client, &request).await.unwrap();
    }
    no_flush_on_its_way(&node).await;
    let files = files_of_derived_data(&keys.dir().join("data"));
    let tracer = Tracer::attach(node.pid(), &fail(call, "EIO", &files));
    let before = told.0.len();
    let refused = loop {
        let request = requests.next().unwrap();
        if let Err(refusal) = told.send(&client, &request).await {
            assert_eq!(refusal, "429 busy");
            break request;
        }
        assert!(told.0.len() - before <= 400, "the bound of the lag does not hold");
    };
    assert!(metric(&node, "derived_lag_entries").await > 290);
    // However often it is tried meanwhile, by clients or by the flusher: reads go on.
    for _ in 0..2 {
        assert_eq!(told.send(&client, &refused).await, Err("429 busy".into()));
        told.check(&Picture::take(&client).await);
    }
    assert!(tracer.detach().contains("(INJECTED)"), "the fault hit");

    let started = Instant::now();
    while let Err(refusal) = told.send(&client, &refused).await {
        assert_eq!(refusal, "429 busy");
        assert!(started.elapsed() < Duration::from_secs(20), "{call}: it does not catch up");
    }
    for request in requests.by_ref().take(100) {
        told.send(&client, &request).await.unwrap();
    }
    let picture = Picture::take(&client).await;
    told.check(&picture);
    picture.check_published(&client).await;
    assert_eq!(metric(&node, "wal_fsync_fail_total").await, 0);
    assert_eq!(metric(&node, "actor_restarts_total{actor=\"committer\"}").await, 0);
    // What the memtables lost was written again: the next life finds derived data where it says it is.
    node.kill();
    let node = Daemon::start(&keys, "macronode", &settings);
    let again = Picture::take(&node.client(&keys.master())).await;
    assert!(again.canonical == picture.canonical);
    assert_eq!((again.balances, again.supply), (picture.balances, picture.supply));
    assert_eq!(node.stop().0, Some(0));
}

#[actix_rt::test]
async fn derived_data_that_cannot_be_written_trails_to_its_bound_and_catches_up_by_itself() {
    if can_attach() {
        derived_data_that_fails("write").await;
        derived_data_that_fails("fdatasync").await;
    }
}
