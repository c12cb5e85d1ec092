//! Sums that are wider than amounts, and the units of a request by them: for the naive model and
//! for the properties.

use crate::ledger::entry::{Entry, Kind};
use crate::ledger::names::Asset;
use crate::ledger::reason::Reason;
use crate::ledger::request::Item;

const HALF: i128 = 1 << 64;

/// A signed sum, `high * 2^64 + low`, that no number of 128-bit amounts in a test overflows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wide {
    high: i128,
    low: i128,
}

impl Wide {
    pub(super) fn add(&mut self, amount: u128) {
        self.high += (amount >> 64) as i128;
        self.low += (amount % HALF as u128) as i128;
    }

    pub(super) fn sub(&mut self, amount: u128) {
        self.high -= (amount >> 64) as i128;
        self.low -= (amount % HALF as u128) as i128;
    }

    /// The sum as an amount, or on which side of the amounts it lies.
    pub(super) fn value(self) -> Result<u128, Reason> {
        let high = self.high + self.low.div_euclid(HALF);
        match high {
            ..0 => Err(Reason::InsufficientFunds),
            HALF.. => Err(Reason::Overflow),
            _ => Ok(((high as u128) << 64) + self.low.rem_euclid(HALF) as u128),
        }
    }

    pub(super) fn negated(self) -> Self {
        Wide { high: -self.high, low: -self.low }
    }

    /// Adds the sum to an amount.
    pub(super) fn onto(mut self, amount: &mut u128) -> Result<(), Reason> {
        self.add(*amount);
        *amount = self.value()?;
        Ok(())
    }
}

/// The units of a request, in order.
pub(super) fn split(items: &[Item], atomic: bool) -> Vec<&[Item]> {
    let (mut units, mut rest) = (Vec::new(), items);
    while !rest.is_empty() {
        let lengths = match shortest_posting(rest) {
            _ if atomic => vec![rest.len()],
            Some(legs) => vec![legs],
            // No run from here on nets to zero: each leg is left alone.
            None => vec![1; leg_run(rest).max(1)],
        };
        for length in lengths {
            let (unit, later) = rest.split_at(length);
            units.push(unit);
            rest = later;
        }
    }
    units
}

/// From and to of each posting in a unit.
pub(super) fn postings(items: &[Item]) -> Result<Vec<(usize, usize)>, (usize, Reason)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < items.len() {
        let is_leg = items[at].entry.kind.is_leg();
        match shortest_posting(&items[at..]) {
            Some(legs) => {
                found.push((at, at + legs));
                at += legs;
            }
            None if is_leg => return Err((at, Reason::Unbalanced)),
            None => at += 1,
        }
    }
    Ok(found)
}

fn leg_run(items: &[Item]) -> usize {
    items.iter().position(|item| !item.entry.kind.is_leg()).unwrap_or(items.len())
}

/// The length of the shortest run of legs at the start that nets to zero, each sum on the way to it
/// being less than 2^128 either way.
fn shortest_posting(items: &[Item]) -> Option<usize> {
    for legs in 1..=leg_run(items) {
        let entries: Vec<&Entry> = items[..legs].iter().map(|item| &item.entry).collect();
        let nets = nets(&entries);
        if nets.iter().any(|net| [*net, net.negated()].map(Wide::value).contains(&OVERFLOW)) {
            return None;
        }
        if nets.iter().all(|net| net.value() == Ok(0)) {
            return Some(legs);
        }
    }
    None
}

const OVERFLOW: Result<u128, Reason> = Err(Reason::Overflow);

/// The net of some legs for each asset among them.
pub(super) fn nets(legs: &[&Entry]) -> Vec<Wide> {
    let net_of = |asset: &Asset| {
        let mut net = Wide::default();
        for leg in legs.iter().filter(|leg| leg.asset == *asset) {
            match leg.kind {
                Kind::Credit => net.add(leg.amount.get()),
                _ => net.sub(leg.amount.get()),
            }
        }
        net
    };
    legs.iter().map(|leg| net_of(&leg.asset)).collect()
}

#[test]
fn a_wide_sum_knows_where_it_lies() {
    let mut sum = Wide::default();
    sum.add(u128::MAX);
    assert_eq!(sum.value(), Ok(u128::MAX));
    sum.add(1);
    assert_eq!(sum.value(), OVERFLOW);
    sum.sub(u128::MAX);
    assert_eq!(sum.value(), Ok(1));
    sum.sub(2);
    assert_eq!(sum.value(), Err(Reason::InsufficientFunds));
    assert_eq!(sum.negated().value(), Ok(1));
}
