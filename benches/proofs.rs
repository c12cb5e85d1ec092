//! What auditors and monitors ask for, from a ledger of 200,000 entries that lies still: proofs of
//! inclusion and of consistency, each checked before it is given out as the server does it, and tiles.
//! One thread, no HTTP. Entries are those of `client::workload`.
//!
//! `cargo bench --bench proofs`

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use ron_ledger::accumulator::{HashAlgo, TileId};
use ron_ledger::client::workload::{Spec, Workload};
use ron_ledger::ledger::names::Asset;
use ron_ledger::ledger::plan::Group;
use ron_ledger::ledger::request::{Grants, Item, Request};
use ron_ledger::storage::engine::{Engine, MemoryEngine};
use ron_ledger::storage::genesis::Genesis;
use ron_ledger::storage::reader::Reader;
use ron_ledger::storage::store::{Store, StoreOptions};
use ron_ledger::storage::writer::Lag;

const ENTRIES: usize = 200_000;

/// Commits the workload and flushes what follows from it.
fn filled(engine: Arc<dyn Engine>) -> Reader {
    let genesis = Genesis {
        hash: HashAlgo::Sha256,
        origin: "bench".into(),
        default_asset: Asset::new("RON").expect("a name"),
        parent: None,
    };
    let lag = Lag { flush: 50_000, max: 1 << 20 };
    let store = Store::open(engine, genesis, StoreOptions { filter_bytes: 32 << 20, lag });
    let store = store.expect("the store opens");
    let (mut writer, _lease) = store.writer(None).expect("an empty store recovers");
    let spec = Spec { entries: ENTRIES, accounts: 10_000, invalid_share: 0.0, ..Spec::default() };
    let item = |entry| Item::new(entry, Grants::ALL);
    let requests: Vec<Request> = Workload::new(spec)
        .expect("the spec is within its bounds")
        .map(|unit| Request {
            items: unit.entries.into_iter().map(item).collect(),
            atomic: unit.atomic,
        })
        .collect();
    for group in requests.chunks(512) {
        let requests: Vec<&Request> = group.iter().collect();
        let group = Group { requests: &requests, now: writer.next_time(1), expire_max: 0 };
        let mut prepared = writer.prepare(&group).expect("the store can be read");
        let written = writer.write(&mut prepared).expect("the store can be written");
        writer.apply(prepared, written);
    }
    assert!(writer.settle(Instant::now() + Duration::from_secs(60)), "all is flushed");
    store.reader()
}

fn proves(bench: &mut Criterion, name: &str, engine: Arc<dyn Engine>) {
    let reader = filled(engine);
    let size = reader.head().seq;
    let mut random = StdRng::seed_from_u64(1);
    let mut group = bench.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    group.bench_function("inclusion", |bench| {
        bench.iter(|| {
            let seq = random.random_range(1..=size);
            black_box(reader.inclusion(seq, size).expect("the entry is there"))
        });
    });
    group.bench_function("consistency", |bench| {
        bench.iter(|| {
            let from = random.random_range(1..=size);
            black_box(reader.consistency(from, size).expect("both sizes are there"))
        });
    });
    let tiles = size / 256;
    group.bench_function("tile", |bench| {
        bench.iter(|| {
            let tile = TileId { level: 0, index: random.random_range(0..tiles) };
            black_box(reader.tile(tile).expect("the store can be read").expect("a full tile"))
        });
    });
    group.finish();
}

fn proves_from_memory(bench: &mut Criterion) {
    proves(bench, "proofs_memory", Arc::new(MemoryEngine::new(16 << 30)));
}

#[cfg(feature = "rocks")]
fn proves_from_disk(bench: &mut Criterion) {
    use ron_ledger::storage::engine::{RocksEngine, RocksOptions};
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory can be made");
    let engine = RocksEngine::open(&dir.path().join("data"), &RocksOptions::default());
    proves(bench, "proofs_rocksdb", Arc::new(engine.expect("an empty store opens")));
}

#[cfg(not(feature = "rocks"))]
fn proves_from_disk(_: &mut Criterion) {}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = proves_from_memory, proves_from_disk
}
criterion_main!(benches);
