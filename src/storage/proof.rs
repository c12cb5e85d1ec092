//! Proofs from the tiles of the store: a handful of tiles each, whatever the number of entries.
//!
//! A tile only grows at its end, so that the tiles of now serve every smaller size too.

use super::codec::Damaged;
use super::error::ReadError;
use super::reader::Reader;
use crate::accumulator::{self, Hash, ProofError, TILE_WIDTH, TileId};
use crate::ledger::entry::Seq;

impl Reader {
    /// The hash of the leaf of entry `seq`.
    ///
    /// # Errors
    /// [`ReadError`]; `Missing` for 0 and beyond the ledger.
    pub fn leaf(&self, seq: Seq) -> Result<Hash, ReadError> {
        let index = seq.checked_sub(1).ok_or(ReadError::Missing(seq))?;
        let (width, at) = (u64::from(TILE_WIDTH), (index % u64::from(TILE_WIDTH)) as usize);
        let tile = self.tile(TileId { level: 0, index: index / width })?;
        let row = tile.as_deref().map(|bytes| bytes.as_chunks::<32>().0);
        let hash = row.and_then(|row| row.get(at)).ok_or(ReadError::Missing(seq))?;
        Ok(Hash(*hash))
    }

    /// The hashes that lead from the leaf of entry `seq` to the root of the first `size` entries.
    ///
    /// # Errors
    /// [`ReadError`]; `Missing` when the entry is not among them, or the ledger has fewer.
    pub fn inclusion(&self, seq: Seq, size: u64) -> Result<Vec<Hash>, ReadError> {
        let index = seq.checked_sub(1).ok_or(ReadError::Missing(seq))?;
        self.prove(size, |load| accumulator::inclusion(self.genesis().hash, index, size, load))
    }

    /// The hashes that show that the ledger of `to` entries begins with that of `from`.
    ///
    /// # Errors
    /// [`ReadError`]; `Missing` when `from` is larger than `to`, or the ledger is smaller.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>, ReadError> {
        self.prove(to, |load| accumulator::consistency(self.genesis().hash, from, to, load))
    }

    /// The root of the first `size` entries, worked out anew.
    ///
    /// # Errors
    /// [`ReadError`]; `Missing` when the ledger has fewer.
    pub fn root_at(&self, size: u64) -> Result<Hash, ReadError> {
        self.prove(size, |load| accumulator::root_at(self.genesis().hash, size, load))
    }

    /// Proves something of the first `size` entries. What the engine says of a tile that cannot be
    /// read is told rather than that a tile is missing.
    fn prove<T>(
        &self,
        size: u64,
        prove: impl FnOnce(&mut dyn FnMut(TileId) -> Option<Vec<u8>>) -> Result<T, ProofError>,
    ) -> Result<T, ReadError> {
        if size > self.head().seq {
            return Err(ReadError::Missing(size));
        }
        let mut failed = None;
        let mut load = |tile| match self.tile(tile) {
            Ok(found) => found,
            Err(error) => {
                failed = Some(error);
                None
            }
        };
        let proof = prove(&mut load);
        match (proof, failed) {
            (Ok(proof), _) => Ok(proof),
            (Err(_), Some(error)) => Err(error),
            (Err(ProofError::Tile(_)), None) => Err(Damaged("tile").into()),
            (Err(_), None) => Err(ReadError::Missing(size)),
        }
    }
}
