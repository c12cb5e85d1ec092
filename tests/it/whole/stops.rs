//! A stop in the middle of a load: every request is answered, and what was acknowledged is kept.

use std::thread::JoinHandle;
use std::time::Duration;

use ron_ledger::client::unit::to_wire;
use ron_ledger::client::{BearerToken, Client, ClientError, ClientOptions};
use ron_ledger::http::dto::RequestIn;

use crate::support::daemon::{Daemon, Signal};
use crate::support::entries::mint;
use crate::support::keys::Keys;
use crate::support::picture::Picture;

const CONNECTIONS: usize = 8;

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

async fn check(signal: Signal) {
    let keys = Keys::new();
    let token = keys.master();
    for round in 0..5 {
        let node = Daemon::start(&keys, "macronode", &[]);
        let running: Vec<_> =
            (0..CONNECTIONS).map(|_| load(node.api.clone(), token.clone())).collect();
        tokio::time::sleep(Duration::from_millis(100 + 37 * round)).await;
        node.signal(signal);
        let (code, took, log) = node.ended();
        assert_eq!(code, Some(0), "{log:#?}");
        assert!(took < Duration::from_secs(3), "{took:?}");
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
}

#[actix_rt::test]
async fn sigterm_answers_everyone_and_loses_nothing() {
    check(Signal::TERM).await;
}

#[actix_rt::test]
async fn sigint_answers_everyone_and_loses_nothing() {
    check(Signal::INT).await;
}
