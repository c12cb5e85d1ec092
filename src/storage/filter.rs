//! "Never seen": a Bloom filter over ids and tuples, so that the store need not be asked about what
//! is new, as almost every id is. It never says "never seen" of what was seen; full or missing, it
//! costs speed and nothing else.
//!
//! It grows with the ledger, in parts (scalable: Almeida et al. 2007): once the newest is full, another one as
//! large as all before it together takes in what is new, within a bound. Each part is blocked: all bits of a key
//! lie in one half of a cache line (Putze, Sanders, Singler 2007), two in each of its words. It is saved with
//! derived data, so its hash is written down here and belongs to no library.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use zerocopy::FromZeros;

use super::codec::Damaged;
use crate::ledger::entry::Seq;

const WORDS_PER_BLOCK: usize = 4;

const BLOCK_BYTES: u64 = 8 * WORDS_PER_BLOCK as u64;

/// Of a hash, for one of 64 bits.
const BITS_PER_PLACE: u32 = 6;

/// Of the first part. What a small ledger saves is small, and 32 bits for each of 4,000,000 entries are enough.
const FIRST_BYTES: u64 = 16 << 20;

/// A part is full when it has fewer for each key: then it takes about one new key in a thousand for a known one.
const BYTES_PER_KEY: u64 = 2;

/// Changes with the hash or the layout: a filter of another version is made anew.
const VERSION: u8 = 4;

/// A saved part is cut into values of this many words, 1 MiB.
const WORDS_PER_CHUNK: usize = 1 << 17;

/// The bits of a part. Atomic for [`Filter::share`] alone: there is one writer, and no order between words
/// matters.
type Words = Arc<Vec<AtomicU64>>;

/// A filter that grows.
#[derive(Debug)]
pub(super) struct Filter {
    /// The newest one takes keys in, and is the last.
    parts: Vec<Part>,
    bytes_max: u64,
}

#[derive(Clone, Debug)]
struct Part {
    words: Words,
    keys: u64,
}

/// The same bits, to be saved by another thread while more are added: a copy of all of them would hold up
/// a commit.
#[derive(Debug)]
pub(super) struct SharedFilter {
    parts: Vec<Part>,
    /// So many of them are saved already, and did not change since.
    saved: usize,
}

impl Filter {
    /// An empty filter that grows to at most `bytes_max`; `None` for fewer than one block.
    pub(super) fn new(bytes_max: u64) -> Option<Self> {
        Self::starting_with(FIRST_BYTES, bytes_max)
    }

    fn starting_with(first_bytes: u64, bytes_max: u64) -> Option<Self> {
        let first = Part::new(first_bytes.min(bytes_max))?;
        Some(Filter { parts: vec![first], bytes_max })
    }

    /// To be saved, but for the parts that [`Filter::full_parts`] counted when it was saved last.
    pub(super) fn share(&self, saved: usize) -> SharedFilter {
        SharedFilter { parts: self.parts.clone(), saved }
    }

    /// Parts that do not change any more.
    pub(super) fn full_parts(&self) -> usize {
        self.parts.len() - 1
    }

    /// Of the part that does, in bytes.
    pub(super) fn newest_bytes(&self) -> u64 {
        self.parts.last().map_or(0, Part::size_bytes)
    }

    /// What it takes, in bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        self.parts.iter().map(Part::size_bytes).sum()
    }

    /// Takes in a key, and says whether it may have been there. False only for a key that never was.
    pub(super) fn insert(&self, key: &[u8; 16]) -> bool {
        let Some((newest, older)) = self.parts.split_last() else { return true };
        let (hash, masks) = place(key);
        // No branch waits for the memory that words come from: the lines of the next keys are fetched meanwhile.
        let known = older.iter().fold(false, |known, part| known | part.has(hash, masks));
        newest.take_in(hash, masks.map(|mask| if known { 0 } else { mask })) | known
    }

    /// Counts keys that were taken in, and makes room for more.
    pub(super) fn count(&mut self, keys: u64) {
        let size = self.size_bytes();
        let Some(newest) = self.parts.last_mut() else { return };
        newest.keys += keys;
        let is_full = newest.keys.saturating_mul(BYTES_PER_KEY) >= newest.size_bytes();
        if is_full && size.saturating_mul(2) <= self.bytes_max {
            self.parts.extend(Part::new(size));
        }
    }

    /// False only for a key that was never inserted.
    #[cfg(test)]
    pub(super) fn may_contain(&self, key: &[u8; 16]) -> bool {
        let (hash, masks) = place(key);
        self.parts.iter().any(|part| part.has(hash, masks))
    }

    /// Takes back what [`SharedFilter::records`] gave, when this empty filter may grow as large: the entry up
    /// to which it knows all. `None` when there is nothing, or not all of it, or it grew otherwise.
    ///
    /// # Errors
    /// Those of `load`.
    pub(super) fn restore<E>(
        &mut self,
        mut load: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Option<Seq>, E> {
        let header = load(&[])?.and_then(|bytes| Header::parse(&bytes).ok());
        let Some(header) = header.filter(|header| self.may_become(header)) else { return Ok(None) };
        let Some(parts) = header.parts(&mut load)? else { return Ok(None) };
        self.parts = parts;
        Ok(Some(header.height))
    }

    fn may_become(&self, header: &Header) -> bool {
        let mut size = 0;
        let grown = header.parts.iter().all(|part| {
            let bytes = part.words.saturating_mul(8);
            let is_next = bytes == if size == 0 { self.size_bytes() } else { size };
            size += bytes;
            is_next && size <= self.bytes_max
        });
        grown && size > 0
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
        let Some(parts) = header.parts(&mut load)? else { return Ok(false) };
        let filter = Filter { parts, bytes_max: 0 };
        Ok(known.all(|(key, seq)| seq > header.height || filter.insert(key)))
    }
}

impl Part {
    fn new(bytes: u64) -> Option<Self> {
        let blocks = usize::try_from(bytes / BLOCK_BYTES).ok()?;
        // Zeros that the system gives: pages that hold no id yet take no memory.
        let words = AtomicU64::new_vec_zeroed(blocks * WORDS_PER_BLOCK).ok()?;
        (blocks > 0).then(|| Part { words: Arc::new(words), keys: 0 })
    }

    fn size_bytes(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    /// The block of a key.
    fn block(&self, hash: u64) -> &[AtomicU64] {
        let blocks = (self.words.len() / WORDS_PER_BLOCK) as u64;
        let first = ((u128::from(hash) * u128::from(blocks)) >> 64) as usize * WORDS_PER_BLOCK;
        &self.words[first..first + WORDS_PER_BLOCK]
    }

    fn has(&self, hash: u64, masks: [u64; WORDS_PER_BLOCK]) -> bool {
        let words = self.block(hash).iter().zip(masks);
        words.fold(0, |lacks, (word, mask)| lacks | !word.load(Relaxed) & mask) == 0
    }

    /// Whether all was there.
    fn take_in(&self, hash: u64, masks: [u64; WORDS_PER_BLOCK]) -> bool {
        let mut lacks = 0;
        for (word, mask) in self.block(hash).iter().zip(masks) {
            let known = word.load(Relaxed);
            lacks |= !known & mask;
            // One thread alone writes, so that nothing comes in between.
            word.store(known | mask, Relaxed);
        }
        lacks == 0
    }

    fn chunks(&self) -> impl Iterator<Item = Vec<u8>> {
        self.words.chunks(WORDS_PER_CHUNK).map(|words| {
            let mut chunk = Vec::with_capacity(8 * words.len());
            words
                .iter()
                .for_each(|word| chunk.extend_from_slice(&word.load(Relaxed).to_le_bytes()));
            chunk
        })
    }
}

impl SharedFilter {
    /// Shows what is stored of it, a record after the other, so that no more than one lies beside the filter: the
    /// words of each part that is not saved yet, in chunks by number, and a header under the empty key, which
    /// says up to which entry it knows all. The header comes last, since bits are set meanwhile, and its digests
    /// are those of the words that were shown. That it may know some of what comes after does no harm.
    pub(super) fn records(&self, height: Seq, mut show: impl FnMut(&[u8], &[u8])) {
        let mut parts = Vec::with_capacity(self.parts.len());
        for (part, number) in self.parts.iter().zip(0..) {
            let mut digest = blake3::Hasher::new();
            for (chunk, at) in part.chunks().zip(0..) {
                digest.update(&chunk);
                if number >= self.saved {
                    show(&chunk_key(number, at), &chunk);
                }
            }
            let words = part.words.len() as u64;
            let digest = *digest.finalize().as_bytes();
            parts.push(PartHeader { words, keys: part.keys, digest });
        }
        show(&[], &Header { height, parts }.to_bytes());
    }

    /// Of the records, but for keys and the header.
    pub(super) fn size_bytes(&self) -> u64 {
        self.parts.iter().skip(self.saved).map(Part::size_bytes).sum()
    }
}

/// Of a part, and of a chunk within it.
fn chunk_key(part: usize, at: u32) -> Vec<u8> {
    // Each part is at least as large as all before it: there are fewer than 64.
    [&[part as u8][..], &at.to_be_bytes()].concat()
}

/// What says whether saved words may be believed. A filter that forgot would let an entry in twice.
struct Header {
    height: Seq,
    parts: Vec<PartHeader>,
}

struct PartHeader {
    words: u64,
    keys: u64,
    /// Of the words.
    digest: [u8; 32],
}

impl Header {
    /// The parts that belong to this header; `None` when they are not all there, or others.
    fn parts<E>(
        &self,
        load: &mut impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Option<Vec<Part>>, E> {
        let mut parts = Vec::with_capacity(self.parts.len());
        for (header, number) in self.parts.iter().zip(0..) {
            let (mut words, mut digest) = (Vec::new(), blake3::Hasher::new());
            for at in
                0..u32::try_from(header.words.div_ceil(WORDS_PER_CHUNK as u64)).unwrap_or(u32::MAX)
            {
                let Some(chunk) = load(&chunk_key(number, at))? else { return Ok(None) };
                digest.update(&chunk);
                let saved = chunk.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
                words.extend(saved.map(AtomicU64::new));
            }
            let is_whole = digest.finalize() == header.digest
                && words.len() as u64 == header.words
                && header.words > 0
                && words.len().is_multiple_of(WORDS_PER_BLOCK);
            if !is_whole {
                return Ok(None);
            }
            parts.push(Part { words: Arc::new(words), keys: header.keys });
        }
        Ok((!parts.is_empty()).then_some(parts))
    }

    /// A version, the height, of each part its words, its keys and their digest, and the digest of all that.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [&[VERSION][..], &self.height.to_be_bytes()].concat();
        for PartHeader { words, keys, digest } in &self.parts {
            bytes.extend([&words.to_be_bytes()[..], &keys.to_be_bytes(), digest].concat());
        }
        let digest = blake3::hash(&bytes);
        bytes.extend(digest.as_bytes());
        bytes
    }

    /// One of another version is none; of this version, one that was changed has no parts.
    fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let damaged = Damaged("filter");
        let (&version, _) = bytes.split_first().ok_or(damaged)?;
        if version != VERSION {
            return Err(damaged);
        }
        let none = Header { height: 0, parts: Vec::new() };
        let Some((said, digest)) = bytes.split_last_chunk::<32>() else { return Ok(none) };
        let Some((height, rest)) = said[1..].split_first_chunk() else { return Ok(none) };
        let (parts, over) = rest.as_chunks::<48>();
        if blake3::hash(said) != *digest || !over.is_empty() {
            return Ok(none);
        }
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let part = |part: &[u8; 48]| PartHeader {
            words: number(&part[..8]),
            keys: number(&part[8..16]),
            digest: std::array::from_fn(|at| part[16 + at]),
        };
        let parts = parts.iter().map(part).collect();
        Ok(Header { height: u64::from_be_bytes(*height), parts })
    }
}

/// The hash that chooses the block of a key, and its bits in each word of the block.
fn place(key: &[u8; 16]) -> (u64, [u64; WORDS_PER_BLOCK]) {
    let (hash, mut bits) = hashes(key);
    let masks = std::array::from_fn(|_| {
        let mask = 1 << (bits & 63) | 1 << (bits >> 6 & 63);
        bits >>= 2 * BITS_PER_PLACE;
        mask
    });
    (hash, masks)
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

    fn fill(filter: &mut Filter, keys: std::ops::Range<u128>) {
        for n in keys {
            // As time-ordered ids are: neighbours differ in a few low bits.
            filter.insert(&n.to_be_bytes());
            filter.count(1);
        }
    }

    fn filled(bytes: u64, keys: std::ops::Range<u128>) -> Filter {
        let mut filter = Filter::new(bytes).unwrap();
        fill(&mut filter, keys);
        filter
    }

    /// Of four parts, with 2,048, 2,048, 4,096 and 1,808 keys.
    fn grown() -> Filter {
        let mut filter = Filter::starting_with(4 << 10, 40 << 10).unwrap();
        fill(&mut filter, 0..10_000);
        assert_eq!(
            filter.parts.iter().map(|part| part.keys).collect::<Vec<_>>(),
            [2_048, 2_048, 4_096, 1_808]
        );
        filter
    }

    fn words(filter: &Filter) -> Vec<Vec<u64>> {
        let words = |part: &Part| part.words.iter().map(|word| word.load(Relaxed)).collect();
        filter.parts.iter().map(words).collect()
    }

    fn saved(filter: &SharedFilter, height: Seq) -> Saved {
        let mut saved = Saved::new();
        filter.records(height, |key, value| _ = saved.insert(key.into(), value.into()));
        let bytes: usize =
            saved.iter().filter(|(key, _)| !key.is_empty()).map(|(_, v)| v.len()).sum();
        assert_eq!(bytes as u64, filter.size_bytes());
        saved
    }

    fn restored(mut empty: Filter, saved: &Saved) -> (Option<Seq>, Filter) {
        let load = |key: &[u8]| Ok::<_, Infallible>(saved.get(key).cloned());
        let Ok(height) = empty.restore(load);
        (height, empty)
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
    fn a_filter_grows_with_its_keys_up_to_its_bound_and_knows_all_of_them() {
        let mut filter = grown();
        assert_eq!(filter.size_bytes(), 32 << 10);
        assert!((0..10_000u128).all(|n| filter.may_contain(&n.to_be_bytes())));
        let wrong = (10_000..30_000u128).filter(|n| filter.may_contain(&n.to_be_bytes())).count();
        assert!(wrong < 20_000 / 100, "{wrong} of 20,000");
        // What an older part knows takes no room in the newest.
        let before = words(&filter);
        assert!((0..2_000u128).all(|n| filter.insert(&n.to_be_bytes())));
        assert_eq!(words(&filter), before);
        fill(&mut filter, 10_000..20_000);
        assert_eq!((filter.parts.len(), filter.size_bytes()), (4, 32 << 10));
    }

    #[test]
    fn what_is_saved_comes_back_and_what_is_damaged_does_not() {
        let filter = filled(3 << 20, 0..10_000);
        let saved = saved(&filter.share(0), 77);
        assert_eq!(saved.len(), 4);
        let of = |bytes| Filter::new(bytes).unwrap();
        let (height, again) = restored(of(3 << 20), &saved);
        assert_eq!((height, words(&again)), (Some(77), words(&filter)));
        assert_eq!(restored(of(2 << 20), &saved).0, None, "another size");
        let damage: [fn(&mut Saved); 6] = [
            |saved| _ = saved.remove(&[][..]),
            |saved| _ = saved.remove(&chunk_key(0, 2)),
            |saved| saved.get_mut(&chunk_key(0, 1)).unwrap()[9] ^= 1,
            |saved| saved.get_mut(&[][..]).unwrap()[0] = VERSION + 1,
            |saved| saved.get_mut(&[][..]).unwrap()[8] ^= 1,
            |saved| _ = saved.get_mut(&chunk_key(0, 0)).unwrap().pop(),
        ];
        for (at, change) in damage.iter().enumerate() {
            let mut damaged = saved.clone();
            change(&mut damaged);
            let (height, again) = restored(of(3 << 20), &damaged);
            assert_eq!((height, words(&again)), (None, words(&of(3 << 20))), "{at}");
        }
    }

    #[test]
    fn full_parts_are_saved_once_and_a_grown_filter_goes_on_where_it_was() {
        let mut filter = Filter::starting_with(4 << 10, 40 << 10).unwrap();
        fill(&mut filter, 0..3_000);
        let mut all = saved(&filter.share(0), 1);
        let full = filter.full_parts();
        fill(&mut filter, 3_000..10_000);
        let later = saved(&filter.share(full), 2);
        assert_eq!((full, later.len()), (1, 1 + 3));
        all.extend(later);
        let empty = |bytes_max| Filter::starting_with(4 << 10, bytes_max).unwrap();
        let (height, mut again) = restored(empty(64 << 10), &all);
        assert_eq!((height, words(&again)), (Some(2), words(&grown())));
        fill(&mut again, 10_000..20_000);
        assert_eq!(again.size_bytes(), 64 << 10);
        assert_eq!(restored(empty(16 << 10), &all).0, None, "a bound that it is beyond");
    }

    /// A saved filter of this version was made with exactly this hash.
    #[test]
    fn the_hash_never_changes() {
        let filter = filled(1 << 20, 0..1_000);
        let header = &saved(&filter.share(0), 0)[&[][..]];
        assert_eq!(hex::encode(&header[25..33]), "f5f22caaa180c50f");
    }
}
