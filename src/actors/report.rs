//! What is published of an actor for readiness, status and metrics, so that nobody asks a mailbox.
//!
//! Liveness is progress, not presence: an actor is stuck when work waits at its door and nothing
//! has moved for too long. A blocked thread cannot be stopped from inside; it can only be seen.

use std::time::{Duration, Instant};

use super::supervise::{State, Supervision};

/// One actor at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorReport {
    /// The actor's name.
    pub name: &'static str,
    /// Where it stands between its lives.
    pub state: State,
    /// Lives begun after the first one.
    pub restarts: u64,
    /// Seats taken.
    pub depth: usize,
    /// Seats there are.
    pub capacity: usize,
    /// The progress counter; only its moving means something.
    pub progress: u64,
    /// When the counter was last seen to move, or nothing was there to be done.
    pub last_progress: Instant,
}

impl ActorReport {
    /// Whether work has waited for `limit` without any getting done.
    pub fn is_stuck(&self, now: Instant, limit: Duration) -> bool {
        self.depth > 0 && now.saturating_duration_since(self.last_progress) >= limit
    }

    /// Whether it takes messages and gets on with them.
    pub fn is_live(&self, now: Instant, limit: Duration) -> bool {
        self.state == State::Up && !self.is_stuck(now, limit)
    }
}

/// Looks at one actor again and again, and remembers when it last moved.
pub struct Observer {
    care: Supervision,
    last: Option<Pulse>,
}

impl Observer {
    /// An observer that has seen nothing yet.
    pub fn new(care: Supervision) -> Self {
        Observer { care, last: None }
    }

    /// Looks now. The time between two looks is the error of `last_progress`, always towards the
    /// later: an actor is found stuck late, never early.
    pub fn observe(&mut self, now: Instant) -> ActorReport {
        // The counter first: a seat freed between the two reads then shows at the next look.
        let count = self.care.progress().count();
        let depth = self.care.depth();
        let pulse = Pulse::next(self.last, depth, count, now);
        self.last = Some(pulse);
        ActorReport {
            name: self.care.name(),
            state: self.care.state(),
            restarts: self.care.restarts(),
            depth,
            capacity: self.care.capacity(),
            progress: count,
            last_progress: pulse.at,
        }
    }
}

/// What one look leaves for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pulse {
    idle: bool,
    count: u64,
    at: Instant,
}

impl Pulse {
    /// The clock stands still only between two looks that both saw work and the same count. An
    /// hour without work is no hour without progress.
    fn next(last: Option<Pulse>, depth: usize, count: u64, now: Instant) -> Pulse {
        let at = match last {
            Some(last) if !last.idle && last.count == count => last.at,
            _ => now,
        };
        Pulse { idle: depth == 0, count, at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// Looks at (second, depth, count) in order; tells whether the last look finds it stuck.
    fn stuck_after(looks: &[(u64, usize, u64)]) -> bool {
        let start = Instant::now();
        let (mut last, mut verdict) = (None, false);
        for &(second, depth, count) in looks {
            let now = start + Duration::from_secs(second);
            let pulse = Pulse::next(last, depth, count, now);
            last = Some(pulse);
            let report = ActorReport {
                name: "committer",
                state: State::Up,
                restarts: 0,
                depth,
                capacity: 8,
                progress: count,
                last_progress: pulse.at,
            };
            verdict = report.is_stuck(now, LIMIT);
            assert_eq!(report.is_live(now, LIMIT), !verdict);
        }
        verdict
    }

    #[test]
    fn stuck_is_work_without_progress_for_the_limit() {
        for (claim, looks, stuck) in [
            ("one look proves nothing", &[(0, 8, 0)][..], false),
            ("work waits and nothing moves", &[(0, 1, 7), (5, 1, 7)], true),
            ("not yet", &[(0, 1, 7), (4, 1, 7)], false),
            ("full but moving", &[(0, 8, 7), (5, 8, 8)], false),
            ("moved once, then stuck", &[(0, 8, 7), (4, 8, 8), (9, 8, 8)], true),
            ("idle for an hour", &[(0, 0, 7), (3600, 0, 7)], false),
            ("first work after an idle hour", &[(0, 0, 7), (3600, 1, 7)], false),
            ("and then stuck", &[(0, 0, 7), (3600, 1, 7), (3605, 1, 7)], true),
            ("emptied at last", &[(0, 1, 7), (60, 0, 8)], false),
        ] {
            assert_eq!(stuck_after(looks), stuck, "{claim}");
        }
    }

    #[test]
    fn an_actor_that_is_not_up_is_not_live() {
        let now = Instant::now();
        for state in [State::Starting, State::Down(String::new())] {
            let report = ActorReport {
                name: "committer",
                state,
                restarts: 0,
                depth: 0,
                capacity: 8,
                progress: 0,
                last_progress: now,
            };
            assert!(!report.is_live(now, LIMIT) && !report.is_stuck(now, LIMIT));
        }
    }
}
