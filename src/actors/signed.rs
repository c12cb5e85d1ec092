//! The last signed checkpoint: durable before it is public, and an anchor that the log must reach.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::accumulator::{
    Checkpoint, CheckpointError, NOTE_BYTES_MAX, SignedNote, Signer, VerifierKey, sign_checkpoint,
};
use crate::storage::files::{FileError, create_dir_private, write_durably};
use crate::storage::store::Anchor;

/// The name of the file, in its directory.
pub const SIGNED_FILE: &str = "checkpoint";

/// Where signed notes are kept; the root publisher is the only one that writes them.
pub struct SignedNotes {
    signer: Signer,
    place: Place,
}

enum Place {
    Dir(PathBuf),
    Memory(Mutex<Option<String>>),
}

/// Why the stored note is not ours to go on from.
#[derive(Debug, thiserror::Error)]
pub enum SignedError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It cannot be read.
    #[error("the signed checkpoint {path} cannot be read: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a checkpoint that this key signed for this origin.
    #[error("the stored checkpoint is not one of ours: {0}")]
    NotOurs(#[from] CheckpointError),
}

impl SignedNotes {
    /// In a directory of their own.
    ///
    /// # Errors
    /// When the directory cannot be made or is open to others.
    pub fn in_dir(dir: &Path, signer: Signer) -> Result<Self, SignedError> {
        create_dir_private(dir)?;
        Ok(SignedNotes { signer, place: Place::Dir(dir.join(SIGNED_FILE)) })
    }

    /// For a ledger that forgets.
    pub fn in_memory(signer: Signer) -> Self {
        SignedNotes { signer, place: Place::Memory(Mutex::default()) }
    }

    /// The name that checkpoints carry.
    pub fn origin(&self) -> &str {
        self.signer.verifier_key().name()
    }

    /// Who can check them.
    pub fn verifier_key(&self) -> &VerifierKey {
        self.signer.verifier_key()
    }

    /// The last checkpoint that was signed, with its note.
    ///
    /// # Errors
    /// [`SignedError`]; a note that another key signed counts as an error and not as none.
    pub fn last(&self) -> Result<Option<(Checkpoint, String)>, SignedError> {
        let note = match &self.place {
            Place::Memory(note) => note.lock().clone(),
            Place::Dir(path) => read(path)?,
        };
        let Some(note) = note else { return Ok(None) };
        let keys = std::slice::from_ref(self.signer.verifier_key());
        let checkpoint = Checkpoint::open(note.as_bytes(), self.origin(), keys)?;
        Ok(Some((checkpoint, note)))
    }

    /// The tree head that the log must contain.
    ///
    /// # Errors
    /// As [`SignedNotes::last`].
    pub fn anchor(&self) -> Result<Option<Anchor>, SignedError> {
        let last = self.last()?;
        Ok(last.map(|(signed, _)| Anchor { size: signed.size(), root: signed.root() }))
    }

    pub(super) fn sign(&self, checkpoint: &Checkpoint) -> SignedNote {
        sign_checkpoint(&self.signer, checkpoint)
    }

    pub(super) fn keep(&self, note: &str) -> Result<(), SignedError> {
        match &self.place {
            Place::Memory(kept) => *kept.lock() = Some(note.to_owned()),
            Place::Dir(path) => write_durably(path, note.as_bytes())?,
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<String>, SignedError> {
    use std::io::Read;
    let failed = |source| SignedError::Read { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed)?,
    };
    let mut text = String::new();
    file.take(NOTE_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}
