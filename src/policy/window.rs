//! What was let through lately: sums and counts over a window of time that slides, one for each key.
//!
//! A window is told in eighths: an amount counts from the moment when it is reserved until at least the
//! length of the window has passed, and at most an eighth longer. So no stretch of time as long as the
//! window ever holds more than the ceiling, wherever it begins.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::ledger::names::Asset;

/// Into how many parts a window is divided.
const PARTS: u64 = 8;

/// What a window counts for: an asset, and the account or the capability where each has its own. Empty
/// where all share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) asset: Asset,
    pub(super) whose: Box<str>,
}

/// The most that a window lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ceiling {
    pub(super) amount: Option<u128>,
    pub(super) count: Option<u64>,
}

/// Why nothing was reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The ceiling would be passed.
    Ceiling,
    /// As many keys as may be are in use.
    Keys,
}

/// What was reserved within one part of the time.
#[derive(Clone, Copy, Debug)]
struct Part {
    at: u64,
    amount: u128,
    count: u64,
}

/// Of one key: the parts that still count, the oldest first.
#[derive(Debug, Default)]
struct Tally(VecDeque<Part>);

impl Tally {
    fn forget(&mut self, now: u64) {
        while self.0.front().is_some_and(|part| part.at + PARTS < now) {
            self.0.pop_front();
        }
    }

    fn has_room(&self, amount: u128, ceiling: &Ceiling) -> bool {
        // No ceiling is higher than what the sum can hold.
        let sum = self.0.iter().try_fold(amount, |sum, part| sum.checked_add(part.amount));
        let count = self.0.iter().fold(1u64, |count, part| count.saturating_add(part.count));
        ceiling.amount.is_none_or(|most| sum.is_some_and(|sum| sum <= most))
            && ceiling.count.is_none_or(|most| count <= most)
    }

    fn add(&mut self, at: u64, amount: u128) {
        match self.0.back_mut().filter(|part| part.at == at) {
            Some(part) => {
                part.amount = part.amount.saturating_add(amount);
                part.count = part.count.saturating_add(1);
            }
            None => self.0.push_back(Part { at, amount, count: 1 }),
        }
    }

    fn take_back(&mut self, at: u64, amount: u128) {
        let Some(place) = self.0.iter().position(|part| part.at == at) else { return };
        let part = &mut self.0[place];
        part.amount = part.amount.saturating_sub(amount);
        part.count = part.count.saturating_sub(1);
        if part.count == 0 {
            self.0.remove(place);
        }
    }
}

#[derive(Debug, Default)]
struct Table {
    tallies: HashMap<Key, Tally>,
    /// The newest part of time that was seen: a caller that is late does not turn it back.
    now: u64,
}

/// The counters of one rule, shared by all who ask, and by the rule of the same name in the next file.
#[derive(Debug)]
pub(super) struct Counters {
    part_ms: u64,
    table: Mutex<Table>,
}

impl Counters {
    /// Of a window of this length.
    pub(super) fn new(window_ms: u64) -> Arc<Self> {
        Arc::new(Counters { part_ms: window_ms.div_ceil(PARTS).max(1), table: Mutex::default() })
    }

    /// Counts an amount, at a time in ms on a clock that does not step.
    ///
    /// # Errors
    /// [`Full`]; then nothing was counted.
    pub(super) fn reserve(
        self: &Arc<Self>,
        key: Key,
        amount: u128,
        ceiling: &Ceiling,
        keys_max: usize,
        now_ms: u64,
    ) -> Result<Reserved, Full> {
        let mut table = self.table.lock();
        let at = table.now.max(now_ms / self.part_ms);
        table.now = at;
        if !table.tallies.contains_key(&key) && table.tallies.len() >= keys_max {
            table.tallies.retain(|_, tally| {
                tally.forget(at);
                !tally.0.is_empty()
            });
            if table.tallies.len() >= keys_max {
                return Err(Full::Keys);
            }
        }
        let tally = table.tallies.entry(key.clone()).or_default();
        tally.forget(at);
        if !tally.has_room(amount, ceiling) {
            if tally.0.is_empty() {
                table.tallies.remove(&key);
            }
            return Err(Full::Ceiling);
        }
        tally.add(at, amount);
        drop(table);
        Ok(Reserved { counters: Arc::clone(self), key, at, amount })
    }

    fn refund(&self, key: &Key, at: u64, amount: u128) {
        let mut table = self.table.lock();
        if let Some(tally) = table.tallies.get_mut(key) {
            tally.take_back(at, amount);
            if tally.0.is_empty() {
                table.tallies.remove(key);
            }
        }
    }

    /// How many keys are in use.
    #[cfg(test)]
    fn keys(&self) -> usize {
        self.table.lock().tallies.len()
    }
}

/// What was counted for one entry in one window. Dropped, it stays counted: so does what nobody knows
/// the outcome of.
#[derive(Debug)]
#[must_use = "what is never committed is refunded"]
pub struct Reserved {
    counters: Arc<Counters>,
    key: Key,
    at: u64,
    amount: u128,
}

impl Reserved {
    /// Gives it back: the entry was not committed, or had been before.
    pub fn refund(self) {
        self.counters.refund(&self.key, self.at, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(whose: &str) -> Key {
        Key { asset: Asset::new("RON").unwrap(), whose: whose.into() }
    }

    fn up_to(amount: u128) -> Ceiling {
        Ceiling { amount: Some(amount), count: None }
    }

    #[test]
    fn an_amount_counts_for_the_whole_window_and_is_given_back_once() {
        let counters = Counters::new(800);
        let reserve = |amount, now| counters.reserve(key("a"), amount, &up_to(10), 9, now);
        let first = reserve(6, 99).unwrap();
        assert_eq!(reserve(5, 100).unwrap_err(), Full::Ceiling);
        let second = reserve(4, 100).unwrap();
        assert_eq!(reserve(1, 898).unwrap_err(), Full::Ceiling, "799 ms after the first");
        second.refund();
        drop(reserve(4, 898).unwrap());
        drop(reserve(6, 900).unwrap());
        // Its part of the time is gone: nothing is left to give back.
        first.refund();
        assert_eq!(reserve(1, 900).unwrap_err(), Full::Ceiling);
    }

    #[test]
    fn a_count_is_a_ceiling_too_and_no_sum_overflows() {
        let counters = Counters::new(1000);
        let ceiling = Ceiling { amount: Some(u128::MAX), count: Some(2) };
        let reserve = |amount| counters.reserve(key("a"), amount, &ceiling, 9, 0);
        drop(reserve(u128::MAX).unwrap());
        assert_eq!(reserve(1).unwrap_err(), Full::Ceiling);
        drop(counters.reserve(key("b"), 1, &ceiling, 9, 0).unwrap());
        drop(counters.reserve(key("b"), 1, &ceiling, 9, 0).unwrap());
        assert_eq!(counters.reserve(key("b"), 1, &ceiling, 9, 0).unwrap_err(), Full::Ceiling);
    }

    #[test]
    fn the_keys_are_bounded_and_none_is_forgotten_while_it_counts() {
        let counters = Counters::new(800);
        let reserve = |whose: &str, now| counters.reserve(key(whose), 1, &up_to(1), 2, now);
        drop((reserve("a", 0).unwrap(), reserve("b", 100).unwrap()));
        assert_eq!(reserve("c", 899).unwrap_err(), Full::Keys);
        drop(reserve("c", 900).unwrap());
        assert_eq!(reserve("b", 900).unwrap_err(), Full::Ceiling);
        // Refused and refunded ones take no room.
        reserve("c", 2000).unwrap().refund();
        drop(reserve("d", 2000).unwrap());
        assert_eq!(counters.keys(), 2);
    }

    #[test]
    fn a_clock_that_comes_late_does_not_turn_time_back() {
        let counters = Counters::new(800);
        let reserve = |now| counters.reserve(key("a"), 1, &up_to(1), 9, now);
        drop(reserve(1000).unwrap());
        assert_eq!(reserve(10).unwrap_err(), Full::Ceiling);
    }

    proptest! {
        /// The naive model: a list of what stands, each with its time. Whatever the order of reserving,
        /// refunding and forgetting, no stretch as long as the window holds more than the ceiling; and
        /// what fits within the window and an eighth is let through.
        #[test]
        fn no_interleaving_passes_a_ceiling(
            steps in prop::collection::vec((0u64..300, 1u128..8, 0u8..4, any::<prop::sample::Index>()), 1..200),
            window_ms in 1u64..1500,
            most in 1u128..20,
        ) {
            let counters = Counters::new(window_ms);
            let part = window_ms.div_ceil(PARTS);
            let (mut now, mut stands) = (0, Vec::<(u64, u128)>::new());
            let mut open: Vec<(Reserved, u64, u128)> = Vec::new();
            for (pause, amount, what, which) in steps {
                now += pause;
                if what == 0 && !open.is_empty() {
                    let (reserved, at, amount) = open.swap_remove(which.index(open.len()));
                    reserved.refund();
                    let place = stands.iter().position(|known| *known == (at, amount)).unwrap();
                    stands.swap_remove(place);
                    continue;
                }
                let since = |back: u64| -> u128 {
                    let counts = |(at, _): &&(u64, u128)| at + back > now;
                    stands.iter().filter(counts).map(|(_, amount)| amount).sum()
                };
                let (within, beyond) = (since(window_ms), since((PARTS + 1) * part));
                match counters.reserve(key("a"), amount, &up_to(most), 1, now) {
                    Ok(reserved) => {
                        prop_assert!(within + amount <= most);
                        stands.push((now, amount));
                        // Every other one is never settled: it stays counted.
                        if what > 1 { open.push((reserved, now, amount)) }
                    }
                    Err(_) => prop_assert!(beyond + amount > most),
                }
            }
        }
    }
}
