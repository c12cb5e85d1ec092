//! C2SP tlog-proof: one text that shows, without the log at hand, that an entry is in it. A header, an
//! optional `extra` line, the index, the inclusion proof in base64 from the leaf upwards, an empty
//! line, and a signed checkpoint as it came.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::hash::{Hash, HashAlgo};
use super::key::VerifierKey;
use super::note::{NOTE_BYTES_MAX, NoteError, SignedNote};
use super::proof::{ProofError, verify_inclusion};

/// The first line.
const HEADER: &str = "c2sp.org/tlog-proof@v1\n";

/// The most hashes: a tree of 2^64 leaves has 64 levels above them.
const HASHES_MAX: usize = 64;

/// The longest extra data, in bytes: as much as an entry of a tiled log may have.
pub const EXTRA_BYTES_MAX: usize = u16::MAX as usize;

/// The longest text that is read, in bytes: everything at its largest.
pub const PROOF_BYTES_MAX: usize =
    NOTE_BYTES_MAX + EXTRA_BYTES_MAX.div_ceil(3) * 4 + HASHES_MAX * 45 + 64;

/// A proof in due form. Nothing of it may be believed before [`TlogProof::verify`], and of `extra`
/// nothing at all unless it is what was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    extra: Option<Vec<u8>>,
    index: u64,
    hashes: Vec<Hash>,
    note: SignedNote,
}

impl TlogProof {
    /// Puts a proof together: leaf `index` (from 0), the hashes from it towards the root, and the
    /// checkpoint of that root.
    pub fn new(index: u64, hashes: Vec<Hash>, note: SignedNote) -> Self {
        TlogProof { extra: None, index, hashes, note }
    }

    /// The same with data of its own: whoever keeps the leaf's data here makes a receipt of it.
    ///
    /// # Errors
    /// [`TlogProofError::TooLarge`] above [`EXTRA_BYTES_MAX`].
    pub fn with_extra(self, extra: Vec<u8>) -> Result<Self, TlogProofError> {
        if extra.len() > EXTRA_BYTES_MAX {
            return Err(TlogProofError::TooLarge);
        }
        Ok(TlogProof { extra: Some(extra), ..self })
    }

    /// Reads a proof. There is one spelling of each.
    ///
    /// # Errors
    /// [`TlogProofError`], by the first rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogProofError> {
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(TlogProofError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NoteError::NotUtf8)?;
        let text = text.strip_prefix(HEADER).ok_or(TlogProofError::Header)?;
        let (head, note) = text.split_once("\n\n").ok_or(TlogProofError::Form)?;
        let mut lines = head.split('\n').peekable();
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let extra = extra.map(|line| parse_extra(&line["extra ".len()..])).transpose()?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(parse_number).ok_or(TlogProofError::Index)?;
        let hashes: Result<Vec<Hash>, _> =
            lines.take(HASHES_MAX + 1).map(Hash::from_base64).collect();
        let hashes = hashes.map_err(|_| TlogProofError::Hash)?;
        if hashes.len() > HASHES_MAX {
            return Err(TlogProofError::Hash);
        }
        Ok(TlogProof { extra, index, hashes, note: SignedNote::parse(note.as_bytes())? })
    }

    /// The proof as it is sent and stored: byte for byte what [`TlogProof::parse`] was given.
    pub fn encode(&self) -> String {
        let extra = self.extra.as_ref();
        let extra =
            extra.map_or(String::new(), |data| format!("extra {}\n", STANDARD.encode(data)));
        let hashes: String = self.hashes.iter().map(|hash| hash.to_base64() + "\n").collect();
        format!("{HEADER}{extra}index {}\n{hashes}\n{}", self.index, self.note.encode())
    }

    /// Checks that data with the leaf hash `leaf` is at this proof's index of the log called
    /// `origin`, by a checkpoint that at least one of `keys` signed.
    ///
    /// # Errors
    /// As [`Checkpoint::open`] and [`verify_inclusion`].
    pub fn verify(
        &self,
        algo: HashAlgo,
        leaf: &Hash,
        origin: &str,
        keys: &[VerifierKey],
    ) -> Result<Checkpoint, TlogProofError> {
        let checkpoint = Checkpoint::of_note(&self.note, origin, keys)?;
        let (size, root) = (checkpoint.size(), checkpoint.root());
        verify_inclusion(algo, leaf, self.index, size, &self.hashes, &root)?;
        Ok(checkpoint)
    }

    /// The place of the leaf, from 0.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The note with the checkpoint, of which nothing may be believed before [`TlogProof::verify`].
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// The extra data, which no signature covers.
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }
}

/// Base64 in its one spelling.
fn parse_extra(text: &str) -> Result<Vec<u8>, TlogProofError> {
    let data = STANDARD.decode(text).map_err(|_| TlogProofError::Extra)?;
    if data.len() > EXTRA_BYTES_MAX {
        return Err(TlogProofError::TooLarge);
    }
    Ok(data)
}

/// A decimal number without sign or leading zero.
fn parse_number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// Longer than any proof that is read.
    #[error("the proof is too long")]
    TooLarge,
    /// Another format.
    #[error("not a proof: want `c2sp.org/tlog-proof@v1` as its first line")]
    Header,
    /// No empty line after the hashes.
    #[error("not a proof: want an empty line and a checkpoint after the hashes")]
    Form,
    /// The extra data.
    #[error("the extra line is not base64")]
    Extra,
    /// The index.
    #[error("want a line `index` with a decimal number")]
    Index,
    /// The hashes.
    #[error("want at most {HASHES_MAX} hashes of 32 bytes in base64")]
    Hash,
    /// The note around the checkpoint is refused.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The checkpoint is refused.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The hashes do not lead from the leaf to the checkpoint's root.
    #[error(transparent)]
    Proof(#[from] ProofError),
}
