//! Every way a request can read wrong, and what its client is told.

use serde_json::{Value, json};

use super::*;
use crate::http::dto::{Atoms, EntryIn, RequestIn};
use crate::ledger::entry::Kind;

const ID: &str = "0190b6c0-0000-7000-8000-000000000001";
const NONCE: &str = "AAECAwQFBgcICQoLDA0ODw==";

fn run(body: &[u8]) -> Result<Parsed, Reject> {
    let default_asset = Asset::new("RON").unwrap();
    parse(body, &Rules { default_asset: &default_asset, batch_max_entries: 3 })
}

fn entry() -> Value {
    json!({
        "id": ID, "ts": 1_700_000_000_000_u64, "kind": "Mint", "account": "a", "amount": "5",
        "nonce": NONCE, "capability_ref": "cap-1", "v": 1,
    })
}

/// A good entry with these fields changed, added, or (null) taken away.
fn with(changes: Value) -> Value {
    let mut entry = entry();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => entry.as_object_mut().unwrap().remove(name),
            value => entry.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    entry
}

fn one(entry: Value) -> Vec<u8> {
    json!({ "batch": [entry] }).to_string().into_bytes()
}

#[track_caller]
fn refused(body: impl AsRef<[u8]>, details: &str) {
    let reject = run(body.as_ref()).expect_err(details);
    assert_eq!((reject.reason, &*reject.details), (Reason::UnknownKind, details));
}

#[test]
fn what_is_not_json_is_told_with_its_place() {
    for (body, details) in [
        ("", "body: not JSON: EOF while parsing a value at line 1 column 0"),
        ("{\"batch\":[", "body: not JSON: EOF while parsing a list at line 1 column 10"),
        ("{\"batch\":[]} x", "body: not JSON: trailing characters at line 1 column 14"),
        ("{batch:[]}", "body: not JSON: key must be a string at line 1 column 2"),
        ("{\"batch\":[],}", "body: not JSON: trailing comma at line 1 column 13"),
        (
            "{\"idem_id\":\"a\nb\"}",
            "body: not JSON: control character (\\u0000-\\u001F) found while parsing a string at \
             line 2 column 0",
        ),
        ("{\"batch\":[1e999]}", "body: not JSON: number out of range at line 1 column 15"),
        ("NaN", "body: not JSON: expected value at line 1 column 1"),
    ] {
        refused(body, details);
    }
    refused(b"{\"\xff\":1}", "body: not JSON: invalid unicode code point at line 1 column 3");
}

#[test]
fn a_value_of_another_shape_is_told_with_its_place() {
    for body in ["[]", "5", "-5", "0.5", "null", "true", "\"text\"", "[{\"batch\":[]}]"] {
        refused(body, "body: must be an object with a batch");
    }
    for batch in ["{}", "5", "null", "\"x\"", "{\"a\":[{}]}"] {
        refused(format!("{{\"batch\":{batch}}}"), "batch: must be an array of entries");
    }
    for entry in ["[]", "5", "null", "\"x\"", "[[1],{}]"] {
        refused(format!("{{\"batch\":[{entry}]}}"), "batch[0]: must be an object");
    }
}

#[test]
fn nesting_is_skipped_without_recursion() {
    let deep = format!("{}{}", "[".repeat(400_000), "]".repeat(400_000));
    refused(format!("{{\"batch\":[{deep}]}}"), "batch[0]: must be an object");
    refused(format!("{{\"memo\":{deep}}}"), "memo: no such field");
    let objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    refused(format!("{{\"batch\":[{{\"id\":{objects}}}]}}"), "batch[0].v: is missing");
}

#[test]
fn the_fields_of_a_request_are_checked() {
    let body = |more: Value| {
        let mut body = json!({ "batch": [entry()] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string()
    };
    let idem_set = "idem_id: must consist of letters, digits and . _ : @ / -";
    for (more, details) in [
        (json!({"batch": []}), "batch: must have at least one entry"),
        (json!({"memo": 1}), "memo: no such field"),
        (json!({"me mo": 1}), "body: has a field that does not exist"),
        (json!({"": 1}), "body: has a field that does not exist"),
        (json!({"x".repeat(33): {"deep": [1]}}), "body: has a field that does not exist"),
        (json!({"idem_id": 5}), "idem_id: must be a string"),
        (json!({"idem_id": ""}), "idem_id: must not be empty"),
        (json!({"idem_id": "i".repeat(65)}), "idem_id: must be at most 64 characters"),
        (json!({"idem_id": "a b"}), idem_set),
        (json!({"atomic": "yes"}), "atomic: must be true or false"),
        (json!({"atomic": 1}), "atomic: must be true or false"),
        (json!({"receipt": []}), "receipt: must be true or false"),
    ] {
        refused(body(more), details);
    }
    refused("{}", "batch: is missing");
    refused("{\"batch\":[],\"batch\":[]}", "batch: given twice");
    refused("{\"batch\":[],\"atomic\":true,\"atomic\":true}", "atomic: given twice");
}

#[test]
fn the_fields_of_an_entry_are_checked() {
    let atoms = "amount: must be a decimal string of atoms from 1 to 2^128-1";
    let nonce = "nonce: must be 16 bytes in base64";
    let ms = "must be a whole number of milliseconds since 1970, below 2^64";
    let names = "must consist of letters, digits and . _ : @ / -";
    let above = "340282366920938463463374607431768211456";
    for (changes, fault) in [
        (json!({"memo": "x"}), "memo: no such field"),
        (json!({"kid": "root-1"}), "kid: no such field"),
        (json!({"id": null}), "id: is missing"),
        (json!({"id": 7}), "id: must be a string"),
        (json!({"id": "x"}), "id: must be a UUID"),
        (json!({"id": format!("{{{ID}}}")}), "id: must be a UUID"),
        (json!({"id": format!("urn:uuid:{ID}")}), "id: must be a UUID"),
        (
            json!({"id": "0190b6c0-0000-8000-8000-000000000001"}),
            "id: must not be a UUID of version 8, which is the ledger's own",
        ),
        (json!({"ts": null}), "ts: is missing"),
        (json!({"ts": "1700000000000"}), &format!("ts: {ms}")),
        (json!({"ts": -1}), &format!("ts: {ms}")),
        (json!({"ts": 1.5}), &format!("ts: {ms}")),
        (json!({"ts": 1e30}), &format!("ts: {ms}")),
        (json!({"kind": 1}), "kind: must be a string"),
        (json!({"kind": "Expire"}), "kind: Expire is made by the ledger alone"),
        (
            json!({"kind": "mint"}),
            "kind: must be one of Mint, Burn, Transfer, Credit, Debit, Hold, Capture, Release, \
             Reverse",
        ),
        (json!({"account": ["a"]}), "account: must be a string"),
        (json!({"account": ""}), "account: must not be empty"),
        (json!({"account": "a".repeat(129)}), "account: must be at most 128 characters"),
        (json!({"account": "a\u{0}b"}), &format!("account: {names}")),
        (json!({"account": "a\nb"}), &format!("account: {names}")),
        (json!({"account": "caf\u{e9}"}), &format!("account: {names}")),
        (json!({"amount": null}), "amount: is missing"),
        (json!({"amount": 5}), atoms),
        (json!({"amount": 5.0}), atoms),
        (json!({"amount": {"atoms": 5}}), atoms),
        (json!({"amount": ""}), atoms),
        (json!({"amount": "0"}), atoms),
        (json!({"amount": "-5"}), atoms),
        (json!({"amount": "+5"}), atoms),
        (json!({"amount": "05"}), atoms),
        (json!({"amount": "5.0"}), atoms),
        (json!({"amount": "5e3"}), atoms),
        (json!({"amount": " 5"}), atoms),
        (json!({"amount": "\u{665}"}), atoms),
        (json!({"amount": above}), atoms),
        (json!({"amount": "9".repeat(5000)}), atoms),
        (json!({"nonce": 5}), "nonce: must be a string"),
        (json!({"nonce": ""}), nonce),
        (json!({"nonce": "AAECAwQFBgcICQoLDA0O"}), nonce),
        (json!({"nonce": "AAECAwQFBgcICQoLDA0ODxA="}), nonce),
        (json!({"nonce": "AAECAwQFBgcICQoLDA0ODxAR"}), nonce),
        (json!({"nonce": "AAECAwQFBgcICQoLDA0O__"}), nonce),
        (json!({"nonce": "AAECAwQFBgcICQoLDA0ODx=="}), nonce),
        (json!({"capability_ref": null}), "capability_ref: is missing"),
        (
            json!({"capability_ref": "a/b"}),
            "capability_ref: must consist of letters, digits and . _ -",
        ),
        (json!({"v": null}), "v: is missing"),
        (json!({"v": 2, "kind": "Future"}), "v: must be 1"),
        (json!({"v": "1"}), "v: must be 1"),
        (json!({"v": 1.0}), "v: must be 1"),
        (json!({"counterparty": "b"}), "counterparty: this kind does not take it"),
        (json!({"kind": "Transfer"}), "counterparty: this kind needs it"),
        (
            json!({"kind": "Transfer", "counterparty": "a"}),
            "counterparty: must be another account than the entry's own",
        ),
        (json!({"kind": "Release"}), "reference: this kind needs it"),
        (json!({"kind": "Release", "reference": "x"}), "reference: must be a UUID"),
        (json!({"asset": "usd"}), "asset: must consist of capital letters, digits and . _ -"),
        (json!({"asset": "A".repeat(17)}), "asset: must be at most 16 characters"),
        (json!({"kind": "Hold", "expires_at": "soon"}), &format!("expires_at: {ms}")),
        (json!({"expires_at": 5}), "expires_at: this kind does not take it"),
        (json!({"keep_open": true}), "keep_open: this kind does not take it"),
        (json!({"keep_open": "no"}), "keep_open: must be true or false"),
    ] {
        refused(one(with(changes)), &format!("batch[0].{fault}"));
    }
}

#[test]
fn fields_are_told_apart_by_entry_and_the_first_fault_counts() {
    let batch = json!({ "batch": [entry(), with(json!({"v": 3})), with(json!({"ts": "x"}))] });
    refused(batch.to_string(), "batch[1].v: must be 1");
    let twice =
        String::from_utf8(one(entry())).unwrap().replacen("{\"account", "{\"v\":1,\"account", 1);
    refused(twice, "batch[0].v: given twice");
    let nested = with(json!({"a b": [[{"id": []}]]}));
    refused(one(nested), "batch[0]: has a field that does not exist");
}

#[test]
fn too_many_entries_come_before_every_other_fault() {
    let three = json!({ "batch": [entry(), entry(), entry()] });
    assert_eq!(run(three.to_string().as_bytes()).unwrap().entries.len(), 3);
    let five = json!({ "batch": [entry(), 5, {"x": 1}, entry(), []], "memo": 1 });
    let reject = run(five.to_string().as_bytes()).unwrap_err();
    assert_eq!(reject.reason, Reason::TooLarge);
    assert_eq!(reject.details, "batch: has 5 entries, at most 3 may come at once");
}

#[test]
fn a_good_request_becomes_its_entries() {
    let capture = with(json!({
        "kind": "Capture", "counterparty": "b", "reference": ID.replace('-', ""), "asset": "USD",
        "keep_open": true, "amount": u128::MAX.to_string(), "nonce": NONCE.trim_end_matches('='),
    }));
    // Null says that a field is not given, and escapes are undone.
    let text = json!({ "batch": [capture, entry()], "idem_id": "order/7", "receipt": false });
    let text = text.to_string().replace("order/7", "order\\u002f7");
    let text = text.replacen("\"kind\":\"Mint\"", "\"kind\":\"Mint\",\"reference\":null", 1);
    let parsed = run(text.as_bytes()).unwrap();
    assert!(!parsed.atomic);
    let [capture, mint] = &parsed.entries[..] else { panic!("{parsed:?}") };
    assert_eq!(capture.kind, Kind::Capture);
    assert_eq!(capture.amount.get(), u128::MAX);
    assert_eq!(capture.asset.as_str(), "USD");
    assert_eq!(capture.reference, Some(mint.id));
    assert_eq!(capture.nonce, std::array::from_fn(|at| at as u8));
    assert!(capture.keep_open);
    assert_eq!(mint.asset.as_str(), "RON");
    assert_eq!(mint.nonce, capture.nonce);
    assert_eq!(mint.reference, None);
    for entry in &parsed.entries {
        assert_eq!(entry.idem_id.as_ref().unwrap().as_str(), "order/7");
        assert_eq!(entry.kid.as_str(), "unverified");
    }
}

#[test]
fn what_clients_write_is_what_the_server_reads() {
    let hold = EntryIn {
        id: ID.into(),
        ts: 5,
        kind: "Hold".into(),
        account: "a".into(),
        amount: Atoms(u128::MAX),
        nonce: NONCE.into(),
        capability_ref: "cap-1".into(),
        v: 1,
        counterparty: Some("b".into()),
        reference: None,
        asset: Some("USD".into()),
        expires_at: Some(9),
        keep_open: false,
    };
    let capture = EntryIn {
        kind: "Capture".into(),
        reference: Some(ID.into()),
        expires_at: None,
        keep_open: true,
        ..hold.clone()
    };
    let request = RequestIn { batch: vec![hold, capture], idem_id: Some("i".into()), atomic: true };
    let text = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<RequestIn<'_>>(&text).unwrap(), request);
    let parsed = run(text.as_bytes()).unwrap();
    assert!(parsed.atomic);
    assert_eq!(parsed.entries[0].expires_at, Some(9));
    assert!(parsed.entries[1].keep_open);
}
