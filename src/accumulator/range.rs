//! Range proofs: all leaves of `from..to` are in the tree of `size` leaves, at these places and with
//! none left out. The proof has what the range lacks of the tree, as roots of perfect subtrees from
//! left to right: the peaks of the first `from` leaves, then what is to the right of the range.
//!
//! At most 63 hashes stand to the left and 126 to the right. Of an empty range the proof
//! shows the root of the first `from` leaves and that the larger tree begins with them.

use super::frontier::{Frontier, SIZE_MAX};
use super::hash::{Hash, HashAlgo};
use super::proof::{ProofError, TreeReader};
use super::tile::TileId;

/// The hashes that lead, together with those of the leaves `from..to` (from 0), to the root of the
/// first `size` leaves.
///
/// `load` gives the bytes of a tile: those of the tree of `size` leaves, or of any larger one.
///
/// # Errors
/// [`ProofError::Range`] unless `from <= to <= size < 2^63`, [`ProofError::Tile`] when a tile is
/// missing or too short.
pub fn prove_range<B: AsRef<[u8]>>(
    algo: HashAlgo,
    from: u64,
    to: u64,
    size: u64,
    load: impl FnMut(TileId) -> Option<B>,
) -> Result<Vec<Hash>, ProofError> {
    check(from, to, size)?;
    let mut tree = TreeReader::new(algo, load);
    let outside = subtrees(0, from).chain(subtrees(to, size));
    outside.map(|(height, index)| Ok(tree.node(height, index)?)).collect()
}

/// Checks that the hashes of leaves from `from` on (from 0) are in the tree of `size` leaves with this
/// `root`: the two belong together by a signed checkpoint, since a root alone does not tell the size of
/// its tree. Takes the leaves one by one and keeps a logarithm of them.
///
/// # Errors
/// As [`LeafRange::verify`].
pub fn verify_range(
    algo: HashAlgo,
    from: u64,
    leaves: impl IntoIterator<Item = Hash>,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    let mut range = LeafRange::new(algo, from);
    for leaf in leaves {
        if range.to == size {
            return Err(ProofError::Range { from, to: size.saturating_add(1), size });
        }
        range.push(leaf);
    }
    range.verify(size, proof, root)
}

/// Adjoining leaves as the roots of the largest perfect subtrees that they fill: less than 128 hashes,
/// however many leaves there are. The proof may come after them.
#[derive(Clone, Debug)]
pub struct LeafRange {
    algo: HashAlgo,
    from: u64,
    to: u64,
    /// From left to right: the subtrees that `subtrees(from, to)` names.
    roots: Vec<Hash>,
}

impl LeafRange {
    /// No leaves yet; the first one will be leaf `from` (from 0).
    pub fn new(algo: HashAlgo, from: u64) -> Self {
        LeafRange { algo, from, to: from, roots: Vec::new() }
    }

    /// Takes the next leaf.
    ///
    /// # Panics
    /// After leaf 2^64 - 2.
    pub fn push(&mut self, leaf: Hash) {
        self.to = self.to.checked_add(1).expect("leaf numbers are below 2^63");
        let mut node = leaf;
        let mut span: u64 = 1;
        // A subtree is complete with its right half when it begins within the range.
        while self.to.is_multiple_of(2 * span) && self.to - 2 * span >= self.from {
            let left =
                self.roots.pop().expect("the left half lies in the range and is one subtree");
            node = self.algo.node(&left, &node);
            span *= 2;
        }
        self.roots.push(node);
    }

    /// The first leaf.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// The leaf after the last one so far.
    pub fn to(&self) -> u64 {
        self.to
    }

    /// Checks that the leaves so far are those of the tree of `size` leaves with this `root`.
    ///
    /// # Errors
    /// [`ProofError::Range`] when the leaves do not lie in such a tree, [`ProofError::Length`] or
    /// [`ProofError::Mismatch`].
    pub fn verify(&self, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
        self.before(size, proof, root).map(drop)
    }

    /// As [`LeafRange::verify`], and gives the tree of the leaves before the range, which the proof
    /// has shown.
    ///
    /// # Errors
    /// As [`LeafRange::verify`].
    pub fn before(&self, size: u64, proof: &[Hash], root: &Hash) -> Result<Frontier, ProofError> {
        check(self.from, self.to, size)?;
        let left = self.from.count_ones() as usize;
        let (left, right) = proof.split_at_checked(left).ok_or(ProofError::Length)?;
        if right.len() != subtrees(self.to, size).count() {
            return Err(ProofError::Length);
        }
        let before = Frontier::from_peaks(self.from, left.iter().copied());
        let mut whole = before.clone();
        for ((height, _), root) in subtrees(self.from, self.to).zip(&self.roots) {
            whole.push_subtree(self.algo, height, *root);
        }
        for ((height, _), root) in subtrees(self.to, size).zip(right) {
            whole.push_subtree(self.algo, height, *root);
        }
        if whole.root(self.algo) == *root { Ok(before) } else { Err(ProofError::Mismatch) }
    }
}

fn check(from: u64, to: u64, size: u64) -> Result<(), ProofError> {
    if from <= to && to <= size && size <= SIZE_MAX {
        return Ok(());
    }
    Err(ProofError::Range { from, to, size })
}

/// The largest perfect subtrees that the leaves `low..high` are made of, from left to right: height,
/// and place among those of this height.
fn subtrees(mut low: u64, high: u64) -> impl Iterator<Item = (u32, u64)> {
    std::iter::from_fn(move || {
        let fits = high.checked_sub(low)?.checked_ilog2()?;
        let height = low.trailing_zeros().min(fits);
        let found = (height, low >> height);
        low += 1 << height;
        Some(found)
    })
}
