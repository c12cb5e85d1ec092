//! How far merges are behind, by the tables that wait for them.

use super::*;

#[test]
fn tables_that_wait_to_be_merged_are_told_until_they_are() {
    let rocks = Rocks::open();
    assert_eq!(rocks.engine.derived_behind(), 0);
    let family = DerivedFamily::Supply;
    merge_by_itself(&rocks, family, false);
    let write = |tables| behind_after(&rocks, family, tables);
    // The first ones find a level of their own, and wait for nothing.
    const LEVELS: u32 = 7;
    let (some, more) = (write(20), write(9));
    assert!((100 * (20 - LEVELS) / 36..=100 * 20 / 36).contains(&some), "{some}");
    assert!((100 * 9 / 36..=100 * 9 / 36 + 1).contains(&(more - some)), "{some}, then {more}");
    merge_by_itself(&rocks, family, true);
    rocks.engine.compact().unwrap();
    assert!(rocks.engine.derived_behind() < 10);
}

#[test]
fn where_runs_are_merged_by_size_those_below_the_first_level_count_too() {
    let rocks = Rocks::open();
    merge_by_itself(&rocks, DerivedFamily::Ids, false);
    assert_eq!([5, 15].map(|runs| behind_after(&rocks, DerivedFamily::Ids, runs)), [7, 31]);
}

fn merge_by_itself(rocks: &Rocks, family: DerivedFamily, is_on: bool) {
    let options = [("disable_auto_compactions", if is_on { "false" } else { "true" })];
    rocks.engine.derived.read(|db| db.set_options_cf(handle(db, family), &options)).unwrap();
}

/// With so many tables more, none of which fits beside another.
fn behind_after(rocks: &Rocks, family: DerivedFamily, tables: u32) -> u32 {
    for _ in 0..tables {
        let mut batch = DerivedBatch::new();
        batch.put(family, "a", "1");
        batch.put(family, "b", "2");
        rocks.engine.derived_write(batch).unwrap();
    }
    u32::from(rocks.engine.derived_behind())
}
