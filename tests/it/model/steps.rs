//! What can happen: every step of an actor, every fault between two steps, everything that clients
//! and operators do. Any of them may come at any time that it is possible.

use ron_ledger::actors::mode::{Checker, Event, Fault, WayOut};

use super::Flaw;
use super::Pipeline;
use super::state::{Committer, Line, Process, Publisher, State, Ticket};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client sends its request, for the first time or again.
    Send(u8),
    /// The same, and ingress finds the request in flight.
    Join(u8),
    /// A client goes away, or its deadline passes.
    GiveUp(u8),
    /// A prevalidator hands a ticket on.
    Pass(usize),
    /// A ticket is lost in a panic of ingress or of a prevalidator; or it was late.
    FrontLoses(usize),
    /// The sequencer hands over a group of so many.
    HandOver(usize),
    /// The sequencer panics with so many tickets in its hands.
    SequencerPanics(usize),
    SequencerStarts,
    Committer(Commit),
    Publisher(Publish),
    /// An operator wants safe-mode cleared.
    Clear,
    /// The process is killed and started again. What lies in the page cache stays.
    Kill,
    /// The power fails; whether the disk had got to what was not fsynced.
    PowerFails {
        log_kept: bool,
        note_kept: bool,
    },
    /// Whoever finds the committer slow starts another one beside it.
    SecondLife,
    SecondLifeWrites,
}

/// Steps of the committer, and its faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// A panic: within the engine's write, which poisons it, or elsewhere.
    Panics {
        in_engine: bool,
    },
    Starts,
    Verifies,
    Rewrites,
    RewriteFails {
        unknown: bool,
    },
    Swaps,
    GoesOnline,
    /// Takes a group; `late`: what nobody waits for has passed its deadline.
    Takes {
        late: bool,
    },
    Writes,
    IsRefusedRoom,
    /// The write fails, and nothing of it is to be seen.
    WriteTears,
    Syncs,
    SyncFails,
    Applies,
    Answers,
    HandsHead,
}

/// Steps of the root publisher, and its faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {
    Panics,
    Starts,
    Restores,
    Checks,
    Signs,
    Syncs,
    SyncFails,
    Shows,
}

impl Step {
    /// What no plan counts on. A start of the process is no fault where the mode asks for one.
    pub fn is_fault(&self, state: &State) -> bool {
        let reasons = || state.process.mode.reasons();
        match self {
            Step::Kill => !reasons().any(|why| why.way_out() == WayOut::Restart),
            Step::GiveUp(_) | Step::FrontLoses(_) | Step::SequencerPanics(_) => true,
            Step::PowerFails { .. } | Step::SecondLife | Step::SecondLifeWrites => true,
            Step::Committer(step) => matches!(
                step,
                Commit::Panics { .. }
                    | Commit::RewriteFails { .. }
                    | Commit::Takes { late: true }
                    | Commit::IsRefusedRoom
                    | Commit::WriteTears
                    | Commit::SyncFails
            ),
            Step::Publisher(step) => matches!(step, Publish::Panics | Publish::SyncFails),
            _ => false,
        }
    }
}

impl Pipeline {
    pub(super) fn steps(&self, state: &State, steps: &mut Vec<Step>) {
        let process = &state.process;
        for client in 0..self.clients.len() as u8 {
            let (waits, may_send) = (state.is_waiting(client), process.mode.bar().is_none());
            let found: &[Step] = match self.impatient {
                true if waits => &[Step::GiveUp(client)],
                true if may_send => &[Step::Send(client), Step::Join(client)],
                false if !waits && may_send => &[Step::Send(client)],
                _ => &[],
            };
            steps.extend(found);
        }
        for at in 0..process.front.len() {
            steps.extend([Step::Pass(at), Step::FrontLoses(at)]);
        }
        let queued = process.sequenced.len();
        if process.sequencer_up {
            steps.extend((0..=queued).map(Step::SequencerPanics));
            if process.door.is_empty() {
                steps.extend((1..=queued.min(self.group_max)).map(Step::HandOver));
            }
        } else {
            steps.push(Step::SequencerStarts);
        }
        self.commit_steps(state, steps);
        self.publish_steps(state, steps);
        if self.may_clear(state) {
            steps.push(Step::Clear);
        }
        steps.push(Step::Kill);
        for log_kept in [false, true] {
            for note_kept in [false, true] {
                steps.push(Step::PowerFails { log_kept, note_kept });
            }
        }
        if matches!(process.committer, Committer::Prepared(_)) {
            steps.push(Step::SecondLife);
        }
        if process.other.is_some() {
            steps.push(Step::SecondLifeWrites);
        }
    }

    /// `None` where the step changes nothing.
    pub(super) fn step(&self, before: &State, step: Step) -> Option<State> {
        let mut state = *before;
        match step {
            Step::Send(client) => self.send(&mut state.process, client),
            Step::Join(client) => {
                let id = self.clients[usize::from(client)];
                let twin = state.process.tickets_mut().find(|ticket| ticket.id == id)?;
                twin.waiters |= 1 << client;
            }
            Step::GiveUp(client) => {
                state.process.tickets_mut().for_each(|ticket| ticket.waiters &= !(1 << client));
            }
            Step::Pass(at) => {
                let ticket = state.process.front[at];
                state.process.front = state.process.front.without(at);
                // Without a seat at the sequencer it is told `busy`.
                if state.process.sequenced.len() < self.sequenced_max {
                    state.process.sequenced = state.process.sequenced.with(ticket);
                }
            }
            Step::FrontLoses(at) => state.process.front = state.process.front.without(at),
            Step::HandOver(count) => {
                let (group, rest) = state.process.sequenced.split_at(count);
                (state.process.door, state.process.sequenced) =
                    (group.iter().copied().collect(), rest.iter().copied().collect());
            }
            Step::SequencerPanics(held) => {
                let left: Line = state.process.sequenced[held..].iter().copied().collect();
                (state.process.sequenced, state.process.sequencer_up) = (left, false);
                state.note(Event::CheckStarted(Checker::Sequencer));
            }
            Step::SequencerStarts => self.sequencer_starts(&mut state),
            Step::Committer(step) => self.commit(&mut state, step),
            Step::Publisher(step) => self.publish(&mut state, step),
            Step::Clear => self.clear(&mut state),
            Step::Kill => state.process = Process::new(),
            Step::PowerFails { log_kept, note_kept } => {
                state.log.lose_power(log_kept);
                state.note.lose_power(note_kept);
                state.process = Process::new();
            }
            Step::SecondLife => self.second_life(&mut state)?,
            Step::SecondLifeWrites => {
                let group = state.process.other.take()?;
                state.log.visible = group.planned;
                state.log.sync();
            }
        }
        (state != *before).then_some(state)
    }

    fn send(&self, process: &mut Process, client: u8) {
        let id = self.clients[usize::from(client)];
        let in_flight = process.tickets().count() < self.inflight_max;
        // A full door or a spent budget says `busy`.
        if in_flight && process.front.len() < self.front_max {
            process.front = process.front.with(Ticket { id, waiters: 1 << client }).sorted();
        }
    }

    /// The check of `started`: the head that readers see is in the log.
    fn sequencer_starts(&self, state: &mut State) {
        state.process.sequencer_up = true;
        let head = state.process.overlay;
        let is_there = head.len() == 0 || state.process.is_open && state.log.visible.bears(&head);
        state.note(Event::CheckStarted(Checker::Sequencer));
        match is_there {
            _ if self.flaw == Some(Flaw::ForgetsToPassTheCheck) => {}
            true => state.note(Event::CheckPassed(Checker::Sequencer)),
            false => state.note(Event::CheckFailed(Checker::Sequencer, Fault::HeadMismatch)),
        }
    }

    fn publish_steps(&self, state: &State, steps: &mut Vec<Step>) {
        let process = &state.process;
        let found: &[Publish] = match process.publisher {
            Publisher::Down => &[Publish::Starts],
            Publisher::Fresh if process.look => {
                &[Publish::Restores, Publish::Checks, Publish::Panics]
            }
            Publisher::Fresh => &[Publish::Restores, Publish::Panics],
            Publisher::Unshown => &[Publish::Restores, Publish::Panics],
            Publisher::Restored if process.look => &[Publish::Checks, Publish::Panics],
            Publisher::Checked if process.look => &[Publish::Signs, Publish::Panics],
            Publisher::Restored | Publisher::Checked => &[Publish::Panics],
            Publisher::Renamed(_) => &[Publish::Syncs, Publish::SyncFails, Publish::Panics],
            Publisher::Kept(_) => &[Publish::Shows, Publish::Panics],
        };
        steps.extend(found.iter().copied().map(Step::Publisher));
    }

    fn publish(&self, state: &mut State, step: Publish) {
        match (step, state.process.publisher) {
            (Publish::Panics, _) => {
                state.process.publisher = Publisher::Down;
                state.note(Event::CheckStarted(Checker::Publisher));
            }
            (Publish::Starts, _) => {
                state.process.publisher = Publisher::Fresh;
                state.process.look = match self.flaw {
                    Some(Flaw::RestartsWithoutALook) => false,
                    _ => state.process.look || state.process.newest.is_some(),
                };
            }
            // The one before may have died, or failed, before the note's name was durable. If this
            // fails nothing changes, and it is tried again.
            (Publish::Restores, at) => {
                state.process.publisher = match at {
                    Publisher::Unshown => Publisher::Checked,
                    _ => Publisher::Restored,
                };
                if self.flaw != Some(Flaw::TrustsTheNote) {
                    state.note.sync();
                }
                if state.note.visible.len() > 0 {
                    state.show(state.note.visible);
                }
            }
            (Publish::Checks, at) => {
                state.note(Event::CheckStarted(Checker::Publisher));
                if state.log.visible.bears(&state.note.visible) {
                    state.process.publisher = match at {
                        Publisher::Fresh => Publisher::Unshown,
                        _ => Publisher::Checked,
                    };
                    state.note(Event::CheckPassed(Checker::Publisher));
                } else {
                    state.note(Event::CheckFailed(Checker::Publisher, Fault::HeadMismatch));
                }
            }
            (Publish::Signs, _) => self.sign(state),
            (Publish::Syncs, Publisher::Renamed(tree)) => {
                state.note.sync();
                state.process.publisher = Publisher::Kept(tree);
            }
            // Tried again by a timer.
            (Publish::SyncFails, _) => {
                state.process.publisher = Publisher::Checked;
                state.process.look = true;
            }
            (Publish::Shows, Publisher::Kept(tree)) => {
                state.show(tree);
                state.process.publisher = Publisher::Checked;
            }
            (Publish::Syncs | Publish::Shows, _) => {}
        }
    }

    /// The newest head, unless it was signed already.
    fn sign(&self, state: &mut State) {
        state.process.look = false;
        let head = match self.flaw {
            Some(Flaw::SignsWhatIsNotDurable) => Some(state.log.visible),
            _ => state.process.newest,
        };
        let last = state.process.shown.unwrap_or_default();
        let Some(head) = head.filter(|head| head.len() > last.len()) else { return };
        state.note.visible = head;
        state.process.publisher = Publisher::Renamed(head);
        if self.flaw == Some(Flaw::ShowsBeforeItIsDurable) {
            state.show(head);
        }
    }
}
