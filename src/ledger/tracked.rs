//! A table that a plan changes: unit by unit, each of which stays or is undone as one.

use std::hash::Hash;

use super::table::{Slot, Table};

/// Rows as the group has left them so far, with the unit in hand.
#[derive(Debug)]
pub(super) struct Tracked<K, V> {
    pub(super) rows: Table<K, V>,
    /// What the unit in hand has changed, as it was before; the earliest first.
    before: Vec<(Slot, V)>,
    /// What the accepted units have changed, each row once.
    changed: Vec<Slot>,
    /// By row; false behind the end.
    is_changed: Vec<bool>,
}

impl<K, V> Tracked<K, V> {
    /// Nothing of `rows` is changed yet.
    pub(super) fn new(rows: Table<K, V>) -> Self {
        // Most of what a group reads it changes.
        let (changed, is_changed) = (Vec::with_capacity(rows.len()), vec![false; rows.len()]);
        Tracked { rows, before: Vec::new(), changed, is_changed }
    }

    /// For the unit in hand.
    pub(super) fn set(&mut self, slot: Slot, value: V) {
        let before = std::mem::replace(&mut self.rows[slot], value);
        self.before.push((slot, before));
    }

    /// The unit is accepted.
    pub(super) fn keep(&mut self) {
        for (slot, _) in self.before.drain(..) {
            if self.is_changed.len() <= slot.index() {
                self.is_changed.resize(slot.index() + 1, false);
            }
            if !std::mem::replace(&mut self.is_changed[slot.index()], true) {
                self.changed.push(slot);
            }
        }
    }

    /// The unit is refused: nothing of it stays.
    pub(super) fn undo(&mut self) {
        while let Some((slot, before)) = self.before.pop() {
            self.rows[slot] = before;
        }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Tracked<K, V> {
    /// What the accepted units have changed, each key once.
    pub(super) fn changes(&self) -> impl Iterator<Item = (K, V)> {
        self.changed
            .iter()
            .map(|&slot| (self.rows.keys()[slot.index()].clone(), self.rows[slot].clone()))
    }
}
