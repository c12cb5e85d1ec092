//! The commit groups of a whole export, for a ledger that begins with it.
//!
//! An export says when each entry was committed, and not where a group ended. A group begins where the
//! time differs or an Expire follows another kind; and, since what is reversed is looked up in the log, with
//! a unit that reverses. To cut a group between two units changes no entry, no balance and no root.

use std::path::Path;
use std::sync::mpsc::sync_channel;

use super::lines::{Line, Lines, Told};
use super::report::{AuditError, Finding};
use crate::accumulator::{Frontier, HashAlgo};
use crate::ledger::entry::Kind;
use crate::ledger::replay::is_expire;
use crate::storage::groups::CommitGroup;

/// A group closes at the first unit that ends after so many entries.
const GROUP_ENTRIES: usize = 4096;

/// Batches of lines that the reading thread is ahead.
const AHEAD: usize = 8;

/// Hands over the groups of the export at `path`, in order, to the first one that `take` refuses. What
/// the file says is held against itself only: see [`verify_export`](super::verify_export).
///
/// # Errors
/// [`AuditError`], also for a file that is no export, and what `take` says.
pub fn export_groups<E: From<AuditError>>(
    path: &Path,
    mut take: impl FnMut(CommitGroup) -> Result<(), E>,
) -> Result<(), E> {
    let wrong =
        |finding: Finding| AuditError::Source(format!("{}: {}", path.display(), finding.problem));
    let mut lines = Lines::open(path)?;
    let header = lines.header()?.map_err(wrong)?;
    let (sender, told) = sync_channel(AHEAD);
    std::thread::scope(|scope| {
        let (lines, header) = (&mut lines, &header);
        let reading = scope.spawn(move || lines.send(header, &sender));
        let mut open = Open::new(header.hash);
        let mut taken = Ok(());
        // A loop over what is owned: when it ends early, the reading thread has no listener and ends.
        for told in told {
            taken = match told {
                Told::Entries(lines) => {
                    lines.into_iter().filter_map(|line| open.push(line)).try_for_each(&mut take)
                }
                Told::Trailer(..) => open.close().map_or(Ok(()), &mut take),
                Told::Wrong(finding) => Err(wrong(finding).into()),
            };
            if taken.is_err() {
                break;
            }
        }
        taken.and(reading.join().expect("reading has no panic of its own").map_err(E::from))
    })
}

/// The group that is not complete yet.
struct Open {
    algo: HashAlgo,
    tree: Frontier,
    lines: Vec<Line>,
    /// Where its last unit begins.
    unit: usize,
}

impl Open {
    fn new(algo: HashAlgo) -> Self {
        Open { algo, tree: Frontier::new(), lines: Vec::new(), unit: 0 }
    }

    /// Takes a line, and gives the group that ends in front of its unit, if one does.
    fn push(&mut self, line: Line) -> Option<CommitGroup> {
        let ended = match self.lines.last() {
            Some(last) if !last.sequenced.linked => {
                self.unit = self.lines.len();
                let differs = last.time != line.time
                    || is_expire(&line.sequenced) && !is_expire(&last.sequenced)
                    || self.lines.len() >= GROUP_ENTRIES;
                if differs { self.close() } else { None }
            }
            _ => None,
        };
        let reverses = line.sequenced.entry.kind == Kind::Reverse;
        self.lines.push(line);
        // Whichever entry of its unit it is, the group ends before the unit.
        let before = if reverses { self.cut() } else { None };
        // A group that a unit alone makes has nothing before it to be cut off.
        ended.or(before)
    }

    /// The group in front of the last unit.
    fn cut(&mut self) -> Option<CommitGroup> {
        let unit = self.lines.split_off(std::mem::take(&mut self.unit));
        let group = self.close();
        self.lines = unit;
        group
    }

    fn close(&mut self) -> Option<CommitGroup> {
        let lines = std::mem::take(&mut self.lines);
        self.unit = 0;
        lines.iter().for_each(|line| self.tree.push(self.algo, line.leaf));
        let time = lines.first()?.time;
        let entries = lines.iter().map(|line| &line.sequenced);
        Some(CommitGroup::made_of(time, entries, self.tree.root(self.algo)))
    }
}
