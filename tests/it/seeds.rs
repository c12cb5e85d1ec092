//! What fuzzing has for seeds, and what it has found, through the same promises without a fuzzer: a
//! file of `fuzz/seeds` that broke one once stays there, and is tried again on every run.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;

use crate::house::{read, root};

/// What a target does with its bytes.
type Run = fn(&[u8]);

const TARGETS: &[(&str, Run)] = &[
    ("answer", targets::answer),
    ("batch", targets::batch),
    ("canonical", targets::canonical),
    ("config", targets::config),
    ("export", targets::export),
    ("ingest", targets::ingest),
    ("macaroon", targets::macaroon),
    ("note", targets::note),
    ("policy", targets::policy),
    ("revoked", targets::revoked),
    ("tile_path", targets::tile_path),
    ("tlog_proof", targets::tlog_proof),
];

/// The seeds of a target.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = root().join("fuzz/seeds").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let files = files.map(|file| file.unwrap().path());
    files.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

#[test]
fn every_seed_keeps_the_promises_of_its_target() {
    for (target, run) in TARGETS {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{target}");
        for (path, bytes) in seeds {
            let kept = std::panic::catch_unwind(|| run(&bytes));
            assert!(kept.is_ok(), "{path}");
        }
    }
}

/// A change of a form would leave fuzzing without a way in.
#[test]
fn seeds_are_what_their_parsers_take() {
    use ron_ledger::accumulator::{Policy, SignedNote, TilePath, TlogProof};
    use ron_ledger::ledger::encode::decode;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let taken = |target: &str, takes: &dyn Fn(&[u8]) -> bool| {
        seeds(target).iter().filter(|(_, bytes)| takes(bytes)).count()
    };
    assert!(taken("canonical", &|bytes| decode(bytes).is_ok()) > 10);
    assert!(taken("note", &|bytes| SignedNote::parse(bytes).is_ok()) >= 5);
    assert!(
        taken("policy", &|bytes| Policy::parse(text(bytes).split("\n\n\n").next().unwrap())
            .is_ok())
            >= 2
    );
    assert!(taken("tile_path", &|bytes| text(bytes).parse::<TilePath>().is_ok()) >= 5);
    assert!(taken("tlog_proof", &|bytes| TlogProof::parse(bytes).is_ok()) >= 4);
    assert_eq!(taken("macaroon", &targets::is_alive), 2);
    assert_eq!(taken("export", &targets::is_verified), 4);
    assert!(taken("ingest", &targets::is_taken) > 10);
    assert!(taken("batch", &targets::is_batch) > 10);
    assert_eq!(
        taken("answer", &|bytes| ron_ledger::http::binary::answer::read(bytes).is_some()),
        5
    );
}

/// The targets of the fuzzer, of this file and of `fuzz/Cargo.toml` are the same.
#[test]
fn the_fuzzer_and_this_file_have_the_same_targets() {
    let here: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let manifest = read("fuzz/Cargo.toml");
    let bins = manifest.split("[[bin]]\nname = \"").skip(1);
    let bins: BTreeSet<String> =
        bins.map(|rest| rest.split('"').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(here, bins);
    for name in &here {
        let source = read(&format!("fuzz/fuzz_targets/{name}.rs"));
        assert!(source.contains(&format!("ron_ledger_fuzz::{name}(bytes)")), "{name}");
    }
}
