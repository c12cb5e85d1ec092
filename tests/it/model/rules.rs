//! What must hold in every state, and what must happen in some, so that nothing holds for want of
//! anything happening.

use ron_ledger::actors::mode::SafeReason;

use super::Pipeline;
use super::state::{Committer, State};

type Rule = (&'static str, fn(&Pipeline, &State) -> bool);

pub const ONE_WRITER: &str = "nobody holds the right to write beside another";
pub const ID_ONCE: &str = "no id is in the log twice";
pub const NO_GAP: &str = "seqs are without a gap";
pub const TOLD_IS_DURABLE: &str = "whatever was told is durable at its seq";
pub const TOLD_ONCE: &str = "nobody is told two seqs for an id";
pub const SHOWN_IS_DURABLE: &str = "the log has every root that was shown";
pub const SHOWN_GROWS: &str = "what is shown never goes back";
pub const NOTE_IS_DURABLE: &str = "no note speaks of more than the durable log";
pub const READ_IS_DURABLE: &str = "readers see nothing that is not durable";
pub const SAFE_MODE_BARS: &str = "no group is begun while safe-mode stands";
pub const IN_HAND: &str = "no group is in hand while the committer's own reasons stand";
pub const NO_FALSE_ALARM: &str = "no truth is called lost while none is";
pub const MODE_FITS: &str = "no actor asks the mode for an illegal move";
pub const READY_IS_OPEN: &str =
    "writes pass only where a writer, a checked publisher and readers are";

/// Always.
pub const ALWAYS: &[Rule] = &[
    (ONE_WRITER, |_, state| {
        let process = &state.process;
        !(process.committer.has_writer() && process.other.is_some())
    }),
    (ID_ONCE, |_, state| {
        let mut seen = 0u32;
        state.log.visible.ids().all(|id| {
            let is_new = seen & 1 << id == 0;
            seen |= 1 << id;
            is_new
        })
    }),
    (NO_GAP, |_, state| !state.log.visible.has_gap() && !state.log.durable.has_gap()),
    (TOLD_IS_DURABLE, |_, state| {
        let told = state.memory.told.into_iter().enumerate().filter(|&(_, seq)| seq != 0);
        told.into_iter().all(|(id, seq)| state.log.durable.has_at(seq, id as u8))
    }),
    (TOLD_ONCE, |_, state| !state.memory.contradicted),
    (SHOWN_IS_DURABLE, |_, state| state.log.durable.bears(&state.memory.shown)),
    (SHOWN_GROWS, |_, state| !state.memory.went_back),
    (NOTE_IS_DURABLE, |_, state| {
        [state.note.visible, state.note.durable].iter().all(|note| state.log.durable.bears(note))
    }),
    (READ_IS_DURABLE, |_, state| state.log.durable.bears(&state.process.overlay)),
    (SAFE_MODE_BARS, |_, state| !state.memory.begun_in_safe_mode),
    (IN_HAND, |_, state| {
        let mut own = state.process.mode.reasons().filter(|why| {
            matches!(
                why,
                SafeReason::WriteUnknown | SafeReason::CommitterCrashed | SafeReason::Recovering
            )
        });
        state.process.committer.group().is_none() || own.next().is_none()
    }),
    (NO_FALSE_ALARM, |_, state| {
        let mut lost = state.process.mode.reasons().filter(|why| {
            matches!(why, SafeReason::RollBack | SafeReason::HeadMismatch | SafeReason::Gap)
        });
        lost.next().is_none()
    }),
    (MODE_FITS, |_, state| !state.memory.misfit),
    (READY_IS_OPEN, |_, state| {
        let process = &state.process;
        process.mode.bar().is_some()
            || process.committer.has_writer()
                && process.is_open
                && process.newest.is_some()
                && process.publisher.is_checked()
    }),
];

/// In some state of every model.
pub const SOMETIMES: &[Rule] = &[
    ("all is told, signed and at rest", is_at_rest),
    ("a group is as large as it may be", |model, state| {
        let most = model.group_max.min(model.inflight_max);
        state.process.committer.group().is_some_and(|group| group.tickets.len() == most)
    }),
    ("a recovery finds what only the page cache has", |_, state| {
        let found = Committer::Verified(state.log.visible);
        state.log.visible != state.log.durable && state.process.committer == found
    }),
    ("a start finds a note whose name may not last", |_, state| {
        state.note.visible != state.note.durable && state.process.shown.is_none()
    }),
    ("what was never told is durable", |_, state| {
        state.log.durable.ids().any(|id| state.memory.told[usize::from(id)] == 0)
    }),
    ("a group waits while safe-mode stands", |_, state| {
        !state.process.door.is_empty() && state.process.mode.safe_reason().is_some()
    }),
    ("write_unknown and committer_crashed stand together", |_, state| {
        let has = |reason| state.process.mode.reasons().any(|why| why == reason);
        has(SafeReason::WriteUnknown) && has(SafeReason::CommitterCrashed)
    }),
];

/// Writes pass, every request has its seq, nothing is on its way, and the whole log is signed.
pub fn is_at_rest(model: &Pipeline, state: &State) -> bool {
    let process = &state.process;
    let told = |&id: &u8| state.memory.told[usize::from(id)] != 0;
    process.mode.bar().is_none()
        && process.committer == Committer::Idle
        && process.tickets().next().is_none()
        && model.clients.iter().all(told)
        && process.shown == Some(state.log.durable)
        && state.note.durable == state.log.durable
}
