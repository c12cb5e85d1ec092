//! The ledger that bad input meets: something of each kind to refer to.

use serde_json::{Value, json};

use super::super::support::Edge;
use super::rows::{entry, id};
use crate::support::keys::now_ms;

/// Entries of the ledger, by the last digits of their ids.
pub const MINT: u64 = 1;
pub const TRANSFER: u64 = 2;
pub const OPEN_HOLD: u64 = 3;
pub const CAPTURED_HOLD: u64 = 4;
pub const CAPTURE: u64 = 5;
pub const RELEASED_HOLD: u64 = 6;
pub const RELEASE: u64 = 7;
pub const REVERSED: u64 = 8;
pub const REVERSAL: u64 = 9;
pub const EXPIRED_HOLD: u64 = 10;
pub const NAMED_HOLD: u64 = 11;
pub const DEBIT: u64 = 12;
pub const CREDIT: u64 = 13;
pub const ALL_OF_MAX: u64 = 14;

/// Writes it, and waits until the hold that is to expire has.
pub async fn build(edge: &Edge) {
    let hold = |number, amount| entry(number, json!({"kind": "Hold", "amount": amount}));
    let on = |number, kind: &str, amount: &str, reference, more: Value| {
        let mut changes = json!({"kind": kind, "amount": amount, "reference": id(reference)});
        changes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry(number, changes)
    };
    let shop = json!({"counterparty": "shop"});
    let transfer = |number, amount| {
        entry(number, json!({"kind": "Transfer", "amount": amount, "counterparty": "bob"}))
    };
    let soon = now_ms() + 400;
    let expiring = json!({"kind": "Hold", "amount": "10", "expires_at": soon});
    let named = json!({"kind": "Hold", "amount": "10", "counterparty": "shop"});
    let everything = json!({"asset": "MAX", "amount": u128::MAX.to_string()});
    let batch = [
        entry(MINT, json!({"amount": "1000"})),
        transfer(TRANSFER, "100"),
        hold(OPEN_HOLD, "50"),
        hold(CAPTURED_HOLD, "20"),
        on(CAPTURE, "Capture", "20", CAPTURED_HOLD, shop),
        hold(RELEASED_HOLD, "30"),
        on(RELEASE, "Release", "30", RELEASED_HOLD, json!({})),
        transfer(REVERSED, "7"),
        on(REVERSAL, "Reverse", "7", REVERSED, json!({})),
        entry(EXPIRED_HOLD, expiring),
        entry(NAMED_HOLD, named),
        entry(DEBIT, json!({"kind": "Debit", "amount": "3"})),
        entry(CREDIT, json!({"kind": "Credit", "amount": "3", "account": "bob"})),
        entry(ALL_OF_MAX, everything),
    ];
    let entries = batch.len();
    let body = json!({ "batch": batch }).to_string();
    let reply = edge.post(&edge.master, body).await;
    assert_eq!(reply.json()["accepted"], entries, "{reply:?}");
    // The ledger adds one entry when the hold ends: nothing else may be added after this.
    let has_expired =
        |node: &crate::support::node::Node| node.pipeline.reader().head().seq == entries as u64 + 1;
    edge.node.until("the hold expires", has_expired).await;
}
