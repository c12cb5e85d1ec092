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

    /// Takes the value of the first put back; nothing, when there is none.
    pub fn into_value(self) -> Vec<u8> {
        self.puts.into_iter().next().map(|(_, _, value)| value).unwrap_or_default()
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
pub type DerivedChange<'a> = (DerivedFamily, &'a [u8], Option<&'a [u8]>);

/// Puts and deletes of derived data that become visible together.
///
/// All keys and values lie in one piece: a flush has hundreds of thousands of them, for each of which
/// an allocation, and its end on another thread, cost more than the copy.
#[derive(Clone, Debug, Default)]
pub struct DerivedBatch {
    bytes: Vec<u8>,
    changes: Vec<Place>,
}

/// Where a change lies in the bytes: its key, then its value.
#[derive(Clone, Copy, Debug)]
struct Place {
    family: DerivedFamily,
    /// The key's first bytes, which tell most keys apart without a look at the rest.
    prefix: u64,
    start: usize,
    key_len: u32,
    value_len: Option<u32>,
}

impl DerivedBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for so many changes, and so many bytes of keys and values.
    pub fn with_capacity(changes: usize, bytes: usize) -> Self {
        DerivedBatch { bytes: Vec::with_capacity(bytes), changes: Vec::with_capacity(changes) }
    }

    /// Adds a put; of several changes to one key the latest counts.
    ///
    /// # Panics
    /// For a key or value of 4 GiB.
    pub fn put(&mut self, family: DerivedFamily, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.add(family, key.as_ref(), Some(value.as_ref()));
    }

    /// Adds a delete; deleting what is not there is no error.
    ///
    /// # Panics
    /// For a key of 4 GiB.
    pub fn delete(&mut self, family: DerivedFamily, key: impl AsRef<[u8]>) {
        self.add(family, key.as_ref(), None);
    }

    fn add(&mut self, family: DerivedFamily, key: &[u8], value: Option<&[u8]>) {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("keys and values are small");
        let mut first = [0; 8];
        let told = key.len().min(first.len());
        first[..told].copy_from_slice(&key[..told]);
        self.changes.push(Place {
            family,
            prefix: u64::from_be_bytes(first),
            start: self.bytes.len(),
            key_len: len(key),
            value_len: value.map(len),
        });
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
    }

    fn key(&self, place: &Place) -> &[u8] {
        &self.bytes[place.start..][..place.key_len as usize]
    }

    /// The changes, in the order in which they were added, or by key once they are sorted.
    pub fn changes(&self) -> impl ExactSizeIterator<Item = DerivedChange<'_>> {
        self.changes.iter().map(|place| {
            let key = self.key(place);
            let value = |len| &self.bytes[place.start + key.len()..][..len as usize];
            (place.family, key, place.value_len.map(value))
        })
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Sorts by family and key, so that an ordered structure is filled front to back, and drops all
    /// but the latest change of each key.
    pub(super) fn sort(&mut self) {
        let mut changes = std::mem::take(&mut self.changes);
        let by_key = |one: &Place, other: &Place| {
            let first = (one.family, one.prefix).cmp(&(other.family, other.prefix));
            first.then_with(|| self.key(one).cmp(self.key(other)))
        };
        changes.reverse();
        changes.sort_by(by_key);
        changes.dedup_by(|one, first| by_key(one, first).is_eq());
        self.changes = changes;
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
        batch.sort();
        let expected: [DerivedChange<'_>; 3] = [
            (DerivedFamily::Accounts, b"z", Some(b"2")),
            (DerivedFamily::Ids, b"a", Some(b"3")),
            (DerivedFamily::Ids, b"b", Some(b"4")),
        ];
        assert!(batch.changes().eq(expected));
    }

    #[test]
    fn keys_are_in_the_order_of_their_bytes_whatever_they_begin_with() {
        let keys: [&[u8]; 8] =
            [b"", b"\0", b"\0\0", b"a", b"aaaaaaaa", b"aaaaaaaa\0", b"aaaaaaaab", b"\xff"];
        let mut batch = DerivedBatch::new();
        for key in keys.iter().rev() {
            batch.delete(DerivedFamily::Due, key);
            batch.put(DerivedFamily::Due, key, "");
        }
        batch.sort();
        let expected = keys.map(|key| (DerivedFamily::Due, key, Some(&b""[..])));
        assert!(batch.changes().eq(expected));
    }
}
