//! What a unit of the naive model moves: all gains and losses apart, until its end.

use std::collections::{BTreeMap, BTreeSet};

use super::wide::Wide;
use crate::ledger::entry::{Entry, Kind, Millis, Seq};
use crate::ledger::names::{AccountId, Asset};
use crate::ledger::reason::Reason;

/// What a unit moves on one account.
#[derive(Default)]
pub(super) struct Flow {
    pub(super) free: InOut,
    pub(super) held: InOut,
    pub(super) total: InOut,
    pub(super) touched: BTreeSet<usize>,
    pub(super) taken_from: BTreeSet<usize>,
}

#[derive(Default)]
pub(super) struct InOut {
    pub(super) gains: Wide,
    pub(super) losses: Wide,
}

/// A unit on its way: where value flows, and what is minted and burned.
pub(super) struct Unit {
    pub(super) first: Seq,
    pub(super) now: Millis,
    pub(super) flows: BTreeMap<(AccountId, Asset), Flow>,
    pub(super) supply: BTreeMap<Asset, (Wide, Wide, usize)>,
}

impl Unit {
    fn flow(&mut self, at: usize, account: &AccountId, asset: &Asset) -> &mut Flow {
        let flow = self.flows.entry((account.clone(), asset.clone())).or_default();
        flow.touched.insert(at);
        flow
    }

    fn gain(&mut self, at: usize, account: &AccountId, asset: &Asset, amount: u128) {
        let flow = self.flow(at, account, asset);
        flow.free.gains.add(amount);
        flow.total.gains.add(amount);
    }

    fn lose(&mut self, at: usize, account: &AccountId, asset: &Asset, amount: u128) {
        let flow = self.flow(at, account, asset);
        flow.taken_from.insert(at);
        flow.free.losses.add(amount);
        flow.total.losses.add(amount);
    }

    pub(super) fn set_aside(&mut self, at: usize, entry: &Entry, amount: u128) {
        let flow = self.flow(at, &entry.account, &entry.asset);
        flow.taken_from.insert(at);
        flow.free.losses.add(amount);
        flow.held.gains.add(amount);
    }

    pub(super) fn set_free(&mut self, at: usize, entry: &Entry, amount: u128) {
        let flow = self.flow(at, &entry.account, &entry.asset);
        flow.held.losses.add(amount);
        flow.free.gains.add(amount);
    }

    pub(super) fn pay(&mut self, at: usize, entry: &Entry, amount: u128) {
        let flow = self.flow(at, &entry.account, &entry.asset);
        flow.held.losses.add(amount);
        flow.total.losses.add(amount);
        self.gain(at, entry.counterparty.as_ref().unwrap(), &entry.asset, amount);
    }

    /// What the entry moves from account to account, or the opposite of it.
    pub(super) fn moves(&mut self, at: usize, entry: &Entry, undo: bool) {
        let (asset, amount) = (&entry.asset, entry.amount.get());
        let gains = match entry.kind {
            Kind::Mint | Kind::Credit => !undo,
            _ => undo,
        };
        match gains {
            true => self.gain(at, &entry.account, asset, amount),
            false => self.lose(at, &entry.account, asset, amount),
        }
        if matches!(entry.kind, Kind::Mint | Kind::Burn) {
            let supply = self.supply.entry(asset.clone());
            let supply = supply.or_insert((Wide::default(), Wide::default(), at));
            if gains { &mut supply.0 } else { &mut supply.1 }.add(amount);
        }
        if let Some(counterparty) = &entry.counterparty {
            match undo {
                true => self.lose(at, counterparty, asset, amount),
                false => self.gain(at, counterparty, asset, amount),
            }
        }
    }
}

impl InOut {
    /// Gains and losses must each be an amount; only what is left of them meets the balance.
    pub(super) fn onto(&self, balance: &mut u128) -> Result<(), Reason> {
        let (gains, losses) = (self.gains.value()?, self.losses.value()?);
        let mut net = Wide::default();
        net.add(gains);
        net.sub(losses);
        net.onto(balance)
    }

    /// The totals count what a unit leaves, not what it passes through.
    pub(super) fn onto_totals(&self, came: &mut u128, went: &mut u128) -> Result<(), Reason> {
        let (gains, losses) = (self.gains.value()?, self.losses.value()?);
        let mut left = Wide::default();
        left.add(gains.max(losses));
        left.sub(gains.min(losses));
        left.onto(if gains > losses { came } else { went })
    }
}
