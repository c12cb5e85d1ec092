//! A segment of the archive: commit groups in a row, as one immutable object. zstd around: the magic,
//! then for each group its first entry (8 bytes), the length of its block (4), the root after it (32)
//! and the block, as it is stored. `docs/INTEROP.md` has it byte by byte.

use std::io::{Read as _, Write as _};

use super::pack::{Packer, Unpacker};
use crate::accumulator::Hash;
use crate::ledger::entry::Seq;
use crate::storage::groups::{CommitGroup, GROUP_BYTES_MAX};

/// What a segment begins with, when it is unpacked.
pub const MAGIC: &[u8; 8] = b"RONSEG\x00\x01";

/// Bytes in front of each block.
const HEAD_BYTES: usize = 8 + 4 + 32;

/// The most that a segment may unpack to: a group of the largest kind, and as much before it.
pub const SEGMENT_BYTES_MAX: usize = 2 * GROUP_BYTES_MAX;

/// Why a segment is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the segment is damaged: {0}")]
pub struct SegmentError(pub String);

/// The object of these groups.
///
/// # Errors
/// When zstd fails, as for want of memory.
pub fn encode(groups: &[CommitGroup]) -> Result<Vec<u8>, SegmentError> {
    let length: usize = groups.iter().map(|group| HEAD_BYTES + group.block.len()).sum();
    let mut plain = Vec::with_capacity(MAGIC.len() + length);
    plain.extend_from_slice(MAGIC);
    for group in groups {
        let length = u32::try_from(group.block.len());
        let length = length.map_err(|_| SegmentError("a group is above 4 GiB".into()))?;
        plain.extend_from_slice(&group.first.to_be_bytes());
        plain.extend_from_slice(&length.to_be_bytes());
        plain.extend_from_slice(&group.root.0);
        plain.extend_from_slice(&group.block);
    }
    let packed = Packer::new(Vec::new()).and_then(|mut packer| {
        packer.write_all(&plain)?;
        packer.finish()
    });
    packed.map_err(|error| SegmentError(error.to_string()))
}

/// The groups of an object, which follow one another without a gap. At most
/// [`SEGMENT_BYTES_MAX`] are unpacked.
///
/// # Errors
/// [`SegmentError`].
pub fn decode(object: &[u8]) -> Result<Vec<CommitGroup>, SegmentError> {
    let damaged = |problem: &str| SegmentError(problem.to_owned());
    let unpacked = Unpacker::new(object).map_err(|error| SegmentError(error.to_string()))?;
    let mut plain = Vec::new();
    let read = unpacked.take(SEGMENT_BYTES_MAX as u64 + 1).read_to_end(&mut plain);
    read.map_err(|error| SegmentError(error.to_string()))?;
    if plain.len() > SEGMENT_BYTES_MAX {
        return Err(damaged("it unpacks to more than a segment may have"));
    }
    let mut rest = plain.strip_prefix(MAGIC).ok_or_else(|| damaged("it is no segment"))?;
    let mut groups: Vec<CommitGroup> = Vec::new();
    while !rest.is_empty() {
        let cut = || damaged("it ends within a group");
        let (first, tail) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let (length, tail) = tail.split_first_chunk::<4>().ok_or_else(cut)?;
        let (root, tail) = tail.split_first_chunk::<32>().ok_or_else(cut)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (block, tail) = tail.split_at_checked(length).ok_or_else(cut)?;
        let first = Seq::from_be_bytes(*first);
        if groups.last().is_some_and(|last| last.size + 1 != first) {
            return Err(SegmentError(format!("entry {first} does not follow the group before it")));
        }
        let group = CommitGroup::of(first, Hash(*root), block.to_vec());
        groups.push(group.map_err(|_| SegmentError(format!("the group of entry {first}")))?);
        rest = tail;
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(first: Seq, forms: &[&[u8]]) -> CommitGroup {
        let mut block = 77u64.to_be_bytes().to_vec();
        for form in forms {
            block.extend_from_slice(&(form.len() as u16).to_be_bytes());
            block.extend_from_slice(form);
        }
        CommitGroup::of(first, Hash([first as u8; 32]), block).unwrap()
    }

    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut packer = Packer::new(Vec::new()).unwrap();
        packer.write_all(plain).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn groups_come_back_as_they_went_in() {
        let groups = [group(4, &[b"one", b"two"]), group(6, &[b"three"])];
        let object = encode(&groups).unwrap();
        assert_eq!(decode(&object).unwrap(), groups);
        assert_eq!((groups[0].size, groups[1].size, groups[1].time()), (5, 6, 77));
        assert_eq!(decode(&encode(&[]).unwrap()).unwrap(), []);
    }

    #[test]
    fn a_gap_a_cut_and_a_stranger_are_refused() {
        let check = |plain: &[u8], told: &str| {
            let error = decode(&packed(plain)).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        };
        let gap = encode(&[group(1, &[b"a"]), group(3, &[b"b"])]).unwrap();
        assert!(decode(&gap).unwrap_err().to_string().contains("entry 3"));
        let (mut whole, object) = (Vec::new(), encode(&[group(1, &[b"a"])]).unwrap());
        Unpacker::new(&object[..]).unwrap().read_to_end(&mut whole).unwrap();
        for length in MAGIC.len() + 1..whole.len() {
            check(&whole[..length], "ends within");
        }
        check(b"something else", "no segment");
        let mut empty = MAGIC.to_vec();
        empty.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 8]);
        empty.extend_from_slice(&[0; 40]);
        check(&empty, "the group of entry 1");
        assert!(decode(b"not zstd").is_err());
    }

    #[test]
    fn a_bomb_is_not_unpacked_to_its_end() {
        let mut encoder = Packer::new(Vec::new()).unwrap();
        let zeros = vec![0; 1 << 20];
        for _ in 0..=SEGMENT_BYTES_MAX >> 20 {
            encoder.write_all(&zeros).unwrap();
        }
        let error = decode(&encoder.finish().unwrap()).unwrap_err();
        assert!(error.to_string().contains("more than"), "{error}");
    }
}
