//! The orders of operators, by the command line over the local socket, and what a restart finds of them.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use ron_ledger::client::unit::to_wire;
use ron_ledger::client::{BearerToken, Client, ClientError, ClientOptions};
use ron_ledger::http::dto::RequestIn;
use serde_json::Value;

use crate::support::certificates::series;
use crate::support::daemon::Daemon;
use crate::support::entries::mint;
use crate::support::keys::Keys;

/// A user whom nobody has let in.
const STRANGER: u32 = 65_534;

struct Node {
    keys: Keys,
    daemon: Daemon,
    client: Client,
}

fn socket(keys: &Keys) -> PathBuf {
    keys.dir().join("s")
}

impl Node {
    /// Started, recovered, and checked; whether it takes writes is another question.
    fn start(keys: Keys, profile: &str, more: &[(&str, &str)]) -> Self {
        let path = socket(&keys).display().to_string();
        let settings = [&[("uds.path", path.as_str())], more].concat();
        let daemon = Daemon::spawn(&keys, profile, &settings);
        let client = daemon.client(&keys.master());
        let node = Node { keys, daemon, client };
        for _ in 0..2_000 {
            let mode = node.tell("safe-mode status");
            if !mode.contains("recovering") && !mode.contains("checking") {
                return node;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("it does not recover");
    }

    fn ctl(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ron-ledgerctl"));
        command.env_clear().args(["--json", "--socket"]).arg(socket(&self.keys));
        command.args(line.split(' '));
        command
    }

    /// The mode that the command shows.
    fn tell(&self, line: &str) -> String {
        let Output { status, stdout, stderr } = self.ctl(line).output().unwrap();
        assert!(status.success(), "{line}: {}", String::from_utf8_lossy(&stderr));
        let shown: Value = serde_json::from_slice(&stdout).unwrap();
        shown["mode"].as_str().unwrap().to_owned()
    }

    fn refused(&self, line: &str) -> String {
        let output = self.ctl(line).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// `ok`, or the reason of the refusal.
    async fn write(&self) -> String {
        Self::write_by(&self.client).await
    }

    /// As [`Node::write`], over the local socket.
    async fn write_locally(&self) -> String {
        let token = Some(BearerToken::new(self.keys.master()).unwrap());
        let socket = Some(socket(&self.keys));
        let options = ClientOptions { token, socket, ..ClientOptions::new("http://localhost") };
        Self::write_by(&Client::new(&options).unwrap()).await
    }

    async fn write_by(client: &Client) -> String {
        let batch = vec![to_wire(&mint("a", 1))];
        let request = RequestIn { batch, idem_id: None, atomic: false };
        match client.ingest(&request).await {
            Ok(_) => "ok".to_owned(),
            Err(ClientError::Refused { body, .. }) => body.reason.into_owned(),
            Err(other) => panic!("{other}"),
        }
    }

    fn stop(self) -> Keys {
        let (code, _, log) = self.daemon.stop();
        assert_eq!(code, Some(0), "{log:#?}");
        assert!(!socket(&self.keys).exists(), "the socket is taken away");
        self.keys
    }
}

/// Each order bars writes by its name, and its opposite lets them pass.
#[actix_rt::test]
async fn orders_bar_writes_and_take_it_back() {
    let node = Node::start(Keys::new(), "micronode", &[]);
    assert_eq!((node.tell("safe-mode status"), node.write().await), ("ready".into(), "ok".into()));
    for (order, mode, opposite) in [
        ("freeze", "frozen", "unfreeze"),
        ("maintenance begin", "maintenance", "maintenance end"),
        ("safe-mode enter", "operator", "safe-mode clear"),
    ] {
        assert_eq!(node.tell(order), mode);
        let reason = if mode == "operator" { "safe_mode" } else { mode };
        assert_eq!(node.write().await, reason);
        assert!(node.client.account("a").await.is_ok(), "reads go on");
        assert_eq!(node.tell(opposite), "ready");
        assert!(node.refused(opposite).contains("nothing to end"), "{opposite}");
        assert_eq!(node.write().await, "ok");
    }
    let log = node.daemon.stop().2;
    let orders = log
        .iter()
        .filter(|line| line.contains("admin call") && line.contains("POST /admin/orders"))
        .count();
    assert_eq!(orders, 9, "each order is a line: {log:#?}");
}

#[actix_rt::test]
async fn a_locked_ingress_takes_writes_over_the_local_socket_alone() {
    let node = Node::start(Keys::new(), "micronode", &[]);
    assert_eq!(node.tell("ingress lock --to uds"), "ingress_locked");
    assert_eq!(node.write().await, "ingress_locked");
    assert_eq!(node.write_locally().await, "ok");
    assert!(node.client.account("a").await.is_ok(), "reads go on");
    let mut probe = std::net::TcpStream::connect(node.daemon.metrics.split_at(7).1).unwrap();
    probe.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    probe.read_to_string(&mut answer).unwrap();
    for text in ["\"ready\":true", "\"degraded\":true", "\"ingress\":\"uds\"", "closed to writes"] {
        assert!(answer.contains(text), "{text}: {answer}");
    }
    assert_eq!(series(&node.daemon, "ledger_ingress_locked"), Some(1));
    // A worse bar is told to both.
    assert_eq!(node.tell("freeze"), "frozen,ingress_locked");
    assert_eq!(
        (node.write().await, node.write_locally().await),
        ("frozen".into(), "frozen".into())
    );
    assert_eq!(node.tell("unfreeze"), "ingress_locked");
    assert_eq!(node.tell("ingress unlock"), "ready");
    assert!(node.refused("ingress unlock").contains("nothing to end"));
    assert_eq!(node.write().await, "ok");
    assert_eq!(series(&node.daemon, "ledger_ingress_locked"), Some(0));
    node.stop();
}

#[actix_rt::test]
async fn a_drain_by_order_ends_the_daemon_with_code_0() {
    let node = Node::start(Keys::new(), "micronode", &[]);
    assert_eq!(node.tell("drain"), "draining");
    let (code, _, log) = node.daemon.ended();
    assert_eq!(code, Some(0), "{log:#?}");
}

#[cfg(feature = "rocks")]
#[actix_rt::test]
async fn what_was_ordered_outlives_the_process_and_a_crash_of_it() {
    let node = Node::start(Keys::new(), "macronode", &[]);
    assert_eq!(node.tell("ingress lock --to uds"), "ingress_locked");
    assert_eq!(node.tell("freeze"), "frozen,ingress_locked");
    assert_eq!(node.tell("safe-mode enter"), "operator,frozen,ingress_locked");
    let Node { keys, daemon, .. } = node;
    daemon.kill();
    // The socket that the killed process left is taken over.
    let node = Node::start(keys, "macronode", &[]);
    assert_eq!(node.tell("safe-mode status"), "operator,frozen,ingress_locked");
    assert_eq!(node.write().await, "frozen");
    assert_eq!(node.tell("unfreeze"), "operator,ingress_locked");
    assert_eq!(node.tell("safe-mode clear"), "ingress_locked");
    assert_eq!(
        (node.write().await, node.write_locally().await),
        ("ingress_locked".into(), "ok".into())
    );
    assert_eq!(node.tell("ingress unlock"), "ready");
    let node = Node::start(node.stop(), "macronode", &[]);
    assert_eq!(node.write().await, "ok");
    let keys = node.stop();
    // A file that makes no sense bars writes until somebody has looked.
    std::fs::write(keys.dir().join("data/state/mode"), [0; 1024]).unwrap();
    let node = Node::start(keys, "macronode", &[]);
    assert_eq!(node.write().await, "safe_mode");
    assert_eq!(node.tell("safe-mode clear"), "ready");
    node.stop();
}

#[cfg(feature = "rocks")]
#[actix_rt::test]
async fn a_disk_beyond_its_mark_refuses_new_entries_alone() {
    let node = Node::start(Keys::new(), "macronode", &[]);
    let entry = mint("a", 1);
    let request = RequestIn { batch: vec![to_wire(&entry)], idem_id: None, atomic: false };
    node.client.ingest(&request).await.unwrap();
    // Whatever the disk is like, it is fuller than this.
    let marks = [("disk.degraded_percent", "0"), ("disk.refuse_percent", "1")];
    let node = Node::start(node.stop(), "macronode", &marks);
    assert_eq!(node.write().await, "disk_pressure");
    let replayed = node.client.ingest(&request).await.unwrap();
    assert_eq!(replayed.results[0].seq, Some(1), "what is there is told all the same");
    assert!(node.client.account("a").await.is_ok());
    node.stop();
}

#[test]
fn a_stranger_gets_no_further_than_the_socket() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root can come as somebody else");
        return;
    }
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for (allowed, code) in [("", 1), ("1,65534", 0)] {
        let node = Node::start(Keys::new(), "micronode", &[("uds.allow_uids", allowed)]);
        // By its files alone the stranger could connect.
        open(node.keys.dir(), 0o755);
        open(&socket(&node.keys), 0o666);
        let program = node.keys.dir().join("ctl");
        std::fs::copy(env!("CARGO_BIN_EXE_ron-ledgerctl"), &program).unwrap();
        let mut command = Command::new(program);
        let command = command.env_clear().args(["safe-mode", "status", "--socket"]);
        let output = command.arg(socket(&node.keys)).uid(STRANGER).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{allowed}: {text}");
        assert_eq!(text.contains("uds.allow_uids"), code == 1, "{text}");
        node.stop();
    }
}
