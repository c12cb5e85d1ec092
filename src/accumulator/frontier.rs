//! The frontier (compact range) of a log: its size and the roots of the perfect subtrees that it
//! is made of. It is all that is needed to append leaves and to know the root.

use std::fmt;

use super::hash::{Hash, HashAlgo};

/// One perfect subtree for each bit of a 64-bit size.
const PEAKS_MAX: usize = 64;

/// The largest size that [`Frontier::from_bytes`] accepts: 2^63 - 1 leaves.
pub(super) const SIZE_MAX: u64 = u64::MAX >> 1;

/// Size and peaks of a log. Holds no heap memory; a clone is a copy of about 2 KiB.
#[derive(Clone)]
pub struct Frontier {
    size: u64,
    /// The peaks from left to right, largest first: one for each bit set in `size`. What lies
    /// beyond them is left over from merged peaks and has no meaning.
    peaks: [Hash; PEAKS_MAX],
}

impl Frontier {
    /// The frontier of the empty log.
    pub fn new() -> Self {
        Frontier { size: 0, peaks: [Hash::default(); PEAKS_MAX] }
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends one leaf hash. Hashes each inner node that it completes once, and allocates nothing.
    pub fn push(&mut self, algo: HashAlgo, leaf: Hash) {
        self.push_each(algo, leaf, |_, _| ());
    }

    /// As [`Frontier::push`], and shows each completed node (the leaf first) with its height.
    pub(super) fn push_each(
        &mut self,
        algo: HashAlgo,
        leaf: Hash,
        mut completed: impl FnMut(u32, &Hash),
    ) {
        let mut top = self.live();
        let mut node = leaf;
        completed(0, &node);
        // Each trailing one of the size is a peak of the same height as `node` at that moment.
        for height in 1..=self.size.trailing_ones() {
            top -= 1;
            node = algo.node(&self.peaks[top], &node);
            completed(height, &node);
        }
        self.peaks[top] = node;
        self.size = self.size.checked_add(1).expect("2^63 pushes do not happen");
    }

    /// Appends a perfect subtree of 2^`height` leaves by its root. The size must be a multiple of
    /// its leaves, and it must not come to more than 2^63 - 1 leaves.
    pub(super) fn push_subtree(&mut self, algo: HashAlgo, height: u32, root: Hash) {
        debug_assert!(self.size.trailing_zeros() >= height, "a subtree stands at a multiple of it");
        let mut top = self.live();
        let mut node = root;
        for _ in 0..(self.size >> height).trailing_ones() {
            top -= 1;
            node = algo.node(&self.peaks[top], &node);
        }
        self.peaks[top] = node;
        self.size += 1 << height;
    }

    /// The root of the log at its present size.
    pub fn root(&self, algo: HashAlgo) -> Hash {
        match self.peaks().split_last() {
            None => algo.empty(),
            Some((last, rest)) => rest.iter().rev().fold(*last, |acc, p| algo.node(p, &acc)),
        }
    }

    /// The size as 8 bytes big-endian, then the peaks from left to right, 32 bytes each.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 32 * self.live());
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend(self.peaks().iter().flat_map(|peak| peak.0));
        bytes
    }

    /// Reads what [`Frontier::to_bytes`] writes.
    ///
    /// # Errors
    /// When the number of peaks is not the number of bits set in the size, or the size is
    /// larger than 2^63 - 1.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FrontierError> {
        let (size, peaks) = bytes.split_first_chunk().ok_or(FrontierError::Length)?;
        let size = u64::from_be_bytes(*size);
        if size > SIZE_MAX {
            return Err(FrontierError::Size);
        }
        let mut frontier = Frontier { size, ..Frontier::new() };
        let (peaks, rest) = peaks.as_chunks::<32>();
        if peaks.len() != frontier.live() || !rest.is_empty() {
            return Err(FrontierError::Length);
        }
        for (slot, peak) in frontier.peaks.iter_mut().zip(peaks) {
            *slot = Hash(*peak);
        }
        Ok(frontier)
    }

    /// Assembles a frontier from as many peaks as `size` has bits set, left to right.
    pub(super) fn from_peaks(size: u64, peaks: impl Iterator<Item = Hash>) -> Self {
        let mut frontier = Frontier { size, ..Frontier::new() };
        let live = frontier.live();
        for (slot, peak) in frontier.peaks[..live].iter_mut().zip(peaks) {
            *slot = peak;
        }
        frontier
    }

    fn peaks(&self) -> &[Hash] {
        &self.peaks[..self.live()]
    }

    fn live(&self) -> usize {
        self.size.count_ones() as usize
    }
}

impl Default for Frontier {
    fn default() -> Self {
        Frontier::new()
    }
}

impl PartialEq for Frontier {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size && self.peaks() == other.peaks()
    }
}

impl Eq for Frontier {}

impl fmt::Debug for Frontier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frontier").field("size", &self.size).field("peaks", &self.peaks()).finish()
    }
}

/// Why bytes are not a frontier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrontierError {
    /// The number of peaks does not belong to the size.
    #[error("frontier is damaged: its length does not belong to its size")]
    Length,
    /// More than 2^63 - 1 leaves.
    #[error("frontier is damaged: its size is above 2^63 - 1")]
    Size,
}
