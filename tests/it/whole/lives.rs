//! A node starts, serves, stops in order, and goes on where it was.

use ron_ledger::client::unit::to_wire;
use ron_ledger::client::workload::Spec;
use ron_ledger::client::{Client, ClientError};
use ron_ledger::http::dto::{AnswerOut, RequestIn};
use ron_ledger::ledger::entry::Entry;

use crate::support::daemon::{Daemon, PATIENT};
use crate::support::entries::{mint, transfer};
use crate::support::keys::Keys;
use crate::support::picture::{Picture, published};
use crate::support::sending::{Fate, requests, send_all, spec};

async fn ingest(client: &Client, entries: &[Entry]) -> Result<AnswerOut<'static>, ClientError> {
    let batch = entries.iter().map(to_wire).collect();
    client.ingest(&RequestIn { batch, idem_id: None, atomic: false }).await
}

#[actix_rt::test]
async fn a_micronode_serves_and_stops_in_order() {
    let keys = Keys::new();
    let node = Daemon::start(&keys, "micronode", &[]);
    let client = node.client(&keys.master());
    let entries = [mint("alice", 100), transfer("alice", "bob", 30)];
    let answer = ingest(&client, &entries).await.unwrap();
    assert_eq!((answer.accepted, answer.seq_start, answer.seq_end), (2, Some(1), Some(2)));
    assert_eq!(answer.durability, "memory");
    let account = client.account("bob").await.unwrap();
    assert_eq!(account.assets[0].available.0, 30);
    let (code, _, log) = node.stop();
    assert_eq!(code, Some(0), "{log:#?}");
    for line in ["ready=1", "committer=online", "drained"] {
        assert!(log.iter().any(|said| said.contains(line)), "{line} in {log:#?}");
    }
}

#[actix_rt::test]
async fn a_micronode_forgets_and_signs_under_another_name() {
    let keys = Keys::new();
    let mut origins = Vec::new();
    for _ in 0..2 {
        let node = Daemon::start(&keys, "micronode", &[]);
        let client = node.client(&keys.master());
        let answer = ingest(&client, &[mint("alice", 1)]).await.unwrap();
        assert_eq!(answer.seq_start, Some(1));
        let version = client.probe("version").await.unwrap();
        origins.push(version["origin"].as_str().unwrap().to_owned());
        assert_eq!(node.stop().0, Some(0));
    }
    assert!(origins.iter().all(|origin| origin.starts_with("localhost/test/boot-")), "{origins:?}");
    assert_ne!(origins[0], origins[1]);
}

#[actix_rt::test]
async fn a_macronode_goes_on_where_it_was() {
    let keys = Keys::new();
    let token = keys.master();
    let workload = || requests(Spec { invalid_share: 0.0, ..spec(3_000, 7) }, 100);
    let node = Daemon::start(&keys, "macronode", &PATIENT);
    let client = node.client(&token);
    let first = send_all(&client, workload()).await;
    let before = Picture::take(&client).await;
    let sizes = before.check_published(&client).await;
    let note = client.checkpoint().await.unwrap();
    assert_eq!(node.stop().0, Some(0));

    let node = Daemon::start(&keys, "macronode", &PATIENT);
    let client = node.client(&token);
    // At once, and no smaller than what was seen: the very same, as nothing has come since.
    assert_eq!(client.checkpoint().await.unwrap(), note);
    let after = Picture::take(&client).await;
    assert_eq!(after.check_published(&client).await, sizes);
    assert!(after.canonical == before.canonical);
    assert_eq!((after.balances, after.supply), (before.balances, before.supply));
    let again = send_all(&client, workload()).await;
    let replayed: Vec<_> =
        first.iter().map(|fate| Fate::Replayed(fate.seq().expect("all are valid"))).collect();
    assert_eq!(again, replayed);
    assert_eq!(client.checkpoint().await.unwrap(), note);

    let next = ingest(&client, &[mint("alice", 1)]).await.unwrap();
    assert_eq!(next.seq_start, Some(before.canonical.len() as u64 + 1));
    Picture::take(&client).await.check_published(&client).await;
    let (grown, _) = published(&client).await.unwrap();
    assert_eq!(Some(grown), next.seq_start);
}

#[actix_rt::test]
async fn a_full_micronode_refuses_writes_and_reads_go_on() {
    let keys = Keys::new();
    let token = keys.master();
    let small = [
        ("derived.filter_bytes", "1MiB"),
        ("limits.inflight_bytes", "1MiB"),
        ("memory.max_bytes", "4MiB"),
    ];
    let node = Daemon::start(&keys, "micronode", &small);
    let client = node.client(&token);
    let first = mint("alice", 1);
    ingest(&client, std::slice::from_ref(&first)).await.unwrap();
    let refused = loop {
        let entries: Vec<_> = (0..100).map(|_| mint("alice", 1)).collect();
        match ingest(&client, &entries).await {
            Ok(answer) => assert!(answer.root_size < 100_000, "the bound does not hold"),
            Err(refused) => break refused,
        }
    };
    let ClientError::Refused { status, body, retry_after } = refused else { panic!("{refused}") };
    assert_eq!((status, body.reason.as_ref()), (503, "capacity"));
    assert!(retry_after.is_some());
    let picture = Picture::take(&client).await;
    assert!(picture.size() > 100, "{}", picture.size());
    picture.check_published(&client).await;
    assert_eq!(node.stop().0, Some(0));
}
