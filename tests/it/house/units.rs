//! The units of systemd: what each must say, that systemd reads them, and what it thinks of them. Where
//! `systemd-analyze` is missing the last two are passed over, unless `RON_CHECKS` is set, as by `.ci/run`.

use std::path::Path;
use std::process::{Command, Output};

use super::{files, read};

/// The worst exposure of `systemd-analyze security`, in tenths: 10.0 is a service without any rule.
const EXPOSURE_MAX: u32 = 15;

/// What no unit goes without, word for word.
const RULES: &[&str] = &[
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "CapabilityBoundingSet=",
    "MemoryDenyWriteExecute=yes",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "MemorySwapMax=0",
    "LimitCORE=0",
    "UMask=0077",
];

/// What every unit bounds, however it does.
const BOUNDS: &[&str] = &["MemoryMax=", "MemoryHigh=", "TasksMax=", "LimitNOFILE=", "User="];

fn missing(unit: &str) -> Vec<&'static str> {
    let has = |rule: &str| unit.lines().any(|line| line == rule);
    let bounds =
        |key: &str| unit.lines().any(|line| line.len() > key.len() && line.starts_with(key));
    let rules = RULES.iter().filter(|rule| !has(rule));
    rules.chain(BOUNDS.iter().filter(|key| !bounds(key))).copied().collect()
}

/// Whether a check whose tool is missing is a failure.
pub fn is_demanded() -> bool {
    std::env::var_os("RON_CHECKS").is_some_and(|value| !value.is_empty())
}

fn analyze(arguments: &[&str], unit: &Path) -> Option<Output> {
    let run = Command::new("systemd-analyze").args(arguments).arg(unit).output();
    assert!(run.is_ok() || !is_demanded(), "systemd-analyze is missing");
    run.ok()
}

#[test]
fn every_unit_is_locked_up() {
    let units = files("systemd", "service");
    assert!(units.len() >= 2, "{units:?}");
    for unit in units {
        assert_eq!(missing(&read(&unit)), Vec::<&str>::new(), "{unit}");
    }
    assert_eq!(missing("TasksMax=\nUser=a").len(), RULES.len() + BOUNDS.len() - 1);
}

/// In a user namespace every other user of the local socket would be "nobody".
#[test]
fn the_unit_of_the_daemon_sees_who_comes_over_the_socket() {
    let unit = read("systemd/ron-ledger.service");
    assert!(!unit.lines().any(|line| line.starts_with("PrivateUsers=")));
}

#[test]
fn systemd_reads_every_unit_and_finds_little_exposed() {
    let folder = tempfile::tempdir().unwrap();
    for unit in files("systemd", "service") {
        // The programs are not installed here: the ones of this build stand for them.
        let text = read(&unit)
            .replace("/usr/bin/ron-ledgerd", env!("CARGO_BIN_EXE_ron-ledgerd"))
            .replace("/usr/bin/ron-ledgerctl", env!("CARGO_BIN_EXE_ron-ledgerctl"));
        let path = folder.path().join(Path::new(&unit).file_name().unwrap());
        std::fs::write(&path, text).unwrap();
        let Some(verified) = analyze(&["verify", "--man=no"], &path) else { return };
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        // It reads the units of the machine too, and speaks of them.
        let name = path.file_name().unwrap().to_str().unwrap();
        let of_ours: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
        assert_eq!(of_ours, Vec::<&str>::new());
        let threshold = format!("--threshold={EXPOSURE_MAX}");
        let judged =
            analyze(&["security", "--offline=true", "--no-pager", &threshold], &path).unwrap();
        let table = String::from_utf8_lossy(&judged.stdout).into_owned();
        assert!(judged.status.success(), "{unit}:\n{table}");
        assert!(table.contains("Overall exposure level"), "{table}");
    }
}

/// A unit without rules is above the threshold, or the test above could not fail.
#[test]
fn an_open_unit_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("open.service");
    std::fs::write(&path, "[Service]\nExecStart=/bin/true\n").unwrap();
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let Some(judged) = analyze(&["security", "--offline=true", "--no-pager", &threshold], &path)
    else {
        return;
    };
    assert!(!judged.status.success());
}
