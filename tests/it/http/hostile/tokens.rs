//! Tokens that were forged, cut, widened, borrowed, outlived or taken back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ron_ledger::capability::{Caveat, Keyring, Macaroon, Secret, mint};

use super::Plane::Api;
use super::{PLANTED, Row, body, post, row};
use crate::support::keys::{CAPABILITY, Keys, now_ms};

/// The capability id that is revoked before the table begins.
pub(super) const REVOKED: &str = "cap-stolen";

pub(super) fn rows(keys: &Keys) -> Vec<Row> {
    let used = |(case, token, status): (&str, String, u16)| row(case, Api, post(&token), &[status]);
    let mut rows: Vec<Row> = changed(keys).into_iter().chain(named(keys)).map(used).collect();
    rows.extend(carried(&keys.master()));
    rows
}

/// Signed with this key, whatever the identifier and the caveats say.
fn signed(key: &Secret, identifier: &str, caveats: &[&str]) -> String {
    let macaroon = Macaroon::mint(key, None, identifier.as_bytes()).unwrap();
    let narrow = |macaroon: Macaroon, caveat: &&str| macaroon.attenuate(caveat.as_bytes()).unwrap();
    caveats.iter().fold(macaroon, narrow).serialize().unwrap().expose().to_owned()
}

/// Its bytes, changed by `change`.
fn bent(token: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
    change(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What came of good tokens without the key.
fn changed(keys: &Keys) -> Vec<(&'static str, String, u16)> {
    let good = keys.master();
    let narrow = keys.token(&[Caveat::AmountMax(1)]);
    let one_more = |caveat: &str| {
        let wider = Macaroon::parse(&narrow).unwrap().attenuate(caveat.as_bytes()).unwrap();
        wider.serialize().unwrap().expose().to_owned()
    };
    let amount = |bytes: &mut Vec<u8>| {
        let at = bytes.windows(11).position(|part| part == b"amount <= 1").unwrap();
        bytes[at + 10] = b'9';
    };
    let without = |bytes: &mut Vec<u8>| {
        let at = bytes.windows(11).position(|part| part == b"amount <= 1").unwrap();
        bytes.drain(at - 2..at + 12);
    };
    vec![
        (
            "a signature with one bit turned",
            bent(&good, |bytes| *bytes.last_mut().unwrap() ^= 1),
            401,
        ),
        ("a caveat that was changed", bent(&narrow, amount), 401),
        ("a caveat that was taken away", bent(&narrow, without), 401),
        ("a caveat that asks for more", one_more("amount <= 1000000"), 403),
        ("another expiry that is later", one_more("expires <= 99999999999999"), 403),
        ("a token that is cut", good[..good.len() / 2].to_owned(), 401),
        (
            "a token without its signature",
            bent(&good, |bytes| bytes.truncate(bytes.len() - 34)),
            401,
        ),
        ("a token with more behind it", bent(&good, |bytes| bytes.push(0)), 401),
        ("a version that is not known", bent(&good, |bytes| bytes[0] = 1), 401),
        ("a token twice", format!("{good}{good}"), 401),
        ("a token of 8 kB", PLANTED.repeat(600), 401),
        ("a token that is none", PLANTED.to_owned(), 401),
        ("a token in JSON", format!("{{\"v\":2,\"i\":\"{PLANTED}\"}}"), 401),
    ]
}

/// What is signed, and names what is not granted.
fn named(keys: &Keys) -> Vec<(&'static str, String, u16)> {
    let keyring = Keyring::open(&keys.dir().join("keyring")).unwrap();
    let (key, other) = (keyring.current().1, Secret::from([9; 32]));
    let soon = format!("expires <= {}", now_ms() + 3_600_000);
    let far = format!("expires <= {}", now_ms() + 31 * 24 * 3_600_000);
    let ours = format!("1:root-1:{CAPABILITY}");
    let expiry = Caveat::ExpiresMs(now_ms() + 3_600_000);
    let revoked = mint(&keyring, REVOKED, &[expiry], now_ms()).unwrap();
    let narrower = Macaroon::parse(revoked.expose()).unwrap().attenuate(b"peer = plain").unwrap();
    vec![
        ("a token of another key", signed(&other, &ours, &[&soon]), 401),
        ("a root key that is not there", signed(key, "1:root-9:cap-1", &[&soon]), 401),
        ("a root key that is a path", signed(key, "1:../root-1:cap-1", &[&soon]), 401),
        ("an identifier of another version", signed(key, "2:root-1:cap-1", &[&soon]), 401),
        ("a token of another capability", signed(key, "1:root-1:cap-7", &[&soon]), 403),
        ("a token that has expired", signed(key, &ours, &["expires <= 1"]), 403),
        ("a token without an expiry", signed(key, &ours, &[]), 403),
        ("a token for more than 30 days", signed(key, &ours, &[&far]), 403),
        (
            "a caveat that nobody knows",
            signed(key, &ours, &[&soon, &format!("{PLANTED} = 1")]),
            403,
        ),
        ("a token for another plane", signed(key, &ours, &[&soon, "plane = admin"]), 403),
        ("a token for the socket", signed(key, &ours, &[&soon, "peer = uds"]), 403),
        ("a token for reading", signed(key, &ours, &[&soon, "action in read"]), 403),
        ("a token for other accounts", signed(key, &ours, &[&soon, "account prefix b"]), 403),
        ("a token for less", signed(key, &ours, &[&soon, "amount <= 6"]), 403),
        ("a token that is revoked", revoked.expose().to_owned(), 403),
        (
            "a narrowed token of a revoked one",
            narrower.serialize().unwrap().expose().to_owned(),
            403,
        ),
    ]
}

/// Good tokens that come another way than in one header.
fn carried(good: &str) -> Vec<Row> {
    let came = |case: &str, target: &str, lines: &str, status: u16| {
        let body = body();
        let length = body.len();
        let sent = format!(
            "POST {target} HTTP/1.1\r\nhost: x\r\n{lines}content-length: {length}\r\n\r\n{body}"
        );
        row(case, Api, sent, &[status])
    };
    let bearer = format!("authorization: Bearer {good}\r\n");
    vec![
        came("no token", "/ingest", "", 401),
        came("two headers with tokens", "/ingest", &format!("{bearer}{bearer}"), 401),
        came("another scheme", "/ingest", &format!("authorization: Basic {good}\r\n"), 401),
        came("no scheme", "/ingest", &format!("authorization: {good}\r\n"), 401),
        came("a cookie", "/ingest", &format!("cookie: token={good}\r\n"), 401),
        came(
            "a header of a proxy",
            "/ingest",
            &format!("proxy-authorization: Bearer {good}\r\n"),
            401,
        ),
    ]
}
