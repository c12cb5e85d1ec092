//! A request and its units. A unit is what stands or falls as one: a single entry, a posting, or a
//! whole atomic request.

use std::cmp::Ordering;
use std::ops::Range;

use super::entry::{Entry, Kind};
use super::idempotency::IdemDigest;
use super::names::Asset;
use super::reason::Reject;

/// What the capability behind an entry allows beyond the entry's own kind, as far as only the plan
/// can tell whether it is needed. Replay grants everything: the log was checked when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grants {
    /// May undo a Mint.
    pub reverse_mint: bool,
    /// May undo a Burn.
    pub reverse_burn: bool,
}

impl Grants {
    /// Everything.
    pub const ALL: Grants = Grants { reverse_mint: true, reverse_burn: true };
}

/// An entry on its way into the ledger.
#[derive(Clone, Debug)]
pub struct Item {
    /// What is asked.
    pub entry: Entry,
    /// Of its idempotency tuple.
    pub digest: IdemDigest,
    /// What the capability allows.
    pub grants: Grants,
    /// Refused before it came here: its unit falls with it. It stays in its place, since what
    /// belongs to a posting depends on what stands next to what.
    pub refused: Option<Box<Reject>>,
}

impl Item {
    /// Computes the digest.
    pub fn new(entry: Entry, grants: Grants) -> Self {
        Item { digest: IdemDigest::of(&entry), entry, grants, refused: None }
    }
}

/// The unit of order: entries that one client sent together.
#[derive(Clone, Debug)]
pub struct Request {
    /// In the client's order, which is never changed.
    pub items: Vec<Item>,
    /// All or nothing.
    pub atomic: bool,
}

impl Request {
    /// The units, in order, as ranges of `items`; they cover it without a gap.
    ///
    /// Legs after the last run that nets to zero are units of their own, so that each is told
    /// `unbalanced`: a posting with a wrong leg must not be accepted in part.
    pub fn units(&self) -> Vec<Range<usize>> {
        if self.atomic {
            return std::iter::once(0..self.items.len()).filter(|unit| !unit.is_empty()).collect();
        }
        let mut units = Vec::with_capacity(self.items.len());
        let mut at = 0;
        while at < self.items.len() {
            let end = match self.items[at].entry.kind.is_leg() {
                true => posting_end(&self.items[at..]).map(|legs| at + legs),
                false => Some(at + 1),
            };
            match end {
                Some(end) => {
                    units.push(at..end);
                    at = end;
                }
                None => {
                    let run = leg_run(&self.items[at..]);
                    units.extend((at..at + run).map(|leg| leg..leg + 1));
                    at += run;
                }
            }
        }
        units
    }
}

/// The postings inside of one unit, as ranges of `items`.
///
/// # Errors
/// The index of the first leg that belongs to no posting.
pub fn postings(items: &[Item]) -> Result<Vec<Range<usize>>, usize> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < items.len() {
        if items[at].entry.kind.is_leg() {
            let legs = posting_end(&items[at..]).ok_or(at)?;
            found.push(at..at + legs);
            at += legs;
        } else {
            at += 1;
        }
    }
    Ok(found)
}

fn leg_run(items: &[Item]) -> usize {
    items.iter().take_while(|item| item.entry.kind.is_leg()).count()
}

/// How many legs the shortest run from the start has that nets to zero for each asset. A running
/// net of 2^128 or more counts as one that never returns to zero.
fn posting_end(items: &[Item]) -> Option<usize> {
    let mut nets: Vec<(&Asset, Net)> = Vec::new();
    for (at, item) in items[..leg_run(items)].iter().enumerate() {
        let asset = &item.entry.asset;
        let known = nets.iter().position(|(other, _)| *other == asset);
        let place = known.unwrap_or_else(|| {
            nets.push((asset, Net::ZERO));
            nets.len() - 1
        });
        nets[place].1 = nets[place].1.add(&item.entry)?;
        if nets.iter().all(|(_, net)| *net == Net::ZERO) {
            return Some(at + 1);
        }
    }
    None
}

/// A signed sum of 128 bits and a sign; zero is `Credit`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Net {
    side: Kind,
    amount: u128,
}

impl Net {
    const ZERO: Net = Net { side: Kind::Credit, amount: 0 };

    fn add(self, leg: &Entry) -> Option<Net> {
        let amount = leg.amount.get();
        if self.amount == 0 || self.side == leg.kind {
            return Some(Net { side: leg.kind, amount: self.amount.checked_add(amount)? });
        }
        Some(match self.amount.cmp(&amount) {
            Ordering::Greater => Net { side: self.side, amount: self.amount - amount },
            Ordering::Less => Net { side: leg.kind, amount: amount - self.amount },
            Ordering::Equal => Net::ZERO,
        })
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "a unit is a range, and some requests have one")]
mod tests {
    use super::*;
    use crate::ledger::testing::entry_of;

    fn request(text: &str, atomic: bool) -> Request {
        let items = text.split_whitespace().map(|word| {
            let (kind, rest) = word.split_at(1);
            let (amount, asset) = rest.split_once('/').unwrap_or((rest, "RON"));
            let kind = match kind {
                "d" => Kind::Debit,
                "c" => Kind::Credit,
                _ => Kind::Mint,
            };
            Item::new(entry_of(kind, "a", amount.parse().unwrap(), asset), Grants::ALL)
        });
        Request { items: items.collect(), atomic }
    }

    fn check(text: &str, expected: &[Range<usize>]) {
        assert_eq!(request(text, false).units(), expected, "{text}");
    }

    #[test]
    fn a_posting_is_the_shortest_run_of_legs_that_nets_to_zero() {
        check("m1 m2", &[0..1, 1..2]);
        check("d5 c5", &[0..2]);
        check("d5 c5 d1 c1", &[0..2, 2..4]);
        check("d5 c2 c3 m1", &[0..3, 3..4]);
        check("d5/A c5/B d5/B c5/A", &[0..4]);
        check("d5/A c5/A c5/B d5/B", &[0..2, 2..4]);
        check("c5 d2 d3", &[0..3]);
    }

    #[test]
    fn legs_without_a_posting_stand_alone() {
        check("d5", std::slice::from_ref(&(0..1)));
        check("d5 m1 c5", &[0..1, 1..2, 2..3]);
        check("d5 d3 c3", &[0..1, 1..2, 2..3]);
        check("d1 c1 d5 c4 m1", &[0..2, 2..3, 3..4, 4..5]);
        let huge = u128::MAX.to_string();
        check(&format!("d{huge} d1 c1 c{huge}"), &[0..1, 1..2, 2..3, 3..4]);
    }

    #[test]
    fn an_atomic_request_is_one_unit() {
        assert_eq!(request("m1 d5 m2", true).units(), [0..3]);
        assert!(request("", true).units().is_empty());
        assert_eq!(postings(&request("m1 d5 c5 m2 d1 c1", true).items), Ok(vec![1..3, 4..6]));
        assert_eq!(postings(&request("m1 d5 c5 d1", true).items), Err(3));
    }
}
