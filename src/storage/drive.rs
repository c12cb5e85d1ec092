//! Drives a store from one thread, without actors, to measure what its engine and its rules cost:
//! whole commit groups as the committer makes them, and the bare writes of them for comparison.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use super::engine::{
    CommitError, DerivedBatch, Engine, Journal, StoreError, TruthBatch, TruthFamily,
};
use super::error::ReadError;
use super::genesis::Genesis;
use super::recovery::RecoverError;
use super::store::{Store, StoreOptions};
use super::writer::Writer;
use crate::ledger::entry::Millis;
use crate::ledger::plan::Group;
use crate::ledger::request::Request;

/// How long derived data may take to catch up.
const PATIENCE: Duration = Duration::from_secs(600);

/// Batches of derived data that wait while one is written, as the bound on the lag lets a ledger be
/// ahead of it by default.
const BATCHES_WAITING: usize = 3;

/// The time of all groups: a clock decides nothing here.
const NOW: Millis = 1;

/// What one run took.
#[derive(Clone, Debug, Default)]
pub struct Driven {
    /// Of each group, to its commit and what follows from it in memory.
    pub groups: Vec<Duration>,
    /// Entries in the ledger, those that it made itself among them; 0 where nobody counts them.
    pub entries: u64,
    /// Of the canonical forms of those entries; 0 likewise.
    pub canonical_bytes: u64,
    /// From the first group to the commit of the last one.
    pub to_commit: Duration,
    /// Until all derived data was written and flushed as well.
    pub to_settle: Duration,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The store does not open.
    #[error(transparent)]
    Open(#[from] RecoverError),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] CommitError),
    /// There is no room, or derived data cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Derived data was not flushed in time.
    #[error("derived data was not flushed in 10 minutes")]
    Late,
}

/// Commits the groups in order to the empty ledger in `engine`: reads, decides, encodes, hashes,
/// writes, applies. `progress` is told the entries of each group.
///
/// # Errors
/// [`DriveError`].
pub fn complete(
    engine: Arc<dyn Engine>,
    genesis: Genesis,
    options: StoreOptions,
    groups: &[Vec<Request>],
    progress: impl Fn(u64),
) -> Result<Driven, DriveError> {
    let store = Store::open(engine, genesis, options)?;
    let (mut writer, _lease) = store.writer(None)?;
    let mut driven = Driven::default();
    let started = Instant::now();
    for requests in groups {
        let begun = Instant::now();
        let (entries, bytes) = commit(&mut writer, requests)?;
        let took = begun.elapsed();
        driven.groups.push(took);
        std::thread::sleep(writer.rest_after(took));
        driven.canonical_bytes += bytes;
        progress(entries);
    }
    driven.to_commit = started.elapsed();
    if !writer.settle(Instant::now() + PATIENCE) {
        return Err(DriveError::Late);
    }
    driven.to_settle = started.elapsed();
    driven.entries = writer.head().get().seq;
    Ok(driven)
}

/// How many entries were asked for, and how long the canonical forms of those committed are.
fn commit(writer: &mut Writer, requests: &[Request]) -> Result<(u64, u64), DriveError> {
    let requests: Vec<&Request> = requests.iter().collect();
    let entries = requests.iter().map(|request| request.items.len() as u64).sum();
    writer.make_room(entries, Instant::now() + PATIENCE)?;
    let group = Group { requests: &requests, now: writer.next_time(NOW), expire_max: 0 };
    let mut prepared = writer.prepare(&group)?;
    let bytes = prepared.canonical_bytes();
    if !prepared.is_empty() {
        let written = writer.write(&mut prepared)?;
        writer.apply(prepared, written);
    }
    Ok((entries, bytes))
}

/// Writes a journal again, to an empty engine: the same batches of truth, and those of derived data
/// beside them on another thread, flushed one by one as the ledger does.
///
/// # Errors
/// [`DriveError`] of either thread.
pub fn same_puts(engine: &Arc<dyn Engine>, journal: &Journal) -> Result<Driven, DriveError> {
    // The engine takes batches of derived data for its own: copies, made before the clock starts.
    let Journal { commits, derived } = journal;
    let derived = derived.clone();
    let (hand_over, batches) = sync_channel(BATCHES_WAITING);
    let beside = Arc::clone(engine);
    let flusher = std::thread::spawn(move || write_derived(&*beside, &batches));
    let (mut driven, mut derived) = (Driven::default(), derived.into_iter().peekable());
    let started = Instant::now();
    for (at, batch) in commits.iter().enumerate() {
        while let Some((_, batch)) = derived.next_if(|(before, _)| *before <= at) {
            // The other thread is gone only with an error, which its end tells.
            let _ = hand_over.send(batch);
        }
        timed(&mut driven, &**engine, batch)?;
    }
    driven.to_commit = started.elapsed();
    derived.for_each(|(_, batch)| drop(hand_over.send(batch)));
    drop(hand_over);
    flusher.join().expect("nothing in there panics")?;
    driven.to_settle = started.elapsed();
    Ok(driven)
}

fn write_derived(engine: &dyn Engine, batches: &Receiver<DerivedBatch>) -> Result<(), StoreError> {
    while let Ok(batch) = batches.recv() {
        engine.derived_write(batch)?;
        engine.derived_flush()?;
    }
    Ok(())
}

/// Writes the blocks of a journal and nothing else, to an empty engine: what the log alone can take.
///
/// # Errors
/// [`DriveError`].
pub fn blocks_only(engine: &dyn Engine, journal: &Journal) -> Result<Driven, DriveError> {
    let blocks = journal.commits.iter().map(|commit| {
        let mut batch = TruthBatch::new();
        let puts = commit.puts().iter().filter(|(family, ..)| *family == TruthFamily::Blocks);
        puts.for_each(|(family, key, value)| batch.put(*family, key.clone(), value.clone()));
        batch
    });
    let batches: Vec<TruthBatch> = blocks.filter(|batch| !batch.puts().is_empty()).collect();
    let mut driven = Driven::default();
    let started = Instant::now();
    for batch in &batches {
        timed(&mut driven, engine, batch)?;
    }
    driven.to_commit = started.elapsed();
    driven.to_settle = driven.to_commit;
    Ok(driven)
}

fn timed(driven: &mut Driven, engine: &dyn Engine, batch: &TruthBatch) -> Result<(), CommitError> {
    let begun = Instant::now();
    engine.commit(batch)?;
    driven.groups.push(begun.elapsed());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accumulator::HashAlgo;
    use crate::client::workload::{Spec, Workload};
    use crate::ledger::names::Asset;
    use crate::ledger::request::{Grants, Item};
    use crate::storage::engine::{DerivedFamily, MemoryEngine, Recording, ScanLimit};
    use crate::storage::writer::Lag;

    const ALL: ScanLimit = ScanLimit { items: usize::MAX, bytes: usize::MAX };

    fn groups() -> Vec<Vec<Request>> {
        let spec = Spec { entries: 2_000, invalid_share: 0.0, ..Spec::default() };
        let requests: Vec<Request> = Workload::new(spec)
            .unwrap()
            .map(|unit| Request {
                items: unit.entries.into_iter().map(|one| Item::new(one, Grants::ALL)).collect(),
                atomic: unit.atomic,
            })
            .collect();
        requests.chunks(100).map(<[Request]>::to_vec).collect()
    }

    fn memory() -> Arc<dyn Engine> {
        Arc::new(MemoryEngine::new(256 << 20))
    }

    #[test]
    fn the_same_puts_leave_the_same_store_and_the_blocks_alone_only_blocks() {
        let recording = Arc::new(Recording::new(memory()));
        let genesis = Genesis {
            hash: HashAlgo::Sha256,
            origin: "bench".into(),
            default_asset: Asset::new("RON").unwrap(),
            parent: None,
        };
        let options = StoreOptions { filter_bytes: 1 << 16, lag: Lag { flush: 300, max: 100_000 } };
        let groups = groups();
        let engine = Arc::clone(&recording) as Arc<dyn Engine>;
        let whole = complete(engine, genesis, options, &groups, |_| ()).unwrap();
        assert_eq!(whole.groups.len(), groups.len());
        assert!((1_900..=2_000).contains(&whole.entries), "{}", whole.entries);

        let journal = recording.take();
        assert!(journal.derived.len() > 1, "{}", journal.derived.len());
        let bare = memory();
        let blocks = blocks_only(&*bare, &journal).unwrap();
        assert_eq!(blocks.groups.len(), groups.len());
        let count = |family| bare.truth_scan(family, &[], ALL).unwrap().len();
        assert_eq!(TruthFamily::ALL.map(count), [groups.len(), 0, 0]);

        let again = memory();
        let puts = same_puts(&again, &journal).unwrap();
        assert_eq!(puts.groups.len(), groups.len() + 1, "the genesis is a commit as well");
        for family in TruthFamily::ALL {
            let all = |engine: &dyn Engine| engine.truth_scan(family, &[], ALL).unwrap();
            assert!(!all(&*again).is_empty());
            assert_eq!(all(&*again), all(&*recording), "{family:?}");
        }
        for family in DerivedFamily::ALL {
            let all = |engine: &dyn Engine| engine.derived_scan(family, &[], None, ALL).unwrap();
            assert_eq!(all(&*again), all(&*recording), "{family:?}");
        }
    }
}
