//! Capabilities on a running node: revoked, rotated and reloaded by the command line, and exchanged
//! with another library, `tests/interop/macaroon.py`.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ron_ledger::capability::{Action, Caveat, Keyring, attenuate, mint};
use ron_ledger::client::unit::to_wire;
use ron_ledger::client::{Client, ClientError, ClientOptions};
use ron_ledger::http::dto::RequestIn;
use serde_json::Value;

use crate::support::daemon::{Daemon, Signal};
use crate::support::entries;
use crate::support::keys::{CAPABILITY, Keys, now_ms};

fn socket(keys: &Keys) -> PathBuf {
    keys.dir().join("s")
}

fn start(keys: &Keys, profile: &str) -> Daemon {
    let path = socket(keys).display().to_string();
    Daemon::start(keys, profile, &[("uds.path", &path)])
}

/// What the command says, as JSON.
fn ctl(keys: &Keys, line: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ron-ledgerctl"));
    command.env_clear().args(["--json", "--socket"]).arg(socket(keys)).args(line.split(' '));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `ok`, or the reason of the refusal.
async fn write(client: &Client) -> String {
    let batch = vec![to_wire(&entries::mint("a", 1))];
    match client.ingest(&RequestIn { batch, idem_id: None, atomic: false }).await {
        Ok(answer) => {
            let refused = answer.reasons.first().map(|refused| refused.reason.to_string());
            refused.unwrap_or_else(|| "ok".to_owned())
        }
        Err(ClientError::Refused { body, .. }) => body.reason.into_owned(),
        Err(other) => panic!("{other}"),
    }
}

/// A token of this id under the key that mints now.
fn token(keys: &Keys, id: &str) -> String {
    let keyring = Keyring::open(&keys.dir().join("keyring")).unwrap();
    let caveats = [Caveat::Actions(Action::ALL.to_vec()), Caveat::ExpiresMs(now_ms() + 3_600_000)];
    mint(&keyring, id, &caveats, now_ms()).unwrap().expose().to_owned()
}

#[actix_rt::test]
async fn what_is_revoked_is_refused_by_the_next_request() {
    let keys = Keys::new();
    let daemon = start(&keys, "micronode");
    let (wide, other) = (keys.master(), token(&keys, "cap-2"));
    let narrow = attenuate(&wide, &[Caveat::AmountMax(5)]).unwrap();
    let clients = [&wide, narrow.expose(), &other].map(|token| daemon.client(token));
    // Entries name cap-1: with another capability they are refused for that, not for the token.
    assert_eq!(write(&clients[0]).await, "ok");
    assert_eq!(write(&clients[1]).await, "ok");
    assert!(clients[2].account("a").await.is_ok());
    let listed = ctl(&keys, &format!("cap revoke --id {CAPABILITY}"));
    assert_eq!(listed["revoked"][0]["id"], CAPABILITY);
    assert_eq!(write(&clients[0]).await, "cap_invalid");
    assert_eq!(write(&clients[1]).await, "cap_invalid", "narrowed ones too");
    assert!(clients[2].account("a").await.is_ok(), "others stand");
    ctl(&keys, "cap revoke --kid root-1");
    let refused = clients[2].account("a").await.unwrap_err().to_string();
    assert!(refused.contains("the root key of the capability has been revoked"), "{refused}");
    let listed = ctl(&keys, "cap list");
    assert_eq!(listed["keys"][0]["revoked"], true);
    assert_eq!(listed["revoked"].as_array().unwrap().len(), 2);
    assert_eq!(daemon.stop().0, Some(0));
}

#[actix_rt::test]
async fn root_keys_are_rotated_with_an_overlap_and_without_a_restart() {
    let keys = Keys::new();
    let mut daemon = start(&keys, "micronode");
    let old = keys.master();
    let settings =
        format!("[capabilities]\nkeyring_dir = \"{}\"\n", keys.dir().join("keyring").display());
    let config = keys.dir().join("ledger.toml");
    std::fs::write(&config, settings).unwrap();
    let rotated = ctl(&keys, &format!("cap rotate --config {}", config.display()));
    assert_eq!(rotated["current"], "root-2");
    let new = token(&keys, CAPABILITY);
    assert_eq!(write(&daemon.client(&new)).await, "unauth", "the node does not know it yet");
    daemon.signal(Signal::HUP);
    daemon.await_line("reloaded the root keys");
    for token in [&old, &new] {
        assert_eq!(write(&daemon.client(token)).await, "ok");
    }
    // A keyring that does not read changes nothing.
    let current = keys.dir().join("keyring/current");
    std::fs::write(&current, "root-9\n").unwrap();
    daemon.signal(Signal::HUP);
    daemon.await_line("the root keys stay as they were");
    assert_eq!(write(&daemon.client(&new)).await, "ok");
    std::fs::write(&current, "root-2\n").unwrap();
    std::fs::remove_file(keys.dir().join("keyring/root-1.key")).unwrap();
    daemon.signal(Signal::HUP);
    daemon.await_line("reloaded the root keys");
    assert_eq!(write(&daemon.client(&old)).await, "unauth");
    assert_eq!(write(&daemon.client(&new)).await, "ok");
    assert_eq!(daemon.stop().0, Some(0));
}

#[cfg(feature = "rocks")]
#[actix_rt::test]
async fn a_revocation_outlives_a_kill_and_a_damaged_list_keeps_the_node_down() {
    let keys = Keys::new();
    let daemon = start(&keys, "macronode");
    assert_eq!(write(&daemon.client(&keys.master())).await, "ok");
    ctl(&keys, &format!("cap revoke --id {CAPABILITY}"));
    daemon.kill();
    let daemon = start(&keys, "macronode");
    assert_eq!(write(&daemon.client(&keys.master())).await, "cap_invalid");
    assert_eq!(daemon.stop().0, Some(0));
    let file = keys.dir().join("data/caps/revoked");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(CAPABILITY, "cap-9")).unwrap();
    let (code, said) = Daemon::refused(&keys, "macronode", &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("is damaged"), "{said}");
}

/// What the script prints; `None` where there is no Python.
fn python(args: &[&str], input: &str) -> Option<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/macaroon.py");
    let mut command = Command::new("python3");
    command.arg(script).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => panic!("python3 does not run: {error}"),
    };
    // A script that needs no input may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[actix_rt::test]
async fn tokens_go_back_and_forth_between_the_ledger_and_another_library() {
    let keys = Keys::new();
    let keyring = Keyring::open(&keys.dir().join("keyring")).unwrap();
    let key = hex::encode(keyring.current().1.expose());
    let daemon = Daemon::start(&keys, "micronode", &[]);
    let master = keys.master();
    let Some(narrowed) = python(&["narrow", "action in mint", "amount <= 1"], &master) else {
        eprintln!("no python3 here: not checked");
        return;
    };
    // Ours, narrowed there, is held to what was added there.
    assert_eq!(write(&daemon.client(&narrowed)).await, "ok");
    let zero = python(&["narrow", "amount <= 0"], &narrowed).unwrap();
    assert_eq!(write(&daemon.client(&zero)).await, "cap_invalid");
    // Ours, narrowed here, verifies there and says the same.
    let ours = attenuate(&narrowed, &[Caveat::AccountPrefix("a".to_owned())]).unwrap();
    let told = python(&["verify", &key], ours.expose()).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], format!("1:root-1:{CAPABILITY}"));
    assert!(lines.ends_with(&["action in mint", "amount <= 1", "account prefix a"]), "{told}");
    // Theirs, minted there and narrowed here, verifies here.
    let identifier = format!("1:root-1:{CAPABILITY}");
    let expires = format!("expires <= {}", now_ms() + 3_600_000);
    let theirs = python(&["mint", &key, &identifier, "action in mint", &expires], "").unwrap();
    let theirs = attenuate(&theirs, &[Caveat::AmountMax(1)]).unwrap();
    assert_eq!(write(&daemon.client(theirs.expose())).await, "ok");
    assert_eq!(daemon.stop().0, Some(0));
}

#[actix_rt::test]
async fn a_rate_is_set_on_a_running_node_and_named_where_it_refuses() {
    let keys = Keys::new();
    let daemon = start(&keys, "micronode");
    let client = daemon.client(&keys.master());
    for (scope, setting) in [("capability", "rates.capability"), ("plain", "rates.plain")] {
        let set = ctl(&keys, &format!("limits set --{scope} 1"));
        assert_eq!((&set[scope], &set["global"]), (&Value::from(1), &Value::from(0)));
        // One a second: they do not take twenty.
        let requests = (0..20).map(|_| {
            let batch = vec![to_wire(&entries::mint("a", 1))];
            let request = RequestIn { batch, idem_id: None, atomic: false };
            let client = &client;
            async move { client.ingest(&request).await }
        });
        let answers = futures_util::future::join_all(requests).await;
        let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        assert!((1..20).contains(&refused.len()), "{}", refused.len());
        for error in &refused {
            let ClientError::Refused { status, body, .. } = error else { panic!("{error}") };
            assert_eq!((*status, body.reason.as_ref()), (429, "busy"));
            assert!(body.details.contains(setting), "{body:?}");
            assert_eq!(error.retry_after(), Some(std::time::Duration::from_millis(250)));
        }
        assert_eq!(ctl(&keys, &format!("limits set --{scope} 0"))[scope], 0);
        assert_eq!(write(&client).await, "ok");
    }
    let metrics = Client::new(&ClientOptions::new(&daemon.metrics)).unwrap();
    let text = metrics.text("metrics").await.unwrap();
    for scope in ["capability", "plain"] {
        assert!(!text.contains(&format!("rate_limited_total{{scope=\"{scope}\"}} 0")), "{scope}");
    }
    assert!(text.contains("rate_limited_total{scope=\"global\"} 0"));
    assert_eq!(daemon.stop().0, Some(0));
}
