//! A log with a hole in it: what a start, a read and the writer make of it.

use super::*;
use crate::storage::engine::ScanLimit;

/// [`ten`] again, without the group that begins at `first`; with derived data, or without.
fn without(first: u64, with_derived: bool) -> Arc<Memory> {
    let (whole, holed) = (engine(), engine());
    ten(&whole);
    let all = ScanLimit { items: usize::MAX, bytes: usize::MAX };
    let mut truth = TruthBatch::new();
    for family in TruthFamily::ALL {
        for (key, value) in whole.truth_scan(family, &[], all).unwrap() {
            if family != TruthFamily::Blocks || key != codec::seq_key(first) {
                truth.put(family, key, value);
            }
        }
    }
    holed.commit(&truth).unwrap();
    let mut derived = DerivedBatch::new();
    for family in DerivedFamily::ALL.into_iter().filter(|_| with_derived) {
        for (key, value) in whole.derived_scan(family, &[], None, all).unwrap() {
            derived.put(family, key, value);
        }
    }
    holed.derived_write(derived).unwrap();
    holed
}

#[test]
fn a_start_finds_the_hole_wherever_it_has_to_read() {
    for first in [1, 3, 5, 9] {
        let error = store(&without(first, false), 4).writer(None).err().unwrap();
        assert!(matches!(error, RecoverError::Gap { missing } if missing == first), "{error}");
        assert!(error.is_gap());
    }
    // The last group is looked at by every start.
    let error = store(&without(9, true), 4).writer(None).err().unwrap();
    assert!(matches!(error, RecoverError::Gap { missing: 9 }), "{error}");
}

#[test]
fn a_read_notes_the_hole_and_no_recovery_passes_over_it() {
    for first in [1, 5] {
        let store = store(&without(first, true), 4);
        let (writer, lease) = open(&store);
        let reader = store.reader();
        assert_eq!(reader.missing(), None);
        assert!(reader.entry(10).unwrap().is_some() && reader.missing().is_none());
        for _ in 0..2 {
            let missed = reader.entries(1, 10, 10);
            assert!(matches!(missed, Err(ReadError::Missing(seq)) if seq == first));
            assert_eq!(reader.missing(), Some(first));
        }
        drop((writer, lease));
        assert!(store.writer(None).err().unwrap().is_gap());
    }
}

#[test]
fn no_number_is_assigned_where_tree_and_log_do_not_end_together() {
    let memory = engine();
    let store = store(&memory, 4);
    let (mut writer, lease) = open(&store);
    commit(&mut writer, &[&request(mints(2))], 1_000);
    writer.tiles.append([crate::accumulator::Hash([0; 32])]);
    let more = request(mints(1));
    let group = Group { requests: &[&more], now: 1_000, expire_max: 0 };
    assert!(matches!(writer.prepare(&group), Err(ReadError::Missing(3))));
    assert_eq!(store.reader().missing(), Some(3));
    // The log is whole: a recovery makes the tree anew.
    drop((writer, lease));
    let (mut writer, _lease) = open(&store);
    assert_eq!(store.reader().missing(), None);
    commit(&mut writer, &[&more], 1_000);
    assert_eq!(writer.head().get().seq, 3);
}
