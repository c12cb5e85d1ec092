//! Bounds what is in flight by two measures at once: requests and the bytes of their bodies.

use std::sync::Arc;

use parking_lot::Mutex;

/// How many requests, and how many of their bytes, may be in flight at once.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Funds>);

#[derive(Debug)]
struct Funds {
    capacity: Usage,
    used: Mutex<Usage>,
}

/// An amount of both that a [`Budget`] counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

impl Budget {
    /// A budget of at most this much at once.
    pub fn new(capacity: Usage) -> Self {
        Budget(Arc::new(Funds { capacity, used: Mutex::default() }))
    }

    /// Takes one request of so many bytes, or nothing when either bound would be passed.
    pub fn try_take(&self, bytes: u64) -> Option<Held> {
        let Funds { capacity, used } = &*self.0;
        let mut used = used.lock();
        let requests = used.requests.checked_add(1).filter(|&n| n <= capacity.requests)?;
        let total = used.bytes.checked_add(bytes).filter(|&n| n <= capacity.bytes)?;
        *used = Usage { requests, bytes: total };
        Some(Held { budget: self.clone(), bytes })
    }

    /// What is held at this moment.
    pub fn used(&self) -> Usage {
        *self.0.used.lock()
    }

    /// What may be held at most.
    pub fn capacity(&self) -> Usage {
        self.0.capacity
    }
}

/// One request's part of a [`Budget`]. Freed by drop.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    bytes: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut used = self.budget.0.used.lock();
        // Cannot go below zero: this part was added by `try_take`, and is taken away once.
        used.requests -= 1;
        used.bytes -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_holds_both_bounds_and_takes_nothing_when_it_refuses() {
        let budget = Budget::new(Usage { requests: 3, bytes: 100 });
        let first = budget.try_take(60).expect("both bounds have room");
        assert!(budget.try_take(41).is_none(), "bytes");
        assert!(budget.try_take(u64::MAX).is_none(), "bytes, near overflow");
        assert_eq!(budget.used(), Usage { requests: 1, bytes: 60 });
        let small = [budget.try_take(40), budget.try_take(0)];
        assert!(small.iter().all(Option::is_some), "exactly full is allowed");
        assert!(budget.try_take(0).is_none(), "requests");
        drop(first);
        assert_eq!(budget.used(), Usage { requests: 2, bytes: 40 });
        drop(small);
        assert_eq!(budget.used(), Usage::default());
        assert_eq!(budget.capacity(), Usage { requests: 3, bytes: 100 });
    }

    #[test]
    fn budget_is_returned_by_a_panic() {
        let budget = Budget::new(Usage { requests: 1, bytes: 8 });
        let inside = budget.clone();
        let thread = std::thread::spawn(move || {
            let _held = inside.try_take(8);
            panic!("with the budget in hand");
        });
        assert!(thread.join().is_err());
        assert_eq!(budget.used(), Usage::default());
    }
}
