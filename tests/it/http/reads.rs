//! What was written is read back: entries, balances, holds, supply, roots and the signed checkpoint.

use ron_ledger::accumulator::{Checkpoint, Frontier, Hash, HashAlgo, VerifierKey};
use ron_ledger::ledger::entry::{Entry, Kind};
use ron_ledger::ledger::names::AccountId;
use serde_json::{Value, json};

use super::support::Edge;
use crate::support::entries::{entry, mint, transfer};
use crate::support::node::Node;

/// Sends each as a request of its own; each must be accepted.
async fn write(edge: &Edge, entries: &[Entry]) {
    for entry in entries {
        let reply = edge.send(std::slice::from_ref(entry)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

/// The body of an answer that must be 200.
async fn read(edge: &Edge, path: &str) -> Value {
    let reply = edge.get(path).await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.json()
}

fn on(reference: &Entry, amount: u128, kind: Kind, to: Option<&str>) -> Entry {
    let counterparty = to.map(|name| AccountId::new(name).unwrap());
    let account = reference.account.as_str();
    Entry { reference: Some(reference.id), counterparty, ..entry(kind, account, amount) }
}

#[actix_rt::test]
async fn an_entry_is_read_back_with_its_place() {
    let edge = Edge::new().await;
    let (minted, moved) = (mint("alice", 100), transfer("alice", "bob", 30));
    write(&edge, &[minted, moved.clone(), on(&moved, 30, Kind::Reverse, None)]).await;
    let by_seq = read(&edge, "/entries/2").await;
    let stored = &by_seq["entry"];
    assert_eq!(by_seq["size"], 3);
    let wire = serde_json::to_value(ron_ledger::client::unit::to_wire(&moved)).unwrap();
    for (field, value) in wire.as_object().unwrap() {
        assert_eq!(&stored[field], value, "{field}");
    }
    assert_eq!((&stored["seq"], &stored["linked"]), (&json!(2), &json!(false)));
    assert!(stored["committed_at"].as_u64().unwrap() > moved.ts);
    assert_ne!(stored["kid"], "unverified");
    assert!(by_seq.get("reversed_by").is_none());
    let by_id = read(&edge, &format!("/entries/by-id/{}", moved.id)).await;
    assert_eq!((&by_id["entry"], &by_id["reversed_by"]), (stored, &json!(3)));
    let bare = moved.id.to_string().replace('-', "");
    assert_eq!(read(&edge, &format!("/entries/by-id/{bare}")).await, by_id);
    let unknown = mint("x", 1).id;
    for path in ["/entries/0", "/entries/4", &format!("/entries/by-id/{unknown}")] {
        let reply = edge.get(path).await;
        assert_eq!((reply.status, reply.reason()), (404, "not_found".to_owned()), "{path}");
    }
}

#[actix_rt::test]
async fn pages_follow_one_another() {
    let edge = Edge::with(&[("limits.page_max", "3")]).await;
    let batch: Vec<_> = (0..5).map(|_| mint("alice", 1)).collect();
    edge.send(&batch).await;
    let page = async |query: &str| {
        let page = read(&edge, &format!("/entries{query}")).await;
        let entries = page["entries"].as_array().unwrap().iter();
        let seqs: Vec<_> = entries.map(|entry| entry["seq"].as_u64().unwrap()).collect();
        (seqs, page["next"].as_u64())
    };
    assert_eq!(page("").await, (vec![1, 2, 3], Some(4)));
    assert_eq!(page("?from=4").await, (vec![4, 5], None));
    assert_eq!(page("?from=2&to=4&limit=2").await, (vec![2, 3], Some(4)));
    assert_eq!(page("?from=2&to=4&limit=100").await, (vec![2, 3, 4], None));
    assert_eq!(page("?from=0&to=1").await, (vec![1], None));
    assert_eq!(page("?from=6").await, (vec![], None));
    assert_eq!(page("?from=3&to=2").await, (vec![], None));
}

#[actix_rt::test]
async fn balances_and_supply_add_up() {
    let edge = Edge::new().await;
    let account = "acct:alice/main";
    write(&edge, &[mint(account, 100), transfer(account, "bob", 30)]).await;
    write(&edge, &[entry(Kind::Hold, account, 20), entry(Kind::Burn, "bob", 5)]).await;
    let alice = json!({"size": 4, "account": account, "assets": [{
        "asset": "RON", "available": "50", "held": "20", "credits": "100", "debits": "30",
        "last_seq": 3,
    }]});
    assert_eq!(read(&edge, "/accounts/acct:alice/main").await, alice);
    assert_eq!(read(&edge, "/accounts/acct%3Aalice%2Fmain").await, alice);
    let nobody = json!({"size": 4, "account": "nobody", "assets": []});
    assert_eq!(read(&edge, "/accounts/nobody").await, nobody);
    let supply = json!({"size": 4, "assets": [
        {"asset": "RON", "minted": "100", "burned": "5", "circulating": "95"},
    ]});
    assert_eq!(read(&edge, "/supply").await, supply);
}

#[actix_rt::test]
async fn a_hold_tells_what_is_left_of_it() {
    let edge = Edge::new().await;
    let hold = Entry {
        counterparty: Some(AccountId::new("shop").unwrap()),
        expires_at: Some(u64::MAX),
        ..entry(Kind::Hold, "alice", 100)
    };
    write(&edge, &[mint("alice", 100), hold.clone()]).await;
    let path = format!("/holds/{}", hold.id);
    let row = |size: u64, captured: &str, remaining: &str, state: &str| {
        json!({
            "size": size, "id": hold.id.to_string(), "seq": 2, "account": "alice", "asset": "RON",
            "counterparty": "shop", "expires_at": u64::MAX, "amount": "100",
            "captured": captured, "remaining": remaining, "state": state,
        })
    };
    assert_eq!(read(&edge, &path).await, row(2, "0", "100", "open"));
    let part = Entry { keep_open: true, ..on(&hold, 40, Kind::Capture, Some("shop")) };
    write(&edge, &[part]).await;
    assert_eq!(read(&edge, &path).await, row(3, "40", "60", "open"));
    write(&edge, &[on(&hold, 60, Kind::Release, None)]).await;
    assert_eq!(read(&edge, &path).await, row(4, "40", "0", "released"));
}

/// The root over the canonical form of all entries, as an auditor works it out.
async fn root_of_entries(edge: &Edge) -> Hash {
    let page = read(edge, "/entries").await;
    let mut tree = Frontier::new();
    for entry in page["entries"].as_array().unwrap() {
        let canonical = hex::decode(entry["canonical"].as_str().unwrap()).unwrap();
        tree.push(HashAlgo::Sha256, HashAlgo::Sha256.leaf(&canonical));
    }
    tree.root(HashAlgo::Sha256)
}

#[actix_rt::test]
async fn the_checkpoint_is_signed_by_the_nodes_key_over_what_entries_say() {
    let edge = Edge::new().await;
    let opened = async |size: u64| {
        let is_published = |node: &Node| {
            node.pipeline.published().is_some_and(|newest| newest.checkpoint.size() == size)
        };
        edge.node.until("the size is published", is_published).await;
        let note = edge.get("/checkpoint").await;
        assert_eq!(note.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(note.headers["cache-control"], "no-cache");
        let version = read(&edge, "/version").await;
        let key: VerifierKey = version["verifier_key"].as_str().unwrap().parse().unwrap();
        let origin = version["origin"].as_str().unwrap();
        let open =
            |note: &str| Checkpoint::open(note.as_bytes(), origin, std::slice::from_ref(&key));
        assert!(open(&note.text.replacen(&format!("\n{size}\n"), "\n9\n", 1)).is_err());
        open(&note.text).unwrap()
    };
    assert_eq!(opened(0).await.root(), HashAlgo::Sha256.empty());
    write(&edge, &[mint("alice", 1), mint("alice", 2), mint("alice", 3)]).await;
    let checkpoint = opened(3).await;
    assert_eq!(checkpoint.root(), edge.node.pipeline.reader().head().root);
    assert_eq!(checkpoint.root(), root_of_entries(&edge).await);

    let roots = read(&edge, "/roots").await;
    let rows = roots["roots"].as_array().unwrap();
    let seqs: Vec<_> = rows.iter().map(|row| row["seq"].as_u64().unwrap()).collect();
    assert_eq!((&seqs[..], &roots["next"]), (&[1, 2, 3][..], &Value::Null));
    assert_eq!(rows[2]["root"], checkpoint.root().to_string());
    let page = read(&edge, "/roots?since=1&limit=1").await;
    assert_eq!((&page["roots"][0], &page["next"]), (&rows[1], &json!(2)));
}
