//! The commit path in instructions, which no neighbour on the machine changes: run under callgrind by
//! `scripts/instructions.sh`, which holds them against `benches/instructions.txt`.
//!
//! Alone it runs each step once, which says no more than that they run.

mod support;

use std::hint::black_box;
use std::sync::Arc;

use ron_ledger::accumulator::{HashAlgo, Tiles};
use ron_ledger::http::binary;
use ron_ledger::http::parse::{Rules, parse, parse_binary};
use ron_ledger::ledger::encode::encode_into;
use ron_ledger::ledger::plan::Group;
use ron_ledger::ledger::request::Request;
use ron_ledger::storage::engine::{Engine, MemoryEngine};

use support::{asset, body, commit, entries, fresh, ledger};

/// What is counted: callgrind collects within this function alone.
#[inline(never)]
fn measured<T>(step: impl FnOnce() -> T) -> T {
    black_box(step())
}

fn decode() {
    let (body, asset) = (body(64), asset());
    let rules = Rules { default_asset: &asset, batch_max_entries: 1000 };
    parse(&body, &rules).expect("it is a request");
    measured(|| (0..8).for_each(|_| drop(black_box(parse(black_box(&body), &rules)))));
}

/// The same requests in the binary form.
fn decode_binary() {
    let (json, asset) = (body(64), asset());
    let request = serde_json::from_slice(&json).expect("it is a request");
    let body = binary::write(&request).expect("each field has a binary form");
    let rules = Rules { default_asset: &asset, batch_max_entries: 1000 };
    parse_binary(&body, &rules).expect("it is a request");
    measured(|| (0..8).for_each(|_| drop(black_box(parse_binary(black_box(&body), &rules)))));
}

fn encode_and_hash() {
    let entries = entries(512);
    let (mut tiles, mut bytes) = (Tiles::new(HashAlgo::Sha256), Vec::new());
    measured(|| {
        let leaves = entries.iter().map(|entry| {
            bytes.clear();
            encode_into(&mut bytes, 1, false, entry);
            HashAlgo::Sha256.leaf(&bytes)
        });
        tiles.append(leaves)
    });
}

/// Reads, decides, encodes and hashes; on a ledger that knows the accounts already.
fn prepare() {
    let (_store, mut writer, _lease) = ledger(Arc::new(MemoryEngine::new(4 << 30)));
    (1..=20).for_each(|seed| commit(&mut writer, &fresh(512, seed)));
    let requests = fresh(512, 100);
    let requests: Vec<&Request> = requests.iter().collect();
    let group = Group { requests: &requests, now: writer.next_time(1), expire_max: 0 };
    let prepared = measured(|| writer.prepare(&group).expect("the store can be read"));
    drop(prepared);
}

/// All of it, on the engine in memory.
fn group() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new(4 << 30));
    let (_store, mut writer, _lease) = ledger(engine);
    (1..=20).for_each(|seed| commit(&mut writer, &fresh(512, seed)));
    let requests = fresh(512, 100);
    measured(|| commit(&mut writer, &requests));
}

/// The same on the durable engine: a write to its log among it.
#[cfg(feature = "rocks")]
fn group_durable() {
    use ron_ledger::storage::engine::{RocksEngine, RocksOptions};
    let dir = tempfile::tempdir().expect("a directory can be made");
    let engine = RocksEngine::open(&dir.path().join("data"), &RocksOptions::default());
    let (_store, mut writer, _lease) = ledger(Arc::new(engine.expect("an empty store opens")));
    (1..=20).for_each(|seed| commit(&mut writer, &fresh(512, seed)));
    let requests = fresh(512, 100);
    measured(|| commit(&mut writer, &requests));
}

fn main() {
    let steps: &[(&str, fn())] = &[
        ("decode_json_8x64", decode),
        ("decode_binary_8x64", decode_binary),
        ("encode_and_hash_512", encode_and_hash),
        ("prepare_512", prepare),
        ("group_memory_512", group),
        #[cfg(feature = "rocks")]
        ("group_durable_512", group_durable),
    ];
    let asked = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    for (name, step) in steps {
        match &asked {
            Some(asked) if asked == "list" => println!("{name}"),
            Some(asked) if asked != name => {}
            _ => step(),
        }
    }
}
