//! One bit of one file flips while nobody looks. What may come of it is written down for each kind of
//! file; that other entries, balances or roots are shown is nowhere in the table.
//!
//! A part of all bytes, chosen by `RON_FLIPS_SEED`. `RON_FLIPS=all` takes every byte of every file,
//! and of the long texts that RocksDB writes and never reads every hundredth; `RON_FLIPS=truth` the same
//! of all but derived data.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use ron_ledger::storage::error::ReadError;

use super::sample::{
    Log, Sample, State, copy_dir, engine, files_in, finish, notes, prepare, request, scratch, store,
};
use crate::support::entries::mint;

/// Bytes of each kind of file that an everyday run flips.
const SAMPLE: usize = 20;

/// A long run says how far it is after so many.
const REPORT: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Nobody notices.
    Same,
    /// Derived data was made anew, by the start or by the first read that met the damage.
    Remade,
    /// The last groups are gone, none of them below the newest signed checkpoint.
    CutOff,
    /// The ledger takes writes and says the same; entries in the damaged block cannot be read.
    Unread,
    /// It takes no writes, and says why.
    Refused,
}

use Outcome::{CutOff, Refused, Remade, Same, Unread};

/// What may become of the ledger, by kind of file.
const ALLOWED: [(&str, &[Outcome]); 14] = [
    ("signed/checkpoint", &[Refused]),
    ("truth/CURRENT", &[Refused]),
    ("truth/MANIFEST", &[Same, Refused]),
    ("truth/sst", &[Same, Unread, Refused]),
    ("truth/log", &[Same, CutOff, Refused]),
    ("truth/OPTIONS", &[Same]),
    ("truth/IDENTITY", &[Same]),
    ("truth/LOG", &[Same]),
    ("derived/CURRENT", &[Remade]),
    ("derived/LOG", &[Same]),
    ("derived/MANIFEST", &[Same, Remade]),
    ("derived/sst", &[Same, Remade]),
    ("derived/OPTIONS", &[Same]),
    ("derived/IDENTITY", &[Same]),
];

fn class(path: &Path) -> String {
    let (folder, name) = path.to_str().unwrap().rsplit_once('/').unwrap();
    let kind = match name.rsplit_once('.') {
        Some((_, extension @ ("sst" | "log"))) => extension,
        _ => name.split(['-', '.']).next().unwrap(),
    };
    format!("{folder}/{kind}")
}

/// A life on a damaged store: reads all, and writes.
///
/// # Errors
/// What it says when it is refused.
///
/// # Panics
/// When it shows anything that is not so.
fn live(dir: &Path, sample: &Sample) -> Result<(Outcome, u64), Box<dyn Error>> {
    let derived_before = inode(dir);
    let store = store(Arc::new(engine(dir)?))?;
    let anchor = notes(dir).anchor()?;
    let mut open = store.writer(anchor.as_ref())?;
    let reader = store.reader();
    let size = reader.head().seq;
    assert!(size >= sample.signed, "cut off below the checkpoint, at {size}");
    let facts = &sample.facts[&size];
    assert_eq!(reader.head(), facts.head);
    let more = [request(vec![mint("carol", 5)])];
    let mut state = State::read(&reader, &sample.names);
    let mut prepared = prepare(&mut open.0, &more);
    if state.as_ref().err().or(prepared.as_ref().err()).is_some_and(ReadError::is_of_derived_data) {
        // What the committer does when it, or a reader, has met the damage.
        drop(open);
        open = store.writer(anchor.as_ref())?;
        state = State::read(&reader, &sample.names);
        prepared = prepare(&mut open.0, &more);
    }
    assert_eq!(state?, facts.state);
    let unread = match Log::read(&reader) {
        Ok(log) => log != facts.log,
        Err(error) => {
            assert!(error.to_string().contains("Corruption"), "{error}");
            true
        }
    };
    finish(&mut open.0, prepared?);
    assert_eq!(reader.head().seq, size + 1);
    let outcome = match () {
        () if unread => Unread,
        () if size < sample.head => CutOff,
        () if inode(dir) != derived_before => Remade,
        () => Same,
    };
    Ok((outcome, size))
}

/// Another directory of derived data has another number.
fn inode(dir: &Path) -> u64 {
    fs::metadata(dir.join("derived")).unwrap().ino()
}

/// Flips one bit in a copy, and lives twice on it: what was mended stays mended.
fn flip(sample: &Sample, file: &Path, at: usize) -> Result<Outcome, String> {
    let copy = scratch();
    let dir = copy.path().join("data");
    copy_dir(&sample.dir(), &dir);
    let mut bytes = fs::read(dir.join(file)).unwrap();
    // Each bit has its turn as the offset goes on.
    bytes[at] ^= 1 << (at % 8);
    fs::write(dir.join(file), bytes).unwrap();
    let said = |error: Box<dyn Error>| error.to_string().replace(dir.to_str().unwrap(), "");
    let (outcome, size) = live(&dir, sample).map_err(said)?;
    if matches!(outcome, CutOff | Remade) {
        let store = store(Arc::new(engine(&dir).unwrap())).unwrap();
        let _open = store.writer(notes(&dir).anchor().unwrap().as_ref()).unwrap();
        let entries = store.reader().entries(1, u64::MAX, usize::MAX).unwrap();
        assert_eq!(entries.len() as u64, size + 1);
    }
    Ok(outcome)
}

/// Which bytes of which files: all, or some of each class.
fn choose(dir: &Path, name: &str) -> Vec<(PathBuf, usize)> {
    let mut classes = BTreeMap::<String, Vec<(PathBuf, usize)>>::new();
    for file in files_in(dir) {
        let bytes = fs::metadata(dir.join(&file)).unwrap().len() as usize;
        let of_class = (0..bytes).map(|at| (file.clone(), at));
        if bytes > 0 {
            classes.entry(class(&file)).or_default().extend(of_class);
        }
    }
    let which = std::env::var("RON_FLIPS").unwrap_or_default();
    if which == "truth" {
        // What nothing could be made anew from.
        classes.retain(|class, _| !class.starts_with("derived/"));
    }
    if matches!(&*which, "all" | "truth") {
        let all = classes.into_iter().flat_map(|(class, bytes)| {
            let is_text = class.ends_with("/LOG") || class.ends_with("/OPTIONS");
            bytes.into_iter().step_by(if is_text { 101 } else { 1 })
        });
        return all.collect();
    }
    let seed = std::env::var("RON_FLIPS_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("{name}: RON_FLIPS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let some = |bytes: Vec<(PathBuf, usize)>| -> Vec<_> {
        (0..SAMPLE).map(|_| bytes[random.random_range(0..bytes.len())].clone()).collect()
    };
    classes.into_values().flat_map(some).collect()
}

#[derive(Default)]
struct Tally {
    flips: usize,
    outcomes: BTreeMap<(String, Outcome), usize>,
    /// What refusals said, without their numbers.
    said: BTreeSet<(String, String)>,
    wrong: Vec<String>,
}

impl Tally {
    fn count(
        &mut self,
        file: &Path,
        at: usize,
        outcome: std::thread::Result<Result<Outcome, String>>,
    ) {
        self.flips += 1;
        let class = class(file);
        let allowed =
            ALLOWED.iter().find(|(known, _)| *known == class).map_or(&[][..], |row| row.1);
        let outcome = match outcome {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(said)) => {
                let words = said.replace(|c: char| c.is_ascii_digit(), "");
                self.said.insert((class.clone(), words));
                Refused
            }
            Err(_) => return self.wrong.push(format!("{} {at}: panic", file.display())),
        };
        if !allowed.contains(&outcome) {
            self.wrong.push(format!("{} {at}: {outcome:?}", file.display()));
        }
        *self.outcomes.entry((class, outcome)).or_default() += 1;
    }
}

fn check(name: &str, sample: &Sample) -> Tally {
    let (flips, next, tally) =
        (choose(&sample.dir(), name), AtomicUsize::new(0), Mutex::new(Tally::default()));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((file, at)) = flips.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = catch_unwind(AssertUnwindSafe(|| flip(sample, file, *at)));
                    let mut tally = tally.lock();
                    tally.count(file, *at, outcome);
                    if tally.flips.is_multiple_of(REPORT) {
                        println!("{name}: {} of {} flips", tally.flips, flips.len());
                    }
                }
            });
        }
    });
    let tally = tally.into_inner();
    println!("{name}: {} flips in {:?}", flips.len(), started.elapsed());
    for ((class, outcome), count) in &tally.outcomes {
        println!("{name}: {class:20} {outcome:?} {count}");
    }
    for (class, said) in &tally.said {
        println!("{name}: {class}: {said}");
        let named = ["/truth/", "CURRENT", "checkpoint", "the log", "the head"];
        assert!(named.iter().any(|what| said.contains(what)), "{said}");
    }
    assert!(tally.wrong.is_empty(), "{:#?}", tally.wrong);
    tally
}

/// Everything in table files and signed to the end.
#[test]
fn a_flipped_bit_of_a_settled_store_is_harmless_mended_or_refused() {
    let mut sample = Sample::new(24, 1);
    sample.live(20, 20, true);
    sample.live(4, 4, true);
    // A start brings the log into table files.
    sample.live(0, 0, true);
    let tally = check("settled", &sample);
    let seen: BTreeSet<Outcome> = tally.outcomes.keys().map(|(_, outcome)| *outcome).collect();
    assert_eq!(seen, BTreeSet::from([Same, Remade, Unread, Refused]));
}

/// The last groups are in the log alone, and signed up to the second of six.
#[test]
fn a_flipped_bit_of_a_log_cuts_off_no_more_than_was_not_signed() {
    let mut sample = Sample::new(12, 2);
    sample.live(6, 6, true);
    sample.live(6, 2, false);
    let tally = check("tail", &sample);
    assert!(tally.outcomes.contains_key(&("truth/log".into(), CutOff)));
    assert!(tally.outcomes.contains_key(&("truth/log".into(), Refused)));
}
