//! The model can fail: each mistake that is planted in it is found, and by the rule that is there for
//! it.

use stateright::{Checker, HasDiscoveries, Model};

use super::{Flaw, NARROW, ONE, Pipeline, TWINS, TWO, reach, rules};

/// With the flaw, the rule is broken in some state.
#[track_caller]
fn breaks(model: &Pipeline, flaw: Flaw, rule: &'static str) {
    let model = Pipeline { flaw: Some(flaw), ..model.clone() };
    let until = HasDiscoveries::AnyOf([rule].into());
    let checker = model.checker().threads(2).finish_when(until).spawn_bfs().join();
    let found = checker.discovery(rule);
    assert!(found.is_some(), "{flaw:?} was not found by: {rule}");
    println!("{flaw:?}: {} states", checker.unique_state_count());
}

/// With the flaw, some state has no way back.
#[track_caller]
fn strands(model: &Pipeline, flaw: Flaw) {
    let model = Pipeline { flaw: Some(flaw), ..model.clone() };
    let lost =
        reach::explore(&model).without_a_way_to(|state| rules::is_at_rest(&model, state)).is_some();
    assert!(lost, "{flaw:?} leaves no state without a way back");
}

#[test]
fn an_answer_before_the_fsync_is_found() {
    breaks(&TWO, Flaw::AnswersBeforeTheFsync, rules::TOLD_IS_DURABLE);
    breaks(&TWO, Flaw::AppliesBeforeTheFsync, rules::READ_IS_DURABLE);
}

#[test]
fn a_recovery_that_does_not_write_the_tail_again_is_found() {
    breaks(&NARROW, Flaw::KeepsTheTailAsItIs, rules::READ_IS_DURABLE);
    breaks(&NARROW, Flaw::KeepsTheTailAsItIs, rules::TOLD_IS_DURABLE);
    breaks(&NARROW, Flaw::KeepsTheTailAsItIs, rules::NOTE_IS_DURABLE);
}

#[test]
fn a_committer_that_goes_on_after_an_unknown_write_is_found() {
    breaks(&TWO, Flaw::GoesOnAfterAnUnknownWrite, rules::TOLD_IS_DURABLE);
}

#[test]
fn a_replay_of_what_is_not_durable_is_found() {
    breaks(&TWINS, Flaw::TellsReplaysOfItsOwnGroup, rules::TOLD_IS_DURABLE);
}

#[test]
fn a_group_that_is_begun_in_safe_mode_is_found() {
    breaks(&TWO, Flaw::CommitsInSafeMode, rules::SAFE_MODE_BARS);
}

#[test]
fn a_gap_and_an_id_twice_are_found() {
    breaks(&TWO, Flaw::CountsWhatItDoesNotWrite, rules::NO_GAP);
    breaks(&TWO, Flaw::ForgetsWhatIsInTheLog, rules::ID_ONCE);
}

#[test]
fn two_writers_are_found() {
    breaks(&TWO, Flaw::HasNoLease, rules::ONE_WRITER);
    breaks(&TWO, Flaw::HasNoLease, rules::TOLD_IS_DURABLE);
}

#[test]
fn a_publisher_in_a_hurry_is_found() {
    breaks(&TWO, Flaw::SignsWhatIsNotDurable, rules::NOTE_IS_DURABLE);
    breaks(&NARROW, Flaw::ShowsBeforeItIsDurable, rules::SHOWN_GROWS);
}

#[test]
fn a_note_that_is_shown_again_as_it_is_found_goes_back() {
    breaks(&NARROW, Flaw::TrustsTheNote, rules::SHOWN_GROWS);
}

#[test]
fn readers_that_open_after_their_head_moved_raise_a_false_alarm() {
    breaks(&ONE, Flaw::OpensAfterTheSwap, rules::NO_FALSE_ALARM);
}

#[test]
fn an_actor_that_forgets_to_go_on_is_found() {
    strands(&ONE, Flaw::RestartsWithoutALook);
    strands(&ONE, Flaw::ForgetsToPassTheCheck);
}
