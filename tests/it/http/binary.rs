//! The binary form of batches and answers, against a running node: it is told the same as JSON, by the
//! same limits, and its errors are JSON.

use ron_ledger::client::{BearerToken, Client, ClientOptions};
use ron_ledger::http::binary::{ANSWER, BATCH, answer};
use ron_ledger::http::dto::{AnswerOut, Receipts, RequestIn, Status};
use ron_ledger::http::{Body, Format};
use serde_json::Value;

use super::support::{Edge, body_of};
use crate::support::entries::mint;
use crate::support::sending::{requests, spec};

/// A request as it stands on the wire, and what came back.
struct Told {
    status: u16,
    content_type: String,
    body: Vec<u8>,
}

impl Told {
    fn answer(&self) -> AnswerOut<'static> {
        match self.content_type.as_str() {
            ANSWER => answer::read(&self.body).expect("the form of an answer"),
            other => {
                assert_eq!(other, "application/json");
                serde_json::from_slice(&self.body).expect("an answer")
            }
        }
    }

    fn error(&self) -> (u16, String, String) {
        assert_eq!(self.content_type, "application/json");
        let json: Value = serde_json::from_slice(&self.body).unwrap();
        let text = |name: &str| json[name].as_str().unwrap().to_owned();
        (self.status, text("reason"), text("details"))
    }
}

async fn send(edge: &Edge, body: Vec<u8>, headers: &[(&str, &str)]) -> Told {
    let request = edge.request("POST", "/ingest").bearer_auth(&edge.master).body(body);
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = request.send().await.unwrap();
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let status = response.status().as_u16();
    Told { status, content_type, body: response.bytes().await.unwrap().to_vec() }
}

/// The body in this form, and the answer in it too.
async fn put(edge: &Edge, format: Format, request: &RequestIn<'_>) -> Told {
    let Body { format, bytes } = format.body_of(request);
    let headers = [("content-type", format.media_type()), ("accept", format.accept())];
    send(edge, bytes, &headers).await
}

/// Some of every kind, and some that must be refused.
fn workload() -> Vec<RequestIn<'static>> {
    requests(spec(400, 7), 12).collect()
}

#[actix_rt::test]
async fn both_forms_are_told_the_same_and_make_the_same_ledger() {
    let (text, binary) = (Edge::new().await, Edge::new().await);
    let (mut statuses, mut refused) = (Vec::new(), 0);
    for request in workload() {
        let one = put(&text, Format::Json, &request).await;
        let other = put(&binary, Format::Binary, &request).await;
        assert_eq!(other.content_type, ANSWER);
        assert_eq!((one.status, one.answer()), (other.status, other.answer()));
        statuses.push(one.status);
        refused += one.answer().reasons.len();
    }
    assert!(statuses.contains(&200) && statuses.contains(&207) && refused > 5, "{statuses:?}");
    let head = |edge: &Edge| edge.node.pipeline.reader().head();
    assert_eq!(head(&text).root, head(&binary).root);
    assert!(head(&text).seq > 300);
    assert_eq!(text.rejected(), binary.rejected());
    // What came in one form is known in the other.
    for request in workload().iter().take(5) {
        let again = put(&text, Format::Binary, request).await.answer();
        let committed = again.results.iter().filter(|one| one.status == Status::Committed);
        assert_eq!((committed.count(), again.seq_start), (0, None));
    }
}

#[actix_rt::test]
async fn the_answer_is_binary_where_it_is_accepted_and_json_else() {
    let edge = Edge::new().await;
    let Body { bytes, .. } = Format::Binary.body_of(&RequestIn {
        batch: vec![ron_ledger::client::unit::to_wire(&mint("alice", 5))],
        idem_id: None,
        atomic: false,
    });
    for (headers, expected) in [
        (vec![("content-type", BATCH)], "application/json"),
        (vec![("content-type", BATCH), ("accept", "application/json")], "application/json"),
        (vec![("content-type", BATCH), ("accept", "*/*")], "application/json"),
        (vec![("content-type", BATCH), ("accept", ANSWER)], ANSWER),
    ] {
        let told = send(&edge, bytes.clone(), &headers).await;
        assert_eq!((told.status, told.content_type.as_str()), (200, expected));
        assert_eq!(told.answer().root_size, 1);
    }
    let json = body_of(&[mint("bob", 5)], false);
    let told = send(&edge, json, &[("accept", ANSWER)]).await;
    assert_eq!((told.content_type.as_str(), told.answer().root_size), (ANSWER, 2));
}

#[actix_rt::test]
async fn receipts_come_in_both_forms() {
    let edge = Edge::new().await;
    let mut json: Value = serde_json::from_slice(&body_of(&[mint("alice", 5)], false)).unwrap();
    json["receipt"] = true.into();
    let json = json.to_string().into_bytes();
    let text = send(&edge, json.clone(), &[]).await.answer();
    let binary = send(&edge, json, &[("accept", ANSWER)]).await.answer();
    assert_eq!(binary.receipts, Some(Receipts::Given));
    let seen = |answer: &AnswerOut<'_>| answer.results[0].receipt.clone().unwrap();
    assert!(seen(&binary).starts_with("c2sp.org/tlog-proof@v1\n"));
    assert_eq!(seen(&text), seen(&binary));
}

#[actix_rt::test]
async fn errors_are_json_and_limits_are_the_same() {
    let edge =
        Edge::with(&[("limits.batch_max_entries", "3"), ("limits.body_max_bytes", "2000")]).await;
    let batch = |entries: u128| {
        let batch = (1..=entries).map(|amount| mint("alice", amount));
        let batch = batch.map(|entry| ron_ledger::client::unit::to_wire(&entry)).collect();
        RequestIn { batch, idem_id: None, atomic: false }
    };
    for entries in [4, 40] {
        let request = batch(entries);
        let json = put(&edge, Format::Json, &request).await.error();
        assert_eq!(put(&edge, Format::Binary, &request).await.error(), json);
        assert_eq!((json.0, json.1.as_str()), (413, "too_large"));
    }
    let good = Format::Binary.body_of(&batch(2)).bytes;
    let both = [("content-type", BATCH), ("accept", ANSWER)];
    let cut = send(&edge, good[..good.len() - 1].to_vec(), &both).await.error();
    assert_eq!((cut.0, cut.1.as_str()), (400, "unknown_kind"));
    assert_eq!(cut.2, "batch[1].capability_ref: the body ends in it");
    let named = send(&edge, good.clone(), &[("content-type", "application/json")]).await.error();
    assert!(named.2.starts_with("body: not JSON"), "{named:?}");
    let packed = [both[0], both[1], ("content-encoding", "gzip")];
    let packed = send(&edge, good.clone(), &packed).await.error();
    assert_eq!(packed.2, "content-encoding: the body must not be compressed");
    let strange = send(&edge, good, &[("content-type", ANSWER)]).await.error();
    assert_eq!(strange.0, 400);
    assert_eq!(edge.node.pipeline.reader().head().seq, 0);
    // A body of the binary form looks random, and is not counted as strange.
    let metrics = edge.node.pipeline.metrics().render();
    assert!(metrics.contains("anomaly_total{kind=\"high_entropy_payload\"} 0"));
}

#[actix_rt::test]
async fn the_client_speaks_both_and_hears_the_same() {
    let edge = Edge::new().await;
    let token = Some(BearerToken::new(edge.master.clone()).unwrap());
    let options = ClientOptions { token, ..ClientOptions::new(format!("http://{}", edge.addr)) };
    assert_eq!(options.format, Format::Binary);
    let binary = Client::new(&options).unwrap();
    let json = binary.clone().with_format(Format::Json);
    let request = &workload()[0];
    assert!(binary.ingest(request).await.unwrap().seq_start.is_some());
    let (one, other) = (json.ingest(request).await.unwrap(), binary.ingest(request).await.unwrap());
    assert_eq!(one, other);
    // It has no binary form, and the ledger says what is wrong with it.
    let mut unfit = request.clone();
    unfit.batch[0].id = "x".into();
    for client in [&json, &binary] {
        let error = client.ingest(&unfit).await.unwrap_err().to_string();
        assert_eq!(error, "refused: unknown_kind (400): batch[0].id: must be a UUID");
    }
}
