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
    available_in: u128,
    available_out: u128,
    held_in: u128,
    held_out: u128,
    credits: u128,
    debits: u128,
    /// The item that first gains, and the one that first loses.
    first_in: usize,
    first_out: usize,
    last_seq: Seq,
    after: Account,
}

#[derive(Clone, Copy, Debug, Default)]
struct SupplyMoves {
    minted: u128,
    burned: u128,
    at: usize,
    after: Supply,
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
    /// Item, leg, posting of each leg that this unit reverses.
    pub(super) reversed_legs: Vec<(usize, Seq, Posting)>,
}

fn overflow() -> Reject {
    Reject::new(Reason::Overflow, "a sum would exceed 2^128 - 1")
}

fn add(sum: &mut u128, amount: u128) -> Result<(), Reject> {
    *sum = sum.checked_add(amount).ok_or_else(overflow)?;
    Ok(())
}

impl Draft {
    /// Value comes to the account from outside of it.
    pub(super) fn give(&mut self, by: Mover, key: AccountKey, amount: u128) -> Result<(), Reject> {
        let moves = self.gains(by, key);
        add(&mut moves.available_in, amount)?;
        add(&mut moves.credits, amount)
    }

    /// Value leaves the account for good.
    pub(super) fn take(&mut self, by: Mover, key: AccountKey, amount: u128) -> Result<(), Reject> {
        let moves = self.losses(by, key);
        add(&mut moves.available_out, amount)?;
        add(&mut moves.debits, amount)
    }

    /// Value of the account is set aside.
    pub(super) fn hold(&mut self, by: Mover, key: AccountKey, amount: u128) -> Result<(), Reject> {
        let moves = self.losses(by, key);
        add(&mut moves.available_out, amount)?;
        add(&mut moves.held_in, amount)
    }

    /// Value that was set aside is free again.
    pub(super) fn release(
        &mut self,
        by: Mover,
        key: AccountKey,
        amount: u128,
    ) -> Result<(), Reject> {
        let moves = self.gains(by, key);
        add(&mut moves.held_out, amount)?;
        add(&mut moves.available_in, amount)
    }

    /// Value that was set aside leaves the account for good.
    pub(super) fn pay_held(
        &mut self,
        by: Mover,
        key: AccountKey,
        amount: u128,
    ) -> Result<(), Reject> {
        let moves = self.losses(by, key);
        add(&mut moves.held_out, amount)?;
        add(&mut moves.debits, amount)
    }

    pub(super) fn mint(&mut self, by: Mover, asset: &Asset, amount: u128) -> Result<(), Reject> {
        add(&mut self.supply_moves(by, asset).minted, amount)
    }

    pub(super) fn burn(&mut self, by: Mover, asset: &Asset, amount: u128) -> Result<(), Reject> {
        add(&mut self.supply_moves(by, asset).burned, amount)
    }

    fn supply_moves(&mut self, by: Mover, asset: &Asset) -> &mut SupplyMoves {
        let first = SupplyMoves { at: by.at, ..SupplyMoves::default() };
        self.supply.entry(asset.clone()).or_insert(first)
    }

    fn gains(&mut self, by: Mover, key: AccountKey) -> &mut Moves {
        let moves = self.moves(by, key);
        moves.first_in = moves.first_in.min(by.at);
        moves
    }

    fn losses(&mut self, by: Mover, key: AccountKey) -> &mut Moves {
        let moves = self.moves(by, key);
        moves.first_out = moves.first_out.min(by.at);
        moves
    }

    fn moves(&mut self, by: Mover, key: AccountKey) -> &mut Moves {
        let nobody = Moves { first_in: usize::MAX, first_out: usize::MAX, ..Moves::default() };
        let moves = self.accounts.entry(key).or_insert(nobody);
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
            let before = supply(asset);
            let minted = before.minted.checked_add(moves.minted);
            match (minted, before.burned.checked_add(moves.burned)) {
                (Some(minted), Some(burned)) => moves.after = Supply { minted, burned },
                _ => {
                    let failed = (moves.at, Reason::Overflow);
                    worst = Some(worst.map_or(failed, |known| known.min(failed)));
                }
            }
        }
        let Some((at, reason)) = worst else { return Ok(()) };
        let reject = match reason {
            Reason::InsufficientFunds => Reject::new(reason, "the account has less available"),
            _ => overflow(),
        };
        Err(Failure { at, reject })
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
    fn applied_to(&self, before: Account) -> Result<Account, (usize, Reason)> {
        let either = self.first_in.min(self.first_out);
        let available = net(before.available, self.available_in, self.available_out);
        let held = net(before.held, self.held_in, self.held_out);
        let total = |sum: u128, more: u128| sum.checked_add(more).ok_or((either, Reason::Overflow));
        let blame = |reason| match reason {
            Reason::InsufficientFunds => (self.first_out, reason),
            _ => (self.first_in.min(either), reason),
        };
        Ok(Account {
            available: available.map_err(blame)?,
            held: held.map_err(blame)?,
            credits: total(before.credits, self.credits)?,
            debits: total(before.debits, self.debits)?,
            last_seq: self.last_seq,
        })
    }
}

fn net(before: u128, gains: u128, losses: u128) -> Result<u128, Reason> {
    match gains.checked_sub(losses) {
        Some(more) => before.checked_add(more).ok_or(Reason::Overflow),
        None => before.checked_sub(losses - gains).ok_or(Reason::InsufficientFunds),
    }
}
