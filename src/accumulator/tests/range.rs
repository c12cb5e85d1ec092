//! Range proofs against a plain definition of the tree, and against everything that is no proof.

use super::*;

/// The roots of the perfect subtrees outside of `from..to`, found by walking the whole tree from its
/// root: a subtree that is wholly outside and full is named, every other one is opened.
fn outside(tree: &mut Definition, from: usize, to: usize, size: usize) -> Vec<Hash> {
    fn walk(
        tree: &mut Definition,
        (low, high): (usize, usize),
        (from, to): (usize, usize),
        found: &mut Vec<Hash>,
    ) {
        let apart = high <= from || to <= low;
        if low == high || from <= low && high <= to {
            return;
        }
        // A full subtree that another one of the split would straddle stays open.
        let straddles = from == to && low < from && from < high;
        if apart && !straddles && (high - low).is_power_of_two() {
            return found.push(tree.root(low, high));
        }
        let middle = Definition::split(low, high);
        walk(tree, (low, middle), (from, to), found);
        walk(tree, (middle, high), (from, to), found);
    }
    let mut found = Vec::new();
    // The tree of the first `from` leaves has its own splits, which are those of the larger one.
    walk(tree, (0, size), (from, to), &mut found);
    found
}

fn refused(result: Result<(), ProofError>, what: &str) {
    assert!(result.is_err(), "{what} is accepted");
}

fn check(tree: &mut Definition, store: &Store, from: usize, to: usize, size: usize) {
    let algo = tree.algo;
    let (first, end, all) = (from as u64, to as u64, size as u64);
    let proof = prove_range(algo, first, end, all, store.load()).unwrap();
    assert_eq!(proof, outside(tree, from, to, size), "{from}..{to} of {size}");
    let (root, leaves) = (tree.root(0, size), tree.leaves[from..to].to_vec());
    let mut range = LeafRange::new(algo, first);
    leaves.iter().for_each(|leaf| range.push(*leaf));
    let before = range.before(all, &proof, &root).unwrap();
    assert_eq!((before.size(), before.root(algo)), (first, tree.root(0, from)));
}

/// Every way of being wrong by one thing.
fn check_refusals(tree: &mut Definition, store: &Store, from: usize, to: usize, size: usize) {
    let algo = tree.algo;
    let (first, end, all) = (from as u64, to as u64, size as u64);
    let proof = prove_range(algo, first, end, all, store.load()).unwrap();
    let (root, leaves) = (tree.root(0, size), tree.leaves[from..to].to_vec());
    let verify = |from: u64, leaves: &[Hash], size: u64, proof: &[Hash], root: &Hash| {
        verify_range(algo, from, leaves.iter().copied(), size, proof, root)
    };
    verify(first, &leaves, all, &proof, &root).unwrap();
    for at in 0..proof.len() {
        let mut bad = proof.clone();
        bad[at].0[at % 32] ^= 1;
        refused(verify(first, &leaves, all, &bad, &root), "a changed hash");
        let mut bad = proof.clone();
        bad.remove(at);
        refused(verify(first, &leaves, all, &bad, &root), "a dropped hash");
        bad.insert(at, proof[at]);
        bad.insert(at, proof[at]);
        refused(verify(first, &leaves, all, &bad, &root), "a doubled hash");
        if at > 0 {
            let mut bad = proof.clone();
            bad.swap(at - 1, at);
            refused(verify(first, &leaves, all, &bad, &root), "swapped hashes");
        }
    }
    for at in 0..leaves.len() {
        let mut bad = leaves.clone();
        bad[at].0[31] ^= 128;
        refused(verify(first, &bad, all, &proof, &root), "a changed leaf");
    }
    if let Some((_, fewer)) = leaves.split_last() {
        refused(verify(first, fewer, all, &proof, &root), "a dropped leaf");
    }
    let more = [&leaves[..], &[algo.empty()]].concat();
    refused(verify(first, &more, all, &proof, &root), "one leaf more");
    refused(verify(first, &leaves, all, &[&proof[..], &[root]].concat(), &root), "one hash more");
    refused(verify(first, &leaves, all, &proof, &algo.empty()), "another root");
    if !leaves.is_empty() {
        refused(verify(first + 1, &leaves, all, &proof, &root), "another place");
    }
}

#[test]
fn all_ranges_of_small_trees_are_proved_and_nothing_else() {
    // Without optimization one of the hashes is slow.
    for (algo, size_max) in [(HashAlgo::Sha256, 33), (HashAlgo::Blake3, 70)] {
        let (mut tree, store) = (Definition::new(algo, 70), Store::filled(algo, 70));
        for size in 1..=size_max {
            for to in 0..=size {
                for from in 0..=to {
                    check(&mut tree, &store, from, to, size);
                    if size <= 9 || size % 30 == 3 && to % 9 == 3 && from % 7 == 1 {
                        check_refusals(&mut tree, &store, from, to, size);
                    }
                }
            }
        }
    }
}

#[test]
fn ranges_of_larger_trees_are_proved() {
    let algo = HashAlgo::Blake3;
    let (mut tree, store) = (Definition::new(algo, 2_000), Store::filled(algo, 2_000));
    let mut seed = 7_u64;
    let mut below = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % bound
    };
    for _ in 0..200 {
        let size = 1 + below(2_000);
        let to = below(size + 1);
        let from = below(to + 1);
        check(&mut tree, &store, from, to, size);
    }
    check_refusals(&mut tree, &store, 700, 713, 2_000);
    let algo = HashAlgo::Sha256;
    let (mut tree, store) = (Definition::new(algo, 300), Store::filled(algo, 300));
    check_refusals(&mut tree, &store, 255, 258, 300);
    check(&mut tree, &store, 3, 299, 300);
}

#[test]
fn a_range_outside_of_the_tree_is_none() {
    let algo = HashAlgo::Sha256;
    let store = Store::filled(algo, 10);
    for (from, to, size) in [(5, 4, 10), (0, 11, 10), (11, 11, 10), (0, 0, 1 << 63)] {
        let refusal = ProofError::Range { from, to, size };
        assert_eq!(prove_range(algo, from, to, size, store.load()), Err(refusal));
    }
    let missing = prove_range(algo, 0, 0, 300, store.load());
    assert!(matches!(missing, Err(ProofError::Tile(_))), "{missing:?}");
    assert_eq!(prove_range(algo, 0, 0, 0, store.load()), Ok(Vec::new()));
    verify_range(algo, 0, [], 0, &[], &algo.empty()).unwrap();
}

#[test]
fn proofs_of_the_largest_tree_need_few_hashes() {
    let size = (1 << 63) - 1;
    let range = LeafRange::new(HashAlgo::Sha256, size / 2);
    let proof = [Hash::default(); 125];
    let root = Hash::default();
    // With another number of hashes the length is at fault, with this one the hashes are.
    assert_eq!(range.verify(size, &proof[..124], &root), Err(ProofError::Length));
    assert_eq!(range.verify(size, &proof, &root), Err(ProofError::Mismatch));
}
