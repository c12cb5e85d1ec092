//! From what the engine holds to a ledger that may be written: the one path for a start, after a
//! crash of the writer, and after derived data was lost.
//!
//! Nothing is believed: the head is held against the last block and the last root, against every
//! anchor (the last signed checkpoint, the height of derived data), and what derived data lacks is
//! planned again from the blocks, each root compared.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::block::Block;
use super::codec::{self, Damaged, Head, RootRow};
use super::engine::{CommitError, DerivedFamily, Engine, StoreError, TruthFamily};
use super::error::ReadError;
use super::flusher::{HEIGHT, batch_of};
use super::genesis::{Genesis, GenesisError};
use super::groups::CommitGroup;
use super::seen::Seen;
use super::store::Stop;
use super::view::{PAGE, Shared};
use super::writer::{HEAD, Lag, Prepared, Writer, truth_batch};
use crate::accumulator::{Hash, TileId, Tiles};
use crate::ledger::entry::{Seq, Sequenced};
use crate::ledger::plan::{Group, Outcome};
use crate::ledger::replay::{is_expire, units_of};
use crate::ledger::request::Request;
use crate::ledger::state::State;

/// The first layer has room for no more entries than this before it has to grow, whatever is configured.
const FIRST_LAYER_MAX: usize = 1 << 18;

/// Why a store cannot be opened for writes. Reads of what there is may still be possible.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The engine, or a record in it, cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The recovered tail could not be made durable again.
    #[error("the end of the log could not be written again: {0}")]
    Tail(#[from] CommitError),
    /// The store is not one of ours.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The store was made with another hash or origin than the configuration says.
    #[error("the ledger was made with {what} {stored}, the configuration says {configured}")]
    OtherGenesis {
        /// Which of them.
        what: &'static str,
        /// As it is stored.
        stored: String,
        /// As it is configured.
        configured: String,
    },
    /// Entries that something durable speaks of are not there: the store is older than it was.
    #[error("the log ends at {head}, but {anchor} speaks of {size}: entries are lost")]
    RollBack {
        /// The end of the log.
        head: Seq,
        /// What speaks of more.
        anchor: &'static str,
        /// Of how much.
        size: Seq,
    },
    /// What the store says of the same thing in two places differs.
    #[error("{what} at size {size} does not agree with the log")]
    Mismatch {
        /// What differs.
        what: &'static str,
        /// At which size.
        size: Seq,
    },
    /// The process is about to end: see `store::Stop`.
    #[error("the recovery was stopped on request")]
    Stopped,
    /// The log has a hole.
    #[error("the log has no entry {missing}")]
    Gap {
        /// The first entry that is not there.
        missing: Seq,
    },
}

impl RecoverError {
    /// Whether a sequence number is missing.
    pub fn is_gap(&self) -> bool {
        matches!(self, RecoverError::Gap { .. } | RecoverError::Read(ReadError::Missing(_)))
    }
}

impl From<StoreError> for RecoverError {
    fn from(error: StoreError) -> Self {
        RecoverError::Read(error.into())
    }
}

impl From<Damaged> for RecoverError {
    fn from(error: Damaged) -> Self {
        RecoverError::Read(error.into())
    }
}

/// A tree head that was signed, and that the log must contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// How many entries.
    pub size: Seq,
    /// The root of their tree.
    pub root: Hash,
}

/// What recovery works with.
pub(super) struct Plan<'a> {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) genesis: &'a Genesis,
    pub(super) signed: Option<&'a Anchor>,
    pub(super) filter_bytes: u64,
    pub(super) lag: Lag,
    pub(super) stop: &'a Stop,
    /// Those who may be reading while this recovers.
    pub(super) readers: &'a Shared,
    pub(super) remade: &'a AtomicBool,
}

/// What a recovery ends with.
pub(super) struct Recovered {
    /// It has no flusher yet, and nobody else sees its overlay.
    pub(super) writer: Writer,
    /// All that is there is sound, and a signed checkpoint speaks of more: it may be read, not written.
    pub(super) rolled_back: Option<RecoverError>,
}

/// Verifies and replays.
pub(super) fn recover(with: &Plan<'_>) -> Result<Recovered, RecoverError> {
    let engine = &*with.engine;
    let head = verified_head(engine, with.genesis)?;
    let rolled_back = match check_anchor(engine, &head, with.signed) {
        Err(error @ RecoverError::RollBack { .. }) => Some(error),
        checked => checked.map(|()| None)?,
    };
    // Of damaged derived data it is known at most how far it went.
    let height = match derived_height(engine) {
        Err(_) if engine.derived_is_damaged() => 0,
        height => height?,
    };
    if height > head.seq {
        let anchor = "the derived data";
        return Err(RecoverError::RollBack { head: head.seq, anchor, size: height });
    }
    rewrite_tail(engine, &head)?;
    with.readers.look_again(head.seq)?;
    let writer = match follow(with, height, &head) {
        Err(error) if is_of_derived_data(&error, height) => {
            if with.remade.swap(true, Ordering::Relaxed) {
                return Err(error);
            }
            tracing::warn!(%error, height, "derived data is made anew from the log");
            with.readers.close();
            engine.derived_wipe()?;
            follow(with, 0, &head)?
        }
        done => done?,
    };
    Ok(Recovered { writer, rolled_back })
}

/// From derived data at `height` to the end of the log.
fn follow(with: &Plan<'_>, height: Seq, head: &Head) -> Result<Writer, RecoverError> {
    if with.engine.derived_is_damaged() {
        return Err(StoreError::DerivedDamaged("found while it was in use".into()).into());
    }
    let started = Instant::now();
    let mut writer = writer_at(with, height)?;
    let (opened, filter_behind) =
        (started.elapsed(), height - writer.seen.as_ref().map_or(0, |seen| seen.saved));
    replay(&mut writer, head, with.stop)?;
    tracing::info!(
        head = head.seq,
        filter_behind,
        filter_ms = opened.as_millis() as u64,
        replayed = head.seq - height,
        replay_ms = (started.elapsed() - opened).as_millis() as u64,
        "the log is verified"
    );
    Ok(writer)
}

/// Whether derived data is, or may be, what is wrong. It is only a copy: where nothing is wrong with
/// the log, making it anew mends it, and where something is, the log is refused all the same.
fn is_of_derived_data(error: &RecoverError, height: Seq) -> bool {
    match error {
        RecoverError::Read(ReadError::Store(StoreError::DerivedDamaged(_))) => true,
        RecoverError::Mismatch { .. } | RecoverError::Read(ReadError::Damaged(_)) => height > 0,
        _ => false,
    }
}

pub(super) fn verified_head(engine: &dyn Engine, genesis: &Genesis) -> Result<Head, RecoverError> {
    let stored = engine.truth_get(TruthFamily::Meta, HEAD)?;
    let last_root = engine.truth_last_at_or_before(TruthFamily::Roots, &[0xff; 8])?;
    let last_block = engine.truth_last_at_or_before(TruthFamily::Blocks, &[0xff; 8])?;
    let ((root_key, root), (block_key, block), stored) = match (&last_root, &last_block, &stored) {
        (Some(root), Some(block), Some(stored)) => (root, block, stored),
        (None, None, None) => return Ok(Head { seq: 0, root: genesis.hash.empty(), time: 0 }),
        (Some(_), None, Some(_)) => return Err(RecoverError::Gap { missing: 1 }),
        _ => return Err(RecoverError::Mismatch { what: "the head", size: 0 }),
    };
    let head = codec::head_of(stored)?;
    let mismatch = |what| RecoverError::Mismatch { what, size: head.seq };
    if codec::root_row(root_key, root)?
        != (RootRow { seq: head.seq, root: head.root, time: head.time })
    {
        return Err(mismatch("the last root"));
    }
    let block = Block::parse(codec::seq_of(block_key)?, block.clone())?;
    let mut end = block.first;
    for form in block.forms() {
        form?;
        end = end.checked_add(1).ok_or(Damaged("key of a block"))?;
    }
    // Its root is there, and its last group is not.
    if end <= head.seq {
        return Err(RecoverError::Gap { missing: end });
    }
    if end - 1 != head.seq || block.time != head.time {
        return Err(mismatch("the last block"));
    }
    Ok(head)
}

fn check_anchor(
    engine: &dyn Engine,
    head: &Head,
    signed: Option<&Anchor>,
) -> Result<(), RecoverError> {
    let Some(Anchor { size, root }) = signed.cloned() else { return Ok(()) };
    if size > head.seq {
        let anchor = "the last signed checkpoint";
        return Err(RecoverError::RollBack { head: head.seq, anchor, size });
    }
    // Checkpoints are signed at the end of groups, so that the size has a root of its own.
    if size > 0 && root_at(engine, size)? != Some(root) {
        return Err(RecoverError::Mismatch { what: "the last signed checkpoint", size });
    }
    Ok(())
}

fn root_at(engine: &dyn Engine, size: Seq) -> Result<Option<Hash>, RecoverError> {
    let key = codec::seq_key(size);
    let value = engine.truth_get(TruthFamily::Roots, &key)?;
    Ok(value.map(|value| codec::root_row(&key, &value)).transpose()?.map(|row| row.root))
}

fn derived_height(engine: &dyn Engine) -> Result<Seq, RecoverError> {
    let stored = engine.derived_get(DerivedFamily::Meta, HEIGHT)?;
    Ok(stored.map(|value| codec::seq_of(&value)).transpose()?.unwrap_or(0))
}

/// Writes the last group again and fsyncs it. After a failed fsync the page cache may show what the
/// disk does not have; nothing of it may be called durable before this.
fn rewrite_tail(engine: &dyn Engine, head: &Head) -> Result<(), RecoverError> {
    if head.seq == 0 {
        return Ok(());
    }
    let last = engine.truth_last_at_or_before(TruthFamily::Blocks, &[0xff; 8])?;
    let (key, block) = last.ok_or(RecoverError::Gap { missing: head.seq })?;
    engine.commit_again(&truth_batch(codec::seq_of(&key)?, block, head))?;
    Ok(())
}

/// A writer at the height of the derived data, its tree compared with the root that truth has there.
fn writer_at(with: &Plan<'_>, height: Seq) -> Result<Writer, RecoverError> {
    let engine = &*with.engine;
    let mismatch = RecoverError::Mismatch { what: "the derived tree", size: height };
    let mut failed = None;
    let load = |tile: TileId| match engine.derived_get(DerivedFamily::Tiles, &codec::tile_key(tile))
    {
        Ok(found) => found,
        Err(error) => {
            failed.get_or_insert(error);
            None
        }
    };
    let opened = Tiles::open(with.genesis.hash, height, load);
    if let Some(error) = failed {
        return Err(error.into());
    }
    let Ok(tiles) = opened else { return Err(mismatch) };
    let head = match height {
        0 => Head { seq: 0, root: tiles.root(), time: 0 },
        _ => {
            let key = codec::seq_key(height);
            let value = engine.truth_get(TruthFamily::Roots, &key)?;
            let row = value.map(|value| codec::root_row(&key, &value)).transpose()?;
            let Some(row) = row.filter(|row| row.root == tiles.root()) else {
                return Err(mismatch);
            };
            Head { seq: row.seq, root: row.root, time: row.time }
        }
    };
    let shared = Shared::new(Arc::clone(&with.engine), with.genesis.clone(), head, true);
    let seen = Seen::at(height, engine, with.filter_bytes, with.stop)?;
    let shared = Arc::new(shared);
    // A layer may be flushed earlier, never later than with the group that fills it.
    let room = usize::try_from(with.lag.flush).unwrap_or(usize::MAX).min(FIRST_LAYER_MAX);
    shared.overlay.write().active.state = State::with_capacity(room);
    Ok(Writer { shared, tiles, seen, flusher: None, lag: with.lag })
}

/// Plans every block above the derived height again, and writes derived data on the way, so that
/// memory stays bounded however much there is to do.
fn replay(writer: &mut Writer, head: &Head, stop: &Stop) -> Result<(), RecoverError> {
    loop {
        let next = writer.head().get().seq + 1;
        if next > head.seq {
            break;
        }
        let from = codec::seq_key(next);
        let page = writer.shared.engine.truth_scan(TruthFamily::Blocks, &from, PAGE)?;
        if page.is_empty() {
            return Err(RecoverError::Gap { missing: next });
        }
        for (key, value) in page {
            stop.check()?;
            let block = Block::parse(codec::seq_of(&key)?, value)?;
            replay_block(writer, &block)?;
            flush_replayed(writer)?;
        }
    }
    match writer.head().get() == *head {
        true => Ok(()),
        false => Err(RecoverError::Mismatch { what: "the replayed head", size: head.seq }),
    }
}

fn replay_block(writer: &mut Writer, block: &Block) -> Result<(), RecoverError> {
    let next = writer.head().get().seq + 1;
    if block.first != next {
        return Err(RecoverError::Gap { missing: next });
    }
    let prepared = plan_block(writer, block)?;
    let size = next + prepared.plan.entries_count() as Seq - 1;
    if root_at(&*writer.shared.engine, size)? != Some(prepared.root()) {
        return Err(RecoverError::Mismatch { what: "a stored root", size });
    }
    writer.absorb(prepared);
    Ok(())
}

/// Plans a block that begins where the log ends, by the code that planned it first; its bytes must come
/// out again. Nothing has changed.
fn plan_block(writer: &Writer, block: &Block) -> Result<Prepared, RecoverError> {
    let entries: Vec<Sequenced> = block.entries().collect::<Result<_, _>>()?;
    let expire_max = entries.iter().take_while(|entry| is_expire(entry)).count();
    let units = units_of(entries.into_iter().skip(expire_max));
    let requests: Vec<&Request> = units.iter().collect();
    let group = Group { requests: &requests, now: block.time, expire_max };
    let prepared = writer.prepare(&group)?;
    let all_new =
        prepared.plan.outcomes.iter().flatten().all(|o| matches!(o, Outcome::Committed(_)));
    match all_new && prepared.block.bytes == block.bytes() {
        true => Ok(prepared),
        false => Err(RecoverError::Mismatch { what: "a replayed group", size: block.first }),
    }
}

/// Plans a group that came from elsewhere, and holds its root against what comes out.
pub(super) fn plan_again(writer: &Writer, group: &CommitGroup) -> Result<Prepared, RecoverError> {
    let head = writer.head().get();
    if group.first != head.seq + 1 {
        return Err(RecoverError::Gap { missing: head.seq + 1 });
    }
    let block = Block::parse(group.first, group.block.clone())?;
    if block.time < head.time {
        return Err(RecoverError::Mismatch { what: "the time of a group", size: group.size });
    }
    let prepared = plan_block(writer, &block)?;
    match prepared.root() == group.root {
        true => Ok(prepared),
        false => Err(RecoverError::Mismatch { what: "the root of a group", size: group.size }),
    }
}

fn flush_replayed(writer: &Writer) -> Result<(), RecoverError> {
    let mut overlay = writer.shared.overlay.write();
    if let Some(layer) = &overlay.frozen {
        writer.shared.engine.derived_write(batch_of(layer))?;
        overlay.frozen = None;
    }
    Ok(())
}
