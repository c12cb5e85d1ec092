//! The contract of [`Engine`], as tests that every engine passes.
//!
//! [`contract_tests!`] makes one test of each claim for one [`Subject`], [`survival_tests!`] for one
//! that [`Survives`]. What only one engine can be made to show (a poisoned writer, a full disk) is
//! tested beside it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// An engine under test and the store below it.
pub(super) trait Subject: Sized {
    type Engine: Engine;
    /// An engine over an empty store.
    fn open() -> Self;
    fn engine(&self) -> &Self::Engine;
}

/// A subject whose data outlives the engine.
pub(super) trait Survives: Subject {
    /// Closes in good order and opens again.
    fn reopen(self) -> Self;
    /// Opens what a crash at this moment leaves.
    fn crash(self) -> Self;
}

/// A test for each claim of the contract that holds for any engine.
macro_rules! contract_tests {
    ($subject:ty) => {
        $crate::storage::engine::contract::claims!(
            $subject: a_commit_is_visible_at_once_and_whole,
            the_last_put_of_a_key_counts,
            the_last_item_at_or_before_a_key_is_found,
            a_scan_keeps_its_bounds_and_advances,
            a_derived_scan_ends_before_its_end,
            keys_are_ordered_as_unsigned_bytes,
            families_do_not_mix,
            derived_changes_apply_in_order,
            many_gets_answer_in_the_order_of_their_keys,
            a_reader_never_sees_half_a_batch,
            a_wipe_empties_derived_data_alone,
            usage_grows_and_room_is_bounded,
        );
    };
}
pub(super) use contract_tests;

/// A test for each claim of the contract on what survives.
macro_rules! survival_tests {
    ($subject:ty) => {
        $crate::storage::engine::contract::claims!(
            $subject: everything_survives_a_close,
            a_crash_keeps_truth_and_a_prefix_of_derived_batches,
            a_crash_after_a_wipe_finds_it_wiped,
        );
    };
}
pub(super) use survival_tests;

macro_rules! claims {
    ($subject:ty: $($claim:ident,)+) => {
        $(#[test]
        fn $claim() {
            $crate::storage::engine::contract::$claim::<$subject>();
        })+
    };
}
pub(super) use claims;

const ALL: ScanLimit = ScanLimit { items: usize::MAX, bytes: usize::MAX };

fn truth(puts: &[(TruthFamily, &[u8], &[u8])]) -> TruthBatch {
    let mut batch = TruthBatch::new();
    for (family, key, value) in puts {
        batch.put(*family, *key, *value);
    }
    batch
}

/// A put, or with `None` a delete.
type Change<'a> = (DerivedFamily, &'a [u8], Option<&'a [u8]>);

fn derived(changes: &[Change<'_>]) -> DerivedBatch {
    let mut batch = DerivedBatch::new();
    for (family, key, value) in changes {
        match value {
            Some(value) => batch.put(*family, *key, *value),
            None => batch.delete(*family, *key),
        }
    }
    batch
}

fn keys(items: &[Item]) -> Vec<&[u8]> {
    items.iter().map(|(key, _)| key.as_slice()).collect()
}

pub(super) fn a_commit_is_visible_at_once_and_whole<S: Subject>() {
    let subject = S::open();
    let engine = subject.engine();
    let big = vec![0xab; 300_000];
    engine
        .commit(&truth(&[
            (TruthFamily::Blocks, b"1", &big),
            (TruthFamily::Roots, b"1", b""),
            (TruthFamily::Meta, b"head", b"1"),
        ]))
        .unwrap();
    assert_eq!(engine.truth_get(TruthFamily::Blocks, b"1").unwrap(), Some(big));
    assert_eq!(engine.truth_get(TruthFamily::Roots, b"1").unwrap(), Some(vec![]));
    assert_eq!(engine.truth_get(TruthFamily::Meta, b"head").unwrap(), Some(b"1".to_vec()));
    assert_eq!(engine.truth_get(TruthFamily::Meta, b"hea").unwrap(), None);
    engine.commit(&TruthBatch::new()).unwrap();
    assert!(!engine.is_poisoned());
}

pub(super) fn the_last_put_of_a_key_counts<S: Subject>() {
    let subject = S::open();
    let engine = subject.engine();
    engine
        .commit(&truth(&[(TruthFamily::Meta, b"h", b"1"), (TruthFamily::Meta, b"h", b"2")]))
        .unwrap();
    assert_eq!(engine.truth_get(TruthFamily::Meta, b"h").unwrap(), Some(b"2".to_vec()));
    engine.commit(&truth(&[(TruthFamily::Meta, b"h", b"3")])).unwrap();
    assert_eq!(engine.truth_get(TruthFamily::Meta, b"h").unwrap(), Some(b"3".to_vec()));
}

pub(super) fn the_last_item_at_or_before_a_key_is_found<S: Subject>() {
    let subject = S::open();
    let engine = subject.engine();
    let last = |key: u64| {
        let found = engine.truth_last_at_or_before(TruthFamily::Blocks, &key.to_be_bytes());
        found.unwrap().map(|(key, value)| (u64::from_be_bytes(key.try_into().unwrap()), value))
    };
    assert_eq!(last(u64::MAX), None, "an empty family has no last item");
    // Neighbours in other families must not be found.
    for family in [TruthFamily::Roots, TruthFamily::Meta] {
        engine.commit(&truth(&[(family, &[0; 8], b"x"), (family, &[0xff; 8], b"x")])).unwrap();
    }
    for first_seq in [1_u64, 65, 300] {
        let key = first_seq.to_be_bytes();
        engine.commit(&truth(&[(TruthFamily::Blocks, &key, &[first_seq as u8])])).unwrap();
    }
    let expected = [
        (0, None),
        (1, Some(1)),
        (2, Some(1)),
        (64, Some(1)),
        (65, Some(65)),
        (299, Some(65)),
        (300, Some(300)),
        (u64::MAX, Some(300)),
    ];
    let item = |key: Option<u64>| key.map(|key| (key, vec![key as u8]));
    for (key, expected) in expected {
        assert_eq!(last(key), item(expected), "key {key}");
    }
    let (mut seen, keys) = (Vec::new(), expected.map(|(key, _)| key.to_be_bytes()));
    let mut look = |at, found: Option<(&[u8], &[u8])>| {
        let key = |key: &[u8]| u64::from_be_bytes(key.try_into().unwrap());
        seen.push((at, found.map(|(found, value)| (key(found), value.to_vec()))));
    };
    engine.truth_each_at_or_before(TruthFamily::Blocks, &keys, &mut look).unwrap();
    let all = expected.iter().map(|(_, expected)| item(*expected)).enumerate();
    assert_eq!(seen, all.collect::<Vec<_>>(), "each is found as one alone is");
    let before_all = engine.truth_last_at_or_before(TruthFamily::Blocks, b"").unwrap();
    assert_eq!(before_all, None, "the empty key is before all");
}

pub(super) fn a_scan_keeps_its_bounds_and_advances<S: Subject>() {
    let subject = S::open();
    let engine = subject.engine();
    for key in [b"a", b"b", b"c", b"d"] {
        engine.commit(&truth(&[(TruthFamily::Blocks, key, &[0; 9])])).unwrap();
        let family = DerivedFamily::Tiles;
        engine.derived_write(derived(&[(family, key, Some(&[0; 9]))])).unwrap();
    }
    let limit = |items, bytes| ScanLimit { items, bytes };
    for (from, limit, expected) in [
        ("", ALL, "abcd"),
        ("b", ALL, "bcd"),
        ("bb", ALL, "cd"),
        ("e", ALL, ""),
        ("", limit(2, usize::MAX), "ab"),
        ("c", limit(9, usize::MAX), "cd"),
        ("", limit(0, usize::MAX), "a"),
        ("", limit(9, 0), "a"),
        ("", limit(9, 10), "a"),
        ("", limit(9, 11), "ab"),
        ("", limit(9, 20), "ab"),
        ("", limit(9, 21), "abc"),
        ("z", limit(0, 0), ""),
    ] {
        let from = from.as_bytes();
        let found = engine.truth_scan(TruthFamily::Blocks, from, limit).unwrap();
        assert_eq!(keys(&found).concat(), expected.as_bytes(), "{from:?} {limit:?}");
        let found = engine.derived_scan(DerivedFamily::Tiles, from, None, limit).unwrap();
        assert_eq!(keys(&found).concat(), expected.as_bytes(), "derived {from:?} {limit:?}");
        assert!(found.iter().all(|(_, value)| *value == [0; 9]));
    }
}

pub(super) fn a_derived_scan_ends_before_its_end<S: Subject>() {
    let subject = S::open();
    let engine = subject.engine();
    for key in [b"a", b"b", b"c"] {
        engine.derived_write(derived(&[(DerivedFamily::Due, key, Some(b""))])).unwrap();
    }
    for (from, to, expected) in [
        ("a", "c", "ab"),
        ("a", "cc", "abc"),
        ("a", "a", ""),
        ("b", "a", ""),
        ("", "", ""),
        ("", "z", "abc"),
        ("aa", "b", ""),
    ] {
        let (from, to) = (from.as_bytes(), to.as_bytes());
        let found = engine.derived_scan(DerivedFamily::Due, from, Some(to), ALL).unwrap();
        assert_eq!(keys(&found).concat(), expected.as_bytes(), "{from:?} {to:?}");
    }
}

pub(super) fn keys_are_ordered_as_unsigned_bytes<S: Subject>() {
    let subject = S::open();
    let engine = subject.engine();
    let ascending: [&[u8]; 7] = [b"", b"\x00", b"\x00\x00", b"\x7f", b"\x80", b"\xff", b"\xff\xff"];
    for key in ascending.iter().rev() {
        engine.commit(&truth(&[(TruthFamily::Roots, key, b"v")])).unwrap();
        engine.derived_write(derived(&[(DerivedFamily::Holds, key, Some(b"v"))])).unwrap();
    }
    assert_eq!(keys(&engine.truth_scan(TruthFamily::Roots, b"", ALL).unwrap()), ascending);
    let found = engine.derived_scan(DerivedFamily::Holds, b"", None, ALL).unwrap();
    assert_eq!(keys(&found), ascending);
}

pub(super) fn families_do_not_mix<S: Subject>() {
    let subject = S::open();
    let engine = subject.engine();
    for family in TruthFamily::ALL {
        engine.commit(&truth(&[(family, b"key", family.name().as_bytes())])).unwrap();
    }
    for family in DerivedFamily::ALL {
        let put = (family, b"key".as_slice(), Some(family.name().as_bytes()));
        engine.derived_write(derived(&[put])).unwrap();
    }
    for family in TruthFamily::ALL {
        let value = engine.truth_get(family, b"key").unwrap().unwrap();
        assert_eq!(value, family.name().as_bytes());
        assert_eq!(engine.truth_scan(family, b"", ALL).unwrap().len(), 1);
    }
    for family in DerivedFamily::ALL {
        let value = engine.derived_get(family, b"key").unwrap().unwrap();
        assert_eq!(value, family.name().as_bytes());
        assert_eq!(engine.derived_scan(family, b"", None, ALL).unwrap().len(), 1);
    }
}

pub(super) fn derived_changes_apply_in_order<S: Subject>() {
    let subject = S::open();
    let engine = subject.engine();
    let family = DerivedFamily::Accounts;
    let get = |key: &[u8]| engine.derived_get(family, key).unwrap();
    engine.derived_write(derived(&[(family, b"a", Some(b"1")), (family, b"a", None)])).unwrap();
    assert_eq!(get(b"a"), None);
    engine.derived_write(derived(&[(family, b"a", None), (family, b"a", Some(b"2"))])).unwrap();
    assert_eq!(get(b"a"), Some(b"2".to_vec()));
    engine.derived_write(derived(&[(family, b"a", None), (family, b"gone", None)])).unwrap();
    assert_eq!(get(b"a"), None);
    engine.derived_write(DerivedBatch::new()).unwrap();
}

pub(super) fn many_gets_answer_in_the_order_of_their_keys<S: Subject>() {
    let subject = S::open();
    let engine = subject.engine();
    let family = DerivedFamily::Ids;
    engine
        .derived_write(derived(&[(family, b"a", Some(b"1")), (family, b"c", Some(b""))]))
        .unwrap();
    // Some of the keys from files, some from memory.
    engine.derived_flush().unwrap();
    engine.derived_write(derived(&[(family, b"d", Some(b"4"))])).unwrap();
    let asked: [&[u8]; 5] = [b"d", b"b", b"a", b"c", b"a"];
    let one = Some(b"1".to_vec());
    let expected = [Some(b"4".to_vec()), None, one.clone(), Some(vec![]), one];
    assert_eq!(engine.derived_multi_get(family, &asked).unwrap(), expected);
    assert!(engine.derived_multi_get(family, &[]).unwrap().is_empty());
}

pub(super) fn a_reader_never_sees_half_a_batch<S: Subject>() {
    const ROUNDS: u32 = 100;
    let subject = S::open();
    let engine = subject.engine();
    let done = AtomicBool::new(false);
    let write = |round: u32| {
        let value = round.to_be_bytes();
        let pair = [(TruthFamily::Meta, b"a".as_slice()), (TruthFamily::Meta, b"b")];
        engine.commit(&truth(&pair.map(|(f, key)| (f, key, value.as_slice())))).unwrap();
        let pair = [(DerivedFamily::Supply, b"a".as_slice()), (DerivedFamily::Supply, b"b")];
        engine.derived_write(derived(&pair.map(|(f, key)| (f, key, Some(&value[..]))))).unwrap();
    };
    write(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let items = engine.truth_scan(TruthFamily::Meta, b"", ALL).unwrap();
                assert_eq!(items[0].1, items[1].1);
                let values =
                    engine.derived_multi_get(DerivedFamily::Supply, &[b"a", b"b"]).unwrap();
                assert!(values[0].is_some() && values[0] == values[1], "{values:?}");
                let items = engine.derived_scan(DerivedFamily::Supply, b"", None, ALL).unwrap();
                assert_eq!(items[0].1, items[1].1);
            }
        });
        for round in 1..=ROUNDS {
            write(round);
            if round % 40 == 0 {
                engine.derived_flush().unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

pub(super) fn a_wipe_empties_derived_data_alone<S: Subject>() {
    let subject = S::open();
    let engine = subject.engine();
    engine.commit(&truth(&[(TruthFamily::Meta, b"k", b"kept")])).unwrap();
    for family in DerivedFamily::ALL {
        engine.derived_write(derived(&[(family, b"", Some(b"v")), (family, b"a", None)])).unwrap();
        engine.derived_write(derived(&[(family, &[0xff; 40], Some(b"v"))])).unwrap();
        engine.derived_flush().unwrap();
        engine.derived_write(derived(&[(family, b"b", Some(b"v"))])).unwrap();
    }
    engine.derived_wipe().unwrap();
    for family in DerivedFamily::ALL {
        assert!(engine.derived_scan(family, b"", None, ALL).unwrap().is_empty(), "{family:?}");
    }
    assert_eq!(engine.truth_get(TruthFamily::Meta, b"k").unwrap(), Some(b"kept".to_vec()));
    engine.derived_wipe().unwrap();
    engine.derived_write(derived(&[(DerivedFamily::Ids, b"b", Some(b"again"))])).unwrap();
    let again = engine.derived_get(DerivedFamily::Ids, b"b").unwrap();
    assert_eq!(again, Some(b"again".to_vec()), "what is written after a wipe stays");
}

pub(super) fn usage_grows_and_room_is_bounded<S: Subject>() {
    let subject = S::open();
    let engine = subject.engine();
    let before = engine.usage().unwrap();
    assert!(before.bytes_own <= before.bytes_used && before.bytes_used <= before.bytes_total);
    engine.commit(&truth(&[(TruthFamily::Blocks, b"1", &[7; 100_000])])).unwrap();
    let after = engine.usage().unwrap();
    assert!(after.bytes_own >= before.bytes_own + 100_000, "{before:?} {after:?}");
    assert!((0.0..=1.0).contains(&after.fraction()));
    engine.room(1).unwrap();
    assert!(matches!(engine.room(u64::MAX), Err(StoreError::NoRoom(_))));
}

/// A commit and a derived batch over two families, all with the number `n`.
fn write_numbered<E: Engine>(engine: &E, n: u8) {
    engine
        .commit(&truth(&[
            (TruthFamily::Blocks, &[n], &[n; 1_000]),
            (TruthFamily::Meta, b"h", &[n]),
        ]))
        .unwrap();
    let mut batch = DerivedBatch::new();
    batch.put(DerivedFamily::Meta, "height", [n]);
    batch.put(DerivedFamily::Accounts, [n], [n; 500]);
    engine.derived_write(batch).unwrap();
}

/// The number that truth ends with, and the one that derived data ends with, after checking that
/// each is exactly the batches up to its number.
fn check_numbered<E: Engine>(engine: &E) -> (u8, u8) {
    let number = |value: Option<Vec<u8>>| value.map_or(0, |value| value[0]);
    let head = number(engine.truth_get(TruthFamily::Meta, b"h").unwrap());
    let blocks = engine.truth_scan(TruthFamily::Blocks, b"", ALL).unwrap();
    let expected: Vec<Item> = (1..=head).map(|n| (vec![n], vec![n; 1_000])).collect();
    assert_eq!(blocks, expected);
    let height = number(engine.derived_get(DerivedFamily::Meta, b"height").unwrap());
    let accounts = engine.derived_scan(DerivedFamily::Accounts, b"", None, ALL).unwrap();
    let expected: Vec<Item> = (1..=height).map(|n| (vec![n], vec![n; 500])).collect();
    assert_eq!(accounts, expected);
    (head, height)
}

pub(super) fn everything_survives_a_close<S: Survives>() {
    let mut subject = S::open();
    for n in 1..=3 {
        write_numbered(subject.engine(), n);
        subject.engine().derived_flush().unwrap();
        subject = subject.reopen();
        assert_eq!(check_numbered(subject.engine()), (n, n));
    }
}

pub(super) fn a_crash_keeps_truth_and_a_prefix_of_derived_batches<S: Survives>() {
    let subject = S::open();
    for n in 1..=9 {
        write_numbered(subject.engine(), n);
        if n == 4 {
            subject.engine().derived_flush().unwrap();
        }
    }
    assert_eq!(check_numbered(subject.engine()), (9, 9));
    let recovered = subject.crash();
    let (head, height) = check_numbered(recovered.engine());
    assert_eq!(head, 9, "every commit that returned is kept");
    assert!((4..=9).contains(&height), "what was flushed is kept, and height is {height}");
    for n in height + 1..=10 {
        write_numbered(recovered.engine(), n);
    }
    assert_eq!(check_numbered(recovered.engine()), (10, 10));
}

pub(super) fn a_crash_after_a_wipe_finds_it_wiped<S: Survives>() {
    let subject = S::open();
    write_numbered(subject.engine(), 1);
    subject.engine().derived_flush().unwrap();
    subject.engine().derived_wipe().unwrap();
    let recovered = subject.crash();
    assert_eq!(check_numbered(recovered.engine()), (1, 0));
}

struct Memory(MemoryEngine);

impl Subject for Memory {
    type Engine = MemoryEngine;

    fn open() -> Self {
        Self(MemoryEngine::new(64 << 20))
    }

    fn engine(&self) -> &MemoryEngine {
        &self.0
    }
}

mod memory {
    super::contract_tests!(super::Memory);
}
