//! Exports against everything that is no export of a ledger that kept its rules.

use std::path::Path;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;
use crate::accumulator::{Checkpoint, Hash, HashAlgo, Signer, Tiles, prove_range, sign_checkpoint};
use crate::http::dto::EntryOut;
use crate::ledger::encode::encode;
use crate::ledger::entry::{Entry, EntryId, Kind, Millis, Seq, Sequenced};
use crate::ledger::names::AccountId;
use crate::ledger::request::Request;
use crate::ledger::testing::{Book, atomic, entry, request};
use crate::storage::reader::Stored;

mod compared;
mod flips;
mod lies;
mod stores;
mod tampered;

const ORIGIN: &str = "ledger.example/a";

fn signer() -> Signer {
    Signer::new(ORIGIN, &[7; 32]).unwrap()
}

fn note(signer: &Signer, checkpoint: &Checkpoint) -> String {
    sign_checkpoint(signer, checkpoint).encode()
}

/// A log with the time of each entry's group, as its operator may have written it.
#[derive(Clone)]
struct Log {
    algo: HashAlgo,
    entries: Vec<(Millis, Sequenced)>,
}

impl Log {
    /// An export of entries `from..=to`, of the size of the whole log.
    fn export(&self, from: Seq, to: Seq) -> Vec<String> {
        let size = self.entries.len() as Seq;
        let (mut tiles, mut found) = (Tiles::new(self.algo), std::collections::HashMap::new());
        let leaves = self.entries.iter().map(|(_, entry)| self.algo.leaf(&encode(entry)));
        found.extend(tiles.append(leaves));
        let proof = prove_range(self.algo, from - 1, to, size, |tile| found.get(&tile));
        let checkpoint = Checkpoint::new(ORIGIN, size, tiles.root()).unwrap();
        let note = note(&signer(), &checkpoint);
        let (format, origin) = (FORMAT.to_owned(), ORIGIN.to_owned());
        let header = Header { format, version: VERSION, origin, hash: self.algo, from, to, size };
        let mut lines = vec![serde_json::to_string(&header).unwrap()];
        let mut times = Sha256::new();
        for (time, sequenced) in &self.entries[from as usize - 1..to as usize] {
            let bytes = encode(sequenced);
            let stored = Stored { sequenced: sequenced.clone(), time: *time, bytes };
            lines.push(serde_json::to_string(&EntryOut::from(&stored)).unwrap());
            times.update(time.to_be_bytes());
        }
        let times_sha256 = Hash(times.finalize().into());
        let trailer = Trailer { times_sha256, proof: proof.unwrap(), checkpoint: note };
        lines.push(serde_json::to_string(&trailer).unwrap());
        lines
    }

    fn all(&self) -> Vec<String> {
        self.export(1, self.entries.len() as Seq)
    }

    fn verify(&self) -> Report {
        Place::new().verify(&self.all())
    }

    /// The first entry of a kind.
    fn first(&mut self, kind: Kind) -> &mut Sequenced {
        let found = self.entries.iter_mut().find(|(_, entry)| entry.entry.kind == kind);
        &mut found.unwrap().1
    }
}

/// A directory for files.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("export.jsonl")
    }

    fn put(&self, bytes: &[u8]) -> Report {
        std::fs::write(self.path(), bytes).unwrap();
        verified(&self.path())
    }

    fn verify(&self, lines: &[String]) -> Report {
        self.put(format!("{}\n", lines.join("\n")).as_bytes())
    }
}

fn verified(path: &Path) -> Report {
    verify_export(path, signer().verifier_key(), &|_, _| ()).unwrap()
}

fn on(reference: &Entry, kind: Kind, amount: u128, to: Option<&str>) -> Entry {
    let counterparty = to.map(|name| AccountId::new(name).unwrap());
    let account = reference.account.as_str();
    Entry { reference: Some(reference.id), counterparty, ..entry(kind, account, amount) }
}

fn transfer(from: &str, to: &str, amount: u128) -> Entry {
    let counterparty = Some(AccountId::new(to).unwrap());
    Entry { counterparty, ..entry(Kind::Transfer, from, amount) }
}

fn hold(account: &str, amount: u128, expires_at: Millis) -> Entry {
    Entry { expires_at: Some(expires_at), ..entry(Kind::Hold, account, amount) }
}

/// A log with every kind, units of several entries and an expiry, of groups 10 ms apart.
fn log_of_all_kinds(algo: HashAlgo) -> Log {
    let mut book = Book::new();
    let mut log = Log { algo, entries: Vec::new() };
    let (moved, kept) = (transfer("alice", "acct:bob/x", 30), hold("alice", 40, 9_000));
    let (short, paid) = (hold("alice", 7, 1_035), hold("alice", 5, 9_000));
    let burnt = entry(Kind::Burn, "alice", 2);
    let groups: Vec<Vec<Request>> = vec![
        vec![request([entry(Kind::Mint, "alice", 100)]), request([moved.clone()])],
        vec![request([kept.clone(), short, paid.clone()])],
        vec![
            request([entry(Kind::Debit, "alice", 3), entry(Kind::Credit, "carol", 3)]),
            request([Entry { keep_open: true, ..on(&kept, Kind::Capture, 10, Some("shop")) }]),
        ],
        vec![atomic([on(&kept, Kind::Release, 30, None), on(&moved, Kind::Reverse, 30, None)])],
        vec![request([burnt.clone(), on(&paid, Kind::Capture, 4, Some("shop"))])],
        vec![request([on(&burnt, Kind::Reverse, 2, None)])],
    ];
    for group in groups {
        book.now += 10;
        let before = book.log.len();
        let plan = book.commit(&group.iter().collect::<Vec<_>>());
        let refused = plan
            .outcomes
            .iter()
            .flatten()
            .find(|outcome| !matches!(outcome, crate::ledger::plan::Outcome::Committed(_)));
        assert_eq!(refused, None);
        let entries = book.log[before..].iter().map(|entry| (book.now, entry.clone()));
        log.entries.extend(entries);
    }
    assert!(Kind::ALL.iter().all(|kind| log.entries.iter().any(|(_, e)| e.entry.kind == *kind)));
    log
}

#[test]
fn an_export_of_all_kinds_is_verified() {
    for algo in [HashAlgo::Sha256, HashAlgo::Blake3] {
        let log = log_of_all_kinds(algo);
        let report = log.verify();
        assert_eq!(report.problem, None);
        assert!(report.verified);
        assert_eq!((report.entries, report.size), (14, 14));
        assert_eq!(report.accounts, 4);
        assert!(report.checked.contains(&Check::Replay));
        assert_eq!(report.not_checked.len(), 2);
    }
}

#[test]
fn a_part_of_a_ledger_says_what_was_not_checked() {
    let log = log_of_all_kinds(HashAlgo::Blake3);
    let size = log.entries.len() as Seq;
    for from in 1..=size {
        for to in from..=size {
            let report = Place::new().verify(&log.export(from, to));
            assert_eq!(report.problem, None, "{from} to {to}");
            assert_eq!(report.entries, to - from + 1);
            let is_whole = from == 1;
            assert_eq!(report.checked.contains(&Check::Replay), is_whole);
            let says = |what| report.not_checked.iter().any(|not| not.what == what);
            assert_eq!(says("funds and conservation"), !is_whole);
            assert_eq!(says("the last unit"), to < size && log.entries[to as usize - 1].1.linked);
        }
    }
}

/// What is written has the fields that are read, and no others.
#[test]
fn lines_are_read_as_they_are_written() {
    for line in &log_of_all_kinds(HashAlgo::Blake3).all()[1..15] {
        serde_json::from_str::<EntryLine<'_>>(line).unwrap();
        let more = line.replacen('{', "{\"more\":1,", 1);
        assert!(serde_json::from_str::<EntryLine<'_>>(&more).is_err());
        let escaped = line.replace('/', "\\/");
        serde_json::from_str::<EntryLine<'_>>(&escaped).unwrap();
    }
}
