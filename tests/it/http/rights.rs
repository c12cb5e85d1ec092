//! Who may write what, and how one who may not is told.

use ron_ledger::capability::{Action, Caveat, Macaroon};
use ron_ledger::ledger::entry::{Entry, Kind};
use ron_ledger::ledger::names::{Asset, KeyName};
use ron_ledger::telemetry::Peer;
use serde_json::json;

use super::support::{Edge, body_of};
use crate::support::entries::{entry, mint, transfer};
use crate::support::keys::now_ms;

async fn refused(edge: &Edge, token: &str, status: u16, reason: &str, details: &str) {
    let before = edge.rejected().get(reason).copied().unwrap_or(0);
    let reply = edge.post(token, body_of(&[mint("alice", 5)], false)).await;
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(reply.json(), json!({"reason": reason, "details": details}));
    let challenge = reply.headers.get("www-authenticate").map(|value| value.to_str().unwrap());
    assert_eq!(challenge, (status == 401).then_some("Bearer"));
    assert_eq!(edge.rejected()[reason], before + 1);
    assert_eq!(edge.node.pipeline.reader().head().seq, 0);
}

#[actix_rt::test]
async fn a_token_that_is_not_this_ledgers_is_nobodys() {
    let edge = Edge::new().await;
    let body = body_of(&[mint("alice", 5)], false);
    let request = || edge.request("POST", "/ingest").body(body.clone());
    let details = "no token was presented; it must come as one \"Authorization: Bearer <token>\"";
    let twice = request().bearer_auth(&edge.master).bearer_auth(&edge.master);
    let basic = request().header("authorization", format!("Basic {}", edge.master));
    for (failures, request) in (1..).zip([request(), twice, basic]) {
        let reply = edge.call(request).await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.json(), json!({"reason": "unauth", "details": details}));
        let counted = edge.node.pipeline.metrics().auth_failures.of(Peer::Tcp).get();
        assert_eq!((counted, edge.rejected()["unauth"]), (failures, failures));
    }
    let unauth = async |token: &str, details: &str| {
        refused(&edge, token, 401, "unauth", details).await;
    };
    unauth("!", "the token is not base64url").await;
    unauth("AAAA", "the token is not a macaroon in the v2 binary format").await;
    let mut forged = edge.master.clone().into_bytes();
    let last = forged.len() - 8;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    unauth(&forged, "the signature of the token does not match").await;
}

#[actix_rt::test]
async fn a_token_that_may_not_be_used_here_and_now_is_refused_whole() {
    let edge = Edge::new().await;
    let refused = async |caveat: &str, details: &str| {
        let token = Macaroon::parse(&edge.master).unwrap().attenuate(caveat.as_bytes()).unwrap();
        let token = token.serialize().unwrap();
        refused(&edge, token.expose(), 403, "cap_invalid", details).await;
    };
    refused("expires <= 1", "the capability has expired").await;
    let far = format!("expires <= {}", now_ms() + 31 * 24 * 3_600_000);
    refused(&far, "the capability must expire within 30 days").await;
    refused("peer = uds", "peer: the capability is not for this kind of connection").await;
    refused("plane = admin", "plane: the capability is not for this listener").await;
    refused("time < 2027-01-01", "unknown caveat \"time\"").await;
    let details = "malformed caveat \"amount\": it must read `amount <= ATOMS`";
    refused("amount <= 1.5", details).await;
}

/// Two entries, of which the second is one that a token with these caveats does not allow.
async fn half_allowed(edge: &Edge, caveats: &[Caveat], entries: [Entry; 2], details: &str) {
    let token = edge.node.keys.token(caveats);
    let reply = edge.post(&token, body_of(&entries, false)).await;
    assert_eq!(reply.status, 207, "{details}");
    let reasons = json!([{"idx": 1, "reason": "cap_invalid", "details": details}]);
    assert_eq!(reply.json()["reasons"], reasons);
    // None of them allowed: the status is that of the reason.
    let alone = edge.post(&token, body_of(&entries[1..], false)).await;
    assert_eq!(alone.status, 403, "{details}");
    assert_eq!(alone.results()[0].1, "cap_invalid");
    // And all or nothing is nothing.
    let atomic = edge.post(&token, body_of(&entries.map(renewed), true)).await;
    assert_eq!(atomic.status, 403, "{details}");
    assert_eq!(atomic.results()[0].1, "atomic_aborted");
}

/// The same under another id and nonce.
fn renewed(old: Entry) -> Entry {
    let Entry { id, nonce, .. } = mint("x", 1);
    Entry { id, nonce, ..old }
}

#[actix_rt::test]
async fn a_capability_covers_entry_by_entry() {
    let edge = Edge::new().await;
    edge.send(&[mint("team/a", 1000)]).await;
    let only = |action: Action| vec![Caveat::Actions(vec![action])];
    let details = "action: the capability does not allow this action";
    let burn = entry(Kind::Burn, "team/a", 1);
    half_allowed(&edge, &only(Action::Mint), [mint("team/a", 1), burn], details).await;
    let details = "account_prefix: the capability does not cover this account";
    let prefix = [Caveat::AccountPrefix("team/".to_owned())];
    let entries = [transfer("team/a", "other", 1), transfer("other", "team/a", 1)];
    half_allowed(&edge, &prefix, entries, details).await;
    let details = "asset: the capability does not cover this asset";
    let usd = Entry { asset: Asset::new("USD").unwrap(), ..mint("team/a", 1) };
    let assets = [Caveat::Assets(vec!["RON".to_owned()])];
    half_allowed(&edge, &assets, [mint("team/a", 1), usd], details).await;
    let details = "amount_ceiling: the amount is above the ceiling of the capability";
    let entries = [mint("team/a", 10), mint("team/a", 11)];
    half_allowed(&edge, &[Caveat::AmountMax(10)], entries, details).await;
    let details = "capability_ref: is not the id of the token's capability";
    let other = Entry { capability: KeyName::new("cap-2").unwrap(), ..mint("team/a", 1) };
    half_allowed(&edge, &[], [mint("team/a", 1), other], details).await;
}

#[actix_rt::test]
async fn governance_decides_on_reversals() {
    let reversal = async |setting: &str, caveats: &[Caveat]| {
        let edge = Edge::with(&[("governance.reversible_bridges", setting)]).await;
        let minted = mint("alice", 5);
        edge.send(std::slice::from_ref(&minted)).await;
        let undo = Entry { reference: Some(minted.id), ..entry(Kind::Reverse, "alice", 5) };
        let token = edge.node.keys.token(caveats);
        let reply = edge.post(&token, body_of(&[undo], false)).await;
        (reply.status, reply.results()[0].1.clone())
    };
    let named = [Caveat::Actions(vec![Action::Reverse, Action::Mint])];
    let undone = (200, "2".to_owned());
    let denied = (403, "policy_denied".to_owned());
    assert_eq!(reversal("allow", &[]).await, undone);
    assert_eq!(reversal("require-cap", &named).await, undone);
    assert_eq!(reversal("require-cap", &[]).await, denied);
    assert_eq!(reversal("disabled", &named).await, denied);
    let narrow = [Caveat::Actions(vec![Action::Reverse])];
    assert_eq!(reversal("allow", &narrow).await, (403, "cap_invalid".to_owned()));
}
