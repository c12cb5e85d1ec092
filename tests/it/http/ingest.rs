//! What becomes of a batch, as its client is told, and that a retry does nothing twice.

use ron_ledger::actors::probe::Point;
use ron_ledger::ledger::entry::{Entry, EntryId, Kind};
use ron_ledger::ledger::names::IdemId;
use serde_json::{Value, json};

use super::support::{Edge, Gate, body_of};
use crate::support::entries::{entry, mint, transfer};

fn told(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|&(status, detail)| (status.to_owned(), detail.to_owned())).collect()
}

fn burn(account: &str, amount: u128) -> Entry {
    entry(Kind::Burn, account, amount)
}

#[actix_rt::test]
async fn a_batch_is_told_its_seqs_and_a_root_that_covers_it() {
    let edge = Edge::new().await;
    let reply = edge.send(&[mint("alice", 100), transfer("alice", "bob", 30)]).await;
    let head = edge.node.pipeline.reader().head();
    let expected = json!({
        "accepted": 2, "seq_start": 1, "seq_end": 2, "new_root": head.root.to_string(),
        "root_size": 2, "durability": "memory", "reasons": [],
        "results": [
            {"idx": 0, "status": "committed", "seq": 1},
            {"idx": 1, "status": "committed", "seq": 2},
        ],
    });
    assert_eq!((reply.status, reply.json()), (200, expected));
    assert_eq!(reply.headers["content-type"], "application/json");
    assert_eq!(reply.headers["cache-control"], "no-store");
}

#[actix_rt::test]
async fn a_retry_is_told_the_seqs_of_the_first_time() {
    let edge = Edge::new().await;
    let batch = [mint("alice", 100), transfer("alice", "bob", 30)];
    edge.send(&batch).await;
    let again = edge.send(&batch).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.results(), told(&[("replayed", "1"), ("replayed", "2")]));
    let json = again.json();
    assert_eq!((&json["accepted"], &json["seq_start"]), (&json!(2), &Value::Null));
    let [first, second] = batch;
    let new = mint("carol", 1);
    let mixed = edge.send(&[second, new.clone(), first, new]).await;
    assert_eq!(mixed.status, 200);
    let expected =
        told(&[("replayed", "2"), ("committed", "3"), ("replayed", "1"), ("replayed", "3")]);
    assert_eq!(mixed.results(), expected);
    assert_eq!(edge.rejected().len(), 0);
}

#[actix_rt::test]
async fn the_status_tells_how_much_was_accepted() {
    let edge = Edge::new().await;
    let some = edge.send(&[mint("alice", 10), burn("alice", 11)]).await;
    assert_eq!(some.status, 207);
    assert_eq!(some.results(), told(&[("committed", "1"), ("rejected", "insufficient_funds")]));
    let none = edge.send(&[burn("alice", 11), transfer("bob", "alice", 1)]).await;
    assert_eq!(none.status, 422);
    let reverse =
        Entry { reference: Some(EntryId::from_bytes([9; 16])), ..entry(Kind::Reverse, "alice", 1) };
    let differ = edge.send(&[burn("alice", 11), reverse.clone()]).await;
    assert_eq!(differ.status, 422);
    let expected = told(&[("rejected", "insufficient_funds"), ("rejected", "not_found")]);
    assert_eq!(differ.results(), expected);
    // Of an entry, a reference that is not there is no missing route.
    assert_eq!(edge.send(&[reverse]).await.status, 422);
}

#[actix_rt::test]
async fn an_atomic_request_stands_or_falls_as_one() {
    let edge = Edge::new().await;
    let batch = [mint("alice", 10), burn("alice", 11), mint("bob", 1)];
    let fallen = edge.post(&edge.master, body_of(&batch, true)).await;
    assert_eq!(fallen.status, 422);
    let aborted = ("rejected", "atomic_aborted");
    let expected = [aborted, ("rejected", "insufficient_funds"), aborted];
    assert_eq!(fallen.results(), told(&expected));
    assert_eq!(edge.node.pipeline.reader().head().seq, 0);
    let batch = [burn("alice", 4), mint("alice", 10), mint("bob", 1)];
    let standing = edge.post(&edge.master, body_of(&batch, true)).await;
    assert_eq!(standing.status, 200, "{standing:?}");
    let page = edge.get("/entries").await.json();
    let linked: Vec<_> = page["entries"].as_array().unwrap().iter().map(|e| &e["linked"]).collect();
    assert_eq!(linked, [true, true, false]);
}

#[actix_rt::test]
async fn legs_that_net_to_zero_are_one_posting() {
    let edge = Edge::new().await;
    let legs = [
        mint("alice", 10),
        entry(Kind::Debit, "alice", 7),
        entry(Kind::Credit, "bob", 4),
        entry(Kind::Credit, "carol", 3),
        entry(Kind::Debit, "alice", 1),
    ];
    let reply = edge.send(&legs).await;
    assert_eq!(reply.status, 207);
    let committed = |seq| ("committed", seq);
    let expected = [
        committed("1"),
        committed("2"),
        committed("3"),
        committed("4"),
        ("rejected", "unbalanced"),
    ];
    assert_eq!(reply.results(), told(&expected));
}

#[actix_rt::test]
async fn a_tuple_takes_effect_once_under_any_id() {
    let edge = Edge::new().await;
    let under = |id: &str, entry: &Entry| Entry {
        idem_id: Some(IdemId::new(id).unwrap()),
        id: mint("x", 1).id,
        ..entry.clone()
    };
    let first = under("order-1", &mint("alice", 10));
    assert_eq!(
        edge.send(std::slice::from_ref(&first)).await.results(),
        told(&[("committed", "1")])
    );
    let renamed = edge.send(&[under("order-1", &first)]).await;
    assert_eq!(renamed.results(), told(&[("replayed", "1")]));
    let other = edge.send(&[under("order-2", &first)]).await;
    assert_eq!(other.results(), told(&[("committed", "2")]));
    assert_eq!(edge.get("/entries/1").await.json()["entry"]["idem_id"], "order-1");
}

#[actix_rt::test]
async fn twins_in_flight_are_given_one_answer() {
    let edge = Edge::new().await;
    let gate = Gate::at(&edge, Point::CommitBeforeWrite);
    let body = body_of(&[mint("alice", 10)], false);
    let (one, other, ()) = tokio::join!(
        edge.post(&edge.master, body.clone()),
        edge.post(&edge.master, body.clone()),
        gate.open_when_in_flight(2),
    );
    assert_eq!((one.status, &one.text), (200, &other.text));
    assert_eq!(one.results(), told(&[("committed", "1")]));
    // Not looked up a second time: this is one that came later.
    assert_eq!(edge.post(&edge.master, body).await.results(), told(&[("replayed", "1")]));
    assert_eq!(edge.node.pipeline.metrics().entries_committed.get(), 1);
}
