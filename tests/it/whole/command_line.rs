//! `ron-ledgerctl` end to end, as an operator uses it: keys, a token, entries, and reads.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::daemon::Daemon;
use crate::support::witness::{Witness, policy_text};

/// A ledger that publishes later than this has hung.
const PATIENCE: Duration = Duration::from_secs(10);

/// A directory with a configuration, and a node on it.
struct Site {
    dir: TempDir,
    /// Gone when the node has stopped.
    node: Option<Daemon>,
}

/// How a command ended.
struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Done {
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    fn assert(&self, code: i32, text: &str) {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        assert!(format!("{}{}", self.out, self.err).contains(text), "{}\n{}", self.out, self.err);
    }
}

const CONFIG: &str = r#"
profile = "macronode"
[node]
environment = "dev"
data_dir = "data"
origin = "localhost/site"
[http]
api_addr = "127.0.0.1:0"
metrics_addr = "127.0.0.1:0"
[capabilities]
keyring_dir = "keyring"
signing_dir = "signing"
[governance]
reversible_bridges = "allow"
[keys]
dev = true
"#;

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ledger.toml"), CONFIG).unwrap();
        Site { dir, node: None }
    }

    /// With keys, a token for everything, and a node that runs.
    fn running() -> Self {
        let mut site = Site::new();
        site.ctl(&["init", "--config", "ledger.toml"]).assert(0, "made");
        let actions = "mint,burn,transfer,debit,credit,hold,capture,release,reverse,read";
        site.ctl(&[
            "cap",
            "mint",
            "--config",
            "ledger.toml",
            "--action",
            actions,
            "--id",
            "app",
            "--expires",
            "1h",
            "--out",
            "app.token",
        ])
        .assert(0, "wrote app.token");
        site.start();
        site
    }

    fn start(&mut self) {
        let mut command = Daemon::program();
        command.args(["--config", "ledger.toml"]).current_dir(self.dir());
        let mut node = Daemon::of(command);
        node.await_line("ready=1");
        self.node = Some(node);
    }

    /// Stopped and started again, until it shows a checkpoint by the keys of now.
    fn restart(&mut self) {
        assert_eq!(self.node.take().unwrap().stop().0, Some(0));
        self.start();
        let vkey = self.ctl(&["key", "show", "--config", "ledger.toml"]).out;
        std::fs::write(self.dir().join("now.vkey"), vkey).unwrap();
        let started = Instant::now();
        while self.app(&["checkpoint", "--verifier-key", "now.vkey"]).code != 0 {
            assert!(started.elapsed() < PATIENCE, "no checkpoint by the keys of now");
        }
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir().join(name)).unwrap()
    }

    /// Runs a command with the addresses of the node, without a token.
    fn ctl(&self, args: &[&str]) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ron-ledgerctl"));
        command.env_clear().current_dir(self.dir()).args(args);
        if let Some(node) = &self.node {
            command.args(["--url", &node.api, "--metrics-url", &node.metrics]);
        }
        let done = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = done.status.code().unwrap();
        let done = Done { code, out: text(done.stdout), err: text(done.stderr) };
        self.assert_no_token(&done);
        done
    }

    /// As [`Site::ctl`], with the token.
    fn app(&self, args: &[&str]) -> Done {
        self.ctl(&[args, &["--token-file", "app.token"]].concat())
    }

    fn json(&self, args: &[&str]) -> Value {
        self.app(&[args, &["--json"]].concat()).json()
    }

    /// A checkpoint follows the answers of its entries within a second.
    fn await_checkpoint(&self, size: &Value) {
        let started = Instant::now();
        while self.json(&["checkpoint"])["size"] != *size {
            assert!(started.elapsed() < PATIENCE, "no checkpoint of size {size}");
        }
    }

    fn assert_no_token(&self, done: &Done) {
        let Ok(token) = std::fs::read_to_string(self.dir().join("app.token")) else { return };
        // The signature is at its end.
        let token = token.trim();
        let secret = &token[token.len() - 40..];
        assert!(!done.out.contains(secret) && !done.err.contains(secret), "a token is shown");
    }
}

#[test]
fn init_makes_what_is_missing_once() {
    let site = Site::new();
    let init = |json: &str| site.ctl(&["init", "--config", "ledger.toml", json]).json();
    let states = |steps: Value| -> Vec<String> {
        let steps = steps.as_array().unwrap().clone();
        steps.iter().map(|step| step["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(states(init("--json")), ["made"; 3]);
    let key = site.read("keyring/root-1.key");
    assert_eq!(states(init("--json")), ["was there"; 3]);
    assert_eq!(site.read("keyring/root-1.key"), key);
}

#[test]
fn a_token_goes_to_its_file_and_nowhere_else() {
    let site = Site::running();
    let mode = site.dir().join("app.token").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    site.app(&["cap", "inspect"]).assert(0, "app");
}

#[test]
fn a_file_of_entries_is_sent_and_a_second_time_replayed() {
    let site = Site::running();
    let make = ["workload", "--entries", "1500", "--seed", "5", "--invalid-share", "0"];
    site.app(&[&make[..], &["--out", "entries.jsonl"]].concat()).assert(0, "wrote 1500 entries");
    let ingest = ["ingest", "--file", "entries.jsonl", "--batch", "200", "--strict"];
    let first = site.json(&ingest);
    assert_eq!((&first["entries"], &first["rejected"]), (&1500.into(), &0.into()), "{first}");
    let again = site.json(&ingest);
    assert_eq!(again["replayed"], 1500, "{again}");
    assert_eq!((&again["root"], &again["root_size"]), (&first["root"], &first["root_size"]));
    site.app(&ingest).assert(0, "replayed");
    // The same seed straight to the ledger is the same entries.
    let sent = site.json(&[&make[..], &["--send"]].concat());
    assert_eq!(sent["replayed"], 1500, "{sent}");
}

#[test]
fn what_was_sent_is_read_back() {
    let site = Site::running();
    let sent = site.json(&["workload", "--entries", "300", "--send"]);
    let head = sent["root_size"].as_u64().unwrap();
    assert_eq!(sent["last_seq"], head);
    site.app(&["workload", "--entries", "300", "--send", "--strict"]).assert(1, "were rejected");

    let supply = site.json(&["supply"]);
    let head = supply["size"].as_u64().unwrap().max(head);
    let circulates = |row: &Value| row["circulating"].as_str().unwrap() != "0";
    assert!(supply["assets"].as_array().unwrap().iter().any(circulates), "{supply}");
    let last = site.json(&["entry", &head.to_string()]);
    let id = last["entry"]["id"].as_str().unwrap();
    assert_eq!(site.json(&["entry", id])["entry"], last["entry"]);
    let account = last["entry"]["account"].as_str().unwrap();
    let account = site.json(&["account", account]);
    assert!(!account["assets"].as_array().unwrap().is_empty(), "{account}");
    let status = site.json(&["status"]);
    assert_eq!((&status["ready"], &status["readyz"]["head_seq"]), (&true.into(), &head.into()));
    let roots = site.json(&["roots", "--limit", "3"]);
    assert_eq!(roots["roots"].as_array().unwrap().len(), 3, "{roots}");
    // As tables too.
    for (args, text) in [
        (&["supply"][..], "circulating"),
        (&["entry", "1"], "committed at"),
        (&["account", "acct:000000"], "available"),
        (&["status"], "ready"),
        (&["roots"], "committed at"),
        (&["checkpoint"], "localhost/site"),
    ] {
        site.app(args).assert(0, text);
    }
}

#[test]
fn a_checkpoint_is_checked_with_the_key_that_the_node_shows() {
    let site = Site::running();
    let sent = site.json(&["workload", "--entries", "50", "--send"]);
    site.await_checkpoint(&sent["root_size"]);
    let shown = site.ctl(&["key", "show", "--config", "ledger.toml"]);
    std::fs::write(site.dir().join("ledger.vkey"), &shown.out).unwrap();
    let checked = site.json(&["checkpoint", "--verifier-key", "ledger.vkey"]);
    assert_eq!(
        (&checked["origin"], &checked["signature_checked"]),
        (&"localhost/site".into(), &true.into(),)
    );
    assert_eq!((&checked["size"], &checked["root"]), (&sent["root_size"], &sent["root"]));

    let other = Site::new();
    other.ctl(&["init", "--config", "ledger.toml"]).assert(0, "made");
    let shown = other.ctl(&["key", "show", "--config", "ledger.toml"]);
    std::fs::write(site.dir().join("other.vkey"), &shown.out).unwrap();
    site.app(&["checkpoint", "--verifier-key", "other.vkey"]).assert(4, "error: ");
}

#[test]
fn a_receipt_is_checked_without_the_ledger() {
    let mut site = Site::running();
    let sent = site.json(&["workload", "--entries", "50", "--send"]);
    site.await_checkpoint(&sent["root_size"]);
    let shown = site.ctl(&["key", "show", "--config", "ledger.toml"]);
    std::fs::write(site.dir().join("ledger.vkey"), &shown.out).unwrap();
    let note = site.ctl(&["checkpoint", "--size", "0"]);
    std::fs::write(site.dir().join("saved.note"), &note.out).unwrap();
    let grown = ["proof", "consistency", "--since", "saved.note", "--vkey", "ledger.vkey"];
    site.ctl(&grown).assert(0, "only grown");
    site.ctl(&["proof", "inclusion", "--seq", "7"]).assert(0, "root");
    let id = site.json(&["entry", "7"])["entry"]["id"].as_str().unwrap().to_owned();
    site.app(&["receipt", "--id", &id, "--out", "7.tlog-proof"]).assert(0, "wrote 7.tlog-proof");

    assert_eq!(site.node.take().unwrap().stop().0, Some(0));
    let verify = ["receipt", "verify", "--in", "7.tlog-proof", "--vkey"];
    let checked = site.ctl(&[&verify[..], &["ledger.vkey", "--json"]].concat()).json();
    assert_eq!((&checked["seq"], &checked["id"]), (&7.into(), &id.as_str().into()), "{checked}");
    let as_text = site.read("ledger.vkey");
    site.ctl(&[&verify[..], &[as_text.trim()]].concat()).assert(0, "localhost/site");
    let changed = site.read("7.tlog-proof").replacen("index 6", "index 7", 1);
    std::fs::write(site.dir().join("7.tlog-proof"), changed).unwrap();
    site.ctl(&[&verify[..], &["ledger.vkey"]].concat()).assert(4, "error: ");
    site.ctl(&["receipt"]).assert(2, "Usage");
}

#[test]
fn a_receipt_carries_the_word_of_witnesses() {
    let mut site = Site::running();
    let sent = site.json(&["workload", "--entries", "50", "--send"]);
    let vkey = site.ctl(&["key", "show", "--config", "ledger.toml"]).out;
    let witness = Witness::new("witness.example/w", &[vkey.trim()]).start();
    let away = Witness::new("witness.example/away", &[vkey.trim()]);
    let write = |site: &Site, name: &str, text: &str| {
        std::fs::write(site.dir().join(name), text).unwrap();
    };
    write(&site, "ledger.vkey", &vkey);
    write(&site, "witness.policy", &policy_text(&[&witness, &away], 1));
    write(&site, "strict.policy", &policy_text(&[&witness, &away], 2));
    write(&site, "ledger.toml", &format!("{CONFIG}[witness]\npolicy_file = \"witness.policy\"\n"));
    let id = site.json(&["entry", "7"])["entry"]["id"].as_str().unwrap().to_owned();
    let get = ["receipt", "--witnessed", "--id", &id, "--out", "7.tlog-proof"];
    site.app(&get).assert(1, "witness.policy_file");
    site.restart();
    site.await_checkpoint(&sent["root_size"]);
    let started = Instant::now();
    while site.app(&get).code != 0 {
        assert!(started.elapsed() < PATIENCE, "never witnessed");
    }
    let verify = ["receipt", "verify", "--in", "7.tlog-proof", "--vkey", "ledger.vkey"];
    let with = |policy| site.ctl(&[&verify[..], &["--policy", policy, "--json"]].concat());
    assert_eq!(with("witness.policy").json()["witnesses"], serde_json::json!(["w0"]));
    with("strict.policy").assert(4, "too few witnesses");
    with("ledger.vkey").assert(2, "line 1");
}

#[test]
fn a_signing_key_is_rotated_and_retired() {
    let mut site = Site::running();
    let sent = site.json(&["workload", "--entries", "20", "--send"]);
    site.await_checkpoint(&sent["root_size"]);
    let key = |site: &Site, command: &str| {
        site.ctl(&["key", command, "--config", "ledger.toml", "--json"]).json()
    };
    let save = |site: &Site, name: &str| {
        let shown = site.ctl(&["key", "show", "--config", "ledger.toml"]);
        std::fs::write(site.dir().join(name), &shown.out).unwrap();
    };
    save(&site, "old.vkey");
    let rows = key(&site, "rotate");
    assert_eq!(
        (rows[0]["state"].as_str(), rows[1]["state"].as_str()),
        (Some("signs"), Some("signs too"))
    );
    site.ctl(&["key", "rotate", "--config", "ledger.toml"]).assert(2, "key retire");
    save(&site, "new.vkey");
    let by = |site: &Site, vkey: &str, code: i32| {
        site.app(&["checkpoint", "--verifier-key", vkey]).assert(code, "");
    };
    by(&site, "new.vkey", 4);
    site.restart();
    by(&site, "new.vkey", 0);
    by(&site, "old.vkey", 0);
    let rows = key(&site, "retire");
    assert_eq!(rows, key(&site, "list"));
    assert_eq!(rows[1]["state"], "retired");
    site.restart();
    by(&site, "new.vkey", 0);
    by(&site, "old.vkey", 4);
    // The ledger goes on under the new key.
    let more = site.json(&["workload", "--entries", "20", "--seed", "9", "--send"]);
    site.await_checkpoint(&more["root_size"]);
    by(&site, "new.vkey", 0);
}

#[test]
fn each_failure_has_its_exit_code() {
    let site = Site::running();
    let check = |code: i32, args: &[&str], text: &str| site.app(args).assert(code, text);
    site.ctl(&["workload", "--entries", "5", "--send"]).assert(1, "unauth");
    check(1, &["entry", "1"], "not_found");
    check(2, &["entry"], "Usage");
    check(2, &["ingest", "--file", "missing.jsonl"], "missing.jsonl");
    check(2, &["workload", "--mix", "nothing=1"], "nothing");
    check(5, &["cap", "mint", "--action", "read", "--expires", "1h"], "error: ");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unreachable = Site { node: None, ..Site::new() };
    let url = format!("http://{nobody}");
    unreachable.ctl(&["supply", "--url", &url]).assert(3, "cannot reach");
}

#[test]
fn a_ledger_that_stopped_is_unreachable() {
    let mut site = Site::running();
    site.app(&["status"]).assert(0, "ready");
    let node = site.node.take().unwrap();
    let (api, metrics) = (node.api.clone(), node.metrics.clone());
    assert_eq!(node.stop().0, Some(0));
    site.app(&["status", "--url", &api, "--metrics-url", &metrics]).assert(3, "cannot reach");
}
