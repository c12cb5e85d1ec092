//! Makes a data directory of a snapshot, of an archive, or of both: up to a size, up to a time, or as
//! far as they reach. Every entry that comes from the archive is planned again, every root compared.
//!
//! The newest checkpoint that is known, from wherever, becomes the directory's last signed one. So a
//! ledger that was restored to less than was ever signed opens for reads alone, or goes on under a new
//! origin: nothing that was signed is contradicted.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::archive::{Archive, ArchiveError, Manifest};
use super::snapshot::{self, SnapshotError};
use crate::accumulator::{Checkpoint, CheckpointError, Hash, NOTE_BYTES_MAX, VerifierKey};
use crate::ledger::entry::{Millis, Seq};
use crate::storage::engine::{Engine, StoreError};
use crate::storage::error::ReadError;
use crate::storage::files::{self, FileError};
use crate::storage::follow::{FollowError, Follower};
use crate::storage::genesis::Genesis;
use crate::storage::groups::CommitGroup;
use crate::storage::store::{Anchor, RecoverError, StoreOptions};

/// What is being restored lies here, in the directory, until it is complete.
const PARTIAL: &str = "restore.partial";

/// In the order in which they get their places: a ledger without its truth takes no writes.
const FOLDERS: [&str; 5] = ["caps", "signed", "state", "derived", "truth"];

/// Groups of so many bytes are written, and fsynced, as one.
const CHUNK_BYTES: usize = 4 << 20;

/// What derived data may take to be flushed at the end; the next start makes up for what is not.
const SETTLE: Duration = Duration::from_secs(60);

/// How far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// As far as there is anything.
    Latest,
    /// The last group that ends with this entry or before it.
    Seq(Seq),
    /// The last group that was committed at this time or before it, in ms.
    Time(Millis),
}

impl Until {
    fn takes(self, group: &CommitGroup) -> bool {
        match self {
            Until::Latest => true,
            Until::Seq(seq) => group.size <= seq,
            Until::Time(time) => group.time() <= time,
        }
    }

    fn begins_before(self, manifest: &Manifest) -> bool {
        match self {
            Until::Latest => true,
            Until::Seq(seq) => manifest.from <= seq,
            Until::Time(time) => manifest.first_time <= time,
        }
    }
}

/// A checkpoint that must not be contradicted, and its note.
pub type Known = (Checkpoint, String);

/// What a ledger is restored from.
pub struct Sources<'a> {
    /// A snapshot's file.
    pub snapshot: Option<&'a Path>,
    /// An archive.
    pub archive: Option<&'a Archive>,
    /// A checkpoint that was kept elsewhere.
    pub at_least: Option<Known>,
    /// The ledger's keys, the present and earlier ones.
    pub keys: &'a [VerifierKey],
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The ledger.
    pub origin: String,
    /// Its entries.
    pub entries: Seq,
    /// The root over them.
    pub root: Hash,
    /// Of them, from the snapshot.
    pub from_snapshot: Seq,
    /// The largest signed size that was reached, its root compared.
    pub signed_size: Seq,
    /// The root is that of a signed checkpoint, or leads to one: nothing after `signed_size` is unproven.
    pub is_proven: bool,
    /// The size of the newest checkpoint that is known.
    pub newest_known: Seq,
    /// It takes writes under its name: it has all that was ever signed, as far as is known.
    pub takes_writes: bool,
}

/// Why nothing was restored. The directory is left as it was, but for what is named in the error.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Something is there already.
    #[error("{} is not empty: restore into an empty directory, and put it in place afterwards", .0.display())]
    NotEmpty(PathBuf),
    /// Neither snapshot nor archive.
    #[error("there is nothing to restore from")]
    NoSource,
    /// The snapshot.
    #[error("the snapshot is damaged, or not this ledger's: {0}")]
    Snapshot(#[from] SnapshotError),
    /// The archive.
    #[error("the archive is damaged, or not this ledger's: {0}")]
    Archive(#[from] ArchiveError),
    /// The archive is of another ledger than the snapshot.
    #[error("the archive is of `{archive}`, the snapshot of `{snapshot}`")]
    Others {
        /// The archive's.
        archive: String,
        /// The snapshot's.
        snapshot: String,
    },
    /// The snapshot goes beyond what was asked for.
    #[error(
        "the snapshot has {entries} entries up to {time} ms, more than is asked for: take an older one, or the archive alone"
    )]
    Beyond {
        /// Its size.
        entries: Seq,
        /// Its last group's time, in ms.
        time: Millis,
    },
    /// What was restored is not what was signed.
    #[error("at {size} entries the root is not the one that was signed")]
    OtherRoot {
        /// Where.
        size: Seq,
    },
    /// A checkpoint.
    #[error("a checkpoint is not this ledger's: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The restored store.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// A group of the archive.
    #[error("the archive's groups are refused: {0}")]
    Follow(#[from] FollowError),
    /// Reading it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The engine.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Files.
    #[error(transparent)]
    File(#[from] FileError),
}

/// How an engine is opened in a directory.
pub type Open<'a> = &'a dyn Fn(&Path) -> Result<Arc<dyn Engine>, StoreError>;

/// Restores into `dir`, which is empty or not there. `done` is told how much more is done and how much
/// there is in all: bytes of the snapshot, then entries of the archive.
///
/// # Errors
/// [`RestoreError`].
pub async fn restore(
    dir: &Path,
    sources: Sources<'_>,
    until: Until,
    options: StoreOptions,
    open: Open<'_>,
    done: &dyn Fn(u64, u64),
) -> Result<Restored, RestoreError> {
    let partial = prepare(dir)?;
    let outcome = fill(&partial, &sources, until, options, open, done).await;
    match outcome {
        Ok(restored) => {
            for folder in FOLDERS.iter().filter(|folder| partial.join(folder).exists()) {
                files::rename_durably(&partial.join(folder), &dir.join(folder))?;
            }
            files::remove_tree(&partial)?;
            Ok(restored)
        }
        Err(error) => {
            files::remove_tree(&partial)?;
            Err(error)
        }
    }
}

/// What an earlier attempt left when it was killed counts for nothing.
fn prepare(dir: &Path) -> Result<PathBuf, RestoreError> {
    files::create_dir_private(dir)?;
    let partial = dir.join(PARTIAL);
    files::remove_tree(&partial)?;
    let error = |source| FileError::Io { verb: "list", path: dir.to_owned(), source };
    if fs::read_dir(dir).map_err(error)?.next().is_some() {
        return Err(RestoreError::NotEmpty(dir.to_owned()));
    }
    files::create_dir_private(&partial)?;
    Ok(partial)
}

async fn fill(
    dir: &Path,
    sources: &Sources<'_>,
    until: Until,
    options: StoreOptions,
    open: Open<'_>,
    done: &dyn Fn(u64, u64),
) -> Result<Restored, RestoreError> {
    let mut known: Vec<Known> = sources.at_least.iter().cloned().collect();
    let mut genesis = sources.archive.map(|archive| archive.genesis().clone());
    let mut from_snapshot = None;
    if let Some(path) = sources.snapshot {
        let manifest = snapshot::unpack(path, sources.keys, dir, done)?;
        known.extend(note_in(dir, &manifest.origin, sources.keys)?);
        if let Some(of_archive) = genesis.take().filter(|it| it.origin != manifest.origin) {
            let (archive, snapshot) = (of_archive.origin, manifest.origin);
            return Err(RestoreError::Others { archive, snapshot });
        }
        from_snapshot = Some(manifest);
    } else if genesis.is_none() {
        return Err(RestoreError::NoSource);
    }
    let anchor = from_snapshot.as_ref();
    let anchor = anchor.map(|it| Anchor { size: it.entries, root: it.root });
    let mut follower = Follower::open(open(dir)?, genesis, anchor.as_ref(), options)?;
    let begun = follower.head();
    let is_beyond = match until {
        Until::Latest => false,
        Until::Seq(seq) => begun.seq > seq,
        Until::Time(time) => begun.time > time,
    };
    if is_beyond {
        return Err(RestoreError::Beyond { entries: begun.seq, time: begun.time });
    }
    let mut proven = 0;
    if let Some(archive) = sources.archive {
        if let Some(last) = archive.last().await? {
            let (manifest, genesis) = (last.manifest, archive.genesis());
            let note = manifest.checkpoint.into_bytes();
            let checkpoint = Checkpoint::open(&note, &genesis.origin, sources.keys)?;
            known.push((checkpoint, String::from_utf8_lossy(&note).into_owned()));
        }
        proven = follow(&mut follower, archive, until, done).await?;
    }
    let restored = judge(&follower, &known, begun.seq, proven)?;
    if let Some((_, note)) = known.iter().max_by_key(|(checkpoint, _)| checkpoint.size()) {
        let signed = dir.join("signed");
        files::create_dir_private(&signed)?;
        files::write_durably(&signed.join("checkpoint"), note.as_bytes())?;
    }
    follower.settle(Instant::now() + SETTLE);
    Ok(restored)
}

fn note_in(dir: &Path, origin: &str, keys: &[VerifierKey]) -> Result<Option<Known>, RestoreError> {
    let note = files::read_bounded(&dir.join("signed/checkpoint"), NOTE_BYTES_MAX)?;
    let Some(note) = note else { return Ok(None) };
    Ok(Some((Checkpoint::open(note.as_bytes(), origin, keys)?, note)))
}

/// Takes an archive's groups up to the end that is asked for. Gives the size up to which the log is
/// proven: by a checkpoint there, or by one behind it that it leads to.
///
/// # Errors
/// [`RestoreError`]; what was taken before stays.
pub async fn follow(
    follower: &mut Follower,
    archive: &Archive,
    until: Until,
    done: &dyn Fn(u64, u64),
) -> Result<Seq, RestoreError> {
    let total = archive.last().await?.map_or(0, |last| last.manifest.to);
    let mut place = archive.place_of(follower.head().seq).await?;
    let mut proven = 0;
    while let Some(found) = archive.after(place).await? {
        let manifest = &found.manifest;
        if !until.begins_before(manifest) {
            break;
        }
        if manifest.to > follower.head().seq {
            let mut groups = archive.groups(manifest).await?;
            // A snapshot may end within a segment.
            groups.retain(|group| group.size > follower.head().seq);
            let end = groups.iter().position(|group| !until.takes(group)).unwrap_or(groups.len());
            let (wanted, rest) = groups.split_at(end);
            for chunk in chunks(wanted) {
                let before = follower.head().seq;
                follower.take(chunk)?;
                done(follower.head().seq - before, total);
            }
            if !rest.is_empty() {
                if !follower.leads_to(rest, &manifest.root)? {
                    return Err(RestoreError::OtherRoot { size: manifest.to });
                }
                return Ok(follower.head().seq);
            }
        }
        if !has(follower, manifest.to, manifest.root)? {
            return Err(RestoreError::OtherRoot { size: manifest.to });
        }
        proven = manifest.to;
        place = found.place();
    }
    Ok(proven)
}

/// Pieces of about [`CHUNK_BYTES`], each of one group at least.
fn chunks(groups: &[CommitGroup]) -> impl Iterator<Item = &[CommitGroup]> {
    let mut bytes = 0;
    groups.chunk_by(move |before, _| {
        bytes += before.block.len();
        let goes_on = bytes < CHUNK_BYTES;
        bytes = if goes_on { bytes } else { 0 };
        goes_on
    })
}

/// Whether the log has this root at this size, at which a group ends.
fn has(follower: &Follower, size: Seq, root: Hash) -> Result<bool, ReadError> {
    let Some(before) = size.checked_sub(1) else { return Ok(true) };
    let row = follower.reader().roots(before, size, 1)?.pop();
    Ok(row.is_some_and(|row| row.root == root))
}

/// Holds what was restored against every checkpoint that is known.
fn judge(
    follower: &Follower,
    known: &[Known],
    from_snapshot: Seq,
    mut proven: Seq,
) -> Result<Restored, RestoreError> {
    let (head, genesis): (_, &Genesis) = (follower.head(), follower.genesis());
    let mut newest_known = proven;
    for (checkpoint, _) in known {
        let size = checkpoint.size();
        newest_known = newest_known.max(size);
        if size <= head.seq {
            if !has(follower, size, checkpoint.root())? {
                return Err(RestoreError::OtherRoot { size });
            }
            proven = proven.max(size);
        }
    }
    Ok(Restored {
        origin: genesis.origin.clone(),
        entries: head.seq,
        root: head.root,
        from_snapshot,
        signed_size: proven,
        is_proven: proven == head.seq,
        newest_known,
        takes_writes: head.seq >= newest_known,
    })
}
