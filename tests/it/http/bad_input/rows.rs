//! Requests that do not read as they must, and what all rows are made of.

use serde_json::{Value, json};

use super::rules::{kinds, ledger};
use super::state::OPEN_HOLD;

/// One request that is refused.
pub struct Row {
    pub case: &'static str,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Vec<u8>,
}

/// A number of an entry that is not in the ledger.
pub const NEW: u64 = 900;

/// The id with these last digits.
pub fn id(number: u64) -> String {
    format!("0190b6c0-0000-7000-8000-{number:012}")
}

/// A good Mint with a nonce of its own, and these fields changed or added.
pub fn entry(number: u64, changes: Value) -> Value {
    let mut nonce = [0; 16];
    nonce[8..].copy_from_slice(&number.to_be_bytes());
    let nonce = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, nonce);
    let mut entry = json!({
        "id": id(number), "ts": 1_700_000_000_000_u64, "kind": "Mint", "account": "alice",
        "amount": "5", "nonce": nonce, "capability_ref": "cap-1", "v": 1,
    });
    entry.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    entry
}

/// All rows, in the order of what the edge looks at.
pub fn rows() -> Vec<Row> {
    [content(), requests(), names(), fields(), kinds(), ledger()].into_iter().flatten().collect()
}

fn raw(case: &'static str, body: impl Into<Vec<u8>>) -> Row {
    Row { case, headers: Vec::new(), body: body.into() }
}

pub fn batch(case: &'static str, entries: &[Value]) -> Row {
    raw(case, json!({ "batch": entries }).to_string())
}

/// A good new entry with these fields changed.
pub fn one(case: &'static str, changes: Value) -> Row {
    batch(case, &[entry(NEW, changes)])
}

fn many(entries: u64) -> Vec<Value> {
    (NEW..NEW + entries).map(|number| entry(number, json!({}))).collect()
}

/// A good request around one good new entry, with these fields changed.
fn request(case: &'static str, changes: Value) -> Row {
    let mut request = json!({"batch": [entry(NEW, json!({}))]});
    request.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    raw(case, request.to_string())
}

/// A good new entry, as text, with something put in front of its first field.
fn spliced(case: &'static str, field: &str) -> Row {
    let entry = entry(NEW, json!({})).to_string();
    raw(case, format!("{{\"batch\":[{{{field},{}]}}", &entry[1..]))
}

/// A field of which the value is very deep.
fn nested(field: &str) -> String {
    let levels = 100_000;
    format!("{{\"{field}\":{}{}}}", "[".repeat(levels), "]".repeat(levels))
}

fn content() -> Vec<Row> {
    let good = json!({"batch": [entry(NEW, json!({}))]}).to_string();
    let with = |case, name, value| Row { headers: vec![(name, value)], ..raw(case, good.clone()) };
    let broken = |at: usize, with: &[u8]| {
        let mut body = good.clone().into_bytes();
        body.splice(at..at, with.iter().copied());
        body
    };
    let account = good.find("alice").unwrap();
    vec![
        with("content type", "content-type", "application/x-www-form-urlencoded"),
        with("content type of text", "content-type", "text/plain"),
        with("compressed", "content-encoding", "gzip"),
        with("compressed twice", "content-encoding", "identity, br"),
        raw("body over 1 MiB", format!("{good}{}", " ".repeat((1 << 20) + 1 - good.len()))),
        raw("empty", ""),
        raw("blank", " \n"),
        raw("not json", "batch=1"),
        raw("cut short", &good.as_bytes()[..good.len() - 2]),
        raw("trailing garbage", format!("{good}x")),
        raw("two requests", format!("{good}{good}")),
        raw("byte order mark", format!("\u{feff}{good}")),
        raw("invalid utf-8", broken(account, b"\xff")),
        raw("overlong utf-8", broken(account, b"\xc0\x80")),
        raw("control character", broken(account, b"\x01")),
        raw("lone surrogate", broken(account, b"\\ud800")),
        raw("deep nesting", nested("batch")),
        raw("deep nesting of an unknown field", nested("x")),
        raw("deep nesting without an end", "{\"x\":".repeat(100_000)),
        raw("number out of range", "{\"batch\":[1e999]}"),
        raw("comments", format!("/* */{good}")),
    ]
}

fn requests() -> Vec<Row> {
    let good = entry(NEW, json!({})).to_string();
    vec![
        raw("null", "null"),
        raw("an array", "[]"),
        raw("a string", "\"batch\""),
        raw("a number", "1"),
        raw("no batch", "{}"),
        request("batch null", json!({"batch": null})),
        request("batch an object", json!({"batch": {}})),
        request("batch a string", json!({"batch": "[]"})),
        request("batch empty", json!({"batch": []})),
        request("batch over the limit", json!({"batch": vec![0; 1001]})),
        request("entry null", json!({"batch": [null]})),
        request("entry an array", json!({"batch": [[]]})),
        request("entry empty", json!({"batch": [{}]})),
        raw("batch twice", format!("{{\"batch\":[{good}],\"batch\":[{good}]}}")),
        request("unknown field", json!({"colour": "blue"})),
        request("unknown field that is no plain name", json!({"<script>": 1})),
        request("unknown field that is long", json!({"x".repeat(33): 1})),
        request("atomic a string", json!({"atomic": "true"})),
        request("atomic a number", json!({"atomic": 1})),
        request("receipt a string", json!({"receipt": "true"})),
        request("receipts for too many", json!({"receipt": true, "batch": many(101)})),
        request("idem_id a number", json!({"idem_id": 7})),
        request("idem_id empty", json!({"idem_id": ""})),
        request("idem_id over-long", json!({"idem_id": "x".repeat(65)})),
        request("idem_id with a space", json!({"idem_id": "a b"})),
        request("idem_id with a control character", json!({"idem_id": "a\u{0}"})),
    ]
}

fn names() -> Vec<Row> {
    vec![
        one("account empty", json!({"account": ""})),
        one("account null", json!({"account": null})),
        one("account a number", json!({"account": 5})),
        one("account over-long", json!({"account": "a".repeat(129)})),
        one("account with a space", json!({"account": "a b"})),
        one("account with a line end", json!({"account": "a\n"})),
        one("account not ascii", json!({"account": "\u{e4}"})),
        one("asset empty", json!({"asset": ""})),
        one("asset over-long", json!({"asset": "A".repeat(17)})),
        one("asset in small letters", json!({"asset": "usd"})),
        one("asset with a space", json!({"asset": "U SD"})),
        one("capability_ref empty", json!({"capability_ref": ""})),
        one("capability_ref over-long", json!({"capability_ref": "c".repeat(65)})),
        one("capability_ref with a colon", json!({"capability_ref": "cap:1"})),
        one("counterparty over-long", counter("b".repeat(129))),
        one("counterparty with a space", counter("b b".to_owned())),
        one("counterparty the account itself", counter("alice".to_owned())),
    ]
}

fn counter(name: String) -> Value {
    json!({"kind": "Transfer", "counterparty": name})
}

fn fields() -> Vec<Row> {
    vec![
        one("unknown field of an entry", json!({"memo": "rent"})),
        one("kid is not the client's", json!({"kid": "k1"})),
        one("seq is not the client's", json!({"seq": 1})),
        spliced("field twice", "\"amount\":\"5\""),
        spliced("field twice, escaped", "\"\\u0061mount\":\"5\""),
        one("v missing", json!({"v": null})),
        one("v 2", json!({"v": 2})),
        one("v a string", json!({"v": "1"})),
        one("v 1.0", json!({"v": 1.0})),
        one("id missing", json!({"id": null})),
        one("id no uuid", json!({"id": "0190b6c0"})),
        one("id over-long", json!({"id": format!("{}0", id(NEW))})),
        one("id in braces", json!({"id": format!("{{{}}}", id(NEW))})),
        one("id as urn", json!({"id": format!("urn:uuid:{}", id(NEW))})),
        one("id with a letter beyond f", json!({"id": id(NEW).replace('b', "g")})),
        one("id of version 8", json!({"id": id(NEW).replace("-7000-", "-8000-")})),
        one("id a number", json!({"id": 5})),
        one("ts negative", json!({"ts": -1})),
        one("ts a fraction", json!({"ts": 1.5})),
        one("ts a string", json!({"ts": "1700000000000"})),
        spliced("ts twice, of which one is 2^64", "\"ts\":18446744073709551616"),
        one("amount missing", json!({"amount": null})),
        one("amount a number", json!({"amount": 5})),
        one("amount a float", json!({"amount": 5.5})),
        one("amount 0", json!({"amount": "0"})),
        one("amount negative", json!({"amount": "-5"})),
        one("amount with a sign", json!({"amount": "+5"})),
        one("amount with a fraction", json!({"amount": "5.0"})),
        one("amount with an exponent", json!({"amount": "5e3"})),
        one("amount with a leading zero", json!({"amount": "05"})),
        one("amount with a space", json!({"amount": " 5"})),
        one("amount with underscores", json!({"amount": "5_000"})),
        one("amount not ascii", json!({"amount": "\u{665}"})),
        one("amount empty", json!({"amount": ""})),
        one("amount 2^128", json!({"amount": "340282366920938463463374607431768211456"})),
        one("amount of many digits", json!({"amount": "9".repeat(1000)})),
        one("nonce empty", json!({"nonce": ""})),
        one("nonce of 15 bytes", json!({"nonce": "AAECAwQFBgcICQoLDA0O"})),
        one("nonce of 17 bytes", json!({"nonce": "AAECAwQFBgcICQoLDA0ODxA="})),
        one("nonce over-long", json!({"nonce": "A".repeat(1000)})),
        one("nonce not base64", json!({"nonce": "AAECAwQFBgcICQoLDA0OD!=="})),
        one("nonce of the url alphabet", json!({"nonce": "__8CAwQFBgcICQoLDA0ODw=="})),
        one("nonce with bits left over", json!({"nonce": "AAECAwQFBgcICQoLDA0ODx=="})),
        one("nonce an array", json!({"nonce": [0, 1, 2, 3]})),
        one("kind unknown", json!({"kind": "Gift"})),
        one("kind in small letters", json!({"kind": "mint"})),
        one("kind of the ledger's own", json!({"kind": "Expire", "reference": id(OPEN_HOLD)})),
        one("kind over-long", json!({"kind": "M".repeat(1000)})),
        batch(
            "the third of three",
            &[
                entry(NEW, json!({})),
                entry(NEW + 1, json!({})),
                entry(NEW + 2, json!({"amount": "x"})),
            ],
        ),
    ]
}
