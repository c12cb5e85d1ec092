//! One rule: which entries it speaks of, and what it says of them.

use std::sync::Arc;

use super::names::{Flow, Prefixes, RegionSet};
use super::window::{Ceiling, Counters, Full, Key, Reserved};
use crate::ledger::entry::{Entry, Kind};
use crate::ledger::names::Asset;

/// A rule of the file.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: Arc<str>,
    pub(super) on: Conditions,
    pub(super) effect: Effect,
}

/// What a rule says.
#[derive(Debug)]
pub(super) enum Effect {
    /// The entry is allowed, and nothing after it is asked.
    Allow,
    /// It is denied.
    Deny,
    /// It is denied above a ceiling; below, the next rules are asked.
    Limit(Limit),
}

/// All of them have to hold; one that is absent does.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    pub(super) kinds: Option<Vec<Kind>>,
    /// Sorted.
    pub(super) assets: Option<Vec<Asset>>,
    pub(super) accounts: Option<Prefixes>,
    pub(super) counterparties: Option<Prefixes>,
    /// Either of the two.
    pub(super) parties: Option<Prefixes>,
    pub(super) from: Option<RegionSet>,
    pub(super) to: Option<RegionSet>,
}

impl Rule {
    /// Whether the rule speaks of this entry.
    pub(super) fn is_about(&self, entry: &Entry, flow: Flow) -> bool {
        let Conditions { kinds, assets, accounts, counterparties, parties, from, to } = &self.on;
        let other = entry.counterparty.as_ref();
        let crosses = flow.crosses();
        let (named, all) = (from.is_some() || to.is_some(), RegionSet::ALL);
        let (from, to) = (from.unwrap_or(all), to.unwrap_or(all));
        let regions = match self.effect {
            // Whoever allows a crossing names it, and allows all of it.
            Effect::Allow if crosses => named && flow.is_within(from, to),
            _ => !named || flow.meets(from, to),
        };
        regions
            && kinds.as_ref().is_none_or(|kinds| kinds.contains(&entry.kind))
            && assets.as_ref().is_none_or(|assets| assets.binary_search(&entry.asset).is_ok())
            && accounts.as_ref().is_none_or(|set| set.cover(&entry.account))
            && counterparties.as_ref().is_none_or(|set| other.is_some_and(|id| set.cover(id)))
            && parties.as_ref().is_none_or(|set| {
                set.cover(&entry.account) || other.is_some_and(|id| set.cover(id))
            })
    }
}

/// Whose amounts a window adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Per {
    /// Of all entries that the rule speaks of.
    Rule,
    /// Of each account.
    Account,
    /// Of each capability.
    Capability,
}

/// What a window is; counters outlive a reload where this stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) length_ms: u64,
    pub(super) per: Per,
}

/// A window of a rule.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) shape: Shape,
    pub(super) ceiling: Ceiling,
    pub(super) keys_max: usize,
    pub(super) counters: Arc<Counters>,
}

impl Window {
    pub(super) fn reserve(&self, entry: &Entry, now_ms: u64) -> Result<Reserved, Full> {
        let whose = match self.shape.per {
            Per::Rule => "",
            Per::Account => entry.account.as_str(),
            Per::Capability => entry.capability.as_str(),
        };
        let key = Key { asset: entry.asset.clone(), whose: whose.into() };
        self.counters.reserve(key, entry.amount.get(), &self.ceiling, self.keys_max, now_ms)
    }
}

/// The ceilings of a rule: at least one.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) entry_max: Option<u128>,
    pub(super) window: Option<Window>,
}
