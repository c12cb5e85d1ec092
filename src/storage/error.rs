//! What reading the ledger's records can end in.

use super::codec::Damaged;
use super::engine::StoreError;
use crate::ledger::entry::Seq;

/// A read that failed. Reads change nothing; a damaged record is for the verifier and the operator.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The engine could not read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it read is not a record.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The first recovery of this process has not ended, or has failed: nothing is verified yet.
    #[error("the ledger is not open for reads yet")]
    NotOpen,
    /// An entry that must be there is not.
    #[error("entry {0} is missing from the log")]
    Missing(Seq),
}

impl ReadError {
    /// Whether a recovery would mend it, by making derived data anew.
    pub fn is_of_derived_data(&self) -> bool {
        matches!(self, ReadError::Store(StoreError::DerivedDamaged(_)))
    }
}
