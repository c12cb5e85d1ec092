//! A witness as a process of its own, as operators run it.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use ron_ledger::accumulator::Policy;
use rustix::process::Pid;
use tempfile::TempDir;

pub struct Witness {
    dir: TempDir,
    port: u16,
    logs: Vec<String>,
    key: String,
    process: Option<Child>,
}

impl Witness {
    /// With a key and an address, and not running yet.
    pub fn new(name: &str, logs: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Whoever listens next gets another one: the kernel hands them out in turn.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let logs = logs.iter().map(|&log| log.to_owned()).collect();
        let mut witness = Witness { dir, port, logs, key: String::new(), process: None };
        let made = witness.command("init").args(["--name", name]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        witness.key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        witness
    }

    /// Running.
    pub fn start(mut self) -> Self {
        self.run();
        self
    }

    /// Runs, until it is dropped or killed.
    pub fn run(&mut self) {
        let listen = format!("127.0.0.1:{}", self.port);
        let mut command = self.command("serve");
        command.args(["--listen", &listen]).stdout(Stdio::piped());
        self.logs.iter().for_each(|log| _ = command.args(["--log", log]));
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, format!("witness on http://{listen}\n"));
        self.process = Some(process);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may be gone already, and not waited for.
            drop(process.kill());
            process.wait().unwrap();
        }
    }

    /// Of the one that runs.
    pub fn pid(&self) -> Pid {
        Pid::from_child(self.process.as_ref().unwrap())
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    fn command(&self, command: &str) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_ron-ledgerctl"));
        program.env_clear().args(["witness", command]);
        program.arg("--dir").arg(self.dir.path().join("witness"));
        program
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `enough` of these.
pub fn policy_text(witnesses: &[&Witness], enough: usize) -> String {
    let (mut text, mut names) = (String::new(), String::new());
    for (at, witness) in witnesses.iter().enumerate() {
        text += &format!("witness w{at} {} {}\n", witness.key(), witness.url());
        names += &format!(" w{at}");
    }
    format!("{text}group enough {enough}{names}\nquorum enough\n")
}

pub fn policy(witnesses: &[&Witness], enough: usize) -> Policy {
    Policy::parse(&policy_text(witnesses, enough)).unwrap()
}
