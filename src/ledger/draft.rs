//! What a unit moves, summed up before any of it is held against an account.

use super::entry::Seq;
use super::names::{AccountKey, Asset};
use super::plan::Failure;
use super::reason::{Reason, Reject};
use super::state::{Account, Posting, Supply};
use super::table::Slot;
use super::tracked::Tracked;

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
}

#[derive(Clone, Copy, Debug, Default)]
struct SupplyMoves {
    minted: Sum,
    burned: Sum,
    first: usize,
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

/// Sums of the unit in hand, by the row of what they are of.
#[derive(Debug)]
struct Sums<M> {
    sums: Vec<(Slot, M)>,
    /// By row: one more than where its sums are; 0 for none, as behind the end.
    places: Vec<u32>,
}

impl<M> Default for Sums<M> {
    fn default() -> Self {
        Sums { sums: Vec::new(), places: Vec::new() }
    }
}

impl<M> Sums<M> {
    fn of(&mut self, slot: Slot, first: impl FnOnce() -> M) -> &mut M {
        if self.places.len() <= slot.index() {
            self.places.resize(slot.index() + 1, 0);
        }
        let place = &mut self.places[slot.index()];
        if *place == 0 {
            self.sums.push((slot, first()));
            // A unit moves value on fewer rows than a table has.
            *place = self.sums.len() as u32;
        }
        &mut self.sums[*place as usize - 1].1
    }

    fn clear(&mut self) {
        for (slot, _) in self.sums.drain(..) {
            self.places[slot.index()] = 0;
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Draft {
    accounts: Sums<Moves>,
    supply: Sums<SupplyMoves>,
    /// For each leg that this unit reverses, the item that does and the leg's posting.
    pub(super) reversed_legs: Vec<(usize, Posting)>,
}

impl Draft {
    /// Value comes to the account from outside of it.
    pub(super) fn give(&mut self, by: Mover, account: Slot, amount: u128) {
        let moves = self.moves(by, account);
        moves.available_in.add(amount);
        moves.credits.add(amount);
    }

    /// Value leaves the account for good.
    pub(super) fn take(&mut self, by: Mover, account: Slot, amount: u128) {
        let moves = self.moves(by, account);
        moves.first_out.get_or_insert(by.at);
        moves.available_out.add(amount);
        moves.debits.add(amount);
    }

    /// Value of the account is set aside.
    pub(super) fn hold(&mut self, by: Mover, account: Slot, amount: u128) {
        let moves = self.moves(by, account);
        moves.first_out.get_or_insert(by.at);
        moves.available_out.add(amount);
        moves.held_in.add(amount);
    }

    /// Value that was set aside is free again.
    pub(super) fn release(&mut self, by: Mover, account: Slot, amount: u128) {
        let moves = self.moves(by, account);
        moves.held_out.add(amount);
        moves.available_in.add(amount);
    }

    /// Value that was set aside leaves the account for good.
    pub(super) fn pay_held(&mut self, by: Mover, account: Slot, amount: u128) {
        let moves = self.moves(by, account);
        moves.held_out.add(amount);
        moves.debits.add(amount);
    }

    pub(super) fn mint(&mut self, by: Mover, asset: Slot, amount: u128) {
        self.supply_moves(by, asset).minted.add(amount);
    }

    pub(super) fn burn(&mut self, by: Mover, asset: Slot, amount: u128) {
        self.supply_moves(by, asset).burned.add(amount);
    }

    fn supply_moves(&mut self, by: Mover, asset: Slot) -> &mut SupplyMoves {
        self.supply.of(asset, || SupplyMoves { first: by.at, ..SupplyMoves::default() })
    }

    fn moves(&mut self, by: Mover, account: Slot) -> &mut Moves {
        let moves = self.accounts.of(account, || Moves { first: by.at, ..Moves::default() });
        moves.last_seq = by.seq;
        moves
    }

    /// Gives accounts and supplies what they have after the unit.
    ///
    /// All of them are looked at and the earliest failing item is reported, so that the order of
    /// the sums decides nothing. What was given before a failure is for the caller to undo.
    pub(super) fn net(
        &self,
        accounts: &mut Tracked<AccountKey, Account>,
        supply: &mut Tracked<Asset, Supply>,
    ) -> Result<(), Failure> {
        let mut worst: Option<(usize, Reason)> = None;
        let mut blame =
            |failed| worst = Some(worst.map_or(failed, |known: (usize, Reason)| known.min(failed)));
        for (slot, moves) in &self.accounts.sums {
            match moves.applied_to(accounts.rows[*slot]) {
                Ok(after) => accounts.set(*slot, after),
                Err(failed) => blame(failed),
            }
        }
        for (slot, moves) in &self.supply.sums {
            match moves.applied_to(supply.rows[*slot]) {
                Ok(after) => supply.set(*slot, after),
                Err(failed) => blame(failed),
            }
        }
        let Some((at, reason)) = worst else { return Ok(()) };
        let details = match reason {
            Reason::InsufficientFunds => "the account has less available",
            _ => "a sum would exceed 2^128 - 1",
        };
        Err(Failure { at, reject: Reject::new(reason, details) })
    }

    /// For the next unit.
    pub(super) fn clear(&mut self) {
        self.accounts.clear();
        self.supply.clear();
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
