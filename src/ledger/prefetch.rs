//! Reads everything that a plan may ask for, in two rounds: what the entries name, then what that
//! leads to. All reads of a group happen here, so that `plan` itself can be pure.

use super::entry::{Entry, EntryId, Kind, Millis, Seq};
use super::idempotency::IdemDigest;
use super::names::{AccountId, AccountKey, Asset};
use super::plan::Group;
use super::state::{Account, Facts, Hold, IdRecord, Named, Supply, changes_supply};
use super::table::{Slot, Table};

/// Where facts come from. Each answer has one element for each question, in the same order, and
/// speaks of the state right after the last entry.
pub trait Source {
    /// What can go wrong while reading.
    type Error;
    /// What the ids stand for.
    fn ids(&self, ids: &[EntryId]) -> Result<Vec<Option<IdRecord>>, Self::Error>;
    /// The entries that took effect under these tuples.
    fn idem(&self, digests: &[IdemDigest]) -> Result<Vec<Option<Seq>>, Self::Error>;
    /// The holds of these ids.
    fn holds(&self, ids: &[EntryId]) -> Result<Vec<Option<Hold>>, Self::Error>;
    /// The entries at these seqs, each of which exists.
    fn entries(&self, seqs: &[Seq]) -> Result<Vec<Entry>, Self::Error>;
    /// The accounts; one that no entry has touched yet is all zero.
    fn accounts(&self, keys: &[AccountKey]) -> Result<Vec<Account>, Self::Error>;
    /// The supplies; one of an asset that was never minted is all zero.
    fn supply(&self, assets: &[Asset]) -> Result<Vec<Supply>, Self::Error>;
    /// The open holds with `expires_at <= now`, in the order of (expires_at, id), at most `max`.
    fn due(&self, now: Millis, max: usize) -> Result<Vec<EntryId>, Self::Error>;
}

/// Reads the facts for a group.
///
/// # Errors
/// The first error of the source.
pub fn prefetch<S: Source>(source: &S, group: &Group<'_>) -> Result<Facts, S::Error> {
    let mut facts = named_by(group);
    facts.due = source.due(group.now, group.expire_max)?;
    for id in &facts.due {
        facts.holds.slot_or(*id, || None);
    }
    facts.holds.fill(source.holds(facts.holds.keys())?);
    facts.ids.fill(records(source, &facts)?);
    facts.idem.fill(source.idem(facts.idem.keys())?);

    let seqs = leads_to(group, &facts);
    let found = source.entries(&seqs)?;
    assert_eq!(seqs.len(), found.len(), "a source answers each question once");
    for entry in &found {
        touched_by(entry, &mut facts.accounts, &mut facts.supply);
    }
    facts.entries = seqs.into_iter().zip(found).collect();
    for hold in facts.holds.values().iter().flatten() {
        facts.accounts.slot_or(AccountKey::new(&hold.account, &hold.asset), Account::default);
    }
    facts.accounts.fill(source.accounts(facts.accounts.keys())?);
    facts.supply.fill(source.supply(facts.supply.keys())?);
    Ok(facts)
}

/// What the ids stand for. What a hold says need not be asked: so each Capture and Release asks once less.
fn records<S: Source>(source: &S, facts: &Facts) -> Result<Vec<Option<IdRecord>>, S::Error> {
    let mut records = vec![None; facts.ids.len()];
    for (id, hold) in facts.holds.iter().filter_map(|(id, hold)| Some((id, hold.as_ref()?))) {
        if let Some(slot) = facts.ids.slot(id) {
            records[slot.index()] = Some(hold.record());
        }
    }
    let open: Vec<usize> = (0..records.len()).filter(|&at| records[at].is_none()).collect();
    let asked: Vec<EntryId> = open.iter().map(|&at| facts.ids.keys()[at]).collect();
    let found = source.ids(&asked)?;
    assert_eq!(open.len(), found.len(), "a source answers each question once");
    open.into_iter().zip(found).for_each(|(at, record)| records[at] = record);
    Ok(records)
}

/// Facts that name what the entries name, and know nothing of it.
fn named_by(group: &Group<'_>) -> Facts {
    let entries = group.requests.iter().map(|request| request.items.len()).sum();
    let mut facts = Facts { named: Vec::with_capacity(entries), ..Facts::default() };
    facts.ids.reserve(entries + entries / 4);
    facts.idem.reserve(entries);
    facts.accounts.reserve(entries);
    for item in group.requests.iter().flat_map(|request| &request.items) {
        let entry = &item.entry;
        let (account, counterparty) = touched_by(entry, &mut facts.accounts, &mut facts.supply);
        facts.named.push(Named {
            id: facts.ids.slot_or(entry.id, || None),
            reference: entry.reference.map(|id| facts.ids.slot_or(id, || None)),
            tuple: facts.idem.slot_or(item.digest, || None),
            account,
            counterparty,
        });
        if matches!(entry.kind, Kind::Capture | Kind::Release) {
            entry.reference.into_iter().for_each(|id| _ = facts.holds.slot_or(id, || None));
        }
    }
    facts
}

fn touched_by(
    entry: &Entry,
    accounts: &mut Table<AccountKey, Account>,
    supply: &mut Table<Asset, Supply>,
) -> (Slot, Option<Slot>) {
    let mut slot = |account: &AccountId| {
        accounts.slot_or(AccountKey::new(account, &entry.asset), Account::default)
    };
    let (account, other) = (slot(&entry.account), entry.counterparty.as_ref().map(slot));
    if changes_supply(entry.kind) && supply.get(&entry.asset).is_none() {
        supply.insert(entry.asset.clone(), Supply::default());
    }
    (account, other)
}

/// The seqs that a known id or tuple of a client's entry, or the reference of a Reverse, leads to; each
/// once, in ascending order.
fn leads_to(group: &Group<'_>, facts: &Facts) -> Vec<Seq> {
    let seq_of = |slot: Slot| facts.ids[slot].map(|record| record.seq);
    let mut seqs = Vec::new();
    let items = group.requests.iter().flat_map(|request| &request.items);
    for (item, named) in items.zip(&facts.named) {
        seqs.extend(seq_of(named.id));
        seqs.extend(facts.idem[named.tuple]);
        if item.entry.kind == Kind::Reverse {
            seqs.extend(named.reference.and_then(seq_of));
        }
    }
    seqs.sort_unstable();
    seqs.dedup();
    seqs
}
