//! The geometry of C2SP tlog-tiles: which hashes lie in which tile, how wide a tile is at a given
//! tree size, and the paths under which tiles are served.
//!
//! Hash `i` of tile `n` at level `l` is the root of the perfect subtree over the leaves
//! `(256n + i) * 256^l` to `(256n + i + 1) * 256^l`.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

use super::hash::{Hash, HashAlgo};

/// Hashes in a full tile.
pub const TILE_WIDTH: u16 = 256;

/// Bytes of a full tile.
pub(super) const TILE_BYTES: usize = 32 * TILE_WIDTH as usize;

/// Levels that can hold a hash: a 64-bit size has eight digits in base 256.
pub(super) const LEVELS: u8 = 8;

/// The highest level that a path may name.
const PATH_LEVEL_MAX: u8 = 63;

/// The length of `tile/entries/` + seven groups of digits + `.p/255`.
const PATH_BYTES_MAX: usize = 52;

/// One tile of hashes: a level (0 holds leaf hashes) and a place in it, from the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// 0 for leaf hashes; 8 tree levels up for each further one. 7 is the last that can hold any.
    pub level: u8,
    /// From 0, left to right.
    pub index: u64,
}

impl TileId {
    /// The tile of `level` under whose span leaf `leaf` falls.
    pub(super) fn above(leaf: u64, level: u8) -> Self {
        TileId { level, index: hashes_at(leaf, level) / u64::from(TILE_WIDTH) }
    }

    /// How many hashes this tile holds in a tree of `size` leaves: 0 to 256.
    pub fn width_at(self, size: u64) -> u16 {
        let before = self.index.saturating_mul(u64::from(TILE_WIDTH));
        let width = hashes_at(size, self.level).saturating_sub(before);
        u16::try_from(width).map_or(TILE_WIDTH, |w| w.min(TILE_WIDTH))
    }
}

/// Writes the path of the full tile.
impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TilePath::Hashes { tile: *self, partial: None }.fmt(f)
    }
}

/// The width of the rightmost, partial tile at `level` in a tree of `size` leaves:
/// `floor(size / 256^level) mod 256`. At 0 there is no such tile.
pub fn partial_width(size: u64, level: u8) -> u8 {
    (hashes_at(size, level) % u64::from(TILE_WIDTH)) as u8
}

/// The number of complete hashes at a level: `floor(size / 256^level)`.
pub(super) fn hashes_at(size: u64, level: u8) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

/// The root over a row of hashes whose number is a power of two.
pub(super) fn row_root(algo: HashAlgo, row: &[[u8; 32]]) -> Hash {
    debug_assert!(row.len().is_power_of_two(), "a perfect subtree has a power of two of leaves");
    match row {
        [one] => Hash(*one),
        _ => {
            let (left, right) = row.split_at(row.len() / 2);
            algo.node(&row_root(algo, left), &row_root(algo, right))
        }
    }
}

/// Why the tiles at hand do not suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// The tile could not be loaded.
    #[error("{0} is missing")]
    Missing(TileId),
    /// The tile is shorter (or, where that is checked, longer) than it must be.
    #[error("{tile} has {bytes} bytes where {want} are needed")]
    Length {
        /// The tile.
        tile: TileId,
        /// Its length.
        bytes: usize,
        /// The length that is needed.
        want: usize,
    },
}

/// The path of a tile below a log's prefix: `tile/<level>/<index>[.p/<width>]`, or
/// `tile/entries/<index>[.p/<width>]` for the entries under a tile of level 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TilePath {
    /// A tile of hashes.
    Hashes {
        /// Which.
        tile: TileId,
        /// Its width, if it is asked for as a partial tile.
        partial: Option<NonZeroU8>,
    },
    /// A bundle of entries.
    Entries {
        /// The index of the tile of level 0 that holds their leaf hashes.
        index: u64,
        /// The number of entries, if it is asked for as a partial bundle.
        partial: Option<NonZeroU8>,
    },
}

/// Writes the index in groups of three digits, all but the last marked by an `x`.
impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, partial) = match self {
            TilePath::Hashes { tile, partial } => {
                write!(f, "tile/{}", tile.level)?;
                (tile.index, partial)
            }
            TilePath::Entries { index, partial } => {
                f.write_str("tile/entries")?;
                (*index, partial)
            }
        };
        let groups = index.checked_ilog(1000).unwrap_or(0);
        for group in (1..=groups).rev() {
            write!(f, "/x{:03}", index / 1000_u64.pow(group) % 1000)?;
        }
        write!(f, "/{:03}", index % 1000)?;
        partial.map_or(Ok(()), |width| write!(f, ".p/{width}"))
    }
}

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Comparing with the one right spelling refuses signs, leading zeros and stray groups.
        match parse_loosely(text) {
            Some(path) if path.to_string() == text => Ok(path),
            _ => Err(TilePathError),
        }
    }
}

/// Reads the numbers out of a path, without regard to how they are spelled.
fn parse_loosely(text: &str) -> Option<TilePath> {
    if text.len() > PATH_BYTES_MAX {
        return None;
    }
    let (kind, rest) = text.strip_prefix("tile/")?.split_once('/')?;
    let (groups, partial) = match rest.split_once(".p/") {
        Some((groups, width)) => (groups, Some(width.parse().ok()?)),
        None => (rest, None),
    };
    let index = groups.split('/').try_fold(0_u64, |index, group| {
        let digits: u16 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
        index.checked_mul(1000)?.checked_add(u64::from(digits))
    })?;
    if kind == "entries" {
        return Some(TilePath::Entries { index, partial });
    }
    let level = kind.parse().ok().filter(|level| *level <= PATH_LEVEL_MAX)?;
    Some(TilePath::Hashes { tile: TileId { level, index }, partial })
}

/// The text is not a tile's path in its one right spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tile path: want tile/<level>/<index>[.p/<width>], such as tile/0/x001/234.p/5")]
pub struct TilePathError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_spelling() {
        for good in [
            "tile/0/000",
            "tile/0/005",
            "tile/0/999",
            "tile/0/x001/000",
            "tile/1/x001/x234/067",
            "tile/2/x001/x000/000",
            "tile/63/000.p/1",
            "tile/0/x001/234.p/255",
            "tile/0/x018/x446/x744/x073/x709/x551/615.p/255",
            "tile/entries/x018/x446/x744/x073/x709/x551/615.p/255",
            "tile/entries/x123/456",
        ] {
            let path: TilePath = good.parse().unwrap();
            assert_eq!(path.to_string(), good);
        }
        let tile = TileId { level: 2, index: 1_234_067 };
        assert_eq!(tile.to_string(), "tile/2/x001/x234/067");
        let longest = TilePath::Entries { index: u64::MAX, partial: NonZeroU8::new(255) };
        assert_eq!(longest.to_string().len(), PATH_BYTES_MAX);
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "/tile/0/000",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/x000/001",
            "tile/0/x000",
            "tile/0/001/000",
            "tile/0/x001/x000",
            "tile/0/x01/000",
            "tile/0/X001/000",
            "tile/0/x1000/000",
            "tile/0/+01",
            "tile/0/-01",
            "tile/0/ 01",
            "tile/0/000/",
            "tile/0//000",
            "tile/00/000",
            "tile/+1/000",
            "tile/64/000",
            "tile/256/000",
            "tile/-1/000",
            "tile/data/000",
            "tile/Entries/000",
            "tile/0/000.p",
            "tile/0/000.p/",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/+1",
            "tile/0/000.p/1/",
            "tile/0/000.p/1.p/1",
            "tile/0/000.P/1",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
            "tile/0/\u{0660}\u{0660}\u{0660}",
        ] {
            assert_eq!(bad.parse::<TilePath>(), Err(TilePathError), "{bad}");
        }
    }

    /// Checks the number of full tiles and the partial width of each level.
    fn check_geometry(size: u64, levels: &[(u64, u8)]) {
        for level in 0..=PATH_LEVEL_MAX {
            let (full, partial) = levels.get(usize::from(level)).copied().unwrap_or((0, 0));
            let edge = TileId { level, index: full };
            assert_eq!(partial_width(size, level), partial, "size {size} level {level}");
            assert_eq!(edge.width_at(size), u16::from(partial), "size {size} level {level}");
            assert_eq!(TileId { level, index: full + 1 }.width_at(size), 0);
            if let Some(last) = full.checked_sub(1) {
                assert_eq!(TileId { level, index: last }.width_at(size), TILE_WIDTH);
            }
        }
    }

    #[test]
    fn tiles_are_as_wide_as_the_specification_says() {
        check_geometry(0, &[]);
        check_geometry(1, &[(0, 1)]);
        check_geometry(255, &[(0, 255)]);
        check_geometry(256, &[(1, 0), (0, 1)]);
        check_geometry(70_000, &[(273, 112), (1, 17), (0, 1)]);
        let top = |level: u32| (u64::MAX >> (8 * level) >> 8, 255);
        check_geometry(u64::MAX, &(0..8).map(top).collect::<Vec<_>>());
        assert_eq!(TileId { level: 0, index: u64::MAX }.width_at(u64::MAX), 0);
    }
}
