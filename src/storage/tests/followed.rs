//! Groups of one ledger, taken by another.

use super::*;
use crate::storage::follow::Follower;

#[test]
fn groups_that_reverse_one_another_are_taken_as_one_piece() {
    let (leader, follower) = (engine(), engine());
    let store = store(&leader, 1 << 20);
    let (mut writer, _lease) = open(&store);
    for request in workload(1_500) {
        commit(&mut writer, &[&request], 1_000);
    }
    let reader = store.reader();
    let (head, all) = (reader.head(), reader.groups(0, u64::MAX, usize::MAX).unwrap());
    let entries = reader.entries(1, u64::MAX, usize::MAX).unwrap();
    let reversals = entries.iter().filter(|it| it.sequenced.entry.kind == Kind::Reverse).count();
    assert!(all.len() > 100 && reversals > 10, "{} groups, {reversals} reversals", all.len());
    let options = StoreOptions { filter_bytes: 1 << 16, lag: Lag { flush: 100, max: 1 << 20 } };
    let mut follower = Follower::open(follower, Some(genesis()), None, options).unwrap();
    assert_eq!(follower.take(&all).unwrap(), head);
    assert_eq!(follower.reader().supply().unwrap(), reader.supply().unwrap());
    assert_eq!(follower.reader().missing(), None);
}
