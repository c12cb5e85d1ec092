//! Signed checkpoints of earlier sizes: signed again when they are asked for, rather than kept.
//!
//! Ed25519 gives the same note for the same text and key. That nothing inconsistent is ever signed
//! is not left to the store: a root is signed only when a proof that was checked shows that the newest
//! signed tree, which is durable, begins with it.

use std::sync::Arc;

use super::pipeline::Pipeline;
use super::publisher::Published;
use super::signed::SignedNotes;
use crate::accumulator::Checkpoint;
use crate::ledger::entry::Seq;
use crate::storage::Damaged;
use crate::storage::error::ReadError;
use crate::storage::reader::Reader;

impl Pipeline {
    /// The signed note of the first `size` entries. There is one for the newest signed size and for
    /// each smaller one at which a commit group ends, and for 0; `None` for every other size. A node
    /// that signs nothing has the newest alone.
    ///
    /// # Errors
    /// [`ReadError`]; `Damaged` when the newest signed tree does not begin with the stored root.
    pub fn note_at(&self, size: Seq) -> Result<Option<Arc<str>>, ReadError> {
        let Some(newest) = self.published() else { return Ok(None) };
        // With the cosignatures that only the newest witnessed one has.
        if let Some(witnessed) = self.witnessed().filter(|it| it.checkpoint.size() == size) {
            return Ok(Some(Arc::clone(&witnessed.note)));
        }
        note_of(self.reader(), &self.inner.signed, &newest, size)
    }
}

/// As [`Pipeline::note_at`], without the witnesses. `newest` is the newest signed checkpoint.
pub(super) fn note_of(
    reader: &Reader,
    signed: &SignedNotes,
    newest: &Published,
    size: Seq,
) -> Result<Option<Arc<str>>, ReadError> {
    let to = newest.checkpoint.size();
    if size >= to {
        return Ok((size == to).then(|| Arc::clone(&newest.note)));
    }
    let root = match size.checked_sub(1) {
        None => Some(reader.genesis().hash.empty()),
        Some(before) => reader.roots(before, size, 1)?.pop().map(|row| row.root),
    };
    let Some(root) = root else { return Ok(None) };
    let proven = reader.consistency(size, to)?;
    if (proven.from_root, proven.to_root) != (root, newest.checkpoint.root()) {
        return Err(Damaged("root").into());
    }
    let checkpoint = Checkpoint::new(signed.origin(), size, root);
    let note = checkpoint.ok().and_then(|checkpoint| signed.sign(&checkpoint));
    Ok(note.map(|note| note.encode().into()))
}
