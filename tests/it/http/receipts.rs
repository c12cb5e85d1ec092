//! Receipts in the answer to a request that asks for them: each is checked as whoever gets it would, and
//! without them the commit stands.

use ron_ledger::accumulator::{HashAlgo, TlogProof};
use ron_ledger::actors::probe::Point;
use ron_ledger::ledger::encode::decode;
use ron_ledger::ledger::entry::{Entry, Kind};
use serde_json::{Value, json};

use super::support::{Edge, Gate, Reply, body_of};
use crate::support::entries::{entry, mint, transfer};

async fn ask(edge: &Edge, entries: &[Entry]) -> Reply {
    let mut body: Value = serde_json::from_slice(&body_of(entries, false)).unwrap();
    body["receipt"] = json!(true);
    edge.post(&edge.master, body.to_string()).await
}

/// Checks a receipt with the ledger's key alone, and gives the seq and the entry that it shows.
fn check(edge: &Edge, hash: HashAlgo, receipt: &Value) -> (u64, Entry) {
    let key = edge.node.pipeline.verifier_key().clone();
    let receipt = TlogProof::parse(receipt.as_str().unwrap().as_bytes()).unwrap();
    let leaf = hash.leaf(receipt.extra().unwrap());
    receipt.verify(hash, &leaf, key.name(), std::slice::from_ref(&key)).unwrap();
    let shown = decode(receipt.extra().unwrap()).unwrap();
    assert_eq!(receipt.index() + 1, shown.seq);
    (shown.seq, shown.entry)
}

#[actix_rt::test]
async fn each_entry_that_is_in_the_ledger_has_a_receipt_that_holds() {
    for hash in [HashAlgo::Sha256, HashAlgo::Blake3] {
        let edge = Edge::with(&[("ledger.hash", &hash.to_string())]).await;
        let old = mint("alice", 100);
        edge.send(std::slice::from_ref(&old)).await;
        let poor = entry(Kind::Burn, "nobody", 1);
        let batch = [transfer("alice", "bob", 30), old, poor, mint("carol", 7)];
        for statuses in [["committed", "replayed", "rejected", "committed"], ["replayed"; 4]] {
            let reply = ask(&edge, &batch).await;
            let told = reply.json();
            assert_eq!((reply.status, &told["receipts"]), (207, &json!("given")), "{told}");
            for (at, status) in statuses.iter().enumerate() {
                let result = &told["results"][at];
                if at == 2 {
                    assert_eq!(result, &json!({"idx": 2, "status": "rejected"}));
                    continue;
                }
                assert_eq!(result["status"], *status);
                let (seq, shown) = check(&edge, hash, &result["receipt"]);
                assert_eq!((Some(seq), shown.id), (result["seq"].as_u64(), batch[at].id));
            }
        }
        let unasked = edge.send(&batch).await.json();
        assert!(
            unasked.get("receipts").is_none() && unasked["results"][0].get("receipt").is_none()
        );
    }
}

#[actix_rt::test]
async fn a_refused_request_has_nothing_to_wait_for() {
    let edge = Edge::new().await;
    let reply = ask(&edge, &[entry(Kind::Burn, "nobody", 1)]).await;
    assert_eq!((reply.status, &reply.json()["receipts"]), (422, &json!("given")));
}

#[actix_rt::test]
async fn what_is_not_published_in_time_is_committed_without_receipts() {
    let edge = Edge::with(&[("limits.request_deadline", "400ms")]).await;
    let gate = Gate::at(&edge, Point::PublisherBeforeSign);
    let entries = [mint("alice", 5)];
    let reply = ask(&edge, &entries).await;
    let told = reply.json();
    assert_eq!((reply.status, &told["receipts"]), (200, &json!("not_yet")), "{told}");
    assert_eq!(told["results"], json!([{"idx": 0, "status": "committed", "seq": 1}]));
    gate.reached().await;
    drop(gate);
    let later = ask(&edge, &entries).await.json();
    assert_eq!(later["receipts"], json!("given"));
    assert_eq!(check(&edge, HashAlgo::Sha256, &later["results"][0]["receipt"]).0, 1);
}

#[actix_rt::test]
async fn a_hundred_receipts_are_given_at_once_and_no_more() {
    let edge = Edge::new().await;
    let entries: Vec<Entry> = (0..101).map(|_| mint("alice", 1)).collect();
    let refused = ask(&edge, &entries).await;
    assert_eq!((refused.status, refused.reason()), (400, "unknown_kind".to_owned()));
    assert_eq!(edge.node.pipeline.reader().head().seq, 0);
    let told = ask(&edge, &entries[..100]).await.json();
    for (at, result) in told["results"].as_array().unwrap().iter().enumerate() {
        assert_eq!(check(&edge, HashAlgo::Sha256, &result["receipt"]).0, at as u64 + 1);
    }
}
