//! What an audit found: the first thing that is wrong, what was checked, and what could not be.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::accumulator::{Hash, HashAlgo};
use crate::ledger::entry::Seq;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The lines are those of an export.
    Format,
    /// Canonical bytes are the one form of an entry.
    Encoding,
    /// The readable fields say what the canonical bytes say.
    Fields,
    /// Seqs follow one another without a gap.
    Continuity,
    /// Funds, conservation, holds, reversals, postings: all entries follow from those before them.
    Replay,
    /// What can be seen of units, postings and expiries without the state before the range.
    Units,
    /// Each id and each idempotency tuple is there once.
    Uniqueness,
    /// All accounts, holds and supplies add up at the end.
    Sums,
    /// The times of commits are those that were exported.
    Times,
    /// The key signed the checkpoint, which is of this ledger and size.
    Signature,
    /// The entries lead to the signed root.
    Root,
    /// The roots that the store keeps of each group.
    StoredRoots,
    /// Balances, ids, holds and supplies that the store keeps.
    Derived,
}

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The line of the export, from 1; none in a store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The entry, where one is to blame.
    pub seq: Option<Seq>,
    /// Which check it fails.
    pub check: Check,
    /// In words.
    pub problem: String,
}

impl Finding {
    /// Of an entry, whose line is not known here.
    pub(super) fn of(seq: Seq, check: Check, problem: impl Into<String>) -> Self {
        Finding { line: None, seq: Some(seq), check, problem: problem.into() }
    }

    /// Of a line.
    pub(super) fn at(line: u64, check: Check, problem: impl Into<String>) -> Self {
        Finding { line: Some(line), seq: None, check, problem: problem.into() }
    }
}

/// What an audit could not look at, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NotChecked {
    /// In words.
    pub what: &'static str,
    /// In words.
    pub why: &'static str,
}

/// What came of an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Nothing is wrong with what was checked.
    pub verified: bool,
    /// The first thing that is wrong.
    pub problem: Option<Finding>,
    /// The ledger; empty when even that could not be read.
    pub origin: String,
    /// The hash of its tree.
    pub hash: Option<HashAlgo>,
    /// The first entry.
    pub from: Seq,
    /// The last one.
    pub to: Seq,
    /// The signed size.
    pub size: Seq,
    /// The signed root, when it was read.
    pub root: Option<Hash>,
    /// Entries that were looked at without a finding.
    pub entries: u64,
    /// Accounts (one for each asset of each) that the entries made; 0 without a replay.
    pub accounts: u64,
    /// What was checked, and holds for all of the range unless there is a problem.
    pub checked: Vec<Check>,
    /// What was not.
    pub not_checked: Vec<NotChecked>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store cannot be opened or read.
    #[error("{0}")]
    Store(String),
    /// The other side of a comparison does not answer, or cannot be compared.
    #[error("{0}")]
    Source(String),
    /// The ledger refuses.
    #[error(transparent)]
    Client(#[from] crate::client::ClientError),
}

impl AuditError {
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> AuditError {
        move |source| AuditError::Io { path: path.into(), source }
    }
}
