//! The key spaces of the store and the batches that are written to them.

/// Families of truth, append-only. The numbers are never used again for another family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TruthFamily {
    /// First seq of a commit group: the group. A key's value never changes.
    Blocks = 1,
    /// Last seq of a commit group: its root. A key's value never changes.
    Roots = 2,
    /// Head, schema, genesis: the few keys whose value moves with the head.
    Meta = 3,
}

impl TruthFamily {
    /// All families, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Blocks, Self::Roots, Self::Meta];

    /// The name on disk, fixed for ever.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Roots => "roots",
            Self::Meta => "meta",
        }
    }

    /// Whether a key of this family may get another value later.
    pub const fn is_mutable(self) -> bool {
        matches!(self, Self::Meta)
    }

    /// Position in [`Self::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize - 1
    }
}

/// Families of derived data, which can be rebuilt from truth. The numbers are never used again for
/// another family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DerivedFamily {
    /// Balances of accounts.
    Accounts = 1,
    /// Supply and totals of assets.
    Supply = 2,
    /// Entry ids.
    Ids = 3,
    /// Idempotency digests.
    Idem = 4,
    /// Open holds.
    Holds = 5,
    /// Holds by the time at which they are due.
    Due = 6,
    /// Tiles and frontier of the accumulator.
    Tiles = 7,
    /// The height that the derived data stands for.
    Meta = 8,
    /// The saved filter of ids that were seen.
    Filter = 9,
}

impl DerivedFamily {
    /// All families, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Accounts,
        Self::Supply,
        Self::Ids,
        Self::Idem,
        Self::Holds,
        Self::Due,
        Self::Tiles,
        Self::Meta,
        Self::Filter,
    ];

    /// The name on disk, fixed for ever.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Supply => "supply",
            Self::Ids => "ids",
            Self::Idem => "idem",
            Self::Holds => "holds",
            Self::Due => "due",
            Self::Tiles => "tiles",
            Self::Meta => "meta",
            Self::Filter => "filter",
        }
    }

    /// Position in [`Self::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize - 1
    }
}

/// Puts to truth that become durable together. There is no delete: truth is append-only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TruthBatch {
    puts: Vec<(TruthFamily, Vec<u8>, Vec<u8>)>,
}

impl TruthBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put; of two for one key the later counts.
    pub fn put(&mut self, family: TruthFamily, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.puts.push((family, key.into(), value.into()));
    }

    /// The puts, in the order in which they were added.
    pub fn puts(&self) -> &[(TruthFamily, Vec<u8>, Vec<u8>)] {
        &self.puts
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> u64 {
        self.puts.iter().map(|(_, key, value)| (key.len() + value.len()) as u64).sum()
    }
}

/// One change of derived data: `None` deletes the key.
pub type DerivedChange = (DerivedFamily, Vec<u8>, Option<Vec<u8>>);

/// Puts and deletes of derived data that become visible together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DerivedBatch {
    changes: Vec<DerivedChange>,
}

impl DerivedBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put; of several changes to one key the latest counts.
    pub fn put(
        &mut self,
        family: DerivedFamily,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
    ) {
        self.changes.push((family, key.into(), Some(value.into())));
    }

    /// Adds a delete; deleting what is not there is no error.
    pub fn delete(&mut self, family: DerivedFamily, key: impl Into<Vec<u8>>) {
        self.changes.push((family, key.into(), None));
    }

    /// The changes, in the order in which they were added.
    pub fn changes(&self) -> &[DerivedChange] {
        &self.changes
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> u64 {
        let value_len = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        self.changes.iter().map(|(_, key, value)| (key.len() + value_len(value)) as u64).sum()
    }

    /// Sorts by family and key, so that an ordered structure is filled front to back, and drops all
    /// but the latest change of each key.
    pub(super) fn into_sorted(mut self) -> Vec<DerivedChange> {
        self.changes.reverse();
        self.changes.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        self.changes.dedup_by(|later, first| (later.0, &later.1) == (first.0, &first.1));
        self.changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_on_disk_never_change() {
        let truth: Vec<_> = TruthFamily::ALL.iter().map(|f| (*f as u8, f.name())).collect();
        assert_eq!(truth, [(1, "blocks"), (2, "roots"), (3, "meta")]);
        let derived: Vec<_> = DerivedFamily::ALL.iter().map(|f| (*f as u8, f.name())).collect();
        let expected = [
            (1, "accounts"),
            (2, "supply"),
            (3, "ids"),
            (4, "idem"),
            (5, "holds"),
            (6, "due"),
            (7, "tiles"),
            (8, "meta"),
            (9, "filter"),
        ];
        assert_eq!(derived, expected);
        assert!(TruthFamily::ALL.iter().enumerate().all(|(i, f)| f.index() == i));
        assert!(DerivedFamily::ALL.iter().enumerate().all(|(i, f)| f.index() == i));
    }

    #[test]
    fn sorting_keeps_the_latest_change_of_each_key() {
        let mut batch = DerivedBatch::new();
        batch.put(DerivedFamily::Ids, "b", "1");
        batch.put(DerivedFamily::Accounts, "z", "2");
        batch.delete(DerivedFamily::Ids, "b");
        batch.put(DerivedFamily::Ids, "a", "3");
        batch.put(DerivedFamily::Ids, "b", "4");
        assert_eq!(
            batch.into_sorted(),
            [
                (DerivedFamily::Accounts, b"z".to_vec(), Some(b"2".to_vec())),
                (DerivedFamily::Ids, b"a".to_vec(), Some(b"3".to_vec())),
                (DerivedFamily::Ids, b"b".to_vec(), Some(b"4".to_vec())),
            ]
        );
    }
}
