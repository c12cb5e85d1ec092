//! The admin plane: who may do what there, and that nothing of it can be reached elsewhere.

use std::sync::Arc;

use rcgen::{DistinguishedName, DnType, SanType};
use ron_ledger::capability::{Action, Caveat, Plane};

use crate::support::certificates::{Certificates, Tls, refused, series};
use crate::support::daemon::Daemon;
use crate::support::keys::Keys;

const ROLES: &str =
    "dns:ops.example=operator,uri:spiffe://example/audit=auditor,cn:drill=chaos+auditor";

/// Certificates for one of each role, and for one without any.
fn certificates(keys: &Keys) -> Certificates<'_> {
    let certificates = Certificates::make(keys.dir());
    certificates.issue_to("operator", SanType::DnsName("ops.example".try_into().unwrap()));
    let uri = "spiffe://example/audit".try_into().unwrap();
    certificates.issue_to("auditor", SanType::URI(uri));
    certificates.issue("chaos", |params| {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "drill");
    });
    // A name of another kind is another name.
    certificates.issue("stranger", |params| {
        params.subject_alt_names = vec![SanType::DnsName("drill".try_into().unwrap())];
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "ops.example");
    });
    certificates
}

fn settings(certificates: &Certificates<'_>, socket: &str) -> Vec<(&'static str, String)> {
    let [cert, key] = certificates.settings();
    let admin = [
        ("admin.addr", "127.0.0.1:0".to_owned()),
        ("admin.ca_file", certificates.path("ca.pem")),
        ("admin.roles", ROLES.to_owned()),
        ("uds.path", certificates.path(socket)),
        ("chaos.enabled", "true".to_owned()),
    ];
    [cert, key].into_iter().chain(admin).collect()
}

fn start(keys: &Keys, settings: &[(&'static str, String)]) -> Daemon {
    let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    Daemon::start(keys, "micronode", &settings)
}

/// The status of a request with a certificate and, if any, a token.
fn ask(
    url: &str,
    certificates: &Certificates<'_>,
    of: &str,
    token: Option<&str>,
    (line, body): (&str, &str),
) -> (u16, String) {
    let mut tls = Tls::connect(url, &Arc::new(certificates.client(Some(of)))).unwrap();
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let head = format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\n{}content-length: {}\r\n\r\n",
        token.unwrap_or_default(),
        body.len()
    );
    let answer = tls.ask(&(head + body)).unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

const MODE: (&str, &str) = ("GET /admin/mode", "");
const CHAOS: (&str, &str) = ("GET /admin/chaos", "");
const FREEZE: (&str, &str) = ("POST /admin/orders", r#"{"order":"freeze"}"#);
const DRILL: (&str, &str) =
    ("POST /admin/drills", r#"{"drill":"slowloris","conns":1,"seconds":1}"#);

#[test]
fn each_role_does_what_it_may_and_every_call_is_a_line() {
    let keys = Keys::new();
    let certificates = certificates(&keys);
    let mut node = start(&keys, &settings(&certificates, "s"));
    let admin = [Caveat::Actions(vec![Action::Admin]), Caveat::Planes(vec![Plane::Admin])];
    let admin = keys.token(&admin);
    let mut denied = 0;
    for (of, allowed) in [
        ("operator", &[MODE, CHAOS, FREEZE][..]),
        ("auditor", &[MODE, CHAOS]),
        ("chaos", &[MODE, CHAOS, DRILL]),
        ("stranger", &[]),
    ] {
        for request in [MODE, CHAOS, FREEZE, DRILL] {
            let (status, answer) = ask(&node.admin, &certificates, of, Some(&admin), request);
            let expected = if allowed.contains(&request) { 200 } else { 403 };
            assert_eq!(status, expected, "{of} {request:?} {answer}");
            denied += i64::from(expected == 403);
            let line = node.await_line("admin call");
            let (method, path) = request.0.split_once(' ').unwrap();
            assert!(line.contains(&format!("{method} {path}")), "{line}");
            assert!(line.contains(&format!("\"status\":{expected}")), "{line}");
            let name = match of {
                "operator" => "dns:ops.example",
                "auditor" => "uri:spiffe://example/audit",
                "chaos" => "cn:drill",
                _ => "dns:drill",
            };
            assert!(line.contains(name), "{line}");
            assert!(!line.contains(&admin), "{line}");
        }
    }
    assert_eq!(series(&node, "admin_denied_total"), Some(denied));
    let log = node.stop().2;
    let calls = log.iter().filter(|line| line.contains("admin call")).count();
    assert_eq!(calls, 16, "{log:#?}");
    let freeze = log.iter().find(|line| line.contains("Freeze") && line.contains("admin call"));
    assert!(freeze.is_some(), "what was ordered is in the line: {log:#?}");
}

#[test]
fn an_order_needs_a_capability_for_this_plane_alone() {
    let keys = Keys::new();
    let certificates = certificates(&keys);
    let node = start(&keys, &settings(&certificates, "s"));
    let admin = Caveat::Actions(vec![Action::Admin]);
    let on = |planes: &[Plane]| Caveat::Planes(planes.to_vec());
    let check = |token: Option<String>, expected| {
        let token = token.as_deref();
        let (status, answer) = ask(&node.admin, &certificates, "operator", token, FREEZE);
        assert_eq!(status, expected, "{answer}");
    };
    check(None, 401);
    check(Some("abc".to_owned()), 401);
    // A token for everything, as a client may have one, names no plane.
    check(Some(keys.master()), 403);
    check(Some(keys.token(std::slice::from_ref(&admin))), 403);
    check(Some(keys.token(&[admin.clone(), on(&[Plane::Api])])), 403);
    check(Some(keys.token(&[admin.clone(), on(&[Plane::Api, Plane::Admin])])), 403);
    check(Some(keys.token(&[Caveat::Actions(vec![Action::Read]), on(&[Plane::Admin])])), 403);
    check(Some(keys.token(&[admin, on(&[Plane::Admin])])), 200);
    assert_eq!(node.stop().0, Some(0));
}

#[test]
fn nothing_privileged_is_on_the_public_planes_and_no_ledger_on_the_admin_plane() {
    let keys = Keys::new();
    let certificates = certificates(&keys);
    let node = start(&keys, &settings(&certificates, "s"));
    let admin = [Caveat::Actions(vec![Action::Admin]), Caveat::Planes(vec![Plane::Admin])];
    let admin = keys.token(&admin);
    for request in [MODE, CHAOS, FREEZE, DRILL] {
        let (status, _) = ask(&node.api, &certificates, "operator", Some(&admin), request);
        assert_eq!(status, 404, "{request:?}");
    }
    for path in ["GET /admin/mode", "POST /admin/orders", "POST /admin/drills"] {
        let mut socket = std::net::TcpStream::connect(node.metrics.split_at(7).1).unwrap();
        let request = format!("{path} HTTP/1.0\r\ncontent-length: 0\r\n\r\n");
        std::io::Write::write_all(&mut socket, request.as_bytes()).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut socket, &mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 404"), "{path} {answer}");
    }
    for request in [("POST /ingest", "{}"), ("GET /supply", "")] {
        let token = keys.master();
        let (status, _) = ask(&node.admin, &certificates, "operator", Some(&token), request);
        assert_eq!(status, 404, "{request:?}");
    }
    // Without a certificate there is no connection.
    let nobody = Arc::new(certificates.client(None));
    let error = Tls::connect(&node.admin, &nobody).unwrap().get("/admin/mode").unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    // The API asks for none: the authority is that of the admin plane alone.
    assert!(Tls::connect(&node.api, &nobody).unwrap().get("/healthz").is_ok());
}

#[test]
fn half_a_configuration_of_the_admin_plane_does_not_start() {
    let keys = Keys::new();
    let certificates = certificates(&keys);
    let whole = settings(&certificates, "s");
    let check = |without: &[&str], expected: &str| {
        let left: Vec<_> =
            whole.iter().filter(|(key, _)| !without.contains(key)).cloned().collect();
        let said = refused(&keys, &left);
        assert!(said.contains(expected), "{without:?}: {said}");
    };
    check(&["admin.ca_file"], "admin.ca_file: set it, or tls.ca_file");
    check(&["admin.roles"], "admin.roles: name who may do what");
    check(&["tls.cert_file", "tls.key_file"], "admin.addr: needs tls.cert_file");
    check(&["admin.addr"], "admin.roles: needs admin.addr");
    let mut wrong = whole.clone();
    wrong.push(("admin.roles", "ops=operator".to_owned()));
    assert!(refused(&keys, &wrong).contains("KIND:NAME=ROLE"));
}

#[test]
fn what_would_close_every_way_in_is_not_ordered() {
    let keys = Keys::new();
    let certificates = certificates(&keys);
    let mut settings = settings(&certificates, "s");
    settings.retain(|(key, _)| *key != "uds.path");
    let node = start(&keys, &settings);
    let admin = [Caveat::Actions(vec![Action::Admin]), Caveat::Planes(vec![Plane::Admin])];
    let admin = keys.token(&admin);
    let lock = ("POST /admin/orders", r#"{"order":"ingress_lock"}"#);
    let (status, answer) = ask(&node.admin, &certificates, "operator", Some(&admin), lock);
    assert!(status == 409 && answer.contains("uds.path"), "{answer}");
}
