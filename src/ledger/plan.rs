//! `plan`: what a commit group does to the ledger, decided without touching anything.
//!
//! First the holds that are due, then each unit in order, accepted or refused as a whole. Accepted
//! entries get contiguous seqs, so a refusal leaves no gap. The outcome depends on the facts, the
//! group and its time alone: replaying the log gives the same plan again, which is how recovery and
//! auditors check it.
//!
//! The order of the checks is the order of [`Reason`]: legs without a posting, then idempotency
//! (before all that depends on the state, so that a retry is told its original seq), then the
//! references, then overflow and funds on the net of the unit.

use std::ops::Range;

use super::draft::{Draft, Mover};
use super::entry::{Entry, EntryId, Millis, Seq};
use super::expire::expire_entry;
use super::idempotency::IdemDigest;
use super::names::{AccountKey, Asset};
use super::reason::{Reason, Reject};
use super::request::{Item, Request, postings};
use super::state::{Account, Delta, Facts, Hold, HoldState, IdRecord, Map, Named, Posting, Supply};
use super::table::Slot;
use super::tracked::Tracked;

/// What is planned together.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// In the order that the sequencer gave.
    pub requests: &'a [&'a Request],
    /// The group's time, never before that of the group before it.
    pub now: Millis,
    /// At most so many of the due holds end with this group.
    pub expire_max: usize,
}

/// What became of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// New, at this seq.
    Committed(Seq),
    /// Known, since it was committed at this seq.
    Replayed(Seq),
    /// Refused; nothing of its unit took effect.
    Rejected(Reject),
}

/// Where an accepted entry stands in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the request in the group.
    pub request: usize,
    /// Index of the item in the request.
    pub item: usize,
    /// Stands or falls with the entry after it.
    pub linked: bool,
}

/// What a group will do once it is durable.
#[derive(Debug)]
pub struct Plan {
    /// The seq of the first entry, whether or not there is one.
    pub first_seq: Seq,
    /// Made by the ledger; these come first.
    pub expired: Vec<Entry>,
    /// The clients' entries, after the expired ones.
    pub accepted: Vec<Place>,
    /// For each request, for each of its items.
    pub outcomes: Vec<Vec<Outcome>>,
    /// The new values of all that changes.
    pub delta: Delta,
}

impl Plan {
    /// How many entries it adds to the log.
    pub fn entries_count(&self) -> usize {
        self.expired.len() + self.accepted.len()
    }

    /// The entries in order: seq, linked, entry.
    pub fn entries<'a>(
        &'a self,
        requests: &'a [&'a Request],
    ) -> impl Iterator<Item = (Seq, bool, &'a Entry)> {
        let expired = self.expired.iter().map(|entry| (false, entry));
        let accepted = self
            .accepted
            .iter()
            .map(|place| (place.linked, &requests[place.request].items[place.item].entry));
        (self.first_seq..).zip(expired.chain(accepted)).map(|(seq, (linked, e))| (seq, linked, e))
    }
}

/// Plans a group on top of `head`, the seq of the last entry (0 for none).
///
/// # Panics
/// When the group asks for something that `facts` does not say: the prefetch has forgotten it, and
/// to go on would mean to take "not read" for "not there".
pub fn plan(head: Seq, facts: Facts, group: &Group<'_>) -> Plan {
    let mut planner = Planner {
        group,
        first_seq: head + 1,
        expired: Vec::new(),
        accepted: Vec::with_capacity(facts.named.len()),
        entries: facts.entries,
        ids: Tracked::new(facts.ids),
        idem: Tracked::new(facts.idem),
        holds: Tracked::new(facts.holds),
        accounts: Tracked::new(facts.accounts),
        supply: Tracked::new(facts.supply),
        draft: Draft::default(),
    };
    planner.expire(&facts.due);
    let mut named = &facts.named[..];
    let mut outcomes = Vec::with_capacity(group.requests.len());
    for (at, request) in group.requests.iter().enumerate() {
        let (mine, rest) = named.split_at(request.items.len());
        named = rest;
        outcomes.push(planner.request(at, request, mine));
    }
    planner.into_plan(outcomes)
}

/// Why a unit was refused, and at which of its items.
pub(super) struct Failure {
    pub(super) at: usize,
    pub(super) reject: Reject,
}

enum Seen {
    New,
    Replayed(Vec<Seq>),
}

/// What is accepted or refused as one.
#[derive(Clone, Copy)]
struct Unit<'a> {
    /// The seq that its first entry would have.
    first: Seq,
    items: &'a [Item],
    named: &'a [Named],
}

pub(super) struct Planner<'a> {
    pub(super) group: &'a Group<'a>,
    first_seq: Seq,
    expired: Vec<Entry>,
    accepted: Vec<Place>,
    entries: Map<Seq, Entry>,
    // The state as the group, with the unit in hand, would leave it.
    pub(super) ids: Tracked<EntryId, Option<IdRecord>>,
    idem: Tracked<IdemDigest, Option<Seq>>,
    pub(super) holds: Tracked<EntryId, Option<Hold>>,
    pub(super) accounts: Tracked<AccountKey, Account>,
    pub(super) supply: Tracked<Asset, Supply>,
    /// What the unit in hand moves.
    pub(super) draft: Draft,
}

impl Planner<'_> {
    fn into_plan(self, outcomes: Vec<Vec<Outcome>>) -> Plan {
        Plan {
            first_seq: self.first_seq,
            expired: self.expired,
            accepted: self.accepted,
            outcomes,
            delta: Delta {
                accounts: self.accounts.changes().collect(),
                supply: self.supply.changes().collect(),
                ids: self.ids.changes().filter_map(|(id, record)| Some((id, record?))).collect(),
                idem: self.idem.changes().filter_map(|(key, seq)| Some((key, seq?))).collect(),
                holds: self.holds.changes().filter_map(|(id, hold)| Some((id, hold?))).collect(),
            },
        }
    }

    fn next_seq(&self) -> Seq {
        self.first_seq + (self.expired.len() + self.accepted.len()) as Seq
    }

    /// Ends the holds that are due. Their effect cannot fail: what is held is there to be given
    /// back, and `available + held` was a sum that fitted before.
    fn expire(&mut self, due: &[EntryId]) {
        for &id in due.iter().take(self.group.expire_max) {
            let mut hold = self.hold(id).expect("a due hold was read with its id").clone();
            let entry = expire_entry(id, &hold).expect("an open hold has a remainder and a time");
            let seq = self.next_seq();
            let slot = self.account_slot(&AccountKey::new(&hold.account, &hold.asset));
            let mut account = self.accounts.rows[slot];
            account.held -= hold.remaining;
            account.available += hold.remaining;
            account.last_seq = seq;
            self.accounts.set(slot, account);
            (hold.remaining, hold.state) = (0, HoldState::Expired);
            self.set_hold(id, hold);
            let slot = self.ids.rows.slot_or(entry.id, || None);
            self.ids.set(slot, Some(IdRecord { seq, reversed_by: None, posting: None }));
            self.expired.push(entry);
            self.keep();
        }
    }

    fn request(&mut self, at: usize, request: &Request, named: &[Named]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(request.items.len());
        for range in request.units() {
            let first = self.next_seq();
            let count = range.len();
            let unit =
                Unit { first, items: &request.items[range.clone()], named: &named[range.clone()] };
            match self.unit(unit) {
                Ok(Seen::New) => {
                    let last = range.end - 1;
                    self.accepted.extend(range.map(|item| Place {
                        request: at,
                        item,
                        linked: item != last,
                    }));
                    self.keep();
                    outcomes.extend((first..).take(count).map(Outcome::Committed));
                }
                Ok(Seen::Replayed(seqs)) => {
                    outcomes.extend(seqs.into_iter().map(Outcome::Replayed));
                }
                Err(failure) => {
                    self.undo();
                    outcomes.extend((0..count).map(|item| failure.outcome_of(item)));
                }
            }
        }
        outcomes
    }

    /// The unit in hand is accepted: what it leaves is the state for the next one.
    fn keep(&mut self) {
        self.ids.keep();
        self.idem.keep();
        self.holds.keep();
        self.accounts.keep();
        self.supply.keep();
        self.draft.clear();
    }

    fn undo(&mut self) {
        self.ids.undo();
        self.idem.undo();
        self.holds.undo();
        self.accounts.undo();
        self.supply.undo();
        self.draft.clear();
    }

    fn unit(&mut self, unit: Unit<'_>) -> Result<Seen, Failure> {
        let Unit { first, items, named } = unit;
        let refused = |item: &Item| item.refused.as_deref().cloned();
        if let Some((at, reject)) =
            items.iter().enumerate().find_map(|(at, item)| Some((at, refused(item)?)))
        {
            return Err(Failure { at, reject });
        }
        let legs = match items {
            [single] if !single.entry.kind.is_leg() => Vec::new(),
            _ => postings(items).map_err(|at| Failure {
                at,
                reject: Reject::new(
                    Reason::Unbalanced,
                    "debits and credits next to each other must net to zero for each asset",
                ),
            })?,
        };
        if let Seen::Replayed(seqs) = self.seen(unit)? {
            return Ok(Seen::Replayed(seqs));
        }
        for posting in legs {
            self.record_posting(unit, posting);
        }
        for (at, (item, named)) in items.iter().zip(named).enumerate() {
            let by = Mover { at, seq: first + at as Seq };
            self.effect(by, item, *named).map_err(|reject| Failure { at, reject })?;
        }
        self.whole_postings_reversed()?;
        self.draft.net(&mut self.accounts, &mut self.supply)?;
        Ok(Seen::New)
    }

    /// Idempotency of a unit: all new, all seen before, or a conflict.
    fn seen(&mut self, unit: Unit<'_>) -> Result<Seen, Failure> {
        let mut seqs = Vec::new();
        let mut first_new = None;
        for (at, (item, named)) in unit.items.iter().zip(unit.named).enumerate() {
            match self
                .original(unit.first, item, *named)
                .map_err(|reject| Failure { at, reject })?
            {
                Some(seq) => seqs.push(seq),
                None => {
                    first_new.get_or_insert(at);
                    // Whatever is there is of this unit.
                    if self.ids.rows[named.id].is_some() || self.idem.rows[named.tuple].is_some() {
                        let details = "the unit has this id or this tuple twice";
                        return Err(Failure { at, reject: Reject::new(Reason::Conflict, details) });
                    }
                    let seq = unit.first + at as Seq;
                    let record = IdRecord { seq, reversed_by: None, posting: None };
                    self.ids.set(named.id, Some(record));
                    self.idem.set(named.tuple, Some(seq));
                }
            }
        }
        match (first_new, seqs.is_empty()) {
            (None, _) => Ok(Seen::Replayed(seqs)),
            (Some(_), true) => Ok(Seen::New),
            (Some(at), false) => Err(Failure {
                at,
                reject: Reject::new(
                    Reason::Conflict,
                    "part of this unit was committed before, and part of it is new",
                ),
            }),
        }
    }

    /// The seq of the entry that took effect under this id or this tuple, before the unit that begins at
    /// `first`.
    fn original(&self, first: Seq, item: &Item, named: Named) -> Result<Option<Seq>, Reject> {
        let before = |seq: &Seq| *seq < first;
        let by_id = self.ids.rows[named.id].map(|record| record.seq).filter(before);
        let by_tuple = || self.idem.rows[named.tuple].filter(before);
        let Some(seq) = by_id.or_else(by_tuple) else { return Ok(None) };
        if self.entry_at(seq).same_content(&item.entry) {
            return Ok(Some(seq));
        }
        Err(Reject::new(
            Reason::Conflict,
            match by_id {
                Some(_) => "this id was committed with other content",
                None => "this (account, amount, nonce, idem_id) was committed with other content",
            },
        ))
    }

    fn record_posting(&mut self, unit: Unit<'_>, legs: Range<usize>) {
        let first = unit.first + legs.start as Seq;
        let posting = Posting { first, legs: legs.len() as u32 };
        for named in &unit.named[legs] {
            let record =
                self.ids.rows[named.id].map(|record| IdRecord { posting: Some(posting), ..record });
            self.ids.set(named.id, record);
        }
    }

    /// A posting is undone whole or not at all. No leg is reversed twice, so that counting is enough.
    fn whole_postings_reversed(&self) -> Result<(), Failure> {
        let mut undone: Map<Seq, u32> = Map::default();
        for (_, posting) in &self.draft.reversed_legs {
            *undone.entry(posting.first).or_default() += 1;
        }
        for &(at, posting) in &self.draft.reversed_legs {
            if undone[&posting.first] != posting.legs {
                let details = "all legs of a posting must be reversed in one atomic request";
                return Err(Failure { at, reject: Reject::new(Reason::NotReversible, details) });
            }
        }
        Ok(())
    }

    pub(super) fn hold(&self, id: EntryId) -> Option<&Hold> {
        let slot = self.holds.rows.slot(&id).expect(FORESEEN);
        self.holds.rows[slot].as_ref()
    }

    pub(super) fn set_hold(&mut self, id: EntryId, hold: Hold) {
        let slot = self.holds.rows.slot_or(id, || None);
        self.holds.set(slot, Some(hold));
    }

    pub(super) fn account_slot(&self, key: &AccountKey) -> Slot {
        self.accounts.rows.slot(key).expect(FORESEEN)
    }

    /// The entry that was accepted at `seq`, in this group or before it.
    pub(super) fn entry_at(&self, seq: Seq) -> &Entry {
        let Some(offset) = seq.checked_sub(self.first_seq) else {
            return self.entries.get(&seq).expect(FORESEEN);
        };
        match self.expired.get(offset as usize) {
            Some(entry) => entry,
            None => {
                let place = self.accepted[offset as usize - self.expired.len()];
                &self.group.requests[place.request].items[place.item].entry
            }
        }
    }
}

impl Failure {
    fn outcome_of(&self, item: usize) -> Outcome {
        Outcome::Rejected(match item == self.at {
            true => self.reject.clone(),
            false => {
                Reject::new(Reason::AtomicAborted, "another entry of the same unit was refused")
            }
        })
    }
}

pub(super) const FORESEEN: &str = "the prefetch reads all that a plan asks for";
