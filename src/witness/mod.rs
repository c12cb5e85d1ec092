//! A witness of C2SP tlog-witness: it remembers the last checkpoint of each log that it knows, and
//! cosigns another one only with a proof that the log has grown from there and is otherwise the same.
//!
//! What it remembers is durable before the cosignature exists, so that no crash lets it vouch for two
//! histories of one log. One file a log, in a directory of one process:
//! `<hex SHA-256 of the origin>` is the last checkpoint with this witness's own cosignature.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::accumulator::{
    Checkpoint, Cosigner, Hash, HashAlgo, NOTE_BYTES_MAX, NoteSignature, SignedNote, Submission,
    VerifierKey, verify_consistency,
};
use crate::storage::files::{DirLock, FileError, create_dir_private, read_bounded, write_durably};

/// The most logs that one witness looks after: a file and a lock each.
pub const LOGS_MAX: usize = 256;

/// A durable witness of some logs.
pub struct Witness {
    cosigner: Cosigner,
    /// By origin.
    logs: HashMap<String, Log>,
    _lock: DirLock,
}

struct Log {
    keys: Vec<VerifierKey>,
    path: PathBuf,
    /// Held from the look at it until the next one is durable: two submissions for one log take turns.
    last: Mutex<Option<Seen>>,
}

#[derive(Clone)]
struct Seen {
    size: u64,
    root: Hash,
    note: String,
}

/// Why a checkpoint is not cosigned.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The body, or the checkpoint in it, is not in due form.
    #[error("malformed: {0}")]
    Malformed(String),
    /// A log that this witness was not told of.
    #[error("unknown log")]
    UnknownOrigin,
    /// No signature by a key of that log, or one that does not verify.
    #[error("no signature by a known key of the log")]
    Untrusted,
    /// The old size is beyond the new one.
    #[error("the old size {old} is larger than the checkpoint's, {new}")]
    Shrinks {
        /// What the submission begins from.
        old: u64,
        /// What it leads to.
        new: u64,
    },
    /// The submission does not begin where this witness stands.
    #[error("the last cosigned size is {0}")]
    Stale(u64),
    /// The size that was cosigned last, with another root: the log has two histories.
    #[error("another root was cosigned at size {0}")]
    Fork(u64),
    /// The proof does not lead from what was cosigned last to this checkpoint.
    #[error("the proof does not hold")]
    BadProof,
    /// What was seen could not be made durable.
    #[error("cannot remember the checkpoint: {0}")]
    NotDurable(#[from] FileError),
    /// The clock shows a time that no cosignature can carry.
    #[error("the clock is wrong")]
    Clock,
}

/// Why a witness cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory, its lock, or a file in it.
    #[error(transparent)]
    File(#[from] FileError),
    /// More than [`LOGS_MAX`].
    #[error("at most {LOGS_MAX} logs can be witnessed")]
    TooManyLogs,
    /// What is stored was not cosigned by this witness: its key was changed, or the file was.
    #[error(
        "{} is not a checkpoint of `{origin}` that this witness has cosigned; to begin anew with this \
         log, knowing that what was cosigned before may be contradicted, move the file away", path.display()
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// Of which log it should be.
        origin: String,
    },
}

impl Witness {
    /// Opens or begins a witness of the logs with these keys; keys of one name are of one log.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        dir: &Path,
        cosigner: Cosigner,
        keys: impl IntoIterator<Item = VerifierKey>,
    ) -> Result<Self, OpenError> {
        create_dir_private(dir)?;
        let lock = DirLock::acquire(dir)?;
        let mut by_origin: HashMap<String, Vec<VerifierKey>> = HashMap::new();
        for key in keys {
            by_origin.entry(key.name().to_owned()).or_default().push(key);
        }
        if by_origin.len() > LOGS_MAX {
            return Err(OpenError::TooManyLogs);
        }
        let mut logs = HashMap::new();
        for (origin, keys) in by_origin {
            let path = dir.join(origin_name(&origin));
            let last = match read_bounded(&path, NOTE_BYTES_MAX)? {
                Some(note) => Some(seen(&note, &origin, &cosigner).ok_or_else(|| {
                    OpenError::NotOurs { path: path.clone(), origin: origin.clone() }
                })?),
                None => None,
            };
            logs.insert(origin, Log { keys, path, last: Mutex::new(last) });
        }
        Ok(Witness { cosigner, logs, _lock: lock })
    }

    /// The key that its cosignatures are verified with.
    pub fn cosigner_key(&self) -> &crate::accumulator::CosignerKey {
        self.cosigner.cosigner_key()
    }

    /// The last cosigned checkpoint of the log whose origin has this SHA-256, in hex.
    pub fn checkpoint(&self, origin_hash: &str) -> Option<String> {
        let log = self.logs.iter().find(|(origin, _)| origin_name(origin) == origin_hash)?.1;
        log.last.lock().as_ref().map(|seen| seen.note.clone())
    }

    /// `add-checkpoint`: checks a submission, remembers its checkpoint, cosigns it. Blocks for an
    /// fsync.
    ///
    /// # Errors
    /// [`Refusal`]; what was remembered stays as it was.
    pub fn add_checkpoint(&self, body: &[u8], unix_seconds: u64) -> Result<NoteSignature, Refusal> {
        let malformed = |error: &dyn std::fmt::Display| Refusal::Malformed(error.to_string());
        let submission = Submission::parse(body).map_err(|error| malformed(&error))?;
        let note = SignedNote::parse(submission.note.as_bytes()).map_err(|e| malformed(&e))?;
        let new = Checkpoint::parse(note.text()).map_err(|error| malformed(&error))?;
        let log = self.logs.get(new.origin()).ok_or(Refusal::UnknownOrigin)?;
        note.verify(&log.keys).map_err(|_| Refusal::Untrusted)?;
        let mut last = log.last.lock();
        follows(last.as_ref(), &submission, &new)?;
        let cosignature = self.cosigner.cosign(note.text(), unix_seconds).ok_or(Refusal::Clock)?;
        let kept = note.with([cosignature.clone()]).map_err(|error| malformed(&error))?.encode();
        // From here on no other root of this size is cosigned, whatever becomes of the answer.
        write_durably(&log.path, kept.as_bytes())?;
        *last = Some(Seen { size: new.size(), root: new.root(), note: kept });
        Ok(cosignature)
    }
}

/// Whether the checkpoint continues what was seen last, in the order of the specification's checks.
fn follows(last: Option<&Seen>, submission: &Submission, new: &Checkpoint) -> Result<(), Refusal> {
    let algo = HashAlgo::Sha256;
    let (size, root) = last.map_or((0, algo.empty()), |seen| (seen.size, seen.root));
    if submission.old > new.size() {
        return Err(Refusal::Shrinks { old: submission.old, new: new.size() });
    }
    if submission.old != size {
        return Err(Refusal::Stale(size));
    }
    if last.is_some() && new.size() == size && new.root() != root {
        return Err(Refusal::Fork(size));
    }
    verify_consistency(algo, size, new.size(), &submission.proof, &root, &new.root())
        .map_err(|_| Refusal::BadProof)
}

/// A note as it was kept: of this log, and cosigned by this witness.
fn seen(note: &str, origin: &str, cosigner: &Cosigner) -> Option<Seen> {
    let parsed = SignedNote::parse(note.as_bytes()).ok()?;
    let checkpoint = Checkpoint::parse(parsed.text()).ok().filter(|it| it.origin() == origin)?;
    let ours =
        |by: &NoteSignature| cosigner.cosigner_key().cosigned_at(parsed.text(), by).is_some();
    let is_ours = parsed.signatures().iter().any(ours);
    let (size, root) = (checkpoint.size(), checkpoint.root());
    is_ours.then(|| Seen { size, root, note: note.to_owned() })
}

fn origin_name(origin: &str) -> String {
    hex::encode(Sha256::digest(origin))
}

#[cfg(test)]
mod tests;
