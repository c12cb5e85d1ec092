//! How commits rest, so that flushes and merges of derived data keep up with them.
//!
//! Both give way to commits, merges so far that they run only where a core has nothing else to do. Under a load that
//! leaves none they fall behind, up to where writes are stopped: for seconds, in which requests are refused. A little
//! rest for each group from halfway there on leaves them a share of the machine, and the load settles at what the node
//! can carry for ever.

use std::time::Duration;

use super::writer::Lag;

/// In hundredths of where writes are stopped: up to here commits do not rest.
const BEHIND_MIN: u8 = 50;

/// The most that is given away, in hundredths of the time.
const SHARE_MAX: u32 = 90;

/// One rest, at most: whoever waits for the next group waits for it too.
const REST_MAX: Duration = Duration::from_millis(50);

/// Whether commits rest at all, with merges so far `behind`.
pub(super) fn is_resting(behind: u8) -> bool {
    behind > BEHIND_MIN
}

/// How far flushes are behind, in hundredths of where they stop writes: one layer on its way and a full one behind it
/// are as it should be, or half of what is left above one.
pub(super) fn flushes_behind(lag: u64, bounds: Lag) -> u8 {
    let above = bounds.max.saturating_sub(bounds.flush);
    let usual = bounds.flush.saturating_add(bounds.flush.min(above / 2)).min(bounds.max);
    let (over, room) = (lag.saturating_sub(usual), bounds.max - usual);
    match over.min(room) {
        0 => 0,
        over => (100 * over / room) as u8,
    }
}

/// How long to rest after so much work, with flushes or merges so far `behind`, in hundredths of where writes are
/// stopped.
pub(super) fn rest_after(work: Duration, behind: u8) -> Duration {
    let share = (2 * u32::from(behind.saturating_sub(BEHIND_MIN))).min(SHARE_MAX);
    (work * share / (100 - share)).min(REST_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_rest_the_longer_the_further_merges_are_behind_and_never_for_long() {
        let rest = |behind| rest_after(Duration::from_millis(4), behind).as_micros();
        assert_eq!([0, 20, 50].map(rest), [0; 3]);
        assert_eq!([50, 51].map(is_resting), [false, true]);
        // A fifth of the time, half of it, nine tenths.
        assert_eq!([60, 75, 95].map(rest), [1_000, 4_000, 36_000]);
        assert_eq!([100, 255].map(rest), [36_000; 2], "work goes on");
        assert_eq!(rest_after(Duration::from_secs(3), 60), REST_MAX);
    }

    #[test]
    fn flushes_are_behind_once_more_waits_than_a_layer_on_its_way_and_a_full_one() {
        let bounds = Lag { flush: 200, max: 600 };
        let behind = |lag| flushes_behind(lag, bounds);
        assert_eq!([0, 200, 400].map(behind), [0; 3]);
        assert_eq!([402, 500, 600, 10_000].map(behind), [1, 50, 100, 100]);
        let tight = Lag { flush: 400, max: 600 };
        assert_eq!([500, 550, 700].map(|lag| flushes_behind(lag, tight)), [0, 50, 100]);
        let none = Lag { flush: 600, max: 600 };
        assert_eq!([600, 700].map(|lag| flushes_behind(lag, none)), [0; 2], "no room for more");
    }
}
