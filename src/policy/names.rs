//! Sets of account prefixes, and the regions that accounts are in.

use crate::ledger::names::AccountId;

/// Prefixes of accounts. Sorted, and none begins with another one, so that the only one that an account
/// can begin with is the greatest that is not greater than it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefixes(Vec<Box<str>>);

impl Prefixes {
    pub(super) fn new(prefixes: impl IntoIterator<Item = Box<str>>) -> Self {
        let mut sorted: Vec<Box<str>> = prefixes.into_iter().collect();
        sorted.sort_unstable();
        // What begins with the one before it is covered by that.
        sorted.dedup_by(|later, earlier| later.starts_with(&**earlier));
        Prefixes(sorted)
    }

    pub(super) fn cover(&self, account: &AccountId) -> bool {
        let after = self.0.partition_point(|prefix| **prefix <= *account.as_str());
        after > 0 && account.as_str().starts_with(&*self.0[after - 1])
    }
}

/// A set of regions, one bit each; the first is [`ELSEWHERE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RegionSet(u128);

/// The most regions that a file may name: with the one that has no name they fit in a set.
pub(super) const REGIONS_MAX: usize = 64;

/// Where an account is that no region claims. It is a region as the others are: else value could cross
/// by way of it.
pub(super) const ELSEWHERE: &str = "elsewhere";

impl RegionSet {
    pub(super) const ALL: RegionSet = RegionSet(u128::MAX);

    fn one(index: usize) -> Self {
        RegionSet(1 << index)
    }

    fn or(self, other: Self) -> Self {
        RegionSet(self.0 | other.0)
    }

    fn and(self, other: Self) -> Self {
        RegionSet(self.0 & other.0)
    }

    fn without(self, other: Self) -> Self {
        RegionSet(self.0 & !other.0)
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn is_one(self) -> bool {
        self.0.is_power_of_two()
    }
}

impl FromIterator<RegionSet> for RegionSet {
    fn from_iter<I: IntoIterator<Item = RegionSet>>(sets: I) -> Self {
        sets.into_iter().fold(RegionSet::default(), RegionSet::or)
    }
}

/// From which regions value goes to which, for one entry. Empty where nothing goes from an account to
/// another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    pub(super) from: RegionSet,
    pub(super) to: RegionSet,
}

impl Flow {
    /// Whether any of it goes from a region to another one.
    pub fn crosses(self) -> bool {
        self.meets(RegionSet::ALL, RegionSet::ALL)
    }

    /// Whether any of it goes from one of these to another one of those.
    pub(super) fn meets(self, from: RegionSet, to: RegionSet) -> bool {
        let (from, to) = (self.from.and(from), self.to.and(to));
        let is_of_one = from == to && from.is_one();
        !(from.is_empty() || to.is_empty() || is_of_one)
    }

    /// Whether all that crosses goes from one of these to one of those.
    pub(super) fn is_within(self, from: RegionSet, to: RegionSet) -> bool {
        let (not_from, not_to) = (RegionSet::ALL.without(from), RegionSet::ALL.without(to));
        !self.meets(not_from, RegionSet::ALL) && !self.meets(RegionSet::ALL, not_to)
    }
}

/// Which accounts are where. The longest prefix decides.
#[derive(Clone, Debug, Default)]
pub(super) struct Regions {
    names: Vec<Box<str>>,
    /// The longest first.
    prefixes: Vec<(Box<str>, RegionSet)>,
}

impl Regions {
    /// From names with their prefixes.
    pub(super) fn new(regions: Vec<(Box<str>, Vec<Box<str>>)>) -> Self {
        let mut built = Regions::default();
        for (at, (name, prefixes)) in regions.into_iter().enumerate() {
            let set = RegionSet::one(at + 1);
            built.names.push(name);
            built.prefixes.extend(prefixes.into_iter().map(|prefix| (prefix, set)));
        }
        built.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        built
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// The region of this name.
    pub(super) fn named(&self, name: &str) -> Option<RegionSet> {
        if name == ELSEWHERE {
            return Some(RegionSet::one(0));
        }
        let at = self.names.iter().position(|known| **known == *name)?;
        Some(RegionSet::one(at + 1))
    }

    pub(super) fn of(&self, account: &AccountId) -> RegionSet {
        let found =
            self.prefixes.iter().find(|(prefix, _)| account.as_str().starts_with(&**prefix));
        found.map_or(RegionSet::one(0), |(_, set)| *set)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn account(text: &str) -> AccountId {
        AccountId::new(text).unwrap()
    }

    proptest! {
        #[test]
        fn a_set_of_prefixes_covers_what_one_of_them_does(
            prefixes in prop::collection::vec("[ab/]{1,4}", 0..12),
            text in "[ab/]{1,6}",
        ) {
            let naive = prefixes.iter().any(|prefix| text.starts_with(prefix.as_str()));
            let set = Prefixes::new(prefixes.iter().map(|prefix| prefix.as_str().into()));
            prop_assert_eq!(set.cover(&account(&text)), naive, "{:?}", set);
        }

        /// Against every pair, one by one.
        #[test]
        fn a_flow_is_the_pairs_that_cross(from in 0u8..16, to in 0u8..16, a in 0u8..16, b in 0u8..16) {
            let set = |bits: u8| RegionSet(u128::from(bits));
            let has = |bits: u8, at: u32| bits & (1 << at) != 0;
            let pairs = (0..4).flat_map(|f| (0..4).map(move |t| (f, t)));
            let crossing: Vec<(u32, u32)> =
                pairs.filter(|&(f, t)| f != t && has(from, f) && has(to, t)).collect();
            let flow = Flow { from: set(from), to: set(to) };
            prop_assert_eq!(flow.crosses(), !crossing.is_empty());
            let inside = |&(f, t): &(u32, u32)| has(a, f) && has(b, t);
            prop_assert_eq!(flow.meets(set(a), set(b)), crossing.iter().any(inside));
            prop_assert_eq!(flow.is_within(set(a), set(b)), crossing.iter().all(inside));
        }
    }

    #[test]
    fn the_longest_prefix_says_where_an_account_is() {
        let regions = Regions::new(vec![
            ("eu".into(), vec!["bank/".into(), "de/".into()]),
            ("us".into(), vec!["bank/us/".into()]),
        ]);
        let check = |text: &str, region: &str| {
            assert_eq!(Some(regions.of(&account(text))), regions.named(region), "{text}");
        };
        check("bank/a", "eu");
        check("bank/us/a", "us");
        check("de/a", "eu");
        check("fr/a", ELSEWHERE);
        assert_eq!(regions.named("mars"), None);
    }
}
