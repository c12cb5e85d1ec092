//! The archive of a ledger: its genesis, and segments of commit groups, each behind a manifest that the
//! ledger has signed. Objects are never replaced.
//!
//! | object | what |
//! |---|---|
//! | `genesis` | a signed statement of what the ledger was made with |
//! | `segments/FROM-TO-DIGEST` | groups, see [`super::segment`] |
//! | `manifests/FROM` | a signed statement of one segment; only this makes it part of the archive |
//!
//! A manifest names the digest of the one before it, and a signed checkpoint at its own end. Its name
//! is the first entry, so that the put of a second successor finds the first one there.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::segment::{self, SegmentError};
use super::statement::{self, About, Statement, StatementError};
use super::target::{Target, TargetError};
use crate::accumulator::{Checkpoint, Hash, NOTE_BYTES_MAX, VerifierKey};
use crate::ledger::entry::{Millis, Seq};
use crate::storage::genesis::{Genesis, GenesisError};
use crate::storage::groups::{CommitGroup, GROUP_BYTES_MAX};

/// The object with the genesis.
pub const GENESIS: &str = "genesis";

/// The folder of manifests.
const MANIFESTS: &str = "manifests";

/// The largest segment that is read: packed, it is not larger than what it holds.
const OBJECT_BYTES_MAX: usize = GROUP_BYTES_MAX + (64 << 20);

/// What the ledger was made with, as its archive states it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct GenesisBody {
    genesis: String,
}

/// What the ledger states of one segment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The ledger.
    pub origin: String,
    /// The first entry.
    pub from: Seq,
    /// The last one, which is the size of the tree after it.
    pub to: Seq,
    /// The root of that tree.
    pub root: Hash,
    /// When the first group was committed, in ms.
    pub first_time: Millis,
    /// When the last one was.
    pub last_time: Millis,
    /// The object of the segment.
    pub segment: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Hash,
    /// The SHA-256 of the manifest before this one, as it is stored; of nothing, for the first.
    pub previous: Hash,
    /// The signed checkpoint of `to`.
    pub checkpoint: String,
}

/// The SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

/// The statement of what a ledger was made with.
pub fn genesis_statement(genesis: &Genesis) -> Statement {
    let genesis = String::from_utf8_lossy(&genesis.to_bytes()).into_owned();
    Statement::new(About::Archive, &GenesisBody { genesis })
}

/// A segment that is ready to be put into an archive, and what is to be signed of it.
pub struct Draft {
    /// The statement's content.
    pub manifest: Manifest,
    /// The object.
    pub object: Vec<u8>,
}

impl Draft {
    /// Packs groups, which follow one another; at least one. `previous` is the digest of the manifest
    /// before, `checkpoint` the signed note of the last group's end.
    ///
    /// # Errors
    /// [`SegmentError`], also for no groups.
    pub fn new(
        origin: &str,
        groups: &[CommitGroup],
        previous: Hash,
        checkpoint: String,
    ) -> Result<Self, SegmentError> {
        let (Some(first), Some(last)) = (groups.first(), groups.last()) else {
            return Err(SegmentError("there are no groups".into()));
        };
        let object = segment::encode(groups)?;
        let (from, to, sha256) = (first.first, last.size, sha256(&object));
        let digest = hex::encode(&sha256.0[..8]);
        let manifest = Manifest {
            origin: origin.to_owned(),
            from,
            to,
            root: last.root,
            first_time: first.time(),
            last_time: last.time(),
            segment: format!("segments/{from:020}-{to:020}-{digest}"),
            bytes: object.len() as u64,
            sha256,
            previous,
            checkpoint,
        };
        Ok(Draft { manifest, object })
    }

    /// What is to be signed.
    pub fn statement(&self) -> Statement {
        Statement::new(About::Segment, &self.manifest)
    }
}

/// The object of the manifest whose first entry is `from`.
pub fn manifest_name(from: Seq) -> String {
    format!("{MANIFESTS}/{from:020}")
}

/// Why an archive is not believed. Each names the piece.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The object store.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Nothing there.
    #[error("there is no archive at {0}")]
    None(String),
    /// A statement that is not the ledger's.
    #[error("{piece}: {error}")]
    Statement {
        /// The object.
        piece: String,
        /// Why.
        error: StatementError,
    },
    /// What it was made with cannot be read.
    #[error("genesis: {0}")]
    Genesis(#[from] GenesisError),
    /// A piece that is not what it must be.
    #[error("{piece}: {problem}")]
    Piece {
        /// The object.
        piece: String,
        /// In words.
        problem: String,
    },
}

impl ArchiveError {
    pub(super) fn piece(piece: &str, problem: impl std::fmt::Display) -> Self {
        ArchiveError::Piece { piece: piece.to_owned(), problem: problem.to_string() }
    }
}

/// Where a reader stands: after which entry, and behind which manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Archived up to here; 0 at the beginning.
    pub size: Seq,
    /// The digest of the last manifest.
    pub previous: Hash,
}

/// A manifest that was found and believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it says.
    pub manifest: Manifest,
    /// The digest of it as it is stored: what the next one names.
    pub digest: Hash,
}

/// Reads an archive, and believes what one of the keys has signed.
pub struct Archive {
    target: Target,
    keys: Vec<VerifierKey>,
    genesis: Genesis,
}

impl Archive {
    /// Reads what the ledger was made with.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn open(target: Target, keys: Vec<VerifierKey>) -> Result<Self, ArchiveError> {
        let note = target.read(GENESIS, NOTE_BYTES_MAX).await?;
        let note = note.ok_or_else(|| ArchiveError::None(target.shown().to_owned()))?;
        let body: GenesisBody = statement::open(About::Archive, &note, &keys)
            .map_err(|error| ArchiveError::Statement { piece: GENESIS.into(), error })?;
        let genesis = Genesis::from_bytes(body.genesis.as_bytes())?;
        if !keys.iter().any(|key| key.name() == genesis.origin) {
            return Err(ArchiveError::piece(GENESIS, "it is of another ledger"));
        }
        Ok(Archive { target, keys, genesis })
    }

    /// What the ledger was made with.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Where it lies.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The beginning.
    pub fn start(&self) -> Place {
        Place { size: 0, previous: sha256(b"") }
    }

    /// The first entries of all segments that begin after `size`, in order.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn firsts(&self, size: Seq) -> Result<Vec<Seq>, ArchiveError> {
        let after = (size > 0).then(|| format!("{size:020}"));
        let names = self.target.list(MANIFESTS, after.as_deref()).await?;
        let number = |(name, _): (String, u64)| {
            let seq = name.parse::<Seq>().ok().filter(|seq| name == format!("{seq:020}"));
            let piece = format!("{MANIFESTS}/{name}");
            seq.ok_or_else(|| ArchiveError::piece(&piece, "it does not belong here"))
        };
        names.into_iter().map(number).collect()
    }

    /// The manifest of the segment that begins with entry `from`, by itself; `None` when there is none.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn manifest(&self, from: Seq) -> Result<Option<Found>, ArchiveError> {
        let piece = manifest_name(from);
        let Some(note) = self.target.read(&piece, NOTE_BYTES_MAX).await? else { return Ok(None) };
        let manifest: Manifest = statement::open(About::Segment, &note, &self.keys)
            .map_err(|error| ArchiveError::Statement { piece: piece.clone(), error })?;
        let wrong = |problem: &str| Err(ArchiveError::piece(&piece, problem));
        if manifest.origin != self.genesis.origin {
            return wrong("it is of another ledger");
        }
        if manifest.from != from || manifest.to < from {
            return wrong("it is of other entries than its name says");
        }
        let signed =
            Checkpoint::open(manifest.checkpoint.as_bytes(), &self.genesis.origin, &self.keys);
        match signed {
            Ok(signed) if signed.size() == manifest.to && signed.root() == manifest.root => {
                Ok(Some(Found { manifest, digest: sha256(&note) }))
            }
            Ok(_) => wrong("its checkpoint is of another tree"),
            Err(error) => Err(ArchiveError::piece(&piece, error)),
        }
    }

    /// The manifest that follows a place, if its segment is archived yet.
    ///
    /// # Errors
    /// [`ArchiveError`]; also when it does not name the manifest before it.
    pub async fn after(&self, place: Place) -> Result<Option<Found>, ArchiveError> {
        let found = self.manifest(place.size + 1).await?;
        match found {
            Some(found) if found.manifest.previous != place.previous => {
                let problem = "it does not follow the manifest before it";
                Err(ArchiveError::piece(&manifest_name(place.size + 1), problem))
            }
            found => Ok(found),
        }
    }

    /// The place from which a ledger of `size` entries goes on: in front of the segment with the next
    /// entry, or, where that is not archived yet, behind the last one.
    ///
    /// # Errors
    /// [`ArchiveError`]; also when the archive has a gap there.
    pub async fn place_of(&self, size: Seq) -> Result<Place, ArchiveError> {
        let firsts = self.firsts(0).await?;
        let at = firsts.partition_point(|first| *first <= size + 1);
        let Some(before) = at.checked_sub(2).and_then(|at| firsts.get(at)) else {
            return Ok(self.start());
        };
        let place = self.needed(*before).await?.place();
        match firsts.get(at - 1) {
            Some(first) if *first != place.size + 1 => {
                let piece = manifest_name(place.size + 1);
                Err(ArchiveError::piece(&piece, "it is not there, and later ones are"))
            }
            _ => Ok(place),
        }
    }

    async fn needed(&self, from: Seq) -> Result<Found, ArchiveError> {
        let found = self.manifest(from).await?;
        found.ok_or_else(|| ArchiveError::piece(&manifest_name(from), "it is not there"))
    }

    /// The last manifest; `None` in an archive without one. Only this one is read.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn last(&self) -> Result<Option<Found>, ArchiveError> {
        match self.firsts(0).await?.last() {
            None => Ok(None),
            Some(&from) => Ok(Some(self.needed(from).await?)),
        }
    }

    /// The groups of a segment, which are what its manifest says.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn groups(&self, manifest: &Manifest) -> Result<Vec<CommitGroup>, ArchiveError> {
        let piece = &manifest.segment;
        let object = self.target.read(piece, OBJECT_BYTES_MAX).await?;
        let object = object.ok_or_else(|| ArchiveError::piece(piece, "it is not there"))?;
        if object.len() as u64 != manifest.bytes || sha256(&object) != manifest.sha256 {
            return Err(ArchiveError::piece(piece, "its digest is not that of its manifest"));
        }
        let groups = segment::decode(&object).map_err(|e| ArchiveError::piece(piece, e))?;
        let ends = groups.first().zip(groups.last());
        let is_whole = ends.is_some_and(|(first, last)| {
            (first.first, last.size, last.root) == (manifest.from, manifest.to, manifest.root)
        });
        match is_whole {
            true => Ok(groups),
            false => {
                Err(ArchiveError::piece(piece, "it holds other groups than its manifest says"))
            }
        }
    }
}

impl Found {
    /// Behind it.
    pub fn place(&self) -> Place {
        Place { size: self.manifest.to, previous: self.digest }
    }
}
