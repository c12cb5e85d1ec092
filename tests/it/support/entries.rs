//! Entries for tests: each with an id and a nonce of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use ron_ledger::ledger::entry::{Amount, Entry, EntryId, Kind};
use ron_ledger::ledger::names::{AccountId, Asset, KeyName};

use super::keys::CAPABILITY;

/// An entry of `kind` that no other test of this process has.
pub fn entry(kind: Kind, account: &str, amount: u128) -> Entry {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut unique = [0; 16];
    unique[8..].copy_from_slice(&number.to_be_bytes());
    Entry {
        id: EntryId::from_bytes(unique),
        ts: 1_700_000_000_000 + number,
        kind,
        account: AccountId::new(account).unwrap(),
        asset: Asset::new("RON").unwrap(),
        amount: Amount::new(amount).unwrap(),
        nonce: unique,
        kid: KeyName::new("unverified").unwrap(),
        capability: KeyName::new(CAPABILITY).unwrap(),
        counterparty: None,
        reference: None,
        expires_at: None,
        keep_open: false,
        idem_id: None,
    }
}

pub fn mint(account: &str, amount: u128) -> Entry {
    entry(Kind::Mint, account, amount)
}

pub fn transfer(from: &str, to: &str, amount: u128) -> Entry {
    let counterparty = Some(AccountId::new(to).unwrap());
    Entry { counterparty, ..entry(Kind::Transfer, from, amount) }
}
