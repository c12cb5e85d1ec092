//! How fast an export is verified offline, and what memory that takes: one run over a file of so many
//! entries, `RON_AUDIT_ENTRIES` or 1,000,000. Entries are those of `client::workload`.
//!
//! `cargo bench --bench audit`

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ron_ledger::accumulator::{
    Checkpoint, Hash, HashAlgo, Signer, prove_range, root_at, sign_checkpoint,
};
use ron_ledger::audit::{FORMAT, Header, Trailer, VERSION, verify_export};
use ron_ledger::client::workload::{Spec, Workload};
use ron_ledger::http::dto::EntryOut;
use ron_ledger::ledger::names::Asset;
use ron_ledger::ledger::plan::Group;
use ron_ledger::ledger::request::{Grants, Item, Request};
use ron_ledger::storage::engine::MemoryEngine;
use ron_ledger::storage::genesis::Genesis;
use ron_ledger::storage::reader::Reader;
use ron_ledger::storage::store::{Store, StoreOptions};
use ron_ledger::storage::writer::Lag;
use sha2::{Digest as _, Sha256};

const ORIGIN: &str = "bench.example/log";

fn main() {
    let entries = std::env::var("RON_AUDIT_ENTRIES").ok().and_then(|text| text.parse().ok());
    let entries = entries.unwrap_or(1_000_000);
    let dir = std::env::temp_dir().join(format!("ron-ledger-audit-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary directory can be made");
    let (path, signer) = (dir.join("export.jsonl"), Signer::new(ORIGIN, &[7; 32]));
    let signer = signer.expect("the origin names a key");
    write_export(entries, &path, &signer);
    let bytes = std::fs::metadata(&path).map_or(0, |found| found.len());
    let (started, before) = (Instant::now(), resident_kib());
    let busy_before = busy_seconds();
    let report = verify_export(&path, signer.verifier_key(), &|_, _| ()).expect("it can be read");
    let (took, busy) = (started.elapsed().as_secs_f64(), busy_seconds() - busy_before);
    assert_eq!(report.problem, None);
    println!(
        "{} entries, {} MB: {took:.2} s, {:.0} entries/s; {busy:.2} s of processors, {:.0} entries/s a \
         core; peak memory {} MiB ({} before)",
        report.entries,
        bytes / 1_000_000,
        report.entries as f64 / took,
        report.entries as f64 / busy,
        peak_kib() / 1024,
        before / 1024,
    );
    // Of no use to anyone when it stays.
    let _ = std::fs::remove_dir_all(&dir);
}

/// Commits the workload to a ledger in memory and writes what it would export.
fn write_export(entries: usize, path: &Path, signer: &Signer) {
    let genesis = Genesis {
        hash: HashAlgo::Sha256,
        origin: ORIGIN.into(),
        default_asset: Asset::new("RON").expect("a name"),
        parent: None,
    };
    let options =
        StoreOptions { filter_bytes: 64 << 20, lag: Lag { flush: 100_000, max: 1 << 22 } };
    let store = Store::open(Arc::new(MemoryEngine::new(1 << 36)), genesis, options);
    let store = store.expect("memory can be opened");
    let (mut writer, _lease) = store.writer(None).expect("an empty ledger is in order");
    let spec = Spec { entries, accounts: 10_000, invalid_share: 0.0, ..Spec::default() };
    let units = Workload::new(spec).expect("the spec is within its bounds");
    let item = |entry| Item::new(entry, Grants::ALL);
    let requests = units.map(|unit| Request {
        items: unit.entries.into_iter().map(item).collect(),
        atomic: unit.atomic,
    });
    let requests: Vec<Request> = requests.collect();
    for (at, group) in requests.chunks(512).enumerate() {
        let requests: Vec<&Request> = group.iter().collect();
        let group = Group { requests: &requests, now: 1_000 + at as u64, expire_max: 100 };
        let mut prepared = writer.prepare(&group).expect("memory can be read");
        if !prepared.is_empty() {
            let written = writer.write(&mut prepared).expect("memory can be written");
            writer.apply(prepared, written);
        }
    }
    write_lines(&store.reader(), path, signer);
}

fn write_lines(reader: &Reader, path: &Path, signer: &Signer) {
    let (size, hash) = (reader.head().seq, reader.genesis().hash);
    let load = |tile| reader.tile(tile).expect("memory can be read");
    let proof = prove_range(hash, 0, size, size, load).expect("the tiles are there");
    let root = root_at(hash, size, load).expect("the tiles are there");
    let checkpoint = Checkpoint::new(ORIGIN, size, root).expect("the origin is one");
    let checkpoint = sign_checkpoint(signer, &checkpoint).encode();
    let mut out = BufWriter::new(File::create(path).expect("the file can be made"));
    let mut line = |value: String| writeln!(out, "{value}").expect("the file can be written");
    let (format, origin) = (FORMAT.to_owned(), ORIGIN.to_owned());
    let header = Header { format, version: VERSION, origin, hash, from: 1, to: size, size };
    line(serde_json::to_string(&header).expect("texts and numbers"));
    let mut times = Sha256::new();
    let mut next = 1;
    while next <= size {
        for stored in reader.entries(next, size, 4096).expect("memory can be read") {
            times.update(stored.time.to_be_bytes());
            line(serde_json::to_string(&EntryOut::from(&stored)).expect("texts and numbers"));
            next += 1;
        }
    }
    let times_sha256 = Hash(times.finalize().into());
    let trailer = Trailer { times_sha256, proof, checkpoint };
    line(serde_json::to_string(&trailer).expect("texts and numbers"));
    out.flush().expect("the file can be written");
}

/// What the process has had of all processors: the machine may be busy with other work.
fn busy_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Of `/proc/self/status`, in KiB; 0 where there is none.
fn status_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn resident_kib() -> u64 {
    status_kib("VmRSS:")
}

fn peak_kib() -> u64 {
    status_kib("VmHWM:")
}
