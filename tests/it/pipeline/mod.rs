//! The pipeline under faults and load: what is promised to those who wait, whatever falls over.

mod admission;
mod archives;
mod bounds;
mod crashes;
mod drains;
mod follows;
mod gaps;
mod history;
mod holds;
mod order;
mod policy;
mod rests;
mod roots;
mod safe_mode;
mod upstreams;
mod verifier;
mod witnesses;

use std::sync::{Arc, mpsc};

use ron_ledger::actors::mode::SafeReason;
use ron_ledger::actors::mode::{Mode, ModeCell};
use ron_ledger::actors::pipeline::{
    Answer, ArchiveTo, FollowFrom, Parts, Pipeline, Services, Settings, SignedNotes, Watchers,
};
use ron_ledger::actors::probe::{Point, Probe};
use ron_ledger::capability::{CachedVerifier, Keyring, Verifier};
use ron_ledger::ledger::entry::{Entry, Seq};
use ron_ledger::ledger::names::Asset;
use ron_ledger::ledger::plan::Outcome;
use ron_ledger::ledger::reason::{Reason, Reject};
use ron_ledger::storage::engine::{Engine, Faulty, MemoryEngine};
use ron_ledger::storage::genesis::Genesis;
use ron_ledger::storage::store::{Store, StoreOptions};
use ron_ledger::storage::writer::Lag;
use ron_ledger::telemetry::Metrics;
use tokio::sync::oneshot;

use crate::support::entries::mint;
use crate::support::keys::Keys;
use crate::support::node::Node;

type Waiting = oneshot::Receiver<Arc<Answer>>;

/// Restarts at once.
const QUICK: [(&str, &str); 2] =
    [("supervision.backoff_min", "1ms"), ("supervision.backoff_max", "5ms")];

async fn micronode(more: &[(&str, &str)]) -> Node {
    Node::with("micronode", &[&QUICK, more].concat()).await
}

/// On an engine and notes of the test's own; not waited for.
fn node_on(engine: Arc<Faulty<MemoryEngine>>, signed: SignedNotes, more: &[(&str, &str)]) -> Node {
    node_of(engine, signed, None, more)
}

/// As [`node_on`], watched by witnesses.
fn node_of(
    engine: Arc<Faulty<MemoryEngine>>,
    signed: SignedNotes,
    watchers: Option<Watchers>,
    more: &[(&str, &str)],
) -> Node {
    node_kept(engine, signed, watchers, None, more)
}

/// As [`node_of`], with an archive.
fn node_kept(
    engine: Arc<Faulty<MemoryEngine>>,
    signed: SignedNotes,
    watchers: Option<Watchers>,
    archive: Option<ArchiveTo>,
    more: &[(&str, &str)],
) -> Node {
    node_by_parts(engine, signed, watchers, (archive, None), more)
}

/// As [`node_kept`], or one that follows another node.
fn node_by_parts(
    engine: Arc<Faulty<MemoryEngine>>,
    signed: SignedNotes,
    watchers: Option<Watchers>,
    (archive, follow): (Option<ArchiveTo>, Option<FollowFrom>),
    more: &[(&str, &str)],
) -> Node {
    let keys = Keys::new();
    let config = keys.config("micronode", &[&QUICK, more].concat());
    let verifier = Verifier::new(Keyring::open(&config.capabilities.keyring_dir).unwrap());
    let (probe, trigger) = Probe::armable();
    let genesis = Genesis {
        hash: ron_ledger::accumulator::HashAlgo::Sha256,
        origin: signed.origin().to_owned(),
        default_asset: Asset::new("RON").unwrap(),
        parent: None,
    };
    let lag = Lag { flush: config.derived.flush_entries, max: config.derived.max_lag_entries };
    let options = StoreOptions { filter_bytes: config.derived.filter_bytes, lag };
    let engine: Arc<dyn Engine> = engine;
    let parts = Parts {
        mode: ModeCell::new(Mode::READY),
        store: Arc::new(Store::open(engine, genesis, options).unwrap()),
        signed: Arc::new(signed),
        capabilities: Arc::new(CachedVerifier::new(
            verifier,
            config.capabilities.cache_ttl,
            config.capabilities.cache_entries,
        )),
        revoked_file: None,
        rules: ron_ledger::policy::Policy::default(),
        watchers,
        services: Services::default(),
        archive,
        follow,
        metrics: Metrics::new(),
        probe,
    };
    let pipeline = Pipeline::start(parts, &Settings::of(&config)).unwrap();
    Node::around(keys, &config, pipeline, trigger)
}

/// Holds whoever comes to the point, until it is dropped.
struct Stall {
    reached: mpsc::Receiver<()>,
    _open: mpsc::Sender<()>,
}

impl Stall {
    /// What is held ends as `then` says.
    fn and_then(node: &Node, point: Point, then: impl FnOnce() + Send + 'static) -> Stall {
        let ((open, gate), (tell, reached)) = (mpsc::channel::<()>(), mpsc::channel());
        node.trigger.arm(point, 1, move || {
            let _ = tell.send(());
            let _ = gate.recv();
            then();
        });
        Stall { reached, _open: open }
    }

    async fn reached(&self, node: &Node) {
        node.until("somebody is held", |_| self.reached.try_recv().is_ok()).await;
    }
}

/// Holds the committer with `mint` in hand, which is decided and not written.
async fn held_committer(node: &Node) -> (Stall, Waiting) {
    let stall = Stall::and_then(node, Point::CommitBeforeWrite, || ());
    let answer = submit(node, vec![mint("held", 1)]);
    stall.reached(node).await;
    (stall, answer)
}

fn submit(node: &Node, entries: Vec<Entry>) -> Waiting {
    node.pipeline.submit(node.submission(entries)).unwrap()
}

/// What became of it; `None` when the answer was lost.
async fn outcome(answer: Waiting) -> Option<Arc<Answer>> {
    let patience = std::time::Duration::from_secs(20);
    tokio::time::timeout(patience, answer).await.expect("an answer or none, but in time").ok()
}

fn reason(answer: &Answer) -> Reason {
    match answer {
        Answer::Refused(reject) => reject.reason,
        Answer::Done { outcomes, .. } => panic!("not refused: {outcomes:?}"),
    }
}

async fn refusal(answer: Waiting) -> Reason {
    reason(&outcome(answer).await.expect("it is answered"))
}

fn outcomes(answer: &Answer) -> &[Outcome] {
    match answer {
        Answer::Done { outcomes, .. } => outcomes,
        Answer::Refused(reject) => panic!("refused: {reject:?}"),
    }
}

/// Of a request whose entries were all committed now.
fn committed(answer: &Answer) -> Vec<Seq> {
    let seq = |outcome: &Outcome| match outcome {
        Outcome::Committed(seq) => *seq,
        other => panic!("not committed: {other:?}"),
    };
    outcomes(answer).iter().map(seq).collect()
}

/// Sent now, and accepted.
async fn commit(node: &Node, entries: Vec<Entry>) -> Vec<Seq> {
    committed(&node.send(entries).await.expect("an answer").expect("room"))
}

/// The seq of an entry that was committed before.
async fn replayed(node: &Node, entry: &Entry) -> Seq {
    let answer = node.send(vec![entry.clone()]).await.expect("an answer").expect("room");
    match outcomes(&answer) {
        [Outcome::Replayed(seq)] => *seq,
        other => panic!("not replayed: {other:?}"),
    }
}

fn refused_now(node: &Node, entries: Vec<Entry>) -> Option<Reason> {
    node.pipeline.submit(node.submission(entries)).err().map(|Reject { reason, .. }| reason)
}

fn head(node: &Node) -> Seq {
    node.pipeline.reader().head().seq
}

fn depth_of(node: &Node, actor: &str) -> usize {
    let actors = node.pipeline.readiness().actors;
    actors.iter().filter(|report| report.name == actor).map(|report| report.depth).sum()
}

fn reasons(node: &Node) -> Vec<SafeReason> {
    node.pipeline.mode().reasons().collect()
}

/// Waits until the publisher has shown the empty tree, and is idle.
async fn publisher_idle(node: &Node) {
    node.until("the publisher is idle", |node| {
        node.pipeline.published().is_some() && depth_of(node, "root_publisher") == 0
    })
    .await;
}

/// Waits until the ledger has left safe-mode by itself and everybody is up.
async fn ready(node: &Node) {
    node.until("ready", |node| node.pipeline.readiness().ready).await;
}
