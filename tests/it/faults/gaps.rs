//! An entry is missing in the middle of the log: it is found by whoever looks there, counted, writes
//! are frozen, and what the runbook says to do then leads back.

use std::fs;

use ron_ledger::client::ClientError;

use super::sample::copy_dir;
use super::told::{Told, get, metric, workload};
use super::truth::Truth;
use crate::support::daemon::{Daemon, PATIENT};
use crate::support::keys::Keys;
use crate::support::picture::Picture;

const GAPS: &str = "ledger_seq_gap_detected_total";

/// A node that was sent thirty requests, one group each.
async fn lived(keys: &Keys, told: &mut Told) -> Daemon {
    let node = Daemon::start(keys, "macronode", &PATIENT);
    let client = node.client(&keys.master());
    for request in workload(31).take(30) {
        told.send(&client, &request).await.unwrap();
    }
    node
}

async fn readyz(node: &Daemon) -> String {
    get(&format!("{}/readyz", node.metrics)).await
}

fn refused(error: ClientError) -> (u16, String) {
    match error {
        ClientError::Refused { status, body, .. } => {
            (status, format!("{} {:?}", body.reason, body.details))
        }
        other => panic!("{other}"),
    }
}

/// RUNBOOK.md, "A gap", step by step.
#[actix_rt::test]
async fn a_gap_that_a_read_meets_freezes_writes_and_the_runbook_leads_back() {
    let (keys, mut told) = (Keys::new(), Told::default());
    let (data, copy) = (keys.dir().join("data"), keys.dir().join("copy"));
    assert_eq!(lived(&keys, &mut told).await.stop().0, Some(0));
    copy_dir(&data, &copy);
    let truth = Truth::open(&data);
    let missing = truth.groups()[15];
    truth.delete_group(missing);
    drop(truth);

    // Derived data reaches further, so that the start has no business there.
    let mut node = Daemon::start(&keys, "macronode", &PATIENT);
    let client = node.client(&keys.master());
    let page = refused(client.entries(1, 1000).await.unwrap_err());
    assert_eq!(page.0, 500);
    assert!(page.1.contains(&format!("entry {missing} is missing from the log")), "{}", page.1);
    node.await_line("writes are frozen");
    let refusal = told.send(&client, &workload(32).next().unwrap()).await;
    assert_eq!(refusal, Err("503 safe_mode".into()));
    assert_eq!(refused(client.entry(missing).await.unwrap_err()).0, 500);
    assert_eq!(metric(&node, GAPS).await, 1);
    assert_eq!(metric(&node, "ledger_safe_mode").await, 1);
    let said = readyz(&node).await;
    assert!(said.contains("safe_mode: gap"), "{said}");
    // What is there is read and exported: up to the hole, and behind it.
    let size = told.0.values().max().copied().unwrap();
    for seq in [1, missing - 1, size] {
        assert_eq!(client.entry(seq).await.unwrap().entry.seq, seq);
    }
    let note = client.checkpoint().await.unwrap();
    assert_eq!(node.stop().0, Some(0));

    // A restart alone does not forget it.
    let mut node = Daemon::spawn(&keys, "macronode", &PATIENT);
    node.line("committer=online");
    let said = readyz(&node).await;
    assert!(said.contains("safe_mode: gap"), "{said}");
    assert_eq!(node.stop().0, Some(0));

    // The last good copy, with the newest checkpoint that was saved.
    fs::rename(&data, keys.dir().join("damaged")).unwrap();
    copy_dir(&copy, &data);
    fs::write(data.join("signed/checkpoint"), &note).unwrap();
    let node = Daemon::start(&keys, "macronode", &PATIENT);
    let client = node.client(&keys.master());
    for request in workload(32).take(5) {
        told.send(&client, &request).await.unwrap();
    }
    let picture = Picture::take(&client).await;
    told.check(&picture);
    picture.check_published(&client).await;
    assert_eq!(metric(&node, GAPS).await, 0);
    assert_eq!(node.stop().0, Some(0));
}

#[actix_rt::test]
async fn a_gap_in_what_a_start_makes_up_is_found_by_the_start() {
    // The first group, one in the middle, the last one: which the head speaks of.
    for at in [0, 15, 29] {
        let (keys, mut told) = (Keys::new(), Told::default());
        lived(&keys, &mut told).await.kill();
        let truth = Truth::open(&keys.dir().join("data"));
        let missing = truth.groups()[at];
        truth.delete_group(missing);
        drop(truth);
        for _ in 0..2 {
            let mut node = Daemon::spawn(&keys, "macronode", &PATIENT);
            let line = node.line("the store is not opened for writes");
            assert!(line.contains(&format!("the log has no entry {missing}")), "{line}");
            let client = node.client(&keys.master());
            let refusal = told.send(&client, &workload(32).next().unwrap()).await;
            assert_eq!(refusal, Err("503 safe_mode".into()));
            // Nothing that was not verified is shown.
            assert_eq!(refused(client.entry(1).await.unwrap_err()).0, 503);
            assert_eq!(metric(&node, GAPS).await, 1);
            let said = readyz(&node).await;
            assert!(said.contains("safe_mode: gap"), "{said}");
            assert_eq!(node.stop().0, Some(0));
        }
    }
}
