//! Witnesses: asks the witnesses of a policy to cosign the newest signed checkpoint.
//!
//! Owns: the last checkpoint that enough of them have cosigned. Receives: nothing; it looks at what the
//! root publisher has signed each `witness.interval`, one round at a time. Publishes: that checkpoint.
//! On a crash: the round in hand is lost, and the next one asks again; witnesses remember.
//!
//! In the first round of a process writes wait: a witness that has seen more of this log than there is
//! here proves that the store was rolled back. One that does not answer proves nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwapOption;
use futures_util::future::join_all;

use super::mode::{Checker, Event, Fault, ModeCell, SafeReason};
use super::prevalidator::unix_ms;
use super::probe::{Point, Probe};
use super::publisher::Published;
use super::signed::SignedNotes;
use crate::accumulator::{Checkpoint, NoteSignature, Policy, SignedNote, Submission};
use crate::storage::reader::Reader;
use crate::telemetry::{Metrics, WitnessAnswer};
use crate::upstream::witness::{Answer, WitnessClient};

/// The node is degraded when its newest checkpoint lacks witnesses for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a witness is asked in one round: its first answer may say where it stands.
const QUESTIONS: usize = 2;

/// The witnesses of a ledger, as its configuration has them.
pub struct Watchers {
    /// Who they are, and how many are enough.
    pub policy: Policy,
    /// One for each witness of the policy, in its order.
    pub clients: Vec<Arc<WitnessClient>>,
    /// Nothing is published before enough of them have cosigned it.
    pub hold: bool,
    /// Between two rounds.
    pub interval: Duration,
}

/// What the witnesses have come to, for readers.
#[derive(Default)]
pub(super) struct Witnessed {
    pub(super) hold: bool,
    /// The last checkpoint that met the policy, with the cosignatures.
    pub(super) last: ArcSwapOption<Published>,
    /// Since when the newest signed checkpoint lacks witnesses, in Unix ms; 0: it does not.
    behind_since: AtomicU64,
}

impl Witnessed {
    pub(super) fn new(hold: bool) -> Self {
        Witnessed { hold, ..Witnessed::default() }
    }

    /// What is shown when `signed` is the newest signed checkpoint.
    pub(super) fn shown(&self, signed: Option<Arc<Published>>) -> Option<Arc<Published>> {
        match self.last.load_full() {
            last if self.hold => last,
            Some(last) if signed.as_ref().is_some_and(|it| it.checkpoint == last.checkpoint) => {
                Some(last)
            }
            _ => signed,
        }
    }

    pub(super) fn is_late(&self) -> bool {
        let since = self.behind_since.load(Ordering::Relaxed);
        since != 0 && unix_ms().saturating_sub(since) > PATIENCE.as_millis() as u64
    }
}

pub(super) struct Witnesses {
    pub(super) deps: Deps,
    pub(super) state: State,
}

pub(super) struct Deps {
    pub(super) watchers: Watchers,
    pub(super) signed: Arc<SignedNotes>,
    pub(super) newest: Arc<ArcSwapOption<Published>>,
    pub(super) witnessed: Arc<Witnessed>,
    pub(super) reader: Reader,
    pub(super) mode: ModeCell,
    pub(super) metrics: Arc<Metrics>,
    pub(super) probe: Probe,
}

#[derive(Default)]
pub(super) struct State {
    /// The size that each witness is taken to stand at.
    sizes: Vec<u64>,
    /// Who did not answer last time: what goes on is logged once.
    silent: Vec<bool>,
    is_asking: bool,
    /// All of them were asked in this process.
    pub(super) is_checked: bool,
}

/// What became of one witness in a round.
#[derive(Debug)]
enum Outcome {
    Cosigned(NoteSignature),
    /// It stands beyond this checkpoint and within the log: there will be a newer one.
    Waits(u64),
    /// It has seen more of this log than there is.
    Ahead(u64),
    /// It has seen another history of this log.
    Fork(u64),
    Failed(String),
}

impl Actor for Witnesses {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.deps.probe.hit(Point::WitnessesStarted);
        let witnesses = self.deps.watchers.clients.len();
        self.state.sizes = vec![0; witnesses];
        self.state.silent = vec![false; witnesses];
        self.restore();
        ctx.run_interval(self.deps.watchers.interval, |witnesses, ctx| {
            witnesses.deps.probe.hit(Point::WitnessesTimer);
            witnesses.look(ctx);
        });
    }
}

impl Supervised for Witnesses {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.state = State { is_checked: self.state.is_checked, ..State::default() };
    }
}

impl Witnesses {
    /// What enough witnesses have cosigned before stays cosigned. A note that does not say so is made
    /// anew by the first round that succeeds.
    fn restore(&self) {
        match self.deps.signed.witnessed() {
            Ok(Some((checkpoint, note))) if self.is_enough(&note) => self.show(checkpoint, &note),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the last witnessed checkpoint is not shown"),
        }
    }

    fn is_enough(&self, note: &str) -> bool {
        SignedNote::parse(note.as_bytes())
            .is_ok_and(|note| self.deps.watchers.policy.is_met(note.text(), note.signatures()))
    }

    /// Begins a round if there is something to ask.
    fn look(&mut self, ctx: &mut Context<Self>) {
        // Until the log is verified nobody knows how long it is.
        let is_open = self.deps.mode.get().reasons().all(|why| why != SafeReason::Recovering);
        if self.state.is_asking || !is_open {
            return;
        }
        let Some(note) = self.next() else { return };
        self.state.is_asking = true;
        let questions: Vec<_> = self
            .deps
            .watchers
            .clients
            .iter()
            .zip(&self.state.sizes)
            .map(|(client, &old)| {
                let (client, reader) = (Arc::clone(client), self.deps.reader.clone());
                let note = note.clone();
                async move { ask(&client, &reader, &note, old).await }
            })
            .collect();
        ctx.spawn(join_all(questions).into_actor(self).map(move |outcomes, witnesses, _| {
            witnesses.deps.probe.hit(Point::WitnessesAnswered);
            witnesses.state.is_asking = false;
            witnesses.take(&note, outcomes);
        }));
    }

    /// The checkpoint to ask for: the newest one, unless enough have cosigned it. A ledger without one
    /// asks for the empty tree, which tells whether anybody has seen more of it.
    fn next(&self) -> Option<SignedNote> {
        let witnessed = self.deps.witnessed.last.load();
        let witnessed = witnessed.as_ref().map_or(0, |last| last.checkpoint.size());
        match self.deps.newest.load().as_ref() {
            Some(newest) if self.state.is_checked && newest.checkpoint.size() <= witnessed => None,
            Some(newest) => SignedNote::parse(newest.note.as_bytes()).ok(),
            None if self.state.is_checked => None,
            None => {
                let root = self.deps.reader.genesis().hash.empty();
                let empty = Checkpoint::new(self.deps.signed.origin(), 0, root).ok()?;
                self.deps.signed.sign(&empty)
            }
        }
    }

    fn take(&mut self, note: &SignedNote, outcomes: Vec<Outcome>) {
        let Ok(checkpoint) = Checkpoint::parse(note.text()) else { return };
        let (mut cosignatures, mut fault) = (Vec::new(), None);
        for (at, outcome) in outcomes.into_iter().enumerate() {
            self.tell(at, &outcome);
            match outcome {
                Outcome::Cosigned(by) => {
                    self.state.sizes[at] = checkpoint.size();
                    cosignatures.push(by);
                }
                Outcome::Waits(size) => self.state.sizes[at] = size,
                // To be told the next time too, whatever an operator has done meanwhile.
                Outcome::Ahead(_) => fault = Some(Fault::RollBack),
                Outcome::Fork(_) => fault = fault.or(Some(Fault::HeadMismatch)),
                Outcome::Failed(_) => {}
            }
        }
        self.judge(fault);
        if self.deps.watchers.policy.is_met(note.text(), &cosignatures) {
            self.keep(checkpoint, note, cosignatures);
        } else if checkpoint.size() > 0 {
            let behind = &self.deps.witnessed.behind_since;
            // Only the first round that falls behind says since when.
            let _ = behind.compare_exchange(0, unix_ms(), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn judge(&mut self, fault: Option<Fault>) {
        let is_first = !std::mem::replace(&mut self.state.is_checked, true);
        let event = match (is_first, fault) {
            (true, None) => Event::CheckPassed(Checker::Witnesses),
            (true, Some(fault)) => Event::CheckFailed(Checker::Witnesses, fault),
            (false, Some(fault)) => Event::FaultFound(fault),
            (false, None) => return,
        };
        if let Err(error) = self.deps.mode.apply(event) {
            tracing::error!(%error, "the mode did not take what the witnesses say");
        }
    }

    /// Once for each change, so that a witness that is away fills no log.
    fn tell(&mut self, at: usize, outcome: &Outcome) {
        let witness = &self.deps.watchers.policy.witnesses()[at].name;
        let answer = match outcome {
            Outcome::Cosigned(_) => WitnessAnswer::Cosigned,
            Outcome::Waits(_) => WitnessAnswer::Waits,
            Outcome::Ahead(size) => {
                let head = self.deps.reader.head().seq;
                tracing::error!(witness, size, head, "a witness has seen more of this ledger");
                WitnessAnswer::Ahead
            }
            Outcome::Fork(size) => {
                tracing::error!(witness, size, "a witness has seen another history of this ledger");
                WitnessAnswer::Fork
            }
            Outcome::Failed(_) => WitnessAnswer::Failed,
        };
        self.deps.metrics.witness_answers.of(answer).inc();
        let is_silent = matches!(outcome, Outcome::Failed(_));
        let was_silent = std::mem::replace(&mut self.state.silent[at], is_silent);
        match outcome {
            Outcome::Failed(why) if !was_silent => tracing::warn!(witness, why, "a witness failed"),
            _ if was_silent && !is_silent => tracing::info!(witness, "a witness is back"),
            _ => {}
        }
    }

    /// Durable before it is shown, as all that is published.
    fn keep(&self, checkpoint: Checkpoint, note: &SignedNote, cosignatures: Vec<NoteSignature>) {
        let Ok(note) = note.clone().with(cosignatures) else { return };
        let note = note.encode();
        match self.deps.signed.keep_witnessed(&note) {
            Ok(()) => {
                self.deps.witnessed.behind_since.store(0, Ordering::Relaxed);
                self.show(checkpoint, &note);
            }
            Err(error) => tracing::error!(%error, "a witnessed checkpoint could not be kept"),
        }
    }

    fn show(&self, checkpoint: Checkpoint, note: &str) {
        self.deps.metrics.witnessed_size.set(checkpoint.size() as i64);
        let published = Published { checkpoint, note: note.into(), time: unix_ms() };
        self.deps.witnessed.last.store(Some(Arc::new(published)));
    }
}

/// Asks one witness, from where it is taken to stand or, once it has said so, from where it stands.
async fn ask(client: &WitnessClient, reader: &Reader, note: &SignedNote, old: u64) -> Outcome {
    let Ok(new) = Checkpoint::parse(note.text()).map(|new| new.size()) else {
        return Outcome::Failed("the note is no checkpoint".into());
    };
    let mut old = old;
    for _ in 0..QUESTIONS {
        if old > new {
            return Outcome::Waits(old);
        }
        let proof = match reader.consistency(old, new) {
            Ok(consistency) => consistency.proof,
            Err(error) => return Outcome::Failed(error.to_string()),
        };
        let submission = Submission { old, proof, note: note.encode() };
        match client.add_checkpoint(&submission).await {
            Ok(Answer::Cosigned(by)) => return Outcome::Cosigned(by),
            // It stands just there, and has seen another root; or ours is no continuation of it.
            Ok(Answer::At(size)) if size == old => return Outcome::Fork(old),
            Ok(Answer::Contradicts) => return Outcome::Fork(old),
            Ok(Answer::At(size)) if size > reader.head().seq => return Outcome::Ahead(size),
            Ok(Answer::At(size)) => old = size,
            Err(error) => return Outcome::Failed(error.to_string()),
        }
    }
    Outcome::Failed("says another size each time it is asked".into())
}
