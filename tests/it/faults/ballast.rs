//! The ballast of a drill: the disk marks show it, writes go on without it, and it never stays,
//! whoever is killed.

use std::path::Path;
use std::time::{Duration, Instant};

use super::full::Mount;
use crate::support::drill::{Field, has};

const PATIENCE: Duration = Duration::from_secs(20);

/// More than what a node keeps free, and no more than a test may take of the memory.
const SIZE: &str = "size=640m";

fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A drill that is killed -9 when its ballast lies there.
fn killed(field: &Field, ballast: &Path) {
    let mut drill = field.chaos("disk-fill --percent 95 --duration 10m", &[]).spawn().unwrap();
    until("the ballast is laid", || ballast.exists());
    drill.kill().unwrap();
    drill.wait().unwrap();
    assert!(ballast.exists(), "nobody is there to remove it");
}

#[test]
fn a_filled_disk_is_told_and_freed_whoever_is_killed() {
    let Some(mount) = Mount::new() else { return };
    mount.resize(SIZE);
    let data = mount.path().join("data");
    let ballast = data.join("chaos.ballast");
    let mut field = Field::start("macronode", &[("node.data_dir", data.to_str().unwrap())]);
    let report = field.drill("disk-fill --percent 95 --duration 4s", &[], 0);
    for criterion in ["degraded is told", "refused with 503", "alert disk_pressure > 85"] {
        assert!(has(&report, criterion), "{criterion}: {report:#}");
    }
    assert!(!ballast.exists());
    // Between the marks it is told, and writes go on.
    let report = field.drill("disk-fill --percent 88 --duration 3s", &[], 0);
    assert!(has(&report, "degraded is told") && !has(&report, "refused with 503"), "{report:#}");

    killed(&field, &ballast);
    field.restart(|| assert!(ballast.exists(), "a killed daemon removes nothing"));
    assert!(!ballast.exists(), "a start removes what was left");

    killed(&field, &ballast);
    field.drill("kill --target prevalidator --signal PANIC", &[], 0);
    assert!(!ballast.exists(), "the next drill removes what was left");
}
