//! Power goes away: disks as a real run may leave them, made from its system calls, are opened, and
//! what was acknowledged is there.
//!
//! `RON_POWER_SEED` chooses the moments and what is left at each, `RON_POWER_IMAGES` how many.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use ron_ledger::client::Format;

use super::calls::{Call, Event, events};
use super::disk::Disk;
use super::sample::{engine, notes, scratch, store};
use super::told::{Told, workload};
use super::tracer::can_attach;
use crate::support::daemon::{Daemon, PATIENT};
use crate::support::keys::Keys;
use crate::support::picture::Picture;

/// A tracer that takes longer to write its end has hung.
const PATIENCE: Duration = Duration::from_secs(20);

const CALLS: &str = "-etrace=openat,close,write,pwrite64,lseek,ftruncate,fsync,fdatasync,\
                     link,linkat,unlink,rename,sendto,writev,sendmsg";

/// A life of so many requests under a tracer from its first call on.
async fn live(keys: &Keys, requests: usize, told: &mut Told, seed: u64) -> (String, Picture) {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("trace");
    let mut command = Command::new("strace");
    command.env_clear().args(["-D", "-f", "-q", "-xx", "-s10000000", "-esignal=none", CALLS, "-o"]);
    command.arg(&path).arg(env!("CARGO_BIN_EXE_ron-ledgerd"));
    let settings = [&PATIENT[..], &[("derived.flush_entries", "40")]].concat();
    let mut node = Daemon::spawn_by(command, keys, "macronode", &settings);
    node.await_line("ready=1");
    // The recorded answers are read as text.
    let client = node.client(&keys.master()).with_format(Format::Json);
    for request in workload(seed).take(requests) {
        told.send(&client, &request).await.unwrap();
    }
    let picture = Picture::take(&client).await;
    let end = format!("{} +++ exited with 0 +++", node.pid());
    assert_eq!(node.stop().0, Some(0));
    let started = Instant::now();
    loop {
        let trace = fs::read_to_string(&path).unwrap();
        if trace.lines().any(|line| line.split_whitespace().eq(end.split(' '))) {
            return (trace, picture);
        }
        assert!(started.elapsed() < PATIENCE, "the trace has no end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The size of the ledger that an answer to `/ingest` speaks of.
fn answered(call: &Call) -> Option<u64> {
    if call.name != "sendto" {
        return None;
    }
    let text = String::from_utf8(call.bytes(1)).ok()?;
    let (_, rest) = text.strip_prefix("HTTP/1.1 200")?.split_once("\"root_size\":")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Opens what is left, and gives how far it goes.
///
/// # Panics
/// When it says anything else than the ledger did.
fn open(dir: &Path, truth: &Picture) -> Result<u64, Box<dyn Error>> {
    let store = store(Arc::new(engine(dir)?))?;
    let _open = store.writer(notes(dir).anchor()?.as_ref())?;
    let reader = store.reader();
    let head = reader.head();
    assert_eq!(head.root, truth.roots[head.seq as usize]);
    let entries = reader.entries(1, u64::MAX, usize::MAX)?;
    let entries: Vec<_> = entries.into_iter().map(|stored| stored.bytes).collect();
    assert!(entries == truth.canonical[..head.seq as usize], "other entries");
    Ok(head.seq)
}

/// Ends the lives at so many moments. Gives how many images were opened, and what was wrong with them.
fn crash(
    mut disk: Disk,
    lives: &[Vec<Event>],
    truth: &Picture,
    images: usize,
    random: &mut StdRng,
) -> (usize, Vec<String>) {
    let moments = lives.iter().flatten().filter(|event| is_moment(event)).count();
    let share = (images as f64 / moments as f64).min(1.0);
    let (mut acknowledged, mut opened, mut wrong) = (0, 0, Vec::new());
    for life in lives {
        disk.next_process();
        for event in life {
            match event {
                Event::Begins(call) => {
                    acknowledged = answered(call).unwrap_or(0).max(acknowledged);
                    disk.begin(call);
                }
                Event::Ends(call) => disk.end(call),
            }
            if !is_moment(event) || !random.random_bool(share) {
                continue;
            }
            let dir = scratch();
            disk.crash_into(&dir.path().join("data"), random);
            opened += 1;
            match open(&dir.path().join("data"), truth) {
                Ok(head) if head >= acknowledged => (),
                Ok(head) => wrong.push(format!("{acknowledged} acknowledged, {head} there")),
                Err(error) => wrong.push(error.to_string()),
            }
        }
    }
    disk.assert_is_real();
    assert_eq!(acknowledged, truth.size());
    println!("{moments} moments, {opened} images, {} wrong", wrong.len());
    (opened, wrong)
}

#[actix_rt::test]
async fn a_loss_of_power_takes_nothing_that_was_acknowledged() {
    if !can_attach() {
        return;
    }
    let number = |name, default| std::env::var(name).map_or(default, |n| n.parse().unwrap());
    let (seed, images) = (number("RON_POWER_SEED", 1), number("RON_POWER_IMAGES", 150));
    println!("RON_POWER_SEED={seed}");
    let (keys, mut told) = (Keys::new(), Told::default());
    // The second life begins with a recovery, and goes on where the first one ended.
    let (first, _) = live(&keys, 30, &mut told, 41).await;
    let (second, truth) = live(&keys, 30, &mut told, 42).await;
    let lives = [events(&first), events(&second)];
    let mut random = StdRng::seed_from_u64(seed as u64);
    let data = keys.dir().join("data");
    let (opened, wrong) = crash(Disk::new(&data), &lives, &truth, images, &mut random);
    assert!(opened > images / 2, "{opened} images");
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The same eyes see a disk that does not keep what it was told to keep.
    let (_, wrong) = crash(Disk::that_lies(&data), &lives, &truth, 30, &mut random);
    assert!(wrong.len() > 5, "{wrong:?}");
}

/// Something of the disk, or of what is known of it, is other than before.
fn is_moment(event: &Event) -> bool {
    match event {
        Event::Begins(call) => answered(call).is_some(),
        Event::Ends(call) => {
            !matches!(&*call.name, "openat" | "close" | "lseek" | "sendto" | "writev" | "sendmsg")
        }
    }
}
