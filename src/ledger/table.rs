//! Rows that are found by their key once, and by their place from then on. A group asks for the same
//! account, id or tuple at each of its steps: it is hashed at the first of them alone.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::ops::{Index, IndexMut};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Where a row stands. Good for the table that gave it, and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

impl Slot {
    /// As an index of what goes beside the rows.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Keys and values, in the order in which they came.
pub type Rows<'a, K, V> = std::iter::Zip<std::slice::Iter<'a, K>, std::slice::Iter<'a, V>>;

/// A hash table that keeps its rows in the order in which they came, in one piece: what is hashed is
/// four bytes a row, so that a row more touches little memory. The hash is fast and seeded; no order
/// depends on it.
#[derive(Clone, Debug)]
pub struct Table<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
    slots: HashTable<u32>,
    hasher: RandomState,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        let (keys, values, slots) = (Vec::new(), Vec::new(), HashTable::new());
        Table { keys, values, slots, hasher: RandomState::default() }
    }
}

impl<K, V> Table<K, V> {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys, in the order in which they came.
    pub fn keys(&self) -> &[K] {
        &self.keys
    }

    /// Their values, in the same order.
    pub fn values(&self) -> &[V] {
        &self.values
    }

    /// Both.
    pub fn iter(&self) -> Rows<'_, K, V> {
        self.keys.iter().zip(&self.values)
    }

    /// Forgets all rows, and keeps their memory.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
        self.slots.clear();
    }

    /// Gives each row the value at its place.
    ///
    /// # Panics
    /// When there are not as many.
    pub fn fill(&mut self, values: Vec<V>) {
        assert_eq!(self.keys.len(), values.len(), "one value for each key");
        self.values = values;
    }
}

impl<K: Eq + Hash, V> Table<K, V> {
    /// Makes room for so many rows more.
    pub fn reserve(&mut self, rows: usize) {
        self.keys.reserve(rows);
        self.values.reserve(rows);
        let (keys, hasher) = (&self.keys, &self.hasher);
        self.slots.reserve(rows, |&at| hasher.hash_one(&keys[at as usize]));
    }

    /// Where the row of `key` is.
    pub fn slot<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Slot>
    where
        K: Borrow<Q>,
    {
        let is_it = |at: &u32| self.keys[*at as usize].borrow() == key;
        self.slots.find(self.hasher.hash_one(key), is_it).map(|&at| Slot(at))
    }

    /// The value of `key`.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.slot(key).map(|slot| &self.values[slot.index()])
    }

    /// Where the row of `key` is, which is made where there is none.
    ///
    /// # Panics
    /// At 2^32 rows.
    pub fn slot_or(&mut self, key: K, value: impl FnOnce() -> V) -> Slot {
        let Table { keys, values, slots, hasher } = self;
        let is_it = |at: &u32| keys[*at as usize] == key;
        let hash_of = |at: &u32| hasher.hash_one(&keys[*at as usize]);
        match slots.entry(hasher.hash_one(&key), is_it, hash_of) {
            Entry::Occupied(known) => Slot(*known.get()),
            Entry::Vacant(room) => {
                let at = u32::try_from(keys.len()).expect("a table has fewer than 2^32 rows");
                room.insert(at);
                keys.push(key);
                values.push(value());
                Slot(at)
            }
        }
    }

    /// Gives `key` a value, whether it had one or not.
    pub fn insert(&mut self, key: K, value: V) {
        let (rows, mut value) = (self.len(), Some(value));
        let slot = self.slot_or(key, || value.take().expect("it is asked for once"));
        if let Some(value) = value.filter(|_| slot.index() < rows) {
            self.values[slot.index()] = value;
        }
    }
}

impl<'a, K, V> IntoIterator for &'a Table<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Rows<'a, K, V>;

    fn into_iter(self) -> Rows<'a, K, V> {
        self.iter()
    }
}

impl<K, V> Index<Slot> for Table<K, V> {
    type Output = V;

    fn index(&self, slot: Slot) -> &V {
        &self.values[slot.index()]
    }
}

impl<K, V> IndexMut<Slot> for Table<K, V> {
    fn index_mut(&mut self, slot: Slot) -> &mut V {
        &mut self.values[slot.index()]
    }
}

/// Whatever the order of the rows.
impl<K: Eq + Hash, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<K: Eq + Hash, V: Eq> Eq for Table<K, V> {}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_table_knows_what_a_map_knows_in_the_order_in_which_it_came(
            rows in prop::collection::vec((0u16..200, any::<u8>()), 0..400),
        ) {
            let (mut table, mut map, mut order) = (Table::default(), HashMap::new(), Vec::new());
            for (at, (key, value)) in rows.into_iter().enumerate() {
                if at == 50 {
                    table.reserve(1_000);
                }
                let slot = table.slot(&key);
                table.insert(key, value);
                prop_assert_eq!(slot.is_none(), map.insert(key, value).is_none());
                if slot.is_none() {
                    order.push(key);
                }
            }
            prop_assert_eq!(table.keys(), &order[..]);
            for key in 0..200 {
                prop_assert_eq!(table.get(&key), map.get(&key));
                prop_assert_eq!(table.slot(&key).map(|slot| table[slot]), map.get(&key).copied());
            }
            let known = table.len();
            let slot = table.slot_or(999, || 7);
            prop_assert_eq!((slot.index(), table.slot_or(999, || 8)), (known, slot));
            prop_assert_eq!(table[slot], 7);
        }
    }

    #[test]
    fn tables_are_the_same_whatever_the_order_of_their_rows() {
        let table = |rows: &[(u8, u8)]| {
            let mut table = Table::default();
            rows.iter().for_each(|(key, value)| table.insert(*key, *value));
            table
        };
        let (one, other) = (table(&[(1, 1), (2, 2)]), table(&[(2, 0), (1, 1), (2, 2)]));
        assert_eq!(one, other);
        assert_ne!(one, table(&[(1, 1), (2, 3)]));
        assert_ne!(one, table(&[(1, 1), (2, 2), (3, 3)]));
    }

    #[test]
    #[should_panic(expected = "one value for each key")]
    fn a_row_without_a_value_is_not_passed_over() {
        let mut table = Table::default();
        table.insert(1, 1);
        table.fill(vec![1, 2]);
    }
}
