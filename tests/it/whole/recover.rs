//! `ops/ron-ledger-recover.sh` on a real daemon, with a stand-in for systemctl: it restarts where that helps,
//! proves that the log has only grown, and touches nothing where a restart would not help or would do harm.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use ron_ledger::client::unit::to_wire;
use ron_ledger::client::{BearerToken, Client, ClientOptions};
use ron_ledger::http::drills::{DrillIn, SignalName, TargetName};
use ron_ledger::http::dto::RequestIn;

use crate::support::entries::mint;
use crate::support::keys::Keys;

/// A node as a unit of the stand-in, at addresses that it keeps.
struct Unit {
    keys: Keys,
    api: String,
    metrics: String,
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

impl Unit {
    /// Started, and ready for writes.
    fn start(profile: &str) -> Self {
        let unit = Unit { keys: Keys::new(), api: free_address(), metrics: free_address() };
        let socket = unit.path("s").display().to_string();
        let own = [
            ("http.api_addr", unit.api.as_str()),
            ("http.metrics_addr", unit.metrics.as_str()),
            ("uds.path", &socket),
            ("chaos.enabled", "true"),
            // Whatever else is on the disk.
            ("disk.degraded_percent", "98"),
            ("disk.refuse_percent", "99"),
        ];
        let settings: Vec<String> = unit
            .keys
            .settings(profile, &own)
            .iter()
            .map(|(key, value)| format!("--set '{key}={value}'"))
            .collect();
        let script = format!(
            "#!/bin/sh\ncd '{dir}' && echo \"$*\" >> calls\ncase $1 in\n\
             start) setsid '{daemon}' {settings} >log 2>&1 </dev/null & echo $! > pid ;;\n\
             stop) kill -TERM \"$(cat pid)\" 2>/dev/null\n\
             while grep -q '^State:.[^Z]' \"/proc/$(cat pid)/status\" 2>/dev/null; do sleep 0.05; done ;;\n\
             esac\n",
            dir = unit.keys.dir().display(),
            daemon = env!("CARGO_BIN_EXE_ron-ledgerd"),
            settings = settings.join(" "),
        );
        std::fs::write(unit.path("systemctl"), script).unwrap();
        std::fs::set_permissions(unit.path("systemctl"), Permissions::from_mode(0o755)).unwrap();
        unit.systemctl("start");
        for _ in 0..3_000 {
            if std::fs::read_to_string(unit.path("log")).is_ok_and(|log| log.contains("ready=1")) {
                return unit;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not start: {}", std::fs::read_to_string(unit.path("log")).unwrap());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.keys.dir().join(name)
    }

    fn systemctl(&self, verb: &str) {
        let mut command = Command::new(self.path("systemctl"));
        assert!(command.args([verb, "ron-ledger"]).status().unwrap().success());
    }

    /// What the stand-in was told since the last time.
    fn calls(&self) -> Vec<String> {
        let calls = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        std::fs::write(self.path("calls"), "").unwrap();
        calls.lines().map(str::to_owned).collect()
    }

    fn ctl(&self, line: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ron-ledgerctl"));
        command.env_clear().arg("--socket").arg(self.path("s")).args(line.split(' '));
        assert!(command.stdout(Stdio::null()).status().unwrap().success(), "{line}");
    }

    fn client(&self) -> Client {
        let token = Some(BearerToken::new(self.keys.master()).unwrap());
        Client::new(&ClientOptions { token, ..ClientOptions::new(format!("http://{}", self.api)) })
            .unwrap()
    }

    async fn drill(&self, drill: &DrillIn) {
        let options = ClientOptions {
            socket: Some(self.path("s")),
            ..ClientOptions::new("http://localhost")
        };
        Client::new(&options).unwrap().drill(drill).await.unwrap();
    }

    /// Whether an entry was taken.
    async fn write(&self) -> bool {
        let batch = vec![to_wire(&mint("a", 1))];
        self.client().ingest(&RequestIn { batch, idem_id: None, atomic: false }).await.is_ok()
    }

    /// Runs the script: its exit code, and all that it says.
    fn recover(&self, more: &[(&str, &str)]) -> (i32, String) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/ops/ron-ledger-recover.sh");
        let mut command = Command::new(script);
        command
            .env("API_URL", format!("http://{}", self.api))
            .env("METRICS_URL", format!("http://{}", self.metrics))
            .env("SYSTEMCTL", self.path("systemctl"))
            .env("CTL", env!("CARGO_BIN_EXE_ron-ledgerctl"))
            .env("DATA_DIR", self.keys.dir())
            .env("KEEP_DIR", self.path("kept"))
            .env("FREE_PERCENT_MIN", "0")
            .envs(more.iter().copied());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let said = [stdout, stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
        (status.code().unwrap(), said.concat())
    }

    /// It says so, with this exit code, and nothing was stopped.
    fn check_left_alone(&self, more: &[(&str, &str)], code: i32, told: &str) {
        self.calls();
        let (ended, said) = self.recover(more);
        assert!(ended == code && said.contains(told), "{ended}: {said}");
        assert_eq!(self.calls(), Vec::<String>::new(), "{said}");
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.systemctl("stop");
    }
}

#[actix_rt::test]
async fn nothing_is_touched_where_a_restart_does_not_help() {
    let unit = Unit::start("micronode");
    unit.check_left_alone(&[], 0, "it is well: nothing to do");
    for (order, back, told) in [
        ("freeze", "unfreeze", "frozen: an operator has ordered it"),
        ("maintenance begin", "maintenance end", "maintenance: an operator"),
        ("safe-mode enter", "safe-mode clear", "safe_mode: operator: an operator"),
    ] {
        unit.ctl(order);
        unit.check_left_alone(&[], 2, told);
        unit.ctl(back);
    }
    let (target, signal) = (TargetName::Committer, SignalName::Panic);
    unit.drill(&DrillIn::Kill { target, signal, point: None }).await;
    assert!(!unit.write().await);
    for _ in 0..1_000 {
        match unit.recover(&[("WAIT_SECONDS", "0")]) {
            (2, said) if said.contains("a restart would delete it") => break,
            (2, said) if said.contains("verifies its store, wait") => {}
            (code, said) => panic!("{code}: {said}"),
        }
    }
    unit.check_left_alone(&[], 2, "a micronode has its ledger in memory");
}

#[cfg(feature = "rocks")]
#[actix_rt::test]
async fn what_a_restart_ends_is_ended_and_the_log_has_only_grown() {
    let unit = Unit::start("macronode");
    let version = unit.client().text("version").await.unwrap();
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    let vkey = [("VKEY", version["verifier_key"].as_str().unwrap())];
    assert!(unit.write().await);
    unit.drill(&DrillIn::FsyncFail).await;
    assert!(!unit.write().await);
    unit.check_left_alone(&[("FREE_PERCENT_MIN", "100")], 2, "free space first");
    let dry = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/ops/ron-ledger-recover.sh"))
        .arg("--dry-run")
        .env("METRICS_URL", format!("http://{}", unit.metrics))
        .envs([("DATA_DIR", "/"), ("FREE_PERCENT_MIN", "0")])
        .output()
        .unwrap();
    assert!(dry.status.success() && unit.calls().is_empty(), "{dry:?}");

    let (code, said) = unit.recover(&vkey);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("a restart verifies the store and ends this"), "{said}");
    assert!(said.contains("begins with what was published before: proven"), "{said}");
    assert_eq!(
        unit.calls(),
        ["stop", "reset-failed", "start"].map(|it| format!("{it} ron-ledger"))
    );
    assert!(unit.path("kept").join("checkpoint.note").exists());
    assert!(unit.write().await);

    // Gone without a word: it is started again.
    unit.systemctl("stop");
    unit.calls();
    let (code, said) = unit.recover(&vkey);
    assert!(code == 0 && said.contains("it does not answer: it is started again"), "{said}");
    assert!(unit.write().await);
}
