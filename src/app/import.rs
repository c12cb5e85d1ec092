//! A micronode that begins with the ledger of another one, from its export.
//!
//! The export is verified first, as an auditor would; then every group is planned again. The ledger goes
//! on under the name of this boot, and its genesis names the ledger that it came from.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::accumulator::VerifierKey;
use crate::audit::{AuditError, Report, export_groups, verify_export};
use crate::storage::branch::{BranchError, branch};
use crate::storage::engine::Engine;
use crate::storage::follow::{FollowError, Follower};
use crate::storage::genesis::{Genesis, Parent};
use crate::storage::store::{RecoverError, StoreOptions};

/// Groups that are taken as one.
const AT_ONCE: usize = 64;

/// What derived data may take to follow.
const SETTLE: Duration = Duration::from_secs(60);

/// What to begin with, as the command line says.
#[derive(Clone, Debug)]
pub struct Import {
    /// A file of `ron-ledgerctl audit export`.
    pub export: PathBuf,
    /// The key that signed it, as text or in a file.
    pub vkey: String,
}

/// Why an export is not what a node begins with.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It has a store.
    #[error("a macronode goes on from its store; `ron-ledgerctl snapshot restore` makes one")]
    Macronode,
    /// It is damaged, or not what was signed.
    #[error("the export is refused: {0}; `ron-ledgerctl audit verify` says more")]
    Unverified(String),
    /// Balances before its first entry are not known.
    #[error("the export has entries {from} to {to} of {size}: export all of them")]
    Part {
        /// Its first entry.
        from: u64,
        /// Its last entry.
        to: u64,
        /// Entries of the ledger.
        size: u64,
    },
    /// It is another file than the one that was verified.
    #[error("the export was changed while it was read")]
    Changed,
    /// The file.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A group.
    #[error("an entry of the export is refused: {0}")]
    Follow(#[from] FollowError),
    /// The empty store.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The new name.
    #[error(transparent)]
    Branch(#[from] BranchError),
}

/// Fills an empty engine with the ledger of the export, and gives it the origin of `genesis`.
///
/// # Errors
/// [`ImportError`].
///
/// # Panics
/// Never: the report of a verified export has a hash.
pub(super) fn fill(
    engine: &Arc<dyn Engine>,
    genesis: &Genesis,
    options: StoreOptions,
    import: &Import,
    vkey: &VerifierKey,
) -> Result<(), ImportError> {
    let report = verified(&import.export, vkey)?;
    let hash = report.hash.expect("what was verified has a header, which names its hash");
    let original = Genesis { hash, origin: report.origin.clone(), ..genesis.clone() };
    let mut follower = Follower::open(Arc::clone(engine), Some(original), None, options)?;
    let mut waiting = Vec::with_capacity(AT_ONCE);
    export_groups(&import.export, |group| {
        waiting.push(group);
        if waiting.len() == AT_ONCE {
            follower.take(&std::mem::take(&mut waiting))?;
        }
        Ok::<_, ImportError>(())
    })?;
    let head = follower.take(&waiting)?;
    if (head.seq, Some(head.root)) != (report.size, report.root) {
        return Err(ImportError::Changed);
    }
    follower.settle(Instant::now() + SETTLE);
    drop(follower);
    let Parent { origin, size, root } = branch(&**engine, &genesis.origin)?;
    tracing::info!(parent = origin, size, %root, "the ledger of an export goes on here");
    Ok(())
}

/// The report of a whole ledger that is in order.
fn verified(export: &Path, vkey: &VerifierKey) -> Result<Report, ImportError> {
    let report = verify_export(export, vkey, &|_, _| ())?;
    if let Some(finding) = &report.problem {
        return Err(ImportError::Unverified(finding.problem.clone()));
    }
    let Report { from, to, size, .. } = report;
    match from == 1 && to == size {
        true => Ok(report),
        false => Err(ImportError::Part { from, to, size }),
    }
}
