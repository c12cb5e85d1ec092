//! A ledger's life, simulated: the real planner, writer and recovery over [`SimEngine`], with clients
//! that retry, repeat and overtake each other, virtual time, and a fault in every other step. After
//! each step the ledger is held against the naive book, and nothing acknowledged may be missing.
//!
//! One thread, one seed: a run is the same each time. `RON_SIM_SEED=n` runs one seed with its story,
//! `RON_SIM_RUNS=n` that many; `make sim` and `make sim-long` do so.

mod check;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::engine::sim::{NextCommit, NextDerived, SimEngine};
use super::engine::{CommitError, Engine};
use super::flusher::batch_of;
use super::genesis::Genesis;
use super::store::{Anchor, Lease, RecoverError, Store, StoreOptions};
use super::writer::{Lag, Writer};
use crate::accumulator::{Frontier, Hash, HashAlgo};
use crate::client::workload::{SeededRandom as Random, Spec, Workload};
use crate::ledger::encode::encode;
use crate::ledger::entry::{EntryId, Seq};
use crate::ledger::names::Asset;
use crate::ledger::plan::{Group, Outcome};
use crate::ledger::request::{Grants, Item, Request};
use crate::ledger::testing::Book;

const HASH: HashAlgo = HashAlgo::Sha256;

/// Steps of one run.
const STEPS: u64 = 150;

/// Runs of the short form.
const RUNS: u64 = 60;

/// A life of the ledger's process.
struct Life {
    store: Store,
    writer: Writer,
    _lease: Lease,
}

struct World {
    random: Random,
    engine: Arc<SimEngine>,
    life: Option<Life>,
    clients: Vec<Client>,
    /// What the ledger must be.
    book: Book,
    tree: Frontier,
    /// The roots at the ends of groups.
    roots: BTreeMap<Seq, Hash>,
    /// A group whose outcome only recovery can tell, with the time that it had.
    in_doubt: Option<(Vec<Request>, u64)>,
    /// What clients were told.
    told: BTreeMap<EntryId, Seq>,
    /// The last checkpoint that was signed.
    signed: Option<Anchor>,
    story: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

/// Sends the requests of a workload, and now and then one of them again.
struct Client {
    requests: Vec<Request>,
    next: usize,
}

impl Client {
    fn new(seed: u64) -> Self {
        let spec = Spec { entries: 300, seed, accounts: 12, ..Spec::default() };
        let units = Workload::new(spec).expect("the spec is within its bounds");
        let item = |entry| Item::new(entry, Grants::ALL);
        let requests = units.map(|unit| Request {
            items: unit.entries.into_iter().map(item).collect(),
            atomic: unit.atomic,
        });
        Client { requests: requests.collect(), next: 0 }
    }

    fn request(&mut self, random: &mut Random) -> Request {
        let again = self.next > 0 && random.chance(1, 4);
        let at = match again || self.next == self.requests.len() {
            true => random.below(self.next as u64) as usize,
            false => {
                self.next += 1;
                self.next - 1
            }
        };
        self.requests[at].clone()
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let clients = (0..3).map(|_| Client::new(random.next())).collect();
        World {
            random,
            engine: Arc::default(),
            life: None,
            clients,
            book: Book::new(),
            tree: Frontier::new(),
            roots: BTreeMap::new(),
            in_doubt: None,
            told: BTreeMap::new(),
            signed: None,
            story: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
        self.story.push(what.to_owned());
    }

    fn step(&mut self) {
        if self.life.is_none() {
            self.recover();
            return;
        }
        match self.random.below(20) {
            0..=11 => self.commit(),
            12..=14 => self.flush(),
            15 => self.sign(),
            16 => self.panic_of_the_committer(),
            17 => self.kill(),
            18 => self.lose_power(),
            _ => self.book.now += self.random.below(200_000),
        }
    }

    /// As the committer at a start: with the last signed checkpoint as an anchor, and perhaps a
    /// store that fails in the middle of it.
    fn recover(&mut self) {
        let lag = Lag { flush: 20 + self.random.below(60), max: 1 << 20 };
        let options = StoreOptions { filter_bytes: 1 << 12, lag };
        let reads = self.random.chance(1, 4).then(|| self.random.below(30));
        self.engine.plan_reads(reads);
        if self.random.chance(1, 8) {
            let bad = self.any_bad_commit();
            self.engine.plan_commit(bad);
        }
        let engine = Arc::clone(&self.engine) as Arc<dyn Engine>;
        let signed = self.signed.clone();
        let opened = caught(|| {
            let store = Store::open(engine, genesis(), options)?;
            let (writer, lease) = store.writer(signed.as_ref())?;
            Ok::<_, RecoverError>(Life { store, writer, _lease: lease })
        });
        self.engine.plan_reads(None);
        match opened {
            Some(Ok(mut life)) => {
                // What the background thread does is a step of its own here.
                life.writer.flusher = None;
                self.life = Some(life);
                self.note("recovered");
                self.settle_doubt();
                self.check();
            }
            Some(Err(error)) => {
                check_planned(&error);
                self.note("recovery failed");
                self.engine.kill(0);
            }
            None => {
                self.note("recovery panicked");
                self.engine.kill(0);
            }
        }
    }

    /// What was in doubt is there whole, or nothing of it is.
    fn settle_doubt(&mut self) {
        let Some((requests, now)) = self.in_doubt.take() else { return };
        let head = self.life.as_ref().expect("just opened").writer.head().get();
        if head.seq > self.book.head() {
            self.note("doubt: it is there");
            let later = std::mem::replace(&mut self.book.now, now);
            self.commit_to_book(&requests);
            self.book.now = later.max(now);
        } else {
            self.note("doubt: it is not");
        }
    }

    fn commit_to_book(&mut self, requests: &[Request]) -> Vec<Vec<Outcome>> {
        let before = self.book.head() as usize;
        let plan = self.book.commit(&requests.iter().collect::<Vec<_>>());
        for entry in &self.book.log[before..] {
            self.tree.push(HASH, HASH.leaf(&encode(entry)));
        }
        if self.book.head() as usize > before {
            self.roots.insert(self.book.head(), self.tree.root(HASH));
        }
        plan.outcomes
    }

    fn any_bad_commit(&mut self) -> NextCommit {
        use NextCommit::{FsyncFails, NoRoom, PanicAfter, PanicBefore, Torn};
        [NoRoom, FsyncFails, Torn, PanicBefore, PanicAfter][self.random.below(5) as usize]
    }

    /// A commit group of one to five requests, from its reads to its answers.
    fn commit(&mut self) {
        self.book.now += self.random.below(2_000);
        let count = 1 + self.random.below(5);
        let mut requests = Vec::new();
        for _ in 0..count {
            let client = self.random.below(self.clients.len() as u64) as usize;
            requests.push(self.clients[client].request(&mut self.random));
        }
        if self.random.chance(1, 6) {
            let bad = self.any_bad_commit();
            self.engine.plan_commit(bad);
        }
        if self.random.chance(1, 30) {
            self.engine.plan_reads(Some(self.random.below(6)));
        }
        let now = self.book.now;
        let writer = &mut self.life.as_mut().expect("alive").writer;
        let written = caught(|| write(writer, &requests, now));
        self.engine.plan_reads(None);
        match written {
            Some(Written::Applied(outcomes)) => {
                assert_eq!(self.commit_to_book(&requests), outcomes, "the book decides the same");
                self.note("committed");
                self.tell(&requests, &outcomes);
                self.check();
            }
            Some(Written::Refused) => {
                self.note("refused: nothing was written");
                self.check();
            }
            // Safe-mode: this life writes no more, and only a restart tells what is there.
            Some(Written::Unknown) => {
                self.note("outcome unknown");
                self.in_doubt = Some((requests, now));
                self.check();
                match self.random.chance(1, 2) {
                    true => self.kill(),
                    false => self.lose_power(),
                }
            }
            None => {
                self.note("panic in the commit");
                self.in_doubt = Some((requests, now));
                self.kill();
            }
        }
    }

    fn tell(&mut self, requests: &[Request], outcomes: &[Vec<Outcome>]) {
        let items = requests.iter().flat_map(|request| &request.items);
        for (item, outcome) in items.zip(outcomes.iter().flatten()) {
            if let Outcome::Committed(seq) | Outcome::Replayed(seq) = outcome {
                // A replay may come under another id; its own is not in the ledger then.
                if self.book.log[*seq as usize - 1].entry.id == item.entry.id {
                    let before = self.told.insert(item.entry.id, *seq);
                    assert!(before.is_none_or(|before| before == *seq), "one id, one seq");
                }
            }
        }
    }

    /// The background's work: what is full goes to the engine, and is dropped once it is flushed.
    fn flush(&mut self) {
        let engine = Arc::clone(&self.engine);
        if self.random.chance(1, 4) {
            let next = [NextDerived::WriteFails, NextDerived::FlushFails];
            engine.plan_derived(next[self.random.below(2) as usize]);
        }
        let writer = &mut self.life.as_mut().expect("alive").writer;
        writer.freeze(true);
        let Some(layer) = writer.shared.overlay.read().frozen.clone() else { return };
        if engine.derived_write(batch_of(&layer)).is_err() {
            return self.note("derived write failed");
        }
        self.check();
        if engine.derived_flush().is_err() {
            return self.note("derived flush failed");
        }
        let writer = &self.life.as_ref().expect("alive").writer;
        drop(writer.shared.overlay.write().flushed(layer, true));
        self.note("flushed");
        self.check();
    }

    /// As the root publisher: what is durable, and never less than before.
    fn sign(&mut self) {
        let head = self.life.as_ref().expect("alive").writer.head().get();
        assert!(self.signed.as_ref().is_none_or(|signed| signed.size <= head.seq));
        if head.seq > 0 {
            self.signed = Some(Anchor { size: head.seq, root: head.root });
            self.note("signed");
        }
    }

    /// The committer's next life, in the same process over the same store.
    fn panic_of_the_committer(&mut self) {
        let Life { store, writer, _lease } = self.life.take().expect("alive");
        drop((writer, _lease));
        let reopened = caught(|| store.writer(self.signed.as_ref()));
        match reopened {
            Some(Ok((mut writer, lease))) => {
                writer.flusher = None;
                self.life = Some(Life { store, writer, _lease: lease });
                self.note("committer restarted");
                self.check();
            }
            Some(Err(error)) => {
                check_planned(&error);
                self.note("committer's recovery failed");
                self.kill();
            }
            None => self.kill(),
        }
    }

    fn kill(&mut self) {
        self.life = None;
        let kept = self.random.below(self.engine.unflushed() as u64 + 1) as usize;
        self.engine.kill(kept);
        self.note("killed");
    }

    fn lose_power(&mut self) {
        self.life = None;
        let truth = self.random.below(self.engine.unsynced() as u64 + 1) as usize;
        let derived = self.random.below(self.engine.unflushed() as u64 + 1) as usize;
        self.engine.lose_power(truth, derived);
        self.note("power lost");
    }
}

fn genesis() -> Genesis {
    Genesis {
        hash: HASH,
        origin: "example.org/sim".into(),
        default_asset: Asset::new("RON").expect("a name"),
        parent: None,
    }
}

enum Written {
    Applied(Vec<Vec<Outcome>>),
    Refused,
    Unknown,
}

/// The committer's steps.
fn write(writer: &mut Writer, requests: &[Request], now: u64) -> Written {
    let requests: Vec<&Request> = requests.iter().collect();
    let group = Group { requests: &requests, now: writer.next_time(now), expire_max: 100 };
    let Ok(mut prepared) = writer.prepare(&group) else { return Written::Refused };
    let outcomes = prepared.plan.outcomes.clone();
    if !prepared.is_empty() {
        match writer.write(&mut prepared) {
            Ok(written) => _ = writer.apply(prepared, written),
            Err(CommitError::NotWritten(_)) => return Written::Refused,
            Err(CommitError::Unknown(_)) => return Written::Unknown,
        }
    }
    Written::Applied(outcomes)
}

/// A store that is whole is only refused for a fault that was planned.
fn check_planned(error: &RecoverError) {
    let text = error.to_string();
    assert!(text.contains("simulated") || text.contains("no room"), "was refused: {text}");
}

/// `None` after a panic.
fn caught<T>(part: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(part)).ok()
}

fn run(seed: u64) -> World {
    let mut world = World::new(seed);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        (0..STEPS).for_each(|_| world.step());
        world.damage();
    }));
    if outcome.is_err() {
        eprintln!("RON_SIM_SEED={seed}: {}", world.story.join(", "));
        panic!("seed {seed}, see above");
    }
    world
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a whole number"))
}

#[test]
fn nothing_acknowledged_is_lost_whatever_breaks() {
    if let Some(seed) = number("RON_SIM_SEED") {
        let world = run(seed);
        println!("{}", world.story.join(", "));
        return;
    }
    let first = number("RON_SIM_FIRST").unwrap_or(1);
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in first..first + number("RON_SIM_RUNS").unwrap_or(RUNS) {
        for (what, times) in run(seed).counts {
            *counts.entry(what).or_default() += times;
        }
    }
    println!("{counts:#?}");
    for what in [
        "committed",
        "refused: nothing was written",
        "outcome unknown",
        "panic in the commit",
        "doubt: it is there",
        "doubt: it is not",
        "killed",
        "power lost",
        "committer restarted",
        "recovery failed",
        "recovery panicked",
        "derived write failed",
        "derived flush failed",
        "flushed",
        "signed",
        "damage: opened",
        "damage: refused",
    ] {
        assert!(counts.contains_key(what), "never happened: {what} in {counts:?}");
    }
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    let (one, other) = (run(7), run(7));
    assert_eq!(one.story, other.story);
    assert_eq!(one.tree.root(HASH), other.tree.root(HASH));
}
