//! Verifies a store that lies still: the log by the replay of an export, the roots and tiles that it
//! keeps, its last signed checkpoint, and what it has derived. Nothing in it changes.

use super::report::{AuditError, Check, Finding, NotChecked, Report};
use super::verify::{RIGHTS, TIMES};
use crate::accumulator::{Checkpoint, VerifierKey};
use crate::ledger::entry::{Entry, Seq};
use crate::ledger::replay::{Originals, Replay, ReplayError};
use crate::storage::engine::Engine;
use crate::storage::error::ReadError;
use crate::storage::walk::{Walk, WalkError, WalkedGroup, derived_differs, entry_of};

const NO_CHECKPOINT: NotChecked =
    NotChecked { what: "the signature", why: "there is no signed checkpoint in the directory" };
const NO_DERIVED: NotChecked = NotChecked {
    what: "balances, ids, holds and supplies that the store keeps",
    why: "they are new or damaged: the next start makes them anew from the log",
};

/// Verifies what is in `engine`. `note` is the last checkpoint that was signed for it; `progress` is told
/// how many more entries are done, and how many there are in all.
///
/// # Errors
/// [`AuditError::Store`] when there is no ledger to be read.
pub fn verify_engine(
    engine: &dyn Engine,
    note: Option<&str>,
    key: &VerifierKey,
    progress: &dyn Fn(u64, u64),
) -> Result<Report, AuditError> {
    let walk = Walk::new(engine).map_err(|error| AuditError::Store(error.to_string()))?;
    let keys = std::slice::from_ref(key);
    let checkpoint = note.map(|note| Checkpoint::open(note.as_bytes(), key.name(), keys));
    let mut audit = StoreAudit { engine, walk, replay: Replay::new(), signed: None, derived: None };
    let ended = match checkpoint.transpose() {
        Err(error) => Err(general(Check::Signature, format!("the checkpoint: {error}"))),
        Ok(checkpoint) => {
            audit.signed = checkpoint;
            audit.follow(progress)
        }
    };
    Ok(audit.report(ended.err()))
}

/// Of no entry alone.
fn general(check: Check, problem: String) -> Finding {
    Finding { line: None, seq: None, check, problem }
}

struct StoreAudit<'a> {
    engine: &'a dyn Engine,
    walk: Walk<'a>,
    replay: Replay,
    signed: Option<Checkpoint>,
    /// Derived data was compared.
    derived: Option<Seq>,
}

impl StoreAudit<'_> {
    fn follow(&mut self, progress: &dyn Fn(u64, u64)) -> Result<(), Finding> {
        let origin = &self.walk.genesis().origin;
        if let Some(signed) = self.signed.as_ref().filter(|signed| signed.origin() != origin) {
            let problem = format!("the checkpoint is of {}, the log of {origin}", signed.origin());
            return Err(general(Check::Signature, problem));
        }
        self.derived()?;
        let total = self.walk.stored_size().map_err(of_walk)?;
        while let Some(group) = self.walk.next_group().map_err(of_walk)? {
            let count = group.entries.len() as u64;
            self.group(group)?;
            progress(count, total);
        }
        let head = self.replay.head();
        if let Some(signed) = self.signed.as_ref().filter(|signed| signed.size() > head) {
            let problem =
                format!("the log ends at {head}, a checkpoint of {} was signed", signed.size());
            return Err(general(Check::Root, problem));
        }
        self.replay.add_up().map_err(|problem| general(Check::Sums, problem))
    }

    fn group(&mut self, group: WalkedGroup) -> Result<(), Finding> {
        let (first, WalkedGroup { time, entries, size, root }) = (self.replay.head() + 1, group);
        let engine = EngineOriginals(self.engine);
        self.replay.group(time, entries, &engine).map_err(|error| match error {
            ReplayError::Violation(violation) => {
                let check = if violation.repeats { Check::Uniqueness } else { Check::Replay };
                Finding::of(violation.seq, check, violation.problem)
            }
            ReplayError::Original(error) => Finding::of(first, Check::Replay, error.to_string()),
        })?;
        let signed = self.signed.as_ref();
        if let Some(signed) = signed.filter(|signed| (first..=size).contains(&signed.size())) {
            // Checkpoints are signed at the ends of groups.
            if signed.size() != size || signed.root() != root {
                let problem = format!("the log is not what was signed at {}", signed.size());
                return Err(Finding::of(size, Check::Root, problem));
            }
        }
        self.derived()
    }

    /// At its height, derived data is what the replay made.
    fn derived(&mut self) -> Result<(), Finding> {
        let size = self.replay.head();
        if size != self.walk.derived_height() || self.engine.derived_is_damaged() {
            return Ok(());
        }
        let differs = derived_differs(self.engine, self.replay.state());
        let differs = differs.map_err(|error| general(Check::Derived, error.to_string()))?;
        if let Some(what) = differs {
            let problem = format!("{what} at size {size} are not what the entries make");
            return Err(general(Check::Derived, problem));
        }
        self.derived = Some(size);
        Ok(())
    }

    fn report(self, problem: Option<Finding>) -> Report {
        let mut checked = vec![Check::Encoding, Check::Continuity, Check::StoredRoots];
        checked.extend([Check::Replay, Check::Uniqueness, Check::Sums]);
        let mut not_checked = Vec::new();
        match &self.signed {
            Some(_) => checked.extend([Check::Signature, Check::Root]),
            None => not_checked.push(NO_CHECKPOINT),
        }
        match self.derived {
            Some(size) if size > 0 => checked.push(Check::Derived),
            _ => not_checked.push(NO_DERIVED),
        }
        not_checked.extend([TIMES, RIGHTS]);
        let head = self.replay.head();
        Report {
            verified: problem.is_none(),
            problem,
            origin: self.walk.genesis().origin.clone(),
            hash: Some(self.walk.genesis().hash),
            from: 1,
            to: head,
            size: self.signed.as_ref().map_or(0, Checkpoint::size),
            root: self.signed.as_ref().map(Checkpoint::root),
            entries: head,
            accounts: self.replay.state().accounts.len() as u64,
            checked,
            not_checked,
        }
    }
}

fn of_walk(error: WalkError) -> Finding {
    let problem = error.to_string();
    match error {
        WalkError::Gap { seq } => Finding::of(seq, Check::Continuity, problem),
        WalkError::Order { seq, problem } => Finding::of(seq, Check::Continuity, problem),
        WalkError::Entry { seq, problem } => Finding::of(seq, Check::Encoding, problem),
        WalkError::Differs { size, .. } => Finding::of(size, Check::StoredRoots, problem),
        WalkError::Read(_) | WalkError::Genesis(_) => general(Check::Encoding, problem),
    }
}

struct EngineOriginals<'a>(&'a dyn Engine);

impl Originals for EngineOriginals<'_> {
    type Error = ReadError;

    fn entry(&self, seq: Seq) -> Result<Entry, ReadError> {
        entry_of(self.0, seq)
    }
}

/// Verifies the data directory of a ledger that is stopped, or a copy of one.
///
/// # Errors
/// [`AuditError`] when it is in use, or there is nothing to be read.
#[cfg(feature = "rocks")]
pub fn verify_store(
    dir: &std::path::Path,
    key: &VerifierKey,
    progress: &dyn Fn(u64, u64),
) -> Result<Report, AuditError> {
    use crate::actors::pipeline::SIGNED_FILE;
    use crate::storage::engine::{RocksEngine, RocksOptions};

    let engine = RocksEngine::open_read_only(dir, &RocksOptions::default());
    let engine = engine.map_err(|error| AuditError::Store(error.to_string()))?;
    let path = dir.join("signed").join(SIGNED_FILE);
    let note = match std::fs::read_to_string(&path) {
        Ok(note) => Some(note),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(AuditError::io(&path)(error)),
    };
    verify_engine(&engine, note.as_deref(), key, progress)
}
