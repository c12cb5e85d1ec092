//! A model of the pipeline, explored to its end: clients, queues, the committer's steps, the root
//! publisher, the disk, and every crash between any two steps, as often as they like. The mode's moves
//! are the code's own. What is modelled and how far is told in `docs/CONCURRENCY.md`; that the model
//! can fail is shown in `flaws`.

mod committer;
mod flaws;
mod reach;
mod rules;
mod state;
mod steps;

use stateright::{Checker, Model, Property};

use state::State;
use steps::Step;

/// The bounds of one model, and what is wrong with it.
#[derive(Clone, Debug)]
struct Pipeline {
    /// What each client sends, over and over: the number of a request.
    clients: &'static [u8],
    /// Requests in flight at once.
    inflight_max: usize,
    /// Seats of ingress and prevalidators.
    front_max: usize,
    /// Seats of the sequencer.
    sequenced_max: usize,
    /// Requests of a group.
    group_max: usize,
    /// Whether clients go away, pass their deadlines and meet their own request in flight.
    impatient: bool,
    /// Whether a clean recovery clears a crash of the committer by itself.
    auto_clear: bool,
    flaw: Option<Flaw>,
}

/// A mistake that the model must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    AnswersBeforeTheFsync,
    AppliesBeforeTheFsync,
    KeepsTheTailAsItIs,
    GoesOnAfterAnUnknownWrite,
    TellsReplaysOfItsOwnGroup,
    CommitsInSafeMode,
    CountsWhatItDoesNotWrite,
    ForgetsWhatIsInTheLog,
    HasNoLease,
    OpensAfterTheSwap,
    SignsWhatIsNotDurable,
    ShowsBeforeItIsDurable,
    TrustsTheNote,
    RestartsWithoutALook,
    ForgetsToPassTheCheck,
}

/// One client, that goes away and sends again.
const ONE: Pipeline = Pipeline { clients: &[0], impatient: true, ..TWO };

/// Two clients of a request each.
const TWO: Pipeline = Pipeline {
    clients: &[0, 1],
    inflight_max: 2,
    front_max: 1,
    sequenced_max: 2,
    group_max: 2,
    impatient: false,
    auto_clear: false,
    flaw: None,
};

/// The same, one after the other: for what crashes do to the publisher.
const NARROW: Pipeline = Pipeline { inflight_max: 1, sequenced_max: 1, group_max: 1, ..TWO };

/// Two clients that send the same request.
const TWINS: Pipeline = Pipeline { clients: &[0, 0], impatient: true, ..TWO };

/// Three of them, and so logs of three groups.
const THREE: Pipeline = Pipeline { clients: &[0, 1, 2], ..NARROW };

impl Model for Pipeline {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::new()]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        self.steps(state, steps);
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        self.step(state, step)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always = rules::ALWAYS.iter().map(|&(name, holds)| Property::always(name, holds));
        let sometimes = rules::SOMETIMES.iter().map(|&(name, is)| Property::sometimes(name, is));
        always.chain(sometimes).collect()
    }
}

/// Explores every state, and from each of them the way back.
fn check(model: &Pipeline) {
    let checker = model.clone().checker().threads(2).spawn_bfs().join();
    println!("{model:?}: {} states, {} deep", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

fn check_reach(model: &Pipeline) {
    let explored = reach::explore(model);
    println!("{model:?}: {} states", explored.states());
    let lost = explored.without_a_way_to(|state| rules::is_at_rest(model, state));
    assert!(lost.is_none(), "no way back: {lost:#?}");
}

/// The largest bounds are for `make model-deep`.
fn is_deep() -> bool {
    std::env::var_os("RON_MODEL_DEEP").is_some()
}

/// Some million states: seconds with optimization, minutes without.
fn is_quick() -> bool {
    cfg!(debug_assertions) && !is_deep()
}

#[test]
fn whatever_crashes_nothing_that_was_told_is_lost() {
    check(&ONE);
    if !is_quick() {
        check(&TWO);
    }
    if is_deep() {
        check(&Pipeline { auto_clear: true, ..TWO });
        check(&Pipeline { impatient: true, ..TWO });
        check(&THREE);
    }
}

#[test]
fn twins_are_one_entry_whatever_crashes() {
    check(&if is_quick() { Pipeline { inflight_max: 1, ..TWINS } } else { TWINS });
    if is_deep() {
        check(&Pipeline { auto_clear: true, ..TWINS });
        check(&Pipeline { inflight_max: 3, front_max: 2, sequenced_max: 3, ..TWINS });
    }
}

#[test]
fn from_every_state_there_is_a_way_to_all_answered_and_signed() {
    check_reach(&Pipeline { auto_clear: true, ..ONE });
    if !is_quick() {
        check_reach(&NARROW);
        check_reach(&TWINS);
    }
    if is_deep() {
        check_reach(&TWO);
    }
}
