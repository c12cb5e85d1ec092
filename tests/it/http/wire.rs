//! What the limits do to a connection, over a socket.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::support::Edge;

/// Sends all of it on one connection, and reads until so many answers have begun or it ends.
async fn exchange(addr: SocketAddr, sent: Vec<u8>, answers: usize) -> Vec<u16> {
    let talk = move || {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The server may close while we still write: what it answered counts.
        let _ = stream.write_all(&sent);
        let (mut text, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            let seen = statuses(&text);
            if seen.len() == answers {
                return seen;
            }
            match stream.read(&mut chunk) {
                Ok(0) | Err(_) => return seen,
                Ok(read) => text.extend_from_slice(&chunk[..read]),
            }
        }
    };
    actix_web::rt::task::spawn_blocking(talk).await.unwrap()
}

fn statuses(text: &[u8]) -> Vec<u16> {
    let text = std::str::from_utf8(text).unwrap();
    let heads = text.match_indices("HTTP/1.1 ");
    heads.filter_map(|(at, head)| text[at + head.len()..].get(..3)?.parse().ok()).collect()
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

const VERSION: &str = "GET /version HTTP/1.1\r\nhost: x\r\n\r\n";

#[actix_rt::test]
async fn a_refused_request_leaves_the_connection_usable() {
    let edge = Edge::new().await;
    for (request, status) in [
        (post("/ingest", "{}"), 400),
        (post("/nowhere", &"x".repeat(10_000)), 404),
        (post("/roots", &"x".repeat(10_000)), 405),
    ] {
        let got = exchange(edge.addr, format!("{request}{VERSION}").into_bytes(), 2).await;
        assert_eq!(got, [status, 200]);
    }
}

#[actix_rt::test]
async fn a_body_that_is_announced_too_large_is_refused_unread() {
    let edge = Edge::with(&[("limits.body_max_bytes", "1000")]).await;
    let head = "POST /ingest HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n";
    assert_eq!(exchange(edge.addr, head.into(), 1).await, [413]);
}

#[actix_rt::test]
async fn a_chunked_body_is_counted_while_it_comes() {
    let edge = Edge::with(&[("limits.body_max_bytes", "1000")]).await;
    let head = "POST /ingest HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("100\r\n{}\r\n", " ".repeat(256));
    // Never ended: the answer comes before.
    assert_eq!(exchange(edge.addr, format!("{head}{}", chunk.repeat(5)).into(), 1).await, [413]);
    let whole = format!("{head}{}0\r\n\r\n", chunk.repeat(3));
    assert_eq!(exchange(edge.addr, whole.into(), 1).await, [400]);
}

#[actix_rt::test]
async fn head_is_get_without_a_body() {
    let edge = Edge::new().await;
    let request = "HEAD /version HTTP/1.1\r\nhost: x\r\n\r\n";
    assert_eq!(exchange(edge.addr, format!("{request}{VERSION}").into(), 2).await, [200, 200]);
}

#[actix_rt::test]
async fn what_is_no_http_is_refused() {
    let edge = Edge::new().await;
    let long = "x".repeat(200_000);
    for (head, status) in [
        ("hello\r\n\r\n".to_owned(), 400),
        ("GET /version HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), 400),
        ("GET /version HTTP/1.1\r\ncontent-length: -1\r\n\r\n".to_owned(), 400),
        (format!("GET /version HTTP/1.1\r\nx: {long}\r\n\r\n"), 431),
        (format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"), 431),
    ] {
        let shown = &head[..head.len().min(60)];
        assert_eq!(exchange(edge.addr, head.clone().into(), 2).await, [status], "{shown}");
    }
}
