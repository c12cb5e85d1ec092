//! Named points of the actors, where tests plant a panic and drills kill the process.
//!
//! In production a [`Probe`] is empty and a hit costs one branch. An armed one acts at the n-th hit
//! of its point, once. Points are passed, not global, so tests in one process do not meet.

use std::{fmt, str::FromStr, sync::Arc};

use parking_lot::Mutex;

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)+) => {
        /// Where an actor can be struck.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Point { $($(#[$doc])* $point,)+ }

        impl Point {
            /// All of them, in the order in which a batch passes.
            pub const ALL: &[Point] = &[$(Point::$point,)+];

            /// The name by which a drill asks for it.
            pub fn as_str(self) -> &'static str {
                match self { $(Point::$point => $name,)+ }
            }
        }
    };
}

points! {
    /// The ingress has taken a request in hand.
    IngressHandle = "ingress_handle",
    /// A prevalidator has taken a ticket in hand.
    PrevalidatorHandle = "prevalidator_handle",
    /// What a prevalidator has asked a service is answered, or is not to be.
    PrevalidatorAnswered = "prevalidator_answered",
    /// The sequencer begins a life, before its check against the head.
    SequencerStarted = "sequencer_started",
    /// The sequencer has taken a ticket in hand.
    SequencerHandle = "sequencer_handle",
    /// The sequencer has closed a group and not handed it over.
    SequencerClose = "sequencer_close",
    /// The committer begins a life, before its recovery.
    CommitterStarted = "committer_started",
    /// The committer's timer has come round, for the disk and for holds that are due.
    CommitterTick = "committer_tick",
    /// The committer has a group in hand and nothing decided.
    CommitBeforePlan = "commit_before_plan",
    /// The group is decided and encoded; nothing is on the disk.
    CommitBeforeWrite = "commit_before_write",
    /// The group is durable; memory does not know it yet.
    CommitAfterWrite = "commit_after_write",
    /// The write's outcome is checked; the head, the overlay and the cache are about to move.
    CommitBeforeApply = "commit_before_apply",
    /// Memory has moved; no ticket is answered yet.
    CommitBeforeReply = "commit_before_reply",
    /// The publisher begins a life, before its check against the head.
    PublisherStarted = "publisher_started",
    /// The publisher has a durable head in hand.
    PublisherHandle = "publisher_handle",
    /// The publisher's timer has come round: the pause after the last root is over.
    PublisherTimer = "publisher_timer",
    /// Nothing is signed yet.
    PublisherBeforeSign = "publisher_before_sign",
    /// The note is signed and not on the disk.
    PublisherBeforeDurable = "publisher_before_durable",
    /// The note is on the disk and nobody has seen it.
    PublisherAfterDurable = "publisher_after_durable",
    /// The admin has an order in hand.
    AdminHandle = "admin_handle",
    /// The witnesses' actor begins a life.
    WitnessesStarted = "witnesses_started",
    /// Its timer has come round.
    WitnessesTimer = "witnesses_timer",
    /// The answers of a round are there, and nothing follows from them yet.
    WitnessesAnswered = "witnesses_answered",
    /// The verifier begins a life.
    VerifierStarted = "verifier_started",
    /// Its timer has come round, and a part of the store is to be read again.
    VerifierStep = "verifier_step",
    /// The archiver begins a life.
    ArchiverStarted = "archiver_started",
    /// Its timer has come round.
    ArchiverTimer = "archiver_timer",
    /// A round with the archive has ended, and nothing follows from it yet.
    ArchiverAnswered = "archiver_answered",
    /// The follower begins a life.
    FollowerStarted = "follower_started",
    /// Its timer has come round.
    FollowerTimer = "follower_timer",
    /// A segment of the archive was read, and nothing of it is taken yet.
    FollowerAnswered = "follower_answered",
    /// A breaker begins a life, before it follows the state that it published.
    BreakerStarted = "breaker_started",
    /// A breaker has a report in hand.
    BreakerHandle = "breaker_handle",
    /// The prober begins a life.
    ProberStarted = "prober_started",
    /// Its timer has come round.
    ProberTimer = "prober_timer",
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no point of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown point, `commit_before_write` is an example of one")]
pub struct UnknownPoint;

impl FromStr for Point {
    type Err = UnknownPoint;
    fn from_str(name: &str) -> Result<Self, UnknownPoint> {
        Point::ALL.iter().copied().find(|point| point.as_str() == name).ok_or(UnknownPoint)
    }
}

/// What an actor holds and hits. Clones share what is armed.
#[derive(Clone, Default)]
pub struct Probe(Option<Arc<Trigger>>);

impl Probe {
    /// The one for production: never acts.
    pub const fn none() -> Self {
        Probe(None)
    }

    /// One that is armed later, through the trigger.
    pub fn armable() -> (Self, Arc<Trigger>) {
        let trigger = Arc::new(Trigger::default());
        (Probe(Some(Arc::clone(&trigger))), trigger)
    }

    /// One that acts at the `nth` hit of the point, counted from 1.
    pub fn armed(point: Point, nth: u64, action: impl FnOnce() + Send + 'static) -> Self {
        let (probe, trigger) = Probe::armable();
        trigger.arm(point, nth, action);
        probe
    }

    /// One that panics at the `nth` hit of the point, counted from 1.
    pub fn panics(point: Point, nth: u64) -> Self {
        Probe::armed(point, nth, move || panic!("{point}"))
    }

    /// Passes the point.
    ///
    /// # Panics
    /// When the armed action does.
    #[inline]
    pub fn hit(&self, point: Point) {
        if let Some(trigger) = &self.0 {
            trigger.pull(point);
        }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Probe(armable)" } else { "Probe(none)" })
    }
}

/// Arms the probes that share it.
#[derive(Default)]
pub struct Trigger {
    // At most one a point: arming again replaces.
    armed: Mutex<Vec<Armed>>,
}

struct Armed {
    point: Point,
    hits_left: u64,
    action: Box<dyn FnOnce() + Send>,
}

impl Trigger {
    /// Acts at the `nth` hit of the point from now on, counted from 1 (0 is taken as 1), once.
    /// Replaces what was armed there.
    pub fn arm(&self, point: Point, nth: u64, action: impl FnOnce() + Send + 'static) {
        let mut armed = self.armed.lock();
        armed.retain(|one| one.point != point);
        armed.push(Armed { point, hits_left: nth.saturating_sub(1), action: Box::new(action) });
    }

    /// Takes back what is armed and has not acted.
    pub fn disarm(&self) {
        self.armed.lock().clear();
    }

    fn pull(&self, point: Point) {
        let due = {
            let mut armed = self.armed.lock();
            let Some(at) = armed.iter().position(|one| one.point == point) else { return };
            match armed[at].hits_left.checked_sub(1) {
                Some(left) => {
                    armed[at].hits_left = left;
                    return;
                }
                None => armed.swap_remove(at),
            }
        };
        (due.action)(); // without the lock: it may panic, or arm the next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::atomic::{AtomicU32, Ordering::SeqCst},
    };

    #[test]
    fn an_armed_probe_acts_once_at_the_nth_hit_of_its_point() {
        let acted = Arc::new(AtomicU32::new(0));
        let inside = Arc::clone(&acted);
        let act = move || _ = inside.fetch_add(1, SeqCst);
        let probe = Probe::armed(Point::CommitAfterWrite, 3, act);
        let clone = probe.clone();
        for (hits, expected) in [(2, 0), (1, 1), (5, 1)] {
            for _ in 0..hits {
                clone.hit(Point::CommitAfterWrite);
                probe.hit(Point::CommitBeforeWrite);
            }
            assert_eq!(acted.load(SeqCst), expected);
        }
    }

    #[test]
    fn a_panic_names_its_point_and_leaves_the_probe_usable() {
        let (probe, trigger) = Probe::armable();
        for _ in 0..2 {
            trigger.arm(Point::SequencerClose, 1, || panic!("planted"));
            let hit = || probe.hit(Point::SequencerClose);
            assert!(catch_unwind(AssertUnwindSafe(hit)).is_err());
            hit();
        }
        let planted = Probe::panics(Point::SequencerClose, 1);
        let panic = catch_unwind(AssertUnwindSafe(|| planted.hit(Point::SequencerClose)));
        assert_eq!(panic.unwrap_err().downcast_ref::<String>().unwrap(), "sequencer_close");
    }

    #[test]
    fn arming_again_replaces_and_disarming_forgets() {
        let (probe, trigger) = Probe::armable();
        trigger.arm(Point::IngressHandle, 1, || panic!("replaced"));
        trigger.arm(Point::IngressHandle, 2, || panic!("forgotten"));
        probe.hit(Point::IngressHandle);
        trigger.disarm();
        probe.hit(Point::IngressHandle);
        Probe::none().hit(Point::IngressHandle);
    }

    #[test]
    fn every_point_is_found_by_its_own_name() {
        for &point in Point::ALL {
            assert_eq!(point.as_str().parse(), Ok(point));
        }
        assert_eq!("commit".parse::<Point>(), Err(UnknownPoint));
    }
}
