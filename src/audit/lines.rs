//! Reads an export line by line and checks what a line shows by itself: its form, the canonical
//! bytes, the readable fields, its place. Runs ahead of the replay, on a thread of its own.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

use super::format::{EntryLine, Header, LINE_BYTES_MAX, Trailer};
use super::report::{AuditError, Check, Finding};
use crate::accumulator::{Hash, HashAlgo};
use crate::ledger::encode::{decode, encode_into};
use crate::ledger::entry::{Entry, Millis, Seq, Sequenced};
use crate::ledger::replay::Originals;

/// Lines that go from one thread to the other at once.
const BATCH: usize = 512;

/// A line whose bytes are in order.
#[derive(Debug)]
pub(super) struct Line {
    /// Where it begins in the file.
    pub(super) offset: u64,
    pub(super) time: Millis,
    pub(super) leaf: Hash,
    pub(super) sequenced: Sequenced,
}

/// What the reader says.
pub(super) enum Told {
    /// Entries, in order.
    Entries(Vec<Line>),
    /// All entries were there; with the number of its line.
    Trailer(u64, Trailer),
    /// The first line that is wrong.
    Wrong(Finding),
}

/// The lines of a file, each of at most [`LINE_BYTES_MAX`].
pub(super) struct Lines {
    reader: BufReader<File>,
    path: PathBuf,
    /// Of the line that was read last, from 1.
    pub(super) number: u64,
    offset: u64,
    line: Vec<u8>,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, AuditError> {
        let file = File::open(path).map_err(AuditError::io(path))?;
        let reader = BufReader::with_capacity(1 << 20, file);
        Ok(Lines { reader, path: path.into(), number: 0, offset: 0, line: Vec::new() })
    }

    /// Another handle on the file, to read at any place.
    pub(super) fn handle(&self) -> Result<File, AuditError> {
        self.reader.get_ref().try_clone().map_err(AuditError::io(&self.path))
    }

    /// The next line without its end, and where it begins; `None` at the end of the file. Of one that
    /// is too long, the beginning.
    fn next(&mut self) -> Result<Option<(u64, &[u8])>, AuditError> {
        self.line.clear();
        let mut bounded = (&mut self.reader).take(LINE_BYTES_MAX as u64);
        let read = bounded.read_until(b'\n', &mut self.line);
        let read = read.map_err(AuditError::io(&self.path))?;
        if read == 0 {
            return Ok(None);
        }
        let offset = self.offset;
        self.offset += read as u64;
        self.number += 1;
        Ok(Some((offset, self.line.strip_suffix(b"\n").unwrap_or(&self.line))))
    }

    /// The first line.
    pub(super) fn header(&mut self) -> Result<Result<Header, Finding>, AuditError> {
        let wrong = |problem: String| {
            Ok(Err(Finding::at(1, Check::Format, format!("not an export: {problem}"))))
        };
        let Some((_, line)) = self.next()? else { return wrong("it is empty".into()) };
        let header: Header = match serde_json::from_slice(line) {
            Ok(header) => header,
            Err(error) => return wrong(error.to_string()),
        };
        match header.check() {
            Ok(()) => Ok(Ok(header)),
            Err(problem) => wrong(problem),
        }
    }

    /// Reads and checks all lines after the header, and sends them on. Ends early when nobody
    /// listens any longer.
    pub(super) fn send(
        &mut self,
        header: &Header,
        to: &SyncSender<Told>,
    ) -> Result<(), AuditError> {
        let mut batch = Vec::with_capacity(BATCH);
        let mut scratch = Scratch::default();
        for seq in header.from..=header.to {
            let number = self.number + 1;
            let read = self.next()?;
            let line = match read {
                Some((offset, line)) => scratch.entry(header.hash, line, offset, seq),
                None => Err(missing(seq)),
            };
            match line {
                Ok(line) => batch.push(line),
                Err(finding) => {
                    let _ = to.send(Told::Entries(batch));
                    let _ = to.send(Told::Wrong(Finding { line: Some(number), ..finding }));
                    return Ok(());
                }
            }
            if batch.len() == BATCH {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                if to.send(Told::Entries(full)).is_err() {
                    return Ok(());
                }
            }
        }
        let _ = to.send(Told::Entries(batch));
        let end = self.trailer()?;
        let _ = to.send(end);
        Ok(())
    }

    fn trailer(&mut self) -> Result<Told, AuditError> {
        let number = self.number + 1;
        let wrong = |problem: &str| Ok(Told::Wrong(Finding::at(number, Check::Format, problem)));
        let Some((_, line)) = self.next()? else {
            return wrong("the trailer is not there: the export is not complete");
        };
        let trailer = match serde_json::from_slice(line) {
            Ok(trailer) => trailer,
            Err(error) => return wrong(&format!("not a trailer: {error}")),
        };
        match self.next()? {
            None => Ok(Told::Trailer(number, trailer)),
            Some(_) => {
                let finding = Finding::at(number + 1, Check::Format, "a line follows the trailer");
                Ok(Told::Wrong(finding))
            }
        }
    }
}

fn missing(seq: Seq) -> Finding {
    Finding::of(seq, Check::Continuity, format!("the file ends before entry {seq}"))
}

/// Buffers that every line uses.
#[derive(Default)]
struct Scratch {
    canonical: Vec<u8>,
    again: Vec<u8>,
}

impl Scratch {
    /// Checks the line that must be that of entry `seq`.
    fn entry(
        &mut self,
        algo: HashAlgo,
        line: &[u8],
        offset: u64,
        seq: Seq,
    ) -> Result<Line, Finding> {
        let wrong = |check, problem: String| Finding::of(seq, check, problem);
        let read: EntryLine<'_> = serde_json::from_slice(line).map_err(|error| {
            match serde_json::from_slice::<Trailer>(line) {
                Ok(_) => wrong(Check::Continuity, "the trailer stands where it should be".into()),
                Err(_) => wrong(Check::Format, format!("not the line of an entry: {error}")),
            }
        })?;
        if !read.canonical(&mut self.canonical) {
            return Err(wrong(Check::Encoding, "its canonical bytes are not hex".into()));
        }
        let sequenced = decode(&self.canonical)
            .map_err(|error| wrong(Check::Encoding, format!("its canonical bytes: {error}")))?;
        self.again.clear();
        encode_into(&mut self.again, sequenced.seq, sequenced.linked, &sequenced.entry);
        if self.again != self.canonical {
            let problem = "its bytes are not the one form of what they say";
            return Err(wrong(Check::Encoding, problem.into()));
        }
        read.agrees(&sequenced).map_err(|field| {
            wrong(Check::Fields, format!("{field} is not what the canonical bytes say"))
        })?;
        if sequenced.seq != seq {
            let problem = format!("entry {} stands where {seq} should be", sequenced.seq);
            return Err(wrong(Check::Continuity, problem));
        }
        let leaf = algo.leaf(&self.canonical);
        Ok(Line { offset, time: read.committed_at, leaf, sequenced })
    }
}

/// Entries of a file by where their lines begin: 8 bytes for each.
pub(super) struct FileOriginals {
    pub(super) file: File,
    pub(super) offsets: Vec<u64>,
}

impl Originals for FileOriginals {
    type Error = io::Error;

    fn entry(&self, seq: Seq) -> Result<Entry, io::Error> {
        let changed = || io::Error::other("the file was changed while it was read");
        let at = seq.checked_sub(1).and_then(|at| self.offsets.get(usize::try_from(at).ok()?));
        let (mut at, mut line) = (*at.ok_or_else(changed)?, Vec::new());
        // Longer than any entry that this ledger writes: one read does.
        let mut chunk = [0; 4096];
        while line.len() < LINE_BYTES_MAX {
            let read = self.file.read_at(&mut chunk, at)?;
            let end = chunk[..read].iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(&chunk[..end.unwrap_or(read)]);
            if end.is_some() || read == 0 {
                break;
            }
            at += read as u64;
        }
        let line = Scratch::default().entry(HashAlgo::Blake3, &line, 0, seq);
        line.map(|line| line.sequenced.entry).map_err(|_| changed())
    }
}
