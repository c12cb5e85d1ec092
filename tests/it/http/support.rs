//! A node behind its API on a free port of the loopback, and answers as its clients see them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};

use actix_web::HttpServer;
use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder};
use ron_ledger::actors::probe::Point;
use ron_ledger::client::unit::to_wire;
use ron_ledger::http::dto::RequestIn;
use ron_ledger::http::{self, Shared};
use ron_ledger::ledger::entry::Entry;
use ron_ledger::telemetry::Queue;
use serde_json::Value;

use crate::support::node::Node;

/// Dropped at the end of each test, with its server.
pub struct Edge {
    pub node: Node,
    pub addr: SocketAddr,
    /// A token for everything.
    pub master: String,
    client: Client,
    server: ServerHandle,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    /// Its body, when that is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// Of an error that concerns the request as a whole.
    pub fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// The status of each entry, and its seq or its reason.
    pub fn results(&self) -> Vec<(String, String)> {
        let json = self.json();
        let reason_of = |idx: &Value| {
            let reasons = json["reasons"].as_array().unwrap();
            let row = reasons.iter().find(|row| row["idx"] == *idx).unwrap();
            row["reason"].as_str().unwrap().to_owned()
        };
        let results = json["results"].as_array().unwrap_or_else(|| panic!("{self:?}"));
        let told = results.iter().map(|result| {
            let status = result["status"].as_str().unwrap().to_owned();
            let seq = result["seq"].as_u64().map(|seq| seq.to_string());
            (status, seq.unwrap_or_else(|| reason_of(&result["idx"])))
        });
        told.collect()
    }
}

impl Edge {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let node = Node::with("micronode", settings).await;
        let (addr, server) = serve(&node.shared);
        // Without a provider there is no client, although this one never asks for TLS.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
        let master = node.keys.master();
        Edge { node, addr, master, client, server }
    }

    /// A GET with a token for everything.
    pub async fn get(&self, path: &str) -> Reply {
        self.call(self.request("GET", path).bearer_auth(&self.master)).await
    }

    /// A body for `/ingest` with this token.
    pub async fn post(&self, token: &str, body: impl Into<Vec<u8>>) -> Reply {
        self.call(self.request("POST", "/ingest").bearer_auth(token).body(body.into())).await
    }

    /// Entries for `/ingest` with a token for everything.
    pub async fn send(&self, entries: &[Entry]) -> Reply {
        self.post(&self.master, body_of(entries, false)).await
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.addr);
        self.client.request(method.parse().unwrap(), url)
    }

    pub async fn call(&self, request: RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, text: response.text().await.unwrap() }
    }

    /// `rejected_total` by reason.
    pub fn rejected(&self) -> BTreeMap<String, u64> {
        let text = self.node.pipeline.metrics().render();
        let rows = text.lines().filter_map(|line| {
            let (reason, count) =
                line.strip_prefix("rejected_total{reason=\"")?.split_once("\"} ")?;
            Some((reason.to_owned(), count.parse().unwrap()))
        });
        rows.collect()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // It is told at once, and nobody waits for its end.
        drop(self.server.stop(false));
    }
}

/// A server of one worker for the API.
pub fn serve(shared: &Data<Shared>) -> (SocketAddr, ServerHandle) {
    let shared = shared.clone();
    let server = HttpServer::new(move || http::api(shared.clone()))
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .bind(("127.0.0.1", 0))
        .unwrap();
    let addr = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    (addr, handle)
}

/// The body of a request.
pub fn body_of(entries: &[Entry], atomic: bool) -> Vec<u8> {
    let idem_id = entries.first().and_then(|entry| entry.idem_id.as_ref());
    let idem_id = idem_id.map(|id| id.as_str().into());
    let batch = entries.iter().map(to_wire).collect();
    serde_json::to_vec(&RequestIn { batch, idem_id, atomic }).unwrap()
}

/// Holds an actor up at a point until it is dropped.
pub struct Gate<'a> {
    edge: &'a Edge,
    reached: Arc<AtomicBool>,
    _open: Sender<()>,
}

impl<'a> Gate<'a> {
    pub fn at(edge: &'a Edge, point: Point) -> Self {
        let (open, opened) = channel();
        let reached = Arc::new(AtomicBool::new(false));
        let inside = Arc::clone(&reached);
        edge.node.trigger.arm(point, 1, move || {
            inside.store(true, Ordering::Release);
            // Ends with an error, when the other end is dropped.
            let _ = opened.recv();
        });
        Gate { edge, reached, _open: open }
    }

    /// Waits until the actor stands at it.
    pub async fn reached(&self) {
        let is_reached = |_: &Node| self.reached.load(Ordering::Acquire);
        self.edge.node.until("the gate is reached", is_reached).await;
    }

    /// Opens once so many requests are in flight and the ingress has looked at each of them.
    pub async fn open_when_in_flight(self, requests: i64) {
        let are_there = |node: &Node| {
            let metrics = node.pipeline.measure();
            let waiting = metrics.queue_depth.of(Queue::Ingress).get();
            metrics.inflight_requests.get() == requests && waiting == 0
        };
        self.edge.node.until("all are in flight", are_there).await;
    }

    /// The same for a gate at the ingress: the others wait there for the one that is held.
    pub async fn open_when_at_the_door(self, requests: i64) {
        let are_there =
            |node: &Node| node.pipeline.measure().queue_depth.of(Queue::Ingress).get() == requests;
        self.edge.node.until("all are at the door", are_there).await;
    }
}
