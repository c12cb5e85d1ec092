//! The connection against a server that answers by a script.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;
use crate::client::BearerToken;
use crate::http::Format;

/// Answers requests with 3 bytes of body, one connection for each list, in pieces of `piece` bytes,
/// and gives back the requests.
fn serve(answers: Vec<Vec<String>>, piece: usize) -> (Connection, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ledger/ingest", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for answers in answers {
            let (mut stream, _) = listener.accept().unwrap();
            for answer in answers {
                let (mut request, mut byte) = (Vec::new(), [0]);
                while !request.ends_with(b"\r\n\r\nabc") {
                    stream.read_exact(&mut byte).unwrap();
                    request.push(byte[0]);
                }
                requests.push(String::from_utf8(request).unwrap());
                for part in answer.as_bytes().chunks(piece) {
                    stream.write_all(part).unwrap();
                    stream.flush().unwrap();
                }
            }
        }
        requests
    });
    let token = Some(BearerToken::new("c2VjcmV0".to_owned()).unwrap());
    let options = ClientOptions { token, ..ClientOptions::new(&url) };
    (Connection::new(&url.parse().unwrap(), &options), server)
}

fn abc() -> Body {
    Body { format: Format::Json, bytes: b"abc".to_vec() }
}

fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn posted(connection: &mut Connection) -> (u16, String) {
    let (head, body) = connection.post(&abc()).await.unwrap();
    (head.status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn one_connection_carries_requests_until_it_ends_and_then_another_one_does() {
    for piece in [1, 7, 4096] {
        let long = "x".repeat(40_000);
        let first = vec![answer("200 OK", "one"), answer("207 Multi-Status", &long)];
        let closing = vec![answer("429 Busy\r\nretry-after: 3\r\nconnection: close", "")];
        let (mut connection, server) =
            serve(vec![first, closing, vec![answer("200 OK", "")]], piece);
        assert_eq!(posted(&mut connection).await, (200, "one".to_owned()));
        assert_eq!(posted(&mut connection).await, (207, long));
        // The server has ended this connection; whether that was seen or not, one more try is enough.
        let busy = match connection.post(&abc()).await {
            Ok((head, _)) => head,
            Err(Fault::Io(_)) => connection.post(&abc()).await.unwrap().0,
            Err(other) => panic!("{other}"),
        };
        assert_eq!((busy.status, busy.retry_after), (429, Some(Duration::from_secs(3))));
        assert_eq!(posted(&mut connection).await, (200, String::new()));
        let requests = server.join().unwrap();
        assert_eq!(requests.len(), 4);
        let expected = "POST /ledger/ingest HTTP/1.1\r\nhost: 127.0.0.1:";
        assert!(requests.iter().all(|request| request.starts_with(expected)), "{requests:?}");
        assert!(requests[0].contains("\r\nauthorization: Bearer c2VjcmV0\r\n"), "{requests:?}");
        assert!(requests[0].ends_with("\r\ncontent-length: 3\r\n\r\nabc"), "{requests:?}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told_and_not_waited_for() {
    let huge = (ANSWER_BYTES_MAX + 1).to_string();
    for (sent, expected) in [
        ("HTTP/1.0 200 OK\r\n\r\n", "not of HTTP/1.1"),
        ("HTTP/1.1 100 Continue\r\n\r\n", "not of HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "does not say its length"),
        (&format!("HTTP/1.1 200 OK\r\ncontent-length: {huge}\r\n\r\n"), "longer than 64 MiB"),
        (&answer("200 OK", "one").replace(": 3", ": 2"), "more than one answer"),
        (&"x".repeat(HEAD_BYTES_MAX + 1), "longer than 16 KiB"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", "was ended"),
    ] {
        let (mut connection, _server) = serve(vec![vec![sent.to_owned()]], 4096);
        let fault = connection.post(&abc()).await.unwrap_err().to_string();
        assert!(fault.contains(expected), "{sent:.60}: {fault}");
    }
}

#[tokio::test]
async fn a_silent_ledger_is_given_up_after_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ingest", listener.local_addr().unwrap());
    let options = ClientOptions { timeout: Duration::from_millis(20), ..ClientOptions::new(&url) };
    let mut connection = Connection::new(&url.parse().unwrap(), &options);
    assert!(matches!(connection.post(&abc()).await, Err(Fault::Late)));
}

#[tokio::test]
async fn a_local_socket_is_gone_by_whatever_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(answer("200 OK", "yes").as_bytes()).unwrap();
    });
    let options = ClientOptions { socket: Some(path), ..ClientOptions::new("http://localhost") };
    let url = "http://localhost/ingest".parse().unwrap();
    let mut connection = Connection::new(&url, &options);
    assert_eq!(posted(&mut connection).await, (200, "yes".to_owned()));
    server.join().unwrap();
}

#[tokio::test]
async fn a_refusal_before_the_end_of_the_body_is_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 16]).unwrap() > 0);
            stream.write_all(answer("413 Payload Too Large", "no").as_bytes()).unwrap();
        }
    });
    let options = ClientOptions { socket: Some(path), ..ClientOptions::new("http://localhost") };
    let url = "http://localhost/ingest".parse().unwrap();
    let mut connection = Connection::new(&url, &options);
    // Far more than a socket holds for who does not read it.
    let body = Body { format: Format::Json, bytes: vec![b'x'; 64 << 20] };
    for _ in 0..2 {
        let (head, said) = connection.post(&body).await.unwrap();
        assert_eq!((head.status, said), (413, &b"no"[..]));
    }
    server.join().unwrap();
}
