//! Far more than the ledger takes, by an open loop: it refuses in order, its memory stays bounded,
//! what it acknowledged is there once, and afterwards it works as before. `make overload` is the long
//! form, with latencies.

use std::time::Duration;

use ron_ledger::client::Client;
use ron_ledger::client::load::Load;
use ron_ledger::client::open::{Keep, Offered, Schedule, offer};
use ron_ledger::client::workload::Spec;
use ron_ledger::http::Format;

use crate::support::daemon::Daemon;
use crate::support::keys::Keys;
use crate::support::sending::spec;

/// For the peak of the resident memory: far above what a small ledger takes, far below what unbounded
/// queues would.
const PEAK_KIB_MAX: u64 = 400 * 1024;

/// Only new value, so that no entry depends on one that was refused.
async fn offered(client: &Client, schedule: Schedule, connections: usize, seed: u64) -> Offered {
    let mix = "mint=1".parse().unwrap();
    let spec = Spec { mix, invalid_share: 0.0, ..spec(1, seed) };
    let load = Load { connections, batch: 4, format: Format::default(), spec };
    offer(client, &load, schedule, Keep::Receipts, || ()).await.unwrap()
}

fn peak_kib(node: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Overload, then a little, and all of it is there.
async fn survives(settings: &[(&str, &str)], connections: usize) -> Offered {
    let keys = Keys::new();
    let node = Daemon::start(&keys, "macronode", settings);
    let client = node.client(&keys.master());
    let flood = Schedule { rate: 4_000, duration: Duration::from_secs(3) };
    let flooded = offered(&client, flood, connections, 1).await;
    let counts = flooded.counts;
    let refused = counts.busy + counts.unavailable + counts.late;
    assert!(refused > 0 && counts.ok > 0, "{counts:?}");
    assert_eq!(counts.without_retry_after, 0, "{counts:?}");
    assert_eq!((counts.partly, counts.other, counts.unanswered), (0, 0, 0), "{counts:?}");
    assert!(peak_kib(&node) < PEAK_KIB_MAX, "{} KiB", peak_kib(&node));

    let ready = client.probe("readyz").await.unwrap();
    assert_eq!(ready["ready"], true, "{ready}");
    let trickle = Schedule { rate: 20, duration: Duration::from_millis(500) };
    let after = offered(&client, trickle, 1, 1_000).await;
    assert_eq!(after.counts.busy + after.counts.other + after.counts.unanswered, 0);
    assert!(after.counts.ok > 0);

    let mut receipts = flooded.receipts.clone();
    receipts.add(after.receipts);
    let audit = receipts.audit(&client, 0).await.unwrap();
    assert!(audit.is_clean(), "{audit:?}");
    assert_eq!(audit.acknowledged, flooded.committed + after.committed);
    assert_eq!(node.stop().0, Some(0));
    flooded
}

#[actix_rt::test]
async fn above_the_rate_limit_is_refused_and_all_that_is_taken_is_kept() {
    let flooded = survives(&[("limits.requests_per_second", "200")], 32).await;
    let counts = flooded.counts;
    assert_eq!((counts.unavailable, counts.late), (0, 0), "{counts:?}");
    // The bucket is never larger than a tenth of a second.
    let bound = 200.0 * flooded.elapsed.as_secs_f64() + 21.0;
    assert!((counts.ok as f64) < bound, "{counts:?} in {:?}", flooded.elapsed);
}

#[actix_rt::test]
async fn full_queues_are_refused_and_all_that_is_taken_is_kept() {
    let small =
        [("limits.inflight_requests", "8"), ("queues.ingress", "4"), ("queues.commit", "4")];
    survives(&small, 64).await;
}
