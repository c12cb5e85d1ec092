//! Holds that fall due, wherever they are found.

use super::*;
use crate::ledger::expire::expire_id;
use crate::ledger::reason::Reason;
use crate::storage::flusher::batch_of;

/// What was committed goes one step further on its way to the engine.
fn advance(writer: &mut Writer, step: usize) {
    match step {
        0 => {}
        1 => assert!(writer.freeze(true).is_some()),
        _ => {
            let layer = writer.shared.overlay.read().frozen.clone().unwrap();
            writer.shared.engine.derived_write(batch_of(&layer)).unwrap();
            drop(writer.shared.overlay.write().flushed(layer, true));
        }
    }
}

#[test]
fn a_hold_falls_due_in_time_whatever_is_flushed_before() {
    for last_step in 0..=2 {
        let store = store(&engine(), u64::MAX);
        let (mut writer, _lease) = open(&store);
        writer.flusher = None;
        let hold = |at| Entry { expires_at: Some(at), ..entry(Kind::Hold, "a", 1) };
        let (soon, late) = (hold(1_500), hold(9_000));
        let (first, second) = (soon.id, late.id);
        commit(&mut writer, &[&request(mints(1)), &request([soon, late])], 1_000);
        let due = |writer: &Writer, now| writer.shared.due(now, 10).unwrap();
        for step in 0..=last_step {
            advance(&mut writer, step);
            for early in [1_000, 1_100, 1_499] {
                assert_eq!(due(&writer, early), [], "step {step}");
            }
        }
        for now in [1_500, 1_501, 8_999] {
            assert_eq!(due(&writer, now), [first], "last step {last_step}");
        }
        assert_eq!(due(&writer, 9_000), [first, second], "last step {last_step}");
        // It is closed in a younger layer, and still there in the engine.
        let released = Entry { reference: Some(first), ..entry(Kind::Release, "a", 1) };
        commit(&mut writer, &[&request([released])], 1_400);
        assert_eq!(due(&writer, 1_500), [], "last step {last_step}");
    }
}

/// Nobody asks for its id before it is made, which is when the filter takes all others in.
#[test]
fn an_entry_that_the_ledger_made_is_found_by_its_id() {
    let store = store(&engine(), u64::MAX);
    let (mut writer, _lease) = open(&store);
    let hold = Entry { expires_at: Some(1_500), ..entry(Kind::Hold, "a", 1) };
    let expire = expire_id(hold.id);
    commit(&mut writer, &[&request(mints(1)), &request([hold])], 1_000);
    commit(&mut writer, &[&request(mints(1))], 2_000);
    let reverse = Entry { reference: Some(expire), ..entry(Kind::Reverse, "a", 1) };
    let outcomes = commit(&mut writer, &[&request([reverse])], 2_000);
    let Outcome::Rejected(reject) = &outcomes[0][0] else { panic!("{outcomes:?}") };
    assert_eq!(reject.reason, Reason::NotReversible);
}
