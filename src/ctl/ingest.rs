//! `ingest`: sends a file of entries.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::CtlError;
use super::context::Context;
use super::send::{Sending, send};
use crate::client::unit::{LINE_BYTES_MAX, UnitIn, pack};

/// Send a file of entries
///
/// Each line is a unit: one entry, or {"entries":[...], "atomic"?: bool, "idem_id"?: text}, which is
/// never split over requests. The whole file is checked before anything is sent.
///
/// To resume, run it again: what is in the ledger already is counted as replayed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    ron-ledgerctl ingest --file entries.jsonl --batch 500 --token-file app.token")]
pub(super) struct IngestArgs {
    /// JSON lines
    #[arg(long, value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    how: SendArgs,
}

/// How to send many entries; shared with `workload --send`.
#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// About so many entries a request; a ledger takes 1000 by default
    #[arg(long, value_name = "N", default_value = "500")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) batch: u32,

    /// Requests at a time. With more than one, the order is not kept: entries that refer to others
    /// may be rejected, until the file is sent again
    #[arg(long, value_name = "N", default_value = "1")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) connections: u16,

    /// Fail when any entry is rejected
    #[arg(long)]
    pub(super) strict: bool,
}

pub(super) async fn run(args: IngestArgs, context: &Context) -> Result<(), CtlError> {
    let client = context.client()?;
    let total = count_entries(&args.file)?;
    let failure = RefCell::new(None);
    // The file was fine a moment ago; what fails now ends the units and is told afterwards.
    let units = Units::open(&args.file)?
        .map_while(|unit| unit.map_err(|error| failure.replace(Some(error))).ok());
    let requests = pack(units, args.how.batch as usize);
    let sending = Sending { connections: args.how.connections.into(), total };
    let (report, outcome) = send(&client, &context.ui, requests, sending).await;
    context.ui.show(&report, || report.table(&context.ui))?;
    outcome.map_err(|error| error.hint("once that is mended, run the same command again"))?;
    failure.into_inner().map_or(Ok(()), Err)?;
    report.judge(args.how.strict)
}

/// Reads the whole file once, so that a line that is no unit is found before anything is sent.
fn count_entries(path: &Path) -> Result<u64, CtlError> {
    let mut entries = 0;
    for unit in Units::open(path)? {
        entries += unit?.entries.len() as u64;
    }
    match entries {
        0 => Err(CtlError::usage(format_args!("{}: has no entry", path.display()))),
        _ => Ok(entries),
    }
}

/// The units of a file, one line in memory at a time. Blank lines are passed over.
struct Units {
    path: PathBuf,
    lines: BufReader<File>,
    line_number: u64,
}

impl Units {
    fn open(path: &Path) -> Result<Self, CtlError> {
        let failed = |error| CtlError::usage(format_args!("{}: {error}", path.display()));
        let file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            let message = format!("{}: must be a regular file", path.display());
            return Err(CtlError::usage(message).hint("it is read twice: a pipe will not do"));
        }
        Ok(Units { path: path.to_owned(), lines: BufReader::new(file), line_number: 0 })
    }

    /// The next line without its end, if there is one.
    fn line(&mut self) -> std::io::Result<Option<String>> {
        let mut line = Vec::new();
        // One byte more than a line may have, and its end.
        let mut bounded = (&mut self.lines).take(LINE_BYTES_MAX as u64 + 2);
        if bounded.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        self.line_number += 1;
        String::from_utf8(line).map(Some).map_err(std::io::Error::other)
    }
}

impl Iterator for Units {
    type Item = Result<UnitIn, CtlError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let parsed = match self.line() {
                Ok(None) => return None,
                Ok(Some(line)) if line.trim().is_empty() => continue,
                Ok(Some(line)) => UnitIn::parse(line.trim_end_matches(['\n', '\r'])),
                Err(error) => {
                    let place = self.path.display();
                    return Some(Err(CtlError::usage(format_args!("{place}: {error}"))));
                }
            };
            let place = (self.path.display(), self.line_number);
            let told = |error| CtlError::usage(format_args!("{}:{}: {error}", place.0, place.1));
            return Some(parsed.map_err(told));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::workload::{Spec, Workload};
    use crate::ctl::Exit;

    fn file_of(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn lines(entries: usize) -> Vec<String> {
        let spec = Spec { entries, ..Spec::default() };
        Workload::new(spec).unwrap().map(|unit| UnitIn::from(&unit).to_line()).collect()
    }

    #[test]
    fn a_file_gives_its_units_and_blank_lines_are_none() {
        let text = format!("\n{}\r\n\n", lines(50).join("\n"));
        let file = file_of(&text);
        assert_eq!(count_entries(file.path()).unwrap(), 50);
        let units: Result<Vec<_>, _> = Units::open(file.path()).unwrap().collect();
        let back: Vec<_> = units.unwrap().iter().map(UnitIn::to_line).collect();
        assert_eq!(back, lines(50));
    }

    #[test]
    fn a_bad_line_is_named() {
        let mut lines = lines(5);
        lines.insert(2, "{\"entries\":[]}".to_owned());
        let file = file_of(&lines.join("\n"));
        let error = count_entries(file.path()).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().contains(":3: entries: must not be empty"), "{error}");

        let long = file_of(&" x".repeat(LINE_BYTES_MAX));
        let error = count_entries(long.path()).unwrap_err();
        assert!(error.to_string().contains(":1: the line is longer than"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_twice_is_refused() {
        for path in ["/dev/null", "/", "/nowhere/entries.jsonl"] {
            assert_eq!(count_entries(Path::new(path)).unwrap_err().exit(), Exit::Usage, "{path}");
        }
        assert!(count_entries(file_of("\n\n").path()).is_err());
    }
}
