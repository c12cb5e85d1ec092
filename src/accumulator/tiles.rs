//! What the writer of a log keeps: the frontier, and the rightmost tile of each level.

use super::frontier::Frontier;
use super::hash::{Hash, HashAlgo};
use super::tile::{LEVELS, TILE_BYTES, TileError, TileId, hashes_at, partial_width, row_root};

/// A log that takes leaf hashes and yields tiles. At most 64 KiB of edge tiles, whatever its size.
///
/// A writer that must be able to go back appends to a clone and keeps it once the tiles and the
/// root are safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiles {
    algo: HashAlgo,
    frontier: Frontier,
    /// The partial tile of each level: `partial_width(size, level)` hashes. A full tile leaves at
    /// once, and only complete subtrees go up a level, so a partial tile is never hashed upward.
    edge: [Vec<u8>; LEVELS as usize],
}

impl Tiles {
    /// The empty log.
    pub fn new(algo: HashAlgo) -> Self {
        Tiles { algo, frontier: Frontier::new(), edge: Default::default() }
    }

    /// Takes a log of `size` leaves up again from its edge tiles, the only ones that are loaded.
    /// The caller compares [`Tiles::root`] with the root that it trusts.
    ///
    /// # Errors
    /// When an edge tile is missing or does not have the length that belongs to `size`.
    pub fn open<B: AsRef<[u8]>>(
        algo: HashAlgo,
        size: u64,
        mut load: impl FnMut(TileId) -> Option<B>,
    ) -> Result<Self, TileError> {
        let mut tiles = Tiles::new(algo);
        for (level, edge) in (0..).zip(&mut tiles.edge) {
            let want = 32 * usize::from(partial_width(size, level));
            if want == 0 {
                continue;
            }
            let tile = TileId::above(size, level);
            let bytes = load(tile).ok_or(TileError::Missing(tile))?;
            let bytes = bytes.as_ref();
            if bytes.len() != want {
                return Err(TileError::Length { tile, bytes: bytes.len(), want });
            }
            edge.extend_from_slice(bytes);
        }
        let peaks = tiles.edge.iter().rev().flat_map(|edge| edge_peaks(algo, edge));
        tiles.frontier = Frontier::from_peaks(size, peaks);
        Ok(tiles)
    }

    /// Appends leaf hashes and returns each tile that this changed, whole: those that filled up,
    /// as they did, then the partial ones from level 0 upwards. Every node is hashed once.
    pub fn append(&mut self, leaves: impl IntoIterator<Item = Hash>) -> Vec<(TileId, Vec<u8>)> {
        let before = self.size();
        let mut changed = Vec::new();
        // At once: a clone has room for nothing more.
        let lowest = &mut self.edge[0];
        lowest.reserve_exact(TILE_BYTES - lowest.len());
        for leaf in leaves {
            let index = self.size();
            self.frontier.push_each(self.algo, leaf, |height, node| {
                if height % 8 != 0 {
                    return;
                }
                let level = (height / 8) as u8;
                let tile = &mut self.edge[usize::from(level)];
                tile.extend_from_slice(&node.0);
                if tile.len() == TILE_BYTES {
                    let full = std::mem::replace(tile, Vec::with_capacity(TILE_BYTES));
                    changed.push((TileId::above(index, level), full));
                }
            });
        }
        let size = self.size();
        let grew = |tile: TileId| hashes_at(before, tile.level) != hashes_at(size, tile.level);
        let partial = self.edge().filter(|(tile, _)| grew(*tile));
        changed.extend(partial.map(|(tile, bytes)| (tile, bytes.to_vec())));
        changed
    }

    /// The partial tiles as they are now, from level 0 upwards.
    pub fn edge(&self) -> impl Iterator<Item = (TileId, &[u8])> {
        let size = self.size();
        let tiles = (0..).zip(&self.edge).filter(|(_, bytes)| !bytes.is_empty());
        tiles.map(move |(level, bytes)| (TileId::above(size, level), &bytes[..]))
    }

    /// The root at the present size.
    pub fn root(&self) -> Hash {
        self.frontier.root(self.algo)
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The hash function of this log.
    pub fn algo(&self) -> HashAlgo {
        self.algo
    }

    /// The size and the peaks.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }
}

/// The peaks that a partial tile stands for, left to right: one for each bit of its width.
fn edge_peaks(algo: HashAlgo, edge: &[u8]) -> impl Iterator<Item = Hash> {
    let mut row = edge.as_chunks::<32>().0;
    std::iter::from_fn(move || {
        let (peak, rest) = row.split_at_checked(1 << row.len().checked_ilog2()?)?;
        row = rest;
        Some(row_root(algo, peak))
    })
}
