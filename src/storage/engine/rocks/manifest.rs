//! A look at an instance's MANIFEST before RocksDB reads it.
//!
//! RocksDB's reader of logs does not step over a record of a recycled log's type within a log that
//! did not begin as one (`Reader::ReadPhysicalRecord` of `db/log_reader.cc`): it reads that record
//! again, for ever, and the opening never ends. No MANIFEST is recycled, so that one flipped bit in the
//! type of a record is enough. And it takes a record that goes beyond the end of the file for one that a
//! crash has cut off, where only its length has grown: a table file would be dropped, unseen, and deleted.
//! Everything else that may be wrong in it, RocksDB finds and tells.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

/// Records are laid out in blocks of so many bytes, none across the end of one.
const BLOCK_BYTES: usize = 32 << 10;

/// Of a record: a CRC in 4 bytes, its length in 2, least significant first, and its type in 1.
const HEADER_BYTES: usize = 7;

/// Bytes at the start of a record that its CRC does not cover.
const UNCOVERED_BYTES: usize = 6;

/// Types of records of a recycled log, from `db/log_format.h`.
const RECYCLED: [u8; 6] = [5, 6, 7, 8, 11, 131];

/// # Errors
/// What is wrong, when RocksDB would not come back from reading it, or would take it for less than it is.
pub(super) fn check(instance: &Path) -> Result<(), String> {
    // What cannot be read is RocksDB's to tell.
    let Ok(name) = fs::read_to_string(instance.join("CURRENT")) else { return Ok(()) };
    let path = instance.join(name.trim_end());
    let Ok(mut file) = File::open(&path) else { return Ok(()) };
    let (mut block, mut at) = (vec![0; BLOCK_BYTES], 0);
    loop {
        let filled = fill(&mut file, &mut block);
        if let Some((offset, wrong)) = first_wrong(&block[..filled]) {
            return Err(format!("{}: the record at byte {} {wrong}", path.display(), at + offset));
        }
        if filled < BLOCK_BYTES {
            return Ok(());
        }
        at += filled;
    }
}

/// The next block; a short one is the last.
fn fill(file: &mut File, block: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    filled
}

/// Where in a block the first such record is, and what is wrong with it.
fn first_wrong(block: &[u8]) -> Option<(usize, String)> {
    let mut at = 0;
    while let Some(&[_, _, _, _, low, high, kind]) = block.get(at..at + HEADER_BYTES) {
        if RECYCLED.contains(&kind) {
            return Some((at, format!("is of type {kind}, of a recycled log")));
        }
        let end = at + HEADER_BYTES + usize::from(u16::from_le_bytes([low, high]));
        if end > block.len() && is_whole(&block[at..]) {
            return Some((at, "is all there, but for its length".to_owned()));
        }
        at = end;
    }
    None
}

/// Whether the record has its last byte before the end of `bytes`, by its CRC and whatever its length says.
fn is_whole(bytes: &[u8]) -> bool {
    let (uncovered, covered) = bytes.split_at(UNCOVERED_BYTES);
    let mut crc = 0;
    covered.iter().any(|byte| {
        crc = crc32c::crc32c_append(crc, &[*byte]);
        masked(crc).to_le_bytes() == uncovered[..4]
    })
}

/// As RocksDB stores it: `Mask` of `util/crc32c.h`.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of records with these payloads' lengths, type 1, no CRC.
    fn block_of(lengths: &[u16]) -> Vec<u8> {
        let mut block = Vec::new();
        for length in lengths {
            let [low, high] = length.to_le_bytes();
            block.extend([0, 0, 0, 0, low, high, 1]);
            block.resize(block.len() + usize::from(*length), 0xff);
        }
        block
    }

    fn checked(manifest: &[u8]) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("CURRENT"), "MANIFEST-000007\n").unwrap();
        fs::write(dir.path().join("MANIFEST-000007"), manifest).unwrap();
        check(dir.path())
    }

    #[test]
    fn a_record_of_a_recycled_log_is_found_in_every_block() {
        let mut manifest = block_of(&[30, 0, 5]);
        manifest.resize(BLOCK_BYTES, 0);
        manifest.extend(block_of(&[9, 8]));
        assert_eq!(checked(&manifest), Ok(()));
        for at in [0, 37, 44, BLOCK_BYTES, BLOCK_BYTES + 16] {
            for kind in RECYCLED {
                let mut flipped = manifest.clone();
                flipped[at + 6] = kind;
                let said = checked(&flipped).unwrap_err();
                assert!(
                    said.contains(&format!(
                        "MANIFEST-000007: the record at byte {at} is of type {kind},"
                    )),
                    "{said}"
                );
            }
        }
    }

    /// A whole record with its CRC.
    fn record(payload: &[u8]) -> Vec<u8> {
        let covered = [&[1], payload].concat();
        let length = (payload.len() as u16).to_le_bytes();
        [&masked(crc32c::crc32c(&covered)).to_le_bytes()[..], &length, &covered].concat()
    }

    #[test]
    fn a_record_whose_length_alone_has_grown_is_not_one_that_a_crash_has_cut_off() {
        let manifest = [record(b"one"), record(b"two and more"), record(b"")].concat();
        assert_eq!(checked(&manifest), Ok(()));
        for at in [0, 10, 29] {
            for bit in 5..16 {
                let mut flipped = manifest.clone();
                flipped[at + 4 + bit / 8] ^= 1 << (bit % 8);
                let said = checked(&flipped).unwrap_err();
                assert!(said.contains(&format!("the record at byte {at} is all there")), "{said}");
            }
        }
    }

    #[test]
    fn what_else_is_wrong_is_left_to_the_reader() {
        let mut too_long = block_of(&[3]);
        too_long[4] = 200;
        for manifest in [&[][..], &[1, 2, 3], &too_long, &[0xff; 64]] {
            assert_eq!(checked(manifest), Ok(()));
        }
        for end in 0..record(b"three").len() {
            assert_eq!(checked(&record(b"three")[..end]), Ok(()), "cut off at {end}");
        }
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(check(dir.path()), Ok(()));
        fs::write(dir.path().join("CURRENT"), "MANIFEST-000007\n").unwrap();
        assert_eq!(check(dir.path()), Ok(()));
    }
}
