//! "Never seen": a Bloom filter over ids and tuples, so that the store need not be asked about what
//! is new, as almost every id is. It never says "never seen" of what was seen; full or missing, it
//! costs speed and nothing else.
//!
//! Blocked: all bits of a key lie in one half of a cache line (Putze, Sanders, Singler 2007), two in each of
//! its words. It is saved with derived data, so its hash is written down here and belongs to no library.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use zerocopy::FromZeros;

use super::codec::Damaged;
use crate::ledger::entry::Seq;

const WORDS_PER_BLOCK: usize = 4;

/// Of a hash, for one of 64 bits.
const BITS_PER_PLACE: u32 = 6;

/// Changes with the hash or the layout: a filter of another version is made anew.
const VERSION: u8 = 3;

/// A saved filter is cut into values of this many words, 1 MiB.
const WORDS_PER_CHUNK: usize = 1 << 17;

/// A filter of a fixed number of bytes.
#[derive(Debug)]
pub(super) struct Filter {
    /// Atomic for [`Filter::share`] alone: there is one writer, and no order between words matters.
    words: Arc<Vec<AtomicU64>>,
}

/// The same bits, to be saved by another thread while more are added: a copy of all of them would hold up
/// a commit.
#[derive(Debug)]
pub(super) struct SharedFilter(Arc<Vec<AtomicU64>>);

impl Filter {
    /// An empty filter of about `bytes`; `None` for fewer than one block.
    pub(super) fn new(bytes: u64) -> Option<Self> {
        let blocks = usize::try_from(bytes).ok()? / (WORDS_PER_BLOCK * 8);
        // Zeros that the system gives: pages that hold no id yet take no memory.
        let words = AtomicU64::new_vec_zeroed(blocks * WORDS_PER_BLOCK).ok()?;
        (blocks > 0).then(|| Filter { words: Arc::new(words) })
    }

    pub(super) fn share(&self) -> SharedFilter {
        SharedFilter(Arc::clone(&self.words))
    }

    /// What it takes, in bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    /// Takes in a key, and says whether it may have been there. False only for a key that never was.
    pub(super) fn insert(&self, key: &[u8; 16]) -> bool {
        let (block, masks) = self.place(key);
        let mut lacks = 0;
        // All words are looked at, so that no branch waits for the memory that they come from: the lines of
        // the next keys are fetched meanwhile.
        for (word, mask) in self.words[block..block + WORDS_PER_BLOCK].iter().zip(masks) {
            let known = word.load(Relaxed);
            lacks |= !known & mask;
            // One thread alone writes, so that nothing comes in between.
            word.store(known | mask, Relaxed);
        }
        lacks == 0
    }

    /// False only for a key that was never inserted.
    #[cfg(test)]
    pub(super) fn may_contain(&self, key: &[u8; 16]) -> bool {
        let (block, masks) = self.place(key);
        let words = &self.words[block..block + WORDS_PER_BLOCK];
        words.iter().zip(masks).all(|(word, mask)| word.load(Relaxed) & mask == mask)
    }

    /// The first word of the key's block, and its bits in each word of the block.
    fn place(&self, key: &[u8; 16]) -> (usize, [u64; WORDS_PER_BLOCK]) {
        let (hash, mut bits) = hashes(key);
        let blocks = (self.words.len() / WORDS_PER_BLOCK) as u64;
        let block = ((u128::from(hash) * u128::from(blocks)) >> 64) as usize * WORDS_PER_BLOCK;
        let masks = std::array::from_fn(|_| {
            let mask = 1 << (bits & 63) | 1 << (bits >> 6 & 63);
            bits >>= 2 * BITS_PER_PLACE;
            mask
        });
        (block, masks)
    }

    /// Takes back what [`SharedFilter::records`] gave, when it is as large as this empty one: the entry up
    /// to which it knows all. `None` when there is nothing, or not all of it, or of another size.
    ///
    /// # Errors
    /// Those of `load`.
    pub(super) fn restore<E>(
        &self,
        mut load: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Option<Seq>, E> {
        let header = load(&[])?.and_then(|bytes| Header::parse(&bytes).ok());
        let Some(header) = header.filter(|header| header.words == self.words.len() as u64) else {
            return Ok(None);
        };
        let Some(words) = header.words(&mut load)? else { return Ok(None) };
        for (word, saved) in self.words.iter().zip(words).filter(|(_, saved)| *saved != 0) {
            word.store(saved, Relaxed);
        }
        Ok(Some(header.height))
    }

    /// Whether the saved filter, if there is one of this version, is whole and knows `known`: keys with
    /// the entry that brought them.
    ///
    /// # Errors
    /// Those of `load`.
    pub(super) fn saved_knows<'a, E>(
        mut load: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, E>,
        mut known: impl Iterator<Item = (&'a [u8; 16], Seq)>,
    ) -> Result<bool, E> {
        let header = load(&[])?.and_then(|bytes| Header::parse(&bytes).ok());
        let Some(header) = header else { return Ok(true) };
        let Some(words) = header.words(&mut load)? else { return Ok(false) };
        let filter = Filter { words: Arc::new(words.into_iter().map(AtomicU64::new).collect()) };
        Ok(known.all(|(key, seq)| seq > header.height || filter.insert(key)))
    }
}

impl SharedFilter {
    /// What is stored of it: a header under the empty key, which says up to which entry it knows all,
    /// and its words in chunks by number. That it may know some of what comes after does no harm.
    pub(super) fn records(&self, height: Seq) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        let words = self.0.len() as u64;
        let mut digest = Header::digest(height, words);
        let mut chunks = Vec::new();
        for words in self.0.chunks(WORDS_PER_CHUNK) {
            let mut chunk = Vec::with_capacity(8 * words.len());
            words
                .iter()
                .for_each(|word| chunk.extend_from_slice(&word.load(Relaxed).to_le_bytes()));
            digest.update(&chunk);
            chunks.push(chunk);
        }
        let header = Header { height, words, digest: *digest.finalize().as_bytes() };
        let chunks = (0u32..).zip(chunks).map(|(at, chunk)| (at.to_be_bytes().to_vec(), chunk));
        std::iter::once((Vec::new(), header.to_bytes())).chain(chunks)
    }
}

/// What says whether saved words may be believed. A filter that forgot would let an entry in twice.
struct Header {
    height: Seq,
    words: u64,
    digest: [u8; 32],
}

impl Header {
    /// Over what it says of the words, before the words.
    fn digest(height: Seq, words: u64) -> blake3::Hasher {
        let mut digest = blake3::Hasher::new();
        digest.update(&height.to_be_bytes()).update(&words.to_be_bytes());
        digest
    }

    /// The words that belong to this header; `None` when they are not all there, or others.
    fn words<E>(
        &self,
        load: &mut impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Option<Vec<u64>>, E> {
        let (mut words, mut digest) = (Vec::new(), Header::digest(self.height, self.words));
        let chunks = self.words.div_ceil(WORDS_PER_CHUNK as u64);
        for at in 0..u32::try_from(chunks).unwrap_or(u32::MAX) {
            let Some(chunk) = load(&at.to_be_bytes())? else { return Ok(None) };
            digest.update(&chunk);
            words.extend(chunk.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)));
        }
        let is_whole = digest.finalize() == self.digest
            && words.len() as u64 == self.words
            && self.words > 0
            && words.len().is_multiple_of(WORDS_PER_BLOCK);
        Ok(is_whole.then_some(words))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let (height, words) = (self.height.to_be_bytes(), self.words.to_be_bytes());
        [&[VERSION][..], &height, &words, &self.digest].concat()
    }

    fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let damaged = Damaged("filter");
        let (version, rest) = bytes.split_first().ok_or(damaged)?;
        let (height, rest) = rest.split_first_chunk().ok_or(damaged)?;
        let (words, digest) = rest.split_first_chunk().ok_or(damaged)?;
        let digest = digest.try_into().map_err(|_| damaged)?;
        let header = Header {
            height: u64::from_be_bytes(*height),
            words: u64::from_be_bytes(*words),
            digest,
        };
        if *version == VERSION { Ok(header) } else { Err(damaged) }
    }
}

/// Two hashes of a key, by the finalizer of MurmurHash3 (Appleby). Ids may be in any order, as the
/// time-ordered ones are; every bit of a key has to reach every bit of both. Whoever can choose many
/// ids can at worst make look-ups as slow as without a filter.
fn hashes(key: &[u8; 16]) -> (u64, u64) {
    let key = u128::from_be_bytes(*key);
    let first = mix((key >> 64) as u64 ^ mix(key as u64));
    (first, mix(first ^ 0x9e37_79b9_7f4a_7c15))
}

fn mix(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::*;

    type Saved = BTreeMap<Vec<u8>, Vec<u8>>;

    fn filled(bytes: u64, keys: std::ops::Range<u128>) -> Filter {
        let filter = Filter::new(bytes).unwrap();
        // As time-ordered ids are: neighbours differ in a few low bits.
        keys.for_each(|n| _ = filter.insert(&n.to_be_bytes()));
        filter
    }

    fn words(filter: &Filter) -> Vec<u64> {
        filter.words.iter().map(|word| word.load(Relaxed)).collect()
    }

    #[test]
    fn what_was_inserted_is_never_called_unseen_and_most_else_is() {
        let filter = filled(64 << 10, 0..40_000);
        assert!((0..40_000u128).all(|n| filter.may_contain(&n.to_be_bytes())));
        let wrong = (40_000..80_000u128).filter(|n| filter.may_contain(&n.to_be_bytes())).count();
        assert!(wrong < 40_000 / 20, "{wrong} of 40,000 at 13 bits a key");
        assert!(Filter::new(31).is_none());
    }

    #[test]
    fn what_is_saved_comes_back_and_what_is_damaged_does_not() {
        let filter = filled(3 << 20, 0..10_000);
        let saved: Saved = filter.share().records(77).collect();
        assert_eq!(saved.len(), 4);
        let restored = |bytes: u64, saved: &Saved| {
            let empty = Filter::new(bytes).unwrap();
            let load = |key: &[u8]| Ok::<_, Infallible>(saved.get(key).cloned());
            let Ok(height) = empty.restore(load);
            (height, words(&empty))
        };
        assert_eq!(restored(3 << 20, &saved), (Some(77), words(&filter)));
        assert_eq!(restored(2 << 20, &saved).0, None, "another size");
        let damage: [fn(&mut Saved); 5] = [
            |saved| _ = saved.remove(&[][..]),
            |saved| _ = saved.remove(&2u32.to_be_bytes()[..]),
            |saved| saved.get_mut(&1u32.to_be_bytes()[..]).unwrap()[9] ^= 1,
            |saved| saved.get_mut(&[][..]).unwrap()[0] = VERSION + 1,
            |saved| _ = saved.get_mut(&0u32.to_be_bytes()[..]).unwrap().pop(),
        ];
        for (at, change) in damage.iter().enumerate() {
            let mut damaged = saved.clone();
            change(&mut damaged);
            let empty = Filter::new(3 << 20).unwrap();
            assert_eq!(restored(3 << 20, &damaged), (None, words(&empty)), "{at}");
        }
    }

    /// A saved filter of this version was made with exactly this hash.
    #[test]
    fn the_hash_never_changes() {
        let filter = filled(1 << 20, 0..1_000);
        let (_, header) = filter.share().records(0).next().unwrap();
        assert_eq!(hex::encode(&header[17..25]), "0429e40a51ac11fe");
    }
}
