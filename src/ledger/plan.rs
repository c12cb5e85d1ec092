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

use super::draft::Draft;
use super::entry::{Entry, EntryId, Millis, Seq};
use super::expire::expire_entry;
use super::names::AccountKey;
use super::reason::{Reason, Reject};
use super::request::{Item, Request, postings};
use super::state::{Account, Delta, Facts, Hold, HoldState, IdRecord, Map, Posting};

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
        facts,
        group,
        first_seq: head + 1,
        expired: Vec::new(),
        accepted: Vec::new(),
        delta: Delta::default(),
        draft: Draft::default(),
    };
    planner.expire();
    let requests = group.requests.iter().enumerate();
    let outcomes = requests.map(|(at, request)| planner.request(at, request)).collect();
    Plan {
        first_seq: planner.first_seq,
        expired: planner.expired,
        accepted: planner.accepted,
        outcomes,
        delta: planner.delta,
    }
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

pub(super) struct Planner<'a> {
    facts: Facts,
    pub(super) group: &'a Group<'a>,
    first_seq: Seq,
    expired: Vec<Entry>,
    accepted: Vec<Place>,
    /// What the accepted units of this group changed so far.
    delta: Delta,
    /// What the unit in hand would change.
    pub(super) draft: Draft,
}

impl Planner<'_> {
    fn next_seq(&self) -> Seq {
        self.first_seq + (self.expired.len() + self.accepted.len()) as Seq
    }

    /// Ends the holds that are due. Their effect cannot fail: what is held is there to be given
    /// back, and `available + held` was a sum that fitted before.
    fn expire(&mut self) {
        let due = std::mem::take(&mut self.facts.due);
        for id in due.into_iter().take(self.group.expire_max) {
            let mut hold = self.hold(id).expect("a due hold was read with its id").clone();
            let entry = expire_entry(id, &hold).expect("an open hold has a remainder and a time");
            let seq = self.next_seq();
            let key = AccountKey::new(&hold.account, &hold.asset);
            let mut account = self.account(&key);
            account.held -= hold.remaining;
            account.available += hold.remaining;
            account.last_seq = seq;
            (hold.remaining, hold.state) = (0, HoldState::Expired);
            self.delta.accounts.insert(key, account);
            self.delta.holds.insert(id, hold);
            self.delta.ids.insert(entry.id, IdRecord { seq, reversed_by: None, posting: None });
            self.expired.push(entry);
        }
    }

    fn request(&mut self, at: usize, request: &Request) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(request.items.len());
        for unit in request.units() {
            let first = self.next_seq();
            let count = unit.len();
            match self.unit(first, &request.items[unit.clone()]) {
                Ok(Seen::New) => {
                    let last = unit.end - 1;
                    self.accepted.extend(unit.map(|item| Place {
                        request: at,
                        item,
                        linked: item != last,
                    }));
                    self.draft.settle_into(&mut self.delta);
                    outcomes.extend((first..).take(count).map(Outcome::Committed));
                }
                Ok(Seen::Replayed(seqs)) => {
                    outcomes.extend(seqs.into_iter().map(Outcome::Replayed));
                }
                Err(failure) => {
                    self.draft.clear();
                    outcomes.extend((0..count).map(|item| failure.outcome_of(item)));
                }
            }
        }
        outcomes
    }

    /// Drafts a unit whose first entry would be at `first`.
    fn unit(&mut self, first: Seq, items: &[Item]) -> Result<Seen, Failure> {
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
        if let Seen::Replayed(seqs) = self.seen(first, items)? {
            return Ok(Seen::Replayed(seqs));
        }
        for posting in legs {
            self.record_posting(first, items, posting);
        }
        for (at, item) in items.iter().enumerate() {
            self.effect(at, first + at as Seq, item).map_err(|reject| Failure { at, reject })?;
        }
        self.whole_postings_reversed()?;
        self.net()?;
        Ok(Seen::New)
    }

    /// Idempotency of a unit: all new, all seen before, or a conflict.
    fn seen(&mut self, first: Seq, items: &[Item]) -> Result<Seen, Failure> {
        let mut seqs = Vec::new();
        let mut first_new = None;
        for (at, item) in items.iter().enumerate() {
            match self.original(item).map_err(|reject| Failure { at, reject })? {
                Some(seq) => seqs.push(seq),
                None => {
                    first_new.get_or_insert(at);
                    let record =
                        IdRecord { seq: first + at as Seq, reversed_by: None, posting: None };
                    let id = self.draft.ids.insert(item.entry.id, record);
                    let tuple = self.draft.idem.insert(item.digest, record.seq);
                    if id.is_some() || tuple.is_some() {
                        let details = "the unit has this id or this tuple twice";
                        return Err(Failure { at, reject: Reject::new(Reason::Conflict, details) });
                    }
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

    /// The seq of the entry that took effect under this id or this tuple.
    fn original(&self, item: &Item) -> Result<Option<Seq>, Reject> {
        let by_id = match self.delta.ids.get(&item.entry.id) {
            Some(record) => Some(record.seq),
            None => foreseen(self.facts.ids.get(&item.entry.id)).map(|record| record.seq),
        };
        let by_tuple = || match self.delta.idem.get(&item.digest) {
            Some(&seq) => Some(seq),
            None => *foreseen(self.facts.idem.get(&item.digest)),
        };
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

    fn record_posting(&mut self, first: Seq, items: &[Item], legs: Range<usize>) {
        let posting = Posting { first: first + legs.start as Seq, legs: legs.len() as u32 };
        for item in &items[legs] {
            if let Some(record) = self.draft.ids.get_mut(&item.entry.id) {
                record.posting = Some(posting);
            }
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

    /// The rules of sums, on what the whole unit moves: the earliest failing item is told.
    fn net(&mut self) -> Result<(), Failure> {
        let (facts, delta) = (&self.facts, &self.delta);
        let account = |key: &AccountKey| match delta.accounts.get(key) {
            Some(account) => *account,
            None => *foreseen(facts.accounts.get(key)),
        };
        let supply = |asset: &_| match delta.supply.get(asset) {
            Some(supply) => *supply,
            None => *foreseen(facts.supply.get(asset)),
        };
        self.draft.net(account, supply)
    }

    pub(super) fn id_record(&self, id: EntryId) -> Option<IdRecord> {
        let known = self.draft.ids.get(&id).or_else(|| self.delta.ids.get(&id));
        known.copied().or_else(|| *foreseen(self.facts.ids.get(&id)))
    }

    pub(super) fn hold(&self, id: EntryId) -> Option<&Hold> {
        let known = self.draft.holds.get(&id).or_else(|| self.delta.holds.get(&id));
        known.or_else(|| foreseen(self.facts.holds.get(&id)).as_ref())
    }

    fn account(&self, key: &AccountKey) -> Account {
        let known = self.delta.accounts.get(key);
        known.copied().unwrap_or_else(|| *foreseen(self.facts.accounts.get(key)))
    }

    /// The entry that was accepted at `seq`, in this group or before it.
    pub(super) fn entry_at(&self, seq: Seq) -> &Entry {
        let Some(offset) = seq.checked_sub(self.first_seq) else {
            return foreseen(self.facts.entries.get(&seq));
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

fn foreseen<T>(fact: Option<&T>) -> &T {
    fact.expect("the prefetch reads all that a plan asks for")
}
