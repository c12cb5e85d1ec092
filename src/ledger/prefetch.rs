//! Reads everything that a plan may ask for, in two rounds: what the entries name, then what that
//! leads to. All reads of a group happen here, so that `plan` itself can be pure.

use super::entry::{Entry, EntryId, Kind, Millis, Seq};
use super::idempotency::IdemDigest;
use super::names::{AccountKey, Asset};
use super::plan::Group;
use super::state::{Account, Facts, Hold, IdRecord, Supply, changes_supply};

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
    let mut facts = Facts { due: source.due(group.now, group.expire_max)?, ..Facts::default() };
    let named = Named::of(group, &facts.due);
    let found = source.ids(&named.ids)?;
    facts.ids = pairs(named.ids, found);
    let found = source.idem(&named.idem)?;
    facts.idem = pairs(named.idem, found);
    let found = source.holds(&named.holds)?;
    facts.holds = pairs(named.holds, found);

    let seqs = leads_to(group, &facts);
    let found = source.entries(&seqs)?;
    facts.entries = pairs(seqs, found);

    let (mut keys, mut assets) = (named.accounts, named.assets);
    for entry in facts.entries.values() {
        touched_by(entry, &mut keys, &mut assets);
    }
    let held = facts.holds.values().flatten();
    keys.extend(held.map(|hold| AccountKey::new(&hold.account, &hold.asset)));
    once_each(&mut keys);
    once_each(&mut assets);
    let found = source.accounts(&keys)?;
    facts.accounts = pairs(keys, found);
    let found = source.supply(&assets)?;
    facts.supply = pairs(assets, found);
    Ok(facts)
}

#[derive(Default)]
struct Named {
    ids: Vec<EntryId>,
    idem: Vec<IdemDigest>,
    holds: Vec<EntryId>,
    accounts: Vec<AccountKey>,
    assets: Vec<Asset>,
}

impl Named {
    fn of(group: &Group<'_>, due: &[EntryId]) -> Self {
        let mut named = Named { holds: due.to_vec(), ..Named::default() };
        for item in group.requests.iter().flat_map(|request| &request.items) {
            let entry = &item.entry;
            named.ids.push(entry.id);
            named.ids.extend(entry.reference);
            named.idem.push(item.digest);
            if matches!(entry.kind, Kind::Capture | Kind::Release) {
                named.holds.extend(entry.reference);
            }
            touched_by(entry, &mut named.accounts, &mut named.assets);
        }
        once_each_by(&mut named.ids, |id| u128::from_be_bytes(*id.as_bytes()));
        once_each_by(&mut named.idem, |digest| u128::from_be_bytes(digest.0));
        once_each_by(&mut named.holds, |id| u128::from_be_bytes(*id.as_bytes()));
        named
    }
}

fn touched_by(entry: &Entry, keys: &mut Vec<AccountKey>, assets: &mut Vec<Asset>) {
    keys.push(AccountKey::new(&entry.account, &entry.asset));
    keys.extend(entry.counterparty.iter().map(|other| AccountKey::new(other, &entry.asset)));
    if changes_supply(entry.kind) {
        assets.push(entry.asset.clone());
    }
}

/// The seqs that a known id or tuple of a client's entry, or the reference of a Reverse, leads to.
fn leads_to(group: &Group<'_>, facts: &Facts) -> Vec<Seq> {
    let seq_of = |id: &EntryId| facts.ids.get(id).copied().flatten().map(|record| record.seq);
    let mut seqs = Vec::new();
    for item in group.requests.iter().flat_map(|request| &request.items) {
        seqs.extend(seq_of(&item.entry.id));
        seqs.extend(facts.idem.get(&item.digest).copied().flatten());
        if item.entry.kind == Kind::Reverse {
            seqs.extend(item.entry.reference.as_ref().and_then(seq_of));
        }
    }
    once_each(&mut seqs);
    seqs
}

fn once_each<T: Ord>(items: &mut Vec<T>) {
    items.sort_unstable();
    items.dedup();
}

/// In the order of the bytes, which a number of as many has too and compares faster.
fn once_each_by<T: Eq>(items: &mut Vec<T>, number: impl Fn(&T) -> u128) {
    items.sort_unstable_by_key(number);
    items.dedup();
}

fn pairs<K: Eq + std::hash::Hash, V>(keys: Vec<K>, values: Vec<V>) -> super::state::Map<K, V> {
    assert_eq!(keys.len(), values.len(), "a source answers each question once");
    keys.into_iter().zip(values).collect()
}
