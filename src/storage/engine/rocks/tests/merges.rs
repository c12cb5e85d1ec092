//! How far merges are behind, by the tables that wait for them.

use super::*;

/// The rare merges begin at eight tables, of 64 that stop writes; the others at four, of 36.
#[test]
fn tables_that_wait_to_be_merged_are_told_until_they_are() {
    let rocks = Rocks::open();
    assert_eq!(rocks.engine.derived_behind(), 0);
    let behind = || u32::from(rocks.engine.derived_behind());
    let put = |family, key: u8| {
        let mut batch = DerivedBatch::new();
        batch.put(family, [key], [key]);
        rocks.engine.derived_write(batch).unwrap();
    };
    (0..7).for_each(|key| put(DerivedFamily::Ids, key));
    assert_eq!(behind(), 100 * 7 / 64);
    (0..3).for_each(|key| put(DerivedFamily::Supply, key));
    assert_eq!(behind(), 100 * 7 / 64, "the family that is furthest");
    rocks.engine.compact().unwrap();
    assert!(behind() < 5);
    (0..3).for_each(|key| put(DerivedFamily::Supply, key));
    assert_eq!(behind(), 100 * 3 / 36);
}
