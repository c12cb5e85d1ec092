//! The committer's steps: recovery, and the way of a group from its reads to its answers.

use ron_ledger::actors::mode::{Checker, Event, Fault, SafeReason, WayOut};

use super::Flaw;
use super::Pipeline;
use super::state::{Committer, Group, Line, State, Ticket, Tree};
use super::steps::{Commit, Step};

impl Pipeline {
    pub(super) fn commit_steps(&self, state: &State, steps: &mut Vec<Step>) {
        let committer = &state.process.committer;
        let found: &[Commit] = match committer {
            Committer::Down => &[Commit::Starts],
            Committer::Starting => &[Commit::Verifies],
            Committer::Verified(_) => &[
                Commit::Rewrites,
                Commit::RewriteFails { unknown: true },
                Commit::RewriteFails { unknown: false },
                Commit::Panics { in_engine: true },
            ],
            Committer::Rewritten(_) => &[Commit::Swaps],
            Committer::Swapped => &[Commit::GoesOnline],
            Committer::Shut | Committer::Idle if state.process.door.is_empty() => &[],
            Committer::Shut | Committer::Idle => {
                &[Commit::Takes { late: false }, Commit::Takes { late: true }]
            }
            Committer::Prepared(_) => &[
                Commit::Writes,
                Commit::IsRefusedRoom,
                Commit::WriteTears,
                Commit::Panics { in_engine: true },
            ],
            Committer::Writing(_) => {
                &[Commit::Syncs, Commit::SyncFails, Commit::Panics { in_engine: true }]
            }
            Committer::Written(_) => &[Commit::Applies, Commit::Panics { in_engine: true }],
            Committer::Applied(_) => &[Commit::Answers],
            Committer::Answered => &[Commit::HandsHead],
        };
        steps.extend(found.iter().copied().map(Step::Committer));
        // Within the write every panic is the engine's.
        if !matches!(committer, Committer::Down | Committer::Writing(_)) {
            steps.push(Step::Committer(Commit::Panics { in_engine: false }));
        }
    }

    pub(super) fn commit(&self, state: &mut State, step: Commit) {
        use Committer::{Applied, Prepared, Rewritten, Verified, Writing, Written};
        match (step, state.process.committer) {
            (Commit::Panics { in_engine }, _) => {
                state.process.poisoned |= in_engine;
                state.process.committer = Committer::Down;
                state.process.clearing = false;
                state.note(Event::CommitterPanicked);
            }
            (Commit::Starts, _) => {
                state.process.committer = Committer::Starting;
                state.note(Event::RecoveryStarted);
            }
            (Commit::Verifies, _) => self.verify(state),
            (Commit::Rewrites, Verified(head)) => self.rewrite(state, head),
            (Commit::RewriteFails { unknown }, Verified(head)) => {
                // An empty log has no tail.
                if head.len() > 0 {
                    state.process.poisoned |= unknown;
                    self.shut(state, Event::WriteUnknown);
                }
            }
            (Commit::Swaps, Rewritten(head)) => {
                state.process.overlay = head;
                state.process.is_open |= self.flaw != Some(Flaw::OpensAfterTheSwap);
                state.process.committer = Committer::Swapped;
            }
            (Commit::GoesOnline, _) => self.go_online(state),
            (Commit::Takes { late }, _) => self.take(state, late),
            (Commit::Writes, Prepared(group)) => self.write(state, group),
            (Commit::IsRefusedRoom, Prepared(group)) => self.refuse_new(state, &group),
            (Commit::WriteTears, Prepared(group)) => self.fail(state, &group),
            (Commit::Syncs, Writing(group)) => {
                if !state.process.poisoned {
                    state.log.sync();
                }
                state.process.committer = Written(group);
            }
            (Commit::SyncFails, Writing(group)) => self.fail(state, &group),
            (Commit::Applies, Written(group)) => {
                state.process.overlay = group.planned;
                state.process.committer = Applied(group);
            }
            (Commit::Answers, Applied(group)) => {
                answer(state, &group);
                state.process.committer = Committer::Answered;
            }
            (Commit::HandsHead, _) => self.hand_head(state),
            (step, at) => unreachable!("{step:?} at {at:?}"),
        }
    }

    /// Head and tail against each other and against the last signed note.
    fn verify(&self, state: &mut State) {
        let (head, anchor) = (state.log.visible, state.note.visible);
        let fault = match () {
            () if head.has_gap() => Some(Fault::Gap),
            () if anchor.len() > head.len() => Some(Fault::RollBack),
            () if !head.bears(&anchor) => Some(Fault::HeadMismatch),
            () => None,
        };
        match fault {
            Some(fault) => self.shut(state, Event::RecoveryFailed(fault)),
            None => state.process.committer = Committer::Verified(head),
        }
    }

    /// What the page cache shows need not be on the disk: nothing of it is told before this.
    fn rewrite(&self, state: &mut State, head: Tree) {
        if head.len() > 0 && self.flaw != Some(Flaw::KeepsTheTailAsItIs) {
            if state.process.poisoned {
                return self.shut(state, Event::WriteUnknown);
            }
            state.log.sync();
        }
        state.process.committer = Committer::Rewritten(head);
    }

    fn shut(&self, state: &mut State, event: Event) {
        state.note(event);
        state.process.committer = Committer::Shut;
        // The order to clear is answered: it does not pass.
        state.process.clearing = false;
    }

    fn go_online(&self, state: &mut State) {
        state.process.is_open = true;
        if state.process.newest.is_none() {
            state.note(Event::CheckStarted(Checker::Publisher));
        }
        state.note(Event::RecoveredClean);
        let crashed = |why| why == SafeReason::CommitterCrashed;
        if self.auto_clear && state.process.mode.reasons().any(crashed) {
            state.note(Event::CrashAutoCleared);
        }
        state.process.committer = Committer::Answered;
    }

    fn hand_head(&self, state: &mut State) {
        state.process.newest = Some(state.process.overlay);
        state.process.look = true;
        state.process.committer = Committer::Idle;
        if std::mem::take(&mut state.process.clearing) {
            let cleared = state.process.mode.after(Event::OperatorClear { verified: true });
            // Something else may have come to stand meanwhile: the operator is told, and asks again.
            state.process.mode = cleared.unwrap_or(state.process.mode);
        }
    }

    /// What no verification can clear is told before anything is done.
    pub(super) fn may_clear(&self, state: &State) -> bool {
        matches!(state.process.committer, Committer::Idle | Committer::Shut)
            && state.process.mode.after(Event::OperatorClear { verified: true }).is_ok()
    }

    pub(super) fn clear(&self, state: &mut State) {
        let mode = state.process.mode;
        let asks_for_one = mode.reasons().any(|why| why.way_out() == WayOut::VerifiedClear);
        if asks_for_one {
            state.process.committer = Committer::Starting;
            state.process.clearing = true;
            state.note(Event::RecoveryStarted);
        } else {
            let verified = state.process.committer == Committer::Idle;
            state.note(Event::OperatorClear { verified });
        }
    }

    fn take(&self, state: &mut State, late: bool) {
        let waiting = std::mem::take(&mut state.process.door);
        let tickets: Line =
            waiting.iter().copied().filter(|ticket| !late || ticket.waiters != 0).collect();
        let barred = state.process.mode.safe_reason().is_some();
        let ignores = self.flaw == Some(Flaw::CommitsInSafeMode);
        if tickets.is_empty() || state.process.committer != Committer::Idle || barred && !ignores {
            return;
        }
        let group = self.plan(state, tickets);
        if group.planned == group.base {
            answer(state, &group);
        } else {
            state.memory.begun_in_safe_mode |= barred;
            state.process.committer = Committer::Prepared(group);
        }
    }

    /// Each new id is given the next seq, what is known keeps its own.
    fn plan(&self, state: &State, tickets: Line) -> Group {
        let base = state.process.overlay;
        let is_known = |known: &Tree, ticket: &Ticket| match self.flaw {
            Some(Flaw::ForgetsWhatIsInTheLog) => {
                known.ids().skip(base.len()).any(|id| id == ticket.id)
            }
            _ => known.seq_of(ticket.id).is_some(),
        };
        let mut planned = base;
        let mut refused = 0;
        for ticket in tickets.iter() {
            if is_known(&planned, ticket) {
                refused += usize::from(self.flaw == Some(Flaw::CountsWhatItDoesNotWrite));
            } else {
                planned = planned.with(ticket.id, refused);
            }
        }
        Group { tickets, base, planned }
    }

    fn write(&self, state: &mut State, group: Group) {
        if state.process.poisoned && self.flaw != Some(Flaw::GoesOnAfterAnUnknownWrite) {
            return self.fail(state, &group);
        }
        state.log.visible = group.planned;
        state.process.committer = Committer::Writing(group);
        match self.flaw {
            Some(Flaw::AnswersBeforeTheFsync) => answer(state, &group),
            Some(Flaw::AppliesBeforeTheFsync) => state.process.overlay = group.planned,
            _ => {}
        }
    }

    /// Nobody knows what the disk has.
    fn fail(&self, state: &mut State, group: &Group) {
        state.process.poisoned = true;
        if self.flaw != Some(Flaw::GoesOnAfterAnUnknownWrite) {
            state.note(Event::WriteUnknown);
        }
        self.refuse_new(state, group);
    }

    /// What was durable before is told all the same; all else rests on what is not there.
    fn refuse_new(&self, state: &mut State, group: &Group) {
        state.process.committer = Committer::Idle;
        for (at, ticket) in group.tickets.iter().enumerate() {
            let twin = group.tickets[..at].iter().any(|before| before.id == ticket.id);
            if let Some(seq) = group.base.seq_of(ticket.id) {
                state.tell(ticket, seq);
            } else if twin && self.flaw == Some(Flaw::TellsReplaysOfItsOwnGroup) {
                state.tell(ticket, group.planned.seq_of(ticket.id).expect("it was planned"));
            }
        }
    }

    /// Refused while the lease is out. Without one, a second life plans and writes beside the first.
    pub(super) fn second_life(&self, state: &mut State) -> Option<()> {
        let is_refused =
            state.process.committer.has_writer() && self.flaw != Some(Flaw::HasNoLease);
        if is_refused {
            return None;
        }
        let Committer::Prepared(group) = state.process.committer else { return None };
        if state.process.other.is_some() {
            return None;
        }
        state.process.other = Some(group);
        state.process.committer = Committer::Starting;
        state.note(Event::RecoveryStarted);
        Some(())
    }
}

fn answer(state: &mut State, group: &Group) {
    for ticket in group.tickets.iter() {
        let seq = group.planned.seq_of(ticket.id);
        state.tell(ticket, seq.expect("each ticket of a plan has its seq"));
    }
}
