//! The rules of the ledger once more, as naively as they can be written: the whole state is cloned
//! for each unit, ids and tuples are looked for from the start of the log, faults are collected and
//! sorted, and sums are too wide to overflow. It shares the types of requests and entries with the
//! plan, and none of its code.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::flow::Unit;
use super::wide::{postings, split};
use crate::ledger::entry::{Amount, Entry, EntryId, Kind, Millis, Seq, Sequenced};
use crate::ledger::names::{AccountId, Asset, IdemId, KeyName};
use crate::ledger::reason::Reason;
use crate::ledger::request::{Item, Request};
use crate::ledger::state::HoldState;

/// What the model says of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Committed(Seq),
    Replayed(Seq),
    Rejected(Reason),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    pub(super) free: u128,
    pub(super) held: u128,
    pub(super) came: u128,
    pub(super) went: u128,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) left: u128,
    pub(super) paid: u128,
    pub(super) state: HoldState,
}

/// Everything that is known; a unit works on a clone of it.
#[derive(Clone, Default)]
pub(super) struct Model {
    pub(super) log: Vec<Rc<Sequenced>>,
    pub(super) balances: BTreeMap<(AccountId, Asset), Balance>,
    /// Minted, burned.
    pub(super) supply: BTreeMap<Asset, (u128, u128)>,
    pub(super) holds: BTreeMap<EntryId, Held>,
    /// The reversed entry, and what reversed it.
    pub(super) reversed: BTreeMap<Seq, Seq>,
    /// The seqs of all legs of a leg's posting.
    pub(super) postings: BTreeMap<Seq, BTreeSet<Seq>>,
}

/// A refusal: at which item of the unit, and why.
type Fault = (usize, Reason);

impl Model {
    /// Does what a commit group does, in its order.
    pub(super) fn commit(
        &mut self,
        now: Millis,
        expire_max: usize,
        requests: &[&Request],
    ) -> Vec<Vec<Verdict>> {
        self.expire(now, expire_max);
        let judge = |request: &&Request| {
            let units = split(&request.items, request.atomic).into_iter();
            units.flat_map(|items| self.unit(now, items)).collect()
        };
        requests.iter().map(judge).collect()
    }

    fn expire(&mut self, now: Millis, expire_max: usize) {
        let open = |id: &EntryId| self.holds[id].state == HoldState::Open;
        let mut due: Vec<(Millis, EntryId)> = (self.holds.keys())
            .filter(|id| open(id))
            .filter_map(|id| Some((self.by_id(*id)?.entry.expires_at?, *id)))
            .filter(|(at, _)| *at <= now)
            .collect();
        due.sort();
        for (at, id) in due.into_iter().take(expire_max) {
            let hold = self.by_id(id).unwrap().entry.clone();
            let held = self.holds.get_mut(&id).unwrap();
            let left = std::mem::take(&mut held.left);
            held.state = HoldState::Expired;
            let balance = self.balances.get_mut(&(hold.account.clone(), hold.asset.clone()));
            let balance = balance.unwrap();
            balance.held -= left;
            balance.free += left;
            let ledger = KeyName::new("ledger").unwrap();
            self.push(
                false,
                Entry {
                    id: derived_id(id),
                    ts: at,
                    kind: Kind::Expire,
                    amount: Amount::new(left).unwrap(),
                    nonce: *id.as_bytes(),
                    kid: ledger.clone(),
                    capability: ledger,
                    counterparty: None,
                    reference: Some(id),
                    expires_at: None,
                    keep_open: false,
                    idem_id: None,
                    ..hold
                },
            );
        }
    }

    fn push(&mut self, linked: bool, entry: Entry) {
        let seq = self.log.len() as Seq + 1;
        self.log.push(Rc::new(Sequenced { seq, linked, entry }));
    }

    fn by_id(&self, id: EntryId) -> Option<&Rc<Sequenced>> {
        self.log.iter().find(|known| known.entry.id == id)
    }

    /// The ledger's own entries have no tuple.
    fn by_tuple(&self, entry: &Entry) -> Option<&Rc<Sequenced>> {
        let clients = self.log.iter().filter(|known| known.entry.kind != Kind::Expire);
        clients.into_iter().find(|known| tuple(&known.entry) == tuple(entry))
    }

    fn unit(&mut self, now: Millis, items: &[Item]) -> Vec<Verdict> {
        let mut after = self.clone();
        match after.try_unit(now, items) {
            Ok(verdicts) => {
                *self = after;
                verdicts
            }
            Err((at, reason)) => (0..items.len())
                .map(|item| if item == at { reason } else { Reason::AtomicAborted })
                .map(Verdict::Rejected)
                .collect(),
        }
    }

    fn try_unit(&mut self, now: Millis, items: &[Item]) -> Result<Vec<Verdict>, Fault> {
        let postings = postings(items)?;
        if let Some(seqs) = self.seen(items)? {
            return Ok(seqs.into_iter().map(Verdict::Replayed).collect());
        }
        let first = self.log.len() as Seq + 1;
        let mut unit = Unit { first, now, flows: BTreeMap::new(), supply: BTreeMap::new() };
        for (at, item) in items.iter().enumerate() {
            self.effect(&mut unit, at, item).map_err(|reason| (at, reason))?;
            self.push(at + 1 < items.len(), item.entry.clone());
        }
        for (from, to) in postings {
            let legs: BTreeSet<Seq> = (from..to).map(|leg| first + leg as Seq).collect();
            self.postings.extend(legs.iter().map(|leg| (*leg, legs.clone())));
        }
        self.whole_postings(first)?;
        self.settle(unit)?;
        Ok((first..).take(items.len()).map(Verdict::Committed).collect())
    }

    /// The seqs of all items, or nothing when all are new.
    fn seen(&self, items: &[Item]) -> Result<Option<Vec<Seq>>, Fault> {
        let mut known = Vec::new();
        let mut new: Vec<(usize, &Entry)> = Vec::new();
        for (at, Item { entry, .. }) in items.iter().enumerate() {
            match self.by_id(entry.id).or_else(|| self.by_tuple(entry)) {
                Some(old) if content(&old.entry) == content(entry) => known.push(old.seq),
                Some(_) => return Err((at, Reason::Conflict)),
                None if new.iter().any(|(_, e)| e.id == entry.id || tuple(e) == tuple(entry)) => {
                    return Err((at, Reason::Conflict));
                }
                None => new.push((at, entry)),
            }
        }
        match (new.first(), known.is_empty()) {
            (None, _) => Ok(Some(known)),
            (Some(_), true) => Ok(None),
            (Some((at, _)), false) => Err((*at, Reason::Conflict)),
        }
    }

    fn effect(&mut self, unit: &mut Unit, at: usize, item: &Item) -> Result<(), Reason> {
        let (entry, amount) = (&item.entry, item.entry.amount.get());
        match entry.kind {
            Kind::Hold => {
                if entry.expires_at.is_some_and(|time| time <= unit.now) {
                    return Err(Reason::HoldExpired);
                }
                let held = Held { left: amount, paid: 0, state: HoldState::Open };
                self.holds.insert(entry.id, held);
                unit.set_aside(at, entry, amount);
            }
            Kind::Capture | Kind::Release => {
                self.resolve(unit.now, entry)?;
                let held = self.holds.get_mut(&entry.reference.unwrap()).unwrap();
                held.left = held.left.checked_sub(amount).ok_or(Reason::InsufficientFunds)?;
                let capture = entry.kind == Kind::Capture;
                if capture {
                    held.paid += amount;
                    unit.pay(at, entry, amount);
                } else {
                    unit.set_free(at, entry, amount);
                }
                if capture && !entry.keep_open {
                    unit.set_free(at, entry, std::mem::take(&mut held.left));
                }
                if held.left == 0 {
                    held.state = if capture { HoldState::Captured } else { HoldState::Released };
                }
            }
            Kind::Reverse => {
                let original = self.reversible(unit.first, item)?;
                self.reversed.insert(original.seq, unit.first + at as Seq);
                unit.moves(at, &original.entry, true);
            }
            _ => unit.moves(at, entry, false),
        }
        Ok(())
    }

    /// Whether the hold that the entry names may be acted on: of all faults, the first by rank.
    fn resolve(&self, now: Millis, entry: &Entry) -> Result<(), Reason> {
        let named = self.by_id(entry.reference.unwrap()).ok_or(Reason::NotFound)?;
        let held = self.holds.get(&named.entry.id).ok_or(Reason::Conflict)?;
        let capture = entry.kind == Kind::Capture;
        let binding = named.entry.counterparty.is_some();
        let timely = held.state == HoldState::Open
            && named.entry.expires_at.is_none_or(|expires_at| expires_at > now);
        let ended = matches!(held.state, HoldState::Captured | HoldState::Released);
        let late = capture && !timely && !ended;
        first_of([
            (named.entry.account != entry.account, Reason::Conflict),
            (named.entry.asset != entry.asset, Reason::Conflict),
            (
                capture && binding && named.entry.counterparty != entry.counterparty,
                Reason::Conflict,
            ),
            (late, Reason::HoldExpired),
            (held.state != HoldState::Open && !late, Reason::AlreadyResolved),
        ])
    }

    /// The entry that is undone, which an earlier unit must have made.
    fn reversible(&self, first: Seq, item: &Item) -> Result<Rc<Sequenced>, Reason> {
        let entry = &item.entry;
        let named = self.by_id(entry.reference.unwrap()).filter(|known| known.seq < first);
        let named = named.ok_or(Reason::NotFound)?;
        let kind = named.entry.kind;
        let never = [Kind::Hold, Kind::Release, Kind::Expire, Kind::Reverse];
        first_of([
            (kind == Kind::Mint && !item.grants.reverse_mint, Reason::CapInvalid),
            (kind == Kind::Burn && !item.grants.reverse_burn, Reason::CapInvalid),
            (named.entry.account != entry.account, Reason::Conflict),
            (named.entry.asset != entry.asset, Reason::Conflict),
            (named.entry.amount != entry.amount, Reason::Conflict),
            (self.reversed.contains_key(&named.seq), Reason::AlreadyResolved),
            (never.contains(&kind), Reason::NotReversible),
        ])?;
        Ok(named.clone())
    }

    /// Who reverses a leg reverses the whole posting.
    fn whole_postings(&self, first: Seq) -> Result<(), Fault> {
        let now = |leg: &Seq| self.reversed.get(leg).filter(|by| **by >= first);
        let torn = |leg: &&Seq| self.postings[*leg].iter().any(|mate| now(mate).is_none());
        let legs = self.postings.keys().filter(|leg| now(leg).is_some());
        match legs.filter(torn).filter_map(now).min() {
            Some(by) => Err(((by - first) as usize, Reason::NotReversible)),
            None => Ok(()),
        }
    }

    /// Adds up what the unit moves. The earliest faulty item is told, and of its faults the first.
    fn settle(&mut self, unit: Unit) -> Result<(), Fault> {
        let mut faults = BTreeSet::new();
        for (key, flow) in unit.flows {
            let balance = self.balances.entry(key).or_default();
            let touched = *flow.touched.first().unwrap();
            let ends = [
                flow.free.onto(&mut balance.free),
                flow.held.onto(&mut balance.held),
                flow.total.onto_totals(&mut balance.came, &mut balance.went),
            ];
            if ends.contains(&Err(Reason::Overflow)) {
                faults.insert((touched, Reason::Overflow));
            }
            if ends.contains(&Err(Reason::InsufficientFunds)) {
                faults.insert((*flow.taken_from.first().unwrap(), Reason::InsufficientFunds));
            }
        }
        for (asset, (minted, burned, at)) in unit.supply {
            let supply = self.supply.entry(asset).or_default();
            if minted.onto(&mut supply.0).and(burned.onto(&mut supply.1)).is_err() {
                faults.insert((at, Reason::Overflow));
            }
        }
        faults.first().map_or(Ok(()), |fault| Err(*fault))
    }
}

/// The reason that stands first among those that apply.
fn first_of<const N: usize>(faults: [(bool, Reason); N]) -> Result<(), Reason> {
    let applying = faults.into_iter().filter_map(|(applies, reason)| applies.then_some(reason));
    applying.min().map_or(Ok(()), Err)
}

fn tuple(entry: &Entry) -> (&AccountId, Amount, [u8; 16], Option<&IdemId>) {
    (&entry.account, entry.amount, entry.nonce, entry.idem_id.as_ref())
}

/// All that must be the same for a retry to be one: not ts, capability, KID.
fn content(entry: &Entry) -> impl PartialEq + '_ {
    let act = (entry.kind, &entry.asset, entry.keep_open, entry.expires_at);
    (act, tuple(entry), &entry.counterparty, entry.reference)
}

/// A version-8 UUID out of the hold's id.
fn derived_id(hold: EntryId) -> EntryId {
    let digest = Sha256::digest([b"ron-ledger v1 expire", hold.as_bytes().as_slice()].concat());
    let mut number = u128::from_be_bytes(digest[..16].try_into().unwrap());
    number &= !(0xf << 76 | 0x3 << 62);
    number |= 0x8 << 76 | 0x2 << 62;
    EntryId::from_bytes(number.to_be_bytes())
}
