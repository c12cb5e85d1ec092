//! What a unit would change, kept apart until the whole of it is accepted.

use super::entry::{EntryId, Seq};
use super::idempotency::IdemDigest;
use super::names::{AccountKey, Asset};
use super::plan::Failure;
use super::reason::{Reason, Reject};
use super::state::{Account, Delta, Hold, IdRecord, Map, Posting, Supply};

/// Sums of what a unit moves on one account. Gains and losses are kept apart, since only their net
/// is held against the account, at the end of the unit.
#[derive(Clone, Copy, Debug, Default)]
struct Moves {
    available_in: Sum,
    available_out: Sum,
    held_in: Sum,
    held_out: Sum,
    credits: Sum,
    debits: Sum,
    /// The item that first touches the account.
    first: usize,
    /// The item that first takes from what is available.
    first_out: Option<usize>,
    last_seq: Seq,
    after: Account,
}

#[derive(Clone, Copy, Debug, Default)]
struct SupplyMoves {
    minted: Sum,
    burned: Sum,
    first: usize,
    after: Supply,
}

/// A sum of amounts; `None` once it exceeds 2^128 - 1. The unit is then refused, but only after
/// its references were looked at.
#[derive(Clone, Copy, Debug)]
struct Sum(Option<u128>);

impl Default for Sum {
    fn default() -> Self {
        Sum(Some(0))
    }
}

impl Sum {
    fn add(&mut self, amount: u128) {
        self.0 = self.0.and_then(|sum| sum.checked_add(amount));
    }

    fn onto(self, before: u128) -> Result<u128, Reason> {
        self.0.and_then(|sum| before.checked_add(sum)).ok_or(Reason::Overflow)
    }
}

/// Which item of the unit moves value, and the seq that it would have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mover {
    pub(super) at: usize,
    pub(super) seq: Seq,
}

#[derive(Debug, Default)]
pub(super) struct Draft {
    accounts: Map<AccountKey, Moves>,
    supply: Map<Asset, SupplyMoves>,
    pub(super) ids: Map<EntryId, IdRecord>,
    pub(super) idem: Map<IdemDigest, Seq>,
    pub(super) holds: Map<EntryId, Hold>,
    /// For each leg that this unit reverses, the item that does and the leg's posting.
    pub(super) reversed_legs: Vec<(usize, Posting)>,
}

impl Draft {
    /// Value comes to the account from outside of it.
    pub(super) fn give(&mut self, by: Mover, key: AccountKey, amount: u128) {
        let moves = self.moves(by, key);
        moves.available_in.add(amount);
        moves.credits.add(amount);
    }

    /// Value leaves the account for good.
    pub(super) fn take(&mut self, by: Mover, key: AccountKey, amount: u128) {
        let moves = self.moves(by, key);
        moves.first_out.get_or_insert(by.at);
        moves.available_out.add(amount);
        moves.debits.add(amount);
    }

    /// Value of the account is set aside.
    pub(super) fn hold(&mut self, by: Mover, key: AccountKey, amount: u128) {
        let moves = self.moves(by, key);
        moves.first_out.get_or_insert(by.at);
        moves.available_out.add(amount);
        moves.held_in.add(amount);
    }

    /// Value that was set aside is free again.
    pub(super) fn release(&mut self, by: Mover, key: AccountKey, amount: u128) {
        let moves = self.moves(by, key);
        moves.held_out.add(amount);
        moves.available_in.add(amount);
    }

    /// Value that was set aside leaves the account for good.
    pub(super) fn pay_held(&mut self, by: Mover, key: AccountKey, amount: u128) {
        let moves = self.moves(by, key);
        moves.held_out.add(amount);
        moves.debits.add(amount);
    }

    pub(super) fn mint(&mut self, by: Mover, asset: &Asset, amount: u128) {
        self.supply_moves(by, asset).minted.add(amount);
    }

    pub(super) fn burn(&mut self, by: Mover, asset: &Asset, amount: u128) {
        self.supply_moves(by, asset).burned.add(amount);
    }

    fn supply_moves(&mut self, by: Mover, asset: &Asset) -> &mut SupplyMoves {
        let first = SupplyMoves { first: by.at, ..SupplyMoves::default() };
        self.supply.entry(asset.clone()).or_insert(first)
    }

    fn moves(&mut self, by: Mover, key: AccountKey) -> &mut Moves {
        let first = Moves { first: by.at, ..Moves::default() };
        let moves = self.accounts.entry(key).or_insert(first);
        moves.last_seq = by.seq;
        moves
    }

    /// Computes what the accounts and supplies would be after the unit.
    ///
    /// All of them are looked at and the earliest failing item is reported, so that the order of
    /// the map decides nothing.
    pub(super) fn net(
        &mut self,
        account: impl Fn(&AccountKey) -> Account,
        supply: impl Fn(&Asset) -> Supply,
    ) -> Result<(), Failure> {
        let mut worst: Option<(usize, Reason)> = None;
        for (key, moves) in &mut self.accounts {
            match moves.applied_to(account(key)) {
                Ok(after) => moves.after = after,
                Err(failed) => worst = Some(worst.map_or(failed, |known| known.min(failed))),
            }
        }
        for (asset, moves) in &mut self.supply {
            match moves.applied_to(supply(asset)) {
                Ok(after) => moves.after = after,
                Err(failed) => worst = Some(worst.map_or(failed, |known| known.min(failed))),
            }
        }
        let Some((at, reason)) = worst else { return Ok(()) };
        let details = match reason {
            Reason::InsufficientFunds => "the account has less available",
            _ => "a sum would exceed 2^128 - 1",
        };
        Err(Failure { at, reject: Reject::new(reason, details) })
    }

    /// The unit is accepted: its values become those of the group. Leaves the draft empty.
    pub(super) fn settle_into(&mut self, delta: &mut Delta) {
        delta.accounts.extend(self.accounts.drain().map(|(key, moves)| (key, moves.after)));
        delta.supply.extend(self.supply.drain().map(|(asset, moves)| (asset, moves.after)));
        delta.ids.extend(self.ids.drain());
        delta.idem.extend(self.idem.drain());
        delta.holds.extend(self.holds.drain());
        self.reversed_legs.clear();
    }

    /// The unit is refused: nothing of it stays.
    pub(super) fn clear(&mut self) {
        self.accounts.clear();
        self.supply.clear();
        self.ids.clear();
        self.idem.clear();
        self.holds.clear();
        self.reversed_legs.clear();
    }
}

impl Moves {
    /// The account after the unit, or the earliest item at fault and the first of its faults.
    fn applied_to(&self, before: Account) -> Result<Account, (usize, Reason)> {
        let available = net(before.available, self.available_in, self.available_out);
        let held = net(before.held, self.held_in, self.held_out);
        let totals = self.totals(before);
        if let (Ok(available), Ok(held), Ok((credits, debits))) = (available, held, totals) {
            return Ok(Account { available, held, credits, debits, last_seq: self.last_seq });
        }
        let faults = [available.err(), held.err(), totals.err()];
        // What is held covers what its holds give back, so that only what is available falls short.
        let blame = |reason| match reason {
            Reason::InsufficientFunds => (self.first_out.unwrap_or(self.first), reason),
            _ => (self.first, reason),
        };
        Err(faults.into_iter().flatten().map(blame).min().expect("one of them failed"))
    }

    /// Credits and debits after the unit. Only its net counts: what comes and goes within one unit
    /// needs no funds, and would let anyone bring an account's totals to their end.
    fn totals(&self, before: Account) -> Result<(u128, u128), Reason> {
        let (credits, debits) = (self.credits.onto(0)?, self.debits.onto(0)?);
        let (came, went) = (credits.saturating_sub(debits), debits.saturating_sub(credits));
        let onto = |before: u128, more| before.checked_add(more).ok_or(Reason::Overflow);
        Ok((onto(before.credits, came)?, onto(before.debits, went)?))
    }
}

impl SupplyMoves {
    fn applied_to(&self, before: Supply) -> Result<Supply, (usize, Reason)> {
        let blame = |reason| (self.first, reason);
        Ok(Supply {
            minted: self.minted.onto(before.minted).map_err(blame)?,
            burned: self.burned.onto(before.burned).map_err(blame)?,
        })
    }
}

fn net(before: u128, gains: Sum, losses: Sum) -> Result<u128, Reason> {
    let (gains, losses) = (gains.onto(0)?, losses.onto(0)?);
    match gains.checked_sub(losses) {
        Some(more) => before.checked_add(more).ok_or(Reason::Overflow),
        None => before.checked_sub(losses - gains).ok_or(Reason::InsufficientFunds),
    }
}
