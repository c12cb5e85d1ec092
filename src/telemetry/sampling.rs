//! Which requests are traced. Decided once, at the door, before anything is made for a trace: a request
//! that is not sampled costs this decision and a branch at each stage.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Requests in one second whose callers' wish to be traced is followed. Above this the ratio decides, so
/// that nobody outside can make the ledger trace everything.
pub const CALLERS_PER_SECOND_MAX: u32 = 100;

/// The rule, which may be changed while requests are decided on. What it is asked with is passed in.
#[derive(Debug)]
pub struct Sampling {
    /// The bits of an `f64`, 0.0 to 1.0.
    ratio: AtomicU64,
    is_forced: AtomicBool,
    /// The second of the last wish in the upper half, how many there were in it in the lower.
    wishes: AtomicU64,
}

impl Sampling {
    /// Traces this share of requests; what is not between 0 and 1 is taken to the nearer end.
    pub fn new(ratio: f64) -> Self {
        let sampling = Sampling {
            ratio: AtomicU64::new(0),
            is_forced: AtomicBool::new(false),
            wishes: AtomicU64::new(0),
        };
        sampling.set_ratio(ratio);
        sampling
    }

    /// The share that is traced while nothing forces all.
    pub fn ratio(&self) -> f64 {
        f64::from_bits(self.ratio.load(Ordering::Relaxed))
    }

    /// Changes the share, from the next request on. No number counts as 0.
    pub fn set_ratio(&self, ratio: f64) {
        let ratio = if ratio.is_nan() { 0.0 } else { ratio.clamp(0.0, 1.0) };
        self.ratio.store(ratio.to_bits(), Ordering::Relaxed);
    }

    /// Traces everything, or lets the ratio decide again.
    pub fn force(&self, is_forced: bool) {
        self.is_forced.store(is_forced, Ordering::Relaxed);
    }

    /// Whether everything is traced.
    pub fn is_forced(&self) -> bool {
        self.is_forced.load(Ordering::Relaxed)
    }

    /// The share that is traced now.
    pub fn ratio_now(&self) -> f64 {
        if self.is_forced() { 1.0 } else { self.ratio() }
    }

    /// Whether to trace a request. `wish` is what its caller says, if it is in a trace of its own;
    /// `draw` is a random number, `second` the time.
    pub fn samples(&self, wish: Option<bool>, draw: u64, second: u32) -> bool {
        if self.is_forced() {
            return true;
        }
        match wish {
            Some(false) => false,
            Some(true) if self.may_follow(second) => true,
            // 53 bits are what a float holds: with a ratio of 1.0 no draw reaches it.
            _ => ((draw >> 11) as f64) < self.ratio() * (1u64 << 53) as f64,
        }
    }

    fn may_follow(&self, second: u32) -> bool {
        let counted = |wishes: u64| {
            let (last, count) = ((wishes >> 32) as u32, wishes as u32);
            let count = if last == second { count.saturating_add(1) } else { 1 };
            u64::from(second) << 32 | u64::from(count)
        };
        let before = self
            .wishes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |wishes| Some(counted(wishes)));
        // The update never refuses, so both arms hold what was there before.
        let (Ok(before) | Err(before)) = before;
        counted(before) as u32 <= CALLERS_PER_SECOND_MAX
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling::new(0.0)
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

    use super::*;

    /// Of so many requests without a caller's wish.
    fn sampled(sampling: &Sampling, requests: u32) -> usize {
        let mut random = SmallRng::seed_from_u64(7);
        (0..requests).filter(|_| sampling.samples(None, random.random(), 0)).count()
    }

    #[test]
    fn the_share_is_what_was_set_and_may_be_set_again() {
        let sampling = Sampling::new(0.01);
        let share = sampled(&sampling, 100_000);
        assert!((900..1_100).contains(&share), "{share} of 100000 at 1 %");
        for (ratio, expected) in [(0.0, 0), (1.0, 100_000), (7.0, 100_000), (-1.0, 0)] {
            sampling.set_ratio(ratio);
            assert_eq!(sampled(&sampling, 100_000), expected, "{ratio}");
        }
        sampling.set_ratio(f64::NAN);
        assert_eq!(sampling.ratio(), 0.0);
    }

    #[test]
    fn forced_means_all_whatever_callers_say_and_ends() {
        let sampling = Sampling::new(0.0);
        sampling.force(true);
        assert_eq!(sampled(&sampling, 1_000), 1_000);
        assert!(sampling.samples(Some(false), u64::MAX, 0));
        assert_eq!(sampling.ratio_now(), 1.0);
        sampling.force(false);
        assert_eq!(sampled(&sampling, 1_000), 0);
        assert!(!sampling.samples(Some(false), 0, 0));
    }

    #[test]
    fn wishes_of_callers_are_followed_up_to_the_bound_of_each_second() {
        let sampling = Sampling::new(0.0);
        for second in [5, 6, 9] {
            let wished = 2 * CALLERS_PER_SECOND_MAX;
            let followed = (0..wished).filter(|_| sampling.samples(Some(true), 0, second)).count();
            assert_eq!(followed, CALLERS_PER_SECOND_MAX as usize, "second {second}");
        }
        assert!(!sampling.samples(Some(false), 0, 10), "who does not want it is left alone");
    }
}
