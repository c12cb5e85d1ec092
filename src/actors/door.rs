//! The one way into an actor: bounded by seats, not by the mailbox.
//!
//! actix counts capacity per address handle, so a cloned `Addr` has none (`tests/it/actix_facts`).
//! A seat is a semaphore permit that travels inside the message. It comes back when the message is
//! dropped: handled, refused, lost in a panic or left in a closed mailbox, it is all the same.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use actix::{dev::SendError, prelude::*};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Counts what an actor has got done; an observer only asks whether it moved.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Says "still moving", for work that is long and frees no seat meanwhile.
    pub fn bump(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The count so far; it wraps in theory and is compared for equality only.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a door is, apart from the actor's type: shared by doors, seats, places and the supervisor.
#[derive(Debug)]
pub(super) struct Gate {
    name: &'static str,
    total: u32,
    seats: Arc<Semaphore>,
    open: AtomicBool,
    /// Wakes those who wait in `reserve`, so that they do not wait for a seat of a closed door.
    closing: Notify,
    /// Seats inside messages. Neither a reserved place nor a drain counts: nothing waits there.
    depth: AtomicUsize,
    progress: Progress,
}

impl Gate {
    pub(super) fn new(name: &'static str, seats: u32) -> Arc<Self> {
        assert!(seats > 0, "a door without seats refuses everything");
        Arc::new(Gate {
            name,
            total: seats,
            seats: Arc::new(Semaphore::new(seats as usize)),
            open: AtomicBool::new(true),
            closing: Notify::new(),
            depth: AtomicUsize::new(0),
            progress: Progress::default(),
        })
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn capacity(&self) -> usize {
        self.total as usize
    }

    pub(super) fn depth(&self) -> usize {
        self.depth.load(Ordering::Acquire)
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(super) fn close(&self) {
        self.open.store(false, Ordering::Release);
        self.closing.notify_waiters();
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// One more than the seats. A handle parks when its push reaches the capacity, and a parked
    /// handle refuses although a seat may be free again. With one to spare it never parks, so
    /// `try_send` fails only on a closed mailbox and the declared bound is still a bound.
    pub(super) fn mailbox_capacity(&self) -> usize {
        self.capacity() + 1
    }
}

/// Right to be one of the messages that an actor has accepted and not finished. Freed by drop, and
/// free to travel on inside a ticket, so that work counts at its front door until it is answered.
#[derive(Debug)]
pub struct Seat {
    gate: Arc<Gate>,
    // Dropped after the body of `drop`, so `depth` never shows more than the seats.
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    fn new(gate: Arc<Gate>, permit: OwnedSemaphorePermit) -> Self {
        gate.depth.fetch_add(1, Ordering::AcqRel);
        Seat { gate, _permit: permit }
    }

    /// The progress of the actor whose door gave this seat.
    pub fn progress(&self) -> &Progress {
        self.gate.progress()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.gate.progress.bump();
        self.gate.depth.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a handler receives. A handler that goes on in a future moves `seat` into it, so that work
/// counts as long as it lasts; a handler that answers at once just lets it drop.
pub struct Seated<M> {
    /// The message; its reply channel rides inside.
    pub msg: M,
    /// The place that it takes.
    pub seat: Seat,
}

impl<M: 'static> Message for Seated<M> {
    /// Replies ride inside `M` as a `oneshot::Sender`: `Addr::send` is not used anywhere.
    type Result = ();
}

/// The message comes back with the reason; nothing is ever lost silently at the door.
#[derive(PartialEq, Eq)]
pub enum Refused<M> {
    /// Every seat is taken. Try later.
    Full(M),
    /// Draining, stopped for good, or dead. Do not try again.
    Closed(M),
}

impl<M> Refused<M> {
    /// The message that was not taken.
    pub fn into_inner(self) -> M {
        match self {
            Refused::Full(msg) | Refused::Closed(msg) => msg,
        }
    }
}

// By hand: messages carry what must not be printed.
impl<M> fmt::Debug for Refused<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Full(_) => "Full",
            Refused::Closed(_) => "Closed",
        })
    }
}

/// The way in. Clones share the seats; the address itself is never handed out, since whoever holds
/// it can go round them.
pub struct Door<A: Actor> {
    addr: Addr<A>,
    gate: Arc<Gate>,
}

impl<A: Actor<Context = Context<A>>> Door<A> {
    /// `addr` must lead to a mailbox of capacity [`Gate::mailbox_capacity`].
    pub(super) fn new(addr: Addr<A>, gate: Arc<Gate>) -> Self {
        Door { addr, gate }
    }

    /// Takes a seat and sends. Never waits, never exceeds the seats.
    pub fn offer<M>(&self, msg: M) -> Result<(), Refused<M>>
    where
        A: Handler<Seated<M>>,
        M: Send + 'static,
    {
        let permit = Arc::clone(&self.gate.seats).try_acquire_owned();
        // Looked at after the permit is held: an offer either holds its seat before `drain` has
        // them all, and is waited for, or it comes after that and sees the door closed.
        if !self.gate.is_open() {
            return Err(Refused::Closed(msg));
        }
        match permit {
            Ok(permit) => send(&self.addr, Seat::new(Arc::clone(&self.gate), permit), msg),
            Err(_) if !self.addr.connected() => Err(Refused::Closed(msg)),
            Err(_) => Err(Refused::Full(msg)),
        }
    }

    /// Waits for a free seat, first come first served, and keeps it for a message that is yet to
    /// be made. None when the door is closed or closes meanwhile. Dropping the future gives up the
    /// turn.
    pub async fn reserve(&self) -> Option<Place<A>> {
        // Made before the look at `open`: a close in between is not missed.
        let closing = self.gate.closing.notified();
        if !self.is_open() {
            return None;
        }
        let permit = tokio::select! {
            biased;
            () = closing => return None,
            permit = Arc::clone(&self.gate.seats).acquire_owned() => permit.ok()?,
        };
        self.is_open().then(|| Place { door: self.clone(), permit })
    }

    /// The actor's name, as in metrics and logs.
    pub fn name(&self) -> &'static str {
        self.gate.name()
    }

    /// How many seats there are.
    pub fn capacity(&self) -> usize {
        self.gate.capacity()
    }

    /// Messages queued, in hand, or carried on in futures and tickets; never above the capacity.
    pub fn depth(&self) -> usize {
        self.gate.depth()
    }

    /// Seats that nobody holds at this moment, not even as a reserved place.
    pub fn free(&self) -> usize {
        self.gate.seats.available_permits()
    }

    /// What the actor has got done: moves with every seat that is freed.
    pub fn progress(&self) -> &Progress {
        self.gate.progress()
    }

    /// Neither closed nor in front of an actor that is gone. A crashed one that will be back is
    /// open: messages wait for it.
    pub fn is_open(&self) -> bool {
        self.gate.is_open() && self.addr.connected()
    }

    /// Refuses from now on, for good. What is inside, and what holds a place, goes on.
    pub fn close(&self) {
        self.gate.close();
    }

    /// Closes, and returns when every accepted message is finished or dropped and every reserved
    /// place is used and done with, or given back.
    /// Waits as long as the actor needs: give it a deadline. May be called twice or cancelled.
    pub async fn drain(&self) {
        self.close();
        // Err means the semaphore was closed; nobody closes it.
        drop(self.gate.seats.acquire_many(self.gate.total).await);
    }
}

// By hand: derive would ask for `A: Clone`.
impl<A: Actor> Clone for Door<A> {
    fn clone(&self) -> Self {
        Door { addr: self.addr.clone(), gate: Arc::clone(&self.gate) }
    }
}

/// A seat that is kept free for its holder. It stays good over a crash of the actor and after the
/// door has closed; only the actor's end makes it worthless. Freed by drop.
pub struct Place<A: Actor> {
    door: Door<A>,
    permit: OwnedSemaphorePermit,
}

impl<A: Actor<Context = Context<A>>> Place<A> {
    /// Sends without asking for room. Refused only as [`Refused::Closed`], when the actor is gone.
    pub fn offer<M>(self, msg: M) -> Result<(), Refused<M>>
    where
        A: Handler<Seated<M>>,
        M: Send + 'static,
    {
        let Place { door, permit } = self;
        let seat = Seat::new(Arc::clone(&door.gate), permit);
        send(&door.addr, seat, msg)
    }
}

/// Not `do_send`: that drops the message in silence when the mailbox is closed.
fn send<A, M>(addr: &Addr<A>, seat: Seat, msg: M) -> Result<(), Refused<M>>
where
    A: Actor<Context = Context<A>> + Handler<Seated<M>>,
    M: Send + 'static,
{
    addr.try_send(Seated { msg, seat }).map_err(|error| match error {
        SendError::Full(back) => Refused::Full(back.msg),
        SendError::Closed(back) => Refused::Closed(back.msg),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_says_why_and_not_what() {
        assert_eq!(format!("{:?}", Refused::Full("secret")), "Full");
        assert_eq!(format!("{:?}", Refused::Closed("secret")), "Closed");
    }
}
