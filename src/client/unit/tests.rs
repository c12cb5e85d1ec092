//! Units as lines of a file: there and back, and what is no unit.

use proptest::prelude::*;

use super::*;
use crate::client::workload::{Spec, Workload};
use crate::http::parse::{Rules, parse};
use crate::ledger::entry::Sequenced;
use crate::ledger::names::Asset;
use crate::ledger::testing::{Book, atomic, request};

fn generated(entries: usize, seed: u64) -> Vec<UnitIn> {
    let spec = Spec { entries, seed, invalid_share: 0.2, ..Spec::default() };
    Workload::new(spec).unwrap().map(|unit| UnitIn::from(&unit)).collect()
}

#[test]
fn a_line_comes_back_as_it_went() {
    for mut unit in generated(500, 1) {
        assert_eq!(UnitIn::parse(&unit.to_line()).unwrap(), unit);
        unit.idem_id = Some("again".to_owned());
        assert_eq!(UnitIn::parse(&unit.to_line()).unwrap(), unit);
    }
}

#[test]
fn a_single_entry_is_a_line_without_a_wrapper() {
    let mint = generated(3, 1).remove(0);
    let line = mint.to_line();
    assert!(line.starts_with(r#"{"id":""#), "{line}");
    let wrapped = format!(r#"{{"entries":[{line}]}}"#);
    assert_eq!(UnitIn::parse(&wrapped).unwrap(), mint);
}

#[test]
fn a_line_that_is_no_unit_is_refused_with_its_reason() {
    let line = generated(3, 1)[0].to_line();
    let check = |line: &str, expected: &str| {
        let message = UnitIn::parse(line).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check("", "EOF");
    check("{\"entries\":[]}", "must not be empty");
    check(&line.replacen("{\"id\"", "{\"colour\":1,\"id\"", 1), "unknown field `colour`");
    check(&format!("{{\"entries\":[{line}],\"receipt\":true}}"), "unknown field `receipt`");
    check(&" ".repeat(LINE_BYTES_MAX + 1), "longer than");
}

fn check_packing(units: &[UnitIn], entries_max: usize) -> Result<(), TestCaseError> {
    let mut next = 0;
    for Packed { request, units: mine } in pack(units.to_vec(), entries_max) {
        prop_assert_eq!(mine.start, next, "each unit is in one request, in order");
        prop_assert!(!mine.is_empty());
        next = mine.end;
        let mine = &units[mine];
        let entries = mine.iter().flat_map(|unit| &unit.entries);
        prop_assert!(request.batch.iter().eq(entries), "the request is the units and no more");
        prop_assert!(request.batch.len() <= entries_max || mine.len() == 1);
        prop_assert!(mine.len() == 1 || !mine.iter().any(UnitIn::stands_alone));
        prop_assert_eq!(request.atomic, mine[0].atomic);
        prop_assert_eq!(request.idem_id.as_deref(), mine[0].idem_id.as_deref());
    }
    prop_assert_eq!(next, units.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn packing_never_splits_a_unit(
        seed in any::<u64>(),
        entries in 0usize..200,
        entries_max in 1usize..50,
        named in proptest::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let mut units = generated(entries, seed);
        for index in named.into_iter().filter(|_| entries > 0) {
            let at = index.index(units.len());
            units[at].idem_id = Some(format!("named-{at}"));
        }
        check_packing(&units, entries_max)?;
    }
}

#[test]
fn legs_that_do_not_net_to_zero_end_their_request() {
    let entry = generated(3, 1)[0].entries[0].clone();
    let unit = |text: &str| {
        let leg = |word: &str| {
            let (kind, amount) = word.split_at(1);
            let kind = if kind == "d" { "Debit" } else { "Credit" }.into();
            EntryIn { kind, amount: Atoms(amount.parse().unwrap()), ..entry.clone() }
        };
        let entries = text.split(' ').map(leg).collect();
        UnitIn { entries, atomic: false, idem_id: None }
    };
    let sizes = |units: &[&str]| -> Vec<usize> {
        pack(units.iter().map(|text| unit(text)), 100)
            .map(|packed| packed.request.batch.len())
            .collect()
    };
    assert_eq!(sizes(&["d5 c5", "d3 c3"]), [4]);
    assert_eq!(sizes(&["d5 c4", "d3 c3"]), [2, 2]);
    assert_eq!(sizes(&["d3 c3", "d5", "c5"]), [3, 1]);
    let huge = format!("d{0} d{0} c{0} c{0}", u128::MAX);
    assert_eq!(sizes(&[&huge, "d3 c3"]), [4, 2]);
}

/// The log of a ledger that got `units` in requests of about `entries_max` entries.
fn log_of(units: &[UnitIn], entries_max: usize) -> Vec<Sequenced> {
    let default_asset = Asset::new("RON").unwrap();
    let rules = Rules { default_asset: &default_asset, batch_max_entries: 1_000 };
    let mut book = Book::new();
    for packed in pack(units.to_vec(), entries_max) {
        let body = serde_json::to_vec(&packed.request).unwrap();
        let parsed = parse(&body, &rules).unwrap();
        let whole = parsed.atomic;
        book.ingest(if whole { atomic(parsed.entries) } else { request(parsed.entries) });
    }
    book.check();
    book.log
}

#[test]
fn the_size_of_requests_decides_nothing() {
    let units = generated(2_000, 11);
    let one_by_one = log_of(&units, 1);
    assert!(one_by_one.len() > 1_200, "{}", one_by_one.len());
    for entries_max in [2, 7, 100, 1_000] {
        assert_eq!(log_of(&units, entries_max), one_by_one, "{entries_max}");
    }
}
