//! How a node that follows another one stands, for probes: written by the follower, read by whoever asks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::backup::target::Target;

/// Beyond two intervals, how long it may lack what the archive has before the node is degraded.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whom a node follows.
#[derive(Clone, Debug)]
pub struct FollowFrom {
    /// The other node's archive. It is only read.
    pub target: Target,
    /// Between two looks.
    pub interval: Duration,
}

pub(super) struct Followed {
    patience: Duration,
    /// When it had all that the archive has, or began.
    reached: Mutex<Instant>,
    has_caught_up: AtomicBool,
    is_failing: AtomicBool,
    /// The difference that it has found.
    stopped: Mutex<Option<String>>,
}

impl Followed {
    pub(super) fn new(interval: Duration) -> Self {
        Followed {
            patience: 2 * interval + PATIENCE,
            reached: Mutex::new(Instant::now()),
            has_caught_up: AtomicBool::new(false),
            is_failing: AtomicBool::new(false),
            stopped: Mutex::default(),
        }
    }

    /// The archive has answered.
    pub(super) fn answered(&self) {
        self.is_failing.store(false, Ordering::Relaxed);
    }

    /// And has no more.
    pub(super) fn has_all(&self) {
        *self.reached.lock() = Instant::now();
        self.has_caught_up.store(true, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.is_failing.store(true, Ordering::Relaxed);
    }

    /// For good.
    pub(super) fn stop(&self, why: String) {
        *self.stopped.lock() = Some(why);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.lock().is_some()
    }

    /// Since it had everything.
    pub(super) fn lag(&self) -> Duration {
        self.reached.lock().elapsed()
    }

    /// Reads of it are reads of the ledger, as far as that is archived.
    pub(super) fn is_ready(&self) -> bool {
        self.has_caught_up.load(Ordering::Relaxed) && !self.is_stopped()
    }

    /// As `readyz` names it.
    pub(super) fn name(&self) -> &'static str {
        match (self.is_stopped(), self.has_caught_up.load(Ordering::Relaxed)) {
            (true, _) => "follow_stopped",
            (false, false) => "catching_up",
            (false, true) => "following",
        }
    }

    /// In words, when it is not as it should be.
    pub(super) fn amiss(&self) -> Option<String> {
        if let Some(why) = &*self.stopped.lock() {
            return Some(format!("following has stopped: {why}"));
        }
        if self.is_failing.load(Ordering::Relaxed) {
            return Some("the archive that is followed does not answer".into());
        }
        if !self.has_caught_up.load(Ordering::Relaxed) {
            return Some("what is archived is being taken".into());
        }
        let late = self.lag() > self.patience;
        late.then(|| "what is archived is taken too slowly".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_having_had_all_and_no_difference() {
        let followed = Followed::new(Duration::from_secs(30));
        let check = |ready, name, amiss: Option<&str>| {
            assert_eq!((followed.is_ready(), followed.name()), (ready, name));
            let said = followed.amiss();
            assert_eq!(said.is_some(), amiss.is_some(), "{said:?}");
            assert!(said.unwrap_or_default().contains(amiss.unwrap_or_default()));
        };
        check(false, "catching_up", Some("is being taken"));
        followed.has_all();
        check(true, "following", None);
        followed.failed();
        check(true, "following", Some("does not answer"));
        followed.answered();
        check(true, "following", None);
        followed.stop("a gap".into());
        check(false, "follow_stopped", Some("following has stopped: a gap"));
        followed.has_all();
        check(false, "follow_stopped", Some("a gap"));
    }
}
