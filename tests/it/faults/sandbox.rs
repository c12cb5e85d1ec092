//! What the daemon asks of the kernel is what its unit lets through: a filter of system calls that is
//! too narrow would show on the first machine of an operator, and nowhere before.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use super::told::{Told, workload};
use super::tracer::can_attach;
use crate::house::units::is_demanded;
use crate::support::daemon::{Daemon, PATIENT, Signal};
use crate::support::keys::Keys;

/// The calls of a set, or the call of that name; `None` where systemd is not installed.
fn set(name: &str) -> Option<BTreeSet<String>> {
    if !name.starts_with('@') {
        return Some(BTreeSet::from([name.to_owned()]));
    }
    let run = Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", name]).output();
    assert!(run.is_ok() || !is_demanded(), "systemd-analyze is missing");
    let text = String::from_utf8(run.ok()?.stdout).unwrap();
    let mut calls = BTreeSet::new();
    for word in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if word != name {
            calls.extend(set(word)?);
        }
    }
    Some(calls)
}

/// What the filter lines of the unit leave.
fn allowed() -> Option<BTreeSet<String>> {
    let unit = include_str!("../../../systemd/ron-ledger.service");
    let mut allowed = BTreeSet::new();
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (barred, names) = (line.starts_with('~'), line.trim_start_matches('~'));
        for name in names.split(' ') {
            let calls = set(name)?;
            match barred {
                true => allowed.retain(|call| !calls.contains(call)),
                false => allowed.extend(calls),
            }
        }
    }
    Some(allowed)
}

/// The names of the calls in a trace: `PID name(...`.
fn calls_of(trace: &str) -> BTreeSet<String> {
    let call = |line: &str| {
        let (_, rest) = line.split_once(' ')?;
        let (name, _) = rest.trim_start().split_once('(')?;
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        (plain && !name.is_empty()).then(|| name.to_owned())
    };
    trace.lines().filter_map(call).collect()
}

#[actix_rt::test]
async fn a_life_of_the_daemon_asks_for_nothing_that_its_unit_bars() {
    let Some(allowed) = allowed() else { return };
    assert!(allowed.contains("pwrite64") && !allowed.contains("sched_setaffinity"), "{allowed:?}");
    if !can_attach() {
        return;
    }
    let (keys, folder) = (Keys::new(), tempfile::tempdir().unwrap());
    let trace = folder.path().join("trace");
    let mut command = Command::new("strace");
    command.env_clear().args(["-D", "-f", "-q", "-esignal=none", "-o"]);
    command.arg(&trace).arg(env!("CARGO_BIN_EXE_ron-ledgerd"));
    let mut node = Daemon::spawn_by(command, &keys, "macronode", &PATIENT);
    node.await_line("ready=1");
    let client = node.client(&keys.master());
    let mut told = Told::default();
    for request in workload(1).take(20) {
        told.send(&client, &request).await.unwrap();
    }
    node.signal(Signal::HUP);
    node.await_line("reloaded");
    assert_eq!(node.stop().0, Some(0));
    let asked = loop {
        let trace = std::fs::read_to_string(&trace).unwrap();
        if trace.contains("+++ exited with 0 +++") {
            break calls_of(&trace);
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(asked.contains("execve") && asked.contains("fdatasync"), "{asked:?}");
    let barred: Vec<&String> = asked.difference(&allowed).collect();
    assert_eq!(barred, Vec::<&String>::new());
}
