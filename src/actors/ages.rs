//! How old the oldest request is that is sequenced and not durable.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

/// The times of receipt of all that waits. Clones are the same set; it is as large as what waits.
#[derive(Clone, Default)]
pub(super) struct Ages(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    since: BTreeSet<(Instant, u64)>,
    /// Tells apart what came at the same time.
    next: u64,
}

impl Ages {
    /// Adds one, for as long as what it returns lives.
    pub(super) fn enter(&self, since: Instant) -> Age {
        let mut waiting = self.0.lock();
        let key = (since, waiting.next);
        waiting.next = waiting.next.wrapping_add(1);
        waiting.since.insert(key);
        Age { ages: self.clone(), key }
    }

    /// The age of the oldest in ms; 0 when nothing waits.
    pub(super) fn oldest_ms(&self, now: Instant) -> u64 {
        let oldest = self.0.lock().since.first().map(|&(since, _)| since);
        let age = oldest.map_or(0, |since| now.saturating_duration_since(since).as_millis());
        u64::try_from(age).unwrap_or(u64::MAX)
    }
}

/// One that waits. Leaves by drop.
pub(super) struct Age {
    ages: Ages,
    key: (Instant, u64),
}

impl Drop for Age {
    fn drop(&mut self) {
        self.ages.0.lock().since.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_that_still_waits_is_told() {
        let (ages, start) = (Ages::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(ages.oldest_ms(at(50)), 0, "nothing waits");
        let (late, early) = (ages.enter(at(20)), ages.enter(at(10)));
        let twin = ages.enter(at(10));
        assert_eq!(ages.oldest_ms(at(50)), 40);
        drop(early);
        assert_eq!(ages.oldest_ms(at(50)), 40, "one of the same time is left");
        drop(twin);
        assert_eq!(ages.oldest_ms(at(50)), 30);
        drop(late);
        assert_eq!(ages.oldest_ms(at(50)), 0);
    }
}
