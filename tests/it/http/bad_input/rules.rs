//! Entries that read well and break a rule.

use serde_json::{Value, json};

use super::rows::{NEW, Row, batch, entry, id, one};
use super::state::*;

/// Fields that do not go with the kind.
pub fn kinds() -> Vec<Row> {
    let past = 1_700_000_000_000_u64;
    vec![
        one("transfer to nobody", json!({"kind": "Transfer"})),
        one("mint with a counterparty", json!({"counterparty": "bob"})),
        one("mint with a reference", json!({"reference": id(MINT)})),
        one("mint with expires_at", json!({"expires_at": past})),
        one("mint with keep_open", json!({"keep_open": true})),
        one("capture of nothing", json!({"kind": "Capture", "counterparty": "shop"})),
        one("release of nothing", json!({"kind": "Release"})),
        one("reverse of nothing", json!({"kind": "Reverse"})),
        one("reference no uuid", json!({"kind": "Reverse", "reference": "last"})),
        one("expires_at a string", json!({"kind": "Hold", "expires_at": "soon"})),
        one("expires_at negative", json!({"kind": "Hold", "expires_at": -1})),
        one("keep_open a string", json!({"kind": "Capture", "keep_open": "no"})),
        one("expires_at in the past", json!({"kind": "Hold", "expires_at": past})),
    ]
}

/// One entry that refers to another one.
fn on(case: &'static str, kind: &str, amount: &str, reference: u64, counterparty: &str) -> Row {
    let mut changes = json!({"kind": kind, "amount": amount, "reference": id(reference)});
    if !counterparty.is_empty() {
        changes["counterparty"] = counterparty.into();
    }
    one(case, changes)
}

fn atomic(mut row: Row) -> Row {
    let mut request: Value = serde_json::from_slice(&row.body).unwrap();
    request["atomic"] = true.into();
    row.body = request.to_string().into_bytes();
    row
}

/// What the rules of the ledger refuse.
pub fn ledger() -> Vec<Row> {
    let debit = |number, amount: &str| entry(number, json!({"kind": "Debit", "amount": amount}));
    let credit = |number, amount: &str| entry(number, json!({"kind": "Credit", "amount": amount}));
    let undo = |number, reference: u64, account: &str| {
        let reference = id(reference);
        let reverse = json!({"kind": "Reverse", "amount": "3", "reference": reference});
        let mut entry = entry(number, reverse);
        entry["account"] = account.into();
        entry
    };
    let tuple = |changes: Value| {
        let mut same = entry(MINT, json!({"amount": "1000", "id": id(NEW)}));
        same.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        same
    };
    let spend = |asset: &str| json!({"kind": "Burn", "asset": asset, "amount": "1001"});
    vec![
        one("capability_ref not the token's", json!({"capability_ref": "cap-2"})),
        batch("a leg alone", &[debit(NEW, "5")]),
        batch("legs that do not balance", &[debit(NEW, "5"), credit(NEW + 1, "4")]),
        batch(
            "legs apart",
            &[
                debit(NEW, "5"),
                entry(NEW + 2, json!({"kind": "Burn", "amount": "9999"})),
                credit(NEW + 1, "5"),
            ],
        ),
        atomic(batch("atomic legs that do not balance", &[debit(NEW, "5"), credit(NEW + 1, "4")])),
        batch("same id with other content", &[entry(MINT, json!({"amount": "1001"}))]),
        batch("same tuple with other id", &[tuple(json!({"kind": "Burn"}))]),
        batch("same tuple of another asset", &[tuple(json!({"asset": "USD"}))]),
        atomic(batch("same id twice", &[entry(NEW, json!({})), entry(NEW, json!({}))])),
        atomic(batch(
            "part of a unit known",
            &[entry(MINT, json!({"amount": "1000"})), entry(NEW, json!({}))],
        )),
        on("unknown reference", "Reverse", "5", NEW + 1, ""),
        on("its own reference", "Reverse", "5", NEW, ""),
        on("capture of what is no hold", "Capture", "5", TRANSFER, "shop"),
        on("double capture", "Capture", "20", CAPTURED_HOLD, "shop"),
        on("capture after release", "Capture", "30", RELEASED_HOLD, "shop"),
        on("capture of too much", "Capture", "51", OPEN_HOLD, "shop"),
        on("capture for another one", "Capture", "5", NAMED_HOLD, "bob"),
        on("capture of an expired hold", "Capture", "10", EXPIRED_HOLD, "shop"),
        one(
            "capture of another's hold",
            json!({"kind": "Capture", "account": "bob", "counterparty": "shop", "amount": "5",
                "reference": id(OPEN_HOLD)}),
        ),
        on("release of too much", "Release", "51", OPEN_HOLD, ""),
        on("release of an expired hold", "Release", "10", EXPIRED_HOLD, ""),
        on("reversal twice", "Reverse", "7", REVERSED, ""),
        on("reversal of a part", "Reverse", "99", TRANSFER, ""),
        on("reversal of a hold", "Reverse", "50", OPEN_HOLD, ""),
        on("reversal of a release", "Reverse", "30", RELEASE, ""),
        on("reversal of a reversal", "Reverse", "7", REVERSAL, ""),
        on("reversal of what was spent", "Reverse", "1000", MINT, ""),
        batch("reversal of one leg", &[undo(NEW, DEBIT, "alice")]),
        batch(
            "reversal of legs one by one",
            &[undo(NEW, DEBIT, "alice"), undo(NEW + 1, CREDIT, "bob")],
        ),
        one("insufficient funds", spend("RON")),
        one("insufficient funds of an unknown asset", spend("NEW")),
        one(
            "insufficient funds of a hold",
            json!({"kind": "Hold", "account": "nobody", "amount": "1"}),
        ),
        one("overflow of the supply", json!({"asset": "MAX", "account": "bob", "amount": "1"})),
        batch(
            "one of each",
            &[
                entry(NEW, spend("RON")),
                entry(NEW + 1, json!({"capability_ref": "cap-2"})),
                entry(MINT, json!({"amount": "1001"})),
            ],
        ),
        atomic(batch(
            "one falls with another",
            &[entry(NEW, json!({})), entry(NEW + 1, spend("RON"))],
        )),
    ]
}
