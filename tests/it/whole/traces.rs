//! Traces as a collector gets them, by OpenTelemetry's own messages in Python; how many requests are
//! traced; and what a collector that is away costs.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ron_ledger::client::unit::to_wire;
use ron_ledger::client::{Client, ClientOptions};
use ron_ledger::http::admin::{OrderIn, OrderName};
use ron_ledger::http::dto::RequestIn;
use ron_ledger::http::telemetry::LevelsIn;
use serde_json::Value;

use crate::support::certificates::series;
use crate::support::daemon::{Daemon, PATIENT};
use crate::support::entries::mint;
use crate::support::keys::Keys;
use crate::support::python::{Running, python_with};

/// Far beyond the pauses between exports: only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The durable one where it is built in: the stages are the same.
const PROFILE: &str = if cfg!(feature = "rocks") { "macronode" } else { "micronode" };

/// A caller's trace, from the examples of the W3C recommendation.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// All stages of a batch, as they begin.
const STAGES: [&str; 6] = [
    "ingress.handle",
    "prevalidator.check",
    "sequencer.assign",
    "commit.append",
    "commit.fsync",
    "publish.root",
];

fn start(keys: &Keys, profile: &str, collector: &str, ratio: &str) -> Daemon {
    let socket = keys.dir().join("s").display().to_string();
    let own = [
        ("telemetry.otlp_endpoint", collector),
        ("telemetry.sample_ratio", ratio),
        ("uds.path", socket.as_str()),
    ];
    Daemon::start(keys, profile, &[&PATIENT, &own[..]].concat())
}

fn local(keys: &Keys) -> Client {
    let socket = Some(keys.dir().join("s"));
    Client::new(&ClientOptions { socket, ..ClientOptions::new("http://localhost") }).unwrap()
}

/// Mints, by a request with these headers besides the token's; the status line and the headers.
fn post(node: &Daemon, token: &str, entries: u128, headers: &str) -> String {
    let batch: Vec<_> = (0..entries).map(|at| to_wire(&mint("alice", at + 1))).collect();
    let body = serde_json::to_string(&RequestIn { batch, idem_id: None, atomic: false }).unwrap();
    let mut socket = TcpStream::connect(node.api.rsplit('/').next().unwrap()).unwrap();
    write!(
        socket,
        "POST /ingest HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         authorization: Bearer {token}\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer.split("\r\n\r\n").next().unwrap().to_owned()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn counted(node: &Daemon, name: &str) -> i64 {
    series(node, name).unwrap()
}

fn await_that(what: &str, is: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The spans of the caller's trace, by name, until all are there.
fn spans_of_the_trace(collector: &Running) -> BTreeMap<String, Value> {
    let mut spans = BTreeMap::new();
    while !(STAGES.iter().all(|stage| spans.contains_key(*stage))
        && spans.contains_key("POST /ingest"))
    {
        let line = collector.line(PATIENCE).unwrap_or_else(|_| panic!("no more than {spans:#?}"));
        let span: Value = serde_json::from_str(&line).unwrap();
        if span["trace"] == TRACE {
            let name = span["name"].as_str().unwrap().to_owned();
            assert!(spans.insert(name, span).is_none(), "each stage once: {line}");
        }
    }
    spans
}

#[test]
fn a_collector_gets_the_whole_way_of_a_batch() {
    let Some(python) = python_with(&["grpc", "opentelemetry.proto.collector.trace.v1"]) else {
        return;
    };
    let collector = Running::start(&python, "otlp_receiver.py");
    let port = collector.line(PATIENCE).unwrap();
    let keys = Keys::new();
    let node = start(&keys, PROFILE, &format!("http://127.0.0.1:{port}"), "0");
    let caller = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\nx-corr-id: order-17\r\n");
    let head = post(&node, &keys.master(), 3, &caller);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(header(&head, "x-corr-id"), Some("order-17"));

    let spans = spans_of_the_trace(&collector);
    let request = &spans["POST /ingest"];
    assert_eq!(request["parent"], CALLER);
    assert_eq!(request["service"], "ron-ledger");
    let ours = format!("00-{TRACE}-{}-01", request["span"].as_str().unwrap());
    assert_eq!(header(&head, "traceresponse"), Some(ours.as_str()));
    let mut begun = 0;
    for stage in STAGES {
        let span = &spans[stage];
        assert_eq!(span["parent"], request["span"], "{stage}");
        let (start, end) = (span["start"].as_u64().unwrap(), span["end"].as_u64().unwrap());
        assert!(begun <= start && start <= end, "{stage} comes after the one before: {spans:#?}");
        begun = start;
    }
    let said = |span: &str, key: &str| spans[span]["attributes"][key].clone();
    for (span, key, value) in [
        ("POST /ingest", "corr_id", Value::from("order-17")),
        ("POST /ingest", "http.response.status_code", 200.into()),
        ("POST /ingest", "ledger.seq", 1.into()),
        ("POST /ingest", "ledger.batch_size", 3.into()),
        ("ingress.handle", "ledger.batch_size", 3.into()),
        ("prevalidator.check", "ledger.capability_id", "cap-1".into()),
        ("sequencer.assign", "ledger.batch_size", 3.into()),
        ("commit.append", "ledger.seq", 1.into()),
        ("commit.fsync", "ledger.seq", 1.into()),
        ("publish.root", "ledger.root_size", 3.into()),
    ] {
        assert_eq!(said(span, key), value, "{span} {key}");
    }
    assert!(said("prevalidator.check", "ledger.kid").is_string());
    await_that("what was taken is counted", || counted(&node, "trace_spans_exported_total") >= 7);
    assert_eq!(node.stop().0, Some(0));
}

#[actix_rt::test]
async fn what_is_traced_follows_the_ratio_the_caller_and_safe_mode() {
    // Nobody listens: what is counted is what was decided.
    let keys = Keys::new();
    let node = start(&keys, "micronode", "http://127.0.0.1:9", "0");
    let (client, token) = (local(&keys), keys.master());
    let sampled = |headers: &str| {
        (0..20)
            .filter(|_| header(&post(&node, &token, 1, headers), "traceresponse").is_some())
            .count()
    };
    assert_eq!(sampled(""), 0, "at a ratio of 0");
    assert_eq!(sampled(&format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n")), 20, "by their wish");
    assert_eq!(sampled(&format!("traceparent: 00-{TRACE}-{CALLER}-00\r\n")), 0);

    let enter = OrderIn { order: OrderName::SafeModeEnter, has_verified: false };
    client.order(&enter).await.unwrap();
    let ratio_now = || counted(&node, "trace_sampling_ratio");
    await_that("safe-mode forces all", || ratio_now() == 1);
    assert_eq!(sampled(""), 20, "in safe-mode");
    let clear = OrderIn { order: OrderName::SafeModeClear, has_verified: true };
    client.order(&clear).await.unwrap();
    await_that("and its end lets the ratio decide", || ratio_now() == 0);
    assert_eq!(sampled(""), 0, "after it");

    let all = LevelsIn { sample_ratio: Some(1.0), ..LevelsIn::default() };
    assert_eq!(client.set_levels(&all).await.unwrap().sample_ratio_now, 1.0);
    assert_eq!(sampled(""), 20, "at a ratio of 1, set while it runs");
    let unfit = LevelsIn { sample_ratio: Some(1.5), ..LevelsIn::default() };
    assert!(client.set_levels(&unfit).await.is_err());
    assert_eq!(client.levels().await.unwrap().sample_ratio, 1.0);
    assert_eq!(node.stop().0, Some(0));
}

#[test]
fn a_collector_that_is_away_costs_spans_and_is_counted() {
    let away = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", away.local_addr().unwrap());
    drop(away);
    let keys = Keys::new();
    let node = start(&keys, "micronode", &endpoint, "1");
    for _ in 0..20 {
        assert!(post(&node, &keys.master(), 1, "").starts_with("HTTP/1.1 200"));
    }
    await_that("lost spans are counted", || {
        counted(&node, "trace_spans_dropped_total{reason=\"export\"}") >= 20 * 7
    });
    assert!(counted(&node, "trace_exports_failed_total") >= 1);
    assert_eq!(counted(&node, "trace_spans_exported_total"), 0);
    assert_eq!(node.stop().0, Some(0));
}
