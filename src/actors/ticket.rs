//! What travels through the pipeline: a request with its reply, its share of the budget and one
//! deadline. It is answered once, by whoever ends it; one that a crash drops tells its client that
//! the outcome is unknown, by the closed channel.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::ages::Age;
use super::budget::Held;
use super::door::Seat;
use super::guard::Reservations;
use crate::accumulator::Hash;
use crate::capability::Peer;
use crate::ledger::entry::Entry;
use crate::ledger::plan::Outcome;
use crate::ledger::reason::Reject;
use crate::ledger::request::Request;
use crate::telemetry::{Stage, Trace};

/// The text of a bearer token. Wiped when dropped, never shown.
pub struct Bearer(Zeroizing<String>);

impl Bearer {
    /// Takes a copy of the text.
    pub fn new(text: &str) -> Self {
        Bearer(Zeroizing::new(text.to_owned()))
    }

    /// The text, for the verifier alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(..)")
    }
}

/// A request as it comes from the wire.
#[derive(Debug)]
pub struct Submission {
    /// Its entries, their KID not yet known.
    pub entries: Vec<Entry>,
    /// All or nothing.
    pub atomic: bool,
    /// By what right.
    pub token: Option<Bearer>,
    /// What it counts against the budget.
    pub body_bytes: usize,
    /// The same for two requests that are the same: body, token and kind of connection.
    pub fingerprint: [u8; 32],
    /// Over what kind of connection it came.
    pub peer: Peer,
    /// When its body was there.
    pub received: Instant,
}

/// What became of a request.
#[derive(Debug)]
pub enum Answer {
    /// Each entry was decided; what was committed is durable.
    Done {
        /// For each entry.
        outcomes: Vec<Outcome>,
        /// The root after the group.
        root: Hash,
        /// The size that the root is of.
        root_size: u64,
    },
    /// Nothing was decided and nothing was written, unless the reason says that it is unknown.
    Refused(Reject),
}

type Waiting = Vec<(oneshot::Sender<Arc<Answer>>, Held)>;

/// Those who wait for one answer: the first, and the twins that joined it.
#[derive(Default)]
pub(super) struct Waiters(Mutex<Option<Waiting>>);

impl Waiters {
    /// Adds one more; gives it back when the answer has been given already.
    pub(super) fn join(
        &self,
        sender: oneshot::Sender<Arc<Answer>>,
        held: Held,
    ) -> Result<(), (oneshot::Sender<Arc<Answer>>, Held)> {
        match self.0.lock().as_mut() {
            Some(waiting) => {
                waiting.push((sender, held));
                Ok(())
            }
            None => Err((sender, held)),
        }
    }
}

/// The duty to answer, and the trace to tell the way to the answer in. Dropping it without an answer
/// closes the channels, and leaves what the policy has counted for the request counted.
pub(super) struct Reply {
    waiters: Arc<Waiters>,
    reserved: Reservations,
    trace: Trace,
}

impl Reply {
    pub(super) fn new(sender: oneshot::Sender<Arc<Answer>>, held: Held, trace: Trace) -> Self {
        let waiters = Arc::new(Waiters(Mutex::new(Some(vec![(sender, held)]))));
        Reply { waiters, reserved: Reservations::default(), trace }
    }

    /// Takes over what the policy has counted for the request.
    pub(super) fn keep(&mut self, reserved: Reservations) {
        self.reserved = reserved;
    }

    pub(super) fn waiters(&self) -> Weak<Waiters> {
        Arc::downgrade(&self.waiters)
    }

    /// Of the request that came first; its twins have but their own request.
    pub(super) fn trace(&self) -> &Trace {
        &self.trace
    }

    pub(super) fn send(mut self, answer: Answer) {
        // First, so that a client that goes on at once finds its room.
        std::mem::take(&mut self.reserved).settle(&answer);
        let (answer, waiting) = (Arc::new(answer), self.waiters.0.lock().take());
        for (sender, held) in waiting.into_iter().flatten() {
            // First, so that a client that goes on at once finds its share free.
            drop(held);
            // A client that went away no longer wants to know.
            drop(sender.send(Arc::clone(&answer)));
        }
    }

    pub(super) fn refuse(self, reject: Reject) {
        self.send(Answer::Refused(reject));
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        drop(self.waiters.0.lock().take());
    }
}

/// At the front door.
pub(super) struct Arrival {
    pub(super) submission: Submission,
    pub(super) sender: oneshot::Sender<Arc<Answer>>,
    pub(super) held: Held,
    pub(super) trace: Trace,
}

/// Admitted, and not yet looked at.
pub(super) struct Admitted {
    pub(super) submission: Submission,
    pub(super) deadline: Instant,
    pub(super) reply: Reply,
}

/// Checked: what its capability, the policy and the wallet say is part of its items.
pub(super) struct Checked {
    pub(super) request: Request,
    pub(super) bytes: usize,
    pub(super) received: Instant,
    pub(super) deadline: Instant,
    pub(super) reply: Reply,
}

/// In the order of the ledger, with its seat at the sequencer's door until it is durable.
pub(super) struct Sequenced {
    pub(super) checked: Checked,
    pub(super) _seat: Seat,
    pub(super) _age: Age,
    /// Until the request is part of a group.
    pub(super) assigning: Stage,
}

impl Sequenced {
    pub(super) fn trace(&self) -> &Trace {
        self.checked.reply.trace()
    }

    /// The end of its way: frees its seat, before its client can know.
    pub(super) fn settle(self) -> Checked {
        self.checked
    }
}

/// A commit group.
pub(super) struct Group {
    pub(super) tickets: Vec<Sequenced>,
}
