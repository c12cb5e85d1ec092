//! The archive in an object store that speaks S3, over HTTP. It takes Python; elsewhere this says so.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::keys::Keys;
use crate::support::sending::{requests, send, spec};

const URL: &str = "s3://backups/one/ledger";

/// Keys in a page of a list: fewer than there are segments.
const PAGE: &str = "2";

struct Store {
    server: Child,
    endpoint: String,
}

impl Store {
    fn start() -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/s3.py");
        let mut python = Command::new("python3");
        let python = python.args([script, PAGE]).stdout(Stdio::piped()).stderr(Stdio::null());
        let Ok(mut server) = python.spawn() else {
            println!("SKIPPED: there is no python3 here");
            return None;
        };
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Some(Store { server, endpoint: format!("http://127.0.0.1:{}", port.trim()) })
    }

    fn known_to(&self, mut command: Command) -> Command {
        let pairs = [
            ("AWS_ENDPOINT", self.endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "a secret of the test"),
        ];
        command.envs(pairs);
        command
    }

    fn ctl(&self, args: &[&str]) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ron-ledgerctl"));
        command.env_clear().args(["--quiet", "--json"]).args(args);
        let done = self.known_to(command).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[actix_rt::test]
async fn an_archive_in_an_object_store_grows_over_restarts_and_comes_back() {
    let Some(store) = Store::start() else { return };
    let keys = Keys::new();
    let settings = [("archive.url", URL), ("archive.interval", "1s")];
    let (mut key, mut size) = (String::new(), 0);
    for seed in 1..=4 {
        let program = store.known_to(Daemon::program());
        let mut daemon = Daemon::spawn_by(program, &keys, "macronode", &settings);
        daemon.await_line("ready=1");
        let client = daemon.client(&keys.master());
        let version = client.probe("version").await.unwrap();
        key = version["verifier_key"].as_str().unwrap().to_owned();
        for request in requests(spec(100, seed), 16) {
            size = send(&client, &request).await.unwrap().1.root_size;
        }
        while store.ctl(&["archive", "status", "--url", URL, "--vkey", &key])["entries"] != size {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (code, _, log) = daemon.stop();
        assert_eq!(code, Some(0));
        assert!(!log.iter().any(|line| line.contains("a secret of the test")));
    }
    let checked = store.ctl(&["archive", "verify", "--url", URL, "--vkey", &key]);
    assert_eq!(checked["entries"], size);
    assert!(checked["segments"].as_u64().unwrap() >= 4, "{checked}");
    let dir = keys.dir().join("new");
    let dir = dir.to_str().unwrap();
    let from = ["snapshot", "restore", "--archive", URL, "--vkey", &key, "--data-dir", dir];
    let restored = store.ctl(&from);
    assert_eq!((&restored["entries"], &restored["root"]), (&checked["entries"], &checked["root"]));
    assert_eq!(restored["takes_writes"], true);
}
