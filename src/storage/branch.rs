//! Makes of a store a new ledger that goes on from the old one under a name of its own: the way out for a
//! store that is older than what was signed for it. Under the old name it would contradict that.

use super::engine::{CommitError, Engine, TruthBatch, TruthFamily};
use super::genesis::{Genesis, Parent};
use super::recovery::verified_head;
use super::store::{GENESIS, RecoverError};

/// Why there is no new ledger. The store is as it was.
#[derive(Debug, thiserror::Error)]
pub enum BranchError {
    /// The old one cannot be read, or its head is not what its log says.
    #[error(transparent)]
    Ledger(#[from] RecoverError),
    /// The new name could not be noted; it may be there at the next start.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// There is no ledger in the data directory.
    #[error("there is no ledger to go on from")]
    NoLedger,
    /// It has this name, and no other one before.
    #[error(
        "the ledger is `{0}` already: set node.origin to a new name, with a key of its own (`init`)"
    )]
    SameOrigin(String),
}

/// Gives the ledger in `engine` a new origin, and gives where it parts from the old one. Done a second
/// time, as after a crash, it changes nothing.
///
/// # Errors
/// [`BranchError`].
pub fn branch(engine: &dyn Engine, origin: &str) -> Result<Parent, BranchError> {
    let stored = engine.truth_get(TruthFamily::Meta, GENESIS).map_err(RecoverError::from)?;
    let stored = stored.ok_or(BranchError::NoLedger)?;
    let genesis = Genesis::from_bytes(&stored).map_err(RecoverError::from)?;
    if genesis.origin == origin {
        return genesis.parent.ok_or_else(|| BranchError::SameOrigin(origin.to_owned()));
    }
    let head = verified_head(engine, &genesis)?;
    let parent = Parent { origin: genesis.origin, size: head.seq, root: head.root };
    let genesis = Genesis { origin: origin.to_owned(), parent: Some(parent.clone()), ..genesis };
    let mut batch = TruthBatch::new();
    batch.put(TruthFamily::Meta, GENESIS, genesis.to_bytes());
    engine.commit(&batch)?;
    Ok(parent)
}
