//! A daemon that takes drills, and `ron-ledgerctl chaos` beside it. What a drill starts again is ended
//! with the test.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::daemon::{Daemon, PATIENT};
use super::keys::Keys;

/// Short, and patient with machines that have much else to do.
const SHORT: &str = "--settle 1s --rate 40 --connections 16 --p95-max-ms 8000";

pub struct Field {
    pub keys: Keys,
    settings: Vec<(String, String)>,
    profile: &'static str,
    port: u16,
    daemon: Option<Daemon>,
}

impl Field {
    /// A node that takes drills, ready for writes.
    pub fn start(profile: &'static str, more: &[(&str, &str)]) -> Self {
        let mut field = Self::laid_out(profile, more);
        field.daemon = Some(field.launch());
        field
    }

    fn laid_out(profile: &'static str, more: &[(&str, &str)]) -> Self {
        let keys = Keys::new();
        // Of its own: a daemon that is started again listens where the first one did.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let own = [
            ("chaos.enabled".to_owned(), "true".to_owned()),
            ("http.api_addr".to_owned(), format!("127.0.0.1:{port}")),
            ("uds.path".to_owned(), keys.dir().join("s").display().to_string()),
        ];
        let given =
            PATIENT.iter().chain(more).map(|(key, value)| (key.to_string(), value.to_string()));
        let settings = own.into_iter().chain(given).collect();
        std::fs::write(keys.dir().join("token"), keys.master()).unwrap();
        Field { keys, settings, profile, port, daemon: None }
    }

    fn launch(&self) -> Daemon {
        let pairs: Vec<_> =
            self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        Daemon::start(&self.keys, self.profile, &pairs)
    }

    /// kill -9 for the one that this started, and another one in its place.
    #[cfg(feature = "rocks")]
    pub fn restart(&mut self, meanwhile: impl FnOnce()) {
        self.daemon.take().unwrap().kill();
        meanwhile();
        self.daemon = Some(self.launch());
    }

    fn pid_file(&self) -> PathBuf {
        self.keys.dir().join("pid")
    }

    /// A command line that starts the daemon again and leaves its number behind.
    #[cfg(feature = "rocks")]
    pub fn starts_again(&self) -> String {
        let pairs: Vec<_> =
            self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let settings: Vec<String> = self
            .keys
            .settings(self.profile, &pairs)
            .iter()
            .map(|(key, value)| format!("--set '{key}={value}'"))
            .collect();
        let (program, pid) = (env!("CARGO_BIN_EXE_ron-ledgerd"), self.pid_file());
        format!("echo $$ > '{}'; exec '{program}' {}", pid.display(), settings.join(" "))
    }

    /// `chaos` with this line, and with `more` as it is.
    pub fn chaos(&self, line: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ron-ledgerctl"));
        command.env_clear().arg("chaos").args(line.split(' ')).args(SHORT.split(' ')).args(more);
        command.args(["--json", "--url", &format!("http://127.0.0.1:{}", self.port)]);
        command.arg("--socket").arg(self.keys.dir().join("s"));
        command.arg("--token-file").arg(self.keys.dir().join("token"));
        command.stdin(Stdio::null());
        command
    }

    /// The report of a drill that ends with this exit code.
    pub fn drill(&self, line: &str, more: &[&str], code: i32) -> Value {
        let Output { status, stdout, stderr } = self.chaos(line, more).output().unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert_eq!(status.code(), Some(code), "{line}: {stdout}\n{stderr}");
        let report: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(report["passed"], code == 0, "{line}: {report:#}");
        report
    }

    /// What a drill says that is not begun.
    pub fn refused(&self, line: &str, code: i32) -> String {
        let Output { status, stdout, stderr } = self.chaos(line, &[]).output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(code), "{line}: {stderr}");
        assert!(stdout.is_empty(), "there is no report");
        stderr
    }

    /// The line of the log, of a daemon that this started.
    pub fn await_line(&mut self, text: &str) -> String {
        self.daemon.as_mut().unwrap().await_line(text)
    }

    pub fn metrics(&self) -> &str {
        &self.daemon.as_ref().unwrap().metrics
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        let number = std::fs::read_to_string(self.pid_file()).ok();
        let pid = number.and_then(|number| Pid::from_raw(number.trim().parse().ok()?));
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Whether the criterion is among those of the report.
pub fn has(report: &Value, criterion: &str) -> bool {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().any(|check| check["criterion"].as_str().unwrap().contains(criterion))
}
