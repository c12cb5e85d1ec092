//! Writes what a ledger has published to a file that can be verified without it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::format::{FORMAT, Header, Trailer, VERSION};
use crate::accumulator::{Checkpoint, Hash, HashAlgo, SignedNote};
use crate::client::{Client, ClientError, Retry};
use crate::ledger::entry::Seq;
use crate::storage::files::{self, FILE_MODE, FileError};

/// Entries in one page of the reading.
const PAGE: usize = 1000;

/// Entries `from` to `to`, both included; without `to` up to the last signed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first entry, from 1.
    pub from: Seq,
    /// The last one.
    pub to: Option<Seq>,
}

impl FromStr for Range {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (from, to) = text.split_once(':').ok_or("must be A:B, for instance 0:latest")?;
        let number = |text: &str| text.parse::<Seq>().map_err(|_| "A and B must be whole numbers");
        let from = number(from)?.max(1);
        let to = if to == "latest" { None } else { Some(number(to)?) };
        match to.is_some_and(|to| to < from) {
            true => Err("A must not be above B"),
            false => Ok(Range { from, to }),
        }
    }
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The first entry.
    pub from: Seq,
    /// The last one.
    pub to: Seq,
    /// The signed size.
    pub size: Seq,
    /// The signed root.
    pub root: Hash,
    /// The ledger.
    pub origin: String,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The ledger does not answer, or refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The ledger says what cannot be.
    #[error("the ledger's answer cannot be exported: {0}")]
    Strange(String),
    /// The range goes beyond what is signed.
    #[error(
        "entries {from} to {to} are not published: the last signed checkpoint is of size {size}"
    )]
    NotPublished {
        /// The first entry that was asked for.
        from: Seq,
        /// The last one.
        to: Seq,
        /// The signed size.
        size: Seq,
    },
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It cannot be written either.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file; `-` for stdout.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Exports `range` to `path`; `-` is stdout. The file gets its name when it is complete, and replaces
/// another one of that name. `begun` is told the number of entries, `done` of each page's.
///
/// # Errors
/// [`ExportError`]; there is no new file at `path` then.
pub async fn export(
    client: &Client,
    range: Range,
    path: &Path,
    begun: &dyn Fn(u64),
    done: &dyn Fn(u64),
) -> Result<Exported, ExportError> {
    let published = Published::of(client, range).await?;
    begun(published.header.to - published.header.from + 1);
    let io = |source| ExportError::Io { path: path.into(), source };
    if path == Path::new("-") {
        write(client, &published, &mut BufWriter::new(io::stdout()), path, done).await?;
        return Ok(published.exported());
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let file = create(&partial).map_err(io)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let written = write(client, &published, &mut out, path, done).await;
    let written = match written {
        Ok(()) => out.get_ref().sync_all().map_err(io),
        Err(error) => Err(error),
    };
    if let Err(error) = written {
        // A left-over is overwritten by the next export, and never taken for one.
        let _ = std::fs::remove_file(&partial);
        return Err(error);
    }
    files::rename_durably(&partial, path)?;
    Ok(published.exported())
}

/// Entries are for those who may read them: the file is its owner's alone.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)
}

/// What a ledger had published when the export began.
struct Published {
    header: Header,
    checkpoint: Checkpoint,
    note: String,
    proof: Vec<Hash>,
}

impl Published {
    async fn of(client: &Client, range: Range) -> Result<Self, ExportError> {
        let strange = |problem: &dyn std::fmt::Display| ExportError::Strange(problem.to_string());
        let note = Retry::default().run(|| client.checkpoint(), |_, _| ()).await?;
        let parsed = SignedNote::parse(note.as_bytes()).map_err(|error| strange(&error))?;
        let checkpoint = Checkpoint::parse(parsed.text()).map_err(|error| strange(&error))?;
        let size = checkpoint.size();
        let (from, to) = (range.from, range.to.unwrap_or(size));
        if to > size || from > to {
            return Err(ExportError::NotPublished { from, to, size });
        }
        let version = Retry::default().run(|| client.probe("version"), |_, _| ()).await?;
        let hash: HashAlgo = serde_json::from_value(version["hash"].clone())
            .map_err(|_| strange(&"/version names no hash"))?;
        let answer = Retry::default().run(|| client.range_proof(from, to, size), |_, _| ()).await?;
        let proof = answer.hashes.iter().map(|hash| hash.parse());
        let proof = proof.collect::<Result<_, _>>().map_err(|error| strange(&error))?;
        let (format, origin) = (FORMAT.to_owned(), checkpoint.origin().to_owned());
        let header = Header { format, version: VERSION, origin, hash, from, to, size };
        Ok(Published { header, checkpoint, note, proof })
    }

    fn exported(&self) -> Exported {
        let Header { from, to, size, .. } = self.header;
        let (root, origin) = (self.checkpoint.root(), self.header.origin.clone());
        Exported { from, to, size, root, origin }
    }
}

/// Writes all lines, page by page: memory does not grow with the range.
async fn write<W: Write>(
    client: &Client,
    published: &Published,
    out: &mut W,
    path: &Path,
    done: &dyn Fn(u64),
) -> Result<(), ExportError> {
    let io = |source| ExportError::Io { path: path.into(), source };
    line(out, &published.header).map_err(io)?;
    let mut times = Sha256::new();
    let (mut next, to) = (published.header.from, published.header.to);
    while next <= to {
        let limit = usize::try_from(to - next + 1).unwrap_or(PAGE).min(PAGE);
        let page = Retry::default().run(|| client.entries(next, limit), |_, _| ()).await?;
        let before = next;
        for entry in page.entries.iter().take(limit) {
            if entry.seq != next {
                let problem = format!("entry {} stands where {next} should be", entry.seq);
                return Err(ExportError::Strange(problem));
            }
            times.update(entry.committed_at.to_be_bytes());
            line(out, entry).map_err(io)?;
            next += 1;
        }
        if next == before {
            return Err(ExportError::Strange(format!("entry {next} is not there")));
        }
        done(next - before);
    }
    let times: [u8; 32] = times.finalize().into();
    let (proof, checkpoint) = (published.proof.clone(), published.note.clone());
    line(out, &Trailer { times_sha256: Hash(times), proof, checkpoint }).map_err(io)?;
    out.flush().map_err(io)
}

fn line<W: Write>(out: &mut W, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_begins_with_the_first_entry_and_may_end_with_the_last() {
        let range = |from, to| Ok(Range { from, to });
        assert_eq!("0:latest".parse(), range(1, None));
        assert_eq!("1:latest".parse(), range(1, None));
        assert_eq!("5:9".parse(), range(5, Some(9)));
        assert_eq!("5:5".parse(), range(5, Some(5)));
        for bad in ["", ":", "5", "9:5", "0:0", "a:b", "1:", ":latest", "latest:1", "-1:2", "1:2:3"]
        {
            assert!(bad.parse::<Range>().is_err(), "{bad}");
        }
    }
}
