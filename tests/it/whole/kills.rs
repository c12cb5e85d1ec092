//! kill -9 at any time loses nothing that was acknowledged, and leaves a ledger that is whole.

use std::collections::HashMap;
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use ron_ledger::client::workload::Spec;
use ron_ledger::client::{BearerToken, Client, ClientError, ClientOptions};
use ron_ledger::http::dto::RequestIn;

use crate::support::daemon::{Daemon, PATIENT};
use crate::support::keys::Keys;
use crate::support::picture::{Picture, published};
use crate::support::sending::{Fate, requests, send, spec};

const LIVES: usize = 20;
const CONNECTIONS: u64 = 4;
/// The most entries that one connection sends in one life: reading all of them back takes time too.
const ENTRIES_MAX: usize = 1_500;

/// One client: what it has yet to send, and all that it was told.
struct Sender {
    requests: Box<dyn Iterator<Item = RequestIn<'static>> + Send>,
    /// Sent, and not answered.
    open: Option<RequestIn<'static>>,
    /// The seq of each acknowledged entry.
    acknowledged: HashMap<String, u64>,
    /// Sizes and roots of answers.
    roots: Vec<(u64, String)>,
}

impl Sender {
    fn new(seed: u64) -> Self {
        let spec = Spec { invalid_share: 0.0, ..spec(10_000_000, seed) };
        Sender {
            requests: Box::new(requests(spec, 8)),
            open: None,
            acknowledged: HashMap::new(),
            roots: Vec::new(),
        }
    }

    /// Sends one request; it stays open unless there is an answer.
    async fn send(&mut self, client: &Client, request: RequestIn<'static>) -> Option<Vec<Fate>> {
        match send(client, &request).await {
            Ok((fates, answer)) => {
                assert_eq!(answer.durability, "fsync");
                self.roots.push((answer.root_size, answer.new_root.into_owned()));
                for (entry, fate) in request.batch.iter().zip(&fates) {
                    let Some(seq) = fate.seq() else { continue };
                    let before = self.acknowledged.insert(entry.id.to_string(), seq);
                    assert!(before.is_none_or(|before| before == seq), "another seq for an id");
                }
                Some(fates)
            }
            Err(ClientError::Unreachable { .. }) => {
                self.open = Some(request);
                None
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// The request without an answer is a replay of what is in the ledger, and new where it is not.
    async fn retry(&mut self, client: &Client, before: &Picture) {
        let Some(request) = self.open.take() else { return };
        let ids: Vec<_> = request.batch.iter().map(|entry| entry.id.to_string()).collect();
        let fates = self.send(client, request).await.expect("nobody kills meanwhile");
        for (id, fate) in ids.iter().zip(fates) {
            match (before.seqs.get(id), fate) {
                (Some(seq), fate) => assert_eq!(fate, Fate::Replayed(*seq)),
                (None, Fate::Replayed(seq)) => assert!(seq > before.size(), "it was not there"),
                (None, Fate::Committed(_) | Fate::Rejected(_)) => (),
            }
        }
    }

    /// Sends until the ledger is gone.
    fn run(mut self, url: String, token: String) -> JoinHandle<Self> {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let client = client(&url, &token);
                let mut sent = 0;
                while sent < ENTRIES_MAX {
                    let request = self.requests.next().unwrap();
                    sent += request.batch.len();
                    if self.send(&client, request).await.is_none() {
                        break;
                    }
                }
            });
            self
        })
    }
}

fn client(url: &str, token: &str) -> Client {
    let token = Some(BearerToken::new(token.to_owned()).unwrap());
    Client::new(&ClientOptions { token, ..ClientOptions::new(url) }).unwrap()
}

/// What one life left to be held against the next.
struct Ledger {
    senders: Vec<Sender>,
    /// Size and root of the last checkpoint that was seen.
    published: Option<(u64, String)>,
}

impl Ledger {
    /// Everything that anyone was ever told is true of the ledger as it is now.
    async fn check(&mut self, client: &Client) -> Picture {
        let picture = Picture::take(client).await;
        for sender in &self.senders {
            for (id, seq) in &sender.acknowledged {
                assert_eq!(picture.seqs.get(id), Some(seq), "acknowledged: {id}");
            }
            for (size, root) in &sender.roots {
                picture.assert_root(*size, root);
            }
        }
        if let Some((size, root)) = &self.published {
            picture.assert_root(*size, root);
            let (now, _) = published(client).await.expect("signed before the kill");
            assert!(now >= *size, "the checkpoint went back from {size} to {now}");
        }
        picture.check_published(client).await;
        picture
    }

    /// Load for a while, then kill -9.
    async fn live(&mut self, node: Daemon, token: &str, millis: u64) {
        let run = |sender: Sender| sender.run(node.api.clone(), token.to_owned());
        let running: Vec<_> = self.senders.drain(..).map(run).collect();
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.published = published(&node.client(token)).await;
        node.kill();
        self.senders = running.into_iter().map(|thread| thread.join().unwrap()).collect();
    }
}

#[actix_rt::test]
async fn twenty_kills_lose_nothing() {
    let seed = std::env::var("RON_KILLS_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("RON_KILLS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    // Flushes come often, so that kills hit them too.
    let settings = [&PATIENT[..], &[("derived.flush_entries", "500")]].concat();
    let keys = Keys::new();
    let token = keys.master();
    let senders = (0..CONNECTIONS).map(|n| Sender::new(seed * CONNECTIONS + n)).collect();
    let mut ledger = Ledger { senders, published: None };
    let mut unanswered = 0;
    for life in 0..LIVES {
        if life % 2 == 0 {
            // Killed in the middle of its start, and the first time while it makes the ledger.
            let after = Duration::from_millis(random.random_range(1..150));
            Daemon::cut_short(&keys, "macronode", &settings, after);
        }
        let node = Daemon::start(&keys, "macronode", &settings);
        let client = node.client(&token);
        let picture = ledger.check(&client).await;
        for sender in &mut ledger.senders {
            unanswered += usize::from(sender.open.is_some());
            sender.retry(&client, &picture).await;
        }
        ledger.live(node, &token, random.random_range(20..400)).await;
    }
    let node = Daemon::start(&keys, "macronode", &settings);
    let picture = ledger.check(&node.client(&token)).await;
    println!("{} entries, {unanswered} requests had no answer", picture.size());
    assert!(unanswered > 0 && picture.size() > 1_000, "the kills hit nothing");
    assert_eq!(node.stop().0, Some(0));
}
