//! The committer's work: a group, from its reads to its answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::committer::Committer;
use super::disk::Pressure;
use super::mode::{Bar, Event, Fault};
use super::prevalidator::unix_ms;
use super::probe::Point;
use super::publisher::Look;
use super::refusal::{disk_pressure, not_written, refuse_all, reject_of};
use super::ticket::{Answer, Sequenced};
use crate::ledger::plan::{self, Outcome, Plan};
use crate::ledger::reason::{Reason, Reject};
use crate::ledger::request::Request;
use crate::storage::Head;
use crate::storage::engine::CommitError;
use crate::storage::error::ReadError;
use crate::storage::writer::{Durable, Prepared};
use crate::telemetry::Stages;

/// How long a group waits for derived data to catch up before it is refused.
const ROOM_WAIT: Duration = Duration::from_secs(1);

/// A group that takes so long is told of in the log, with its steps.
const SLOW: Duration = Duration::from_millis(100);

impl Committer {
    /// A group, from its reads to its answers.
    pub(super) fn commit(&mut self, tickets: Vec<Sequenced>) {
        self.look_for_gap();
        if let Some(why) = self.deps.mode.get().safe_reason() {
            return refuse_all(tickets, &reject_of(Bar::Safe(why)));
        }
        let (mut times, mut append) = (Times::begin(), stages_of(&tickets, "commit.append"));
        self.deps.probe.hit(Point::CommitBeforePlan);
        // A crash up to the write leaves no trace: nothing has changed.
        let mut prepared = match self.prepare(&tickets) {
            Ok(prepared) => prepared,
            Err(error) => return self.unreadable(tickets, &error),
        };
        times.planned = Some(Instant::now());
        if prepared.is_empty() {
            return self.answer(tickets, prepared.plan.outcomes);
        }
        let Some(state) = &mut self.state else { return };
        // Only now: what was durable before needs no room to be told again.
        let entries = prepared.plan.entries_count() as u64;
        let first_seq = prepared.plan.first_seq;
        times.entries = entries;
        tell(&mut append, first_seq, entries);
        if self.deps.disk.pressure() == Pressure::Refusing {
            return self.refuse_new(tickets, prepared.plan, &disk_pressure());
        }
        if let Err(error) = state.writer.make_room(entries, Instant::now() + ROOM_WAIT) {
            return self.refuse_new(tickets, prepared.plan, &not_written(&error));
        }
        self.deps.probe.hit(Point::CommitBeforeWrite);
        times.had_room = Some(Instant::now());
        drop(append);
        let mut fsync = stages_of(&tickets, "commit.fsync");
        tell(&mut fsync, first_seq, entries);
        // The commit point. A crash inside leaves the whole group in the log, or nothing of it.
        let written = match state.writer.write(&mut prepared) {
            Ok(written) => written,
            Err(error) => {
                fsync.fail("commit error");
                let reject = self.failed(&error);
                return self.refuse_new(tickets, prepared.plan, &reject);
            }
        };
        drop(fsync);
        times.durable = Some(Instant::now());
        self.deps.probe.hit(Point::CommitAfterWrite);
        // A crash from here on loses answers and nothing else: recovery finds the group.
        let outcomes = std::mem::take(&mut prepared.plan.outcomes);
        self.deps.metrics.commits.inc();
        self.deps.metrics.entries_committed.inc_by(entries);
        self.deps.probe.hit(Point::CommitBeforeApply);
        let head = state.writer.apply(prepared, written);
        self.deps.metrics.head_seq.set(head.get().seq as i64);
        self.deps.metrics.never_seen_filter_bytes.set(state.writer.filter_bytes() as i64);
        self.measured(times.all(), &tickets);
        let work = times.work();
        drop(times);
        self.deps.unpublished.add(head.get().seq, tickets.iter().map(Sequenced::trace));
        self.deps.probe.hit(Point::CommitBeforeReply);
        self.answer(tickets, outcomes);
        self.publish(head);
        self.rest_after(work);
    }

    /// Leaves flushes and merges their share of the machine where they are far behind.
    fn rest_after(&self, work: Duration) {
        let rest =
            self.state.as_ref().map_or(Duration::ZERO, |state| state.writer.rest_after(work));
        if !rest.is_zero() {
            let since = Instant::now();
            std::thread::sleep(rest);
            // A short sleep is longer than what was asked for.
            self.deps.metrics.rest_seconds.inc_by(since.elapsed().as_secs_f64());
        }
    }

    /// The trace of any sampled request of the group leads to all of it.
    fn measured(&self, took: Duration, tickets: &[Sequenced]) {
        let trace = tickets.iter().map(Sequenced::trace).find(|trace| trace.is_sampled());
        let latency = &self.deps.metrics.committer_batch_latency;
        match trace {
            Some(trace) => latency.observe_in(took.as_secs_f64(), trace),
            None => latency.observe(took.as_secs_f64()),
        }
    }

    fn prepare(&mut self, tickets: &[Sequenced]) -> Result<Prepared, ReadError> {
        let Some(state) = &mut self.state else { return Err(ReadError::NotOpen) };
        let wall = unix_ms();
        let may_expire =
            state.clock.is_steady(wall, Instant::now()) && !self.deps.mode.get().is_frozen();
        let requests: Vec<&Request> =
            tickets.iter().map(|ticket| &ticket.checked.request).collect();
        let group = plan::Group {
            requests: &requests,
            now: state.writer.next_time(wall),
            expire_max: if may_expire { self.deps.expire_max } else { 0 },
        };
        state.writer.prepare(&group)
    }

    /// Nothing was decided and nothing has changed. What is wrong with derived data alone a recovery
    /// mends, which those who wait need not wait for.
    fn unreadable(&mut self, tickets: Vec<Sequenced>, error: &ReadError) {
        tracing::error!(%error, "the store cannot be read");
        let is_mended = error.is_of_derived_data();
        if let ReadError::Missing(_) = error {
            self.look_for_gap();
        } else if !is_mended {
            self.note(Event::FaultFound(Fault::HeadMismatch));
        }
        refuse_all(tickets, &Reject::new(Reason::SafeMode, "the store cannot be read"));
        if is_mended {
            self.state = None;
            self.recover();
        }
    }

    /// What a failed write means for those who wait, and for the ledger.
    fn failed(&self, error: &CommitError) -> Reject {
        tracing::error!(%error, "commit error");
        match error {
            CommitError::NotWritten(error) => not_written(error),
            CommitError::Unknown(_) => {
                self.deps.metrics.wal_fsync_fail.inc();
                self.note(Event::WriteUnknown);
                let details = "the write failed and may have happened: retry with the same ids";
                Reject::new(Reason::OutcomeUnknown, details)
            }
        }
    }

    /// Nothing new was written. What was durable before is told all the same; all else of the plan
    /// rests on entries that are not there, and is refused.
    fn refuse_new(&self, tickets: Vec<Sequenced>, plan: Plan, reject: &Reject) {
        let is_old =
            |outcome: &Outcome| matches!(outcome, Outcome::Replayed(seq) if *seq < plan.first_seq);
        for (ticket, mut outcomes) in tickets.into_iter().zip(plan.outcomes) {
            if outcomes.iter().any(is_old) {
                let new = outcomes.iter_mut().filter(|outcome| !is_old(outcome));
                new.for_each(|outcome| *outcome = Outcome::Rejected(reject.clone()));
                self.answer(vec![ticket], vec![outcomes]);
            } else {
                ticket.settle().reply.refuse(reject.clone());
            }
        }
    }

    fn answer(&self, tickets: Vec<Sequenced>, outcomes: Vec<Vec<Outcome>>) {
        let head = self.deps.store.reader().head();
        for (ticket, outcomes) in tickets.into_iter().zip(outcomes) {
            let checked = ticket.settle();
            let latency = checked.received.elapsed().as_secs_f64();
            self.deps.metrics.commit_latency.observe_in(latency, checked.reply.trace());
            let answer = Answer::Done { outcomes, root: head.root, root_size: head.seq };
            checked.reply.send(answer);
        }
    }

    /// The cell holds the newest head; the message only says that there is one, so that a full door
    /// loses nothing.
    pub(super) fn publish(&self, head: Durable<Head>) {
        self.deps.newest.store(Some(Arc::new(head)));
        drop(self.deps.publisher.offer(Look));
    }
}

/// When the steps of a group ended. It is told of in the log when dropped, the group written or refused, if that took
/// long.
struct Times {
    entries: u64,
    started: Instant,
    planned: Option<Instant>,
    had_room: Option<Instant>,
    durable: Option<Instant>,
}

impl Times {
    fn begin() -> Self {
        let started = Instant::now();
        Times { entries: 0, started, planned: None, had_room: None, durable: None }
    }

    /// Up to now.
    fn all(&self) -> Duration {
        self.started.elapsed()
    }

    /// Up to now, without the wait for room, in which others had the machine.
    fn work(&self) -> Duration {
        let wait = self.planned.zip(self.had_room).map(|(planned, had_room)| had_room - planned);
        self.all() - wait.unwrap_or_default()
    }
}

impl Drop for Times {
    fn drop(&mut self) {
        let now = Instant::now();
        if now - self.started < SLOW {
            return;
        }
        // A step that did not come to its end has taken all the time up to now; those after it, none.
        let [planned, had_room, durable] =
            [self.planned, self.had_room, self.durable].map(|end| end.unwrap_or(now));
        let ms = |from: Instant, to: Instant| (to - from).as_millis() as u64;
        tracing::warn!(
            entries = self.entries,
            plan_ms = ms(self.started, planned),
            room_ms = ms(planned, had_room),
            write_ms = ms(had_room, durable),
            apply_ms = ms(durable, now),
            "slow commit group"
        );
    }
}

fn stages_of(tickets: &[Sequenced], name: &'static str) -> Stages {
    Stages::begin(tickets.iter().map(Sequenced::trace), name)
}

/// Which group it was.
fn tell(stages: &mut Stages, first_seq: u64, entries: u64) {
    stages.set("ledger.seq", first_seq as i64);
    stages.set("ledger.batch_size", entries as i64);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use parking_lot::Mutex;
    use tracing::field::{Field, Visit};
    use tracing::{Event, Subscriber};
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt as _};

    use super::*;

    /// Remembers the numbers of the last event.
    #[derive(Clone, Default)]
    struct Numbers(Arc<Mutex<BTreeMap<&'static str, u64>>>);

    impl Visit for Numbers {
        fn record_u64(&mut self, field: &Field, value: u64) {
            self.0.lock().insert(field.name(), value);
        }

        fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
    }

    impl<S: Subscriber> Layer<S> for Numbers {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            event.record(&mut self.clone());
        }
    }

    #[test]
    fn a_group_that_takes_long_is_told_with_its_steps_and_others_are_not() {
        let ms = Duration::from_millis;
        let started = Instant::now() - ms(150);
        let after = |millis| Some(started + ms(millis));
        let steps = |times: Times| {
            let numbers = Numbers::default();
            let subscriber = tracing_subscriber::registry().with(numbers.clone());
            tracing::subscriber::with_default(subscriber, || drop(times));
            let told = numbers.0.lock().clone();
            let names = ["entries", "plan_ms", "room_ms", "write_ms", "apply_ms"];
            names.map(|name| told.get(name).copied())
        };
        assert_eq!(steps(Times::begin()), [None; 5]);
        let written = Times {
            entries: 7,
            started,
            planned: after(40),
            had_room: after(50),
            durable: after(130),
        };
        assert!((ms(140)..ms(10_000)).contains(&written.work()));
        let [entries, plan, room, write, apply] = steps(written).map(Option::unwrap);
        assert_eq!([entries, plan, room, write], [7, 40, 10, 80]);
        assert!(apply >= 20, "{apply}");
        // Refused since no room was found.
        let refused =
            Times { entries: 7, started, planned: after(40), had_room: None, durable: None };
        let [_, plan, room, write, apply] = steps(refused).map(Option::unwrap);
        assert_eq!([plan, write, apply], [40, 0, 0]);
        assert!(room >= 110, "{room}");
    }
}
