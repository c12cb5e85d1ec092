//! Answers that do not come, or come too late, and refusals of several at once: what each client is
//! told, and that each refusal is counted once.

use std::collections::BTreeMap;

use ron_ledger::actors::probe::Point;

use super::support::{Edge, Gate, body_of};
use crate::support::entries::{entry, mint};
use crate::support::node::Node;
use ron_ledger::ledger::entry::Kind;

fn counts(rows: &[(&str, u64)]) -> BTreeMap<String, u64> {
    rows.iter().map(|&(reason, count)| (reason.to_owned(), count)).collect()
}

#[actix_rt::test]
async fn a_deadline_that_passes_leaves_the_outcome_open() {
    let edge = Edge::with(&[("limits.request_deadline", "200ms")]).await;
    let gate = Gate::at(&edge, Point::CommitBeforeWrite);
    let in_hand = body_of(&[entry(Kind::Burn, "nobody", 1), mint("alice", 1)], false);
    let waiting = body_of(&[mint("bob", 1)], false);
    let (one, other) = tokio::join!(edge.post(&edge.master, in_hand.clone()), async {
        gate.reached().await;
        edge.post(&edge.master, waiting.clone()).await
    });
    for reply in [one, other] {
        assert_eq!((reply.status, reply.reason()), (504, "timeout".to_owned()));
        assert_eq!(reply.headers["retry-after"], "1");
    }
    drop(gate);
    // What the committer had in hand was refused in part, and what it found late it did not do. Both
    // clients were gone by then.
    let settled = |node: &Node| node.pipeline.measure().inflight_requests.get() == 0;
    edge.node.until("both tickets have ended", settled).await;
    assert_eq!(edge.rejected(), counts(&[("timeout", 2)]));
    let again = edge.post(&edge.master, in_hand).await;
    assert_eq!(again.status, 207);
    assert_eq!(again.results()[1].0, "replayed");
    assert_eq!(edge.rejected(), counts(&[("timeout", 2), ("insufficient_funds", 1)]));
    assert_eq!(edge.post(&edge.master, waiting).await.results()[0].0, "committed");
}

#[actix_rt::test]
async fn a_crash_leaves_the_outcome_open_and_bars_writes() {
    let edge = Edge::new().await;
    edge.node.trigger.arm(Point::CommitBeforeWrite, 1, || panic!("planted"));
    let body = body_of(&[mint("alice", 1)], false);
    let lost = edge.post(&edge.master, body.clone()).await;
    assert_eq!((lost.status, lost.reason()), (503, "outcome_unknown".to_owned()));
    assert_eq!(lost.headers["retry-after"], "1");
    let barred = edge.post(&edge.master, body).await;
    assert_eq!((barred.status, barred.reason()), (503, "safe_mode".to_owned()));
    assert_eq!(barred.headers["retry-after"], "30");
    assert_eq!(edge.rejected(), counts(&[("outcome_unknown", 1), ("safe_mode", 1)]));
    assert_eq!(edge.get("/accounts/alice").await.status, 200);
    assert_eq!(edge.get("/readyz").await.status, 503);
}

#[actix_rt::test]
async fn twins_are_refused_together_and_each_is_counted() {
    let edge = Edge::new().await;
    let gate = Gate::at(&edge, Point::IngressHandle);
    let body = body_of(&[mint("alice", 1)], false);
    let (one, other, ()) = tokio::join!(
        edge.post("stranger", body.clone()),
        edge.post("stranger", body.clone()),
        gate.open_when_at_the_door(2),
    );
    assert_eq!((one.status, other.status, &one.text), (401, 401, &other.text));
    assert_eq!(edge.rejected(), counts(&[("unauth", 2)]));
}

#[actix_rt::test]
async fn a_full_house_says_when_to_come_again() {
    let edge = Edge::with(&[("limits.inflight_requests", "1")]).await;
    let gate = Gate::at(&edge, Point::CommitBeforeWrite);
    let first = [mint("alice", 1)];
    let (first, second) = tokio::join!(edge.send(&first), async {
        gate.reached().await;
        let reply = edge.send(&[mint("bob", 1)]).await;
        drop(gate);
        reply
    });
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!((second.status, second.reason()), (429, "busy".to_owned()));
    assert_eq!(second.headers["retry-after"], "1");
    assert_eq!(second.json()["retry_after_ms"], 250);
    assert_eq!(edge.rejected(), counts(&[("busy", 1)]));
}
