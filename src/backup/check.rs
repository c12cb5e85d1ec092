//! Holds a whole archive against itself: every manifest, the digest of every segment, and the tree that
//! all entries make against each root and each signed checkpoint.

use serde::Serialize;

use super::archive::{Archive, ArchiveError, manifest_name};
use crate::accumulator::{Hash, Tiles};
use crate::ledger::entry::{Millis, Seq};

/// What an archive has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The ledger.
    pub origin: String,
    /// Segments.
    pub segments: u64,
    /// Entries 1 to this one.
    pub entries: Seq,
    /// The root over them, which is signed.
    pub root: Hash,
    /// When the last group was committed, in ms; 0 without one.
    pub time: Millis,
    /// Bytes of all segments.
    pub bytes: u64,
}

/// Reads everything; memory is bounded by one segment. `done` is told how many more entries are checked,
/// and how many there are in all. Whether entries keep the rules of the ledger is not checked: a restore
/// does that.
///
/// # Errors
/// [`ArchiveError`], with the first piece that is wrong.
pub async fn check(archive: &Archive, done: &dyn Fn(u64, u64)) -> Result<Checked, ArchiveError> {
    let total = archive.last().await?.map_or(0, |last| last.manifest.to);
    let mut tiles = Tiles::new(archive.genesis().hash);
    let mut checked = Checked {
        origin: archive.genesis().origin.clone(),
        segments: 0,
        entries: 0,
        root: tiles.root(),
        time: 0,
        bytes: 0,
    };
    let mut place = archive.start();
    while let Some(found) = archive.after(place).await? {
        let manifest = &found.manifest;
        for group in archive.groups(manifest).await? {
            let wrong = |problem: String| ArchiveError::piece(&manifest.segment, problem);
            let leaves = group.leaves(tiles.algo()).map_err(|error| wrong(error.to_string()))?;
            tiles.append(leaves);
            if tiles.root() != group.root {
                let problem = format!("the entries up to {} do not make its root", group.size);
                return Err(wrong(problem));
            }
        }
        done(manifest.to - checked.entries, total);
        checked.segments += 1;
        checked.bytes += manifest.bytes;
        (checked.entries, checked.root) = (manifest.to, manifest.root);
        checked.time = manifest.last_time;
        place = found.place();
    }
    if checked.entries < total {
        let piece = manifest_name(checked.entries + 1);
        return Err(ArchiveError::piece(&piece, "it is not there, and later ones are"));
    }
    Ok(checked)
}
