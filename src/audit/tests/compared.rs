//! Two exports: where they part.

use super::*;
use crate::ledger::testing::entry_of;

/// A log of mints, the `fork`-th of which is another one.
fn log(size: Seq, fork: Option<Seq>) -> Log {
    let mint = |seq: Seq| {
        let amount = if fork.is_some_and(|fork| seq >= fork) { 2 } else { 1 };
        let mut entry = entry_of(Kind::Mint, "a", amount, "RON");
        let mut unique = [0; 16];
        unique[8..].copy_from_slice(&seq.to_be_bytes());
        (entry.id, entry.nonce, entry.ts) = (EntryId::from_bytes(unique), unique, seq);
        (1_000, Sequenced { seq, linked: false, entry })
    };
    Log { algo: HashAlgo::Blake3, entries: (1..=size).map(mint).collect() }
}

fn prefixes(place: &Place, lines: &[String]) -> Prefixes {
    std::fs::write(place.path(), format!("{}\n", lines.join("\n"))).unwrap();
    Prefixes::File(FilePrefixes::open(&place.path(), Some(signer().verifier_key())).unwrap())
}

fn run(one: &[String], other: &[String]) -> Result<(Seq, Option<Seq>, bool), String> {
    let place = Place::new();
    let (one, other) = (prefixes(&place, one), prefixes(&place, other));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = runtime.block_on(compare(&one, &other)).map_err(|error| error.to_string())?;
    Ok((found.same, found.first_difference, found.is_before_range))
}

#[test]
fn the_first_difference_is_found_wherever_it_is() {
    let whole = log(40, None).all();
    for fork in 1..=40 {
        let other = log(40, Some(fork)).all();
        assert_eq!(run(&whole, &other), Ok((fork - 1, Some(fork), false)));
        assert_eq!(run(&other, &whole), Ok((fork - 1, Some(fork), false)));
    }
    assert_eq!(run(&whole, &log(25, None).all()), Ok((25, None, false)));
    assert_eq!(run(&whole, &log(25, Some(25)).all()), Ok((24, Some(25), false)));
    assert_eq!(run(&whole, &whole), Ok((40, None, false)));
}

#[test]
fn long_exports_are_compared_by_their_kept_trees() {
    let whole = log(2_500, None).all();
    for fork in [1, 1_023, 1_024, 1_025, 2_048, 2_499, 2_500] {
        let other = log(2_500, Some(fork)).all();
        assert_eq!(run(&whole, &other), Ok((fork - 1, Some(fork), false)));
    }
}

#[test]
fn parts_are_compared_as_far_as_they_go() {
    let part = log(40, None).export(11, 30);
    assert_eq!(run(&part, &log(40, None).all()), Ok((30, None, false)));
    assert_eq!(run(&part, &log(40, Some(20)).all()), Ok((19, Some(20), false)));
    assert_eq!(run(&part, &log(40, Some(5)).all()), Ok((0, Some(10), true)));
    assert_eq!(run(&part, &log(40, Some(35)).all()), Ok((30, None, false)));
    let apart = run(&log(40, None).export(1, 5), &part).unwrap_err();
    assert!(apart.contains("no entries in common"), "{apart}");
    let sha = Log { algo: HashAlgo::Sha256, ..log(40, None) }.all();
    let apart = run(&sha, &part).unwrap_err();
    assert!(apart.contains("different hash functions"), "{apart}");
}
