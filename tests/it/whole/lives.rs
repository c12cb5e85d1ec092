//! A node starts, serves, stops in order, and goes on where it was.

use std::time::Duration;

use ron_ledger::client::unit::to_wire;
use ron_ledger::http::dto::RequestIn;

use crate::support::daemon::Daemon;
use crate::support::entries::{mint, transfer};
use crate::support::keys::Keys;

#[actix_rt::test]
async fn a_micronode_serves_and_stops_in_order() {
    let keys = Keys::new();
    let node = Daemon::start(&keys, "micronode", &[]);
    let client = node.client(&keys.master());
    let batch = [mint("alice", 100), transfer("alice", "bob", 30)].iter().map(to_wire).collect();
    let request = RequestIn { batch, idem_id: None, atomic: false };
    let answer = client.ingest(&request).await.unwrap();
    assert_eq!((answer.accepted, answer.seq_start, answer.seq_end), (2, Some(1), Some(2)));
    assert_eq!(answer.durability, "memory");
    let account = client.account("bob").await.unwrap();
    assert_eq!(account.assets[0].available.0, 30);
    let (code, took, log) = node.stop();
    assert_eq!(code, Some(0), "{log:#?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}
