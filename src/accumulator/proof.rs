//! Inclusion and consistency proofs: made from tiles in O(log n), checked by the algorithms of
//! RFC 9162 sections 2.1.3.2 and 2.1.4.2. A proof runs from the leaf towards the root.

use super::hash::{Hash, HashAlgo};
use super::tile::{TILE_WIDTH, TileError, TileId, row_root};

/// The hashes that lead from leaf `index` (from 0) to the root of the first `size` leaves.
///
/// `load` gives the bytes of a tile: those of the tree of `size` leaves, or of any larger one.
///
/// # Errors
/// [`ProofError::OutOfRange`] when the leaf is not in the tree, [`ProofError::Tile`] when a tile
/// is missing or too short.
pub fn inclusion<B: AsRef<[u8]>>(
    algo: HashAlgo,
    index: u64,
    size: u64,
    load: impl FnMut(TileId) -> Option<B>,
) -> Result<Vec<Hash>, ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { index, size });
    }
    let mut tree = TreeReader::new(algo, load);
    let mut proof = Vec::new();
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + left_width(high - low);
        if index < middle {
            proof.push(tree.range(middle, high)?);
            high = middle;
        } else {
            proof.push(tree.range(low, middle)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The hashes that show that the first `from` leaves of the tree of `to` leaves are the tree of
/// `from` leaves. None are needed when `from` is 0 or `to`.
///
/// `load` is as for [`inclusion`].
///
/// # Errors
/// [`ProofError::Shrinks`] when `from` is larger than `to`, [`ProofError::Tile`] when a tile is
/// missing or too short.
pub fn consistency<B: AsRef<[u8]>>(
    algo: HashAlgo,
    from: u64,
    to: u64,
    load: impl FnMut(TileId) -> Option<B>,
) -> Result<Vec<Hash>, ProofError> {
    if from > to {
        return Err(ProofError::Shrinks { from, to });
    }
    let mut proof = Vec::new();
    if from == 0 {
        return Ok(proof);
    }
    let mut tree = TreeReader::new(algo, load);
    let (mut low, mut high) = (0, to);
    while high != from {
        let middle = low + left_width(high - low);
        if from <= middle {
            proof.push(tree.range(middle, high)?);
            high = middle;
        } else {
            proof.push(tree.range(low, middle)?);
            low = middle;
        }
    }
    // With `low` 0 what is left is the old tree itself, whose root the verifier has.
    if low != 0 {
        proof.push(tree.range(low, high)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The root of the first `size` leaves, from tiles. `load` is as for [`inclusion`].
///
/// # Errors
/// [`ProofError::Tile`] when a tile is missing or too short.
pub fn root_at<B: AsRef<[u8]>>(
    algo: HashAlgo,
    size: u64,
    load: impl FnMut(TileId) -> Option<B>,
) -> Result<Hash, ProofError> {
    match size {
        0 => Ok(algo.empty()),
        _ => Ok(TreeReader::new(algo, load).range(0, size)?),
    }
}

/// Checks that `leaf` is the hash of leaf `index` in the tree of `size` leaves with this `root`.
///
/// # Errors
/// [`ProofError::OutOfRange`], [`ProofError::Length`] or [`ProofError::Mismatch`].
pub fn verify_inclusion(
    algo: HashAlgo,
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { index, size });
    }
    let mut climb = Climb { node: index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in proof {
        hash = match climb.step()? {
            Side::Left => algo.node(sibling, &hash),
            Side::Right => algo.node(&hash, sibling),
        };
    }
    climb.end()?;
    if hash == *root { Ok(()) } else { Err(ProofError::Mismatch) }
}

/// Checks that the tree of `to` leaves with root `to_root` begins with the tree of `from` leaves
/// with root `from_root`.
///
/// # Errors
/// [`ProofError::Shrinks`], [`ProofError::Length`] or [`ProofError::Mismatch`].
pub fn verify_consistency(
    algo: HashAlgo,
    from: u64,
    to: u64,
    proof: &[Hash],
    from_root: &Hash,
    to_root: &Hash,
) -> Result<(), ProofError> {
    if from > to {
        return Err(ProofError::Shrinks { from, to });
    }
    if from == 0 || from == to {
        // Any tree begins with the empty one; of the same size it begins with itself alone.
        if !proof.is_empty() {
            return Err(ProofError::Length);
        }
        let holds =
            (from != 0 || *from_root == algo.empty()) && (from != to || from_root == to_root);
        return if holds { Ok(()) } else { Err(ProofError::Mismatch) };
    }
    let mut proof = proof.iter();
    // The old tree is a node of the new one when its size is a power of two: then it is the start
    // of the climb, else the proof names the node to start from.
    let start =
        if from.is_power_of_two() { from_root } else { proof.next().ok_or(ProofError::Length)? };
    let mut climb = Climb { node: from - 1, last: to - 1 };
    climb.rise_while(|node| node & 1 == 1);
    let (mut old, mut new) = (*start, *start);
    for sibling in proof {
        match climb.step()? {
            Side::Left => {
                old = algo.node(sibling, &old);
                new = algo.node(sibling, &new);
            }
            Side::Right => new = algo.node(&new, sibling),
        }
    }
    climb.end()?;
    if old == *from_root && new == *to_root { Ok(()) } else { Err(ProofError::Mismatch) }
}

/// Why there is no proof, or why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// No such leaf.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    OutOfRange {
        /// The leaf, from 0.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The old tree is the larger one.
    #[error("a tree of {from} leaves cannot be the beginning of one of {to}")]
    Shrinks {
        /// The size of the old tree.
        from: u64,
        /// The size of the new tree.
        to: u64,
    },
    /// The range does not lie in the tree.
    #[error("leaves {from} to {to} are no range of a tree of {size} leaves")]
    Range {
        /// The first leaf, from 0.
        from: u64,
        /// The leaf after the last.
        to: u64,
        /// The size of the tree.
        size: u64,
    },
    /// A tile is missing or too short.
    #[error("cannot make the proof")]
    Tile(#[from] TileError),
    /// The number of hashes does not belong to the sizes.
    #[error("the proof has too few or too many hashes")]
    Length,
    /// The proof leads to another root.
    #[error("the proof does not lead to the root")]
    Mismatch,
}

/// On which side of the present node the next hash of a proof stands.
enum Side {
    Left,
    Right,
}

/// The way of a node up to the root (`fn` and `sn` of RFC 9162): the index of the node and of the
/// last node of its level. At most 64 steps.
struct Climb {
    node: u64,
    last: u64,
}

impl Climb {
    /// Goes up by one hash of the proof.
    fn step(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError::Length);
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            // A last node without a right sibling moves up until it is a right child.
            self.rise_while(|node| node & 1 == 0 && node != 0);
            Side::Left
        } else {
            Side::Right
        };
        self.node >>= 1;
        self.last >>= 1;
        Ok(side)
    }

    fn rise_while(&mut self, go_on: impl Fn(u64) -> bool) {
        while go_on(self.node) {
            self.node >>= 1;
            self.last >>= 1;
        }
    }

    /// Checks that the root has been reached.
    fn end(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::Length) }
    }
}

/// The largest power of two below `leaves` (2 or more): where RFC 6962 splits a tree.
fn left_width(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// Reads subtree roots out of tiles. Keeps the last tile, since a proof asks for up to eight
/// nodes of one tile in a row.
pub(super) struct TreeReader<F, B> {
    algo: HashAlgo,
    load: F,
    last: Option<(TileId, B)>,
}

impl<F: FnMut(TileId) -> Option<B>, B: AsRef<[u8]>> TreeReader<F, B> {
    pub(super) fn new(algo: HashAlgo, load: F) -> Self {
        TreeReader { algo, load, last: None }
    }

    /// The root over leaves `low..high` (at least one), where `low` is as RFC 6962 splits trees: a
    /// multiple of the power of two at or above their number.
    fn range(&mut self, low: u64, high: u64) -> Result<Hash, TileError> {
        let (mut end, mut root) = (high, None);
        while end > low {
            // The smallest perfect subtree is the rightmost one.
            let height = (end - low).trailing_zeros();
            end -= 1 << height;
            let peak = self.node(height, end >> height)?;
            root = Some(root.map_or(peak, |right| self.algo.node(&peak, &right)));
        }
        Ok(root.unwrap_or_else(|| self.algo.empty()))
    }

    /// The root of perfect subtree `index` among those of 2^`height` leaves.
    pub(super) fn node(&mut self, height: u32, index: u64) -> Result<Hash, TileError> {
        let span = 1_usize << (height % 8);
        let first = index << (height % 8);
        let width = u64::from(TILE_WIDTH);
        let tile = TileId { level: (height / 8) as u8, index: first / width };
        let start = (first % width) as usize;
        let algo = self.algo;
        let bytes = self.tile(tile)?;
        let row = bytes.as_chunks::<32>().0.get(start..start + span).ok_or(TileError::Length {
            tile,
            bytes: bytes.len(),
            want: 32 * (start + span),
        })?;
        Ok(row_root(algo, row))
    }

    fn tile(&mut self, tile: TileId) -> Result<&[u8], TileError> {
        let kept = self.last.take().filter(|(last, _)| *last == tile);
        let bytes = match kept {
            Some((_, bytes)) => bytes,
            None => (self.load)(tile).ok_or(TileError::Missing(tile))?,
        };
        Ok(self.last.insert((tile, bytes)).1.as_ref())
    }
}
