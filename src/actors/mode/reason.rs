//! Why the ledger is in safe-mode, and how each reason leaves.

use std::fmt;

/// Why the ledger refuses writes, the worst first: what is wrong with the truth, then what is not
/// known of it, then what somebody wants, then what passes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SafeReason {
    /// The store is behind a checkpoint that was signed: truth was lost.
    RollBack,
    /// Recomputed roots do not agree with the recorded ones.
    HeadMismatch,
    /// A sequence number is missing.
    Gap,
    /// A write failed, and whether it is on the disk is not known.
    WriteUnknown,
    /// The committer panicked.
    CommitterCrashed,
    /// An operator asked for it.
    Operator,
    /// Head and tail are being verified after a start.
    Recovering,
    /// The sequencer or the root publisher checks itself against the head, or the witnesses are asked.
    Checking,
}

/// How a reason leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayOut {
    /// By itself, when what runs has passed.
    Automatic,
    /// By a start of the process that recovers cleanly, and by nothing before it.
    Restart,
    /// By an operator, after a verification that has passed.
    VerifiedClear,
    /// By an operator.
    Clear,
}

impl SafeReason {
    /// All reasons, the worst first.
    pub const ALL: [SafeReason; 8] = [
        SafeReason::RollBack,
        SafeReason::HeadMismatch,
        SafeReason::Gap,
        SafeReason::WriteUnknown,
        SafeReason::CommitterCrashed,
        SafeReason::Operator,
        SafeReason::Recovering,
        SafeReason::Checking,
    ];

    /// The stable name, as in `readyz`, in metrics and in the mode file.
    pub fn as_str(self) -> &'static str {
        match self {
            SafeReason::RollBack => "roll_back",
            SafeReason::HeadMismatch => "head_mismatch",
            SafeReason::Gap => "gap",
            SafeReason::WriteUnknown => "write_unknown",
            SafeReason::CommitterCrashed => "committer_crashed",
            SafeReason::Operator => "operator",
            SafeReason::Recovering => "recovering",
            SafeReason::Checking => "checking",
        }
    }

    /// How it leaves.
    pub fn way_out(self) -> WayOut {
        match self {
            SafeReason::Recovering | SafeReason::Checking => WayOut::Automatic,
            SafeReason::RollBack | SafeReason::WriteUnknown => WayOut::Restart,
            SafeReason::HeadMismatch | SafeReason::Gap | SafeReason::CommitterCrashed => {
                WayOut::VerifiedClear
            }
            SafeReason::Operator => WayOut::Clear,
        }
    }

    /// Whether a restart of the process must find it again in the mode file. The others are
    /// settled by the recovery at the start, which finds a roll-back anew each time.
    pub fn outlives_process(self) -> bool {
        matches!(self, SafeReason::HeadMismatch | SafeReason::Gap | SafeReason::Operator)
    }

    /// Whether what is stored is itself in doubt: a machine's verification alone does not end it.
    pub fn is_of_integrity(self) -> bool {
        matches!(self, SafeReason::HeadMismatch | SafeReason::Gap)
    }

    pub(super) const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for SafeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a check or a recovery can find wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// As [`SafeReason::RollBack`].
    RollBack,
    /// As [`SafeReason::HeadMismatch`].
    HeadMismatch,
    /// As [`SafeReason::Gap`].
    Gap,
}

impl Fault {
    pub(super) fn reason(self) -> SafeReason {
        match self {
            Fault::RollBack => SafeReason::RollBack,
            Fault::HeadMismatch => SafeReason::HeadMismatch,
            Fault::Gap => SafeReason::Gap,
        }
    }
}
