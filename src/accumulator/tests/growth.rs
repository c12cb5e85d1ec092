//! How a log grows: the frontier and the tiles, in whatever chunks the leaves come.

use super::*;

#[test]
fn tiles_do_not_depend_on_the_chunks() {
    for (algo, seed) in ALGOS.into_iter().zip([1, 2]) {
        let (size, mut random) = (1_500, Random(seed));
        let mut def = Definition::new(algo, size);
        let (mut single, mut singles) = (Tiles::new(algo), Store::default());
        for i in 0..size {
            singles.put(single.append([leaf(algo, i)]));
        }
        let (mut chunked, mut chunks) = (Tiles::new(algo), Store::default());
        while chunked.size() < size {
            let from = chunked.size();
            let to = size.min(from + random.below(600));
            let changed = chunked.append((from..to).map(|i| leaf(algo, i)));
            for (tile, bytes) in &changed {
                assert_eq!(bytes.len(), 32 * usize::from(tile.width_at(to)));
                assert!(tile.width_at(to) > tile.width_at(from), "{tile} did not change");
            }
            chunks.put(changed);
            assert_eq!(chunked.root(), def.root(0, to as usize), "size {to}");
        }
        assert_eq!(chunked, single);
        assert_eq!(chunks.0, singles.0);
    }
}

#[test]
fn the_frontier_has_the_root_of_the_definition() {
    for algo in ALGOS {
        let (mut def, mut frontier) = (Definition::new(algo, 300), Frontier::new());
        for size in 0..=300 {
            assert_eq!(frontier.size(), size as u64);
            assert_eq!(frontier.root(algo), def.root(0, size), "size {size}");
            let bytes = frontier.to_bytes();
            assert_eq!(bytes.len(), 8 + 32 * size.count_ones() as usize);
            assert_eq!(Frontier::from_bytes(&bytes), Ok(frontier.clone()));
            frontier.push(algo, leaf(algo, size as u64));
        }
    }
}

#[test]
fn damaged_frontiers_are_refused() {
    let mut frontier = Frontier::new();
    (0..7).for_each(|i| frontier.push(HashAlgo::Sha256, leaf(HashAlgo::Sha256, i)));
    let bytes = frontier.to_bytes();
    let longer = [&bytes[..], &[0; 32]].concat();
    for length in (0..bytes.len()).chain([bytes.len() + 1, bytes.len() + 32]) {
        assert_eq!(Frontier::from_bytes(&longer[..length]), Err(FrontierError::Length));
    }
    let mut other_size = bytes.clone();
    other_size[7] = 8;
    assert_eq!(Frontier::from_bytes(&other_size), Err(FrontierError::Length));
    let huge = [[0xff; 8].as_slice(), &[0; 64 * 32]].concat();
    assert_eq!(Frontier::from_bytes(&huge), Err(FrontierError::Size));
}

#[test]
fn a_log_is_taken_up_again_at_any_size() {
    let algo = HashAlgo::Sha256;
    let store = Store::filled(algo, 1_001);
    let mut tiles = Tiles::new(algo);
    for size in 0..=1_000 {
        let edge: HashMap<_, _> = tiles.edge().collect();
        let opened = Tiles::open(algo, size, |tile| edge.get(&tile).copied()).unwrap();
        assert_eq!(opened, tiles, "size {size}");
        assert_eq!(root_at(algo, size, store.load()), Ok(tiles.root()), "size {size}");
        tiles.append([leaf(algo, size)]);
        let mut opened = opened;
        opened.append([leaf(algo, size)]);
        assert_eq!(opened, tiles, "size {size} and one");
    }
}

#[test]
fn wrong_edge_tiles_are_refused() {
    let (algo, size) = (HashAlgo::Sha256, 300);
    let store = Store::filled(algo, size);
    let edge = TileId { level: 0, index: 1 };
    for (bytes, want) in [
        (None, TileError::Missing(edge)),
        (Some(43 * 32), TileError::Length { tile: edge, bytes: 43 * 32, want: 44 * 32 }),
        (Some(44 * 32 - 1), TileError::Length { tile: edge, bytes: 44 * 32 - 1, want: 44 * 32 }),
        (Some(45 * 32), TileError::Length { tile: edge, bytes: 45 * 32, want: 44 * 32 }),
    ] {
        let load = |tile| match bytes {
            _ if tile != edge => store.at(tile, size).map(<[u8]>::to_vec),
            None => None,
            Some(length) => Some(vec![0; length]),
        };
        assert_eq!(Tiles::open(algo, size, load), Err(want));
    }
    let good = Tiles::open(algo, size, |tile| store.at(tile, size)).unwrap();
    let zeroed = Tiles::open(algo, size, |tile| Some(vec![0; store.at(tile, size)?.len()]));
    assert_ne!(zeroed.unwrap().root(), good.root(), "the caller's check of the root bites");
}

#[test]
fn full_tiles_go_up_and_partial_ones_do_not() {
    let algo = HashAlgo::Sha256;
    let widths = |changed: &[(TileId, Vec<u8>)]| {
        changed.iter().map(|(t, b)| (t.level, t.index, b.len() / 32)).collect::<Vec<_>>()
    };
    let mut tiles = Tiles::new(algo);
    assert_eq!(tiles.append([]), vec![]);
    let first = tiles.append((0..255).map(|i| leaf(algo, i)));
    assert_eq!(widths(&first), [(0, 0, 255)]);
    let full = tiles.append([leaf(algo, 255)]);
    assert_eq!(widths(&full), [(0, 0, 256), (1, 0, 1)]);
    assert_eq!(full[1].1, tiles.root().0, "the hash above a full tile is its root");
    assert_eq!(tiles.edge().count(), 1);
    let over = tiles.append((256..514).map(|i| leaf(algo, i)));
    assert_eq!(widths(&over), [(0, 1, 256), (0, 2, 2), (1, 0, 2)]);

    let large = tiles.append((514..70_000).map(|i| leaf(algo, i)));
    let partial = &widths(&large)[large.len() - 3..];
    assert_eq!(partial, [(0, 273, 112), (1, 1, 17), (2, 0, 1)]);
    assert_eq!(large.iter().filter(|(tile, _)| tile.level == 0).count(), 273 - 2 + 1);
    assert!(widths(&large).contains(&(1, 0, 256)));
}
