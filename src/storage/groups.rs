//! Commit groups as messages: what another node, an archive or a restore needs of the log, group by
//! group. Each can be planned again, checked and applied by `storage::follow`.

use super::block::{Block, BlockBuilder};
use super::codec::{self, Damaged, RootRow};
use super::engine::{ScanLimit, TruthFamily};
use super::error::ReadError;
use super::reader::Reader;
use crate::accumulator::{Hash, HashAlgo};
use crate::ledger::entry::{Millis, Seq, Sequenced};

/// The most that one group may take in a message, in bytes: a group closes at `commit.batch_max_bytes`
/// and one request more.
pub const GROUP_BYTES_MAX: usize = 256 << 20;

/// One commit group, with the root after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitGroup {
    /// Its first entry.
    pub first: Seq,
    /// Its last entry, which is the size of the tree after it.
    pub size: Seq,
    /// The root of that tree.
    pub root: Hash,
    /// The block as it is stored: the time, then each entry's canonical form behind its length.
    pub block: Vec<u8>,
}

impl CommitGroup {
    /// Puts one together from a block that came from elsewhere, counting its entries.
    ///
    /// # Errors
    /// When the block is not one.
    pub fn of(first: Seq, root: Hash, block: Vec<u8>) -> Result<Self, Damaged> {
        let parsed = Block::parse(first, block)?;
        let mut count: Seq = 0;
        for form in parsed.forms() {
            form?;
            count += 1;
        }
        let size = first.checked_add(count).and_then(|end| end.checked_sub(1));
        let size = size.filter(|size| first >= 1 && *size >= first).ok_or(Damaged("block"))?;
        Ok(CommitGroup { first, size, root, block: parsed.into_bytes() })
    }

    /// Puts one together from entries, of which there is one at least, in order.
    ///
    /// # Panics
    /// Without an entry.
    pub fn made_of<'a>(
        time: Millis,
        entries: impl ExactSizeIterator<Item = &'a Sequenced> + Clone,
        root: Hash,
    ) -> Self {
        let first = entries.clone().next().expect("there is an entry").seq;
        let size = first + entries.len() as Seq - 1;
        let mut block = BlockBuilder::new(time, entries.len());
        for Sequenced { seq, linked, entry } in entries {
            block.push(*seq, *linked, entry);
        }
        CommitGroup { first, size, root, block: block.into_bytes() }
    }

    /// When it was committed, in ms.
    pub fn time(&self) -> Millis {
        self.block.first_chunk().map_or(0, |time| Millis::from_be_bytes(*time))
    }

    /// The hashes of its leaves, in order.
    ///
    /// # Errors
    /// When the block is not one.
    pub fn leaves(&self, algo: HashAlgo) -> Result<Vec<Hash>, Damaged> {
        let block = Block::parse(self.first, self.block.clone())?;
        block.forms().map(|form| Ok(algo.leaf(form?))).collect()
    }
}

impl Reader {
    /// Groups that end after `since` and not after `up_to`, in order, until their blocks have reached
    /// `bytes_max`; one at least, where there is one.
    ///
    /// # Errors
    /// [`ReadError`]; `Missing` where the log has a hole.
    pub fn groups(
        &self,
        since: Seq,
        up_to: Seq,
        bytes_max: usize,
    ) -> Result<Vec<CommitGroup>, ReadError> {
        let (engine, up_to) = (self.engine()?, up_to.min(self.head().seq));
        if since >= up_to {
            return Ok(Vec::new());
        }
        let limit = ScanLimit { items: 4096, bytes: bytes_max };
        let blocks = engine.truth_scan(TruthFamily::Blocks, &codec::seq_key(since + 1), limit)?;
        let roots = self.roots(since, up_to, blocks.len())?;
        let mut groups = Vec::with_capacity(roots.len());
        let mut next = since + 1;
        for ((key, block), RootRow { seq, root, time }) in blocks.into_iter().zip(roots) {
            if codec::seq_of(&key)? != next {
                return Err(self.miss(next));
            }
            let group = CommitGroup::of(next, root, block)?;
            if group.size != seq || group.time() != time {
                return Err(Damaged("root").into());
            }
            next = seq + 1;
            groups.push(group);
        }
        match groups.is_empty() {
            true => Err(self.miss(next)),
            false => Ok(groups),
        }
    }
}
