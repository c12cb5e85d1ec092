//! A service that ends lets its clients go: at once, and over connections that still stand.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ron_ledger::actors::admin::Order;

use super::support::{Edge, Reply, body_of};
use crate::support::daemon::Daemon;
use crate::support::entries::mint;
use crate::support::keys::Keys;

fn closes(reply: &Reply) -> bool {
    reply.headers.get("connection").is_some_and(|value| value == "close")
}

#[actix_rt::test]
async fn while_draining_each_answer_ends_its_connection() {
    let edge = Edge::new().await;
    for reply in [edge.get("/version").await, edge.get("/nowhere").await] {
        assert!(!closes(&reply), "{reply:?}");
    }
    let refused = async || {
        let reply = edge.send(&[mint("alice", 1)]).await;
        assert_eq!((reply.status, reply.reason()), (503, "draining".to_owned()));
        assert_eq!(reply.headers["retry-after"], "5");
        assert!(closes(&reply), "{reply:?}");
    };
    edge.node.pipeline.order(Order::Drain).await.unwrap().unwrap();
    refused().await;
    // What is wrong besides is told later.
    assert_eq!(edge.post("stranger", body_of(&[mint("alice", 1)], false)).await.status, 503);
    let basic = edge.request("POST", "/ingest").header("authorization", "Basic x");
    let basic = edge.call(basic.body(body_of(&[mint("alice", 1)], false))).await;
    assert_eq!(basic.reason(), "draining");
    assert_eq!(edge.post("stranger", "{").await.status, 400);
    // Reads go on to the end.
    for (path, status) in [("/version", 200), ("/supply", 200), ("/nowhere", 404), ("/readyz", 503)]
    {
        let reply = edge.get(path).await;
        assert_eq!(reply.status, status, "{path}");
        assert!(closes(&reply), "{reply:?}");
    }
    edge.node.pipeline.drain(Instant::now() + Duration::from_secs(5)).await.unwrap();
    refused().await;
    assert_eq!(edge.rejected()["draining"], 4);
}

/// A connection on which a request was answered, and that stays open.
fn idle(addr: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let (mut text, mut chunk) = (Vec::new(), [0; 4096]);
    while !text.ends_with(b"{\"live\":true}") {
        let read = stream.read(&mut chunk).unwrap();
        assert_ne!(read, 0, "closed after {text:?}");
        text.extend_from_slice(&chunk[..read]);
    }
    stream
}

#[test]
fn idle_connections_do_not_hold_up_a_stop() {
    let daemon = Daemon::start(&Keys::new(), "micronode", &[]);
    let addr = daemon.api.strip_prefix("http://").unwrap();
    let mut connections: Vec<_> = (0..20).map(|_| idle(addr)).collect();
    let (code, took, log) = daemon.stop();
    assert_eq!(code, Some(0), "{log:#?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(log.iter().any(|line| line.contains("\"connections_in_time\":true")), "{log:#?}");
    for stream in &mut connections {
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
    }
}
