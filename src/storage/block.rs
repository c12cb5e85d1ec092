//! A block: one commit group as it stands in truth, in exports and in the archive. Its time (8
//! bytes, ms), then each entry's canonical form with its length in 2 bytes in front.

use super::codec::Damaged;
use crate::ledger::encode::{ENTRY_MAX_BYTES, decode, encode_into};
use crate::ledger::entry::{Entry, Millis, Seq, Sequenced};

const _: () = assert!(ENTRY_MAX_BYTES <= u16::MAX as usize, "a length fits two bytes");

/// Builds a block entry by entry, and gives back each canonical form once, to be hashed.
pub(super) struct BlockBuilder {
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

impl BlockBuilder {
    pub(super) fn new(time: Millis, entries_count: usize) -> Self {
        let mut bytes = Vec::with_capacity(8 + entries_count * 128);
        bytes.extend_from_slice(&time.to_be_bytes());
        BlockBuilder { bytes, starts: Vec::with_capacity(entries_count) }
    }

    /// Appends an entry and gives its canonical form.
    pub(super) fn push(&mut self, seq: Seq, linked: bool, entry: &Entry) -> &[u8] {
        let at = self.bytes.len();
        self.starts.push(at as u32);
        self.bytes.extend_from_slice(&[0, 0]);
        encode_into(&mut self.bytes, seq, linked, entry);
        let length = (self.bytes.len() - at - 2) as u16;
        self.bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
        &self.bytes[at + 2..]
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The block, and where in it each entry begins.
    pub(super) fn into_parts(self) -> (Vec<u8>, Vec<u32>) {
        (self.bytes, self.starts)
    }
}

/// A block that was just written, with the place of each entry: in what is stored, one is found from the
/// one before it.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    pub(super) bytes: Vec<u8>,
    pub(super) starts: Vec<u32>,
}

impl Fresh {
    /// The canonical form of the entry at `index`.
    pub(super) fn form(&self, index: usize) -> Option<&[u8]> {
        let start = usize::try_from(*self.starts.get(index)?).ok()?;
        forms_from(&self.bytes, start).next()?.ok()
    }
}

/// A block that was read back.
pub(super) struct Block {
    pub(super) first: Seq,
    pub(super) time: Millis,
    bytes: Vec<u8>,
}

impl Block {
    pub(super) fn parse(first: Seq, bytes: Vec<u8>) -> Result<Self, Damaged> {
        let time = bytes.first_chunk().ok_or(Damaged("block"))?;
        Ok(Block { first, time: Millis::from_be_bytes(*time), bytes })
    }

    /// All of it, as it is stored.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The canonical forms, in order.
    pub(super) fn forms(&self) -> impl Iterator<Item = Result<&[u8], Damaged>> {
        forms(&self.bytes)
    }

    /// The entries, each checked to stand where the block says.
    pub(super) fn entries(&self) -> impl Iterator<Item = Result<Sequenced, Damaged>> {
        (self.first..).zip(self.forms()).map(|(seq, form)| {
            let entry = decode(form?).map_err(|_| Damaged("entry"))?;
            if entry.seq == seq { Ok(entry) } else { Err(Damaged("entry: wrong seq")) }
        })
    }

    /// The canonical form at `seq`, when this block has it.
    pub(super) fn form(&self, seq: Seq) -> Result<Option<&[u8]>, Damaged> {
        form_in(self.first, &self.bytes, seq)
    }
}

/// How many bytes of a block are the canonical forms of its `entries_count` entries.
pub(super) fn framed_bytes(block: &[u8], entries_count: usize) -> u64 {
    block.len().saturating_sub(8 + 2 * entries_count) as u64
}

/// The canonical form at `seq` of the block that begins with `first`, when it has it.
pub(super) fn form_in(first: Seq, block: &[u8], seq: Seq) -> Result<Option<&[u8]>, Damaged> {
    let Some(skip) = seq.checked_sub(first) else { return Ok(None) };
    forms(block).nth(usize::try_from(skip).unwrap_or(usize::MAX)).transpose()
}

/// Of a block that has its time.
fn forms(block: &[u8]) -> impl Iterator<Item = Result<&[u8], Damaged>> {
    forms_from(block, 8)
}

/// From an entry on that begins at `start`.
fn forms_from(block: &[u8], start: usize) -> impl Iterator<Item = Result<&[u8], Damaged>> {
    let mut rest = block.get(start..).unwrap_or_default();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let form = rest.split_first_chunk::<2>().and_then(|(length, tail)| {
            tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        });
        let Some((form, tail)) = form else {
            rest = &[];
            return Some(Err(Damaged("block")));
        };
        rest = tail;
        Some(Ok(form))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::entry::Kind;
    use crate::ledger::testing::entry;

    #[test]
    fn each_entry_of_a_fresh_block_is_found_as_in_the_stored_one() {
        let mut builder = BlockBuilder::new(9, 3);
        let forms: Vec<Vec<u8>> = (7..)
            .zip(["a", "a/longer/name", "b"])
            .map(|(seq, name)| builder.push(seq, false, &entry(Kind::Mint, name, 1)).to_vec())
            .collect();
        let (bytes, starts) = builder.into_parts();
        let stored = Block::parse(7, bytes.clone()).unwrap();
        let fresh = Fresh { bytes, starts };
        for (index, form) in forms.iter().enumerate() {
            assert_eq!(fresh.form(index), Some(&form[..]));
            assert_eq!(stored.form(7 + index as Seq), Ok(Some(&form[..])));
        }
        assert_eq!((fresh.form(3), stored.form(10)), (None, Ok(None)));
        assert_eq!(Fresh::default().form(0), None);
        let summed = forms.iter().map(|form| form.len() as u64).sum::<u64>();
        assert_eq!(framed_bytes(&fresh.bytes, 3), summed);
    }
}
