//! The ledger's view of the wall clock: whether it may be trusted with what cannot be undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::ledger::entry::Millis;

/// How far a slew can carry the wall clock is a share of the time that has passed: one in this many.
/// Time services slew by 1 in 12 at most (chrony's default) and by 1 in 2000 as a rule.
const SLEW_SHARE: u64 = 10;

/// How often a slew is taken over, in ms: often enough, and not so often that the share rounds to
/// nothing.
const SLEW_EVERY_MS: u64 = 1_000;

/// Compares the wall clock with the monotonic one. A step of more than the bound suspends expiry
/// for as long as it stands, since an expiry cannot be undone. A slow drift of the two against each
/// other is no step, however far it leads in weeks.
pub(super) struct Clock {
    /// What the wall clock should show at `at`.
    wall: Millis,
    at: Instant,
    step_max_ms: u64,
    suspect: Arc<AtomicBool>,
}

impl Clock {
    pub(super) fn new(
        wall: Millis,
        at: Instant,
        step_max: Duration,
        suspect: Arc<AtomicBool>,
    ) -> Self {
        let step_max_ms = u64::try_from(step_max.as_millis()).unwrap_or(u64::MAX);
        Clock { wall, at, step_max_ms, suspect }
    }

    /// Whether holds may expire by this reading.
    pub(super) fn is_steady(&mut self, wall: Millis, now: Instant) -> bool {
        let ran = now.saturating_duration_since(self.at).as_millis() as Millis;
        let expected = self.wall.saturating_add(ran);
        let step = wall.abs_diff(expected);
        let steady = step <= self.step_max_ms;
        if steady && ran >= SLEW_EVERY_MS {
            let slew = step.min(ran / SLEW_SHARE);
            self.wall = match wall < expected {
                true => expected - slew,
                false => expected + slew,
            };
            self.at = now;
        }
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
        let mut clock = Clock::new(100_000, start, Duration::from_secs(5), Arc::clone(&suspect));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(clock.is_steady(110_000, at(10)));
        assert!(clock.is_steady(115_000, at(10)));
        assert!(!clock.is_steady(115_001, at(10)));
        assert!(suspect.load(Ordering::Relaxed));
        assert!(!clock.is_steady(104_999, at(10)));
        assert!(clock.is_steady(120_000, at(20)));
        assert!(!suspect.load(Ordering::Relaxed));
    }

    /// Looks every `every_ms` for `looks` times at a wall clock that runs so many ppm too fast.
    fn drifts(ppm: i64, every_ms: u64, looks: u64) -> bool {
        let (start, suspect) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let mut clock = Clock::new(1 << 40, start, Duration::from_secs(5), suspect);
        (1..=looks).all(|look| {
            let ran = look * every_ms;
            let wall = (1 << 40) + ran as i64 + ran as i64 * ppm / 1_000_000;
            clock.is_steady(wall as Millis, start + Duration::from_millis(ran))
        })
    }

    #[test]
    fn a_slow_drift_is_no_step_however_far_it_leads() {
        for ppm in [500, -500, 83_000, -83_000] {
            assert!(drifts(ppm, 1_000, 100_000), "{ppm} ppm, looked at by the tick");
            assert!(drifts(ppm, 3, 1_000_000), "{ppm} ppm, looked at by every group");
        }
        assert!(!drifts(300_000, 1_000, 100_000), "no clock is slewed as fast as that");
    }

    #[test]
    fn small_steps_in_a_row_count_as_one() {
        let (start, suspect) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let mut clock = Clock::new(100_000, start, Duration::from_secs(5), suspect);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(clock.is_steady(105_000, at(1)));
        assert!(!clock.is_steady(110_000, at(2)));
    }
}
