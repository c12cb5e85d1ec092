//! The tree against the published vectors, and against RFC 6962's definitions taken at their word.

use std::collections::HashMap;

use super::*;

mod growth;
mod signed;
mod tlog_proof;

const ALGOS: [HashAlgo; 2] = [HashAlgo::Sha256, HashAlgo::Blake3];

/// MTH, PATH and SUBPROOF as RFC 6962 section 2.1 writes them down: slow and plain.
struct Definition {
    algo: HashAlgo,
    leaves: Vec<Hash>,
    known: HashMap<(usize, usize), Hash>,
}

impl Definition {
    fn new(algo: HashAlgo, size: u64) -> Self {
        let leaves = (0..size).map(|i| leaf(algo, i)).collect();
        Definition { algo, leaves, known: HashMap::new() }
    }

    fn split(low: usize, high: usize) -> usize {
        let mut k = 1;
        while 2 * k < high - low {
            k *= 2;
        }
        low + k
    }

    fn root(&mut self, low: usize, high: usize) -> Hash {
        if low == high {
            return self.algo.empty();
        }
        if high - low == 1 {
            return self.leaves[low];
        }
        if let Some(hash) = self.known.get(&(low, high)) {
            return *hash;
        }
        let middle = Self::split(low, high);
        let (left, right) = (self.root(low, middle), self.root(middle, high));
        let hash = self.algo.node(&left, &right);
        self.known.insert((low, high), hash);
        hash
    }

    fn path(&mut self, index: usize, low: usize, high: usize) -> Vec<Hash> {
        if high - low == 1 {
            return Vec::new();
        }
        let middle = Self::split(low, high);
        let (mut path, sibling) = if index < middle {
            (self.path(index, low, middle), self.root(middle, high))
        } else {
            (self.path(index, middle, high), self.root(low, middle))
        };
        path.push(sibling);
        path
    }

    fn subproof(&mut self, from: usize, low: usize, high: usize) -> Vec<Hash> {
        if from == high {
            return if low == 0 { Vec::new() } else { vec![self.root(low, high)] };
        }
        let middle = Self::split(low, high);
        let (mut proof, sibling) = if from <= middle {
            (self.subproof(from, low, middle), self.root(middle, high))
        } else {
            (self.subproof(from, middle, high), self.root(low, middle))
        };
        proof.push(sibling);
        proof
    }
}

fn leaf(algo: HashAlgo, index: u64) -> Hash {
    algo.leaf(format!("entry {index}").as_bytes())
}

/// A store of tiles, as a writer that appends `chunks` of leaves fills it.
#[derive(Default)]
struct Store(HashMap<TileId, Vec<u8>>);

impl Store {
    fn filled(algo: HashAlgo, size: u64) -> Self {
        let (mut store, mut tiles) = (Store::default(), Tiles::new(algo));
        store.put(tiles.append((0..size).map(|i| leaf(algo, i))));
        store
    }

    fn put(&mut self, changed: Vec<(TileId, Vec<u8>)>) {
        for (tile, bytes) in changed {
            let old = self.0.insert(tile, bytes.clone()).unwrap_or_default();
            assert!(bytes.starts_with(&old) && bytes.len() > old.len(), "{tile} must only grow");
        }
    }

    /// The tile as it was when the log had `size` leaves.
    fn at(&self, tile: TileId, size: u64) -> Option<&[u8]> {
        self.0.get(&tile)?.get(..32 * usize::from(tile.width_at(size)))
    }

    fn load<'a>(&'a self) -> impl FnMut(TileId) -> Option<&'a [u8]> {
        |tile| self.0.get(&tile).map(Vec::as_slice)
    }
}

/// A seeded generator (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

#[test]
fn published_vectors_are_reproduced() {
    let algo = HashAlgo::Sha256;
    let (mut tiles, mut store) = (Tiles::new(algo), Store::default());
    let (mut leaves, mut roots) = (Vec::new(), vec![algo.empty()]);
    let mut proofs = 0;
    for line in include_str!("../../tests/vectors/tlog/rfc6962.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |i: usize| words[i].parse::<u64>().unwrap();
        let hashes = |i: usize| words[i..].iter().map(|h| h.parse().unwrap()).collect::<Vec<_>>();
        match words[0] {
            "#" => (),
            "leaf" => {
                let data = words.get(1).map_or(Vec::new(), |data| hex::decode(data).unwrap());
                leaves.push(algo.leaf(&data));
                store.put(tiles.append(leaves.last().copied()));
                roots.push(tiles.root());
            }
            "root" => assert_eq!(vec![roots[number(1) as usize]], hashes(2), "{line}"),
            "inclusion" => {
                let (index, size, proof) = (number(1), number(2), hashes(3));
                assert_eq!(inclusion(algo, index, size, store.load()), Ok(proof.clone()));
                let (leaf, root) = (leaves[index as usize], roots[size as usize]);
                assert_eq!(verify_inclusion(algo, &leaf, index, size, &proof, &root), Ok(()));
                proofs += 1;
            }
            "consistency" => {
                let (from, to, proof) = (number(1), number(2), hashes(3));
                assert_eq!(consistency(algo, from, to, store.load()), Ok(proof.clone()));
                let (old, new) = (roots[from as usize], roots[to as usize]);
                assert_eq!(verify_consistency(algo, from, to, &proof, &old, &new), Ok(()));
                proofs += 1;
            }
            other => panic!("unknown vector {other}"),
        }
    }
    assert_eq!((leaves.len(), proofs), (8, 5));
}

/// Checks the proofs of one pair of numbers: leaf `a` in a tree of `b`, and from `a` to `b`.
fn check_proofs(def: &mut Definition, store: &Store, a: u64, b: u64) {
    let algo = def.algo;
    let (a_len, b_len) = (a as usize, b as usize);
    let (old, new) = (def.root(0, a_len), def.root(0, b_len));
    let exact = |tile| store.at(tile, b);

    if a < b {
        let proof = inclusion(algo, a, b, exact).unwrap();
        assert_eq!(proof, def.path(a_len, 0, b_len), "leaf {a} of {b}");
        let leaf = def.leaves[a_len];
        assert_eq!(verify_inclusion(algo, &leaf, a, b, &proof, &new), Ok(()));
        if (a + b).is_multiple_of(8) {
            assert_eq!(inclusion(algo, a, b, store.load()), Ok(proof), "fuller tiles do no harm");
        }
    }
    let proof = consistency(algo, a, b, exact).unwrap();
    if a > 0 {
        assert_eq!(proof, def.subproof(a_len, 0, b_len), "{a} to {b}");
    }
    assert_eq!(verify_consistency(algo, a, b, &proof, &old, &new), Ok(()));
}

/// Checks every pair of numbers up to 300; without optimization, which makes that minutes, every pair
/// up to 100 and some of each region above.
fn check_definition(algo: HashAlgo) {
    let (mut def, store) = (Definition::new(algo, 300), Store::filled(algo, 300));
    let all = if cfg!(debug_assertions) { 100 } else { 300 };
    for b in 1..=all {
        (0..=b).for_each(|a| check_proofs(&mut def, &store, a, b));
    }
    for b in (all + 1..=300).step_by(29).chain([255, 256, 257, 300]) {
        let ends = [0, 1, 127, 128, 129, 254, 255, 256, 257, b - 1, b];
        let some = (0..=b).step_by(13).chain(ends.into_iter().filter(|a| *a <= b));
        some.for_each(|a| check_proofs(&mut def, &store, a, b));
    }
}

#[test]
fn sha256_proofs_from_tiles_are_those_of_the_definition() {
    check_definition(HashAlgo::Sha256);
}

#[test]
fn blake3_proofs_from_tiles_are_those_of_the_definition() {
    check_definition(HashAlgo::Blake3);
}

#[test]
fn proofs_reach_across_levels() {
    let (algo, size) = (HashAlgo::Sha256, 70_000);
    let (mut def, store) = (Definition::new(algo, size), Store::filled(algo, size));
    let mut random = Random(7);
    for _ in 0..20 {
        let b = 1 + random.below(size);
        let a = random.below(b + 1);
        check_proofs(&mut def, &store, a, b);
    }
    for (a, b) in [(0, size), (size - 1, size), (65_535, 65_536), (65_536, size), (256, 65_792)] {
        check_proofs(&mut def, &store, a, b);
    }

    let mut loads = 0;
    let counted = |tile| {
        loads += 1;
        store.at(tile, size)
    };
    inclusion(algo, 12_345, size, counted).unwrap();
    assert!(loads <= 6, "two tiles a level at most, not {loads}");
}

#[test]
fn altered_proofs_do_not_verify() {
    let (algo, size) = (HashAlgo::Sha256, 40);
    let (mut def, store) = (Definition::new(algo, size), Store::filled(algo, size));
    let new = def.root(0, 40);
    for a in 1..size {
        let old = def.root(0, a as usize);
        let leaf = def.leaves[a as usize];
        let inclusion = inclusion(algo, a, size, store.load()).unwrap();
        let consistency = consistency(algo, a, size, store.load()).unwrap();
        let includes = |index, size, proof: &[Hash], root| {
            verify_inclusion(algo, &leaf, index, size, proof, root).is_ok()
        };
        let consistent = |from, to, proof: &[Hash], old, new| {
            verify_consistency(algo, from, to, proof, old, new).is_ok()
        };
        for altered in alterations(&inclusion) {
            assert!(!includes(a, size, &altered, &new), "leaf {a}");
        }
        for altered in alterations(&consistency) {
            assert!(!consistent(a, size, &altered, &old, &new), "from {a}");
        }
        assert!(!includes(a - 1, size, &inclusion, &new) && !includes(a, size, &inclusion, &old));
        assert!(!consistent(a, size, &consistency, &new, &new));
        assert!(!consistent(a, size, &consistency, &old, &old));
        assert!(!consistent(a - 1, size, &consistency, &old, &new));
    }
}

/// Each proof that differs from `proof` by one hash: changed, taken away, added, moved.
fn alterations(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = Vec::new();
    for i in 0..=proof.len() {
        let mut longer = proof.to_vec();
        longer.insert(i, Hash([9; 32]));
        all.push(longer);
    }
    for i in 0..proof.len() {
        let (mut changed, mut shorter, mut moved) =
            (proof.to_vec(), proof.to_vec(), proof.to_vec());
        changed[i].0[i % 32] ^= 1;
        shorter.remove(i);
        moved.rotate_left(i);
        all.extend([changed, shorter]);
        all.extend((i > 0).then_some(moved));
    }
    all
}

#[test]
fn bad_requests_are_errors() {
    let (algo, store) = (HashAlgo::Sha256, Store::filled(HashAlgo::Sha256, 10));
    let out = |index, size| Err(ProofError::OutOfRange { index, size });
    assert_eq!(inclusion(algo, 0, 0, store.load()), out(0, 0));
    assert_eq!(inclusion(algo, 10, 10, store.load()), out(10, 10));
    assert_eq!(inclusion(algo, u64::MAX, u64::MAX, store.load()), out(u64::MAX, u64::MAX));
    let shrinks = ProofError::Shrinks { from: 9, to: 8 };
    assert_eq!(consistency(algo, 9, 8, store.load()), Err(shrinks));
    let hash = Hash::default();
    assert_eq!(verify_consistency(algo, 9, 8, &[], &hash, &hash), Err(shrinks));
    assert_eq!(
        verify_inclusion(algo, &hash, 3, 3, &[], &hash),
        Err(ProofError::OutOfRange { index: 3, size: 3 })
    );

    let tile = TileId { level: 0, index: 0 };
    let length = TileError::Length { tile, bytes: 320, want: 352 };
    assert_eq!(inclusion(algo, 0, 11, store.load()), Err(ProofError::Tile(length)));
    assert_eq!(root_at(algo, 11, store.load()), Err(ProofError::Tile(length)));
    let missing = TileError::Missing(TileId { level: 7, index: 0 });
    let nothing = |_| None::<Vec<u8>>;
    assert_eq!(consistency(algo, 1 << 63, u64::MAX, store.load()), Err(missing_edge()));
    assert_eq!(inclusion(algo, 0, 1 << 63, nothing), Err(ProofError::Tile(missing)));
}

/// The lowest edge tile of a tree of 2^64 - 1 leaves.
fn missing_edge() -> ProofError {
    ProofError::Tile(TileError::Missing(TileId { level: 0, index: u64::MAX >> 8 }))
}

#[test]
fn proofs_of_any_length_end_in_an_answer() {
    let (algo, hash) = (HashAlgo::Blake3, Hash([5; 32]));
    let mut random = Random(11);
    for _ in 0..2_000 {
        let (a, b) = (random.below(u64::MAX), random.below(u64::MAX));
        let shift = random.below(64) as u32;
        let (a, b) = ((a.min(b)) >> shift, (a.max(b)) >> shift);
        let proof = vec![hash; random.below(70) as usize];
        assert!(verify_inclusion(algo, &hash, a, b, &proof, &Hash::default()).is_err());
        let same = verify_consistency(algo, a, b, &proof, &hash, &Hash::default());
        assert!(same.is_err() || a == 0);
    }
    assert_eq!(verify_consistency(algo, 0, 5, &[], &algo.empty(), &hash), Ok(()));
    assert_eq!(verify_consistency(algo, 0, 5, &[], &hash, &hash), Err(ProofError::Mismatch));
    assert_eq!(verify_consistency(algo, 0, 0, &[], &hash, &hash), Err(ProofError::Mismatch));
    let extra = [hash];
    assert_eq!(
        verify_consistency(algo, 0, 5, &extra, &algo.empty(), &hash),
        Err(ProofError::Length)
    );
    assert_eq!(verify_consistency(algo, 5, 5, &extra, &hash, &hash), Err(ProofError::Length));
    let other = algo.empty();
    assert_eq!(verify_consistency(algo, 5, 5, &[], &hash, &other), Err(ProofError::Mismatch));
}
