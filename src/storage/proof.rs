//! Proofs from the tiles of the store: a handful of tiles each, whatever the number of entries.
//!
//! A tile only grows at its end, so that the tiles of now serve every smaller size too.

use super::codec::Damaged;
use super::error::ReadError;
use super::reader::Reader;
use crate::accumulator::{
    self, Hash, ProofError, TILE_WIDTH, TileId, verify_consistency, verify_inclusion,
};
use crate::ledger::entry::Seq;

/// A tile that is not there, is too short, or does not fit the others.
const DAMAGED: Damaged = Damaged("tile");

/// That an entry is in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// The hash of the entry's leaf.
    pub leaf: Hash,
    /// From the leaf towards the root.
    pub proof: Vec<Hash>,
    /// Of the tree.
    pub root: Hash,
}

/// That one tree is the beginning of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consistency {
    /// Of the smaller tree.
    pub from_root: Hash,
    /// Of the larger one.
    pub to_root: Hash,
    /// As RFC 6962 orders them.
    pub proof: Vec<Hash>,
}

impl Reader {
    /// Proves that entry `seq` is among the first `size`. What is given out was checked.
    ///
    /// # Errors
    /// [`ReadError`]; `Missing` when it is not among them, or the ledger has fewer.
    pub fn inclusion(&self, seq: Seq, size: u64) -> Result<Inclusion, ReadError> {
        let (algo, index) = (self.genesis().hash, seq.checked_sub(1));
        let index = index.ok_or(ReadError::Missing(seq))?;
        let proof = self.prove(size, |load| accumulator::inclusion(algo, index, size, load))?;
        let (leaf, root) = (self.leaf(index)?, self.root_at(size)?);
        verify_inclusion(algo, &leaf, index, size, &proof, &root).map_err(|_| DAMAGED)?;
        Ok(Inclusion { leaf, proof, root })
    }

    /// Proves that the ledger of `to` entries begins with that of `from`. What is given out was checked.
    ///
    /// # Errors
    /// [`ReadError`]; `Missing` when `from` is larger than `to`, or the ledger is smaller.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Consistency, ReadError> {
        let algo = self.genesis().hash;
        let proof = self.prove(to, |load| accumulator::consistency(algo, from, to, load))?;
        let (from_root, to_root) = (self.root_at(from)?, self.root_at(to)?);
        verify_consistency(algo, from, to, &proof, &from_root, &to_root).map_err(|_| DAMAGED)?;
        Ok(Consistency { from_root, to_root, proof })
    }

    fn leaf(&self, index: u64) -> Result<Hash, ReadError> {
        let (width, at) = (u64::from(TILE_WIDTH), (index % u64::from(TILE_WIDTH)) as usize);
        let tile = self.tile(TileId { level: 0, index: index / width })?;
        let row = tile.as_deref().map(|bytes| bytes.as_chunks::<32>().0);
        Ok(Hash(*row.and_then(|row| row.get(at)).ok_or(DAMAGED)?))
    }

    fn root_at(&self, size: u64) -> Result<Hash, ReadError> {
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
            (Err(ProofError::Tile(_)), None) => Err(DAMAGED.into()),
            (Err(_), None) => Err(ReadError::Missing(size)),
        }
    }
}
