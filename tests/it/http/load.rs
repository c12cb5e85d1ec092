//! What a load generator counts is what the node has done.

use std::time::Duration;

use ron_ledger::client::load::{Load, default_mix, preload, run};
use ron_ledger::client::open::{Keep, Schedule, offer};
use ron_ledger::client::workload::{Ids, Spec};
use ron_ledger::client::{BearerToken, Client, ClientError, ClientOptions};
use ron_ledger::http::Format;

use super::support::Edge;
use crate::support::sending::spec;

fn client(edge: &Edge, token: &str) -> Client {
    let token = Some(BearerToken::new(token.to_owned()).unwrap());
    let url = format!("http://{}", edge.addr);
    Client::new(&ClientOptions { token, ..ClientOptions::new(url) }).unwrap()
}

fn load(entries: usize, seed: u64) -> Load {
    let spec = Spec { mix: default_mix(), invalid_share: 0.0, ids: Ids::V7, ..spec(entries, seed) };
    Load { connections: 4, batch: 16, format: Format::Binary, spec }
}

fn head(edge: &Edge) -> u64 {
    edge.node.pipeline.reader().head().seq
}

#[actix_rt::test]
async fn a_closed_loop_counts_what_the_node_has() {
    for (format, other) in [(Format::Json, Format::Binary), (Format::Binary, Format::Json)] {
        let edge = Edge::new().await;
        let client = client(&edge, &edge.master);
        let load = Load { format, ..load(2_000, 1) };
        preload(&client, &load, 1_200, |_| ()).await.unwrap();
        let before = head(&edge);
        assert!((1_100..=1_200).contains(&before), "{before}");

        let feeds = load.feeds(false).unwrap();
        let measured = run(&client, feeds, None, |_| ()).await.unwrap();
        assert_eq!((measured.entries, measured.made_late), (2_000, 0));
        assert_eq!(measured.committed, head(&edge) - before);
        assert_eq!(measured.latency_us.len(), measured.requests);
        assert!(measured.committed + measured.rejected <= 2_000 && measured.committed > 1_900);

        // The same ids again, in the other form: all are there, and none is new.
        let feeds = Load { format: other, ..load }.feeds(false).unwrap();
        let again = run(&client, feeds, None, |_| ()).await.unwrap();
        assert_eq!((again.requests, again.entries, again.committed), (measured.requests, 2_000, 0));
    }
}

#[actix_rt::test]
async fn a_loop_for_a_time_goes_on_beyond_what_was_prepared() {
    let edge = Edge::new().await;
    let client = client(&edge, &edge.master);
    let feeds = load(4, 1).feeds(true).unwrap();
    let measured = run(&client, feeds, Some(Duration::from_millis(200)), |_| ()).await.unwrap();
    assert!(measured.made_late > 0 && measured.elapsed >= Duration::from_millis(200));
    assert_eq!(measured.committed, head(&edge));
}

#[actix_rt::test]
async fn an_open_loop_keeps_what_it_is_asked_to_keep() {
    let edge = Edge::new().await;
    let client = client(&edge, &edge.master);
    let schedule = Schedule { rate: 100, duration: Duration::from_millis(500) };
    for (format, seed) in [(Format::Json, 1), (Format::Binary, 50)] {
        let (before, load) = (head(&edge), Load { format, ..load(1, seed) });
        let kept = offer(&client, &load, schedule, Keep::Receipts, || ()).await.unwrap();
        let written = head(&edge) - before;
        assert_eq!((kept.committed, kept.counts.unanswered), (written, 0), "{:?}", kept.counts);
        let audit = kept.receipts.audit(&client, before).await.unwrap();
        assert!(audit.is_clean() && audit.acknowledged == kept.committed, "{audit:?}");
    }
    let counted = offer(&client, &load(1, 100), schedule, Keep::Counts, || ()).await.unwrap();
    assert!(counted.committed > 0);
    assert_eq!(counted.receipts.audit(&client, head(&edge)).await.unwrap().acknowledged, 0);
}

#[actix_rt::test]
async fn a_refusal_of_all_ends_the_loop_with_its_reason() {
    let edge = Edge::new().await;
    let client = client(&edge, "c2VjcmV0");
    let ended = run(&client, load(100, 1).feeds(false).unwrap(), None, |_| ()).await;
    assert!(matches!(ended, Err(ClientError::Refused { status: 401, .. })), "{ended:?}");
}
