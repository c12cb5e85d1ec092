//! Reproducible chance. The generator is written out here, since those of libraries may change
//! their numbers with a release, and a workload must stay the same bytes for the same seed.

use crate::ledger::entry::EntryId;

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
/// Good enough to choose what to test; never for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `end - 1`; `end` must not be 0. The bias is below `end / 2^64`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        debug_assert!(end > 0);
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// `low` to `high`, both of them included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in `times` of `of` cases.
    pub(crate) fn chance(&mut self, times: u64, of: u64) -> bool {
        self.below(of) < times
    }

    /// 16 bytes.
    pub(super) fn bytes(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next().to_be_bytes());
        bytes
    }

    /// A UUID with the version and variant bits of version 4 (RFC 9562, section 5.4).
    pub(super) fn entry_id(&mut self) -> EntryId {
        let mut bytes = self.bytes();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        EntryId::from_bytes(bytes)
    }
}

/// A UUID of version 7 (RFC 9562, section 5.7): a time in ms since 1970, and of `bytes` all behind it
/// but the bits of version and variant.
pub(super) fn timed_id(ms: u64, mut bytes: [u8; 16]) -> EntryId {
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    EntryId::from_bytes(bytes)
}

/// Weighted choice: index `i` in `weight(i) / total` of cases.
#[derive(Clone, Debug)]
pub(super) struct Weighted {
    /// Sums of the weights up to and with each index.
    sums: Vec<u64>,
}

impl Weighted {
    /// `None` when all weights are zero or their sum exceeds 64 bits.
    pub(super) fn new(weights: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut sum = 0u64;
        let mut sums = Vec::new();
        for weight in weights {
            sum = sum.checked_add(weight)?;
            sums.push(sum);
        }
        (sum > 0).then_some(Weighted { sums })
    }

    /// Zipf's law: the weight of rank `r` (from 1) is `1 / r^exponent`, in whole parts of 2^32, so
    /// that no rounding of floats decides a choice.
    pub(super) fn zipf(ranks: u32, exponent: f64) -> Option<Self> {
        let scale = (1u64 << 32) as f64;
        let weight = |rank: u32| (scale / f64::from(rank).powf(exponent)).round() as u64;
        Self::new((1..=ranks).map(|rank| weight(rank).max(1)))
    }

    pub(super) fn pick(&self, random: &mut Random) -> usize {
        let total = self.sums.last().expect("there is a weight above zero");
        let at = random.below(*total);
        self.sums.partition_point(|&sum| sum <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of the published algorithm for seed 1234567.
    #[test]
    fn the_generator_is_splitmix64() {
        let mut random = Random::new(1_234_567);
        let first = [random.next(), random.next(), random.next()];
        assert_eq!(
            first,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn ids_are_of_version_4_and_differ() {
        let mut random = Random::new(1);
        let ids: std::collections::BTreeSet<_> = (0..1_000).map(|_| random.entry_id()).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| id.to_string().as_bytes()[14] == b'4'));
    }

    #[test]
    fn choices_follow_their_weights() {
        let mut random = Random::new(2);
        let mut hits = [0u32; 3];
        let weighted = Weighted::new([1, 0, 3]).unwrap();
        (0..4_000).for_each(|_| hits[weighted.pick(&mut random)] += 1);
        assert_eq!(hits[1], 0);
        assert!((900..1_100).contains(&hits[0]), "{hits:?}");

        let zipf = Weighted::zipf(100, 1.0).unwrap();
        let mut hits = [0u32; 100];
        (0..50_000).for_each(|_| hits[zipf.pick(&mut random)] += 1);
        assert!(hits[0] > 8 * hits[9] && hits[0] < 13 * hits[9], "{hits:?}");
        assert!(Weighted::new([0, 0]).is_none() && Weighted::new([u64::MAX, 1]).is_none());
    }
}
