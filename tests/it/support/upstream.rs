//! Key service, policy guard and wallet as a process of their own: `tests/interop/upstream.py`.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::certificates::Certificates;
use super::keys::Keys;

/// Targets, in the order of their use.
pub const TARGETS: [&str; 3] = ["kms", "policy", "wallet"];

pub struct Upstream {
    child: Child,
    said: BufReader<ChildStdout>,
    pub port: u16,
    has_tls: bool,
}

impl Upstream {
    /// Without TLS on a free port; `None` where there is no Python.
    pub fn plain(keys: &Keys) -> Option<Self> {
        Self::start(keys, 0, None)
    }

    /// With the `server` certificate of these, for clients that the same authority knows. Port 0 is a
    /// free one.
    pub fn tls(keys: &Keys, port: u16, certificates: &Certificates<'_>) -> Option<Self> {
        Self::start(keys, port, Some(certificates))
    }

    fn start(keys: &Keys, port: u16, certificates: Option<&Certificates<'_>>) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new("python3");
        command.arg(root.join("tests/interop/upstream.py"));
        command.arg("--port").arg(port.to_string());
        command.arg("--keyring").arg(keys.dir().join("keyring"));
        if let Some(made) = certificates {
            let paths = ["server.pem", "server.key", "ca.pem"].map(|name| made.path(name));
            command.args(["--cert", &paths[0], "--key", &paths[1], "--ca", &paths[2]]);
        }
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = match piped.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("no python3 here: not checked");
                return None;
            }
            Err(error) => panic!("python3 does not run: {error}"),
        };
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        said.read_line(&mut port).unwrap();
        let port = port.trim().parse().expect("its port");
        Some(Upstream { child, said, port, has_tls: certificates.is_some() })
    }

    /// Where it answers for this target.
    pub fn url(&self, target: &str) -> String {
        let scheme = if self.has_tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}/{target}", self.port)
    }

    /// Gives an order and waits until it stands.
    pub fn order(&mut self, line: &str) -> String {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        let mut answer = String::new();
        self.said.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "{line}: the stand-in is gone");
        answer.trim().to_owned()
    }

    /// Questions, and entries in them, so far.
    pub fn seen(&mut self, target: &str) -> (u64, u64) {
        let seen: serde_json::Value = serde_json::from_str(&self.order("seen")).unwrap();
        let row = &seen[format!("/{target}")];
        (row["questions"].as_u64().unwrap(), row["entries"].as_u64().unwrap())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The settings that make these targets remote, at this stand-in.
pub fn remote(upstream: &Upstream, targets: &[&str]) -> Vec<(String, String)> {
    let rows = targets.iter().flat_map(|target| {
        [
            (format!("upstream.{target}.mode"), "remote".to_owned()),
            (format!("upstream.{target}.url"), upstream.url(target)),
        ]
    });
    rows.collect()
}

/// As they are taken by those who start nodes.
pub fn borrowed(settings: &[(String, String)]) -> Vec<(&str, &str)> {
    settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}
