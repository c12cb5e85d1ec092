//! "Never seen": a Bloom filter over ids and tuples, so that the store need not be asked about what
//! is new, as almost every id is. It never says "never seen" of what was seen; full or missing, it
//! costs speed and nothing else.
//!
//! Blocked: all bits of a key lie in one cache line of 512 bits (Putze, Sanders, Singler 2007).

use std::hash::{BuildHasher, Hash};

const WORDS_PER_BLOCK: usize = 8;
const BITS_PER_KEY: u32 = 8;

/// A filter of a fixed number of bytes.
#[derive(Clone)]
pub(super) struct Filter {
    words: Vec<u64>,
    hasher: foldhash::fast::FixedState,
}

impl Filter {
    /// An empty filter of about `bytes`; `None` for fewer than one block.
    pub(super) fn new(bytes: u64) -> Option<Self> {
        let blocks = usize::try_from(bytes).ok()? / (WORDS_PER_BLOCK * 8);
        let words = vec![0; blocks * WORDS_PER_BLOCK];
        // A fixed seed: whoever can choose many ids can at worst make look-ups as slow as without.
        (blocks > 0).then(|| Filter { words, hasher: foldhash::fast::FixedState::with_seed(0) })
    }

    pub(super) fn insert(&mut self, key: &impl Hash) {
        let (block, bits) = self.place(key);
        for bit in bits {
            self.words[block + bit / 64] |= 1 << (bit % 64);
        }
    }

    /// False only for a key that was never inserted.
    pub(super) fn may_contain(&self, key: &impl Hash) -> bool {
        let (block, mut bits) = self.place(key);
        bits.all(|bit| self.words[block + bit / 64] & (1 << (bit % 64)) != 0)
    }

    /// The first word of the key's block, and its bits within the block.
    fn place<K: Hash>(&self, key: &K) -> (usize, impl Iterator<Item = usize> + use<K>) {
        let hash = self.hasher.hash_one(key);
        let blocks = (self.words.len() / WORDS_PER_BLOCK) as u64;
        let block = ((u128::from(hash) * u128::from(blocks)) >> 64) as usize * WORDS_PER_BLOCK;
        // The block took the high bits of the hash; a multiplication spreads the low ones anew.
        let spread = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (one, two) = ((spread >> 32) as u32, (spread as u32) | 1);
        let bits =
            (0..BITS_PER_KEY).map(move |n| (one.wrapping_add(two.wrapping_mul(n)) >> 23) as usize);
        (block, bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inserted_is_never_called_unseen_and_most_else_is() {
        let mut filter = Filter::new(64 << 10).unwrap();
        let key = |n: u128| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_0c9d_1a2b_3c4d).to_be_bytes();
        for n in 0..40_000 {
            filter.insert(&key(n));
        }
        assert!((0..40_000).all(|n| filter.may_contain(&key(n))));
        let wrong = (40_000..80_000).filter(|n| filter.may_contain(&key(*n))).count();
        assert!(wrong < 40_000 / 20, "{wrong} of 40,000 at 13 bits a key");
        assert!(Filter::new(63).is_none());
    }
}
