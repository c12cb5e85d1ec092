//! `strace` upon a daemon: what it asks of the system, and answers that the system does not give.
//!
//! Faults are injected by it and not by a library in front of libc: it fails the calls on chosen
//! files alone, where a failed write to the runtime's own event file would be no fault of a disk.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A tracer that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// A tracer of a process that runs; lets go of it when it is told to, or dropped.
pub struct Tracer {
    child: Child,
    out: TempDir,
}

impl Tracer {
    /// Upon all threads of `pid`; returns when it sees them.
    pub fn attach(pid: u32, arguments: &[String]) -> Self {
        let out = tempfile::tempdir().unwrap();
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-o"]).arg(out.path().join("trace")).args(arguments);
        command.args(["-p", &pid.to_string()]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let attached = said.by_ref().map_while(Result::ok).any(|line| line.contains("attached"));
        assert!(attached, "strace cannot be attached");
        // Nobody waits at the other end of a pipe that is full.
        std::thread::spawn(move || said.count());
        Tracer { child, out }
    }

    /// Lets go, and gives what was seen.
    pub fn detach(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let started = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < PATIENCE, "strace does not let go");
            std::thread::sleep(Duration::from_millis(2));
        }
        std::fs::read_to_string(self.out.path().join("trace")).unwrap()
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fails each `call` on one of the files with `error`.
pub fn fail(call: &str, error: &str, files: &[PathBuf]) -> Vec<String> {
    let mut arguments = vec![format!("-etrace={call}"), format!("-einject={call}:error={error}")];
    arguments.extend(files.iter().map(|file| format!("-P{}", file.display())));
    arguments
}

/// The files of a directory that end so.
pub fn files_that_end(dir: &Path, end: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir).unwrap().map(|item| item.unwrap().path());
    files.filter(|path| path.to_str().unwrap().ends_with(end)).collect()
}

/// Whether one process may trace another here; says why not.
pub fn can_attach() -> bool {
    let Ok(mut sleeper) = Command::new("sleep").arg("20").spawn() else { return false };
    let pid = sleeper.id().to_string();
    let tracer = Command::new("strace")
        .args(["-p", &pid, "-e", "trace=none", "-o", "/dev/null"])
        .stderr(Stdio::piped())
        .spawn();
    let able = tracer.is_ok_and(|mut tracer| {
        let said = BufReader::new(tracer.stderr.take().unwrap()).lines().next();
        let able = said.is_some_and(|line| line.is_ok_and(|line| line.contains("attached")));
        let _ = tracer.kill();
        let _ = tracer.wait();
        able
    });
    let _ = sleeper.kill();
    let _ = sleeper.wait();
    if !able {
        println!("SKIPPED: strace is not installed, or may not trace a running process here");
    }
    able
}
