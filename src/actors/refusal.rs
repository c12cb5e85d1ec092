//! What the pipeline itself says no with. It counts none of it: whoever tells a client does.

use std::time::Instant;

use super::limits::too_many;
use super::mode::Bar;
use super::ticket::{Reply, Sequenced};
use crate::ledger::reason::{Reason, Reject};
use crate::storage::engine::{NoRoom, Resource, StoreError};
use crate::telemetry::{Metrics, Queue, RateScope};

/// Everything is taken; it soon will not be.
pub(super) fn busy() -> Reject {
    Reject::new(Reason::Busy, "the ledger has as much work as it can hold; try again soon")
}

/// Of a ticket whose time is over.
pub(super) fn timeout() -> Reject {
    Reject::new(Reason::Timeout, "the deadline passed before the request was committed")
}

/// Of a process that is about to end.
pub(super) fn draining() -> Reject {
    Reject::new(Reason::Draining, "the service is shutting down")
}

/// Of a node that takes none.
pub(super) fn follower() -> Reject {
    Reject::new(Reason::Follower, "this node follows another one: write to that one")
}

/// Why writes are barred, as their clients are told.
pub(super) fn reject_of(bar: Bar) -> Reject {
    match bar {
        Bar::Draining => draining(),
        Bar::Maintenance => Reject::new(Reason::Maintenance, "the service is in maintenance"),
        Bar::Frozen => Reject::new(Reason::Frozen, "an operator has frozen writes"),
        Bar::IngressLocked => Reject::new(
            Reason::IngressLocked,
            "an operator has closed the network to writes, the local socket takes them",
        ),
        Bar::Safe(why) => Reject::new(
            Reason::SafeMode,
            format!("writes are refused, reads go on; safe-mode: {}", why.as_str()),
        ),
    }
}

/// Why a store that wrote nothing wrote nothing.
pub(super) fn not_written(error: &StoreError) -> Reject {
    match error {
        StoreError::NoRoom(NoRoom { resource: Resource::Memory, .. }) => {
            Reject::new(Reason::Capacity, "the memory bound of this ledger is reached")
        }
        StoreError::NoRoom(NoRoom { resource: Resource::Disk, .. }) => disk_pressure(),
        StoreError::NoRoom(NoRoom { resource: Resource::DerivedLag, .. }) => busy(),
        _ => Reject::new(Reason::Internal, "the group was not written; nothing has changed"),
    }
}

/// The disk is beyond its second mark.
pub(super) fn disk_pressure() -> Reject {
    Reject::new(Reason::DiskPressure, "the store's file system is nearly full")
}

/// When a ticket's time is over, it is not worth more work.
pub(super) fn is_late(deadline: Instant) -> bool {
    Instant::now() >= deadline
}

/// The answer of a full queue.
pub(super) fn refuse_busy(metrics: &Metrics, queue: Queue, reply: Reply) {
    metrics.busy_rejections.of(queue).inc();
    reply.refuse(busy());
}

/// The answer to a request above a rate.
pub(super) fn refuse_rate(metrics: &Metrics, scope: RateScope, reply: Reply) {
    metrics.rate_limited.of(scope).inc();
    metrics.busy_rejections.of(Queue::Ingress).inc();
    reply.refuse(too_many(scope));
}

/// The same answer to all of them.
pub(super) fn refuse_all(tickets: Vec<Sequenced>, reject: &Reject) {
    for ticket in tickets {
        ticket.settle().reply.refuse(reject.clone());
    }
}
