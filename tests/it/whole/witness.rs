//! The witness as a process, against logs that lie and against its own death.

use std::collections::HashMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use ron_ledger::accumulator::{
    Checkpoint, CosignerKey, Hash, HashAlgo, NoteSignature, SignedNote, Signer, Submission, TileId,
    Tiles, consistency, sign_checkpoint,
};
use rustix::process::kill_process;

use crate::support::daemon::Signal;
use crate::support::witness::Witness;

const ORIGIN: &str = "ledger.example/told";

fn signer() -> Signer {
    Signer::new(ORIGIN, &[5; 32]).unwrap()
}

/// A log with these leaves; the tiles and roots of all its sizes.
struct Log {
    leaves: Vec<u64>,
    tiles: HashMap<TileId, Vec<u8>>,
    roots: Vec<Hash>,
}

impl Log {
    fn of(leaves: Vec<u64>) -> Self {
        let (algo, mut stored) = (HashAlgo::Sha256, HashMap::new());
        let mut tiles = Tiles::new(algo);
        let mut roots = vec![algo.empty()];
        for leaf in &leaves {
            stored.extend(tiles.append([algo.leaf(&leaf.to_be_bytes())]));
            roots.push(tiles.root());
        }
        Log { leaves, tiles: stored, roots }
    }

    /// The same log with more leaves that are like no others.
    fn grown(&self, more: u64, salt: u64) -> Self {
        let leaves = self.leaves.iter().copied().chain((0..more).map(|leaf| leaf + (salt << 32)));
        Log::of(leaves.collect())
    }

    fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    fn submission(&self, old: u64, new: u64) -> Submission {
        let proof = match old <= new {
            true => consistency(HashAlgo::Sha256, old, new, |tile| self.tiles.get(&tile)).unwrap(),
            false => Vec::new(),
        };
        let checkpoint = Checkpoint::new(ORIGIN, new, self.roots[new as usize]).unwrap();
        let note = sign_checkpoint(&signer(), &checkpoint).encode();
        Submission { old, proof, note }
    }
}

struct Answer {
    status: u16,
    kind: String,
    body: String,
}

/// Connections are not kept: each question meets the witness that runs then.
fn client() -> reqwest::Client {
    // Whoever installed one before keeps it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let builder = reqwest::Client::builder().tls_certs_only([]).no_proxy();
    builder.pool_max_idle_per_host(0).build().unwrap()
}

async fn post(client: &reqwest::Client, witness: &Witness, body: String) -> Option<Answer> {
    let request = client.post(format!("{}/add-checkpoint", witness.url())).body(body);
    let answer = request.timeout(Duration::from_secs(20)).send().await.ok()?;
    let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    Some(Answer { status, kind: kind.unwrap_or_default(), body: answer.text().await.ok()? })
}

#[tokio::test]
async fn a_log_that_lies_gets_the_refusals_of_the_specification() {
    let key = signer().verifier_key().to_string();
    let witness = Witness::new("witness.example/w", &[&key]).start();
    let client = client();
    let begin = Log::of((0..10).collect());
    let (honest, forked) = (begin.grown(50, 1), begin.grown(50, 2));
    let stranger = Signer::new("ledger.example/other", &[6; 32]).unwrap();
    let forger = Signer::new(ORIGIN, &[6; 32]).unwrap();
    let signed_by = |signer: &Signer, origin: &str| {
        let checkpoint = Checkpoint::new(origin, 50, honest.roots[50]).unwrap();
        let note = sign_checkpoint(signer, &checkpoint).encode();
        Submission { note, ..honest.submission(40, 50) }.encode()
    };
    let mut wrong_proof = honest.submission(40, 50);
    wrong_proof.proof[0].0[5] ^= 1;
    let size = "text/x.tlog.size";
    let text = "text/plain; charset=utf-8";
    for (what, body, status, kind, answer) in [
        ("fine", honest.submission(0, 40).encode(), 200, text, None),
        ("the same again", honest.submission(40, 40).encode(), 200, text, None),
        ("an unknown log", signed_by(&stranger, "ledger.example/other"), 404, text, None),
        ("a stranger's key", signed_by(&forger, ORIGIN), 403, text, None),
        ("old beyond new", honest.submission(41, 40).encode(), 400, text, None),
        ("no form", "old forty\n\n".to_owned(), 400, text, None),
        ("another old size", honest.submission(39, 50).encode(), 409, size, Some("40\n")),
        ("a shrunk log", honest.submission(30, 30).encode(), 409, size, Some("40\n")),
        ("a fork at the size", forked.submission(40, 40).encode(), 409, size, Some("40\n")),
        ("a fork that has grown", forked.submission(40, 50).encode(), 422, text, None),
        ("a wrong proof", wrong_proof.encode(), 422, text, None),
        ("too long", "x".repeat(1 << 20), 413, "application/json", None),
        ("fine, at last", honest.submission(40, 50).encode(), 200, text, None),
    ] {
        let told = post(&client, &witness, body).await.unwrap();
        assert_eq!((told.status, told.kind.as_str()), (status, kind), "{what}: {}", told.body);
        assert!(answer.is_none_or(|answer| answer == told.body), "{what}: {}", told.body);
    }
}

/// Two histories race for each size while the witness is killed: at most one of them is ever cosigned.
#[tokio::test]
async fn a_witness_that_is_killed_never_cosigns_two_roots_of_one_size() {
    let seed = std::env::var("RON_WITNESS_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("RON_WITNESS_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let key = signer().verifier_key().to_string();
    let mut witness = Witness::new("witness.example/w", &[&key]).start();
    let by: CosignerKey = witness.key().parse().unwrap();
    let client = client();
    let (mut history, mut unanswered) = (Log::of(Vec::new()), 0);
    for round in 1..=30 {
        let more = dice.random_range(1..20);
        let rivals = [history.grown(more, 2 * round), history.grown(more, 2 * round + 1)];
        let (old, new) = (history.size(), rivals[0].size());
        let race = rivals
            .each_ref()
            .map(|rival| post(&client, &witness, rival.submission(old, new).encode()));
        let (wait, [one, other]) = (Duration::from_micros(dice.random_range(0..1_000)), race);
        let pid = witness.pid();
        // A thread: the timers of the runtime are too coarse.
        let kill = std::thread::spawn(move || {
            std::thread::sleep(wait);
            kill_process(pid, Signal::KILL).unwrap();
        });
        let (one, other) = tokio::join!(one, other);
        kill.join().unwrap();
        witness.kill();
        witness.run();
        unanswered += usize::from(one.is_none()) + usize::from(other.is_none());
        let mut told = vec![(0, one), (1, other)];
        // Each history tries once more, from before and from where it may stand by now.
        for at in if dice.random_bool(0.5) { [0, 1] } else { [1, 0] } {
            for from in [old, new] {
                told.push((
                    at,
                    post(&client, &witness, rivals[at].submission(from, new).encode()).await,
                ));
            }
        }
        let mut winner = None;
        for (at, answer) in told {
            let Some(Answer { status: 200, body, .. }) = answer else { continue };
            let line = NoteSignature::parse_lines(&body).unwrap().remove(0);
            let note = rivals[at].submission(old, new).note;
            let note = SignedNote::parse(note.as_bytes()).unwrap();
            assert!(by.cosigned_at(note.text(), &line).is_some());
            assert!(winner.is_none_or(|winner| winner == at), "two roots of size {new}");
            winner = Some(at);
        }
        let [one, other] = rivals;
        history = if winner.expect("somebody gets through in the end") == 0 { one } else { other };
    }
    println!("{unanswered} of 60 answers were cut off");
    assert!(unanswered > 3, "only {unanswered} answers were cut off: the kills come too late");
}
