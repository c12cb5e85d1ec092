//! TLS 1.3 and nothing older; with an authority, nobody without a certificate of it; and what becomes
//! of each handshake is counted.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ron_ledger::client::unit::to_wire;
use ron_ledger::client::{BearerToken, Client, ClientOptions};
use ron_ledger::http::dto::RequestIn;
use rustls::{HandshakeKind, version};

use crate::support::certificates::{Certificates, Tls, probe, series, start};
use crate::support::daemon::Daemon;
use crate::support::entries::mint;
use crate::support::keys::Keys;

const FAILURES: &str = "tls_handshake_failures_total";

/// A request without TLS gets no answer.
fn knock_in_plain(node: &Daemon) {
    let mut socket = TcpStream::connect(node.api.strip_prefix("https://").unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // The alert of TLS may come before the end of the connection.
    let _ = socket.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

/// A client may hear of its failure before it is counted.
fn await_failures(node: &Daemon, count: i64) {
    let until = Instant::now() + Duration::from_secs(10);
    while series(node, FAILURES) < Some(count) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(series(node, FAILURES), Some(count));
}

#[actix_rt::test]
async fn tls_1_3_serves_and_tls_1_2_is_refused() {
    let keys = Keys::new();
    let certificates = Certificates::make(keys.dir());
    let node = start(&keys, &certificates.settings());
    let answer = probe(&node, certificates.client(None)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let error = probe(&node, certificates.client_of(&[&version::TLS12], None)).unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");

    let options = ClientOptions {
        token: Some(BearerToken::new(keys.master()).unwrap()),
        ca_file: Some(certificates.path("ca.pem").into()),
        ..ClientOptions::new(&node.api)
    };
    let client = Client::new(&options).unwrap();
    let batch = vec![to_wire(&mint("alice", 1))];
    let answer = client.ingest(&RequestIn { batch, idem_id: None, atomic: false }).await.unwrap();
    assert_eq!(answer.accepted, 1);
    assert_eq!(node.stop().0, Some(0));
}

#[test]
fn with_an_authority_only_its_certificates_get_an_answer_and_each_failure_is_counted() {
    let keys = Keys::new();
    let certificates = Certificates::make(keys.dir());
    let node = start(&keys, &certificates.settings_with_authority());
    assert_eq!(series(&node, FAILURES), Some(0));
    let error = probe(&node, certificates.client(None)).unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    await_failures(&node, 1);

    let elsewhere = tempfile::tempdir().unwrap();
    let others = Certificates::make(elsewhere.path());
    std::fs::copy(certificates.path("ca.pem"), others.path("ca.pem")).unwrap();
    let error = probe(&node, others.client(Some("client"))).unwrap_err();
    assert!(error.to_string().contains("alert"), "{error}");
    await_failures(&node, 2);

    let old = certificates.client_of(&[&version::TLS12], Some("client"));
    let error = probe(&node, old).unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    await_failures(&node, 3);

    knock_in_plain(&node);
    await_failures(&node, 4);

    for _ in 0..3 {
        let answer = probe(&node, certificates.client(Some("client"))).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    await_failures(&node, 4);
    assert_eq!(node.stop().0, Some(0));
}

#[test]
fn a_stranger_to_tls_gets_no_answer_and_a_silent_one_is_counted_too() {
    let keys = Keys::new();
    let certificates = Certificates::make(keys.dir());
    let told = [("telemetry.log", "info,ron_ledger=debug".to_owned())];
    let settings = [&certificates.settings()[..], &told].concat();
    let mut node = start(&keys, &settings);
    knock_in_plain(&node);
    await_failures(&node, 1);
    node.line("tls handshake failed");
    // Nothing is said, and the connection stays.
    let silent = TcpStream::connect(node.api.strip_prefix("https://").unwrap()).unwrap();
    await_failures(&node, 2);
    drop(silent);
    await_failures(&node, 2);
}

#[test]
fn a_session_is_resumed_and_the_key_exchange_is_hybrid_where_it_is_on() {
    for (pq, group) in [("hybrid", "X25519MLKEM768"), ("off", "X25519")] {
        let keys = Keys::new();
        let certificates = Certificates::make(keys.dir());
        let [cert, key] = certificates.settings();
        let node = start(&keys, &[cert, key, ("tls.pq", pq.to_owned())]);
        let config = Arc::new(certificates.hybrid_client());
        let mut first = Tls::connect(&node.api, &config).unwrap();
        first.get("/healthz").unwrap();
        let agreed = first.session.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(format!("{agreed:?}"), group);
        assert_ne!(first.session.handshake_kind(), Some(HandshakeKind::Resumed));
        let mut second = Tls::connect(&node.api, &config).unwrap();
        second.get("/healthz").unwrap();
        assert_eq!(second.session.handshake_kind(), Some(HandshakeKind::Resumed));
    }
}

#[test]
fn openssl_agrees() {
    let keys = Keys::new();
    let certificates = Certificates::make(keys.dir());
    let node = start(&keys, &certificates.settings());
    let connect = |version: &str| {
        let mut command = Command::new("openssl");
        let address = node.api.strip_prefix("https://").unwrap();
        command.args(["s_client", "-brief", "-connect", address, version, "-CAfile"]);
        command.arg(certificates.path("ca.pem")).stdin(Stdio::null());
        command.output()
    };
    let Ok(old) = connect("-tls1_2") else {
        println!("SKIPPED: there is no openssl");
        return;
    };
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!old.status.success(), "{}", said(&old));
    assert!(said(&old).contains("protocol version"), "{}", said(&old));
    let new = connect("-tls1_3").unwrap();
    assert!(new.status.success(), "{}", said(&new));
    for text in ["TLSv1.3", "Verification: OK"] {
        assert!(said(&new).contains(text), "{}", said(&new));
    }
    await_failures(&node, 1);
}
