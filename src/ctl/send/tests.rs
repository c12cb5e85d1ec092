//! Sending a file: order, retries and the report.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};

use super::*;
use crate::client::unit::{UnitIn, pack};
use crate::client::workload::{Spec, Workload};
use crate::client::{ClientOptions, Format};
use crate::http::dto::{ReasonOut, RequestIn, ResultOut};

fn answer(first: Option<u64>, last: Option<u64>, rejected: usize) -> AnswerOut<'static> {
    let committed = first.zip(last).map_or(0, |(first, last)| last + 1 - first) as usize;
    let result = |idx| match idx < committed {
        true => ResultOut { idx, status: Status::Committed, seq: Some(1), receipt: None },
        false => ResultOut { idx, status: Status::Rejected, seq: None, receipt: None },
    };
    let reason = |idx| ReasonOut { idx, reason: "conflict".into(), details: "d".into() };
    AnswerOut {
        accepted: committed,
        seq_start: first,
        seq_end: last,
        new_root: format!("root-{}", last.unwrap_or(0)).into(),
        root_size: last.unwrap_or(0),
        durability: "memory".into(),
        reasons: (committed..committed + rejected).map(reason).collect(),
        results: (0..committed + rejected).map(result).collect(),
        receipts: None,
    }
}

#[test]
fn a_report_adds_up_in_any_order() {
    let mut report = Report::default();
    report.add(answer(Some(5), Some(8), 1));
    report.add(answer(Some(1), Some(4), 0));
    report.add(answer(None, None, 2));
    assert_eq!((report.requests, report.entries), (3, 11));
    assert_eq!((report.committed, report.replayed, report.rejected), (8, 0, 3));
    assert_eq!((report.first_seq, report.last_seq), (Some(1), Some(8)));
    assert_eq!((report.root.as_deref(), report.root_size), (Some("root-8"), 8));
    assert_eq!(report.rejects["conflict"], Rejects { count: 3, example: "d".to_owned() });
}

#[test]
fn rejects_fail_only_when_asked_for_or_when_there_is_nothing_else() {
    let check = |answers: &[AnswerOut<'static>], strict: bool| {
        let mut report = Report::default();
        answers.iter().for_each(|answer| report.add(answer.clone()));
        report.judge(strict).map_err(|error| error.exit())
    };
    assert_eq!(check(&[], true), Ok(()));
    assert_eq!(check(&[answer(Some(1), Some(2), 0)], true), Ok(()));
    assert_eq!(check(&[answer(Some(1), Some(2), 1)], false), Ok(()));
    assert_eq!(check(&[answer(Some(1), Some(2), 1)], true), Err(Exit::Refused));
    assert_eq!(check(&[answer(None, None, 1)], false), Err(Exit::Refused));
}

/// Takes everything, but for every third request, which is told to come back, and for what comes
/// after `refuse_after` requests.
struct FakeLedger {
    asked: AtomicU64,
    refuse_after: u64,
    /// The ids that were taken, in order.
    taken: Mutex<Vec<String>>,
}

async fn fake_ingest(ledger: Data<FakeLedger>, body: web::Bytes) -> HttpResponse {
    let request: RequestIn<'_> = serde_json::from_slice(&body).unwrap();
    let asked = ledger.asked.fetch_add(1, Ordering::Relaxed) + 1;
    let error = |reason: &str, retry_after_ms| serde_json::json!({ "reason": reason, "details": "", "retry_after_ms": retry_after_ms });
    if asked > ledger.refuse_after {
        return HttpResponse::Unauthorized().json(error("unauth", None));
    }
    if asked.is_multiple_of(3) {
        return HttpResponse::TooManyRequests().json(error("busy", Some(1)));
    }
    let mut taken = ledger.taken.lock().unwrap();
    let first = taken.len() as u64 + 1;
    taken.extend(request.batch.iter().map(|entry| entry.id.to_string()));
    HttpResponse::Ok().json(answer(Some(first), Some(taken.len() as u64), 0))
}

/// Sends `units` to a ledger that refuses all after `refuse_after` requests.
fn play(
    units: &[UnitIn],
    connections: usize,
    refuse_after: u64,
) -> (Report, Result<(), Exit>, Vec<String>) {
    let taken = Mutex::new(Vec::new());
    let ledger = Data::new(FakeLedger { asked: AtomicU64::new(0), refuse_after, taken });
    let shared = ledger.clone();
    let (report, outcome) = actix_rt::System::new().block_on(async {
        let server = HttpServer::new(move || {
            App::new().app_data(shared.clone()).route("/ingest", web::post().to(fake_ingest))
        });
        let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        let running = server.run();
        let handle = running.handle();
        actix_rt::spawn(running);
        // The ledger of this script reads no other form.
        let options = ClientOptions { format: Format::Json, ..ClientOptions::new(url) };
        let client = Client::new(&options).unwrap();
        let ui = Ui { json: false, quiet: true };
        let sending = Sending { connections, total: 0 };
        let done = send(&client, &ui, pack(units.to_vec(), 10), sending).await;
        handle.stop(false).await;
        done
    });
    let taken = ledger.taken.lock().unwrap().clone();
    (report, outcome.map_err(|error| error.exit()), taken)
}

fn units() -> Vec<UnitIn> {
    let spec = Spec { entries: 100, ..Spec::default() };
    Workload::new(spec).unwrap().map(|unit| UnitIn::from(&unit)).collect()
}

fn ids(units: &[UnitIn]) -> Vec<String> {
    units.iter().flat_map(|unit| &unit.entries).map(|entry| entry.id.to_string()).collect()
}

#[test]
fn one_connection_keeps_the_order_through_retries() {
    let (report, outcome, taken) = play(&units(), 1, u64::MAX);
    assert_eq!(outcome, Ok(()));
    assert_eq!(taken, ids(&units()));
    assert_eq!((report.entries, report.committed), (100, 100));
    assert_eq!((report.first_seq, report.last_seq), (Some(1), Some(100)));
    assert!(report.retries > 0);
}

#[test]
fn many_connections_lose_nothing() {
    let (report, outcome, mut taken) = play(&units(), 4, u64::MAX);
    assert_eq!((outcome, report.committed), (Ok(()), 100));
    let mut expected = ids(&units());
    taken.sort();
    expected.sort();
    assert_eq!(taken, expected);
}

#[test]
fn a_refusal_of_a_whole_request_ends_the_sending_and_keeps_the_counts() {
    let (report, outcome, taken) = play(&units(), 1, 2);
    assert_eq!(outcome, Err(Exit::Refused));
    assert_eq!(report.requests, 2);
    assert_eq!(report.committed, taken.len() as u64);
    assert_eq!(taken, ids(&units())[..taken.len()]);
}
