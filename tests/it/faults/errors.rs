//! The system says that a write, or its way to the disk, has failed: nothing is acknowledged from
//! then on, reads go on, and the next start knows what is there.

use std::path::PathBuf;

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
