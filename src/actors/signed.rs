//! The last signed checkpoint: durable before it is public, and an anchor that the log must reach.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::accumulator::{
    Checkpoint, CheckpointError, NOTE_BYTES_MAX, SignedNote, Signer, VerifierKey, sign_checkpoint,
};
use crate::storage::files::{FileError, create_dir_private, write_durably};
use crate::storage::store::Anchor;

const FILE: &str = "checkpoint";

/// The keys of a log: notes are signed by the current one and, while people move over, by the one
/// before it. By a retired key a note is still known as ours.
pub struct LogKeys {
    current: Signer,
    previous: Option<Signer>,
    /// All of them.
    known: Vec<VerifierKey>,
}

impl LogKeys {
    /// All have the log's origin for their name.
    pub fn new(current: Signer, previous: Option<Signer>, retired: Vec<VerifierKey>) -> Self {
        let signers = [Some(&current), previous.as_ref()].into_iter().flatten();
        let known = signers.map(|signer| signer.verifier_key().clone()).chain(retired).collect();
        LogKeys { current, previous, known }
    }

    fn sign(&self, checkpoint: &Checkpoint) -> SignedNote {
        let note = sign_checkpoint(&self.current, checkpoint);
        match &self.previous {
            Some(previous) => previous.cosign(&note).expect("a note has room for two signatures"),
            None => note,
        }
    }
}

impl From<Signer> for LogKeys {
    fn from(signer: Signer) -> Self {
        LogKeys::new(signer, None, Vec::new())
    }
}

/// Where signed notes are kept; the root publisher is the only one that writes them.
pub struct SignedNotes {
    keys: LogKeys,
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
    pub fn in_dir(dir: &Path, keys: impl Into<LogKeys>) -> Result<Self, SignedError> {
        create_dir_private(dir)?;
        Ok(SignedNotes { keys: keys.into(), place: Place::Dir(dir.join(FILE)) })
    }

    /// For a ledger that forgets.
    pub fn in_memory(keys: impl Into<LogKeys>) -> Self {
        SignedNotes { keys: keys.into(), place: Place::Memory(Mutex::default()) }
    }

    /// The name that checkpoints carry.
    pub fn origin(&self) -> &str {
        self.verifier_key().name()
    }

    /// Who can check them: the current key.
    pub fn verifier_key(&self) -> &VerifierKey {
        self.keys.current.verifier_key()
    }

    /// The last checkpoint that was signed, with its note.
    ///
    /// # Errors
    /// [`SignedError`]; a note that no key of this log signed counts as an error and not as none.
    pub fn last(&self) -> Result<Option<(Checkpoint, String)>, SignedError> {
        let note = match &self.place {
            Place::Memory(note) => note.lock().clone(),
            Place::Dir(path) => read(path)?,
        };
        let Some(note) = note else { return Ok(None) };
        let checkpoint = Checkpoint::open(note.as_bytes(), self.origin(), &self.keys.known)?;
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
        self.keys.sign(checkpoint)
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
