//! C2SP tlog-checkpoint: the text that states the size and root of a log, to be signed as a note.
//! Its lines are the origin, the size in decimal and the root in base64.

use super::hash::Hash;
use super::key::{Signer, VerifierKey};
use super::note::{NOTE_BYTES_MAX, NoteError, SignedNote};

/// The longest origin, in bytes: as much as a cosigned message can name.
pub const ORIGIN_BYTES_MAX: usize = 255;

/// What a log states of itself: "my first `size` leaves have this `root`".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
}

impl Checkpoint {
    /// The checkpoint of the log called `origin` (by custom a URL without scheme, and the name of
    /// its key).
    ///
    /// # Errors
    /// When the origin is empty, longer than 255 bytes, or holds a control character.
    pub fn new(origin: impl Into<String>, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        let origin = origin.into();
        let fits = (1..=ORIGIN_BYTES_MAX).contains(&origin.len());
        if !fits || origin.contains(char::is_control) {
            return Err(CheckpointError::Origin);
        }
        Ok(Checkpoint { origin, size, root })
    }

    /// Reads a checkpoint's text. Extension lines are allowed and dropped.
    ///
    /// # Errors
    /// When a line is missing, not in its one right spelling, or empty.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(CheckpointError::Form);
        }
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Form)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Form);
        };
        if lines.any(str::is_empty) {
            return Err(CheckpointError::Form);
        }
        let root = Hash::from_base64(root).map_err(|_| CheckpointError::Root)?;
        Checkpoint::new(origin, parse_size(size).ok_or(CheckpointError::Size)?, root)
    }

    /// Reads a signed checkpoint of the log called `origin`, signed by at least one of `keys`.
    ///
    /// # Errors
    /// As [`SignedNote::parse`], [`SignedNote::verify`] and [`Checkpoint::parse`], and
    /// [`CheckpointError::OtherOrigin`].
    pub fn open(note: &[u8], origin: &str, keys: &[VerifierKey]) -> Result<Self, CheckpointError> {
        Checkpoint::of_note(&SignedNote::parse(note)?, origin, keys)
    }

    /// As [`Checkpoint::open`], of a note that was read already.
    ///
    /// # Errors
    /// As there.
    pub fn of_note(
        note: &SignedNote,
        origin: &str,
        keys: &[VerifierKey],
    ) -> Result<Self, CheckpointError> {
        let checkpoint = Checkpoint::parse(note.verify(keys)?.text)?;
        if checkpoint.origin != origin {
            return Err(CheckpointError::OtherOrigin);
        }
        Ok(checkpoint)
    }

    /// The text to be signed.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over them.
    pub fn root(&self) -> Hash {
        self.root
    }
}

/// The signed note of a checkpoint. The same checkpoint and key always give the same note; that
/// nothing inconsistent with an earlier one is signed is the caller's duty.
pub fn sign_checkpoint(signer: &Signer, checkpoint: &Checkpoint) -> SignedNote {
    signer.sign(&checkpoint.to_text()).expect("an origin without control bytes makes a fit text")
}

/// Reads a decimal number without sign or leading zero.
fn parse_size(text: &str) -> Option<u64> {
    text.parse().ok().filter(|size: &u64| size.to_string() == text)
}

/// Why a checkpoint is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it is refused.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The origin is empty, too long, or holds a control character.
    #[error("bad origin: want 1 to {ORIGIN_BYTES_MAX} bytes without control characters")]
    Origin,
    /// A checkpoint of another log.
    #[error("the checkpoint is of another log")]
    OtherOrigin,
    /// Not three or more lines that are not empty.
    #[error("not a checkpoint: want the lines origin, size and root")]
    Form,
    /// The second line is no size.
    #[error("not a checkpoint: its size is not a decimal number without leading zero")]
    Size,
    /// The third line is no root.
    #[error("not a checkpoint: its root is not the base64 of 32 bytes")]
    Root,
}
