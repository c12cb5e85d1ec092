//! Hostile requests, as a table, over raw sockets against a daemon that logs all it can: each is
//! answered as documented, writes nothing, and leaves nothing of what was planted in it in the log, in
//! the metrics or in the traces.

mod framing;
mod planes;
mod tokens;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ron_ledger::client::unit::to_wire;
use ron_ledger::client::{Client, ClientOptions};
use ron_ledger::http::binary;
use ron_ledger::http::caps::RevokeIn;
use ron_ledger::http::dto::RequestIn;

use crate::support::collector::Collector;
use crate::support::daemon::Daemon;
use crate::support::entries::mint;
use crate::support::keys::Keys;

/// Stands in paths, queries, headers, bodies and tokens.
const PLANTED: &str = "pl4nted-s3cret";

/// A server that says nothing for longer than this has hung.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug)]
enum Plane {
    Api,
    Metrics,
    Local,
}

/// What is sent over one connection, and the status of each answer to it.
struct Row {
    case: String,
    plane: Plane,
    sent: Vec<u8>,
    answers: Vec<u16>,
}

fn row(case: &str, plane: Plane, sent: impl Into<Vec<u8>>, answers: &[u16]) -> Row {
    Row { case: case.to_owned(), plane, sent: sent.into(), answers: answers.to_vec() }
}

/// A request that would write, if it were taken: each its own.
fn request() -> RequestIn<'static> {
    RequestIn { batch: vec![to_wire(&mint(PLANTED, 7))], idem_id: None, atomic: false }
}

/// Its body.
fn body() -> String {
    serde_json::to_string(&request()).unwrap()
}

/// Its body in the binary form.
fn batch() -> Vec<u8> {
    binary::write(&request()).unwrap()
}

/// A whole request that would write with a good token.
fn post(token: &str) -> String {
    let body = body();
    format!(
        "POST /ingest HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The rest of a head and a body, for a request to `/ingest` with this token.
fn ingest(token: &str, rest: &str) -> String {
    format!("POST /ingest HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{rest}")
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

struct Target {
    daemon: Daemon,
    keys: Keys,
}

impl Target {
    fn connect(&self, plane: Plane) -> Box<dyn Stream> {
        let tcp = |url: &str| {
            let stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            Box::new(stream)
        };
        match plane {
            Plane::Api => tcp(&self.daemon.api),
            Plane::Metrics => tcp(&self.daemon.metrics),
            Plane::Local => {
                let stream = UnixStream::connect(self.keys.dir().join("s")).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                Box::new(stream)
            }
        }
    }

    /// The status of each answer to it, and to one more good request where the connection still stands.
    fn told(&self, row: &Row) -> Vec<u16> {
        let mut stream = self.connect(row.plane);
        // The server may end the connection while we still write: what it answered counts.
        let _ = stream.write_all(&row.sent);
        let (mut text, mut chunk, mut asked) = (Vec::new(), [0; 4096], false);
        loop {
            if !asked && statuses(&text).len() >= row.answers.len() {
                asked = true;
                let _ = stream
                    .write_all(b"GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            }
            match stream.read(&mut chunk) {
                Ok(0) | Err(_) => return statuses(&text),
                Ok(read) => text.extend_from_slice(&chunk[..read]),
            }
        }
    }

    /// What must stay as it was: the supply, and the root that a retry of the first entry is told.
    async fn state(&self, client: &Client, first: &RequestIn<'_>) -> String {
        let again = client.ingest(first).await.unwrap();
        assert_eq!(again.seq_start, None, "a retry writes nothing");
        let supply = client.text("supply").await.unwrap();
        format!("{} {} {supply}", again.new_root, again.root_size)
    }
}

/// Of whole answers: heads that begin a line.
fn statuses(text: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(text);
    let heads = text.match_indices("HTTP/1.1 ");
    heads.filter_map(|(at, head)| text[at + head.len()..].get(..3)?.parse().ok()).collect()
}

#[actix_rt::test]
async fn hostile_requests_are_refused_write_nothing_and_leave_no_trace() {
    let keys = Keys::new();
    let socket = keys.dir().join("s");
    let collector = Collector::start();
    let settings = [
        ("telemetry.log", "trace"),
        ("telemetry.otlp_endpoint", collector.endpoint.as_str()),
        ("telemetry.sample_ratio", "1.0"),
        ("uds.path", socket.to_str().unwrap()),
    ];
    let daemon = Daemon::start(&keys, "micronode", &settings);
    let client = daemon.client(&keys.master());
    let batch = vec![to_wire(&mint("first", 1))];
    let first = RequestIn { batch, idem_id: None, atomic: false };
    client.ingest(&first).await.unwrap();
    let options = ClientOptions { socket: Some(socket), ..ClientOptions::new("http://localhost") };
    let operator = Client::new(&options).unwrap();
    let revoke = RevokeIn { id: Some(tokens::REVOKED.to_owned()), kid: None };
    operator.revoke(&revoke).await.unwrap();

    let good = keys.master();
    let rows: Vec<Row> = [framing::rows(&good), tokens::rows(&keys), planes::rows(&good)]
        .into_iter()
        .flatten()
        .collect();
    assert!(rows.len() >= 60, "{}", rows.len());
    let names: BTreeSet<&str> = rows.iter().map(|row| row.case.as_str()).collect();
    assert_eq!(names.len(), rows.len(), "each has a name of its own");
    let target = Target { daemon, keys };
    let before = target.state(&client, &first).await;
    let mut wrong = Vec::new();
    for row in &rows {
        let told = target.told(row);
        // Where the connection still stands, the good request after it is served.
        let served = [&row.answers[..], &[200]].concat();
        if told != row.answers && told != served {
            wrong.push(format!("{} {:?}: {told:?}, not {:?}", row.case, row.plane, row.answers));
        }
        let after = target.state(&client, &first).await;
        if after != before {
            panic!("{} has written: {before} {after}; {wrong:#?}", row.case);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    let metrics = Client::new(&ClientOptions::new(&target.daemon.metrics)).unwrap();
    let metrics = metrics.text("metrics").await.unwrap();
    assert!(metrics.contains("actor_panics_total{actor=\"ingress\"} 0"));
    // What the rows hide does write, where it stands alone.
    assert_eq!(target.told(&row("control", Plane::Api, post(&good), &[200])), [200, 200]);
    assert_ne!(target.state(&client, &first).await, before);
    let (code, _, log) = target.daemon.stop();
    assert_eq!(code, Some(0));
    let log = log.join("\n");
    assert!(!log.contains("panic"), "something panicked");
    let traces = String::from_utf8_lossy(&collector.seen()).into_owned();
    assert!(traces.contains("/ingest"), "no span of a request");
    for (place, text) in [("log", &log), ("metrics", &metrics), ("traces", &traces)] {
        let at = text.find(PLANTED);
        let around = at.and_then(|at| text.get(at.saturating_sub(300)..(at + 100).min(text.len())));
        assert_eq!(around, None, "{place}");
    }
}
