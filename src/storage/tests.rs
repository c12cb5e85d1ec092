//! The typed store over the memory engine and its faulty wrapper: what readers see, what recovery
//! brings back, and what it refuses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::branch::{BranchError, branch};
use super::engine::{
    CommitError, DerivedBatch, DerivedFamily, Engine, Fault, Faulty, MemoryEngine, TruthBatch,
    TruthFamily,
};
use super::error::ReadError;
use super::genesis::{Genesis, Parent};
use super::store::{Anchor, Lease, RecoverError, Store, StoreOptions};
use super::writer::{HEAD, Lag, Writer};
use super::{Head, codec};
use crate::accumulator::{Hash, HashAlgo};
use crate::client::workload::{Spec, Workload};
use crate::ledger::entry::{Entry, EntryId, Kind, Millis};
use crate::ledger::names::{AccountId, Asset};
use crate::ledger::plan::{Group, Outcome};
use crate::ledger::request::{Grants, Item, Request};
use crate::ledger::testing::{Book, entry, request};

mod due;
mod followed;
mod gaps;
mod overtaken;

type Memory = Faulty<MemoryEngine>;

fn engine() -> Arc<Memory> {
    Arc::new(Faulty::new(MemoryEngine::new(1 << 30)))
}

fn genesis() -> Genesis {
    Genesis {
        hash: HashAlgo::Sha256,
        origin: "example.org/log".into(),
        default_asset: Asset::new("RON").unwrap(),
        parent: None,
    }
}

fn store(engine: &Arc<Memory>, flush: u64) -> Store {
    let options = StoreOptions { filter_bytes: 1 << 16, lag: Lag { flush, max: 1 << 20 } };
    Store::open(Arc::clone(engine) as Arc<dyn Engine>, genesis(), options).unwrap()
}

fn open(store: &Store) -> (Writer, Lease) {
    store.writer(None).unwrap()
}

fn commit(writer: &mut Writer, requests: &[&Request], now: Millis) -> Vec<Vec<Outcome>> {
    let mut prepared = writer.prepare(&Group { requests, now, expire_max: 100 }).unwrap();
    let outcomes = prepared.plan.outcomes.clone();
    if !prepared.is_empty() {
        let written = writer.write(&mut prepared).unwrap();
        writer.apply(prepared, written);
    }
    outcomes
}

fn workload(entries: usize) -> Vec<Request> {
    let spec = Spec { entries, seed: 7, ..Spec::default() };
    let units = Workload::new(spec).unwrap();
    units
        .map(|unit| Request {
            items: unit.entries.into_iter().map(|e| Item::new(e, Grants::ALL)).collect(),
            atomic: unit.atomic,
        })
        .collect()
}

fn settle(writer: &mut Writer) {
    assert!(writer.settle(Instant::now() + Duration::from_secs(20)));
}

/// What the ledger says of everything, against the naive book.
fn agrees(store: &Store, book: &Book) {
    let reader = store.reader();
    assert_eq!(reader.head().seq, book.head());
    for (key, account) in &book.state.accounts {
        let (id, asset) = key.names().unwrap();
        let found = reader.account(&id).unwrap();
        assert!(found.value.contains(&(asset, *account)), "{id}");
    }
    for (id, hold) in &book.state.holds {
        assert_eq!(reader.hold(*id).unwrap().value.as_ref(), Some(hold));
    }
    for (id, record) in &book.state.ids {
        assert_eq!(reader.find(*id).unwrap(), Some(*record));
    }
    let entries = reader.entries(1, u64::MAX, usize::MAX).unwrap();
    assert!(entries.iter().map(|stored| &stored.sequenced).eq(book.log.iter()));
    for (asset, supply) in reader.supply().unwrap().value {
        assert_eq!(book.state.supply.get(&asset), Some(&supply));
    }
}

#[test]
fn nothing_is_read_before_it_is_verified() {
    let (engine, mut book) = (engine(), Book::new());
    let first = store(&engine, 50);
    let (mut writer, lease) = open(&first);
    for request in &workload(100) {
        book.commit(&[request]);
        commit(&mut writer, &[request], book.now);
    }
    drop((writer, lease));
    let again = store(&engine, 50);
    let reader = again.reader();
    assert!(matches!(reader.entry(1), Err(ReadError::NotOpen)));
    assert!(matches!(reader.supply(), Err(ReadError::NotOpen)));
    assert!(matches!(reader.roots(0, 1, 1), Err(ReadError::NotOpen)));
    let _open = open(&again);
    agrees(&again, &book);
}

#[test]
fn readers_see_the_same_before_during_and_after_a_flush() {
    for flush in [7, 100, u64::MAX] {
        let (engine, mut book) = (engine(), Book::new());
        let store = store(&engine, flush);
        let (mut writer, _lease) = open(&store);
        for pair in workload(1_000).chunks(16) {
            let requests: Vec<&Request> = pair.iter().collect();
            let expected = book.commit(&requests).outcomes;
            assert_eq!(commit(&mut writer, &requests, book.now), expected);
        }
        agrees(&store, &book);
        settle(&mut writer);
        assert_eq!(store.reader().derived_lag(), 0);
        agrees(&store, &book);
    }
}

#[test]
fn recovery_after_losing_derived_data_at_any_height_gives_the_same_ledger() {
    let (requests, mut book) = (workload(600), Book::new());
    let engine = engine();
    let store = store(&engine, 50);
    let (mut writer, lease) = open(&store);
    for request in &requests {
        book.commit(&[request]);
        commit(&mut writer, &[request], book.now);
    }
    let head = writer.head().get();
    // Not settled: what was not flushed by now is lost with the writer.
    drop((writer, lease));
    for batches_kept in [0, 1, 3, usize::MAX] {
        engine.crash(batches_kept).unwrap();
        let (writer, _lease) = open(&store);
        assert_eq!(writer.head().get(), head);
        agrees(&store, &book);
    }
    engine.derived_wipe().unwrap();
    let (mut writer, _lease) = open(&store);
    agrees(&store, &book);
    let outcomes = commit(&mut writer, &requests.iter().collect::<Vec<_>>(), book.now);
    assert!(outcomes.iter().flatten().all(|outcome| !matches!(outcome, Outcome::Committed(_))));
}

#[test]
fn batching_and_flushing_decide_nothing() {
    let requests = workload(800);
    let mut roots: Vec<Head> = Vec::new();
    for (group, flush) in [(1, 30), (9, 1_000), (100, 1), (800, 7)] {
        let engine = engine();
        let store = store(&engine, flush);
        let (mut writer, _lease) = open(&store);
        for chunk in requests.chunks(group) {
            commit(&mut writer, &chunk.iter().collect::<Vec<_>>(), 5_000);
        }
        roots.push(writer.head().get());
    }
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]), "{roots:?}");
}

fn mints(count: usize) -> Vec<Entry> {
    (0..count).map(|_| entry(Kind::Mint, "a", 5)).collect()
}

/// A ledger of ten entries in five groups, closed.
fn ten(engine: &Arc<Memory>) -> Head {
    let store = store(engine, 4);
    let (mut writer, _lease) = open(&store);
    for _ in 0..5 {
        commit(&mut writer, &[&request(mints(2))], 1_000);
    }
    settle(&mut writer);
    writer.head().get()
}

fn refusal(engine: &Arc<Memory>, signed: Option<&Anchor>) -> String {
    match store(engine, 4).writer(signed) {
        Ok(_) => panic!("was opened for writes"),
        Err(error) => error.to_string(),
    }
}

fn put(engine: &Memory, family: TruthFamily, key: &[u8], value: Vec<u8>) {
    // The faulty engine's own promise not to overwrite is gone round by the one mutable family.
    let mut batch = TruthBatch::new();
    batch.put(family, key, value);
    engine.commit(&batch).unwrap();
}

#[test]
fn a_log_shorter_than_an_anchor_is_refused_with_both_sizes() {
    let memory = engine();
    let head = ten(&memory);
    let anchor = Anchor { size: 10, root: head.root };
    assert!(store(&memory, 4).writer(Some(&anchor)).is_ok());
    let ahead = Anchor { size: 12, root: head.root };
    let older = store(&memory, 4);
    let text = older.writer(Some(&ahead)).err().unwrap().to_string();
    assert!(text.contains("ends at 10") && text.contains("speaks of 12"), "{text}");
    assert_eq!(older.reader().head(), head, "what there is can be read");
    assert!(older.reader().entry(10).unwrap().is_some());
    assert!(older.writer(None).is_ok(), "the right to write was given back");
    let other = Anchor { size: 10, root: Hash([9; 32]) };
    assert!(refusal(&memory, Some(&other)).contains("at size 10"));

    let mut batch = DerivedBatch::new();
    batch.put(DerivedFamily::Meta, b"height", codec::seq_key(11));
    memory.derived_write(batch).unwrap();
    assert!(refusal(&memory, None).contains("the derived data speaks of 11"));
}

#[test]
fn a_head_that_the_log_does_not_bear_out_is_refused() {
    let memory = engine();
    let head = ten(&memory);
    for wrong in [
        Head { seq: 9, ..head },
        Head { root: Hash([1; 32]), ..head },
        Head { time: head.time + 1, ..head },
    ] {
        put(&memory, TruthFamily::Meta, HEAD, codec::head_value(&wrong));
        assert!(refusal(&memory, None).contains("does not agree with the log"), "{wrong:?}");
    }
    put(&memory, TruthFamily::Meta, HEAD, codec::head_value(&head));
    assert!(store(&memory, 4).writer(None).is_ok());
}

#[test]
fn damaged_derived_tiles_are_made_anew_from_the_log() {
    let memory = engine();
    let head = ten(&memory);
    let mut batch = DerivedBatch::new();
    let tile = codec::tile_key(crate::accumulator::TileId { level: 0, index: 0 });
    batch.put(DerivedFamily::Tiles, tile, vec![7; 320]);
    memory.derived_write(batch).unwrap();
    let store = store(&memory, 4);
    let (writer, _lease) = open(&store);
    assert_eq!(writer.head().get(), head);
}

#[test]
fn damaged_derived_data_is_made_anew_once() {
    let (requests, mut book) = (workload(300), Book::new());
    let memory = engine();
    let store = store(&memory, 50);
    let (mut writer, lease) = open(&store);
    for request in &requests {
        book.commit(&[request]);
        commit(&mut writer, &[request], book.now);
    }
    memory.plan_next(Fault::DerivedDamage);
    let account = AccountId::new("nobody").unwrap();
    assert!(store.reader().account(&account).unwrap_err().is_of_derived_data());
    // Found by a reader: from then on the writer decides nothing by what is left.
    let more = request(mints(1));
    let group = Group { requests: &[&more], now: book.now, expire_max: 0 };
    assert!(writer.prepare(&group).err().unwrap().is_of_derived_data());
    drop((writer, lease));
    let (mut writer, lease) = open(&store);
    agrees(&store, &book);
    commit(&mut writer, &[&more], book.now);
    drop((writer, lease));
    memory.plan_next(Fault::DerivedDamage);
    assert!(store.reader().account(&account).is_err());
    let again = store.writer(None).err().unwrap();
    assert!(again.to_string().starts_with("derived data is damaged"), "{again}");
}

#[test]
fn nobody_reads_derived_data_while_it_is_made_anew() {
    let memory = engine();
    ten(&memory);
    let store = store(&memory, 4);
    drop(open(&store));
    let account = AccountId::new("a").unwrap();
    assert_eq!(store.reader().account(&account).unwrap().size, 10);
    memory.plan_next(Fault::DerivedDamage);
    assert!(store.reader().hold(EntryId::from_bytes([1; 16])).is_err());
    // In the middle of it: what there was is gone, and nothing is back yet.
    store.stop().stop();
    assert!(matches!(store.writer(None), Err(RecoverError::Stopped)));
    assert!(matches!(store.reader().account(&account), Err(ReadError::NotOpen)));
    assert!(matches!(store.reader().supply(), Err(ReadError::NotOpen)));
}

#[test]
fn a_failed_write_changes_nothing_that_a_reader_sees() {
    for fault in [Fault::CommitNotWritten, Fault::CommitUnknownLost, Fault::CommitUnknownKept] {
        let memory = engine();
        let store = store(&memory, 100);
        let (mut writer, _lease) = open(&store);
        commit(&mut writer, &[&request(mints(2))], 1_000);
        memory.plan_next(fault);
        let more = request(mints(1));
        let group = Group { requests: &[&more], now: 1_000, expire_max: 0 };
        let mut prepared = writer.prepare(&group).unwrap();
        let error = writer.write(&mut prepared).err().unwrap();
        assert_eq!(matches!(error, CommitError::Unknown(_)), fault != Fault::CommitNotWritten);
        assert_eq!(store.reader().head().seq, 2);
        assert!(store.reader().entry(3).unwrap().is_none());
    }
}

#[test]
fn the_bound_of_the_lag_stops_writes_while_derived_data_cannot_be_flushed() {
    let memory = engine();
    let options = StoreOptions { filter_bytes: 0, lag: Lag { flush: 2, max: 6 } };
    let store = Store::open(Arc::clone(&memory) as Arc<dyn Engine>, genesis(), options).unwrap();
    let (mut writer, _lease) = open(&store);
    memory.plan(Fault::DerivedWrite, 0, u64::MAX);
    for _ in 0..3 {
        writer.make_room(2, Instant::now()).unwrap();
        commit(&mut writer, &[&request(mints(2))], 1_000);
    }
    assert!(writer.make_room(1, Instant::now()).is_err());
    assert_eq!(store.reader().account(&AccountId::new("a").unwrap()).unwrap().size, 6);
    memory.heal();
    writer.make_room(1, Instant::now() + Duration::from_secs(20)).unwrap();
    // What filled up meanwhile is flushed although no group is committed: a refusal for want of room
    // would otherwise stand for ever.
    let patience = Instant::now() + Duration::from_secs(20);
    while store.reader().derived_lag() > 0 {
        assert!(Instant::now() < patience, "the full layer waits for a commit");
        drop(writer.make_room(1, Instant::now()));
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_new_ledger_goes_on_from_the_old_one_under_a_name_of_its_own() {
    let memory = engine();
    assert!(matches!(branch(&*memory, "example.org/new"), Err(BranchError::NoLedger)));
    ten(&memory);
    let head = store(&memory, 4).writer(None).unwrap().0.head().get();
    assert!(matches!(branch(&*memory, "example.org/log"), Err(BranchError::SameOrigin(_))));
    let parent = branch(&*memory, "example.org/new").unwrap();
    let expected = Parent { origin: "example.org/log".into(), size: 10, root: head.root };
    assert_eq!(parent, expected);
    assert_eq!(branch(&*memory, "example.org/new").unwrap(), parent, "again, as after a crash");
    let options = StoreOptions { filter_bytes: 0, lag: Lag { flush: 2, max: 6 } };
    let open = |genesis| Store::open(Arc::clone(&memory) as Arc<dyn Engine>, genesis, options);
    assert!(matches!(open(genesis()), Err(RecoverError::OtherGenesis { .. })), "the old name");
    let new = open(Genesis { origin: "example.org/new".into(), ..genesis() }).unwrap();
    assert_eq!(new.reader().genesis().parent, Some(parent));
    let (mut writer, _lease) = new.writer(None).unwrap();
    assert_eq!(writer.head().get().root, head.root);
    commit(&mut writer, &[&request(mints(1))], 2_000);
    // A damaged head is nothing to go on from.
    put(&memory, TruthFamily::Meta, HEAD, vec![1, 2, 3]);
    assert!(matches!(branch(&*memory, "example.org/third"), Err(BranchError::Ledger(_))));
}

#[test]
fn another_hash_or_origin_than_the_stored_one_is_refused() {
    let memory = engine();
    ten(&memory);
    let options = StoreOptions { filter_bytes: 0, lag: Lag { flush: 2, max: 6 } };
    let open = |genesis| Store::open(Arc::clone(&memory) as Arc<dyn Engine>, genesis, options);
    let other = Genesis { hash: HashAlgo::Blake3, ..genesis() };
    assert!(matches!(open(other).err(), Some(RecoverError::OtherGenesis { what: "the hash", .. })));
    let other = Genesis { origin: "example.org/other".into(), ..genesis() };
    assert!(matches!(open(other).err(), Some(RecoverError::OtherGenesis { .. })));
}

#[cfg(feature = "rocks")]
#[test]
fn a_saved_filter_comes_back_and_knows_what_came_after_it() {
    use super::engine::{RocksEngine, RocksOptions};
    let (dir, requests) = (tempfile::tempdir().unwrap(), workload(400));
    let options = StoreOptions { filter_bytes: 1 << 16, lag: Lag { flush: 50, max: 1 << 20 } };
    let (mut book, mut saved_at) = (Book::new(), 0);
    // Twice an orderly stop, then one without; each life goes on where the one before ended.
    for (part, orderly) in requests.chunks(100).zip([true, true, false, true]) {
        let engine = RocksEngine::open(&dir.path().join("data"), &RocksOptions::default()).unwrap();
        let store = Store::open(Arc::new(engine), genesis(), options).unwrap();
        let (mut writer, _lease) = open(&store);
        let seen = writer.seen.as_ref().unwrap();
        assert_eq!(seen.saved, saved_at);
        let filter = &seen.filter;
        assert!(book.state.ids.keys().iter().all(|id| filter.may_contain(id.as_bytes())));
        assert!(book.state.idem.keys().iter().all(|digest| filter.may_contain(&digest.0)));
        for request in part {
            book.commit(&[request]);
            commit(&mut writer, &[request], book.now);
        }
        if orderly {
            settle(&mut writer);
            saved_at = writer.head().get().seq;
        }
    }
}

#[test]
fn a_filter_is_saved_at_an_orderly_stop_that_has_nothing_else_to_flush() {
    use super::engine::{RocksEngine, RocksOptions};
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { filter_bytes: 1 << 16, lag: Lag { flush: 1, max: 1 << 20 } };
    for saved in [0, 20] {
        let engine = RocksEngine::open(&dir.path().join("data"), &RocksOptions::default()).unwrap();
        let store = Store::open(Arc::new(engine), genesis(), options).unwrap();
        let (mut writer, _lease) = open(&store);
        assert_eq!(writer.seen.as_ref().unwrap().saved, saved);
        if saved == 0 {
            commit(&mut writer, &[&request(mints(20))], 1_000);
            let flushed = || writer.shared.overlay.read().is_flushed();
            let by = Instant::now() + Duration::from_secs(20);
            assert!(writer.flusher.as_ref().unwrap().wait(by, flushed));
            settle(&mut writer);
        }
    }
}

#[test]
fn a_recovery_ends_early_when_it_is_asked_to() {
    let memory = engine();
    ten(&memory);
    memory.derived_wipe().unwrap();
    let stopped = store(&memory, 4);
    stopped.stop().stop();
    assert!(matches!(stopped.writer(None), Err(RecoverError::Stopped)));
    let again = store(&memory, 4);
    assert_eq!(open(&again).0.head().get().seq, 10);
}
