//! What the tests of the domain build entries and keep state with.

use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::entry::{Amount, Entry, EntryId, Kind, Millis, Seq, Sequenced};
use super::idempotency::IdemDigest;
use super::names::{AccountId, AccountKey, Asset, IdemId, KeyName};
use super::plan::{Group, Outcome, Plan, plan};
use super::prefetch::{Source, prefetch};
use super::request::{Grants, Item, Request};
use super::state::{Account, Hold, HoldState, IdRecord, State, Supply};

/// An entry of `kind` with an id and a nonce that no other entry of this process has.
pub(crate) fn entry(kind: Kind, account: &str, amount: u128) -> Entry {
    entry_of(kind, account, amount, "RON")
}

pub(crate) fn entry_of(kind: Kind, account: &str, amount: u128, asset: &str) -> Entry {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut unique = [0; 16];
    unique[8..].copy_from_slice(&number.to_be_bytes());
    Entry {
        id: EntryId::from_bytes(unique),
        ts: 1_700_000_000_000 + number,
        kind,
        account: AccountId::new(account).unwrap(),
        asset: Asset::new(asset).unwrap(),
        amount: Amount::new(amount).unwrap(),
        nonce: unique,
        kid: KeyName::new("root-1").unwrap(),
        capability: KeyName::new("cap-1").unwrap(),
        counterparty: None,
        reference: None,
        expires_at: None,
        keep_open: false,
        idem_id: None,
    }
}

/// An entry with every field at its limit. Its kind is the one that takes the most fields; the
/// field rules are not asked.
pub(crate) fn full_entry() -> Entry {
    Entry {
        account: AccountId::new("a".repeat(AccountId::MAX_BYTES)).unwrap(),
        asset: Asset::new("A".repeat(Asset::MAX_BYTES)).unwrap(),
        kid: KeyName::new("k".repeat(KeyName::MAX_BYTES)).unwrap(),
        capability: KeyName::new("c".repeat(KeyName::MAX_BYTES)).unwrap(),
        counterparty: Some(AccountId::new("b".repeat(AccountId::MAX_BYTES)).unwrap()),
        reference: Some(EntryId::from_bytes([1; 16])),
        expires_at: Some(u64::MAX),
        keep_open: true,
        idem_id: Some(IdemId::new("i".repeat(IdemId::MAX_BYTES)).unwrap()),
        ..entry(Kind::Capture, "a", u128::MAX)
    }
}

pub(crate) fn item(entry: Entry) -> Item {
    Item::new(entry, Grants::ALL)
}

pub(crate) fn request(entries: impl IntoIterator<Item = Entry>) -> Request {
    Request { items: entries.into_iter().map(item).collect(), atomic: false }
}

pub(crate) fn atomic(entries: impl IntoIterator<Item = Entry>) -> Request {
    Request { atomic: true, ..request(entries) }
}

/// Any entry whose fields fit its kind.
pub(crate) fn any_sequenced() -> impl Strategy<Value = Sequenced> {
    let name = "[A-Za-z0-9._:@/-]{1,128}";
    let names = (name, name, "[A-Z0-9._-]{1,16}", "[a-z0-9._-]{1,64}", "[A-Za-z0-9:]{1,64}");
    let numbers = (any::<[u8; 16]>(), any::<u64>(), 1..u128::MAX, any::<[u8; 16]>(), 1..u64::MAX);
    let options = (any::<bool>(), any::<bool>(), any::<bool>(), 0..Kind::ALL.len());
    (names, numbers, options).prop_map(|(names, numbers, (linked, some, keep, kind))| {
        let kind = Kind::ALL[kind];
        let takes = |kinds: &[Kind]| kinds.contains(&kind);
        let other = AccountId::new(format!("{}!", names.1).replace('!', "")).unwrap();
        let other =
            if other.as_str() == names.0 { AccountId::new("other").unwrap() } else { other };
        let counterparty = takes(&[Kind::Transfer, Kind::Capture]) || takes(&[Kind::Hold]) && some;
        let entry = Entry {
            id: EntryId::from_bytes(numbers.0),
            ts: numbers.1,
            kind,
            account: AccountId::new(names.0).unwrap(),
            asset: Asset::new(names.2).unwrap(),
            amount: Amount::new(numbers.2).unwrap(),
            nonce: numbers.3,
            kid: KeyName::new(names.3.clone()).unwrap(),
            capability: KeyName::new(names.3).unwrap(),
            counterparty: counterparty.then_some(other),
            reference: takes(&[Kind::Capture, Kind::Release, Kind::Reverse, Kind::Expire])
                .then_some(EntryId::from_bytes(numbers.3)),
            expires_at: (takes(&[Kind::Hold]) && some).then_some(numbers.4),
            keep_open: takes(&[Kind::Capture]) && keep,
            idem_id: some.then(|| IdemId::new(names.4).unwrap()),
        };
        Sequenced { seq: numbers.4, linked, entry }
    })
}

/// A whole ledger in memory: what the store is for the daemon.
#[derive(Clone, Default)]
pub(crate) struct Book {
    pub(crate) state: State,
    pub(crate) log: Vec<Sequenced>,
    pub(crate) now: Millis,
    pub(crate) expire_max: usize,
}

impl Book {
    pub(crate) fn new() -> Self {
        Book { now: 1_000, expire_max: 100, ..Book::default() }
    }

    pub(crate) fn head(&self) -> Seq {
        self.log.len() as Seq
    }

    /// Prefetches, plans and applies one group.
    pub(crate) fn commit(&mut self, requests: &[&Request]) -> Plan {
        let group = Group { requests, now: self.now, expire_max: self.expire_max };
        let facts = prefetch(self, &group).unwrap_or_else(|never| match never {});
        let done = plan(self.head(), facts, &group);
        for (seq, linked, entry) in done.entries(requests) {
            assert_eq!(seq, self.head() + 1, "seqs have no gap");
            self.log.push(Sequenced { seq, linked, entry: entry.clone() });
        }
        self.state.merge(done.delta.clone());
        done
    }

    /// Commits one request alone and gives what became of its entries.
    pub(crate) fn ingest(&mut self, request: Request) -> Vec<Outcome> {
        self.commit(&[&request]).outcomes.remove(0)
    }

    pub(crate) fn account(&self, account: &str, asset: &str) -> Account {
        let key = AccountKey::new(&AccountId::new(account).unwrap(), &Asset::new(asset).unwrap());
        self.state.accounts.get(&key).copied().unwrap_or_default()
    }

    pub(crate) fn available(&self, account: &str) -> u128 {
        self.account(account, "RON").available
    }

    pub(crate) fn held(&self, account: &str) -> u128 {
        self.account(account, "RON").held
    }

    /// The invariants that hold after every group. That nothing falls below zero is in the types,
    /// and in that each subtraction here succeeds.
    pub(crate) fn check(&self) {
        let mut sums: BTreeMap<Asset, u128> = BTreeMap::new();
        let mut held: BTreeMap<AccountKey, u128> = BTreeMap::new();
        for (id, hold) in &self.state.holds {
            assert_eq!(hold.state == HoldState::Open, hold.remaining > 0, "{id} is open or empty");
            assert!(hold.captured + hold.remaining <= hold.amount, "{id} pays what it holds");
            *held.entry(AccountKey::new(&hold.account, &hold.asset)).or_default() += hold.remaining;
        }
        for (key, account) in &self.state.accounts {
            let total = account.available + account.held;
            assert_eq!(total, account.credits - account.debits, "{key:?}");
            assert_eq!(account.held, held.remove(key).unwrap_or(0), "{key:?}");
            assert!((1..=self.head()).contains(&account.last_seq), "{key:?}");
            *sums.entry(key.names().unwrap().1).or_default() += total;
        }
        assert!(held.is_empty(), "a hold of no account: {held:?}");
        for (asset, supply) in &self.state.supply {
            let sum = sums.remove(asset).unwrap_or(0);
            assert_eq!(sum, supply.circulating(), "{asset} is conserved");
        }
        assert!(sums.values().all(|sum| *sum == 0), "never minted: {sums:?}");
        self.check_log();
    }

    /// Each entry of the log has its id and, but for the ledger's own, its tuple to itself.
    fn check_log(&self) {
        let clients = self.log.iter().filter(|entry| entry.entry.kind != Kind::Expire);
        assert_eq!(self.state.ids.len(), self.log.len());
        assert_eq!(self.state.idem.len(), clients.clone().count());
        for (id, hold) in &self.state.holds {
            assert_eq!(self.state.ids.get(id), Some(&hold.record()), "a hold tells its record");
        }
        for (at, known) in self.log.iter().enumerate() {
            assert_eq!(known.seq, at as Seq + 1, "seqs have no gap");
            assert_eq!(self.state.ids.get(&known.entry.id).unwrap().seq, known.seq);
        }
        for known in clients {
            assert_eq!(self.state.idem.get(&IdemDigest::of(&known.entry)), Some(&known.seq));
        }
    }
}

impl Source for Book {
    type Error = Infallible;

    fn ids(&self, ids: &[EntryId]) -> Result<Vec<Option<IdRecord>>, Infallible> {
        Ok(ids.iter().map(|id| self.state.ids.get(id).copied()).collect())
    }

    fn idem(&self, digests: &[IdemDigest]) -> Result<Vec<Option<Seq>>, Infallible> {
        Ok(digests.iter().map(|digest| self.state.idem.get(digest).copied()).collect())
    }

    fn holds(&self, ids: &[EntryId]) -> Result<Vec<Option<Hold>>, Infallible> {
        Ok(ids.iter().map(|id| self.state.holds.get(id).cloned()).collect())
    }

    fn entries(&self, seqs: &[Seq]) -> Result<Vec<Entry>, Infallible> {
        Ok(seqs.iter().map(|seq| self.log[*seq as usize - 1].entry.clone()).collect())
    }

    fn accounts(&self, keys: &[AccountKey]) -> Result<Vec<Account>, Infallible> {
        Ok(keys
            .iter()
            .map(|key| self.state.accounts.get(key).copied().unwrap_or_default())
            .collect())
    }

    fn supply(&self, assets: &[Asset]) -> Result<Vec<Supply>, Infallible> {
        Ok(assets
            .iter()
            .map(|asset| self.state.supply.get(asset).copied().unwrap_or_default())
            .collect())
    }

    fn due(&self, now: Millis, max: usize) -> Result<Vec<EntryId>, Infallible> {
        let mut due: Vec<_> = (self.state.holds.iter())
            .filter(|(_, hold)| hold.is_due(now))
            .filter_map(|(id, hold)| hold.due(*id))
            .collect();
        due.sort_unstable();
        Ok(due.into_iter().map(|(_, id)| id).take(max).collect())
    }
}
