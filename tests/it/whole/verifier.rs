//! A verifier that shares no code with the ledger, `tests/interop/verify_log.py`, against a daemon.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ron_ledger::accumulator::Checkpoint;

use crate::support::daemon::{Daemon, PATIENT};
use crate::support::keys::Keys;
use crate::support::sending::{requests, send_all, spec};

/// A ledger that publishes later than this has hung.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many entries: `RON_VERIFY_ENTRIES`, or some thousands.
fn entries() -> usize {
    let told = std::env::var("RON_VERIFY_ENTRIES").ok();
    told.map_or(5_000, |text| text.parse().expect("RON_VERIFY_ENTRIES is a number"))
}

/// `None` where there is no Python.
fn verify(node: &Daemon, vkey: &str, token: &Path) -> Option<Output> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/verify_log.py");
    let mut command = Command::new("python3");
    command.args([script, &node.api, vkey, "--samples", "100", "--token-file"]).arg(token);
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("python3 does not run: {error}"),
    }
}

#[actix_rt::test]
async fn a_verifier_in_another_language_agrees_with_the_ledger() {
    let keys = Keys::new();
    let node = Daemon::start(&keys, "micronode", &PATIENT);
    let client = node.client(&keys.master());
    send_all(&client, requests(spec(entries(), 3), 500)).await;
    let version = client.probe("version").await.unwrap();
    let vkey = version["verifier_key"].as_str().unwrap();
    let size = client.supply().await.unwrap().size;
    let started = Instant::now();
    loop {
        let note = client.checkpoint().await.unwrap();
        let (origin, key) = (vkey.split('+').next().unwrap(), vkey.parse().unwrap());
        if Checkpoint::open(note.as_bytes(), origin, &[key]).unwrap().size() == size {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "no checkpoint of size {size}");
    }
    let token = keys.dir().join("token");
    std::fs::write(&token, keys.master()).unwrap();
    let Some(told) = verify(&node, vkey, &token) else {
        eprintln!("no python3 here: not checked");
        return;
    };
    assert!(told.status.success(), "{told:?}");
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(text.starts_with(&format!("verified: {size} entries")), "{text}");
    // It does look: by the key of another log nothing is signed.
    let other = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    let told = verify(&node, other, &token).unwrap();
    assert!(!told.status.success(), "{told:?}");
    assert!(String::from_utf8_lossy(&told.stderr).contains("no signature by the key"));
}
