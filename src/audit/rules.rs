//! Groups of a log as they come, and what they are held against: the whole replay when the log starts
//! with its first entry, else what can be seen without the state before it.

use std::collections::HashSet;
use std::fmt;

use super::report::{Check, Finding, NotChecked};
use super::verify::UNIT_ENTRIES_MAX;
use crate::ledger::entry::{EntryId, Millis, Seq, Sequenced};
use crate::ledger::idempotency::IdemDigest;
use crate::ledger::replay::{
    Originals, Replay, ReplayError, Violation, check_form, is_expire, units_of,
};
use crate::ledger::request::postings;

/// A group is replayed in parts of about so many entries: no more are in memory at once.
const PART_ENTRIES: usize = 512;

/// How strict, by where the log begins.
pub(super) enum Rules {
    /// From the first entry.
    Whole(Box<Replay>),
    /// From a later one.
    Part(Box<Part>),
}

/// Entries as they come, put together to groups.
pub(super) struct Judge {
    rules: Rules,
    group: Vec<Sequenced>,
    time: Millis,
}

impl Judge {
    pub(super) fn new(from: Seq) -> Self {
        let rules = match from {
            1 => Rules::Whole(Box::default()),
            _ => Rules::Part(Box::new(Part::new(from))),
        };
        Judge { rules, group: Vec::new(), time: 0 }
    }

    /// The replay, when there is one.
    pub(super) fn replay(&self) -> Option<&Replay> {
        match &self.rules {
            Rules::Whole(replay) => Some(replay),
            Rules::Part(_) => None,
        }
    }

    /// Entries whose units were judged.
    pub(super) fn head(&self) -> Seq {
        match &self.rules {
            Rules::Whole(replay) => replay.head(),
            Rules::Part(part) => part.head,
        }
    }

    /// Takes the next entry. A group ends where the time changes, and before an Expire that follows
    /// another entry.
    pub(super) fn take<O: Originals<Error: fmt::Display>>(
        &mut self,
        time: Millis,
        entry: Sequenced,
        originals: &O,
    ) -> Result<(), Finding> {
        if let Some(last) = self.group.last() {
            let other_group = time != self.time || is_expire(&entry) && !is_expire(last);
            let is_long = self.group.len() >= PART_ENTRIES && !last.linked;
            if other_group || is_long {
                self.settle(originals)?;
            }
        }
        if self.group.len() >= PART_ENTRIES + UNIT_ENTRIES_MAX {
            let problem = format!("its unit has more than {UNIT_ENTRIES_MAX} entries");
            return Err(Finding::of(entry.seq, Check::Format, problem));
        }
        self.time = time;
        self.group.push(entry);
        Ok(())
    }

    /// Judges what was put together.
    pub(super) fn settle<O: Originals<Error: fmt::Display>>(
        &mut self,
        originals: &O,
    ) -> Result<(), Finding> {
        let group = std::mem::take(&mut self.group);
        let Some(first) = group.first().map(|entry| entry.seq) else { return Ok(()) };
        match &mut self.rules {
            Rules::Part(part) => part.group(self.time, group),
            Rules::Whole(replay) => match replay.group(self.time, group, originals) {
                Ok(()) => Ok(()),
                Err(ReplayError::Violation(violation)) => Err(of_violation(violation)),
                Err(ReplayError::Original(error)) => {
                    let problem = format!("what it refers to cannot be read again: {error}");
                    Err(Finding::of(first, Check::Replay, problem))
                }
            },
        }
    }

    /// Judges what is left at the end of the range. A unit that goes on after it is left out; says
    /// whether there was one.
    pub(super) fn end<O: Originals<Error: fmt::Display>>(
        &mut self,
        is_end_of_log: bool,
        originals: &O,
    ) -> Result<bool, Finding> {
        let mut cut = false;
        if !is_end_of_log {
            let whole = self.group.iter().rposition(|entry| !entry.linked).map_or(0, |at| at + 1);
            cut = whole < self.group.len();
            self.group.truncate(whole);
        }
        self.settle(originals)?;
        Ok(cut)
    }
}

fn of_violation(violation: Violation) -> Finding {
    let check = if violation.repeats { Check::Uniqueness } else { Check::Replay };
    Finding::of(violation.seq, check, violation.problem)
}

/// What of a part of a log can be judged. About 40 bytes an entry.
pub(super) struct Part {
    head: Seq,
    time: Millis,
    /// The first unit may have begun before the range.
    is_begun: bool,
    ids: HashSet<EntryId>,
    tuples: HashSet<IdemDigest>,
}

/// What needs all that came before.
pub(super) const NOT_IN_A_PART: [NotChecked; 4] = [
    NotChecked {
        what: "funds and conservation",
        why: "the balances before the first entry of the range are not in the export",
    },
    NotChecked {
        what: "holds, captures, releases, expiries and reversals",
        why: "what they refer to may lie before the range",
    },
    NotChecked {
        what: "ids and tuples against entries before the range",
        why: "these entries are not in the export",
    },
    NotChecked {
        what: "the first unit, where it begins before the range",
        why: "its other entries are not in the export",
    },
];

impl Part {
    fn new(from: Seq) -> Self {
        let (ids, tuples) = (HashSet::new(), HashSet::new());
        Part { head: from - 1, time: 0, is_begun: false, ids, tuples }
    }

    fn group(&mut self, time: Millis, entries: Vec<Sequenced>) -> Result<(), Finding> {
        check_form(self.head, &entries)
            .map_err(|violation| Finding::of(violation.seq, Check::Units, violation.problem))?;
        let wrong = |seq, check, problem: &str| Err(Finding::of(seq, check, problem));
        if time < self.time {
            let problem = "it was committed before the entry in front of it";
            return wrong(self.head + 1, Check::Units, problem);
        }
        for entry in &entries {
            if !self.ids.insert(entry.entry.id) {
                return wrong(entry.seq, Check::Uniqueness, "its id is there before");
            }
            if !is_expire(entry) && !self.tuples.insert(IdemDigest::of(&entry.entry)) {
                return wrong(
                    entry.seq,
                    Check::Uniqueness,
                    "its idempotency tuple is there before",
                );
            }
        }
        self.time = time;
        let mut seq = self.head + 1;
        self.head += entries.len() as Seq;
        for unit in units_of(entries.into_iter()) {
            let is_first = !std::mem::replace(&mut self.is_begun, true);
            let count = unit.items.len() as Seq;
            if let (Err(at), false) = (postings(&unit.items), is_first) {
                let problem = "its debits and credits do not net to zero within its unit";
                return wrong(seq + at as Seq, Check::Units, problem);
            }
            seq += count;
        }
        Ok(())
    }
}
