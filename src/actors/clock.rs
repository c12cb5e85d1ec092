//! The ledger's view of the wall clock: whether it may be trusted with what cannot be undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::ledger::entry::Millis;

/// Compares the wall clock with the monotonic one. A step of more than the bound suspends expiry
/// for as long as it stands, since an expiry cannot be undone.
pub(super) struct Clock {
    wall_at_start: Millis,
    start: Instant,
    step_max: Duration,
    suspect: Arc<AtomicBool>,
}

impl Clock {
    pub(super) fn new(
        wall: Millis,
        start: Instant,
        step_max: Duration,
        suspect: Arc<AtomicBool>,
    ) -> Self {
        Clock { wall_at_start: wall, start, step_max, suspect }
    }

    /// Whether holds may expire by this reading.
    pub(super) fn is_steady(&self, wall: Millis, now: Instant) -> bool {
        let ran = now.saturating_duration_since(self.start).as_millis() as Millis;
        let step = wall.abs_diff(self.wall_at_start.saturating_add(ran));
        let steady = u128::from(step) <= self.step_max.as_millis();
        if self.suspect.swap(!steady, Ordering::Relaxed) == steady {
            tracing::warn!(steady, step_ms = step, "the wall clock stepped; expiry follows it");
        }
        steady
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_wall_clock_either_way_suspends_expiry_until_it_is_mended() {
        let (start, suspect) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let clock = Clock::new(100_000, start, Duration::from_secs(5), Arc::clone(&suspect));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(clock.is_steady(110_000, at(10)));
        assert!(clock.is_steady(115_000, at(10)));
        assert!(!clock.is_steady(115_001, at(10)));
        assert!(suspect.load(Ordering::Relaxed));
        assert!(!clock.is_steady(104_999, at(10)));
        assert!(clock.is_steady(120_000, at(20)));
        assert!(!suspect.load(Ordering::Relaxed));
    }
}
