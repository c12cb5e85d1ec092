//! A file system without room, on one of its own. It takes root to mount it; elsewhere this says so.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ron_ledger::client::Client;
use ron_ledger::http::dto::RequestIn;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;
use tempfile::TempDir;

use super::told::{Told, metric, workload};
use crate::support::daemon::{Daemon, PATIENT};
use crate::support::keys::Keys;
use crate::support::picture::Picture;
use crate::support::sending::send;

/// A ledger that does not go on by then never will.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than what a node keeps free.
const SIZE: &str = "size=320m";

pub struct Mount(TempDir);

impl Mount {
    /// `None`, and the reason is printed, where it cannot be.
    pub fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(dir.path()).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Mount(dir));
        }
        println!("SKIPPED: no file system can be mounted here");
        None
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn resize(&self, size: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{size}")]).arg(self.path());
        assert!(mount.status().unwrap().success());
    }

    /// Leaves so many bytes. A flush may take some between the look and the call, which then takes none.
    fn fill(&self, left: u64) -> PathBuf {
        let path = self.path().join("ballast");
        let _ = fs::remove_file(&path);
        let file = File::create(&path).unwrap();
        let free = || statvfs(self.path()).map(|stat| stat.f_bavail * stat.f_frsize).unwrap();
        let take = || match free().saturating_sub(left) {
            0 => Ok(()),
            bytes => fallocate(&file, FallocateFlags::empty(), 0, bytes),
        };
        let tried = (0..100).map(|_| take()).find(|taken| *taken != Err(Errno::NOSPC));
        tried.expect("no flush takes so long").unwrap();
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// By itself: the room is looked at once a second.
async fn goes_on(told: &mut Told, client: &Client, refused: &RequestIn<'static>) {
    let started = Instant::now();
    while let Err(reason) = told.send(client, refused).await {
        assert_eq!(reason, "503 disk_pressure");
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[actix_rt::test]
async fn a_full_disk_refuses_writes_and_goes_on_when_there_is_room() {
    let Some(mount) = Mount::new() else { return };
    let (keys, data) = (Keys::new(), mount.path().join("data"));
    let settings = [
        &PATIENT[..],
        &[("node.data_dir", data.to_str().unwrap()), ("derived.flush_entries", "50")],
    ]
    .concat();
    let node = Daemon::start(&keys, "macronode", &settings);
    let client = node.client(&keys.master());
    let (mut requests, mut told) = (workload(21), Told::default());
    for request in requests.by_ref().take(20) {
        told.send(&client, &request).await.unwrap();
    }
    // Into the reserve, then to the last page.
    for left in [200 << 20, 0] {
        let ballast = mount.fill(left);
        let refused = requests.next().unwrap();
        for _ in 0..3 {
            assert_eq!(told.send(&client, &refused).await, Err("503 disk_pressure".into()));
        }
        told.check(&Picture::take(&client).await);
        fs::remove_file(ballast).unwrap();
        goes_on(&mut told, &client, &refused).await;
    }
    for request in requests.by_ref().take(20) {
        told.send(&client, &request).await.unwrap();
    }
    let picture = Picture::take(&client).await;
    told.check(&picture);
    picture.check_published(&client).await;
    assert_eq!(metric(&node, "wal_fsync_fail_total").await, 0);
    // What is not flushed has no room at the stop: the log has it.
    for request in requests.by_ref().take(3) {
        told.send(&client, &request).await.unwrap();
    }
    mount.fill(0);
    assert_eq!(node.stop().0, Some(0));
    // In the reserve it can be opened and read; without a byte it cannot, and says so.
    mount.fill(64 << 20);
    let node = Daemon::spawn(&keys, "macronode", &settings);
    let client = node.client(&keys.master());
    let refused = requests.next().unwrap();
    while told.send(&client, &refused).await != Err("503 disk_pressure".into()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    told.check(&Picture::take(&client).await);
    assert_eq!(node.stop().0, Some(0));
    let ballast = mount.fill(0);
    let (code, said) = Daemon::refused(&keys, "macronode", &settings);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    mount.resize("size=640m");
    let node = Daemon::start(&keys, "macronode", &settings);
    told.check(&Picture::take(&node.client(&keys.master())).await);
    fs::remove_file(ballast).unwrap();
    assert_eq!(node.stop().0, Some(0));
}

/// Nothing is kept free for others, so that RocksDB itself finds no room.
#[actix_rt::test]
async fn room_that_goes_away_under_a_flush_comes_back() {
    let Some(mount) = Mount::new() else { return };
    let (keys, data) = (Keys::new(), mount.path().join("data"));
    let data = data.to_str().unwrap();
    let settings =
        [&PATIENT[..], &[("node.data_dir", data), ("derived.flush_entries", "100")]].concat();
    let node = Daemon::start(&keys, "macronode", &settings);
    let client = node.client(&keys.master());
    let (mut requests, mut told) = (workload(22), Told::default());
    let ballast = mount.fill(257 << 20);
    // The log grows within its preallocated file; derived data is flushed into what is left.
    let started = Instant::now();
    let refused = loop {
        assert!(started.elapsed() < PATIENCE);
        let request = requests.next().unwrap();
        if let Err(reason) = told.send(&client, &request).await {
            assert_eq!(reason, "503 disk_pressure");
            break request;
        }
    };
    told.check(&Picture::take(&client).await);
    fs::remove_file(ballast).unwrap();
    goes_on(&mut told, &client, &refused).await;
    assert!(send(&client, &refused).await.unwrap().0.iter().all(|fate| fate.seq().is_some()));
    told.check(&Picture::take(&client).await);
    assert_eq!(node.stop().0, Some(0));
}
