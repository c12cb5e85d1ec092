//! Bad input, as a table: each row is refused with a status, a reason and details that clients have
//! seen before, writes nothing, and is counted once for each refusal that it was told.
//!
//! The answers are in `snapshots/`. One that changed is taken over with `INSTA_UPDATE=always`.

mod reads;
mod rows;
mod rules;
mod state;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use self::reads::READS;
use self::rows::{Row, rows};
use super::support::{Edge, Reply};

/// What a row was told: a line of the snapshot.
#[derive(Serialize)]
struct Told {
    case: &'static str,
    status: u16,
    refused: Vec<String>,
}

/// All that must stay as it was.
async fn state_of(edge: &Edge) -> (u64, String, Value) {
    let head = edge.node.pipeline.reader().head();
    (head.seq, head.root.to_string(), edge.get("/supply").await.json())
}

async fn send(edge: &Edge, row: &Row) -> Reply {
    let mut request = edge.request("POST", "/ingest").bearer_auth(&edge.master);
    for (name, value) in &row.headers {
        request = request.header(*name, *value);
    }
    edge.call(request.body(row.body.clone())).await
}

/// Each refusal: its reason and its details, of an entry with its index.
fn refusals(reply: &Reply) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{reply:?}")).to_owned();
    let json = reply.json();
    match json["reasons"].as_array() {
        None => vec![(text(&json["reason"]), text(&json["details"]))],
        Some(rows) => rows
            .iter()
            .map(|row| {
                (text(&row["reason"]), format!("[{}] {}", row["idx"], text(&row["details"])))
            })
            .collect(),
    }
}

#[actix_rt::test]
async fn bad_input_is_told_what_is_wrong_and_writes_nothing() {
    let edge = Edge::new().await;
    state::build(&edge).await;
    let (mut lines, mut counts) = (Vec::new(), edge.rejected());
    let before = state_of(&edge).await;
    for row in rows() {
        let reply = send(&edge, &row).await;
        let refusals = refusals(&reply);
        assert!(!refusals.is_empty(), "{}: {reply:?}", row.case);
        for (reason, _) in &refusals {
            *counts.entry(reason.clone()).or_default() += 1;
        }
        assert_eq!(edge.rejected(), counts, "{}", row.case);
        assert_eq!(state_of(&edge).await, before, "{}", row.case);
        let refused = refusals.into_iter().map(|(reason, details)| format!("{reason}: {details}"));
        let told = Told { case: row.case, status: reply.status, refused: refused.collect() };
        lines.push(serde_json::to_string(&told).unwrap());
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[actix_rt::test]
async fn bad_reads_are_told_what_is_wrong() {
    let edge = Edge::new().await;
    state::build(&edge).await;
    let (mut lines, before) = (Vec::new(), edge.node.pipeline.reader().head().seq);
    let is_published = |node: &crate::support::node::Node| {
        node.pipeline.published().is_some_and(|newest| newest.checkpoint.size() == before)
    };
    edge.node.until("all is published", is_published).await;
    for (case, path) in READS {
        let reply = edge.get(path).await;
        assert!((400..500).contains(&reply.status), "{case}: {reply:?}");
        let refused = refusals(&reply).into_iter().map(|(reason, why)| format!("{reason}: {why}"));
        let told = Told { case, status: reply.status, refused: refused.collect() };
        lines.push(serde_json::to_string(&told).unwrap());
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn each_row_has_a_name_of_its_own() {
    let mut seen = BTreeSet::new();
    assert!(rows().iter().all(|row| seen.insert(row.case)));
    assert!(READS.iter().all(|(case, _)| seen.insert(case)));
}
