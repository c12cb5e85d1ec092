//! A witness against honest logs, lying ones, and what a disk can do to its memory.

use super::*;
use crate::accumulator::{Signer, Tiles, consistency, sign_checkpoint};

const NOW: u64 = 1_700_000_000;
const ORIGIN: &str = "ledger.example/a";

fn signer(origin: &str) -> Signer {
    Signer::new(origin, &[1; 32]).unwrap()
}

fn cosigner() -> Cosigner {
    Cosigner::new("witness.example/w", &[2; 32]).unwrap()
}

/// A directory that is not there yet, in one that goes with the test.
fn place() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("logs");
    (parent, dir)
}

fn open(dir: &Path) -> Witness {
    Witness::open(dir, cosigner(), [signer(ORIGIN).verifier_key().clone()]).unwrap()
}

/// A log whose leaf n is n, but from `fork` on, where it has another history.
struct Log {
    fork: u64,
}

impl Log {
    fn tiles(&self, size: u64) -> (HashMap<crate::accumulator::TileId, Vec<u8>>, Tiles) {
        let (mut stored, mut tiles) = (HashMap::new(), Tiles::new(HashAlgo::Sha256));
        for leaf in 0..size {
            let data = if leaf < self.fork { leaf } else { leaf + 1_000_000 };
            stored.extend(tiles.append([HashAlgo::Sha256.leaf(&data.to_be_bytes())]));
        }
        (stored, tiles)
    }

    fn submission(&self, old: u64, new: u64) -> Submission {
        let (stored, tiles) = self.tiles(new);
        let load = |tile| stored.get(&tile);
        let proof = match old <= new {
            true => consistency(HashAlgo::Sha256, old, new, load).unwrap(),
            false => Vec::new(),
        };
        let checkpoint = Checkpoint::new(ORIGIN, new, tiles.root()).unwrap();
        let note = sign_checkpoint(&signer(ORIGIN), &checkpoint).encode();
        Submission { old, proof, note }
    }
}

const HONEST: Log = Log { fork: u64::MAX };

fn add(witness: &Witness, submission: &Submission) -> Result<(), Refusal> {
    let cosignature = witness.add_checkpoint(submission.encode().as_bytes(), NOW)?;
    let note = SignedNote::parse(submission.note.as_bytes()).unwrap();
    assert_eq!(witness.cosigner_key().cosigned_at(note.text(), &cosignature), Some(NOW));
    Ok(())
}

fn is_at(witness: &Witness, size: u64) {
    let note = witness.checkpoint(&origin_name(ORIGIN)).unwrap();
    let checkpoint = Checkpoint::parse(SignedNote::parse(note.as_bytes()).unwrap().text()).unwrap();
    assert_eq!(checkpoint.size(), size);
}

#[test]
fn a_log_that_grows_is_cosigned_and_remembered_over_restarts() {
    let (_parent, dir) = place();
    for (old, new) in [(0, 0), (0, 5), (5, 5), (5, 64), (64, 300), (300, 301)] {
        let witness = open(&dir);
        add(&witness, &HONEST.submission(old, new)).unwrap();
        is_at(&witness, new);
    }
    is_at(&open(&dir), 301);
}

#[test]
fn a_lying_log_is_refused_and_changes_nothing() {
    let (_parent, dir) = place();
    let witness = open(&dir);
    add(&witness, &HONEST.submission(0, 40)).unwrap();
    let forked = Log { fork: 10 };
    let mut other_proof = HONEST.submission(40, 50);
    other_proof.proof[0].0[0] ^= 1;
    let mut no_proof = HONEST.submission(40, 50);
    no_proof.proof.clear();
    let mut needless = HONEST.submission(40, 40);
    needless.proof.push(Hash([0; 32]));
    type IsExpected = fn(&Refusal) -> bool;
    let refusals: [(Submission, IsExpected); 8] = [
        (HONEST.submission(41, 40), |r| matches!(r, Refusal::Shrinks { old: 41, new: 40 })),
        (HONEST.submission(0, 50), |r| matches!(r, Refusal::Stale(40))),
        (HONEST.submission(30, 30), |r| matches!(r, Refusal::Stale(40))),
        (forked.submission(40, 40), |r| matches!(r, Refusal::Fork(40))),
        (forked.submission(40, 50), |r| matches!(r, Refusal::BadProof)),
        (other_proof, |r| matches!(r, Refusal::BadProof)),
        (no_proof, |r| matches!(r, Refusal::BadProof)),
        (needless, |r| matches!(r, Refusal::BadProof)),
    ];
    for (submission, is_expected) in &refusals {
        let refusal = add(&witness, submission).unwrap_err();
        assert!(is_expected(&refusal), "{refusal:?} {}", submission.old);
        is_at(&witness, 40);
    }
    add(&witness, &HONEST.submission(40, 50)).unwrap();
}

#[test]
fn an_empty_tree_has_the_empty_root_alone() {
    let (_parent, dir) = place();
    let witness = open(&dir);
    let checkpoint = Checkpoint::new(ORIGIN, 0, Hash([1; 32])).unwrap();
    let note = sign_checkpoint(&signer(ORIGIN), &checkpoint).encode();
    let refusal = add(&witness, &Submission { old: 0, proof: vec![], note }).unwrap_err();
    assert!(matches!(refusal, Refusal::BadProof));
    assert_eq!(witness.checkpoint(&origin_name(ORIGIN)), None);
}

#[test]
fn strangers_and_forgeries_are_refused() {
    let (_parent, dir) = place();
    let witness = open(&dir);
    let good = HONEST.submission(0, 5);
    let stranger = signer("ledger.example/b");
    let checkpoint = Checkpoint::new("ledger.example/b", 5, Hash([1; 32])).unwrap();
    let note = sign_checkpoint(&stranger, &checkpoint).encode();
    let other = Submission { note, ..good.clone() };
    assert!(matches!(add(&witness, &other), Err(Refusal::UnknownOrigin)));
    let forger = Signer::new(ORIGIN, &[9; 32]).unwrap();
    let checkpoint = Checkpoint::new(ORIGIN, 5, HONEST.tiles(5).1.root()).unwrap();
    let note = sign_checkpoint(&forger, &checkpoint).encode();
    let forged = Submission { note, ..good.clone() };
    assert!(matches!(add(&witness, &forged), Err(Refusal::Untrusted)));
    let changed = Submission { note: good.note.replace("\n5\n", "\n6\n"), ..good.clone() };
    assert!(matches!(add(&witness, &changed), Err(Refusal::Untrusted)));
    for body in ["", "old 0\n\n", "old 0\n\nno note\n", &good.encode().replace("old 0", "old x")] {
        let refusal = witness.add_checkpoint(body.as_bytes(), NOW).unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed(_)), "{body}");
    }
    assert!(matches!(witness.add_checkpoint(good.encode().as_bytes(), 0), Err(Refusal::Clock)));
    assert_eq!(witness.checkpoint(&origin_name(ORIGIN)), None);
    add(&witness, &good).unwrap();
}

#[test]
fn every_flipped_bit_of_what_is_remembered_is_found_at_the_next_start() {
    let (_parent, dir) = place();
    add(&open(&dir), &HONEST.submission(0, 7)).unwrap();
    let path = dir.join(origin_name(ORIGIN));
    let kept = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for at in 0..kept.len() {
        let mut changed = kept.clone();
        changed[at] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        let opened = Witness::open(&dir, cosigner(), [signer(ORIGIN).verifier_key().clone()]);
        match opened {
            // The log's own signature is not what this witness goes by.
            Ok(witness) => is_at(&witness, 7),
            Err(_) => refused += 1,
        }
    }
    let text = SignedNote::parse(&kept).unwrap().text().len();
    assert!(refused > text + 100, "the text and the cosignature: {refused} of {}", kept.len());
    std::fs::write(&path, &kept).unwrap();
    is_at(&open(&dir), 7);
    let other = Cosigner::new("witness.example/w", &[3; 32]).unwrap();
    let opened = Witness::open(&dir, other, [signer(ORIGIN).verifier_key().clone()]);
    assert!(matches!(opened, Err(OpenError::NotOurs { .. })), "the key of a witness is for life");
}

#[test]
fn nothing_is_cosigned_that_cannot_be_remembered() {
    let (_parent, dir) = place();
    let witness = open(&dir);
    add(&witness, &HONEST.submission(0, 5)).unwrap();
    // A directory in the place of the file that is written first.
    let new = dir.join(format!("{}.new", origin_name(ORIGIN)));
    std::fs::create_dir(&new).unwrap();
    let refusal = add(&witness, &HONEST.submission(5, 9)).unwrap_err();
    assert!(matches!(refusal, Refusal::NotDurable(_)));
    is_at(&witness, 5);
    std::fs::remove_dir(&new).unwrap();
    add(&witness, &HONEST.submission(5, 9)).unwrap();
}

#[test]
fn two_submissions_at_once_never_cosign_two_roots_of_one_size() {
    let (_parent, dir) = place();
    let witness = open(&dir);
    add(&witness, &HONEST.submission(0, 10)).unwrap();
    let forked = Log { fork: 10 };
    for size in 11..31 {
        let rivals = [HONEST.submission(size - 1, size), forked.submission(size - 1, size)];
        let cosigned = std::thread::scope(|scope| {
            let race = rivals.each_ref().map(|rival| scope.spawn(|| add(&witness, rival).is_ok()));
            race.map(|rival| rival.join().unwrap())
        });
        assert!(cosigned.iter().filter(|&&is| is).count() <= 1, "{size}");
        is_at(&witness, if cosigned == [false, false] { size - 1 } else { size });
        if cosigned[1] || !cosigned[0] {
            break;
        }
    }
}

#[test]
fn a_directory_has_one_witness_and_a_witness_a_bounded_number_of_logs() {
    let (_parent, dir) = place();
    let _one = open(&dir);
    let key = |at: usize| signer(&format!("ledger.example/{at}")).verifier_key().clone();
    let second = Witness::open(&dir, cosigner(), [key(0)]);
    assert!(matches!(second, Err(OpenError::File(FileError::InUse { .. }))));
    let (_parent, other) = place();
    let many = Witness::open(&other, cosigner(), (0..=LOGS_MAX).map(key));
    assert!(matches!(many, Err(OpenError::TooManyLogs)));
}
