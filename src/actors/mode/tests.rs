//! Every move of the mode, legal and illegal, and what no order of them can do.

use super::{Bar, Checker::*, Event::*, Fault, IllegalMove::*, Mode, ModeCell, SafeReason as R};
use super::{Event, IllegalMove, UnknownModeName, WayOut};
use crate::capability::Peer;

const CLEAR: Event = OperatorClear { verified: true };
const CLEAR_UNVERIFIED: Event = OperatorClear { verified: false };

/// Events from `ready` on, and how the mode reads after the last; every earlier one is legal.
fn check(events: &[Event], expected: Result<&str, IllegalMove>) {
    let (last, first) = events.split_last().expect("at least one event");
    let step = |mode: Mode, &event: &Event| {
        mode.after(event).unwrap_or_else(|illegal| panic!("{events:?}: {event:?}: {illegal}"))
    };
    let mode = first.iter().fold(Mode::READY, step);
    let outcome = mode.after(*last).map(|mode| mode.to_string());
    assert_eq!(outcome, expected.map(str::to_owned), "{events:?}");
}

#[test]
fn every_legal_move_leads_where_the_table_says() {
    for (events, expected) in [
        (&[RecoveryStarted][..], "recovering"),
        (&[RecoveryStarted, RecoveryStarted], "recovering"),
        (&[RecoveryStarted, RecoveredClean], "ready"),
        (&[RecoveryStarted, RecoveryFailed(Fault::RollBack)], "roll_back"),
        (&[RecoveryStarted, RecoveryFailed(Fault::HeadMismatch)], "head_mismatch"),
        (&[CommitterPanicked], "committer_crashed"),
        (&[CommitterPanicked, RecoveryStarted], "committer_crashed,recovering"),
        (&[CommitterPanicked, RecoveryStarted, RecoveredClean], "committer_crashed"),
        (&[CommitterPanicked, RecoveryStarted, RecoveredClean, CrashAutoCleared], "ready"),
        (&[CommitterPanicked, RecoveryStarted, RecoveredClean, CLEAR], "ready"),
        (
            &[RecoveryStarted, CommitterPanicked, RecoveryStarted, RecoveredClean],
            "committer_crashed",
        ),
        (&[WriteUnknown], "write_unknown"),
        (&[WriteUnknown, RecoveryStarted, RecoveredClean], "write_unknown"),
        (&[WriteUnknown, CommitterPanicked, CrashAutoCleared], "write_unknown"),
        (&[CheckStarted(Sequencer)], "checking"),
        (&[CheckStarted(Sequencer), CheckStarted(Sequencer), CheckPassed(Sequencer)], "ready"),
        (&[CheckStarted(Sequencer), CheckStarted(Publisher), CheckPassed(Sequencer)], "checking"),
        (&[CheckStarted(Publisher), CheckFailed(Publisher, Fault::HeadMismatch)], "head_mismatch"),
        (&[CheckStarted(Sequencer), CheckFailed(Sequencer, Fault::Gap)], "gap"),
        (&[FaultFound(Fault::Gap)], "gap"),
        (&[FaultFound(Fault::Gap), CLEAR], "ready"),
        (&[FaultFound(Fault::Gap), FaultFound(Fault::HeadMismatch)], "head_mismatch,gap"),
        (&[OperatorEnter], "operator"),
        (&[OperatorEnter, OperatorEnter, CLEAR_UNVERIFIED], "ready"),
        (&[OperatorEnter, CheckStarted(Sequencer), CheckPassed(Sequencer)], "operator"),
        (&[OperatorEnter, CommitterPanicked, CLEAR], "ready"),
        (&[OperatorEnter, Freeze, CLEAR], "frozen"),
        (&[Freeze], "frozen"),
        (&[Freeze, Freeze, Unfreeze], "ready"),
        (&[MaintenanceOn, Freeze, MaintenanceOff], "frozen"),
        (&[MaintenanceOn, MaintenanceOn, MaintenanceOff], "ready"),
        (&[Drain, Drain], "draining"),
        (&[Drain, OperatorEnter, CLEAR], "draining"),
        (
            &[Drain, Freeze, MaintenanceOn, CommitterPanicked],
            "committer_crashed,draining,maintenance,frozen",
        ),
    ] {
        check(events, Ok(expected));
    }
}

#[test]
fn every_illegal_move_is_refused_with_its_reason() {
    for (events, illegal) in [
        (&[RecoveredClean][..], NotStanding("recovering")),
        (&[RecoveryFailed(Fault::Gap)], NotStanding("recovering")),
        (&[CrashAutoCleared], NotStanding("committer_crashed")),
        (&[CommitterPanicked, RecoveryStarted, CrashAutoCleared], Unfinished(R::Recovering)),
        (&[CheckPassed(Sequencer)], NotStanding("checking")),
        (&[CheckStarted(Sequencer), CheckPassed(Publisher)], NotStanding("checking")),
        (&[CheckFailed(Publisher, Fault::Gap)], NotStanding("checking")),
        (&[CLEAR], NotStanding("safe-mode")),
        (&[Freeze, CLEAR], NotStanding("safe-mode")),
        (&[CommitterPanicked, CLEAR_UNVERIFIED], NeedsVerification(R::CommitterCrashed)),
        (&[FaultFound(Fault::Gap), CLEAR_UNVERIFIED], NeedsVerification(R::Gap)),
        (&[FaultFound(Fault::HeadMismatch), CLEAR_UNVERIFIED], NeedsVerification(R::HeadMismatch)),
        (&[FaultFound(Fault::RollBack), CLEAR], NeedsRestart(R::RollBack)),
        (&[WriteUnknown, CLEAR], NeedsRestart(R::WriteUnknown)),
        (&[WriteUnknown, OperatorEnter, CLEAR], NeedsRestart(R::WriteUnknown)),
        (&[FaultFound(Fault::Gap), WriteUnknown, CLEAR_UNVERIFIED], NeedsRestart(R::WriteUnknown)),
        (&[RecoveryStarted, CLEAR], Unfinished(R::Recovering)),
        (&[CommitterPanicked, CheckStarted(Sequencer), CLEAR], Unfinished(R::Checking)),
        (&[Unfreeze], NotStanding("frozen")),
        (&[Drain, Unfreeze], NotStanding("frozen")),
        (&[MaintenanceOff], NotStanding("maintenance")),
    ] {
        check(events, Err(illegal));
    }
}

/// All events in every mode that few events reach: the rules that hold whatever the order.
#[test]
fn no_order_of_events_hides_a_reason_or_clears_it_by_another_way_out() {
    let faults = [Fault::RollBack, Fault::HeadMismatch, Fault::Gap];
    let mut events = vec![
        RecoveryStarted,
        RecoveredClean,
        CommitterPanicked,
        CrashAutoCleared,
        WriteUnknown,
        OperatorEnter,
        CLEAR,
        CLEAR_UNVERIFIED,
        Freeze,
        Unfreeze,
        MaintenanceOn,
        MaintenanceOff,
        IngressLock,
        IngressUnlock,
        Drain,
    ];
    for fault in faults {
        events.extend([RecoveryFailed(fault), FaultFound(fault)]);
        events.extend([Sequencer, Publisher].map(|checker| CheckFailed(checker, fault)));
    }
    events.extend([Sequencer, Publisher].map(CheckStarted));
    events.extend([Sequencer, Publisher].map(CheckPassed));
    let mut seen = vec![Mode::READY];
    let mut next = 0;
    while let Some(&before) = seen.get(next) {
        next += 1;
        for &event in &events {
            let Ok(after) = before.after(event) else { continue };
            let gone = before.reasons().filter(|&r| !after.reasons().any(|a| a == r));
            for reason in gone {
                let legal = match reason.way_out() {
                    WayOut::Restart => false,
                    WayOut::Clear => matches!(event, OperatorClear { .. }),
                    WayOut::VerifiedClear => {
                        event == CLEAR || event == CrashAutoCleared && reason == R::CommitterCrashed
                    }
                    WayOut::Automatic => matches!(
                        event,
                        RecoveredClean | RecoveryFailed(_) | CheckPassed(_) | CheckFailed(..)
                    ),
                };
                assert!(legal, "{before:?} {event:?} {after:?}");
            }
            assert!(after.is_draining() || !before.is_draining(), "a drain is for good");
            if !seen.contains(&after) {
                seen.push(after);
            }
        }
    }
    // 7 reasons apart from checking, 2 checkers, 4 flags: every mix can be reached, and no other.
    assert_eq!(seen.len(), 1 << 13);
}

#[test]
fn the_worst_reason_is_the_one_that_is_told() {
    let mut mode = Mode::READY;
    let worse_and_worse = [
        (CheckStarted(Publisher), R::Checking),
        (RecoveryStarted, R::Recovering),
        (OperatorEnter, R::Operator),
        (CommitterPanicked, R::CommitterCrashed),
        (WriteUnknown, R::WriteUnknown),
        (FaultFound(Fault::Gap), R::Gap),
        (FaultFound(Fault::HeadMismatch), R::HeadMismatch),
        (FaultFound(Fault::RollBack), R::RollBack),
    ];
    for (event, reason) in worse_and_worse {
        mode = mode.after(event).unwrap();
        assert_eq!((mode.safe_reason(), mode.bar()), (Some(reason), Some(Bar::Safe(reason))));
    }
    for (event, _) in worse_and_worse {
        mode = mode.after(event).unwrap();
        assert_eq!(mode.safe_reason(), Some(R::RollBack), "a lesser reason changes nothing");
    }
    assert!(mode.reasons().eq(R::ALL) && R::ALL.is_sorted());
    for (event, bar) in
        [(Freeze, Bar::Frozen), (MaintenanceOn, Bar::Maintenance), (Drain, Bar::Draining)]
    {
        mode = mode.after(event).unwrap();
        assert_eq!(mode.bar(), Some(bar));
    }
    assert_eq!(Mode::READY.bar(), None);
}

#[test]
fn a_locked_ingress_bars_the_network_alone_and_nothing_worse_is_hidden_by_it() {
    let locked = Mode::READY.after(IngressLock).unwrap();
    assert_eq!(locked.bar(), None);
    for peer in [Peer::Plain, Peer::Tls, Peer::Mtls] {
        assert_eq!(locked.bar_to(peer), Some(Bar::IngressLocked), "{peer}");
        assert_eq!(Mode::READY.bar_to(peer), None, "{peer}");
        assert_eq!(locked.after(Freeze).unwrap().bar_to(peer), Some(Bar::Frozen), "{peer}");
    }
    assert_eq!(locked.bar_to(Peer::Uds), None);
    assert_eq!(locked.after(Freeze).unwrap().bar_to(Peer::Uds), Some(Bar::Frozen));
    assert_eq!(locked.after(IngressUnlock), Ok(Mode::READY));
    assert_eq!(Mode::READY.after(IngressUnlock), Err(NotStanding("ingress_locked")));
}

#[test]
fn a_restart_of_the_process_remembers_what_it_cannot_settle_itself() {
    let everything = [
        CheckStarted(Sequencer),
        OperatorEnter,
        CommitterPanicked,
        WriteUnknown,
        Freeze,
        FaultFound(Fault::Gap),
        FaultFound(Fault::HeadMismatch),
        FaultFound(Fault::RollBack),
        MaintenanceOn,
        IngressLock,
        Drain,
    ];
    let before = everything.iter().fold(Mode::READY, |mode, &event| mode.after(event).unwrap());
    let after = Mode::at_start(before.memory()).unwrap();
    assert_eq!(
        after.to_string(),
        "head_mismatch,gap,operator,recovering,maintenance,frozen,ingress_locked"
    );
    assert_eq!(Mode::at_start([]).unwrap().to_string(), "recovering");
    // What does not outlive a process is not accepted from a file either.
    for name in ["", "ready", "draining", "write_unknown", "Frozen"] {
        assert_eq!(Mode::at_start([name]), Err(UnknownModeName), "{name}");
    }
}

#[tokio::test]
async fn the_cell_shows_a_move_to_all_and_a_refused_one_to_nobody() {
    let cell = ModeCell::new(Mode::at_start([]).unwrap());
    let (clone, mut watch) = (cell.clone(), cell.watch());
    assert_eq!(clone.apply(RecoveredClean), Ok(Mode::READY));
    assert_eq!((cell.get(), *watch.borrow_and_update()), (Mode::READY, Mode::READY));
    assert_eq!(cell.apply(Unfreeze), Err(NotStanding("frozen")));
    assert!(!watch.has_changed().unwrap() && cell.get() == Mode::READY);
    cell.apply(WriteUnknown).unwrap();
    assert!(watch.has_changed().unwrap());
    assert_eq!(watch.borrow_and_update().safe_reason(), Some(R::WriteUnknown));
    cell.apply(WriteUnknown).unwrap();
    assert!(!watch.has_changed().unwrap(), "the same again is no change");
    assert_eq!(clone.get().bar(), Some(Bar::Safe(R::WriteUnknown)));
}

#[test]
fn no_move_of_many_threads_is_lost() {
    let cell = ModeCell::new(Mode::READY);
    let pairs = [(Freeze, Unfreeze), (MaintenanceOn, MaintenanceOff), (IngressLock, IngressUnlock)];
    let checks =
        [Sequencer, Publisher].map(|checker| (CheckStarted(checker), CheckPassed(checker)));
    std::thread::scope(|scope| {
        for (on, off) in pairs.into_iter().chain(checks) {
            let cell = cell.clone();
            scope.spawn(move || {
                for _ in 0..1000 {
                    cell.apply(on).unwrap();
                    cell.apply(off).unwrap(); // fails if another thread's move took `on` back
                }
                cell.apply(on).unwrap();
            });
        }
    });
    assert_eq!(cell.get().to_string(), "checking,maintenance,frozen,ingress_locked");
    assert_eq!(*cell.watch().borrow(), cell.get());
}
