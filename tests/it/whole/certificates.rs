//! Which certificates a node starts with, and how it takes over new ones while it serves.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rcgen::date_time_ymd;

use crate::support::certificates::{Certificates, Tls, probe, refused, series, start};
use crate::support::daemon::{Daemon, Signal};
use crate::support::keys::Keys;

const DONE: &str = "tls_reloads_total{outcome=\"done\"}";
const REFUSED: &str = "tls_reloads_total{outcome=\"refused\"}";
const EXPIRY: &str = "tls_cert_expiry_seconds{plane=\"api\"}";

#[test]
fn what_is_unfit_to_serve_is_refused_at_the_start_with_its_reason() {
    let check = |spoil: &dyn Fn(&Certificates<'_>), expected: &[&str]| {
        let keys = Keys::new();
        let dir = keys.dir().join("tls");
        std::fs::create_dir(&dir).unwrap();
        let certificates = Certificates::make(&dir);
        spoil(&certificates);
        let said = refused(&keys, &certificates.settings_with_authority());
        for text in expected {
            assert!(said.contains(text), "`{text}` is not in {said}");
        }
        assert!(!said.contains("PRIVATE KEY"), "{said}");
    };
    let mode = |path: &str, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
    check(&|c| mode(&c.path("server.key"), 0o640), &["tls.key_file", "open to others", "640"]);
    check(&|c| mode(&c.path(""), 0o770), &["tls.key_file", "others can write", "770"]);
    check(
        &|c| c.issue("server", |params| params.not_after = date_time_ymd(2020, 2, 3)),
        &["tls.cert_file", "expired at 2020-02-03T00:00:00Z"],
    );
    check(
        &|c| c.issue("server", |params| params.not_before = date_time_ymd(3000, 1, 1)),
        &["tls.cert_file", "not valid before 3000-01-01T00:00:00Z"],
    );
    check(
        &|c| std::fs::copy(c.path("client.pem"), c.path("server.pem")).map(drop).unwrap(),
        &["tls.key_file", "is not the key of the certificate"],
    );
    check(&|c| std::fs::write(c.path("server.pem"), "").unwrap(), &["tls.cert_file", "no cert"]);
    check(&|c| std::fs::remove_file(c.path("ca.pem")).unwrap(), &["tls.ca_file", "ca.pem"]);
}

/// The certificate that a new connection sees.
fn shown(node: &Daemon, certificates: &Certificates<'_>) -> Vec<u8> {
    let mut tls = Tls::connect(&node.api, &Arc::new(certificates.client(None))).unwrap();
    tls.get("/healthz").unwrap();
    tls.session.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn certificates_are_exchanged_under_load_and_no_request_fails() {
    let keys = Keys::new();
    let certificates = Certificates::make(keys.dir());
    let mut node = start(&keys, &certificates.settings());
    let (is_over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let config = Arc::new(certificates.client(None));
    let url = node.api.clone();
    let first = shown(&node, &certificates);
    std::thread::scope(|scope| {
        for keeps in [true, false] {
            let (config, url, is_over, answered) = (&config, &url, &is_over, &answered);
            scope.spawn(move || {
                let mut tls = Tls::connect(url, config).unwrap();
                tls.get("/healthz").unwrap();
                while !is_over.load(Ordering::Relaxed) {
                    if !keeps {
                        tls = Tls::connect(url, config).unwrap();
                    }
                    let answer = tls.get("/healthz").unwrap();
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..5 {
            let goal = answered.load(Ordering::Relaxed) + 20;
            while answered.load(Ordering::Relaxed) < goal {
                std::thread::yield_now();
            }
            certificates.issue("server", |_| ());
            node.signal(Signal::HUP);
            node.await_line("SIGHUP");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_ne!(shown(&node, &certificates), first);
    assert!(series(&node, DONE) >= Some(5));
    assert_eq!(series(&node, "tls_handshake_failures_total"), Some(0));
}

#[test]
fn an_unfit_pair_leaves_the_old_one_and_a_fit_one_is_found_without_a_signal() {
    let keys = Keys::new();
    let certificates = Certificates::make(keys.dir());
    let mut node = start(&keys, &certificates.settings());
    let first = shown(&node, &certificates);
    let year = 365 * 86_400;
    assert!(series(&node, EXPIRY) > Some(year), "rcgen's last for ages");

    certificates.issue("server", |params| params.not_after = date_time_ymd(2020, 2, 3));
    let line = node.await_line("certificates not reloaded");
    assert!(line.contains("expired at 2020-02-03"), "{line}");
    assert!(series(&node, REFUSED) >= Some(1));
    assert_eq!(shown(&node, &certificates), first);

    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(86_400);
    certificates.issue("server", |params| params.not_after = soon.into());
    node.await_line("certificates reloaded");
    let last = shown(&node, &certificates);
    assert_ne!(last, first);
    let left = series(&node, EXPIRY).unwrap();
    assert!((86_000..=86_400).contains(&left), "{left}");
    assert!(probe(&node, certificates.client(None)).is_ok());
    // A signal reads them again, changed or not.
    node.signal(Signal::HUP);
    node.await_line("SIGHUP");
    assert_eq!(shown(&node, &certificates), last);
    assert_eq!(node.stop().0, Some(0));
}
