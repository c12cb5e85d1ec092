//! Snapshots of the running ledger: made beside the committer, which goes on.

use super::pipeline::Pipeline;
use super::prevalidator::unix_ms;
use super::signed::SignedError;
use crate::accumulator::{Checkpoint, NOTE_BYTES_MAX};
use crate::backup::snapshot::{Draft, Snapshot, SnapshotError};
use crate::ledger::entry::Seq;
use crate::storage::engine::StoreError;
use crate::storage::files::read_bounded;
use crate::storage::staging::{Staging, StagingError};
use crate::telemetry::SnapshotOutcome;

/// Why there is no snapshot. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotsError {
    /// The copy.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// Its files.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The signed checkpoint in it.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// A node that follows another one.
    #[error("a node that follows signs nothing: take snapshots of the node that writes")]
    SignsNothing,
    /// A checkpoint that no log of this name has signed.
    #[error("the signed checkpoint in the copy does not read: {0}")]
    Note(#[from] crate::accumulator::CheckpointError),
}

impl SnapshotsError {
    /// The node has none to give, or not now.
    pub fn is_of_the_moment(&self) -> bool {
        let Self::Staging(error) = self else { return matches!(self, Self::SignsNothing) };
        matches!(error, StagingError::NothingLasts | StagingError::Busy | StagingError::Read(_))
    }

    /// The disk is too full to copy even by links.
    pub fn is_for_want_of_room(&self) -> bool {
        matches!(self, Self::Staging(StagingError::Store(StoreError::NoRoom(_))))
    }
}

impl Pipeline {
    /// Copies the store as it is now, reads the copy through, and signs for it. Blocks for as long as
    /// that takes, on the thread of whoever asks; nothing of it waits for the committer, nor the other
    /// way round.
    ///
    /// # Errors
    /// [`SnapshotsError`].
    pub fn snapshot(&self) -> Result<Snapshot, SnapshotsError> {
        let outcome = self.staged();
        if outcome.is_err() {
            self.snapshot_ended(false);
        }
        outcome
    }

    fn staged(&self) -> Result<Snapshot, SnapshotsError> {
        let reader = self.reader();
        let staging = Staging::create(reader)?;
        let head = staging.head(reader.genesis())?;
        let note = staging.dir().join("signed/checkpoint");
        let note = read_bounded(&note, NOTE_BYTES_MAX).map_err(SignedError::from)?;
        let signed = &self.inner.signed;
        let size = |note: String| {
            let checkpoint =
                Checkpoint::open(note.as_bytes(), signed.origin(), signed.known_keys())?;
            Ok::<Seq, SnapshotsError>(checkpoint.size())
        };
        let size = note.map(size).transpose()?.unwrap_or(0);
        let draft = Draft::new(staging, reader.genesis(), head, size, unix_ms())?;
        let note = signed.attest(&draft.statement()).ok_or(SnapshotsError::SignsNothing)?;
        Ok(draft.signed(note.encode()))
    }

    /// Counts a snapshot: handed over whole, or not.
    pub fn snapshot_ended(&self, is_whole: bool) {
        let metrics = self.metrics();
        if is_whole {
            metrics.snapshots.of(SnapshotOutcome::Made).inc();
            metrics.snapshot_last_success.set((unix_ms() / 1000) as i64);
        } else {
            metrics.snapshots.of(SnapshotOutcome::Failed).inc();
        }
    }
}
