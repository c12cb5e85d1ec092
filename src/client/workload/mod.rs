//! A reproducible workload: units of entries of every kind, most of which a ledger that starts empty
//! accepts when it gets them in order, and a given share that it must refuse.
//!
//! [`Workload`] is an iterator over [`Unit`]s. The same [`Spec`] gives the same units, byte for
//! byte, on every machine and in every release: chance, ids, nonces and clocks come from the seed.

use std::sync::Arc;

use crate::ledger::entry::{Amount, Entry, EntryId, Kind, Millis};
use crate::ledger::names::{AccountId, KeyName};

mod faulty;
mod model;
mod random;
mod spec;
mod valid;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use random::Random as SeededRandom;
pub use spec::{ACCOUNTS_MAX, ASSETS_MAX, Ids, Mix, Scenario, Spec, SpecError};

use model::{Held, Model, Moves, Place, Undoable};
use random::{Random, Weighted};

/// The client's clock of the first entry: 2025-01-01T00:00:00Z. Each entry is a millisecond later.
pub const FIRST_TS: Millis = 1_735_689_600_000;

/// When holds end that end by themselves: 2100-01-01T00:00:00Z.
pub const EXPIRES_AT: Millis = 4_102_444_800_000;

/// How many entries have the same time in ids of version 7: as of a client with a hundred thousand
/// a second.
const IDS_A_MS: u64 = 100;

/// The most entries of one unit.
pub const UNIT_ENTRIES_MAX: usize = 4;

/// Entries that stand or fall together, or a single one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// In order; at least one. Their key is unverified: that is the ledger's to find.
    pub entries: Vec<Entry>,
    /// Must be sent as an atomic request of its own.
    pub atomic: bool,
    /// Meant to be accepted, as new or as a replay.
    pub valid: bool,
}

impl Unit {
    fn of(entries: Vec<Entry>) -> Self {
        Unit { entries, atomic: false, valid: true }
    }
}

/// Generates the units of a [`Spec`].
#[derive(Debug)]
pub struct Workload {
    spec: Spec,
    random: Random,
    accounts: Arc<Weighted>,
    scenarios: Weighted,
    /// Of 2^32.
    faulty_share: u64,
    model: Model,
    entries_left: usize,
    next_ts: Millis,
}

impl Workload {
    /// Starts at the first unit.
    ///
    /// # Errors
    /// [`SpecError`] for a spec out of its bounds.
    pub fn new(spec: Spec) -> Result<Self, SpecError> {
        spec.check()?;
        let accounts = Weighted::zipf(spec.accounts, spec.zipf).ok_or(SpecError::Zipf)?;
        Self::with(spec, Arc::new(accounts))
    }

    /// So many of the same spec, each with a seed of its own, counted up from that of the spec: what
    /// one sends never refers to what another one sends. They share the weights of the accounts.
    ///
    /// # Errors
    /// As [`Workload::new`].
    pub fn several(spec: &Spec, count: usize) -> Result<Vec<Self>, SpecError> {
        spec.check()?;
        let accounts = Weighted::zipf(spec.accounts, spec.zipf).ok_or(SpecError::Zipf)?;
        let accounts = Arc::new(accounts);
        let of = |at| {
            let seed = spec.seed.wrapping_add(at as u64);
            Self::with(Spec { seed, ..spec.clone() }, Arc::clone(&accounts))
        };
        (0..count).map(of).collect()
    }

    fn with(spec: Spec, accounts: Arc<Weighted>) -> Result<Self, SpecError> {
        let weights = spec.mix.weights.iter().map(|&weight| u64::from(weight));
        Ok(Workload {
            random: Random::new(spec.seed),
            accounts,
            scenarios: Weighted::new(weights).ok_or(SpecError::Mix)?,
            faulty_share: (spec.invalid_share * (1u64 << 32) as f64) as u64,
            model: Model::new(),
            entries_left: spec.entries,
            next_ts: FIRST_TS,
            spec,
        })
    }

    /// The name of an account by its rank: 0 is the busiest.
    pub fn account_name(rank: u32) -> AccountId {
        AccountId::new(format!("acct:{rank:06}")).expect("letters, digits and a colon")
    }

    fn account(&mut self) -> u32 {
        self.accounts.pick(&mut self.random) as u32
    }

    /// An account other than `account`.
    fn other_than(&mut self, account: u32) -> u32 {
        let other = self.account();
        if other == account { (account + 1) % self.spec.accounts } else { other }
    }

    fn asset(&mut self) -> u8 {
        let others = self.spec.assets.len() as u64 - 1;
        match others == 0 || self.random.chance(7, 10) {
            true => 0,
            false => 1 + self.random.below(others) as u8,
        }
    }

    fn id(&mut self, nth: u64) -> EntryId {
        match self.spec.ids {
            Ids::V4 => self.random.entry_id(),
            Ids::V7 => random::timed_id(FIRST_TS + nth / IDS_A_MS, self.random.bytes()),
            Ids::Ordered => {
                let mut bytes = Random::new(self.spec.seed).bytes();
                bytes[6..8].copy_from_slice(&((nth & 0xfff) as u16).to_be_bytes());
                random::timed_id(FIRST_TS + (nth >> 12), bytes)
            }
        }
    }

    fn entry(&mut self, kind: Kind, (account, asset): Place, amount: u64) -> Entry {
        let ts = self.next_ts;
        self.next_ts += 1;
        Entry {
            id: self.id(ts - FIRST_TS),
            ts,
            kind,
            account: Self::account_name(account),
            asset: self.spec.assets[usize::from(asset)].clone(),
            amount: Amount::new(amount.into()).expect("no scenario is about nothing"),
            nonce: self.random.bytes(),
            kid: KeyName::unverified(),
            capability: self.spec.capability.clone(),
            counterparty: None,
            reference: None,
            expires_at: None,
            keep_open: false,
            idem_id: None,
        }
    }
}

impl Iterator for Workload {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        if self.entries_left == 0 {
            return None;
        }
        // The last few entries are single ones, so that the count comes out.
        let unit = if self.entries_left < UNIT_ENTRIES_MAX {
            self.transfer()
        } else if self.random.chance(self.faulty_share, 1 << 32) {
            self.faulty()
        } else {
            self.valid()
        };
        self.entries_left -= unit.entries.len();
        Some(unit)
    }
}
