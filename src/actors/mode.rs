//! The ledger's mode, and the one place that knows its legal moves.
//!
//! Writes pass when no reason for safe-mode stands and the ledger is neither frozen nor draining
//! nor under maintenance. Reasons are a set: a lesser one never hides a worse one, and each leaves
//! only by its own way out ([`SafeReason::way_out`]). Starting what already stands is no move;
//! ending what does not stand is illegal. Reads go on in every mode.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::watch;

use crate::capability::Peer;

mod file;
mod reason;

pub use file::{ModeFile, ModeFileError};
pub use reason::{Fault, SafeReason, WayOut};

/// Who checks itself after a restart, or at the start; several may do so at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checker {
    /// The sequencer.
    Sequencer,
    /// The root publisher.
    Publisher,
    /// The witnesses are asked what they have seen.
    Witnesses,
    /// The archive is asked what it has.
    Archive,
}

impl Checker {
    const fn bit(self) -> u32 {
        match self {
            Checker::Sequencer => 1 << 8,
            Checker::Publisher => 1 << 9,
            Checker::Witnesses => 1 << 10,
            Checker::Archive => 1 << 11,
        }
    }
}

/// All that can move the mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The committer begins to verify head and tail: at the start, and after each of its crashes.
    RecoveryStarted,
    /// They are verified. Does not clear a crash.
    RecoveredClean,
    /// They are not, and this is why.
    RecoveryFailed(Fault),
    /// The committer's life ended by a panic.
    CommitterPanicked,
    /// Configuration allows a crash to be cleared without an operator, and its recovery was clean.
    CrashAutoCleared,
    /// A write came back with an error after the store was asked to write.
    WriteUnknown,
    /// A restarted actor begins its own check against the head.
    CheckStarted(Checker),
    /// It has passed.
    CheckPassed(Checker),
    /// It has not.
    CheckFailed(Checker, Fault),
    /// Found by whoever looked: an export, a verification, the archive.
    FaultFound(Fault),
    /// `safe-mode enter`.
    OperatorEnter,
    /// `safe-mode clear`.
    OperatorClear {
        /// Whether a verification of head and tail has passed for this command.
        verified: bool,
    },
    /// New writes are refused until `Unfreeze`; what is queued is committed.
    Freeze,
    /// Takes the freeze back.
    Unfreeze,
    /// As `Freeze`, with another answer to clients.
    MaintenanceOn,
    /// Takes it back.
    MaintenanceOff,
    /// New writes are taken over the local socket alone, until `IngressUnlock`.
    IngressLock,
    /// Takes it back.
    IngressUnlock,
    /// The process is to end. Nothing takes it back.
    Drain,
}

/// The event does not fit the mode, which stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IllegalMove {
    /// It would end what does not stand.
    #[error("{0} does not stand, there is nothing to end")]
    NotStanding(&'static str),
    /// Only a start that recovers cleanly ends it.
    #[error("safe-mode {0} cannot be cleared in this process, restart it and let it recover")]
    NeedsRestart(SafeReason),
    /// A verification must pass first.
    #[error("safe-mode {0} cannot be cleared before head and tail are verified")]
    NeedsVerification(SafeReason),
    /// Nobody has said that the ledger was looked at.
    #[error("safe-mode {0} needs an operator who has verified the ledger and says so")]
    NeedsWord(SafeReason),
    /// Something still runs and ends it by itself.
    #[error("safe-mode {0} ends by itself, wait until it has passed")]
    Unfinished(SafeReason),
}

/// What bars a write, as clients are told. In the order in which it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// The process is about to end.
    Draining,
    /// Under maintenance.
    Maintenance,
    /// Frozen by an operator.
    Frozen,
    /// In safe-mode; the worst reason.
    Safe(SafeReason),
    /// Come over the network, while writes are taken over the local socket alone.
    IngressLocked,
}

const FROZEN: u32 = 1 << 16;
const MAINTENANCE: u32 = 1 << 17;
const DRAINING: u32 = 1 << 18;
const INGRESS_LOCKED: u32 = 1 << 19;
const CHECKERS: u32 = Checker::Sequencer.bit()
    | Checker::Publisher.bit()
    | Checker::Witnesses.bit()
    | Checker::Archive.bit();

/// One moment's mode: a small value, copied freely.
///
/// Bits: one a reason, the worst lowest; one a checker; one a flag. The reason `Checking` stands
/// exactly when a checker's bit does.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mode(u32);

impl Mode {
    /// A mode in which writes pass.
    pub const READY: Mode = Mode(0);

    /// The mode of a process that begins: recovering, and whatever [`Mode::memory`] wrote down.
    /// An unknown name is an error: a mode file that cannot be read opens nothing.
    pub fn at_start<'a>(
        remembered: impl IntoIterator<Item = &'a str>,
    ) -> Result<Mode, UnknownModeName> {
        let mut mode = Mode::READY.with(SafeReason::Recovering.bit());
        for name in remembered {
            let known = Mode::remembered_bits().find(|&(known, _)| known == name);
            mode = mode.with(known.ok_or(UnknownModeName)?.1);
        }
        Ok(mode)
    }

    /// The mode of a process that cannot tell what it was told to remember: somebody has to look.
    pub fn in_doubt() -> Mode {
        Mode::READY.with(SafeReason::Recovering.bit()).with(SafeReason::Operator.bit())
    }

    /// The names of what a restart of the process must find again.
    pub fn memory(self) -> impl Iterator<Item = &'static str> {
        Mode::remembered_bits().filter(move |&(_, bit)| self.has(bit)).map(|(name, _)| name)
    }

    /// The mode after the event, or why there is none.
    pub fn after(self, event: Event) -> Result<Mode, IllegalMove> {
        use SafeReason as R;
        Ok(match event {
            Event::RecoveryStarted => self.with(R::Recovering.bit()),
            Event::RecoveredClean => self.ending(R::Recovering)?,
            Event::RecoveryFailed(fault) => self.ending(R::Recovering)?.with(fault.reason().bit()),
            Event::CommitterPanicked => self.with(R::CommitterCrashed.bit()),
            Event::CrashAutoCleared if self.has(R::Recovering.bit()) => {
                return Err(IllegalMove::Unfinished(R::Recovering));
            }
            Event::CrashAutoCleared => self.ending(R::CommitterCrashed)?,
            Event::WriteUnknown => self.with(R::WriteUnknown.bit()),
            Event::CheckStarted(checker) => self.with(checker.bit()).with(R::Checking.bit()),
            Event::CheckPassed(checker) => self.checked(checker)?,
            Event::CheckFailed(checker, fault) => self.checked(checker)?.with(fault.reason().bit()),
            Event::FaultFound(fault) => self.with(fault.reason().bit()),
            Event::OperatorEnter => self.with(R::Operator.bit()),
            Event::OperatorClear { verified } => self.cleared(verified)?,
            Event::Freeze => self.with(FROZEN),
            Event::Unfreeze => self.without(FROZEN, "frozen")?,
            Event::MaintenanceOn => self.with(MAINTENANCE),
            Event::MaintenanceOff => self.without(MAINTENANCE, "maintenance")?,
            Event::IngressLock => self.with(INGRESS_LOCKED),
            Event::IngressUnlock => self.without(INGRESS_LOCKED, "ingress_locked")?,
            Event::Drain => self.with(DRAINING),
        })
    }

    /// What bars new writes at the front door, however they come.
    pub fn bar(self) -> Option<Bar> {
        let flag = |bit, bar| self.has(bit).then_some(bar);
        flag(DRAINING, Bar::Draining)
            .or_else(|| flag(MAINTENANCE, Bar::Maintenance))
            .or_else(|| flag(FROZEN, Bar::Frozen))
            .or_else(|| self.safe_reason().map(Bar::Safe))
    }

    /// What bars a new write that comes over this kind of connection.
    pub fn bar_to(self, peer: Peer) -> Option<Bar> {
        let is_locked_out = self.is_ingress_locked() && peer != Peer::Uds;
        self.bar().or(is_locked_out.then_some(Bar::IngressLocked))
    }

    /// The worst reason for safe-mode, which also bars what is already queued.
    pub fn safe_reason(self) -> Option<SafeReason> {
        self.reasons().next()
    }

    /// All reasons for safe-mode, the worst first.
    pub fn reasons(self) -> impl Iterator<Item = SafeReason> {
        SafeReason::ALL.into_iter().filter(move |reason| self.has(reason.bit()))
    }

    /// Whether new writes are refused until an operator unfreezes.
    pub fn is_frozen(self) -> bool {
        self.has(FROZEN)
    }

    /// Whether the ledger is under maintenance.
    pub fn is_under_maintenance(self) -> bool {
        self.has(MAINTENANCE)
    }

    /// Whether new writes are taken over the local socket alone.
    pub fn is_ingress_locked(self) -> bool {
        self.has(INGRESS_LOCKED)
    }

    /// Whether the process is about to end.
    pub fn is_draining(self) -> bool {
        self.has(DRAINING)
    }

    /// All or nothing: an operator who clears ends every reason that stands, or learns which one
    /// is in the way. What needs a restart is named before what needs patience.
    fn cleared(self, verified: bool) -> Result<Mode, IllegalMove> {
        let obstacle = |reason: SafeReason| match reason.way_out() {
            WayOut::Restart => Some(IllegalMove::NeedsRestart(reason)),
            WayOut::Automatic => Some(IllegalMove::Unfinished(reason)),
            WayOut::VerifiedClear if !verified => Some(IllegalMove::NeedsVerification(reason)),
            WayOut::VerifiedClear | WayOut::Clear => None,
        };
        let rank = |illegal: &IllegalMove| match illegal {
            IllegalMove::NeedsRestart(_) => 0,
            IllegalMove::Unfinished(_) => 1,
            IllegalMove::NeedsVerification(_)
            | IllegalMove::NeedsWord(_)
            | IllegalMove::NotStanding(_) => 2,
        };
        if self.safe_reason().is_none() {
            return Err(IllegalMove::NotStanding("safe-mode"));
        }
        match self.reasons().filter_map(obstacle).min_by_key(rank) {
            Some(illegal) => Err(illegal),
            None => Ok(self.reasons().fold(self, |mode, reason| Mode(mode.0 & !reason.bit()))),
        }
    }

    fn checked(self, checker: Checker) -> Result<Mode, IllegalMove> {
        let mode = self.without(checker.bit(), SafeReason::Checking.as_str())?;
        if mode.has(CHECKERS) { Ok(mode) } else { mode.ending(SafeReason::Checking) }
    }

    fn ending(self, reason: SafeReason) -> Result<Mode, IllegalMove> {
        self.without(reason.bit(), reason.as_str())
    }

    fn without(self, bit: u32, name: &'static str) -> Result<Mode, IllegalMove> {
        if self.has(bit) { Ok(Mode(self.0 & !bit)) } else { Err(IllegalMove::NotStanding(name)) }
    }

    const fn with(self, bit: u32) -> Mode {
        Mode(self.0 | bit)
    }

    /// Whether any of the bits is set.
    const fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    fn remembered_bits() -> impl Iterator<Item = (&'static str, u32)> {
        let outlives = |reason: &SafeReason| reason.outlives_process();
        let reasons = SafeReason::ALL.into_iter().filter(outlives);
        let flags =
            [("frozen", FROZEN), ("maintenance", MAINTENANCE), ("ingress_locked", INGRESS_LOCKED)];
        reasons.map(|reason| (reason.as_str(), reason.bit())).chain(flags)
    }
}

/// `ready`, or all that stands, the worst first.
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [
            (DRAINING, "draining"),
            (MAINTENANCE, "maintenance"),
            (FROZEN, "frozen"),
            (INGRESS_LOCKED, "ingress_locked"),
        ];
        let flags = flags.into_iter().filter(|&(bit, _)| self.has(bit)).map(|(_, name)| name);
        let names: Vec<_> = self.reasons().map(SafeReason::as_str).chain(flags).collect();
        if names.is_empty() { f.write_str("ready") } else { f.write_str(&names.join(",")) }
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mode({self})")
    }
}

/// The mode file names what this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the mode file holds an unknown name, it was written by another version or is damaged")]
pub struct UnknownModeName;

/// The mode that all parts share. Clones are the same cell.
#[derive(Clone)]
pub struct ModeCell(Arc<Shared>);

struct Shared {
    /// For hot paths; follows `publish` inside its lock.
    now: AtomicU32,
    publish: watch::Sender<Mode>,
    /// Where it is remembered, if anywhere.
    file: Option<Mutex<ModeFile>>,
}

impl ModeCell {
    /// A cell in the given mode.
    pub fn new(mode: Mode) -> Self {
        Self::of(mode, None)
    }

    /// A cell that writes down what a restart must find again.
    pub fn kept(mode: Mode, file: ModeFile) -> Self {
        Self::of(mode, Some(Mutex::new(file)))
    }

    fn of(mode: Mode, file: Option<Mutex<ModeFile>>) -> Self {
        let (now, publish) = (AtomicU32::new(mode.0), watch::Sender::new(mode));
        ModeCell(Arc::new(Shared { now, publish, file }))
    }

    /// One atomic load.
    pub fn get(&self) -> Mode {
        Mode(self.0.now.load(Ordering::Acquire))
    }

    /// Makes the move, for all to see and written down before this returns; or none.
    pub fn apply(&self, event: Event) -> Result<Mode, IllegalMove> {
        let mut outcome = Ok(Mode::READY);
        self.0.publish.send_if_modified(|mode| {
            let before = *mode;
            outcome = before.after(event);
            let Ok(after) = outcome else { return false };
            self.0.now.store(after.0, Ordering::Release);
            *mode = after;
            self.remember(before, after);
            before != after
        });
        match outcome {
            Ok(mode) => tracing::info!(?event, %mode, "mode event"),
            Err(error) => tracing::warn!(?event, %error, "mode event refused"),
        }
        outcome
    }

    /// Inside the lock, so that the file has the moves in their order.
    fn remember(&self, before: Mode, after: Mode) {
        let Some(file) = &self.0.file else { return };
        if before.memory().eq(after.memory()) {
            return;
        }
        // The mode stands all the same; only a restart would not know of it.
        if let Err(error) = file.lock().keep(after) {
            tracing::error!(%error, mode = %after, "the mode could not be written down");
        }
    }

    /// Every change from now on; the value at hand is the current one.
    pub fn watch(&self) -> watch::Receiver<Mode> {
        self.0.publish.subscribe()
    }
}

#[cfg(test)]
mod tests;
