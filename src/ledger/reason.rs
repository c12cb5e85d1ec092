//! Why something was refused: one list, in order of precedence, for the wire, the metrics and the
//! documents alike.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// Every reason there is, in order of precedence: when several apply, the one that stands
        /// first here is given.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// All reasons, in order of precedence.
            pub const ALL: &[Reason] = &[$(Reason::$name,)+];

            /// The reason as it stands on the wire, in `rejected_total{reason}` and in the docs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$name => $text,)+ }
            }
        }
    };
}

reasons! {
    /// The body, the batch or a text in it is larger than the configured limit.
    TooLarge = "too_large",
    /// The request is malformed: not JSON, an unknown kind or field, a value out of range.
    UnknownKind = "unknown_kind",
    /// The process is shutting down and takes no new work.
    Draining = "draining",
    /// The operator has the service in maintenance.
    Maintenance = "maintenance",
    /// This node follows another one: only that one takes writes.
    Follower = "follower",
    /// The store is in doubt: writes are refused, reads go on.
    SafeMode = "safe_mode",
    /// The operator has frozen writes.
    Frozen = "frozen",
    /// The operator has closed the network to writes; the local socket takes them.
    IngressLocked = "ingress_locked",
    /// Free space is below the mark at which writes stop.
    DiskPressure = "disk_pressure",
    /// A queue or a budget is full. Try again after the given time.
    Busy = "busy",
    /// No token, or one that is not ours.
    Unauth = "unauth",
    /// The token is ours, and does not allow this.
    CapInvalid = "cap_invalid",
    /// A rule of the operator forbids it.
    PolicyDenied = "policy_denied",
    /// A service that has to be asked first does not answer.
    UpstreamUnavailable = "upstream_unavailable",
    /// The deadline passed. It does not mean "not committed": retry with the same ids.
    Timeout = "timeout",
    /// A debit or credit leg that is not part of a run that nets to zero.
    Unbalanced = "unbalanced",
    /// The id or the idempotency tuple is taken by other content, or the reference does not fit.
    Conflict = "conflict",
    /// The referenced entry does not exist.
    NotFound = "not_found",
    /// The referenced hold is closed, or the referenced entry was reversed before.
    AlreadyResolved = "already_resolved",
    /// The hold's time has passed.
    HoldExpired = "hold_expired",
    /// The referenced entry is of a kind that cannot be undone, or not all of its posting is.
    NotReversible = "not_reversible",
    /// A sum would exceed 2^128 - 1.
    Overflow = "overflow",
    /// The account, or the hold, has less than the amount.
    InsufficientFunds = "insufficient_funds",
    /// The configured bound of the store is reached.
    Capacity = "capacity",
    /// Another entry of the same unit was refused.
    AtomicAborted = "atomic_aborted",
    /// A crash took the answer, perhaps not the effect: retry with the same ids.
    OutcomeUnknown = "outcome_unknown",
    /// A fault of the service that has no better name.
    Internal = "internal",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A refusal: the reason, and a sentence for whoever has to mend it. The sentence never holds a
/// secret, nor a balance, which the writer may have no right to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub reason: Reason,
    /// What to look at, in words.
    pub details: std::borrow::Cow<'static, str>,
}

impl Reject {
    /// A refusal with its explanation.
    pub fn new(reason: Reason, details: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Reject { reason, details: details.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_snake_case_name() {
        let names: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(names.iter().all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }
}
