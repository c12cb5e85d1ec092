//! What an entry costs at each step of its way, without actors and HTTP: read from JSON, encode and
//! hash, and a whole commit group on either engine. Entries are those of `client::workload`.
//!
//! `cargo bench --bench commit_path`, or one part of it: `cargo bench --bench commit_path -- group`.

mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ron_ledger::accumulator::{HashAlgo, Tiles};
use ron_ledger::http::parse::{Rules, parse};
use ron_ledger::ledger::encode::encode_into;
use ron_ledger::storage::engine::{Engine, MemoryEngine};

use support::{asset, body, commit, entries, fresh, ledger};

/// Entries of a group, from one small request to a full group.
const GROUPS: [usize; 3] = [64, 512, 4096];

fn reads_json(bench: &mut Criterion) {
    let (body, default_asset) = (body(64), asset());
    let rules = Rules { default_asset: &default_asset, batch_max_entries: 1000 };
    let mut group = bench.benchmark_group("read_json");
    group.throughput(Throughput::Elements(64));
    group.bench_function("64", |bench| bench.iter(|| parse(black_box(&body), &rules)));
    group.finish();
}

fn encodes_and_hashes(bench: &mut Criterion) {
    let entries = entries(512);
    for algo in [HashAlgo::Sha256, HashAlgo::Blake3] {
        let mut group = bench.benchmark_group("encode_and_hash");
        group.throughput(Throughput::Elements(entries.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(algo), |bench| {
            let (mut tiles, mut bytes) = (Tiles::new(algo), Vec::new());
            bench.iter(|| {
                let leaves = entries.iter().map(|entry| {
                    bytes.clear();
                    encode_into(&mut bytes, 1, false, entry);
                    algo.leaf(&bytes)
                });
                black_box(tiles.append(leaves))
            });
        });
        group.finish();
    }
}

fn commits_groups(bench: &mut Criterion, name: &str, engine: impl Fn() -> Arc<dyn Engine>) {
    let mut group = bench.benchmark_group(name);
    for size in GROUPS {
        let (_store, mut writer, _lease) = ledger(engine());
        let mut seed = 0;
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |bench| {
            // Made outside of the time that is taken.
            bench.iter_custom(|times| {
                (0..times)
                    .map(|_| {
                        seed += 1;
                        let requests = fresh(size, seed);
                        let started = Instant::now();
                        commit(&mut writer, &requests);
                        started.elapsed()
                    })
                    .sum()
            });
        });
    }
    group.finish();
}

fn commits_in_memory(bench: &mut Criterion) {
    commits_groups(bench, "group_memory", || Arc::new(MemoryEngine::new(16 << 30)));
}

#[cfg(feature = "rocks")]
fn commits_to_disk(bench: &mut Criterion) {
    use ron_ledger::storage::engine::{RocksEngine, RocksOptions};
    // On the disk of the checkout: a file system in memory would not fsync.
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory can be made");
    let count = std::cell::Cell::new(0);
    commits_groups(bench, "group_fsync", || {
        count.set(count.get() + 1);
        let dir = dir.path().join(count.get().to_string());
        Arc::new(RocksEngine::open(&dir, &RocksOptions::default()).expect("an empty store opens"))
    });
}

#[cfg(not(feature = "rocks"))]
fn commits_to_disk(_: &mut Criterion) {}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = reads_json, encodes_and_hashes, commits_in_memory, commits_to_disk
}
criterion_main!(benches);
