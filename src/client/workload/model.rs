//! What the generator remembers of the ledger that it imagines: enough to write entries that will
//! be accepted, and others of which it knows why they will not. Bounded, whatever the length.

use std::collections::HashMap;

use super::random::Random;
use crate::ledger::entry::{Entry, EntryId};

/// Index of an account, and of an asset, in the workload.
pub(super) type Place = (u32, u8);

/// Value that comes (positive) or goes.
pub(super) type Moves = Vec<(Place, i128)>;

/// At most this many holds, and this many entries of each other sort, are remembered.
const POOL_MAX: usize = 4096;

/// Things to choose from by chance. A full pool forgets one for each that it takes.
#[derive(Debug)]
pub(super) struct Pool<T>(Vec<T>);

impl<T> Pool<T> {
    pub(super) fn new() -> Self {
        Pool(Vec::new())
    }

    pub(super) fn put(&mut self, random: &mut Random, thing: T) {
        if self.0.len() < POOL_MAX {
            self.0.push(thing);
        } else {
            self.0[random.below(POOL_MAX as u64) as usize] = thing;
        }
    }

    pub(super) fn take(&mut self, random: &mut Random) -> Option<T> {
        let at = self.choose(random)?;
        Some(self.0.swap_remove(at))
    }

    pub(super) fn see(&self, random: &mut Random) -> Option<&T> {
        self.choose(random).map(|at| &self.0[at])
    }

    fn choose(&self, random: &mut Random) -> Option<usize> {
        (!self.0.is_empty()).then(|| random.below(self.0.len() as u64) as usize)
    }
}

/// A hold.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) id: EntryId,
    pub(super) place: Place,
    pub(super) counterparty: Option<u32>,
    pub(super) remaining: u64,
}

/// An entry, or the legs of a posting, that can be reversed, and what that moves.
#[derive(Clone, Debug)]
pub(super) struct Undoable {
    pub(super) entries: Vec<Entry>,
    pub(super) undo: Moves,
}

/// The ledger as it would be if all that was meant to be accepted was.
#[derive(Debug)]
pub(super) struct Model {
    /// Available value. Looked up by key only: its order never shows.
    balances: HashMap<Place, i128>,
    pub(super) open: Pool<Held>,
    pub(super) closed: Pool<Held>,
    pub(super) undoable: Pool<Undoable>,
    /// Single entries that were reversed.
    pub(super) undone: Pool<Entry>,
    /// Single entries that were accepted.
    pub(super) accepted: Pool<Entry>,
}

impl Model {
    pub(super) fn new() -> Self {
        Model {
            balances: HashMap::new(),
            open: Pool::new(),
            closed: Pool::new(),
            undoable: Pool::new(),
            undone: Pool::new(),
            accepted: Pool::new(),
        }
    }

    /// What is available; never below zero.
    pub(super) fn balance(&self, place: Place) -> u128 {
        self.balances.get(&place).map_or(0, |balance| balance.unsigned_abs())
    }

    /// Moves value when no balance ends below zero; else changes nothing and says so.
    pub(super) fn try_move(&mut self, moves: &[(Place, i128)]) -> bool {
        let mut after: Vec<(Place, i128)> = Vec::with_capacity(moves.len());
        for &(place, amount) in moves {
            match after.iter_mut().find(|(known, _)| *known == place) {
                Some((_, balance)) => *balance += amount,
                None => {
                    let balance = self.balances.get(&place).copied().unwrap_or(0);
                    after.push((place, balance + amount));
                }
            }
        }
        if after.iter().any(|&(_, balance)| balance < 0) {
            return false;
        }
        self.balances.extend(after);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_overdraw_moves_nothing() {
        let (a, b) = ((0, 0), (1, 0));
        let mut model = Model::new();
        assert!(model.try_move(&[(a, 10)]));
        assert!(!model.try_move(&[(a, -11), (b, 11)]));
        assert_eq!((model.balance(a), model.balance(b)), (10, 0));
        assert!(model.try_move(&[(a, -11), (a, 1), (b, 10)]), "only the net counts");
        assert_eq!((model.balance(a), model.balance(b)), (0, 10));
    }

    #[test]
    fn a_pool_is_bounded() {
        let (mut pool, mut random) = (Pool::new(), Random::new(3));
        (0..2 * POOL_MAX).for_each(|thing| pool.put(&mut random, thing));
        assert_eq!(pool.0.len(), POOL_MAX);
        while pool.take(&mut random).is_some() {}
        assert!(pool.see(&mut random).is_none());
    }
}
