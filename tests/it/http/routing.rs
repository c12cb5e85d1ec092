//! Every error of every route is the same JSON, and every request is counted under a known route.

use std::io;
use std::sync::{Arc, Mutex};

use actix_web::http::Method;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use serde_json::{Value, json};
use tracing_subscriber::fmt::format::FmtSpan;

use crate::support::node::Node;
use ron_ledger::http;

async fn check(
    node: &Node,
    method: Method,
    path: &str,
    (status, reason, details): (u16, &str, &str),
) {
    let app = init_service(http::api(node.shared.clone())).await;
    let request = TestRequest::with_uri(path).method(method.clone()).to_request();
    let response = call_service(&app, request).await;
    assert_eq!(response.status().as_u16(), status, "{method} {path}");
    assert_eq!(response.headers().get("content-type").unwrap(), "application/json");
    let body: Value = serde_json::from_slice(&read_body(response).await).unwrap();
    assert_eq!(body, json!({"reason": reason, "details": details}), "{method} {path}");
}

#[actix_rt::test]
async fn what_no_route_takes_is_told_so() {
    let node = Node::new().await;
    let no_route = (404, "not_found", "there is no such route");
    let malformed = |status, details| (status, "unknown_kind", details);
    for (method, path, answer) in [
        (Method::GET, "/", no_route),
        (Method::POST, "/ingest/", no_route),
        (Method::GET, "/metrics", no_route),
        (Method::GET, "/ingest", malformed(405, "this route takes POST")),
        (Method::DELETE, "/roots", malformed(405, "this route takes GET, HEAD")),
        (Method::GET, "/roots?page=1", malformed(400, "query: this route takes since, limit")),
        (Method::GET, "/roots?limit=0", malformed(400, "limit: must be at least 1")),
        (Method::GET, "/supply?x=1", malformed(400, "query: this route takes no parameters")),
        (
            Method::POST,
            "/ingest",
            malformed(400, "body: not JSON: EOF while parsing a value at line 1 column 0"),
        ),
    ] {
        check(&node, method, path, answer).await;
    }
}

#[actix_rt::test]
async fn wrong_methods_are_told_the_right_ones() {
    let node = Node::new().await;
    let app = init_service(http::api(node.shared.clone())).await;
    for (path, method, allow) in
        [("/ingest", Method::PUT, "POST"), ("/version", Method::POST, "GET, HEAD")]
    {
        let request = TestRequest::with_uri(path).method(method).to_request();
        let response = call_service(&app, request).await;
        assert_eq!(response.headers().get("allow").unwrap(), allow);
    }
}

#[actix_rt::test]
async fn health_is_short_for_clients_and_full_for_operators() {
    let node = Node::new().await;
    let api = init_service(http::api(node.shared.clone())).await;
    let metrics = init_service(http::metrics_plane(node.shared.clone())).await;
    let keys = |body: &[u8]| -> Vec<String> {
        let body: Value = serde_json::from_slice(body).unwrap();
        body.as_object().unwrap().keys().cloned().collect()
    };
    let get = |path: &str| TestRequest::get().uri(path).to_request();
    let short = read_body(call_service(&api, get("/readyz")).await).await;
    assert_eq!(keys(&short), ["degraded", "ingress", "mode", "ready"]);
    let full = keys(&read_body(call_service(&metrics, get("/readyz")).await).await);
    for name in [
        "actors",
        "backpressure_ok",
        "committer_lag_ms",
        "degraded",
        "head_seq",
        "kms_ready",
        "live",
        "mode",
        "policy_ready",
        "published_size",
        "ready",
        "reason",
        "wallet_ready",
    ] {
        assert!(full.iter().any(|key| key == name), "{name}");
    }
    let version = read_body(call_service(&api, get("/version")).await).await;
    assert_eq!(version, read_body(call_service(&metrics, get("/version")).await).await);
    let expected = "api entry_version hash name origin parent profile schema verifier_key version";
    assert_eq!(keys(&version).join(" "), expected);
}

#[actix_rt::test]
async fn requests_are_counted_by_pattern_and_never_by_path() {
    let node = Node::new().await;
    let api = init_service(http::api(node.shared.clone())).await;
    for path in ["/accounts/secret-one", "/accounts/secret/two", "/nowhere/secret", "/other"] {
        call_service(&api, TestRequest::get().uri(path).to_request()).await;
    }
    let plane = init_service(http::metrics_plane(node.shared.clone())).await;
    let request = TestRequest::get().uri("/metrics").to_request();
    let text = read_body(call_service(&plane, request).await).await;
    let text = std::str::from_utf8(&text).unwrap();
    let line = |route: &str, status: u16| {
        format!("http_requests_total{{method=\"GET\",route=\"{route}\",status=\"{status}\"}} 2")
    };
    assert!(text.contains(&line("/accounts/{account}*", 401)), "{text}");
    assert!(text.contains(&line("unmatched", 404)), "{text}");
    assert!(!text.contains("secret"));
    assert!(text.contains("auth_failures_total{peer=\"tcp\"} 2"));
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[actix_rt::test]
async fn the_span_of_a_request_holds_no_path_query_or_header() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // While there is but one subscriber, a span that another test's thread meets first is asked for
    // with that thread's, which is none, and stays off for good. With two, all are asked.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    let node = Node::new().await;
    let app = init_service(http::api(node.shared.clone())).await;
    for path in ["/accounts/secret?token=secret", "/secret?secret=secret"] {
        let request = TestRequest::get().uri(path);
        let request = request.insert_header(("authorization", "Bearer secret"));
        let request = request.insert_header(("user-agent", "secret")).to_request();
        call_service(&app, request).await;
    }
    drop(guard);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("http_request"), "{text}");
    assert!(text.contains("/accounts/{account}*"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}
