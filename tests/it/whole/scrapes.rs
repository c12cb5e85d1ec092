//! Metrics as Prometheus' own programs read them: `promtool`, and the strict parser of its client for
//! Python, each where it is at hand.

use std::io::ErrorKind;
use std::process::Command;

use serde_json::Value;

use crate::support::certificates::answer;
use crate::support::daemon::{Daemon, PATIENT};
use crate::support::keys::Keys;
use crate::support::python::{fed, python_with, run};
use crate::support::sending::{requests, send_all, spec};

/// With traces, so that there are exemplars; nobody takes them.
const TRACED: [(&str, &str); 2] =
    [("telemetry.otlp_endpoint", "http://127.0.0.1:9"), ("telemetry.sample_ratio", "1")];

/// The durable one where it is built in.
const PROFILE: &str = if cfg!(feature = "rocks") { "macronode" } else { "micronode" };

const OPENMETRICS: &str = "accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";

/// The head and the body of what a daemon that has worked says.
async fn scraped(headers: &str) -> (String, String) {
    let keys = Keys::new();
    let node = Daemon::start(&keys, PROFILE, &[&PATIENT, &TRACED[..]].concat());
    send_all(&node.client(&keys.master()), requests(spec(200, 1), 10)).await;
    answer(&node, &format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\n{headers}"))
}

#[actix_rt::test]
async fn promtool_finds_nothing_to_say() {
    match Command::new("promtool").arg("--version").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("no promtool here: not checked");
            return;
        }
        known => assert!(known.unwrap().status.success()),
    }
    let (head, text) = scraped("").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let told = fed("promtool", &["check", "metrics"], &text);
    let said = String::from_utf8_lossy(&told.stderr) + String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success() && said.trim().is_empty(), "{said}");
}

#[actix_rt::test]
async fn latencies_lead_to_traces_by_exemplars() {
    let (head, text) = scraped(OPENMETRICS).await;
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    let Some(python) = python_with(&["prometheus_client"]) else { return };
    let told = run(&python, "openmetrics.py", &text);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let read: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(read["families"]["ledger_commits"], "counter");
    assert_eq!(read["families"]["ledger_commit_latency_seconds"], "histogram");
    let exemplars = read["exemplars"].as_array().unwrap();
    for name in [
        "ledger_commit_latency_seconds_bucket",
        "committer_batch_latency_seconds_bucket",
        "prevalidator_duration_seconds_bucket",
        "http_request_duration_seconds_bucket",
    ] {
        let of_it: Vec<_> = exemplars.iter().filter(|one| one["sample"] == name).collect();
        assert!(!of_it.is_empty(), "{name} has none");
        for one in of_it {
            assert_eq!(one["trace_id"].as_str().unwrap().len(), 32, "{one}");
            let bound = one["labels"]["le"].as_str().unwrap();
            let bound: f64 = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
            assert!(one["value"].as_f64().unwrap() <= bound, "it lies in its bucket: {one}");
        }
    }
}

/// What RocksDB counts is told, and moves.
#[cfg(feature = "rocks")]
#[actix_rt::test]
async fn the_engines_own_figures_are_told() {
    let (_, text) = scraped("").await;
    let value = |series: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
    };
    let groups = value("ledger_commits_total");
    assert!(value("rocksdb_wal_fsyncs_total") >= groups, "a sync for each group");
    assert!(value("rocksdb_wal_fsync_seconds_total") > 0.0);
    let longest = value("rocksdb_wal_fsync_percentile_seconds{percentile=\"100\"}");
    assert!(value("rocksdb_wal_fsync_percentile_seconds{percentile=\"50\"}") <= longest);
    assert!(value("rocksdb_memtable_bytes{store=\"truth\"}") > 0.0);
    assert!(value("rocksdb_block_cache_capacity_bytes") > 0.0);
    assert_eq!(value("never_seen_filter_bytes"), f64::from(16 << 20), "as large as it begins");
    assert_eq!(value("rocksdb_write_stopped{store=\"derived\"}"), 0.0);
    assert_eq!(value("rocksdb_background_errors{store=\"truth\"}"), 0.0);
}
