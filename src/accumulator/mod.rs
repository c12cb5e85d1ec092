//! The Merkle log of RFC 6962, its tiles and its signed checkpoints. Pure: no I/O, no clock.
//!
//! Leaf index = seq - 1. [`Tiles`] is what a writer keeps: it takes leaf hashes and gives back the
//! tiles that changed and the root. Whoever can load those tiles can produce proofs ([`inclusion`],
//! [`consistency`], [`prove_range`]) without the entries, and whoever has a root can check them.
//! [`Checkpoint`] and [`SignedNote`] are how a root leaves the ledger.

mod checkpoint;
mod frontier;
mod hash;
mod key;
mod note;
mod proof;
mod range;
mod tile;
mod tiles;

pub use checkpoint::{Checkpoint, CheckpointError, ORIGIN_BYTES_MAX, sign_checkpoint};
pub use frontier::{Frontier, FrontierError};
pub use hash::{Hash, HashAlgo, HashParseError};
pub use key::{KeyError, Signer, VerifierKey};
pub use note::{NOTE_BYTES_MAX, NoteError, NoteSignature, SIGNATURES_MAX, SignedNote, Verified};
pub use proof::{
    ProofError, consistency, inclusion, root_at, verify_consistency, verify_inclusion,
};
pub use range::{LeafRange, prove_range, verify_range};
pub use tile::{TILE_WIDTH, TileError, TileId, TilePath, TilePathError, partial_width};
pub use tiles::Tiles;

#[cfg(test)]
mod tests;
