//! A token bucket: so many requests a second, and a short burst. Kept as the time at which it will be
//! empty (the generic cell rate algorithm, ITU-T I.371), so that nothing has to refill it.

use std::time::{Duration, Instant};

/// A bucket holds what comes in this time: clients that send in beats are not refused for it.
const BURST: Duration = Duration::from_millis(100);

/// Who is let through. The time comes from the caller.
#[derive(Debug)]
pub(super) struct RateLimit {
    /// What one request uses up; `None` lets all through.
    each: Option<Duration>,
    /// When all that was let through is worked off.
    free_at: Option<Instant>,
}

impl RateLimit {
    /// At most so many requests a second on average; 0 for no limit.
    pub(super) fn per_second(requests: u32) -> Self {
        let each = (requests > 0).then(|| Duration::from_secs(1) / requests);
        RateLimit { each, free_at: None }
    }

    /// Whether anything that was let through is not worked off `now`.
    pub(super) fn is_used(&self, now: Instant) -> bool {
        self.free_at.is_some_and(|at| at > now)
    }

    /// Whether a request that comes `now` is let through; then it counts.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let Some(each) = self.each else { return true };
        let free_at = self.free_at.map_or(now, |at| at.max(now)) + each;
        // A rate below the burst's own still lets one through at a time.
        let admits = free_at - now <= BURST.max(each);
        if admits {
            self.free_at = Some(free_at);
        }
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of requests that come every `every` for `seconds` are let through.
    fn admitted(limit: &mut RateLimit, from: Instant, every: Duration, seconds: u32) -> u32 {
        let total = (Duration::from_secs(seconds.into()).as_nanos() / every.as_nanos()) as u32;
        (0..total).filter(|&nth| limit.admits(from + every * nth)).count() as u32
    }

    #[test]
    fn many_are_let_through_at_the_rate_and_one_burst_more() {
        for (rate, burst) in [(1_200, 120), (1_000, 100), (3, 1), (1, 1)] {
            let (mut limit, now) = (RateLimit::per_second(rate), Instant::now());
            let admitted = admitted(&mut limit, now, Duration::from_micros(83), 10);
            let expected = rate * 10 + burst;
            assert!(admitted.abs_diff(expected) <= 1, "{rate}: {admitted}");
        }
    }

    #[test]
    fn few_are_all_let_through() {
        let (mut limit, now) = (RateLimit::per_second(1_000), Instant::now());
        assert_eq!(admitted(&mut limit, now, Duration::from_millis(1), 10), 10_000);
        let mut none = RateLimit::per_second(0);
        assert_eq!(admitted(&mut none, now, Duration::from_nanos(10_000), 1), 100_000);
    }

    #[test]
    fn idle_time_fills_the_bucket_and_no_more() {
        let (mut limit, now) = (RateLimit::per_second(100), Instant::now());
        for start in [now, now + Duration::from_secs(3_600)] {
            let burst = (0..50).filter(|_| limit.admits(start)).count();
            assert_eq!(burst, 10);
        }
        // What was refused used nothing up.
        let soon = now + Duration::from_millis(3_600_010);
        assert!(limit.admits(soon) && !limit.admits(soon));
    }

    #[test]
    fn time_that_steps_back_admits_nothing_twice() {
        let (mut limit, now) = (RateLimit::per_second(10), Instant::now());
        let later = now + Duration::from_secs(1);
        assert!(limit.admits(later));
        assert!(!limit.admits(now), "the bucket is worked off at `later` and not before");
    }
}
