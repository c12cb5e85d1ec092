//! The daemon as a process of its own, as operators run it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ron_ledger::client::{BearerToken, Client, ClientOptions};
use rustix::process::{Pid, kill_process};

use super::keys::Keys;

pub use rustix::process::Signal;

/// A daemon that takes longer to start or to stop has hung.
const PATIENCE: Duration = Duration::from_secs(30);

/// For tests that are not about time, on machines that have much else to do.
pub const PATIENT: [(&str, &str); 3] = [
    ("limits.request_deadline", "9s"),
    ("drain.deadline", "10s"),
    ("supervision.stuck_after", "20s"),
];

pub struct Daemon {
    child: Child,
    log: Receiver<String>,
    /// What was read of the log so far.
    lines: Vec<String>,
    pub api: String,
    pub metrics: String,
    /// Empty without an admin plane.
    pub admin: String,
}

impl Daemon {
    /// Started and ready for writes.
    pub fn start(keys: &Keys, profile: &str, more: &[(&str, &str)]) -> Self {
        let mut daemon = Self::spawn(keys, profile, more);
        daemon.await_line("ready=1");
        daemon
    }

    /// Started and listening.
    pub fn spawn(keys: &Keys, profile: &str, more: &[(&str, &str)]) -> Self {
        Self::spawn_by(Self::program(), keys, profile, more)
    }

    /// The program with nothing of this process's environment.
    pub fn program() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ron-ledgerd"));
        command.env_clear();
        command
    }

    /// As [`Daemon::spawn`], by a command that ends in the program's name (a tracer's, for instance).
    pub fn spawn_by(
        mut command: Command,
        keys: &Keys,
        profile: &str,
        more: &[(&str, &str)],
    ) -> Self {
        configure(&mut command, keys, profile, more);
        Self::of(command)
    }

    /// Started by a whole command line, and listening.
    pub fn of(mut command: Command) -> Self {
        let mut child = launch(&mut command);
        let (sender, log) = channel();
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let (api, metrics, admin) = Default::default();
        let mut daemon = Daemon { child, log, lines: Vec::new(), api, metrics, admin };
        let up = daemon.line("ron-ledgerd is up");
        let up: serde_json::Value = serde_json::from_str(&up).unwrap();
        let url = |scheme, field| format!("{scheme}://{}", up[field].as_str().unwrap());
        let scheme = if up["tls"] == true { "https" } else { "http" };
        (daemon.api, daemon.metrics) = (url(scheme, "api"), url("http", "metrics"));
        if up["admin"].is_string() {
            daemon.admin = url("https", "admin");
        }
        daemon
    }

    /// One that does not start: its exit code and all that it said.
    ///
    /// # Panics
    /// When it does.
    pub fn refused(keys: &Keys, profile: &str, more: &[(&str, &str)]) -> (Option<i32>, String) {
        Self::refused_by(Self::program(), keys, profile, more)
    }

    /// As [`Daemon::refused`], by this command.
    pub fn refused_by(
        mut command: Command,
        keys: &Keys,
        profile: &str,
        more: &[(&str, &str)],
    ) -> (Option<i32>, String) {
        configure(&mut command, keys, profile, more);
        let mut child = launch(&mut command);
        let started = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if started.elapsed() > PATIENCE {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(!said.contains("ron-ledgerd is up"), "it starts:\n{said}");
        (child.wait().unwrap().code(), said)
    }

    /// A line of the log with this text: one that was said already, or the next one.
    pub fn line(&mut self, text: &str) -> String {
        match self.lines.iter().find(|line| line.contains(text)) {
            Some(line) => line.clone(),
            None => self.await_line(text),
        }
    }

    /// The next line of the log, now or later, with this text.
    pub fn await_line(&mut self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.log.recv_timeout(left) {
                Ok(line) => {
                    self.lines.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(_) => panic!("no line with `{text}` in:\n{}", self.lines.join("\n")),
            }
        }
    }

    pub fn client(&self, token: &str) -> Client {
        let token = Some(BearerToken::new(token.to_owned()).unwrap());
        Client::new(&ClientOptions { token, ..ClientOptions::new(&self.api) }).unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A life that a kill -9 ends after this time, wherever it is by then.
    pub fn cut_short(keys: &Keys, profile: &str, more: &[(&str, &str)], after: Duration) {
        let mut command = Self::program();
        configure(&mut command, keys, profile, more);
        let mut child = launch(&mut command);
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Closes this end of the log. The daemon finds out when it has said one more line.
    pub fn stop_listening(&mut self) {
        self.log = channel().1;
    }

    /// kill -9, and the process is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// SIGTERM, and [`Daemon::ended`].
    pub fn stop(self) -> (Option<i32>, Duration, Vec<String>) {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Waits for its end. The exit code, how long it took from now, and the whole log.
    pub fn ended(mut self) -> (Option<i32>, Duration, Vec<String>) {
        let started = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < PATIENCE, "does not stop:\n{}", self.lines.join("\n"));
            std::thread::sleep(Duration::from_millis(5));
        }
        let took = started.elapsed();
        self.lines.extend(self.log.iter());
        let code = self.child.wait().unwrap().code();
        (code, took, std::mem::take(&mut self.lines))
    }
}

fn configure(command: &mut Command, keys: &Keys, profile: &str, more: &[(&str, &str)]) {
    for (key, value) in keys.settings(profile, more) {
        command.args(["--set", &format!("{key}={value}")]);
    }
    command.current_dir(keys.dir());
}

fn launch(command: &mut Command) -> Child {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// A failed test leaves no process behind.
impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
