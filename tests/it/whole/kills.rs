//! kill -9 at any time loses nothing that was acknowledged, and leaves a ledger that is whole.
//!
//! `RON_KILLS`, `RON_KILLS_BATCH` and `RON_KILLS_SEED` make it longer, or another one: `make kills-long`.

use std::collections::HashMap;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use ron_ledger::client::workload::Spec;
use ron_ledger::client::{BearerToken, Client, ClientError, ClientOptions};
use ron_ledger::http::dto::RequestIn;

use crate::support::daemon::{Daemon, PATIENT};
use crate::support::keys::Keys;
use crate::support::picture::{Picture, published};
use crate::support::sending::{Fate, requests, send, spec};

const CONNECTIONS: u64 = 4;
/// A node of this size is ready in a fraction of a second; 2 s are what an idle machine is allowed for a
/// large one (`make restart`). This is for machines that have much else to do: beyond it, it has hung.
const READY_MAX: Duration = Duration::from_secs(20);
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
    fn new(seed: u64, batch: usize) -> Self {
        let spec = Spec { invalid_share: 0.0, ..spec(10_000_000, seed) };
        Sender {
            requests: Box::new(requests(spec, batch)),
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
    /// What was read last.
    picture: Option<Picture>,
}

impl Ledger {
    /// Everything that anyone was ever told is true of the ledger as it is now. Entries that were read
    /// before are read again when `whole`: a long run would do little else.
    async fn check(&mut self, client: &Client, whole: bool) {
        let mut picture = match self.picture.take().filter(|_| !whole) {
            Some(picture) => picture,
            None => Picture::take(client).await,
        };
        picture.go_on(client).await;
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
        self.picture = Some(picture);
    }

    /// Requests without an answer are sent again; so many there were.
    async fn retry(&mut self, client: &Client) -> usize {
        let picture = self.picture.as_ref().expect("checked before");
        let mut open = 0;
        for sender in &mut self.senders {
            open += usize::from(sender.open.is_some());
            sender.retry(client, picture).await;
        }
        open
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

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[actix_rt::test]
async fn twenty_kills_lose_nothing() {
    let (seed, lives) = (number("RON_KILLS_SEED", 1), number("RON_KILLS", 20));
    let batch = number("RON_KILLS_BATCH", 8);
    println!("RON_KILLS_SEED={seed} RON_KILLS={lives} RON_KILLS_BATCH={batch}");
    let mut random = StdRng::seed_from_u64(seed);
    // Flushes come often, so that kills hit them too.
    let settings = [&PATIENT[..], &[("derived.flush_entries", "500")]].concat();
    let keys = Keys::new();
    let token = keys.master();
    let sender = |n| Sender::new(seed * CONNECTIONS + n, batch as usize);
    let senders = (0..CONNECTIONS).map(sender).collect();
    let mut ledger = Ledger { senders, published: None, picture: None };
    let (mut unanswered, mut slowest) = (0, Duration::ZERO);
    for life in 0..lives {
        if life % 2 == 0 {
            // Killed in the middle of its start, and the first time while it makes the ledger.
            let after = Duration::from_millis(random.random_range(1..150));
            Daemon::cut_short(&keys, "macronode", &settings, after);
        }
        let started = Instant::now();
        let node = Daemon::start(&keys, "macronode", &settings);
        let took = started.elapsed();
        assert!(took < READY_MAX, "life {life} was ready after {took:?}");
        slowest = slowest.max(took);
        let client = node.client(&token);
        ledger.check(&client, life % lives.div_ceil(20) == 0).await;
        unanswered += ledger.retry(&client).await;
        ledger.live(node, &token, random.random_range(20..400)).await;
    }
    let started = Instant::now();
    let node = Daemon::start(&keys, "macronode", &settings);
    slowest = slowest.max(started.elapsed());
    assert!(slowest < READY_MAX, "the last life was ready after {slowest:?}");
    ledger.check(&node.client(&token), true).await;
    let size = ledger.picture.expect("just read").size();
    let acknowledged: usize = ledger.senders.iter().map(|sender| sender.acknowledged.len()).sum();
    println!("{size} entries, {acknowledged} acknowledged, {unanswered} requests had no answer");
    println!("slowest start, to ready: {slowest:?}");
    assert!(unanswered > 0 && acknowledged > 1_000, "the kills hit nothing");
    assert_eq!(node.stop().0, Some(0));
}
