//! The chain of commit groups, read page by page and recomputed: each block follows the one before, each
//! entry is the one form of what it says, and each stored root is that of the tree so far. Holds two
//! pages and the edge of the tree, however long the log is.

use std::collections::VecDeque;

use super::block::Block;
use super::codec::{self, RootRow};
use super::engine::{Engine, Item, ScanLimit, StoreError, TruthFamily};
use super::walk::{WalkError, WalkedGroup};
use crate::accumulator::{Hash, HashAlgo, TILE_WIDTH, TileId, Tiles};
use crate::ledger::encode::decode;
use crate::ledger::entry::{Millis, Seq, Sequenced};

pub(super) struct Chain {
    tiles: Tiles,
    time: Millis,
    page: ScanLimit,
    blocks: VecDeque<Item>,
    roots: VecDeque<Item>,
}

/// One group further.
pub(super) struct Link {
    pub(super) group: WalkedGroup,
    /// The tiles that it filled up, which will never change again.
    pub(super) filled: Vec<(TileId, Vec<u8>)>,
}

impl Chain {
    /// Before the first block.
    pub(super) fn new(hash: HashAlgo, page: ScanLimit) -> Self {
        let (blocks, roots) = (VecDeque::new(), VecDeque::new());
        Chain { tiles: Tiles::new(hash), time: 0, page, blocks, roots }
    }

    /// The tree so far.
    pub(super) fn tiles(&self) -> &Tiles {
        &self.tiles
    }

    /// When the last group was committed.
    pub(super) fn time(&self) -> Millis {
        self.time
    }

    /// The next group; `None` where the log ends.
    pub(super) fn next(&mut self, engine: &dyn Engine) -> Result<Option<Link>, WalkError> {
        let first = self.tiles.size() + 1;
        let block = next(engine, TruthFamily::Blocks, &mut self.blocks, first, self.page)?;
        let Some((key, value)) = block else { return Ok(None) };
        if codec::seq_of(&key)? != first {
            return Err(WalkError::Gap { seq: first });
        }
        let block = Block::parse(first, value)?;
        if block.time < self.time {
            let problem = "it was committed before the group in front of it".to_owned();
            return Err(WalkError::Order { seq: first, problem });
        }
        let (entries, leaves) = entries(&block, self.tiles.algo())?;
        let mut filled = self.tiles.append(leaves);
        filled.retain(|(_, bytes)| bytes.len() == 32 * usize::from(TILE_WIDTH));
        self.time = block.time;
        let (size, root) = (self.tiles.size(), self.tiles.root());
        let row = next(engine, TruthFamily::Roots, &mut self.roots, first, self.page)?;
        let row = row.map(|(key, value)| codec::root_row(&key, &value)).transpose()?;
        if row != Some(RootRow { seq: size, root, time: block.time }) {
            return Err(WalkError::Differs { what: "the stored root", size });
        }
        let group = WalkedGroup { time: block.time, entries, size, root };
        Ok(Some(Link { group, filled }))
    }

    /// Whether the store has a root of a group that is not there.
    pub(super) fn has_more_roots(&mut self, engine: &dyn Engine) -> Result<bool, StoreError> {
        let first = self.tiles.size() + 1;
        Ok(next(engine, TruthFamily::Roots, &mut self.roots, first, self.page)?.is_some())
    }
}

fn entries(block: &Block, hash: HashAlgo) -> Result<(Vec<Sequenced>, Vec<Hash>), WalkError> {
    let (mut entries, mut leaves) = (Vec::new(), Vec::new());
    let mut seq = block.first;
    for form in block.forms() {
        let wrong = |problem: String| WalkError::Entry { seq, problem };
        let form = form.map_err(|_| wrong("its block ends within it".to_owned()))?;
        let entry = decode(form).map_err(|error| wrong(error.to_string()))?;
        if entry.seq != seq {
            let problem = format!("entry {} stands in its place", entry.seq);
            return Err(WalkError::Order { seq, problem });
        }
        leaves.push(hash.leaf(form));
        entries.push(entry);
        seq += 1;
    }
    match entries.is_empty() {
        true => Err(WalkError::Order { seq, problem: "its block is empty".to_owned() }),
        false => Ok((entries, leaves)),
    }
}

/// The next item from `from` on, by pages.
fn next(
    engine: &dyn Engine,
    family: TruthFamily,
    page: &mut VecDeque<Item>,
    from: Seq,
    limit: ScanLimit,
) -> Result<Option<Item>, StoreError> {
    if page.is_empty() {
        *page = engine.truth_scan(family, &codec::seq_key(from), limit)?.into();
    }
    Ok(page.pop_front())
}
