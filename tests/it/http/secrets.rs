//! Nothing of a token, and no key, leaves the process: not in its log at the lowest level, not in its
//! metrics, not in its traces, not in the body of an error.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Client;
use ron_ledger::capability::{Action, Caveat};

use super::support::body_of;
use crate::support::collector::Collector;
use crate::support::daemon::Daemon;
use crate::support::entries::{mint, transfer};
use crate::support::keys::Keys;

/// Texts by which a token, or its signature, would be known again.
fn traces_of(token: &str) -> Vec<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
    let signature = &bytes[bytes.len() - 32..];
    let listed = format!("{:?}", &signature[..8]);
    let standard = STANDARD.encode(&bytes);
    let windows = [token, &standard].map(|text| {
        let pieces = text.as_bytes().windows(12);
        pieces.map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect::<Vec<_>>()
    });
    let mut traces = windows.concat();
    traces.push(hex::encode(&signature[..8]));
    traces.push(hex::encode_upper(&signature[..8]));
    traces.push(URL_SAFE_NO_PAD.encode(signature)[..12].to_owned());
    traces.push(STANDARD.encode(signature)[..12].to_owned());
    traces.push(listed.trim_matches(['[', ']']).to_owned());
    traces
}

#[actix_rt::test]
async fn no_token_and_no_key_is_ever_written_down() {
    let keys = Keys::new();
    let collector = Collector::start();
    let settings = [
        ("telemetry.log", "trace"),
        ("telemetry.otlp_endpoint", collector.endpoint.as_str()),
        ("telemetry.sample_ratio", "1.0"),
    ];
    let daemon = Daemon::start(&keys, "micronode", &settings);
    let good = keys.master();
    let narrow = keys.token(&[Caveat::Actions(vec![Action::Burn])]);
    let mut forged = good.clone().into_bytes();
    let at = forged.len() - 8;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    let cut = good[..good.len() - 4].to_owned();
    let tokens = [good, narrow, forged, cut];

    // The provider was installed by the client that the daemon's helper makes.
    drop(daemon.client(&tokens[0]));
    let client = Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
    let mut told = String::new();
    let mut statuses = Vec::new();
    for token in &tokens {
        let url = |path: &str| format!("{}{path}", daemon.api);
        let body = body_of(&[mint("alice", 5), transfer("alice", "bob", 1)], false);
        let schemes = [format!("Bearer {token}"), format!("Basic {token}"), token.clone()];
        let writes = schemes.map(|scheme| {
            client.post(url("/ingest")).header("authorization", scheme).body(body.clone())
        });
        let reads = ["/accounts/alice", "/entries", "/entries/1", "/holds/x", "/nowhere"]
            .map(|path| client.get(url(path)).bearer_auth(token));
        let whole = client.get(url("/roots?since=x")).bearer_auth(token);
        for request in writes.into_iter().chain(reads).chain([whole]) {
            let reply = request.send().await.unwrap();
            statuses.push(reply.status().as_u16());
            told.push_str(&format!("{:?}", reply.headers()));
            told.push_str(&reply.text().await.unwrap());
        }
    }
    for status in [200, 400, 401, 403, 404] {
        assert!(statuses.contains(&status), "{statuses:?}");
    }
    let metrics = client.get(format!("{}/metrics", daemon.metrics)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let (code, _, log) = daemon.stop();
    assert_eq!(code, Some(0));
    let log = log.join("\n");
    // All of it is there: what reads requests off the wire, and the actors.
    for seen in ["\"level\":\"TRACE\"", "actix_http::h1::decoder", "ron_ledger::actors"] {
        assert!(log.contains(seen), "{seen}");
    }
    let traces = String::from_utf8_lossy(&collector.seen()).into_owned();
    for seen in ["/ingest", "/accounts/{account}"] {
        assert!(traces.contains(seen), "no span of {seen}");
    }

    // The last one is the beginning of the first.
    let mut secrets: Vec<_> = tokens[..3].iter().flat_map(|token| traces_of(token)).collect();
    // The seed of all keys of these tests.
    secrets.push(hex::encode([7; 16]));
    secrets.push("7, 7, 7, 7, 7, 7, 7, 7".to_owned());
    for secret in &secrets {
        let places =
            [("log", &log), ("metrics", &metrics), ("traces", &traces), ("answers", &told)];
        for (place, text) in places {
            let around = text.find(secret.as_str()).map(|at| {
                let (from, to) = (at.saturating_sub(300), (at + 300).min(text.len()));
                text.get(from..to).unwrap_or_default()
            });
            assert_eq!(around, None, "{place} holds {secret}");
        }
    }
}
