//! The last signed checkpoint: durable before it is public, and an anchor that the log must reach.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::accumulator::{
    Checkpoint, CheckpointError, NOTE_BYTES_MAX, SignedNote, Signer, VerifierKey, sign_checkpoint,
};
use crate::backup::statement::Statement;
use crate::storage::files::{
    FileError, create_dir_private, read_bounded, remove_durably, write_durably,
};
use crate::storage::store::Anchor;

/// The name of the file, in its directory.
pub const SIGNED_FILE: &str = "checkpoint";

/// The last checkpoint that enough witnesses have cosigned.
const WITNESSED: &str = "witnessed";

/// The keys of a log: notes are signed by the current one and, while people move over, by the one
/// before it. By a retired key a note is still known as ours. A node that follows another one has what
/// verifies, and signs nothing.
pub struct LogKeys {
    current: Option<Signer>,
    previous: Option<Signer>,
    /// All of them, the current one first.
    known: Vec<VerifierKey>,
    /// When the current one was made, in unix milliseconds.
    made_ms: Option<u64>,
}

impl LogKeys {
    /// All have the log's origin for their name.
    pub fn new(current: Signer, previous: Option<Signer>, retired: Vec<VerifierKey>) -> Self {
        let signers = [Some(&current), previous.as_ref()].into_iter().flatten();
        let known = signers.map(|signer| signer.verifier_key().clone()).chain(retired).collect();
        LogKeys { current: Some(current), previous, known, made_ms: None }
    }

    /// Of a log that another node signs: the present key, then earlier ones.
    pub fn of_another(present: VerifierKey, earlier: Vec<VerifierKey>) -> Self {
        let known = std::iter::once(present).chain(earlier).collect();
        LogKeys { current: None, previous: None, known, made_ms: None }
    }

    /// Whose current key was made at this time, in unix milliseconds.
    pub fn made_at(self, made_ms: u64) -> Self {
        LogKeys { made_ms: Some(made_ms), ..self }
    }

    fn sign(&self, checkpoint: &Checkpoint) -> Option<SignedNote> {
        let note = sign_checkpoint(self.current.as_ref()?, checkpoint);
        Some(self.cosigned(note))
    }

    fn cosigned(&self, note: SignedNote) -> SignedNote {
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

/// Where signed notes are kept. The last one is written by the root publisher alone, the last witnessed
/// one by the actor that asks the witnesses.
pub struct SignedNotes {
    keys: LogKeys,
    last: Place,
    witnessed: Place,
    /// One from elsewhere that the log must contain too.
    at_least: Option<Checkpoint>,
}

enum Place {
    File(PathBuf),
    Memory(Mutex<Option<String>>),
}

impl Place {
    fn read(&self) -> Result<Option<String>, FileError> {
        match self {
            Place::Memory(note) => Ok(note.lock().clone()),
            Place::File(path) => read_bounded(path, NOTE_BYTES_MAX),
        }
    }

    fn write(&self, note: &str) -> Result<(), FileError> {
        match self {
            Place::Memory(kept) => *kept.lock() = Some(note.to_owned()),
            Place::File(path) => write_durably(path, note.as_bytes())?,
        }
        Ok(())
    }
}

/// Why the stored note is not ours to go on from.
#[derive(Debug, thiserror::Error)]
pub enum SignedError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
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
        let file = |name| Place::File(dir.join(name));
        let (last, witnessed) = (file(SIGNED_FILE), file(WITNESSED));
        Ok(SignedNotes { keys: keys.into(), last, witnessed, at_least: None })
    }

    /// When the key that signs was made, in unix milliseconds, where that is known.
    pub(super) fn key_made_ms(&self) -> Option<u64> {
        self.keys.made_ms
    }

    /// For a ledger that forgets.
    pub fn in_memory(keys: impl Into<LogKeys>) -> Self {
        let memory = || Place::Memory(Mutex::default());
        let (last, witnessed) = (memory(), memory());
        SignedNotes { keys: keys.into(), last, witnessed, at_least: None }
    }

    /// Holds the log to a note of it that was kept elsewhere. When it is newer than the last one here
    /// it takes its place, durably: what has forgotten so much takes no writes, now or later.
    ///
    /// # Errors
    /// [`SignedError`]; also for a note that no key of this log signed.
    pub fn hold_to(mut self, note: String) -> Result<Self, SignedError> {
        let given = self.ours(Some(note))?;
        let last = self.last()?.map_or(0, |(last, _)| last.size());
        if let Some((_, note)) = given.as_ref().filter(|(given, _)| given.size() > last) {
            self.keep(note)?;
        }
        self.at_least = given.map(|(given, _)| given);
        Ok(self)
    }

    /// Removes both notes, durably: they are of a ledger that this one no longer is.
    ///
    /// # Errors
    /// [`SignedError::File`].
    pub fn forget(&self) -> Result<(), SignedError> {
        for place in [&self.last, &self.witnessed] {
            match place {
                Place::Memory(note) => *note.lock() = None,
                Place::File(path) => remove_durably(path)?,
            }
        }
        Ok(())
    }

    /// What [`SignedNotes::hold_to`] was given.
    pub(super) fn at_least(&self) -> Option<&Checkpoint> {
        self.at_least.as_ref()
    }

    /// The name that checkpoints carry.
    pub fn origin(&self) -> &str {
        self.verifier_key().name()
    }

    /// Who can check them: the current key.
    pub fn verifier_key(&self) -> &VerifierKey {
        self.keys.known.first().expect("both ways to make the keys put one there")
    }

    /// The last checkpoint that was signed, with its note.
    ///
    /// # Errors
    /// [`SignedError`]; a note that no key of this log signed counts as an error and not as none.
    pub fn last(&self) -> Result<Option<(Checkpoint, String)>, SignedError> {
        self.ours(self.last.read()?)
    }

    /// The last checkpoint that was kept with the cosignatures of witnesses. Whether they are enough is
    /// for their policy to say.
    ///
    /// # Errors
    /// As [`SignedNotes::last`].
    pub fn witnessed(&self) -> Result<Option<(Checkpoint, String)>, SignedError> {
        self.ours(self.witnessed.read()?)
    }

    fn ours(&self, note: Option<String>) -> Result<Option<(Checkpoint, String)>, SignedError> {
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

    /// `None` where another node signs.
    pub(super) fn sign(&self, checkpoint: &Checkpoint) -> Option<SignedNote> {
        self.keys.sign(checkpoint)
    }

    /// Signs what the ledger states of its snapshots and its archive; no statement reads as a checkpoint.
    /// `None` where another node signs.
    pub(super) fn attest(&self, statement: &Statement) -> Option<SignedNote> {
        let signed = self.keys.current.as_ref()?.sign(statement.text());
        let note =
            signed.expect("JSON has no control byte, and a statement is within a note's size");
        Some(self.keys.cosigned(note))
    }

    /// Every key by which a note is known as this log's.
    pub(super) fn known_keys(&self) -> &[VerifierKey] {
        &self.keys.known
    }

    pub(super) fn keep(&self, note: &str) -> Result<(), SignedError> {
        Ok(self.last.write(note)?)
    }

    pub(super) fn keep_witnessed(&self, note: &str) -> Result<(), SignedError> {
        Ok(self.witnessed.write(note)?)
    }
}
