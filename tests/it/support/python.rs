//! Programs in Python beside the daemon, where there is a Python that has what they need.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// `RON_PYTHON`, which `make interop` sets, or the system's, if it has these modules.
pub fn python_with(modules: &[&str]) -> Option<String> {
    let python = std::env::var("RON_PYTHON").unwrap_or_else(|_| "python3".into());
    let imports: Vec<String> = modules.iter().map(|module| format!("import {module}")).collect();
    let asked = Command::new(&python).args(["-c", &imports.join(";")]).output();
    let has_them = asked.is_ok_and(|output| output.status.success());
    if !has_them {
        let is_wanted = std::env::var_os("RON_PYTHON").is_some();
        assert!(!is_wanted, "RON_PYTHON has not all of {modules:?}");
        eprintln!("no python with {modules:?} here: not checked (make interop)");
    }
    has_them.then_some(python)
}

fn script(name: &str) -> String {
    format!("{}/tests/interop/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program to its end with this input.
pub fn fed(program: &str, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs a script of `tests/interop` to its end with this input.
pub fn run(python: &str, name: &str, input: &str) -> Output {
    fed(python, &[&script(name)], input)
}

/// A script of `tests/interop` that runs on, and what it says line by line.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub fn start(python: &str, name: &str) -> Self {
        let mut child = Command::new(python)
            .arg(script(name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let said = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Running { child, lines }
    }

    /// The next line.
    ///
    /// # Errors
    /// When none comes in this time, or ever.
    pub fn line(&self, within: Duration) -> Result<String, RecvTimeoutError> {
        self.lines.recv_timeout(within)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
