//! A snapshot: one file with a copy of the store, and a statement of it that the ledger has signed.
//!
//! It is a tar of `manifest` (the signed statement), `files` (a line for each file: SHA-256, size, name;
//! its own digest is in the manifest) and the files in that order. The daemon gives the tar, whoever
//! keeps it packs it by zstd. No key is in it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::archive::sha256;
use super::pack::Unpacker;
use super::statement::{self, About, Statement, StatementError};
use crate::accumulator::{Hash, HashAlgo, NOTE_BYTES_MAX, VerifierKey};
use crate::ledger::entry::{Millis, Seq};
use crate::storage::Head;
use crate::storage::files::{FILE_MODE, FileError};
use crate::storage::genesis::{Genesis, SCHEMA};
use crate::storage::staging::{SMALL_FILES, Staging};

/// The list of files has at most so many bytes: about half a million files.
pub const LIST_BYTES_MAX: u64 = 64 << 20;

/// The directories that files of a snapshot lie in.
const FOLDERS: [&str; 4] = ["caps", "signed", "derived", "truth"];

const MANIFEST: &str = "manifest";
const LIST: &str = "files";

/// A tar's unit.
const TAR_BLOCK: u64 = 512;

/// What a ledger states of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The ledger.
    pub origin: String,
    /// The hash of its tree.
    pub hash: HashAlgo,
    /// The layout of the store.
    pub schema: u32,
    /// The version of the program that made it.
    pub program: String,
    /// When it was made, in ms.
    pub created_ms: u64,
    /// Entries 1 to this one are in it.
    pub entries: Seq,
    /// The root over them.
    pub root: Hash,
    /// When the last group was committed, in ms.
    pub time: Millis,
    /// The size of the signed checkpoint in it; 0 when nothing was signed yet.
    pub signed_size: Seq,
    /// How many files it has.
    pub files: u64,
    /// Their bytes together.
    pub bytes: u64,
    /// The SHA-256 of the list of them.
    pub files_sha256: Hash,
}

/// Why there is no snapshot, or none to go on from. Each names the piece.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file of the copy, or of the restored directory.
    #[error(transparent)]
    File(#[from] FileError),
    /// The manifest is not the ledger's.
    #[error("manifest: {0}")]
    Manifest(#[from] StatementError),
    /// Of a store of another layout.
    #[error("manifest: the snapshot has schema {0}, this program reads {SCHEMA}")]
    Schema(u32),
    /// A piece that is not what was signed.
    #[error("{piece}: {problem}")]
    Piece {
        /// The file in the snapshot.
        piece: String,
        /// In words.
        problem: String,
    },
}

fn damaged(piece: &str, problem: impl std::fmt::Display) -> SnapshotError {
    SnapshotError::Piece { piece: piece.to_owned(), problem: problem.to_string() }
}

/// A file of a snapshot, by its line in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    sha256: Hash,
    bytes: u64,
    name: String,
}

/// A copy of the store whose files are read and listed, and wait for a signature.
pub struct Draft {
    staging: Staging,
    rows: Vec<Row>,
    list: String,
    manifest: Manifest,
}

impl Draft {
    /// Reads all files of a copy once. `head` is the end of the log in it, `signed_size` the size of the
    /// signed checkpoint in it.
    ///
    /// # Errors
    /// [`SnapshotError::File`].
    pub fn new(
        staging: Staging,
        genesis: &Genesis,
        head: Head,
        signed_size: Seq,
        now_ms: u64,
    ) -> Result<Self, SnapshotError> {
        let mut rows = Vec::new();
        for name in names_in(staging.dir())? {
            let (sha256, bytes) = digest_of(&staging.dir().join(&name))?;
            rows.push(Row { sha256, bytes, name });
        }
        let line = |row: &Row| format!("{} {} {}\n", row.sha256, row.bytes, row.name);
        let list: String = rows.iter().map(line).collect();
        let manifest = Manifest {
            origin: genesis.origin.clone(),
            hash: genesis.hash,
            schema: SCHEMA,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            created_ms: now_ms,
            entries: head.seq,
            root: head.root,
            time: head.time,
            signed_size,
            files: rows.len() as u64,
            bytes: rows.iter().map(|row| row.bytes).sum(),
            files_sha256: sha256(list.as_bytes()),
        };
        Ok(Draft { staging, rows, list, manifest })
    }

    /// What is to be signed.
    pub fn statement(&self) -> Statement {
        Statement::new(About::Snapshot, &self.manifest)
    }

    /// With the signed note of [`Draft::statement`].
    pub fn signed(self, note: String) -> Snapshot {
        Snapshot { draft: self, note }
    }
}

/// A snapshot that is ready to leave. The copy goes when it is dropped.
pub struct Snapshot {
    draft: Draft,
    note: String,
}

impl Snapshot {
    /// What the ledger states of it.
    pub fn manifest(&self) -> &Manifest {
        &self.draft.manifest
    }

    /// The size of the tar, in bytes.
    pub fn tar_bytes(&self) -> u64 {
        let head = [self.note.len() as u64, self.draft.list.len() as u64];
        let files = self.draft.rows.iter().map(|row| row.bytes);
        let entry = |bytes: u64| TAR_BLOCK + bytes.next_multiple_of(TAR_BLOCK);
        head.into_iter().chain(files).map(entry).sum::<u64>() + 2 * TAR_BLOCK
    }

    /// Writes the tar.
    ///
    /// # Errors
    /// When a file cannot be read, or `out` takes no more.
    pub fn write(&self, out: impl Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(out);
        tar.append_data(&mut header(self.note.len() as u64), MANIFEST, self.note.as_bytes())?;
        let list = self.draft.list.as_bytes();
        tar.append_data(&mut header(list.len() as u64), LIST, list)?;
        for row in &self.draft.rows {
            let file = File::open(self.draft.staging.dir().join(&row.name))?.take(row.bytes);
            tar.append_data(&mut header(row.bytes), &row.name, file)?;
        }
        tar.into_inner()?.flush()
    }
}

fn header(bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(FILE_MODE);
    header.set_entry_type(tar::EntryType::Regular);
    header
}

/// The small files first, in their order, then derived data, then truth.
fn names_in(dir: &Path) -> Result<Vec<String>, FileError> {
    let small = SMALL_FILES.iter().filter(|name| dir.join(name).exists());
    let mut names: Vec<String> = small.map(|name| (*name).to_owned()).collect();
    for folder in ["derived", "truth"] {
        let path = dir.join(folder);
        let error = |source| FileError::Io { verb: "list", path: path.clone(), source };
        if !path.exists() {
            continue;
        }
        let mut found = Vec::new();
        for file in std::fs::read_dir(&path).map_err(error)? {
            let name = file.map_err(error)?.file_name();
            found.push(format!("{folder}/{}", name.to_string_lossy()));
        }
        found.sort_unstable();
        names.extend(found.into_iter().filter(|name| is_name(name)));
    }
    Ok(names)
}

fn digest_of(path: &Path) -> Result<(Hash, u64), FileError> {
    let error = |source| FileError::Io { verb: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(error)?;
    let (mut digest, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut buffer).map_err(error)?;
        if read == 0 {
            return Ok((Hash(digest.finalize().into()), bytes));
        }
        digest.update(&buffer[..read]);
        bytes += read as u64;
    }
}

/// A folder that a snapshot may have, and a plain name in it: nothing leads out of it.
fn is_name(name: &str) -> bool {
    let is_plain = |part: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(fits)
    };
    name.split_once('/').is_some_and(|(folder, file)| FOLDERS.contains(&folder) && is_plain(file))
}

/// Reads the manifest of the snapshot at `path`, and nothing else of it; with keys it must be signed by
/// one of them.
///
/// # Errors
/// [`SnapshotError`].
pub fn manifest_of(path: &Path, keys: Option<&[VerifierKey]>) -> Result<Manifest, SnapshotError> {
    let mut tar = opened(path)?;
    let mut entries = tar.entries().map_err(|error| damaged(MANIFEST, error))?;
    read_manifest(&mut entries, keys)
}

/// Reads a whole snapshot and holds each file against what was signed.
///
/// # Errors
/// [`SnapshotError`], with the first piece that is wrong.
pub fn verify(
    path: &Path,
    keys: Option<&[VerifierKey]>,
    done: &dyn Fn(u64, u64),
) -> Result<Manifest, SnapshotError> {
    walk(path, keys, done, |_| Ok(Box::new(io::sink())))
}

/// Unpacks a snapshot into the directory `into`, which exists and is empty, each file fsynced. What is
/// wrong is told when it is met: after an error nothing in the directory is of any use.
///
/// # Errors
/// [`SnapshotError`], with the first piece that is wrong.
pub fn unpack(
    path: &Path,
    keys: &[VerifierKey],
    into: &Path,
    done: &dyn Fn(u64, u64),
) -> Result<Manifest, SnapshotError> {
    let manifest = walk(path, Some(keys), done, |name| {
        let path = into.join(name);
        let error = |verb| {
            let path = path.clone();
            move |source| FileError::Io { verb, path, source }
        };
        crate::storage::files::create_dir_private(path.parent().unwrap_or(into))?;
        let mut options = std::fs::OpenOptions::new();
        let mode = FILE_MODE;
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        let file = options.write(true).create_new(true).open(&path).map_err(error("create"))?;
        Ok(Box::new(Synced { file }))
    })?;
    for folder in FOLDERS.iter().map(|folder| into.join(folder)).filter(|folder| folder.exists()) {
        crate::storage::files::sync_dir(&folder)?;
    }
    Ok(manifest)
}

/// A file whose flush reaches the disk.
struct Synced {
    file: File,
}

impl Write for Synced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}

type Packed = Unpacker<File>;
type Entries<'a> = tar::Entries<'a, Packed>;

fn opened(path: &Path) -> Result<tar::Archive<Packed>, SnapshotError> {
    let error = |source| FileError::Io { verb: "open", path: PathBuf::from(path), source };
    let file = File::open(path).map_err(error)?;
    Ok(tar::Archive::new(Unpacker::new(file).map_err(error)?))
}

fn walk(
    path: &Path,
    keys: Option<&[VerifierKey]>,
    done: &dyn Fn(u64, u64),
    mut sink: impl FnMut(&str) -> Result<Box<dyn Write>, SnapshotError>,
) -> Result<Manifest, SnapshotError> {
    let mut tar = opened(path)?;
    let mut entries = tar.entries().map_err(|error| damaged(MANIFEST, error))?;
    let manifest = read_manifest(&mut entries, keys)?;
    for row in read_list(&mut entries, &manifest)? {
        let mut entry = next(&mut entries, &row.name)?;
        let mut out = sink(&row.name)?;
        let mut digest = Sha256::new();
        let (mut bytes, mut buffer) = (0, vec![0; 1 << 18]);
        loop {
            let read = entry.read(&mut buffer).map_err(|error| damaged(&row.name, error))?;
            if read == 0 {
                break;
            }
            digest.update(&buffer[..read]);
            bytes += read as u64;
            done(read as u64, manifest.bytes);
            out.write_all(&buffer[..read]).map_err(|error| damaged(&row.name, error))?;
        }
        if (bytes, Hash(digest.finalize().into())) != (row.bytes, row.sha256) {
            return Err(damaged(&row.name, "its digest is not what was signed"));
        }
        out.flush().map_err(|error| damaged(&row.name, error))?;
    }
    if entries.next().is_some() {
        return Err(damaged("the end", "more files than were signed, or damaged"));
    }
    // The frame's checksum comes after all that the archive's reader asks for.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(|error| damaged("the end", error))?;
    Ok(manifest)
}

fn next<'a>(
    entries: &mut Entries<'a>,
    name: &str,
) -> Result<tar::Entry<'a, Packed>, SnapshotError> {
    let entry = entries.next().ok_or_else(|| damaged(name, "the snapshot ends before it"))?;
    let entry = entry.map_err(|error| damaged(name, error))?;
    let is_it = entry.path_bytes() == name.as_bytes()
        && entry.header().entry_type() == tar::EntryType::Regular;
    match is_it {
        true => Ok(entry),
        false => Err(damaged(name, "something else stands in its place")),
    }
}

fn read_manifest(
    entries: &mut Entries<'_>,
    keys: Option<&[VerifierKey]>,
) -> Result<Manifest, SnapshotError> {
    let mut note = Vec::new();
    let entry = next(entries, MANIFEST)?;
    let read = entry.take(NOTE_BYTES_MAX as u64 + 1).read_to_end(&mut note);
    read.map_err(|error| damaged(MANIFEST, error))?;
    let manifest: Manifest = match keys {
        Some(keys) => statement::open(About::Snapshot, &note, keys)?,
        None => statement::peek(About::Snapshot, &note)?,
    };
    if let Some(keys) = keys
        && !keys.iter().any(|key| key.name() == manifest.origin)
    {
        return Err(damaged(MANIFEST, "it is of another ledger"));
    }
    if manifest.schema != SCHEMA {
        return Err(SnapshotError::Schema(manifest.schema));
    }
    Ok(manifest)
}

fn read_list(entries: &mut Entries<'_>, manifest: &Manifest) -> Result<Vec<Row>, SnapshotError> {
    let mut list = Vec::new();
    let entry = next(entries, LIST)?;
    let read = entry.take(LIST_BYTES_MAX + 1).read_to_end(&mut list);
    read.map_err(|error| damaged(LIST, error))?;
    if list.len() as u64 > LIST_BYTES_MAX || sha256(&list) != manifest.files_sha256 {
        return Err(damaged(LIST, "its digest is not what was signed"));
    }
    let list = String::from_utf8(list).map_err(|error| damaged(LIST, error))?;
    let row = |line: &str| {
        let (sha256, rest) = line.split_once(' ')?;
        let (bytes, name) = rest.split_once(' ')?;
        let (sha256, bytes) = (sha256.parse().ok()?, bytes.parse().ok()?);
        is_name(name).then(|| Row { sha256, bytes, name: name.to_owned() })
    };
    let rows: Option<Vec<Row>> = list.lines().map(row).collect();
    rows.ok_or_else(|| damaged(LIST, "a line of it does not read, or leads elsewhere"))
}

#[cfg(test)]
mod tests;
