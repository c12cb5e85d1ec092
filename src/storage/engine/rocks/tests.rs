//! The RocksDB engine: the contract, crashes, and the settings that durability rests on.

mod merges;

use std::fs;

use rocksdb::WaitForCompactOptions;
use tempfile::TempDir;

use super::super::contract::{Subject, Survives, contract_tests, survival_tests};
use super::*;
use crate::storage::files::FileError;

/// Small enough that memtables are cut and logs recycled within a test.
fn small() -> RocksOptions {
    RocksOptions {
        block_cache_bytes: 1 << 20,
        write_buffer_bytes: 4 << 20,
        disk_bytes_free_min: 1 << 20,
        ..RocksOptions::default()
    }
}

struct Rocks {
    engine: RocksEngine,
    dir: TempDir,
}

impl Rocks {
    fn open_in(dir: TempDir) -> Self {
        let engine = RocksEngine::open(&dir.path().join("data"), &small()).unwrap();
        Self { engine, dir }
    }
}

impl Subject for Rocks {
    type Engine = RocksEngine;

    fn open() -> Self {
        Self::open_in(tempfile::tempdir().unwrap())
    }

    fn engine(&self) -> &RocksEngine {
        &self.engine
    }
}

impl Survives for Rocks {
    fn reopen(self) -> Self {
        drop(self.engine);
        Self::open_in(self.dir)
    }

    /// A copy of the files at this moment is what the kernel holds after `kill -9`. It is taken
    /// between background jobs, since a copy, unlike a crash, takes its time.
    fn crash(self) -> Self {
        let rest = |db: &DB| {
            db.wait_for_compact(&WaitForCompactOptions::default())?;
            db.disable_file_deletions()
        };
        rest(&self.engine.truth).unwrap();
        self.engine.derived.read(rest).unwrap();
        let copy = tempfile::tempdir().unwrap();
        copy_dir(&self.dir.path().join("data"), &copy.path().join("data"));
        Self::open_in(copy)
    }
}

fn copy_dir(from: &Path, to: &Path) {
    files::create_dir_private(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if entry.is_dir() {
            copy_dir(&entry, &to);
        } else {
            fs::copy(&entry, &to).unwrap();
        }
    }
}

contract_tests!(Rocks);
survival_tests!(Rocks);

fn block(n: u32, len: usize) -> TruthBatch {
    let mut batch = TruthBatch::new();
    // Different for each block, and no compression makes it smaller.
    let mut value = vec![0; len];
    blake3::Hasher::new().update(&n.to_be_bytes()).finalize_xof().fill(&mut value);
    batch.put(TruthFamily::Blocks, n.to_be_bytes(), value);
    batch.put(TruthFamily::Meta, "head", n.to_be_bytes());
    batch
}

fn head(engine: &RocksEngine) -> Option<u32> {
    let head = engine.truth_get(TruthFamily::Meta, b"head").unwrap();
    head.map(|head| u32::from_be_bytes(head.try_into().unwrap()))
}

#[test]
fn a_crash_after_many_logs_keeps_every_commit() {
    const BLOCKS: u32 = 200;
    let rocks = Rocks::open();
    for n in 0..BLOCKS {
        rocks.engine.commit(&block(n, 40_000)).unwrap();
    }
    rocks.engine.truth.wait_for_compact(&WaitForCompactOptions::default()).unwrap();
    let tables: u64 = TruthFamily::ALL
        .map(|family| rocks.engine.truth_family(family))
        .map(|cf| rocks.engine.truth.property_int_value_cf(cf, properties::TOTAL_SST_FILES_SIZE))
        .into_iter()
        .map(|bytes| bytes.unwrap().unwrap())
        .sum();
    assert!(tables > 4 << 20, "most of the blocks were flushed and their logs let go: {tables}");
    let recovered = rocks.crash();
    assert_eq!(head(&recovered.engine), Some(BLOCKS - 1));
    for n in 0..BLOCKS {
        let stored = recovered.engine.truth_get(TruthFamily::Blocks, &n.to_be_bytes()).unwrap();
        assert_eq!(stored.as_deref(), Some(block(n, 40_000).puts()[0].2.as_slice()), "block {n}");
    }
}

#[test]
fn rocksdb_keeps_the_settings_that_durability_rests_on() {
    // RocksDB silently changes settings that it finds in conflict, and writes what it runs with.
    let rocks = Rocks::open();
    let both = ["paranoid_checks=true", "avoid_flush_during_recovery=false"];
    let truth = [
        "atomic_flush=true",
        "recycle_log_file_num=4",
        "wal_recovery_mode=kPointInTimeRecovery",
        "track_and_verify_wals_in_manifest=true",
        "manual_wal_flush=false",
    ];
    for (instance, settings) in [("truth", [&both[..], &truth]), ("derived", [&both, &[]])] {
        let entries = fs::read_dir(rocks.dir.path().join("data").join(instance)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let latest = paths.filter(|path| path.to_string_lossy().contains("OPTIONS-")).max();
        let written = fs::read_to_string(latest.expect("written at the opening")).unwrap();
        for setting in settings.concat() {
            assert!(written.lines().any(|line| line.trim() == setting), "{instance}: {setting}");
        }
    }
}

#[test]
fn the_recovered_tail_is_in_table_files_before_the_first_commit() {
    let rocks = Rocks::open();
    rocks.engine.commit(&block(1, 5_000)).unwrap();
    let property = |rocks: &Rocks, name| {
        let blocks = rocks.engine.truth_family(TruthFamily::Blocks);
        rocks.engine.truth.property_int_value_cf(blocks, name).unwrap().unwrap()
    };
    assert_eq!(property(&rocks, properties::NUM_ENTRIES_ACTIVE_MEM_TABLE), 1);
    assert_eq!(property(&rocks, properties::TOTAL_SST_FILES_SIZE), 0);
    let recovered = rocks.crash();
    assert_eq!(property(&recovered, properties::NUM_ENTRIES_ACTIVE_MEM_TABLE), 0);
    assert!(property(&recovered, properties::TOTAL_SST_FILES_SIZE) > 0);
}

#[test]
fn a_torn_last_commit_is_dropped_whole() {
    let rocks = Rocks::open();
    for n in 1..=3 {
        rocks.engine.commit(&block(n, 10_000)).unwrap();
    }
    rocks.engine.truth.disable_file_deletions().unwrap();
    let copy = tempfile::tempdir().unwrap();
    copy_dir(&rocks.dir.path().join("data"), &copy.path().join("data"));
    let logs = fs::read_dir(copy.path().join("data/truth")).unwrap();
    let logs = logs.map(|entry| entry.unwrap().path());
    let log = logs.filter(|path| path.extension().is_some_and(|e| e == "log")).max().unwrap();
    let len = fs::metadata(&log).unwrap().len();
    fs::File::options().write(true).open(&log).unwrap().set_len(len - 5_000).unwrap();
    let recovered = Rocks::open_in(copy);
    assert_eq!(head(&recovered.engine), Some(2));
    let third = recovered.engine.truth_get(TruthFamily::Blocks, &3_u32.to_be_bytes()).unwrap();
    assert_eq!(third, None);
}

#[test]
fn an_error_out_of_the_write_poisons_the_writer_until_it_is_reopened() {
    let rocks = Rocks::open();
    rocks.engine.commit(&block(0, 10)).unwrap();
    // The next log cannot be made, so that the commit that cuts the memtable fails.
    fs::rename(rocks.dir.path().join("data/truth"), rocks.dir.path().join("away")).unwrap();
    let first_error =
        (1..500).find_map(|n| rocks.engine.commit(&block(n, 40_000)).err().map(|error| (n, error)));
    let (failed, error) = first_error.expect("a log must be cut within 20 MB");
    assert!(matches!(error, CommitError::Unknown(StoreError::Backend { .. })), "{error}");
    assert!(rocks.engine.is_poisoned());

    fs::rename(rocks.dir.path().join("away"), rocks.dir.path().join("data/truth")).unwrap();
    for _ in 0..3 {
        let error = rocks.engine.commit(&block(failed, 10)).unwrap_err();
        assert!(matches!(error, CommitError::Unknown(StoreError::Poisoned)), "{error}");
    }
    assert!(rocks.engine.truth_get(TruthFamily::Blocks, &[0; 4]).unwrap().is_some(), "reads go on");

    let reopened = rocks.reopen();
    assert!(head(&reopened.engine).unwrap() >= failed - 1, "what returned Ok is there");
    reopened.engine.commit(&block(500, 10)).unwrap();
    assert_eq!(head(&reopened.engine), Some(500));
}

#[test]
fn a_panic_within_the_write_poisons_too() {
    let poisoned = AtomicBool::new(false);
    PoisonOnDrop(&poisoned).defuse();
    assert!(!poisoned.load(Ordering::Relaxed));
    let panicked = std::panic::catch_unwind(|| {
        let _poison = PoisonOnDrop(&poisoned);
        panic!("within the write");
    });
    assert!(panicked.is_err() && poisoned.load(Ordering::Relaxed));
}

#[test]
fn a_commit_into_the_reserve_is_not_written_and_poisons_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = RocksOptions { disk_bytes_free_min: u64::MAX - 5, ..small() };
    let engine = RocksEngine::open(&dir.path().join("data"), &options).unwrap();
    let error = engine.commit(&block(1, 100)).unwrap_err();
    let CommitError::NotWritten(StoreError::NoRoom(no_room)) = error else { panic!("{error}") };
    assert_eq!((no_room.resource, no_room.bytes_needed), (Resource::Disk, u64::MAX));
    assert_eq!(head(&engine), None);
    assert!(!engine.is_poisoned());
    // What is there already may be written again, so that a ledger on a full disk can be read.
    engine.commit_again(&block(1, 100)).unwrap();
    assert_eq!(head(&engine), Some(1));
    // Derived data follows truth that is committed already: the reserve is for it.
    let mut batch = DerivedBatch::new();
    batch.put(DerivedFamily::Ids, "id", "seq");
    engine.derived_write(batch).unwrap();
    engine.derived_flush().unwrap();
}

#[test]
fn what_cannot_be_read_of_derived_data_is_marked_until_it_is_wiped() {
    type Damage = fn(&Path);
    let table: Damage = |derived| {
        let mut files = fs::read_dir(derived).unwrap().map(|file| file.unwrap().path());
        let table = files.find(|path| path.extension().is_some_and(|end| end == "sst")).unwrap();
        let mut bytes = fs::read(&table).unwrap();
        // The first data block; what is read when it is opened is at the end.
        bytes[3] ^= 1;
        fs::write(table, bytes).unwrap();
    };
    let current: Damage = |derived| fs::write(derived.join("CURRENT"), "MANIFEST").unwrap();
    let manifest: Damage = say_recycled;
    for damage in [table, current, manifest] {
        let rocks = Rocks::open();
        let mut batch = DerivedBatch::new();
        batch.put(DerivedFamily::Meta, "height", 7_u64.to_be_bytes());
        rocks.engine.derived_write(batch).unwrap();
        rocks.engine.derived_flush().unwrap();
        drop(rocks.engine);
        let data = rocks.dir.path().join("data");
        damage(&data.join("derived"));
        // What a wipe that was cut short has left.
        fs::create_dir_all(data.join("derived-old/more")).unwrap();
        let rocks = Rocks::open_in(rocks.dir);
        assert!(!data.join("derived-old").exists());
        let read = |rocks: &Rocks| rocks.engine.derived_get(DerivedFamily::Meta, b"height");
        assert!(matches!(read(&rocks), Err(StoreError::DerivedDamaged(_))));
        let rocks = rocks.reopen();
        assert!(rocks.engine.derived_is_damaged(), "it outlives the process");
        rocks.engine.commit(&block(1, 10)).unwrap();
        rocks.engine.derived_wipe().unwrap();
        assert_eq!(read(&rocks).unwrap(), None);
        let rocks = rocks.reopen();
        assert!(!rocks.engine.derived_is_damaged());
        assert_eq!((read(&rocks).unwrap(), head(&rocks.engine)), (None, Some(1)));
    }
}

/// One flipped bit in the type of the second record of the MANIFEST.
fn say_recycled(instance: &Path) {
    let current = fs::read_to_string(instance.join("CURRENT")).unwrap();
    let path = instance.join(current.trim_end());
    let mut bytes = fs::read(&path).unwrap();
    let second = 7 + usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
    assert_eq!(bytes[second + 6], 1);
    bytes[second + 6] = 5;
    fs::write(path, bytes).unwrap();
}

/// One flipped bit in the length of the last record of the MANIFEST.
fn say_longer(instance: &Path) {
    let current = fs::read_to_string(instance.join("CURRENT")).unwrap();
    let path = instance.join(current.trim_end());
    let mut bytes = fs::read(&path).unwrap();
    let length = |at: usize| 7 + usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
    let next = |at: &usize| Some(at + length(*at)).filter(|next| *next < bytes.len());
    let last = std::iter::successors(Some(0), next).last().unwrap();
    bytes[last + 5] ^= 1 << 6;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_manifest_that_rocksdb_would_read_for_ever_or_not_to_its_end_is_refused() {
    type Damage = (fn(&Path), &'static str);
    let damages: [Damage; 2] = [(say_recycled, "type 5"), (say_longer, "but for its length")];
    for (damage, wrong) in damages {
        let rocks = Rocks::open();
        rocks.engine.commit(&block(1, 10)).unwrap();
        drop(rocks.engine);
        let data = rocks.dir.path().join("data");
        damage(&data.join("truth"));
        for opened in
            [RocksEngine::open(&data, &small()), RocksEngine::open_read_only(&data, &small())]
        {
            let said = opened.err().unwrap().to_string();
            assert!(said.contains("truth/MANIFEST-") && said.contains(wrong), "{said}");
        }
    }
}

#[test]
fn a_second_engine_on_a_directory_is_refused_by_name() {
    let rocks = Rocks::open();
    let data = rocks.dir.path().join("data");
    let Err(StoreError::File(error)) = RocksEngine::open(&data, &small()) else {
        panic!("a second engine must be refused")
    };
    assert!(matches!(&error, FileError::InUse { path } if *path == data), "{error}");
    rocks.engine.commit(&block(1, 10)).unwrap();
}

#[test]
fn an_opening_tells_what_it_made() {
    let new = |rocks: &Rocks| (rocks.engine.truth_is_new(), rocks.engine.derived_is_new());
    let rocks = Rocks::open();
    assert_eq!(new(&rocks), (true, true));
    let rocks = rocks.reopen();
    assert_eq!(new(&rocks), (false, false));
    drop(rocks.engine);
    fs::remove_dir_all(rocks.dir.path().join("data/truth")).unwrap();
    let rocks = Rocks::open_in(rocks.dir);
    assert_eq!(new(&rocks), (true, false), "truth was lost, and the caller can see it");
}

/// 2,000 random keys in two families, and the batch's number in a third.
fn derived_batch(n: u32) -> DerivedBatch {
    let mut batch = DerivedBatch::new();
    for i in 0..2_000_u32 {
        let key = blake3::hash(&[n.to_be_bytes(), i.to_be_bytes()].concat());
        batch.put(DerivedFamily::Ids, &key.as_bytes()[..16], n.to_be_bytes());
        batch.put(DerivedFamily::Idem, &key.as_bytes()[16..], n.to_be_bytes());
    }
    batch.put(DerivedFamily::Meta, "height", n.to_be_bytes());
    batch
}

#[test]
fn memory_stays_within_its_bounds_while_data_grows_past_them() {
    let rocks = Rocks::open();
    let bound = small().block_cache_bytes + small().write_buffer_bytes;
    for n in 1..=60 {
        rocks.engine.commit(&block(n, 100_000)).unwrap();
        rocks.engine.derived_write(derived_batch(n)).unwrap();
        // One batch may go beyond the bound of the memtables before they are cut.
        let used = rocks.engine.memory_bytes();
        assert!(used < bound + (1 << 20), "{used} bytes in use at {n}, the bound is {bound}");
    }
}

/// The batches that each family has of those that [`derived_batch`] makes, the same of all.
fn batches_in(engine: &RocksEngine) -> u32 {
    let all = ScanLimit { items: usize::MAX, bytes: usize::MAX };
    let height = engine.derived_get(DerivedFamily::Meta, b"height").unwrap();
    let height = height.map_or(0, |height| u32::from_be_bytes(height.try_into().unwrap()));
    for family in [DerivedFamily::Ids, DerivedFamily::Idem] {
        let items = engine.derived_scan(family, b"", None, all).unwrap();
        assert_eq!(items.len(), 2_000 * height as usize, "{family:?}");
    }
    height
}

/// A store with one batch, and the tables of a second one, of which so many are taken in.
fn cut_off(taken_in: usize) -> TempDir {
    let rocks = Rocks::open();
    rocks.engine.derived_write(derived_batch(1)).unwrap();
    let derived = rocks.dir.path().join("data/derived");
    let mut second = derived_batch(2);
    second.sort();
    tables::make(&derived, &second, &options::TableOptions::new(&rocks.engine.shared)).unwrap();
    let families = [DerivedFamily::Ids, DerivedFamily::Idem, DerivedFamily::Meta];
    for family in &families[..taken_in] {
        // As a crash may leave it: taken in, and not yet removed.
        let table = derived.join("batch").join(format!("{}.sst", family.name()));
        let taken = rocks
            .engine
            .derived
            .read(|db| db.ingest_external_file_cf(handle(db, *family), vec![&table]));
        taken.unwrap();
        if *family == DerivedFamily::Ids {
            fs::remove_file(table).unwrap();
        }
    }
    drop(rocks.engine);
    rocks.dir
}

#[test]
fn a_batch_that_was_cut_off_is_whole_when_the_store_is_opened() {
    for taken_in in 0..=3 {
        let dir = cut_off(taken_in);
        let data = dir.path().join("data");
        let seen = RocksEngine::open_read_only(&data, &small()).unwrap();
        assert!(seen.derived_is_damaged(), "nobody reads half of it: {taken_in}");
        drop(seen);
        let rocks = Rocks::open_in(dir);
        assert!(!rocks.engine.derived_is_damaged());
        assert_eq!(batches_in(&rocks.engine), 2, "after {taken_in} families");
        rocks.engine.derived_write(derived_batch(3)).unwrap();
        let rocks = rocks.reopen();
        assert_eq!(batches_in(&rocks.engine), 3);
        assert_eq!(fs::read_dir(data.join("derived/batch")).unwrap().count(), 0);
    }
}

#[test]
fn tables_that_were_not_all_made_are_nothing() {
    let rocks = Rocks::open();
    rocks.engine.derived_write(derived_batch(1)).unwrap();
    let table = rocks.dir.path().join("data/derived/batch/ids.sst");
    fs::write(&table, "half of a table").unwrap();
    let rocks = rocks.reopen();
    assert_eq!(batches_in(&rocks.engine), 1);
    assert!(!table.exists());
    fs::write(&table, "half of another").unwrap();
    rocks.engine.derived_write(derived_batch(2)).unwrap();
    assert_eq!(batches_in(&rocks.engine), 2);
}

#[test]
fn a_waiting_table_that_cannot_be_read_is_damage_and_goes_with_a_wipe() {
    let dir = cut_off(1);
    let data = dir.path().join("data");
    let table = data.join("derived/batch/idem.sst");
    let mut bytes = fs::read(&table).unwrap();
    let footer = bytes.len() - 20;
    bytes[footer..].fill(0);
    fs::write(&table, bytes).unwrap();
    let rocks = Rocks::open_in(dir);
    assert!(rocks.engine.derived_is_damaged());
    rocks.engine.derived_wipe().unwrap();
    assert_eq!(batches_in(&rocks.engine), 0);
    rocks.engine.derived_write(derived_batch(1)).unwrap();
    assert_eq!(batches_in(&rocks.reopen().engine), 1);
}

#[test]
fn a_batch_waits_while_merges_are_too_far_behind() {
    let rocks = Rocks::open();
    let stop_at = |runs| {
        let stops = [("level0_stop_writes_trigger", runs)];
        rocks.engine.derived.read(|db| db.set_options_cf(handle(db, DerivedFamily::Ids), &stops))
    };
    // Fewer than are merged, so that nothing but the change below lets the third one in.
    stop_at("2").unwrap();
    rocks.engine.derived_write(derived_batch(1)).unwrap();
    rocks.engine.derived_write(derived_batch(2)).unwrap();
    assert!(rocks.engine.figures().unwrap().derived.is_write_stopped);
    let is_let_in = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let third = scope.spawn(|| {
            rocks.engine.derived_write(derived_batch(3)).unwrap();
            is_let_in.load(Ordering::Relaxed)
        });
        std::thread::sleep(std::time::Duration::from_millis(100));
        is_let_in.store(true, Ordering::Relaxed);
        stop_at("64").unwrap();
        assert!(third.join().unwrap(), "it came before it was let in");
    });
    assert_eq!(batches_in(&rocks.engine), 3);
}

#[test]
fn a_copy_has_whole_batches() {
    let rocks = Rocks::open();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            (1..=12).for_each(|n| rocks.engine.derived_write(derived_batch(n)).unwrap());
        });
        for n in 0.. {
            let copy = rocks.dir.path().join(format!("copy-{n}"));
            let is_last = writer.is_finished();
            files::create_dir_private(&copy).unwrap();
            rocks.engine.checkpoint(&copy).unwrap();
            let engine = RocksEngine::open_read_only(&copy, &small()).unwrap();
            let batches = batches_in(&engine);
            if is_last {
                assert_eq!(batches, 12);
                break;
            }
        }
    });
}
