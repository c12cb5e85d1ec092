//! A stop in the middle of a load: every request is answered, and what was acknowledged is kept.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::Duration;

use ron_ledger::client::unit::to_wire;
use ron_ledger::client::{BearerToken, Client, ClientError, ClientOptions};
use ron_ledger::http::dto::RequestIn;

use crate::support::daemon::{Daemon, Signal};
use crate::support::entries::mint;
use crate::support::keys::Keys;
use crate::support::picture::Picture;
use crate::support::sending::{requests, send_all, spec};

const CONNECTIONS: usize = 8;

/// From the signal to the exit.
const STOP_MAX: Duration = Duration::from_secs(3);

/// Entries of one connection by what it was told of them.
#[derive(Default)]
struct Told {
    committed: Vec<(String, u64)>,
    refused: Vec<String>,
}

/// Sends until it is refused. A connection that cannot be made any more is a refusal too: nothing
/// went over it.
fn load(url: String, token: String) -> JoinHandle<Told> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let token = Some(BearerToken::new(token).unwrap());
            let client = Client::new(&ClientOptions { token, ..ClientOptions::new(url) }).unwrap();
            let mut told = Told::default();
            loop {
                let batch: Vec<_> = (0..4).map(|_| to_wire(&mint("alice", 1))).collect();
                let ids: Vec<_> = batch.iter().map(|entry| entry.id.to_string()).collect();
                let request = RequestIn { batch, idem_id: None, atomic: false };
                match client.ingest(&request).await {
                    Ok(answer) => {
                        let seqs = answer.results.iter().map(|result| result.seq.unwrap());
                        told.committed.extend(ids.into_iter().zip(seqs));
                    }
                    Err(ClientError::Refused { status: 503, body, .. }) => {
                        assert_eq!(body.reason, "draining");
                        told.refused.extend(ids);
                        return told;
                    }
                    Err(error) => {
                        assert!(error.to_string().contains("onnection refused"), "{error}");
                        told.refused.extend(ids);
                        return told;
                    }
                }
            }
        })
    })
}

/// How it ended is the same each time; how long that took is only told by the best of all times, as a
/// machine may have other things to do.
fn assert_orderly(node: Daemon, fastest: &mut Duration) {
    let (code, took, log) = node.ended();
    assert_eq!(code, Some(0), "{log:#?}");
    let drained = log.iter().find(|line| line.contains("drained")).expect("it says so");
    assert!(drained.contains("\"connections_in_time\":true"), "{drained}");
    *fastest = took.min(*fastest);
}

async fn check(signal: Signal) {
    let keys = Keys::new();
    let token = keys.master();
    let mut fastest = Duration::MAX;
    for round in 0..5 {
        let node = Daemon::start(&keys, "macronode", &[]);
        let running: Vec<_> =
            (0..CONNECTIONS).map(|_| load(node.api.clone(), token.clone())).collect();
        tokio::time::sleep(Duration::from_millis(100 + 37 * round)).await;
        node.signal(signal);
        assert_orderly(node, &mut fastest);
        let told: Vec<_> = running.into_iter().map(|thread| thread.join().unwrap()).collect();

        let node = Daemon::start(&keys, "macronode", &[]);
        let client = node.client(&token);
        let picture = Picture::take(&client).await;
        picture.check_published(&client).await;
        assert!(told.iter().all(|told| !told.committed.is_empty()));
        for (id, seq) in told.iter().flat_map(|told| &told.committed) {
            assert_eq!(picture.seqs.get(id), Some(seq), "acknowledged: {id}");
        }
        for id in told.iter().flat_map(|told| &told.refused) {
            assert_eq!(picture.seqs.get(id), None, "refused: {id}");
        }
        assert_eq!(node.stop().0, Some(0));
    }
    assert!(fastest < STOP_MAX, "{fastest:?}");
}

#[actix_rt::test]
async fn sigterm_answers_everyone_and_loses_nothing() {
    check(Signal::TERM).await;
}

#[actix_rt::test]
async fn sigint_answers_everyone_and_loses_nothing() {
    check(Signal::INT).await;
}

#[test]
fn connections_that_hang_do_not_hold_up_the_end() {
    let keys = Keys::new();
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let node = Daemon::start(&keys, "macronode", &[]);
        let hanging = [
            "",
            "GET /hea",
            "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
            "POST /ingest HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{",
        ];
        let hanging = hanging.map(|text| {
            let mut socket = TcpStream::connect(node.api.strip_prefix("http://").unwrap()).unwrap();
            socket.write_all(text.as_bytes()).unwrap();
            socket
        });
        node.signal(Signal::TERM);
        assert_orderly(node, &mut fastest);
        drop(hanging);
    }
    assert!(fastest < STOP_MAX, "{fastest:?}");
}

/// At any moment of a start that has work to do.
#[actix_rt::test]
async fn a_stop_during_recovery_is_orderly() {
    let keys = Keys::new();
    let token = keys.master();
    let node = Daemon::start(&keys, "macronode", &[]);
    send_all(&node.client(&token), requests(spec(5_000, 1), 500)).await;
    let before = Picture::take(&node.client(&token)).await;
    assert_eq!(node.stop().0, Some(0));
    for round in 0..10 {
        std::fs::remove_dir_all(keys.dir().join("data/derived")).unwrap();
        let node = Daemon::spawn(&keys, "macronode", &[]);
        std::thread::sleep(Duration::from_millis(5 * round));
        let (code, _, log) = node.stop();
        assert_eq!(code, Some(0), "{log:#?}");
    }
    let node = Daemon::start(&keys, "macronode", &[]);
    let after = Picture::take(&node.client(&token)).await;
    assert!(after.canonical == before.canonical);
    assert_eq!((after.balances, after.supply), (before.balances, before.supply));
}

#[test]
fn a_hangup_is_no_stop() {
    let keys = Keys::new();
    let mut node = Daemon::start(&keys, "micronode", &[]);
    node.signal(Signal::HUP);
    node.await_line("SIGHUP");
    assert_eq!(node.stop().0, Some(0));
}
