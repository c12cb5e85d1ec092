//! Replays a log from its first entry, in memory: the state that it leads to, or the first entry that
//! does not follow from those before it. The rules are those of [`super::plan`], and of nothing else.
//!
//! A state takes about 200 bytes for each entry (its id, its tuple), and 250 for each account and
//! hold; twice that while its maps grow.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::entry::{Entry, EntryId, Kind, Millis, Seq, Sequenced};
use super::idempotency::IdemDigest;
use super::names::{AccountKey, Asset};
use super::plan::{Group, Outcome, Plan, plan};
use super::prefetch::{Source, prefetch};
use super::reason::Reason;
use super::request::{Grants, Item, Request};
use super::state::{Account, Delta, Hold, HoldState, IdRecord, Map, State, Supply};

/// Gives entries again that were replayed before: a Reverse asks for what it undoes.
pub trait Originals {
    /// Why one cannot be given.
    type Error;
    /// The entry at `seq`, which was replayed before.
    ///
    /// # Errors
    /// When it cannot be read again.
    fn entry(&self, seq: Seq) -> Result<Entry, Self::Error>;
}

/// What does not follow from the entries before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The entry.
    pub seq: Seq,
    /// What is wrong with it.
    pub problem: Cow<'static, str>,
    /// Its id or its tuple is that of an entry before it.
    pub repeats: bool,
}

impl Violation {
    fn of(seq: Seq, problem: impl Into<Cow<'static, str>>) -> Self {
        Violation { seq, problem: problem.into(), repeats: false }
    }
}

/// Why a replay ends before the log does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayError<E> {
    /// The log breaks a rule.
    Violation(Violation),
    /// An original could not be read again.
    Original(E),
}

impl<E> From<Violation> for ReplayError<E> {
    fn from(violation: Violation) -> Self {
        ReplayError::Violation(violation)
    }
}

/// A replay and its state after the last group.
#[derive(Debug, Default)]
pub struct Replay {
    head: Seq,
    time: Millis,
    state: State,
    due: BTreeSet<(Millis, EntryId)>,
}

impl Replay {
    /// Before the first entry.
    pub fn new() -> Self {
        Replay::default()
    }

    /// The last entry that was replayed; 0 before the first.
    pub fn head(&self) -> Seq {
        self.head
    }

    /// All that the log made: accounts, supply, ids, tuples and holds.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Replays what was committed at `time`: whole units, the ledger's own Expires in front.
    ///
    /// A group may be cut between two units: how units are grouped decides nothing but their time.
    ///
    /// # Errors
    /// [`ReplayError`]; nothing of the group is in the state then.
    pub fn group<O: Originals>(
        &mut self,
        time: Millis,
        mut entries: Vec<Sequenced>,
        originals: &O,
    ) -> Result<(), ReplayError<O::Error>> {
        check_form(self.head, &entries)?;
        if time < self.time {
            let problem = "it was committed before the entry in front of it";
            return Err(Violation::of(self.head + 1, problem).into());
        }
        let expire_max = entries.iter().take_while(|entry| is_expire(entry)).count();
        let units = units_of(entries.drain(expire_max..));
        let requests: Vec<&Request> = units.iter().collect();
        let group = Group { requests: &requests, now: time, expire_max };
        let view = View { state: &self.state, due: &self.due, originals };
        let facts = prefetch(&view, &group).map_err(ReplayError::Original)?;
        let plan = plan(self.head, facts, &group);
        check_expired(&plan, &entries)?;
        check_accepted(&plan).map_err(|violation| {
            let at = (violation.seq - plan.first_seq) as usize - plan.expired.len();
            let repeats = self.repeats(units.iter().flat_map(|unit| &unit.items), at);
            Violation { repeats, ..violation }
        })?;
        self.head += plan.entries_count() as Seq;
        self.time = time;
        self.absorb(plan.delta);
        Ok(())
    }

    /// Whether item `at` of a group has the id or the tuple of an item or an entry before it.
    fn repeats<'a>(&self, mut items: impl Iterator<Item = &'a Item>, at: usize) -> bool {
        let before: Vec<&Item> = items.by_ref().take(at).collect();
        let Some(item) = items.next() else { return false };
        let is_same =
            |known: &&Item| known.entry.id == item.entry.id || known.digest == item.digest;
        self.state.ids.get(&item.entry.id).is_some()
            || self.state.idem.get(&item.digest).is_some()
            || before.iter().any(is_same)
    }

    fn absorb(&mut self, delta: Delta) {
        for (id, hold) in &delta.holds {
            let Some(due) = hold.due(*id) else { continue };
            match hold.state {
                HoldState::Open => self.due.insert(due),
                _ => self.due.remove(&due),
            };
        }
        self.state.merge(delta);
    }

    /// Adds everything up: for each asset, what is on accounts is what was minted and not burned; for
    /// each account, what came less what went is there, and what is held is what open holds hold.
    ///
    /// The rules keep all of it; this counts again, by another way.
    ///
    /// # Errors
    /// The first sum that does not come out, in words.
    pub fn add_up(&self) -> Result<(), String> {
        let mut held: Map<AccountKey, u128> = Map::default();
        for hold in self.state.holds.values() {
            let sum = held.entry(AccountKey::new(&hold.account, &hold.asset)).or_default();
            *sum = sum.checked_add(hold.remaining).ok_or("the holds of an account overflow")?;
        }
        let mut sums: Map<Asset, u128> = Map::default();
        for (key, account) in &self.state.accounts {
            let total = account.available.checked_add(account.held);
            let (name, asset) = key.names().ok_or("an account has no name")?;
            if total.is_none() || total != account.credits.checked_sub(account.debits) {
                return Err(format!("{asset} of {name} is not its credits less its debits"));
            }
            if account.held != held.remove(key).unwrap_or(0) {
                return Err(format!("{asset} held on {name} is not what its holds have left"));
            }
            let sum = sums.entry(asset).or_default();
            *sum = total.and_then(|total| sum.checked_add(total)).ok_or("the accounts overflow")?;
        }
        for (asset, supply) in &self.state.supply {
            let exists = supply.minted.checked_sub(supply.burned);
            if exists != Some(sums.remove(asset).unwrap_or(0)) {
                return Err(format!("{asset} on accounts is not what was minted and not burned"));
            }
        }
        match sums.into_iter().find(|(_, sum)| *sum != 0) {
            Some((asset, _)) => Err(format!("{asset} was never minted")),
            None => Ok(()),
        }
    }
}

/// The units of a group as its clients sent them: the linked bit says which entries stand together.
pub fn units_of(entries: impl Iterator<Item = Sequenced>) -> Vec<Request> {
    let mut units = Vec::new();
    let mut unit = Request { items: Vec::new(), atomic: true };
    for Sequenced { linked, entry, .. } in entries {
        if unit.items.is_empty() {
            // Most units are of one entry, and a list that grows by itself begins with four.
            unit.items.reserve_exact(1);
        }
        unit.items.push(Item::new(entry, Grants::ALL));
        if !linked {
            units.push(std::mem::replace(&mut unit, Request { items: Vec::new(), atomic: true }));
        }
    }
    if !unit.items.is_empty() {
        units.push(unit);
    }
    units
}

/// Whether the ledger itself made the entry.
pub fn is_expire(entry: &Sequenced) -> bool {
    entry.entry.kind == Kind::Expire
}

/// What can be seen of a group without its state: that its entries follow `head`, that Expires come
/// first, that no client uses an id of the ledger, and that no unit goes on after it.
///
/// # Errors
/// The first entry that is wrong.
pub fn check_form(head: Seq, entries: &[Sequenced]) -> Result<(), Violation> {
    let mut clients = false;
    for (seq, entry) in (head + 1..).zip(entries) {
        let wrong = |problem: &'static str| Err(Violation::of(seq, problem));
        if entry.seq != seq {
            return wrong("another entry belongs here");
        }
        match is_expire(entry) {
            true if clients => return wrong("the ledger expires holds before it takes entries"),
            true if entry.linked => return wrong("an Expire is linked to the entry after it"),
            true => {}
            false if entry.entry.id.is_ledgers_own() => return wrong("its id is the ledger's own"),
            false => clients = true,
        }
    }
    match entries.last() {
        Some(last) if last.linked => Err(Violation::of(last.seq, "its group ends within a unit")),
        _ => Ok(()),
    }
}

/// The Expires of the log are those that the plan makes.
fn check_expired(plan: &Plan, logged: &[Sequenced]) -> Result<(), Violation> {
    for (at, logged) in logged.iter().enumerate() {
        let problem = match plan.expired.get(at) {
            Some(made) if *made == logged.entry => continue,
            Some(_) => "the ledger would have expired another hold, or with other fields",
            None => "no hold is due",
        };
        return Err(Violation::of(logged.seq, problem));
    }
    Ok(())
}

/// All clients' entries are new to the log, and allowed. The first that is to blame is told.
fn check_accepted(plan: &Plan) -> Result<(), Violation> {
    let first = plan.first_seq + plan.expired.len() as Seq;
    let mut fallen = None;
    for (seq, outcome) in (first..).zip(plan.outcomes.iter().flatten()) {
        let problem: Cow<'static, str> = match outcome {
            Outcome::Committed(_) if fallen.is_none() => continue,
            Outcome::Committed(_) => break,
            Outcome::Replayed(original) => format!("it repeats entry {original}").into(),
            Outcome::Rejected(reject) => {
                let told: Cow<'static, str> =
                    format!("{}: {}", reject.reason, reject.details).into();
                if reject.reason == Reason::AtomicAborted {
                    fallen.get_or_insert(Violation::of(seq, told));
                    continue;
                }
                told
            }
        };
        return Err(Violation::of(seq, problem));
    }
    fallen.map_or(Ok(()), Err)
}

/// What a group is planned on.
struct View<'a, O> {
    state: &'a State,
    due: &'a BTreeSet<(Millis, EntryId)>,
    originals: &'a O,
}

impl<O: Originals> Source for View<'_, O> {
    type Error = O::Error;

    fn ids(&self, ids: &[EntryId]) -> Result<Vec<Option<IdRecord>>, O::Error> {
        Ok(ids.iter().map(|id| self.state.ids.get(id).copied()).collect())
    }

    fn idem(&self, digests: &[IdemDigest]) -> Result<Vec<Option<Seq>>, O::Error> {
        Ok(digests.iter().map(|digest| self.state.idem.get(digest).copied()).collect())
    }

    fn holds(&self, ids: &[EntryId]) -> Result<Vec<Option<Hold>>, O::Error> {
        Ok(ids.iter().map(|id| self.state.holds.get(id).cloned()).collect())
    }

    fn entries(&self, seqs: &[Seq]) -> Result<Vec<Entry>, O::Error> {
        seqs.iter().map(|seq| self.originals.entry(*seq)).collect()
    }

    fn accounts(&self, keys: &[AccountKey]) -> Result<Vec<Account>, O::Error> {
        let account = |key| self.state.accounts.get(key).copied().unwrap_or_default();
        Ok(keys.iter().map(account).collect())
    }

    fn supply(&self, assets: &[Asset]) -> Result<Vec<Supply>, O::Error> {
        let supply = |asset| self.state.supply.get(asset).copied().unwrap_or_default();
        Ok(assets.iter().map(supply).collect())
    }

    fn due(&self, now: Millis, max: usize) -> Result<Vec<EntryId>, O::Error> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        Ok(due.take(max).map(|(_, id)| *id).collect())
    }
}
