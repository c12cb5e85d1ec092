//! Verifies an export without any server: the export and the ledger's verifier key are all it takes.
//!
//! One thread reads and checks lines, the other puts them in order: tree, times, replay. The first
//! wrong line ends it.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};

use sha2::{Digest as _, Sha256};

use super::format::{Header, Trailer};
use super::lines::{FileOriginals, Line, Lines, Told};
use super::report::{AuditError, Check, Finding, NotChecked, Report};
use super::rules::{Judge, NOT_IN_A_PART};
use crate::accumulator::{Checkpoint, Hash, LeafRange, VerifierKey};

/// The most entries of one unit that are taken; a ledger's bound is lower.
pub const UNIT_ENTRIES_MAX: usize = 4096;

/// Batches of lines that the reading thread is ahead.
const AHEAD: usize = 8;

pub(super) const TIMES: NotChecked = NotChecked {
    what: "that entries were committed at the times that the export says",
    why: "no hash of the ledger covers these times",
};
pub(super) const RIGHTS: NotChecked = NotChecked {
    what: "that whoever wrote an entry had the right to",
    why: "capabilities are not part of the log",
};
const CUT: NotChecked = NotChecked { what: "the last unit", why: "it goes on after the range" };

/// Verifies the export at `path` against the ledger's key. `progress` is told how many more entries are
/// done, and how many there are in all.
///
/// # Errors
/// [`AuditError::Io`]; whatever is wrong with what the file says is in the report.
pub fn verify_export(
    path: &Path,
    key: &VerifierKey,
    progress: &dyn Fn(u64, u64),
) -> Result<Report, AuditError> {
    let mut lines = Lines::open(path)?;
    let header = match lines.header()? {
        Ok(header) => header,
        Err(finding) => return Ok(Report::failed(finding)),
    };
    let originals = FileOriginals { file: lines.handle()?, offsets: Vec::new() };
    let (sender, told) = sync_channel(AHEAD);
    let mut audit = Audit::new(&header, originals);
    let (ended, read) = std::thread::scope(|scope| {
        let (lines, header) = (&mut lines, &header);
        let reading = scope.spawn(move || lines.send(header, &sender));
        let ended = audit.follow(told, key, progress);
        (ended, reading.join().expect("reading has no panic of its own"))
    });
    read?;
    Ok(audit.report(ended.err()))
}

/// What is known so far.
struct Audit<'a> {
    header: &'a Header,
    judge: Judge,
    originals: FileOriginals,
    leaves: LeafRange,
    times: Sha256,
    entries: u64,
    root: Option<Hash>,
    cut: bool,
}

impl<'a> Audit<'a> {
    fn new(header: &'a Header, originals: FileOriginals) -> Self {
        Audit {
            judge: Judge::new(header.from),
            originals,
            leaves: LeafRange::new(header.hash, header.from - 1),
            times: Sha256::new(),
            entries: 0,
            root: None,
            cut: false,
            header,
        }
    }

    /// Takes what the reader says, to the end or to the first thing that is wrong.
    fn follow(
        &mut self,
        told: Receiver<Told>,
        key: &VerifierKey,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(), Finding> {
        for told in told {
            match told {
                Told::Entries(lines) => {
                    let count = lines.len() as u64;
                    for line in lines {
                        self.entry(line).map_err(|finding| self.placed(finding))?;
                    }
                    progress(count, self.header.to - self.header.from + 1);
                }
                Told::Wrong(finding) => {
                    // What stands before it may be wrong already.
                    let ended = self.judge.end(false, &self.originals);
                    ended.map_err(|earlier| self.placed(earlier))?;
                    return Err(finding);
                }
                Told::Trailer(number, trailer) => return self.end(number, &trailer, key),
            }
        }
        let problem = "the file could not be read to its end";
        Err(Finding::at(self.entries + 1, Check::Format, problem))
    }

    fn entry(&mut self, line: Line) -> Result<(), Finding> {
        if self.header.from == 1 {
            self.originals.offsets.push(line.offset);
        }
        self.leaves.push(line.leaf);
        self.times.update(line.time.to_be_bytes());
        self.entries += 1;
        self.judge.take(line.time, line.sequenced, &self.originals)
    }

    /// Names the line of a finding of an entry: one an entry, after the header.
    fn placed(&self, finding: Finding) -> Finding {
        let line = finding.seq.map(|seq| seq - self.header.from + 2);
        Finding { line, ..finding }
    }

    fn end(&mut self, number: u64, trailer: &Trailer, key: &VerifierKey) -> Result<(), Finding> {
        let Header { from, to, size, .. } = *self.header;
        let ended = self.judge.end(to == size, &self.originals);
        self.cut = ended.map_err(|finding| self.placed(finding))?;
        if let Some(Err(problem)) = self.judge.replay().map(|replay| replay.add_up()) {
            return Err(Finding::at(number, Check::Sums, problem));
        }
        let wrong = |check, problem: String| Err(Finding::at(number, check, problem));
        let times: [u8; 32] = self.times.clone().finalize().into();
        if Hash(times) != trailer.times_sha256 {
            let problem = "the times of the lines above are not those that were exported";
            return wrong(Check::Times, problem.into());
        }
        let note = trailer.checkpoint.as_bytes();
        let checkpoint = match Checkpoint::open(note, key.name(), std::slice::from_ref(key)) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return wrong(Check::Signature, format!("the checkpoint: {error}")),
        };
        if self.header.origin != checkpoint.origin() {
            return wrong(Check::Signature, "the checkpoint is of another ledger".into());
        }
        if checkpoint.size() != size {
            let problem = format!("the checkpoint is of size {}, not {size}", checkpoint.size());
            return wrong(Check::Signature, problem);
        }
        self.root = Some(checkpoint.root());
        let verified = self.leaves.verify(size, &trailer.proof, &checkpoint.root());
        if let Err(error) = verified {
            let problem = format!("entries {from} to {to} are not what was signed: {error}");
            return wrong(Check::Root, problem);
        }
        Ok(())
    }

    fn report(self, problem: Option<Finding>) -> Report {
        let replay = self.judge.replay();
        let mut checked = vec![Check::Format, Check::Encoding, Check::Fields, Check::Continuity];
        let mut not_checked = Vec::new();
        match replay {
            Some(_) => checked.extend([Check::Replay, Check::Uniqueness, Check::Sums]),
            None => {
                checked.extend([Check::Units, Check::Uniqueness]);
                not_checked.extend(NOT_IN_A_PART);
            }
        }
        checked.extend([Check::Times, Check::Signature, Check::Root]);
        not_checked.extend(self.cut.then_some(CUT));
        not_checked.extend([TIMES, RIGHTS]);
        let accounts = replay.map_or(0, |replay| replay.state().accounts.len() as u64);
        // What was read and not yet judged when it ended counts for nothing.
        let judged = self.judge.head() + 1 - self.header.from;
        let entries = if problem.is_some() { judged } else { self.entries };
        Report {
            verified: problem.is_none(),
            problem,
            origin: self.header.origin.clone(),
            hash: Some(self.header.hash),
            from: self.header.from,
            to: self.header.to,
            size: self.header.size,
            root: self.root,
            entries,
            accounts,
            checked,
            not_checked,
        }
    }
}

impl Report {
    /// Of what cannot even be named.
    fn failed(problem: Finding) -> Self {
        Report {
            verified: false,
            problem: Some(problem),
            origin: String::new(),
            hash: None,
            from: 0,
            to: 0,
            size: 0,
            root: None,
            entries: 0,
            accounts: 0,
            checked: vec![Check::Format],
            not_checked: Vec::new(),
        }
    }
}
