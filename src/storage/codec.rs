//! How records are laid out in the store. Integers are big-endian, so that keys sort by number;
//! texts have their length in one byte in front. `docs/INTEROP.md` shows the blocks, which leave the
//! store; the rest is the store's own and is rebuilt from them.

use smallvec::SmallVec;

use crate::accumulator::{Hash, TileId};
use crate::ledger::entry::{EntryId, Millis, Seq};
use crate::ledger::names::{AccountId, Asset};
use crate::ledger::state::{Account, Hold, HoldState, IdRecord, Posting, Supply};

/// A value that lies in place up to so many bytes: a flush makes hundreds of thousands of them.
pub(super) type Value<const N: usize> = SmallVec<[u8; N]>;

/// The record is not one that this code wrote: the store is damaged, or of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored {0} cannot be read")]
pub struct Damaged(pub &'static str);

/// The end of the log: what every reader's answer is bounded by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last entry; 0 for an empty ledger.
    pub seq: Seq,
    /// The root of the tree of all entries.
    pub root: Hash,
    /// The time of the last group, in ms.
    pub time: Millis,
}

/// The root after a commit group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootRow {
    /// The last entry of the group, which is the size of the tree.
    pub seq: Seq,
    /// The root at that size.
    pub root: Hash,
    /// The time of the group, in ms.
    pub time: Millis,
}

pub(super) fn seq_key(seq: Seq) -> [u8; 8] {
    seq.to_be_bytes()
}

pub(super) fn seq_of(key: &[u8]) -> Result<Seq, Damaged> {
    Ok(Seq::from_be_bytes(key.try_into().map_err(|_| Damaged("seq"))?))
}

pub(super) fn root_value(root: &Hash, time: Millis) -> Vec<u8> {
    [&root.0[..], &time.to_be_bytes()].concat()
}

pub(super) fn root_row(key: &[u8], value: &[u8]) -> Result<RootRow, Damaged> {
    let mut rest = Reader(value, "root");
    let row = RootRow { seq: seq_of(key)?, root: Hash(rest.array()?), time: rest.u64()? };
    rest.end(row)
}

pub(super) fn head_value(head: &Head) -> Vec<u8> {
    [&head.seq.to_be_bytes()[..], &head.root.0, &head.time.to_be_bytes()].concat()
}

pub(super) fn head_of(value: &[u8]) -> Result<Head, Damaged> {
    let mut rest = Reader(value, "head");
    let head = Head { seq: rest.u64()?, root: Hash(rest.array()?), time: rest.u64()? };
    rest.end(head)
}

pub(super) fn account_value(account: &Account) -> Value<96> {
    let mut out = Value::new();
    for amount in [account.available, account.held, account.credits, account.debits] {
        out.extend_from_slice(&amount.to_be_bytes());
    }
    out.extend_from_slice(&account.last_seq.to_be_bytes());
    out
}

pub(super) fn account_of(value: &[u8]) -> Result<Account, Damaged> {
    let mut rest = Reader(value, "account");
    let account = Account {
        available: rest.u128()?,
        held: rest.u128()?,
        credits: rest.u128()?,
        debits: rest.u128()?,
        last_seq: rest.u64()?,
    };
    rest.end(account)
}

pub(super) fn supply_value(supply: &Supply) -> Vec<u8> {
    [supply.minted.to_be_bytes(), supply.burned.to_be_bytes()].concat()
}

pub(super) fn supply_of(value: &[u8]) -> Result<Supply, Damaged> {
    let mut rest = Reader(value, "supply");
    let supply = Supply { minted: rest.u128()?, burned: rest.u128()? };
    rest.end(supply)
}

/// Seq, reversed_by (0 for none), and for a leg the first seq and the length of its posting.
pub(super) fn id_value(record: &IdRecord) -> Value<32> {
    let mut out = Value::new();
    out.extend_from_slice(&record.seq.to_be_bytes());
    out.extend_from_slice(&record.reversed_by.unwrap_or(0).to_be_bytes());
    if let Some(posting) = record.posting {
        out.extend_from_slice(&posting.first.to_be_bytes());
        out.extend_from_slice(&posting.legs.to_be_bytes());
    }
    out
}

pub(super) fn id_of(value: &[u8]) -> Result<IdRecord, Damaged> {
    let mut rest = Reader(value, "id");
    let (seq, reversed_by) = (rest.u64()?, rest.u64()?);
    let posting = match rest.0.is_empty() {
        true => None,
        false => Some(Posting { first: rest.u64()?, legs: u32::from_be_bytes(rest.array()?) }),
    };
    rest.end(IdRecord { seq, reversed_by: Some(reversed_by).filter(|seq| *seq != 0), posting })
}

pub(super) fn hold_value(hold: &Hold) -> Value<128> {
    let mut out = Value::new();
    out.push(hold.state as u8);
    out.extend_from_slice(&hold.seq.to_be_bytes());
    out.extend_from_slice(&hold.expires_at.unwrap_or(0).to_be_bytes());
    for amount in [hold.amount, hold.captured, hold.remaining] {
        out.extend_from_slice(&amount.to_be_bytes());
    }
    let counterparty = hold.counterparty.as_ref().map_or("", AccountId::as_str);
    for text in [hold.account.as_str(), hold.asset.as_str(), counterparty] {
        // Names are at most 128 bytes long.
        out.push(text.len() as u8);
        out.extend_from_slice(text.as_bytes());
    }
    out
}

pub(super) fn hold_of(value: &[u8]) -> Result<Hold, Damaged> {
    let damaged = Damaged("hold");
    let mut rest = Reader(value, "hold");
    let state = match rest.array()? {
        [0] => HoldState::Open,
        [1] => HoldState::Captured,
        [2] => HoldState::Released,
        [3] => HoldState::Expired,
        _ => return Err(damaged),
    };
    let (seq, expires_at) = (rest.u64()?, rest.u64()?);
    let (amount, captured, remaining) = (rest.u128()?, rest.u128()?, rest.u128()?);
    let account = AccountId::new(rest.text()?).map_err(|_| damaged)?;
    let asset = Asset::new(rest.text()?).map_err(|_| damaged)?;
    let counterparty = match rest.text()? {
        "" => None,
        name => Some(AccountId::new(name).map_err(|_| damaged)?),
    };
    // No hold is accepted whose time is not after the ledger's, so that 0 is free to mean "none".
    let expires_at = Some(expires_at).filter(|at| *at != 0);
    rest.end(Hold {
        seq,
        account,
        asset,
        counterparty,
        expires_at,
        amount,
        captured,
        remaining,
        state,
    })
}

/// (expires_at, id): the order in which holds expire.
pub(super) fn due_key(expires_at: Millis, id: EntryId) -> Vec<u8> {
    [&expires_at.to_be_bytes()[..], id.as_bytes()].concat()
}

pub(super) fn due_of(key: &[u8]) -> Result<(Millis, EntryId), Damaged> {
    let mut rest = Reader(key, "due time");
    let due = (rest.u64()?, EntryId::from_bytes(rest.array()?));
    rest.end(due)
}

pub(super) fn tile_key(tile: TileId) -> Vec<u8> {
    [&[tile.level][..], &tile.index.to_be_bytes()].concat()
}

struct Reader<'a>(&'a [u8], &'static str);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Damaged(self.1))?;
        self.0 = rest;
        Ok(*head)
    }

    fn u64(&mut self) -> Result<u64, Damaged> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn u128(&mut self) -> Result<u128, Damaged> {
        Ok(u128::from_be_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<&'a str, Damaged> {
        let [length] = self.array()?;
        let (head, rest) = self.0.split_at_checked(usize::from(length)).ok_or(Damaged(self.1))?;
        self.0 = rest;
        std::str::from_utf8(head).map_err(|_| Damaged(self.1))
    }

    fn end<T>(self, value: T) -> Result<T, Damaged> {
        if self.0.is_empty() { Ok(value) } else { Err(Damaged(self.1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_went_and_no_cut_is_taken_for_one() {
        let account = Account { available: 1, held: 2, credits: 9, debits: 6, last_seq: 7 };
        let supply = Supply { minted: u128::MAX, burned: 3 };
        let posting = Some(Posting { first: 4, legs: 3 });
        let hold = Hold {
            seq: 5,
            account: AccountId::new("a/b").unwrap(),
            asset: Asset::new("RON").unwrap(),
            counterparty: Some(AccountId::new("c").unwrap()),
            expires_at: Some(9),
            amount: 10,
            captured: 4,
            remaining: 0,
            state: HoldState::Expired,
        };
        let open = Hold { counterparty: None, expires_at: None, ..hold.clone() };
        assert_eq!(account_of(&account_value(&account)), Ok(account));
        assert_eq!(supply_of(&supply_value(&supply)), Ok(supply));
        for record in [
            IdRecord { seq: 1, reversed_by: None, posting: None },
            IdRecord { seq: 4, reversed_by: Some(9), posting },
        ] {
            assert_eq!(id_of(&id_value(&record)), Ok(record));
        }
        for hold in [hold, open] {
            let bytes = hold_value(&hold);
            assert_eq!(hold_of(&bytes), Ok(hold));
            assert!((0..bytes.len()).all(|cut| hold_of(&bytes[..cut]).is_err()));
        }
        let head = Head { seq: 3, root: Hash([7; 32]), time: 8 };
        assert_eq!(head_of(&head_value(&head)), Ok(head));
        let row = RootRow { seq: 3, root: Hash([7; 32]), time: 8 };
        assert_eq!(root_row(&seq_key(3), &root_value(&row.root, 8)), Ok(row));
        let due = (77, EntryId::from_bytes([3; 16]));
        assert_eq!(due_of(&due_key(due.0, due.1)), Ok(due));
    }
}
