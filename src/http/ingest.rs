//! `POST /ingest`: the body becomes a submission, and the outcome an answer.

use std::sync::Arc;
use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::oneshot;

use super::dto::{AnswerOut, ReasonOut, ResultOut, Status};
use super::error::{Failure, common_reason, retry_after, status_of_rejects};
use super::format::{self, Format};
use super::parse::{Rules, parse, parse_binary};
use super::{Shared, anomaly, auth, binary, body, observe, receipts};
use crate::accumulator::Hash;
use crate::actors::pipeline::{Answer, Bearer, Submission};
use crate::capability::Peer;
use crate::ledger::entry::Entry;
use crate::ledger::plan::Outcome;
use crate::ledger::reason::{Reason, Reject};
use crate::telemetry::Stage;

/// Offers a batch and waits for its outcome. Each refusal is counted here, where a client is told of
/// it, and nowhere else: so each is counted once, whoever made it and however many wait for it.
///
/// # Errors
/// Whatever refuses the request as a whole.
pub async fn ingest(
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Result<HttpResponse, Failure> {
    let decided = decide(&request, payload, &shared).await;
    let (wish, answer) = decided.inspect_err(|failure| shared.count_rejected(failure.reason()))?;
    observe::note(&request, |stage| tell(stage, &answer));
    match &*answer {
        Answer::Refused(reject) => {
            shared.count_rejected(reject.reason);
            Err(reject.clone().into())
        }
        Answer::Done { outcomes, root, root_size } => {
            rejects(outcomes).for_each(|reject| shared.count_rejected(reject.reason));
            let durability = shared.pipeline.reader().durability().as_str();
            let mut told = told(outcomes, root, *root_size, durability);
            if let Some(deadline) = wish {
                receipts::add(&shared, &mut told, deadline).await;
            }
            Ok(respond(&request, outcomes, &told))
        }
    }
}

/// Tells the trace where in the ledger the request's first entry is, or why nowhere.
fn tell(stage: &mut Stage, answer: &Answer) {
    match answer {
        Answer::Refused(reject) => stage.set("ledger.refused", reject.reason.as_str()),
        Answer::Done { outcomes, .. } => {
            stage.set("ledger.batch_size", outcomes.len() as i64);
            let seq = outcomes.iter().find_map(|outcome| match outcome {
                Outcome::Committed(seq) | Outcome::Replayed(seq) => Some(*seq),
                Outcome::Rejected(_) => None,
            });
            match (seq, rejects(outcomes).next()) {
                (Some(seq), _) => stage.set("ledger.seq", seq as i64),
                (None, Some(first)) => stage.set("ledger.refused", first.reason.as_str()),
                (None, None) => {}
            }
        }
    }
}

/// The outcome, and until when the client waits for receipts if it does.
async fn decide(
    request: &HttpRequest,
    payload: Payload,
    shared: &Shared,
) -> Result<(Option<Instant>, Arc<Answer>), Failure> {
    let (submission, wants_receipts) = receive(request, payload, shared).await?;
    let deadline = submission.received + shared.pipeline.deadline();
    let answer =
        wait(shared.pipeline.submit_in(observe::trace_of(request), submission)?, deadline).await?;
    Ok((wants_receipts.then_some(deadline), answer))
}

async fn receive(
    request: &HttpRequest,
    payload: Payload,
    shared: &Shared,
) -> Result<(Submission, bool), Failure> {
    let announced = body::announced_bytes(request);
    let body = body::read(payload, announced, shared.settings.body_bytes_max).await?;
    let received = Instant::now();
    let rules = Rules {
        default_asset: &shared.pipeline.reader().genesis().default_asset,
        batch_max_entries: shared.settings.batch_max_entries,
    };
    let format = format::of_body(request);
    let parsed = format.clone().and_then(|format| match format {
        Format::Json => Ok(parse(&body, &rules)?),
        Format::Binary => Ok(parse_binary(&body, &rules)?),
    });
    let parsed = parsed.inspect_err(|_| {
        // Ids and nonces look random in the binary form, and are.
        if format != Ok(Format::Binary) {
            anomaly::look_at_body(shared.pipeline.metrics(), &body);
        }
    })?;
    let token = auth::bearer(request);
    let peer = auth::peer(request);
    let submission = Submission {
        body_bytes: room_of(body.len(), &parsed.entries).min(shared.settings.body_bytes_max),
        entries: parsed.entries,
        atomic: parsed.atomic,
        token: token.map(Bearer::new),
        fingerprint: fingerprint(token, peer, &body),
        peer,
        received,
    };
    Ok((submission, parsed.receipt))
}

/// A passed deadline and a dropped sender both leave the outcome open: the entries may be, or
/// become, committed.
async fn wait(
    answer: oneshot::Receiver<Arc<Answer>>,
    deadline: Instant,
) -> Result<Arc<Answer>, Failure> {
    match tokio::time::timeout_at(deadline.into(), answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(Failure::new(
            Reason::OutcomeUnknown,
            "a crash took the answer; try again with the same ids to learn the outcome",
        )),
        Err(_) => Err(Failure::new(
            Reason::Timeout,
            "no answer in time; try again with the same ids to learn the outcome",
        )),
    }
}

/// What a request takes of the room for bodies: its own, or its entries in memory where they are more,
/// as those of the binary form are.
fn room_of(body_bytes: usize, entries: &[Entry]) -> usize {
    body_bytes.max(size_of_val(entries))
}

/// Two requests with the same fingerprint are the same request: body, token, and kind of connection,
/// since a token may be good over one kind only. The form of a body can be seen from its first byte.
fn fingerprint(token: Option<&str>, peer: Peer, body: &[u8]) -> [u8; 32] {
    let token = token.unwrap_or("").as_bytes();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[peer as u8]);
    hasher.update(&(token.len() as u64).to_be_bytes());
    hasher.update(token);
    hasher.update(body);
    hasher.finalize().into()
}

fn rejects(outcomes: &[Outcome]) -> impl Iterator<Item = &Reject> {
    outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Rejected(reject) => Some(reject),
        _ => None,
    })
}

fn told<'a>(
    outcomes: &'a [Outcome],
    root: &Hash,
    root_size: u64,
    durability: &'a str,
) -> AnswerOut<'a> {
    let mut answer = AnswerOut {
        accepted: 0,
        seq_start: None,
        seq_end: None,
        new_root: root.to_string().into(),
        root_size,
        durability: durability.into(),
        reasons: Vec::new(),
        results: Vec::with_capacity(outcomes.len()),
        receipts: None,
    };
    for (idx, outcome) in outcomes.iter().enumerate() {
        let (status, seq) = match outcome {
            Outcome::Committed(seq) => {
                answer.seq_start.get_or_insert(*seq);
                answer.seq_end = Some(*seq);
                (Status::Committed, Some(*seq))
            }
            Outcome::Replayed(seq) => (Status::Replayed, Some(*seq)),
            Outcome::Rejected(reject) => {
                let (reason, details) = (reject.reason.as_str().into(), (&*reject.details).into());
                answer.reasons.push(ReasonOut { idx, reason, details });
                (Status::Rejected, None)
            }
        };
        answer.accepted += usize::from(seq.is_some());
        answer.results.push(ResultOut { idx, status, seq, receipt: None });
    }
    answer
}

fn respond(request: &HttpRequest, outcomes: &[Outcome], answer: &AnswerOut<'_>) -> HttpResponse {
    let common = common_reason(rejects(outcomes).map(|reject| reject.reason));
    let status = match answer.accepted {
        all if all == outcomes.len() => StatusCode::OK,
        0 => status_of_rejects(common),
        _ => StatusCode::MULTI_STATUS,
    };
    let mut response = HttpResponse::build(status);
    if let Some(reason) = common.filter(|_| answer.accepted == 0) {
        retry_after(&mut response, reason);
    }
    let binary = format::accepts(request, binary::ANSWER).then(|| binary::answer::write(answer));
    match binary.flatten() {
        Some(bytes) => response.content_type(binary::ANSWER).body(bytes),
        None => response.json(answer),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::body::to_bytes;
    use actix_web::test::TestRequest;
    use serde_json::{Value, json};

    use super::*;

    fn rejected(reason: Reason) -> Outcome {
        Outcome::Rejected(Reject::new(reason, "why"))
    }

    async fn answer(outcomes: &[Outcome]) -> (u16, Value) {
        let request = TestRequest::post().to_http_request();
        let answer = told(outcomes, &Hash([0xab; 32]), 9, "fsync");
        let response = respond(&request, outcomes, &answer);
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body()).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[actix_rt::test]
    async fn the_answer_tells_what_became_of_each_entry() {
        let outcomes = [
            Outcome::Replayed(3),
            Outcome::Committed(8),
            rejected(Reason::InsufficientFunds),
            Outcome::Committed(9),
        ];
        let expected = json!({
            "accepted": 3, "seq_start": 8, "seq_end": 9, "new_root": "ab".repeat(32),
            "root_size": 9, "durability": "fsync",
            "reasons": [{"idx": 2, "reason": "insufficient_funds", "details": "why"}],
            "results": [
                {"idx": 0, "status": "replayed", "seq": 3},
                {"idx": 1, "status": "committed", "seq": 8},
                {"idx": 2, "status": "rejected"},
                {"idx": 3, "status": "committed", "seq": 9},
            ],
        });
        assert_eq!(answer(&outcomes).await, (207, expected));
    }

    #[actix_rt::test]
    async fn the_status_tells_how_much_was_accepted() {
        let aborted = || rejected(Reason::AtomicAborted);
        for (outcomes, status) in [
            (vec![Outcome::Committed(1)], 200),
            (vec![Outcome::Replayed(1), Outcome::Committed(2)], 200),
            (vec![Outcome::Replayed(1), rejected(Reason::Busy)], 207),
            (vec![rejected(Reason::CapInvalid), rejected(Reason::CapInvalid)], 403),
            (vec![aborted(), rejected(Reason::PolicyDenied)], 403),
            (vec![rejected(Reason::CapInvalid), rejected(Reason::Conflict)], 422),
            (vec![rejected(Reason::NotFound)], 422),
            (vec![rejected(Reason::Capacity)], 503),
        ] {
            let (got, body) = answer(&outcomes).await;
            assert_eq!(got, status, "{body}");
        }
        let nothing_new = answer(&[Outcome::Replayed(1)]).await.1;
        assert_eq!(
            (&nothing_new["seq_start"], &nothing_new["seq_end"]),
            (&Value::Null, &Value::Null)
        );
    }

    #[actix_rt::test]
    async fn an_answer_that_does_not_come_leaves_the_outcome_open() {
        tokio::time::pause();
        let soon = || tokio::time::Instant::now().into_std() + Duration::from_secs(1);
        let reason = |outcome: Result<_, Failure>| outcome.err().map(|failure| failure.reason());
        let (sender, receiver) = oneshot::channel::<Arc<Answer>>();
        drop(sender);
        assert_eq!(reason(wait(receiver, soon()).await), Some(Reason::OutcomeUnknown));
        let (sender, receiver) = oneshot::channel();
        assert_eq!(reason(wait(receiver, soon()).await), Some(Reason::Timeout));
        drop::<oneshot::Sender<Arc<Answer>>>(sender);
    }

    #[test]
    fn a_fingerprint_differs_with_each_of_its_parts() {
        let prints = [
            fingerprint(None, Peer::Plain, b"ab"),
            fingerprint(Some("a"), Peer::Plain, b"b"),
            fingerprint(Some("ab"), Peer::Plain, b""),
            fingerprint(Some("ab"), Peer::Uds, b""),
        ];
        let distinct: std::collections::HashSet<_> = prints.iter().collect();
        assert_eq!(distinct.len(), prints.len());
        assert_eq!(prints[1], fingerprint(Some("a"), Peer::Plain, b"b"));
    }
}
