//! A machine as `RUNBOOK.md` has it, below one directory: its paths and ports are mapped there, the
//! programs are the real ones, and systemctl, journalctl, runuser and useradd have stand-ins.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use crate::house;

/// What takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(60);

pub const PROFILE: &str = if cfg!(feature = "rocks") { "macronode" } else { "micronode" };

/// How a command ended, and all that it said.
pub struct Done {
    pub code: Option<i32>,
    pub said: String,
}

pub struct Sandbox {
    root: TempDir,
    /// What the page says, and what is there instead.
    places: Vec<(String, String)>,
    environment: Vec<(&'static str, String)>,
}

impl Sandbox {
    /// With a checkout that has been built, and nothing installed.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path).display().to_string();
        let ports: Vec<TcpListener> =
            (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addrs: Vec<String> =
            ports.iter().map(|port| port.local_addr().unwrap().to_string()).collect();
        let [api, metrics, admin, witness] = &addrs[..] else { unreachable!("four were taken") };
        let owner = format!("-o {} -g {}", me().0, me().1);
        let group = format!("{}:{}", me().0, me().1);
        let mut places: Vec<(String, String)> = [
            ("-o ron-ledger -g ron-ledger", owner.as_str()),
            ("ron-ledger:ron-ledger", group.as_str()),
            ("127.0.0.1:5082", api),
            ("10.0.0.8:5082", api),
            ("127.0.0.1:9909", metrics),
            ("10.0.0.5:5443", admin),
            ("127.0.0.1:5090", witness),
        ]
        .map(|(told, here)| (told.to_owned(), here.to_owned()))
        .into();
        for path in
            ["etc/ron", "etc/systemd", "var/lib", "var/backups", "run/ron-ledger", "usr/bin"]
        {
            places.push((format!("/{path}"), at(path)));
        }
        for path in [
            "etc/systemd/system",
            "var/lib",
            "var/backups",
            "run/ron-ledger",
            "usr/bin",
            "checkout",
        ] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let environment = vec![
            (
                "PATH",
                format!(
                    "{}/tests/it/runbook/bin:{}:{path}",
                    house::root().display(),
                    at("usr/bin")
                ),
            ),
            ("HOME", at("")),
            ("SANDBOX", root.path().display().to_string()),
            ("RON_LEDGER_PROFILE", PROFILE.to_owned()),
            ("RON_LEDGER_HTTP__API_ADDR", api.clone()),
            ("RON_LEDGER_HTTP__METRICS_ADDR", metrics.clone()),
            ("RON_LEDGER_URL", format!("http://{api}")),
            ("RON_LEDGER_METRICS_URL", format!("http://{metrics}")),
            ("RON_LEDGER_SOCKET", at("run/ron-ledger/ron-ledger.sock")),
        ];
        let sandbox = Sandbox { root, places, environment };
        sandbox.check_out();
        sandbox
    }

    /// The files of the repository that commands name, and the programs where a build puts them.
    fn check_out(&self) {
        for folder in ["configs", "systemd"] {
            for file in fs::read_dir(house::root().join(folder)).unwrap() {
                let name = format!("{folder}/{}", file.unwrap().file_name().display());
                self.write(&name, &self.place(&house::read(&name)));
            }
        }
        std::os::unix::fs::symlink(house::root().join("tests"), self.cwd().join("tests")).unwrap();
        for (name, program) in [
            ("ron-ledgerd", env!("CARGO_BIN_EXE_ron-ledgerd")),
            ("ron-ledgerctl", env!("CARGO_BIN_EXE_ron-ledgerctl")),
        ] {
            // Small enough to be installed; it becomes the program itself.
            let starter = format!("#!/bin/sh\nexec '{program}' \"$@\"\n");
            self.write(&format!("target/release/{name}"), &starter);
        }
    }

    /// The directory that commands run in.
    pub fn cwd(&self) -> PathBuf {
        self.root.path().join("checkout")
    }

    /// What the page calls so, here.
    pub fn place(&self, text: &str) -> String {
        let replace = |text: String, (told, here): &(String, String)| text.replace(told, here);
        self.places.iter().fold(text.to_owned(), replace)
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.cwd().join(self.place(path))
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| format!("{path}: {error}"))
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).unwrap();
        fs::write(path, text).unwrap();
    }

    /// All that the daemon has said, in each of its lives.
    pub fn journal(&self) -> String {
        fs::read_to_string(self.root.path().join("journal")).unwrap_or_default()
    }

    pub fn set_env(&mut self, name: &'static str, value: String) {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value));
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", &self.place(script)]).current_dir(self.cwd()).env_clear();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command of the page to its end.
    pub fn run(&self, script: &str) -> Done {
        // Into a file: what it leaves running holds no pipe open.
        let said = self.root.path().join("said");
        let file = File::create(&said).unwrap();
        let mut command = self.shell(script);
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let mut child = command.spawn().unwrap();
        let started = Instant::now();
        let code = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status.code(),
                None if started.elapsed() > PATIENCE => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break None;
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        Done { code, said: fs::read_to_string(said).unwrap() }
    }

    /// Runs what is no command of the page and has to go well.
    pub fn must(&self, script: &str) -> String {
        let done = self.run(script);
        let journal = self.journal();
        let lines: Vec<&str> = journal.lines().rev().take(5).collect();
        assert_eq!(done.code, Some(0), "{script}: {}\nlast in the log: {lines:#?}", done.said);
        done.said
    }

    /// Runs a command until it says this phrase, then presses Ctrl-C.
    pub fn serve(&self, script: &str, phrase: &str) -> Done {
        let said = self.root.path().join("served");
        let file = File::create(&said).unwrap();
        // Whoever runs tests in the background may have Ctrl-C ignored, and what it starts with it.
        let mut command = self.shell(&format!("exec env --default-signal=INT {script}"));
        command.stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
        let mut child = command.spawn().unwrap();
        let text = || fs::read_to_string(&said).unwrap();
        let started = Instant::now();
        let is_hopeless = || started.elapsed() > PATIENCE;
        while !text().contains(phrase) && child.try_wait().unwrap().is_none() && !is_hopeless() {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Gone already is an end like any other.
        let _ = kill_process_group(Pid::from_child(&child), Signal::INT);
        while child.try_wait().unwrap().is_none() {
            if is_hopeless() {
                let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let status = child.wait().unwrap();
        // As a shell tells of a signal.
        let code = status.code().or_else(|| Some(128 + status.signal()?));
        Done { code, said: text() }
    }
}

/// User and group of this process.
fn me() -> (u32, u32) {
    (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}

fn pid_in(path: &Path) -> Option<Pid> {
    Pid::from_raw(fs::read_to_string(path).ok()?.trim().parse().ok()?)
}

/// A failed test leaves no process behind.
impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(pid) = pid_in(&self.root.path().join("pid")) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
