//! The operator's rules, rates and denials on a running daemon: by SIGHUP and by the command line.

use std::path::PathBuf;
use std::process::{Command, Output};

use ron_ledger::client::unit::to_wire;
use ron_ledger::client::{Client, ClientError};
use ron_ledger::http::dto::RequestIn;
use serde_json::{Value, json};

use crate::support::certificates::series;
use crate::support::daemon::{Daemon, Signal};
use crate::support::entries::mint;
use crate::support::keys::Keys;

fn path(keys: &Keys, name: &str) -> String {
    keys.dir().join(name).display().to_string()
}

fn write(keys: &Keys, name: &str, text: &str) -> String {
    std::fs::write(keys.dir().join(name), text).unwrap();
    path(keys, name)
}

fn ctl(keys: &Keys, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ron-ledgerctl"));
    let socket = PathBuf::from(path(keys, "s"));
    command.env_clear().args(["--json", "--socket"]).arg(socket).args(words);
    command.output().unwrap()
}

/// What the command says, as JSON.
fn told(keys: &Keys, words: &[&str]) -> Value {
    let output = ctl(keys, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Its exit code, and what it says of what went wrong.
fn refused(keys: &Keys, words: &[&str]) -> (Option<i32>, String) {
    let output = ctl(keys, words);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Started by a configuration file, as SIGHUP reads it again.
fn start(keys: &Keys, settings: &str) -> Daemon {
    let file = write(keys, "ledger.toml", settings);
    let mut command = Daemon::program();
    for (key, value) in keys.settings("micronode", &[("uds.path", &path(keys, "s"))]) {
        command.args(["--set", &format!("{key}={value}")]);
    }
    command.args(["--config", &file]).current_dir(keys.dir());
    let mut daemon = Daemon::of(command);
    daemon.line("ready=1");
    daemon
}

fn hang_up(daemon: &mut Daemon) {
    daemon.signal(Signal::HUP);
    // The last thing that it does.
    daemon.await_line("the root keys");
}

/// `ok`, or the reason and the words of the refusal.
async fn send(client: &Client, account: &str, amount: u128) -> String {
    let batch = vec![to_wire(&mint(account, amount))];
    match client.ingest(&RequestIn { batch, idem_id: None, atomic: false }).await {
        Ok(answer) => match answer.reasons.first() {
            Some(refused) => format!("{}: {}", refused.reason, refused.details),
            None => "ok".to_owned(),
        },
        Err(ClientError::Refused { body, .. }) => format!("{}: {}", body.reason, body.details),
        Err(other) => panic!("{other}"),
    }
}

fn ceiling(most: u32) -> String {
    format!(
        "default = \"allow\"\n[[rule]]\nname = \"small\"\neffect = \"limit\"\nentry_max = {most}\n"
    )
}

const ABOVE: &str =
    "policy_denied: policy rule `small`: the amount is above the ceiling for one entry";

#[actix_rt::test]
async fn a_hangup_takes_new_rules_and_keeps_the_old_ones_where_they_do_not_read() {
    let keys = Keys::new();
    let rules = write(&keys, "policy.toml", &ceiling(10));
    let mut daemon = start(&keys, &format!("[policy]\nfile = \"{rules}\"\n"));
    let client = daemon.client(&keys.master());
    assert_eq!(send(&client, "a", 10).await, "ok");
    assert_eq!(send(&client, "a", 11).await, ABOVE);
    write(&keys, "policy.toml", &ceiling(20));
    hang_up(&mut daemon);
    daemon.line("reloaded the policy");
    assert_eq!(send(&client, "a", 20).await, "ok");
    write(&keys, "policy.toml", "default = \"allow\"\n[[rule]]\nnmae = \"x\"");
    hang_up(&mut daemon);
    let line = daemon.line("the policy stays as it was");
    assert!(line.contains("did you mean `name`?"), "{line}");
    assert_eq!(send(&client, "a", 21).await, ABOVE);
    assert_eq!(series(&daemon, "policy_reloads_total{outcome=\"done\"}"), Some(1));
    assert_eq!(series(&daemon, "policy_reloads_total{outcome=\"refused\"}"), Some(1));
    assert_eq!(series(&daemon, "policy_denied_total{rule=\"small\"}"), Some(2));
    // The same file keeps a node from starting, and is found by the check of its configuration.
    let dev = format!("[node]\nenvironment = \"dev\"\n[policy]\nfile = \"{rules}\"\n");
    let config = write(&keys, "check.toml", &dev);
    let (code, said) = refused(&keys, &["config", "check", "--file", &config]);
    assert_eq!(code, Some(2));
    assert!(said.contains("policy.file: ") && said.contains("`name`?"), "{said}");
    assert_eq!(daemon.stop().0, Some(0));
    let (code, said) = Daemon::refused(&keys, "micronode", &[("policy.file", &rules)]);
    assert_eq!(code, Some(1));
    assert!(said.contains("policy.file: ") && said.contains("`name`?"), "{said}");
}

#[actix_rt::test]
async fn a_hangup_takes_new_rates_and_says_which_settings_need_a_restart() {
    let keys = Keys::new();
    let mut daemon = start(&keys, "[rates]\ntls = 5\n");
    let rates = |keys: &Keys| told(keys, &["limits", "get"]);
    assert_eq!(rates(&keys)["tls"], 5);
    told(&keys, &["limits", "set", "--plain", "900"]);
    write(&keys, "ledger.toml", "[rates]\ntls = 7\n[queues]\ningress = 33\n");
    hang_up(&mut daemon);
    let line = daemon.line("a setting has changed");
    assert!(line.contains("rates.tls") && line.contains('7'), "{line}");
    let line = daemon.line("needs a restart");
    assert!(line.contains("queues.ingress") && line.contains("33"), "{line}");
    let now = rates(&keys);
    assert_eq!((&now["tls"], &now["plain"]), (&json!(7), &json!(900)), "what was set stays");
    write(&keys, "ledger.toml", "[rates]\ntls = 9\nplian = 8\n");
    hang_up(&mut daemon);
    let line = daemon.line("the settings stay as they were");
    assert!(line.contains("rates.plain"), "{line}");
    assert_eq!(rates(&keys)["tls"], 7);
    write(&keys, "ledger.toml", "[rates]\nplain = 8\n[limits]\nrequests_per_second = 1000\n");
    hang_up(&mut daemon);
    let now = rates(&keys);
    let shown = (&now["tls"], &now["plain"], &now["global"]);
    assert_eq!(shown, (&json!(0), &json!(8), &json!(1000)));
    assert_eq!(series(&daemon, "config_reloads_total{outcome=\"done\"}"), Some(2));
    assert_eq!(series(&daemon, "config_reloads_total{outcome=\"refused\"}"), Some(1));
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn a_rule_file_is_explained_without_a_node() {
    let keys = Keys::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/policy.example.toml");
    assert_eq!(told(&keys, &["policy", "check", example]), json!({ "ok": true, "rules": 7 }));
    let entry = serde_json::to_string(&to_wire(&mint("shop/1", 5))).unwrap();
    let entry = write(&keys, "entry.json", &entry);
    let one = told(&keys, &["policy", "explain", "--entry", &entry, "--policy", example]);
    assert_eq!(one[0]["allowed"], false);
    assert_eq!((&one[0]["rule"], &one[0]["why"]), (&json!("no-other-mint"), &json!("denies it")));
    let batch = [mint("treasury/1", 5), mint("treasury/1", 1_000_001)].map(|entry| to_wire(&entry));
    let batch = write(&keys, "request.json", &json!({ "batch": batch }).to_string());
    let config = write(&keys, "ledger.toml", &format!("[policy]\nfile = \"{example}\"\n"));
    let two = told(&keys, &["policy", "explain", "--entry", &batch, "--config", &config]);
    assert_eq!(
        (&two[0]["rule"], &two[0]["allowed"]),
        (&json!("mint-by-the-treasury"), &json!(true))
    );
    assert_eq!(two[0]["counts_for"], json!(["mint-ceiling"]));
    assert_eq!((&two[1]["rule"], &two[1]["allowed"]), (&json!("mint-ceiling"), &json!(false)));
    let none = told(&keys, &["policy", "explain", "--entry", &entry]);
    assert_eq!((&none[0]["rule"], &none[0]["allowed"]), (&json!("default"), &json!(true)));
    let bad = write(&keys, "bad.toml", "defualt = \"deny\"");
    let (code, said) = refused(&keys, &["policy", "check", &bad]);
    assert!(code == Some(2) && said.contains("did you mean `default`?"), "{said}");
    let (code, said) = refused(&keys, &["policy", "explain", "--entry", &bad, "--policy", example]);
    assert!(code == Some(2) && said.contains("bad.toml"), "{said}");
}

/// A client that says who it is.
fn http(agent: &str) -> reqwest::Client {
    // Whoever installed one before keeps it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let builder = reqwest::Client::builder().user_agent(agent).tls_certs_only([]).no_proxy();
    builder.build().unwrap()
}

async fn status(url: &str, agent: &str) -> (u16, String) {
    let client = http(agent);
    let answer = client.get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[actix_rt::test]
async fn what_is_denied_gets_no_further_until_it_is_no_longer() {
    let keys = Keys::new();
    let mut daemon = start(&keys, "");
    let url = |path: &str| format!("{}{path}", daemon.api);
    let (roots, health) = (url("/roots"), url("/healthz"));
    assert_eq!(status(&roots, "flood/1.0").await.0, 200);
    let added = told(&keys, &["deny", "add", "--header", "User-Agent: flood/1.0"]);
    assert_eq!(added["patterns"], json!([{"kind": "header", "value": "user-agent: flood/1.0"}]));
    let (code, said) = status(&roots, "flood/1.0").await;
    assert!(code == 403 && said.contains("policy_denied"), "{code} {said}");
    assert_eq!(status(&roots, "flood/1.1").await.0, 200);
    told(&keys, &["deny", "remove", "--header", "user-agent: flood/1.0"]);
    assert_eq!(status(&roots, "flood/1.0").await.0, 200);
    told(&keys, &["deny", "add", "--path", "/roots"]);
    assert_eq!(status(&roots, "x").await.0, 403);
    assert_eq!(status(&health, "x").await.0, 200);
    told(&keys, &["deny", "add", "--peer", "127.0.0.0/8"]);
    assert_eq!(status(&health, "x").await.0, 403);
    // The metrics plane and the socket are where operators are.
    assert_eq!(series(&daemon, "denied_total{kind=\"peer\"}"), Some(1));
    assert_eq!(series(&daemon, "denied_total{kind=\"path\"}"), Some(1));
    assert_eq!(series(&daemon, "denied_total{kind=\"header\"}"), Some(1));
    let line = daemon.await_line("127.0.0.0/8");
    assert!(line.contains("POST /admin/deny") && line.contains("\"done\":true"), "{line}");
    let (code, said) = refused(&keys, &["deny", "add", "--peer", "127.1.2.3/8"]);
    assert!(code == Some(1) && said.contains("already"), "{said}");
    let (code, said) = refused(&keys, &["deny", "add", "--peer", "0.0.0.0/0"]);
    assert!(code == Some(1) && said.contains("everybody"), "{said}");
    assert_eq!(told(&keys, &["deny", "list"])["patterns"].as_array().unwrap().len(), 2);
    assert_eq!(daemon.stop().0, Some(0));
}

#[actix_rt::test]
async fn a_synthetic_flood_is_counted_by_what_shows_it() {
    let keys = Keys::new();
    let daemon = start(&keys, "");
    let client = http("flood/1.0");
    let random = "aQ3xZ9kLm2Vb7Nc8Rt5Yw1Ep4Ui6Os0DfGhJkXzCvBnM";
    let path = format!("{}/{random}", daemon.api);
    for _ in 0..3 {
        assert_eq!(client.get(&path).send().await.unwrap().status().as_u16(), 404);
    }
    let noise: Vec<u8> =
        (0..1024u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let ingest = format!("{}/ingest", daemon.api);
    let answer = client.post(&ingest).body(noise).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 400);
    let count = |kind: &str| series(&daemon, &format!("anomaly_total{{kind=\"{kind}\"}}"));
    assert_eq!(count("high_entropy_path"), Some(3));
    assert_eq!(count("high_entropy_payload"), Some(1));
    assert_eq!(count("client_error_flood"), Some(0));
    assert_eq!(daemon.stop().0, Some(0));
}
