//! Reads the published part of a running ledger's store again, group by group, and believes nothing of
//! it: the chain of blocks and roots, every entry's form, and the tiles that the entries make.
//!
//! It takes no lock for longer than one read does, and meets a writer nowhere: what is published does
//! not change, and of tiles that still grow the beginning is held against.

use super::chain::Chain;
use super::engine::ScanLimit;
use super::error::ReadError;
use super::reader::Reader;
use super::walk::WalkError;
use crate::accumulator::{Hash, TILE_WIDTH, TileId};
use crate::ledger::entry::Seq;

/// Blocks that are in memory at once; the last may go beyond the bytes.
const PAGE: ScanLimit = ScanLimit { items: 256, bytes: 256 << 10 };

/// One pass, up to a checkpoint.
pub struct Scrub {
    reader: Reader,
    chain: Chain,
    size: Seq,
    root: Hash,
}

/// What a pass that ended early has found.
#[derive(Debug)]
pub enum ScrubError {
    /// The log has a hole here, or a block that cannot stand here.
    Chain(Seq, WalkError),
    /// What is stored up to here is not what its entries make.
    Differs(Seq, WalkError),
    /// Nothing: it could not be read, or the ledger is not open now.
    Unread(WalkError),
}

impl Reader {
    /// A pass over the first `size` entries, whose tree was signed with `root`.
    pub fn scrub(&self, size: Seq, root: Hash) -> Scrub {
        let chain = Chain::new(self.genesis().hash, PAGE);
        Scrub { reader: self.clone(), chain, size, root }
    }
}

impl Scrub {
    /// The last entry that was verified.
    pub fn position(&self) -> Seq {
        self.chain.tiles().size()
    }

    /// Verifies the next group, and says how many entries it has; `None` at the end of the pass.
    ///
    /// # Errors
    /// [`ScrubError`]; the pass cannot go on then.
    pub fn step(&mut self) -> Result<Option<u64>, ScrubError> {
        let before = self.position();
        self.advance().map_err(|error| self.sorted(before + 1, error))
    }

    fn advance(&mut self) -> Result<Option<u64>, WalkError> {
        let before = self.position();
        if before == self.size {
            self.end()?;
            return Ok(None);
        }
        let Some(link) = self.chain.next(self.reader.engine()?)? else {
            return Err(WalkError::Gap { seq: before + 1 });
        };
        let size = link.group.size;
        for (tile, bytes) in link.filled {
            self.begins(tile, &bytes)?;
        }
        if size > self.size {
            // Checkpoints are signed at the ends of groups.
            return Err(WalkError::Differs { what: "the signed checkpoint", size });
        }
        Ok(Some(size - before))
    }

    /// What was signed is what the entries make, and so is the edge of the stored tree.
    fn end(&self) -> Result<(), WalkError> {
        let (size, tiles) = (self.size, self.chain.tiles());
        if tiles.root() != self.root {
            return Err(WalkError::Differs { what: "the signed checkpoint", size });
        }
        tiles.edge().try_for_each(|(tile, bytes)| self.begins(tile, bytes))
    }

    fn begins(&self, tile: TileId, bytes: &[u8]) -> Result<(), WalkError> {
        let is_good = |stored: Vec<u8>| {
            stored.len() <= 32 * usize::from(TILE_WIDTH) && stored.starts_with(bytes)
        };
        match self.reader.tile(tile)?.is_some_and(is_good) {
            true => Ok(()),
            false => Err(WalkError::Differs { what: "a stored tile", size: self.position() }),
        }
    }

    /// `next` is the entry after the last that was good.
    fn sorted(&self, next: Seq, error: WalkError) -> ScrubError {
        match error {
            WalkError::Gap { seq } => {
                // So that no verification of the committer passes over it.
                drop(self.reader.miss(seq));
                ScrubError::Chain(seq, error)
            }
            WalkError::Order { seq, .. } => ScrubError::Chain(seq, error),
            WalkError::Entry { seq, .. } => ScrubError::Differs(seq, error),
            WalkError::Differs { size, .. } => ScrubError::Differs(size, error),
            WalkError::Read(ReadError::Damaged(_)) => ScrubError::Differs(next, error),
            WalkError::Read(_) | WalkError::Genesis(_) => ScrubError::Unread(error),
        }
    }
}
