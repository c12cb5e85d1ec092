//! The Merkle log of RFC 6962, its tiles and its signed checkpoints. Pure: no I/O, no clock.
//!
//! Leaf index = seq - 1. [`Tiles`] is what a writer keeps: it takes leaf hashes and gives back the
//! tiles that changed and the root. Whoever can load those tiles can produce proofs ([`inclusion`],
//! [`consistency`]) without the entries, and whoever has a root can check them.
//! [`Checkpoint`] and [`SignedNote`] are how a root leaves the ledger, and [`TlogProof`] how an entry
//! does that can be checked without it.

mod checkpoint;
mod cosignature;
mod frontier;
mod hash;
mod key;
mod note;
mod policy;
mod proof;
mod submission;
mod tile;
mod tiles;
mod tlog_proof;

pub use checkpoint::{Checkpoint, CheckpointError, ORIGIN_BYTES_MAX, sign_checkpoint};
pub use cosignature::{Cosigner, CosignerKey};
pub use frontier::{Frontier, FrontierError};
pub use hash::{Hash, HashAlgo, HashParseError};
pub use key::{KeyError, Signer, VerifierKey};
pub use note::{NOTE_BYTES_MAX, NoteError, NoteSignature, SIGNATURES_MAX, SignedNote, Verified};
pub use policy::{POLICY_BYTES_MAX, POLICY_NAMES_MAX, Policy, PolicyError, Witness};
pub use proof::{
    ProofError, consistency, inclusion, root_at, verify_consistency, verify_inclusion,
};
pub use submission::{SUBMISSION_BYTES_MAX, SUBMISSION_HASHES_MAX, Submission, SubmissionError};
pub use tile::{TILE_WIDTH, TileError, TileId, TilePath, TilePathError, partial_width};
pub use tiles::Tiles;
pub use tlog_proof::{EXTRA_BYTES_MAX, PROOF_BYTES_MAX, TlogProof, TlogProofError};

#[cfg(test)]
mod tests;
