//! The local policy guard: what the operator's rule file allows of what capabilities allow.
//!
//! Rules are asked in their order. One that denies or allows decides; one with ceilings decides only
//! above them. When none has decided, the file's default does, but value that crosses between regions
//! needs a rule that allows it. Windows are asked last, so that what is refused anyway takes nothing
//! from them. Nothing here does I/O but [`Policy::read`]; the time is given.

mod file;
mod names;
mod rule;
#[cfg(test)]
mod tests;
mod window;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use self::names::Regions;
use self::rule::{Effect, Rule};
use self::window::Full;
use crate::ledger::entry::{Entry, Kind};
use crate::ledger::names::Asset;
use crate::ledger::request::{Request, postings};

pub use self::file::{
    FILE_BYTES_MAX, PREFIXES_MAX, PolicyError, RULES_MAX, Unfit, WINDOW_KEYS_MAX,
};
pub use self::names::Flow;
pub use self::window::Reserved;

/// Who decided when no rule did: names that no rule may have.
const DEFAULT: &str = "default";
const RESIDENCY: &str = "residency";

/// The rules of one file.
#[derive(Debug)]
pub struct Policy {
    allows_by_default: bool,
    regions: Regions,
    rules: Vec<Rule>,
}

/// Allows everything, as without a file.
impl Default for Policy {
    fn default() -> Self {
        Policy { allows_by_default: true, regions: Regions::default(), rules: Vec::new() }
    }
}

/// Why an entry is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A rule denies what it is about.
    Denied,
    /// No rule allows it, and the file's default does not.
    NotAllowed,
    /// It takes value from a region to another one, and no rule allows that.
    Crosses,
    /// Its amount is above the ceiling for one entry.
    EntryMax,
    /// A window's ceiling would be passed.
    WindowFull,
    /// A window counts for as many accounts, capabilities or assets as it may.
    WindowKeys,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Denied => "denies it",
            Why::NotAllowed => "no rule allows it",
            Why::Crosses => "no rule allows value to cross between these regions",
            Why::EntryMax => "the amount is above the ceiling for one entry",
            Why::WindowFull => "the ceiling of the window would be passed; try again later",
            Why::WindowKeys => "the window has no room for one more to count for; try again later",
        })
    }
}

/// What the policy says of an entry.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// The rule that decided, `default` or `residency`.
    pub by: &'a str,
    /// The rules whose windows it counts against, in their order.
    pub counts_for: Vec<&'a str>,
    /// What it reserved there, or why it is denied.
    pub outcome: Result<Vec<Reserved>, Why>,
}

impl Policy {
    /// Whether every entry is allowed, and none is counted.
    pub fn is_empty(&self) -> bool {
        self.allows_by_default && self.rules.is_empty() && self.regions.is_empty()
    }

    /// How many rules there are.
    pub fn rules_count(&self) -> usize {
        self.rules.len()
    }

    /// Everything that may decide: the rules, and what does when none of them has.
    pub fn deciders(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.name).chain([DEFAULT, RESIDENCY])
    }

    /// Goes on with what the windows of an older file have counted, rule by rule: where the name, the
    /// length, and whose amounts are added up are as they were.
    pub fn succeed(&mut self, older: &Policy) {
        let olds = || older.rules.iter().filter_map(|rule| Some((&rule.name, rule.window()?)));
        for rule in &mut self.rules {
            let Rule { name, effect: Effect::Limit(limit), .. } = rule else { continue };
            let Some(window) = &mut limit.window else { continue };
            let same = olds().find(|(old, then)| *old == name && then.shape == window.shape);
            if let Some((_, then)) = same {
                window.counters = Arc::clone(&then.counters);
            }
        }
    }

    /// From where to where each entry of a request takes value. That of a leg goes to, or comes from,
    /// the other legs of its posting.
    pub fn flows(&self, request: &Request) -> Vec<Flow> {
        let items = &request.items;
        let mut flows: Vec<Flow> = items.iter().map(|item| self.flow_of(&item.entry)).collect();
        if self.regions.is_empty() || !items.iter().any(|item| item.entry.kind.is_leg()) {
            return flows;
        }
        for posting in postings_of(request) {
            let legs = &items[posting.clone()];
            let side = |kind: Kind, asset: &Asset| {
                let legs = legs.iter().map(|leg| &leg.entry);
                let legs = legs.filter(|leg| leg.kind == kind && leg.asset == *asset);
                legs.map(|leg| self.regions.of(&leg.account)).collect()
            };
            let mut known: Vec<(&Asset, Flow)> = Vec::new();
            for (leg, flow) in legs.iter().zip(&mut flows[posting]) {
                let (asset, own) = (&leg.entry.asset, self.regions.of(&leg.entry.account));
                let at = known.iter().position(|(other, _)| *other == asset).unwrap_or_else(|| {
                    let (from, to) = (side(Kind::Debit, asset), side(Kind::Credit, asset));
                    known.push((asset, Flow { from, to }));
                    known.len() - 1
                });
                *flow = match leg.entry.kind {
                    Kind::Debit => Flow { from: own, to: known[at].1.to },
                    _ => Flow { from: known[at].1.from, to: own },
                };
            }
        }
        flows
    }

    fn flow_of(&self, entry: &Entry) -> Flow {
        match &entry.counterparty {
            Some(other) if !self.regions.is_empty() => {
                Flow { from: self.regions.of(&entry.account), to: self.regions.of(other) }
            }
            _ => Flow::default(),
        }
    }

    /// Says what becomes of an entry, and counts it in the windows where it is allowed. The time is in
    /// ms on a clock that does not step.
    pub fn judge(&self, entry: &Entry, flow: Flow, now_ms: u64) -> Verdict<'_> {
        let mut limits = Vec::new();
        let mut by = None;
        for rule in self.rules.iter().filter(|rule| rule.is_about(entry, flow)) {
            match &rule.effect {
                Effect::Allow => by = Some(&*rule.name),
                Effect::Deny => return Verdict::denied(&rule.name, Why::Denied),
                Effect::Limit(limit) => {
                    if limit.entry_max.is_some_and(|most| entry.amount.get() > most) {
                        return Verdict::denied(&rule.name, Why::EntryMax);
                    }
                    limits.extend(limit.window.as_ref().map(|window| (&*rule.name, window)));
                }
            }
            if by.is_some() {
                break;
            }
        }
        let by = match by {
            Some(rule) => rule,
            None if flow.crosses() => return Verdict::denied(RESIDENCY, Why::Crosses),
            None if self.allows_by_default => DEFAULT,
            None => return Verdict::denied(DEFAULT, Why::NotAllowed),
        };
        let mut reserved = Vec::with_capacity(limits.len());
        for (rule, window) in &limits {
            match window.reserve(entry, now_ms) {
                Ok(one) => reserved.push(one),
                Err(full) => {
                    reserved.into_iter().for_each(Reserved::refund);
                    let why = match full {
                        Full::Ceiling => Why::WindowFull,
                        Full::Keys => Why::WindowKeys,
                    };
                    return Verdict::denied(rule, why);
                }
            }
        }
        let counts_for = limits.into_iter().map(|(rule, _)| rule).collect();
        Verdict { by, counts_for, outcome: Ok(reserved) }
    }
}

impl<'a> Verdict<'a> {
    fn denied(by: &'a str, why: Why) -> Self {
        Verdict { by, counts_for: Vec::new(), outcome: Err(why) }
    }
}

impl Rule {
    fn window(&self) -> Option<&rule::Window> {
        match &self.effect {
            Effect::Limit(limit) => limit.window.as_ref(),
            _ => None,
        }
    }
}

/// The postings of a request; legs outside of one are refused by the ledger.
fn postings_of(request: &Request) -> Vec<Range<usize>> {
    if request.atomic {
        return postings(&request.items).unwrap_or_default();
    }
    let units = request.units().into_iter();
    units.filter(|unit| request.items[unit.start].entry.kind.is_leg()).collect()
}
