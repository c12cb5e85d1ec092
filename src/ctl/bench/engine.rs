//! The engine alone: whole commit groups on a store of their own, and two bare writes of the same
//! beside them for comparison.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use comfy_table::Table;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::BenchArgs;
use super::disk::Disk;
use super::process;
use super::report::Quantiles;
use super::watch::mib;
use crate::accumulator::HashAlgo;
use crate::client::load::Load;
use crate::client::stream::requests;
use crate::client::workload::{Ids, Spec, Workload};
use crate::config::Config;
use crate::ctl::context::{Context, load_config};
use crate::ctl::{CtlError, Ui};
use crate::http::Format;
use crate::http::parse::{Rules, parse};
use crate::ledger::request::{Grants, Item, Request};
use crate::storage::drive::{DriveError, Driven, blocks_only, complete, same_puts};
use crate::storage::engine::{Engine, Recording, StoreError};
use crate::storage::genesis::Genesis;
use crate::storage::store::StoreOptions;

/// The longest time of a group that is told apart, in microseconds.
const GROUP_US_MAX: u64 = 600_000_000;

/// The result.
#[derive(Debug, Serialize)]
struct Report {
    /// `fsync`, or `memory` in a build without RocksDB.
    durability: &'static str,
    entries: u64,
    /// Entries of a group.
    groups: u16,
    uuid: Ids,
    rounds: u8,
    arms: Vec<Arm>,
    /// Of the medians; `null` unless all arms were measured.
    ratios: Option<Ratios>,
    /// The most memory that this process ever had: the requests are in it.
    resident_bytes_peak: Option<u64>,
}

/// What the complete way comes to, all derived data written.
#[derive(Clone, Copy, Debug, Serialize)]
struct Ratios {
    /// Beside the same puts, without decisions and hashes.
    of_same_puts: f64,
    /// Beside the blocks alone, which have no derived data.
    of_blocks_only: f64,
}

/// One way to write the entries.
#[derive(Debug, Serialize)]
struct Arm {
    name: &'static str,
    /// To the last commit.
    seconds: f64,
    entries_per_second: f64,
    /// Until derived data is written as well.
    settled_seconds: f64,
    settled_entries_per_second: f64,
    /// Of commit groups, in ms.
    group_ms: Quantiles,
    /// Of all threads.
    cpu_seconds: f64,
    /// What is on the disk at the end.
    disk: Option<Disk>,
    /// Of tables alone.
    disk_bytes_per_entry: Option<f64>,
    /// What is left of it once nothing is to be merged any more; of the complete way.
    at_rest: Option<AtRest>,
}

/// Tables after a full compaction, beside what they are about.
#[derive(Clone, Copy, Debug, Serialize)]
struct AtRest {
    table_bytes: u64,
    /// The canonical forms of all entries, as they are hashed.
    canonical_bytes: u64,
    /// The one by the other: blocks, roots, balances, holds, indexes, tiles and the filter.
    of_canonical: f64,
}

/// Decides, hashes and writes.
pub(super) fn run(args: &BenchArgs, context: &Context) -> Result<(), CtlError> {
    let config = load_config(None)?.config;
    let load = args.load(Spec::default().capability);
    context.ui.note("preparing the entries");
    // On a thread of its own, whose heap the holes stay in: the measured thread begins with a clean one.
    let groups = std::thread::scope(|scope| {
        let made = scope.spawn(|| groups_of(&load, args.groups.into()));
        made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    let site = Site::new(args.data_dir.as_deref(), &config)?;
    let report = measure(args, context, &site, &groups)?;
    context.ui.show(&report, || report.table(&context.ui))
}

fn measure(
    args: &BenchArgs,
    context: &Context,
    site: &Site<'_>,
    groups: &[Vec<Request>],
) -> Result<Report, CtlError> {
    let sent = groups.iter().flatten().map(|request| request.items.len() as u64).sum();
    let whole = |engine: Arc<dyn Engine>| {
        let bar = context.ui.progress(sent);
        let driven = complete(engine, genesis(), site.options(), groups, |one| bar.inc(one));
        bar.finish_and_clear();
        driven
    };
    let (mut rounds, mut journal) = ([const { Vec::new() }; 3], None);
    let (mut entries, mut durability) = (0, "");
    for round in 1..=args.rounds {
        context.ui.note(format_args!("round {round} of {}", args.rounds));
        let (complete, counted, promise) = site.arm("complete", None, whole)?;
        rounds[0].push(complete);
        (entries, durability) = (counted, promise);
        if !args.arms {
            continue;
        }
        if journal.is_none() {
            // A run of its own, so that to keep a copy costs the measured one nothing.
            journal = Some(site.on("recorded", |engine| {
                let recording = Arc::new(Recording::new(engine));
                whole(Arc::clone(&recording) as Arc<dyn Engine>)?;
                Ok(recording.take())
            })?);
        }
        if let Some(journal) = &journal {
            let known = Some(entries);
            let puts = |engine: Arc<dyn Engine>| same_puts(&engine, journal);
            rounds[1].push(site.arm("same puts", known, puts)?.0);
            let blocks = |engine: Arc<dyn Engine>| blocks_only(&*engine, journal);
            rounds[2].push(site.arm("blocks and log only", known, blocks)?.0);
        }
    }
    let arms: Vec<Arm> = rounds.into_iter().filter_map(median).collect();
    let rate = |arm: &Arm| arm.settled_entries_per_second;
    let ratios = match &arms[..] {
        [complete, puts, blocks] => Some(Ratios {
            of_same_puts: rate(complete) / rate(puts),
            of_blocks_only: rate(complete) / rate(blocks),
        }),
        _ => None,
    };
    Ok(Report {
        durability,
        entries,
        groups: args.groups,
        uuid: args.uuid,
        rounds: args.rounds,
        arms,
        ratios,
        resident_bytes_peak: process::peak_bytes(std::process::id()),
    })
}

/// The one in the middle by its rate.
fn median(mut rounds: Vec<Arm>) -> Option<Arm> {
    let rate = |arm: &Arm| arm.settled_entries_per_second;
    rounds.sort_by(|one, other| rate(one).total_cmp(&rate(other)));
    let middle = rounds.len() / 2;
    (middle < rounds.len()).then(|| rounds.swap_remove(middle))
}

/// Read from the bodies that a client would send, and put together as a sequencer does.
fn groups_of(load: &Load, group_entries: usize) -> Result<Vec<Vec<Request>>, CtlError> {
    let genesis = genesis();
    let rules = Rules { default_asset: &genesis.default_asset, batch_max_entries: usize::MAX };
    let (mut groups, mut group, mut size) = (Vec::new(), Vec::new(), 0);
    for request in requests(Workload::new(load.spec.clone())?, load.batch.min(group_entries)) {
        let parsed = parse(&Format::Json.body_of(&request).bytes, &rules).map_err(|reject| {
            CtlError::internal(format_args!("an entry of the workload: {}", reject.details))
        })?;
        let items: Vec<Item> =
            parsed.entries.into_iter().map(|entry| Item::new(entry, Grants::ALL)).collect();
        if size + items.len() > group_entries && size > 0 {
            groups.push(std::mem::take(&mut group));
            size = 0;
        }
        size += items.len();
        group.push(Request { items, atomic: parsed.atomic });
    }
    groups.extend((!group.is_empty()).then_some(group));
    Ok(groups)
}

fn genesis() -> Genesis {
    Genesis {
        hash: HashAlgo::Sha256,
        origin: "localhost/bench".into(),
        default_asset: Spec::default().assets.swap_remove(0),
        parent: None,
    }
}

/// Where stores are made, one after the other.
struct Site<'a> {
    dir: PathBuf,
    /// Was not there before.
    is_own: bool,
    config: &'a Config,
}

impl<'a> Site<'a> {
    fn new(dir: Option<&Path>, config: &'a Config) -> Result<Self, CtlError> {
        let named = || PathBuf::from(format!("ron-ledger-bench-{}", std::process::id()));
        let dir = dir.map_or_else(named, Path::to_owned);
        let failed = |error| CtlError::usage(format_args!("{}: {error}", dir.display()));
        let is_own = !dir.exists();
        fs::create_dir_all(&dir).map_err(failed)?;
        if fs::read_dir(&dir).map_err(failed)?.next().is_some() {
            return Err(CtlError::usage(format_args!("{}: must be empty", dir.display())));
        }
        Ok(Site { dir, is_own, config })
    }

    fn options(&self) -> StoreOptions {
        StoreOptions::from(&self.config.derived)
    }

    /// Works on an empty store, which is removed afterwards.
    fn on<T>(
        &self,
        name: &str,
        work: impl FnOnce(Arc<dyn Engine>) -> Result<T, DriveError>,
    ) -> Result<T, CtlError> {
        let dir = self.dir.join(name);
        let engine = engine(&dir, self.config).map_err(CtlError::internal)?;
        let done = work(engine).map_err(CtlError::internal);
        // What is left when this fails is in the way of nobody but the next run.
        let _ = fs::remove_dir_all(&dir);
        done
    }

    /// Measures one way to write; how many entries that are is known, or counted.
    fn arm(
        &self,
        name: &'static str,
        entries: Option<u64>,
        work: impl FnOnce(Arc<dyn Engine>) -> Result<Driven, DriveError>,
    ) -> Result<(Arm, u64, &'static str), CtlError> {
        self.on(&name.replace(' ', "-"), |engine| {
            let (kept, before) = (Arc::clone(&engine), process::own_cpu_seconds());
            let driven = work(engine)?;
            let cpu_seconds = process::own_cpu_seconds() - before;
            let disk = kept.directory().and_then(|dir| Disk::of(dir).ok());
            let entries = entries.unwrap_or(driven.entries);
            let mut arm = Arm::of(name, entries, &driven, cpu_seconds, disk);
            arm.at_rest = AtRest::of(&*kept, driven.canonical_bytes)?;
            Ok((arm, entries, kept.durability().as_str()))
        })
    }
}

impl AtRest {
    /// `None` where nothing is on a disk, or nobody has counted what is there.
    fn of(engine: &dyn Engine, canonical_bytes: u64) -> Result<Option<Self>, StoreError> {
        let Some(dir) = engine.directory().filter(|_| canonical_bytes > 0) else { return Ok(None) };
        engine.compact()?;
        let Ok(Disk { table_bytes, .. }) = Disk::of(dir) else { return Ok(None) };
        let of_canonical = table_bytes as f64 / canonical_bytes as f64;
        Ok(Some(AtRest { table_bytes, canonical_bytes, of_canonical }))
    }
}

impl Drop for Site<'_> {
    fn drop(&mut self) {
        if self.is_own {
            // Empty by now, unless something else was put there.
            let _ = fs::remove_dir(&self.dir);
        }
    }
}

#[cfg(feature = "rocks")]
fn engine(dir: &Path, config: &Config) -> Result<Arc<dyn Engine>, StoreError> {
    use crate::storage::engine::{RocksEngine, RocksOptions};
    let options = RocksOptions::from(&config.rocksdb);
    Ok(Arc::new(RocksEngine::open(dir, &options)?))
}

#[cfg(not(feature = "rocks"))]
fn engine(_: &Path, config: &Config) -> Result<Arc<dyn Engine>, StoreError> {
    use crate::storage::engine::MemoryEngine;
    Ok(Arc::new(MemoryEngine::new(config.memory.max_bytes)))
}

impl Arm {
    fn of(
        name: &'static str,
        entries: u64,
        driven: &Driven,
        cpu_seconds: f64,
        disk: Option<Disk>,
    ) -> Self {
        let bounds = Histogram::new_with_bounds(1, GROUP_US_MAX, 3);
        let mut groups_us = bounds.expect("the bounds are in order");
        for group in &driven.groups {
            groups_us.saturating_record(u64::try_from(group.as_micros()).unwrap_or(u64::MAX));
        }
        let seconds = driven.to_commit.as_secs_f64().max(1e-6);
        let settled_seconds = driven.to_settle.as_secs_f64().max(1e-6);
        Arm {
            name,
            seconds,
            entries_per_second: entries as f64 / seconds,
            settled_seconds,
            settled_entries_per_second: entries as f64 / settled_seconds,
            group_ms: Quantiles::of(&groups_us),
            cpu_seconds,
            disk,
            at_rest: None,
            disk_bytes_per_entry: disk.map(|disk| disk.table_bytes as f64 / entries.max(1) as f64),
        }
    }
}

impl Report {
    fn table(&self, ui: &Ui) -> Table {
        let mut table = ui.table(["measured", ""]);
        let mut row = |name: &str, text: String| _ = table.add_row([name.to_owned(), text]);
        let Report { durability, entries, groups, uuid, .. } = self;
        row(
            "entries; of a group; ids; durability",
            format!("{entries}; {groups}; {uuid}; {durability}"),
        );
        for arm in &self.arms {
            let Arm { name, entries_per_second, settled_entries_per_second, seconds, .. } = arm;
            row(name, format!("{entries_per_second:.0} entries/s in {seconds:.2} s"));
            let settled = arm.settled_seconds;
            row(
                "  with all derived data",
                format!("{settled_entries_per_second:.0} in {settled:.2} s"),
            );
            row("  group, ms", arm.group_ms.to_string());
            let each = arm.cpu_seconds * 1e6 / (*entries).max(1) as f64;
            row("  CPU", format!("{:.2} s, {each:.2} us an entry", arm.cpu_seconds));
            if let Some((disk, each)) = arm.disk.zip(arm.disk_bytes_per_entry) {
                let (tables, logs) = (mib(disk.table_bytes), mib(disk.log_bytes));
                let text = format!("{each:.0} bytes an entry; {tables:.1} MiB; {logs:.1} MiB");
                row("  on disk: tables; logs", text);
            }
            if let Some(AtRest { table_bytes, canonical_bytes, of_canonical }) = arm.at_rest {
                let of = |bytes| bytes as f64 / (*entries).max(1) as f64;
                let (tables, canonical) = (of(table_bytes), of(canonical_bytes));
                let text = format!(
                    "{tables:.0} bytes an entry, {of_canonical:.2} of {canonical:.0} canonical"
                );
                row("  once compacted", text);
            }
        }
        if let Some(Ratios { of_same_puts, of_blocks_only }) = self.ratios {
            row("complete, of the same puts", format!("{of_same_puts:.2}, with all derived data"));
            row("complete, of blocks and log only", format!("{of_blocks_only:.2}, likewise"));
        }
        if let Some(peak) = self.resident_bytes_peak {
            row("memory, at most", format!("{:.0} MiB, the entries among it", mib(peak)));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::ctl::{Cli, Command};

    fn args(more: &str) -> BenchArgs {
        let line = format!("ron-ledgerctl bench --in-process --entries 2000 {more}");
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Bench(args) = cli.command else { panic!("another command") };
        args
    }

    fn context() -> Context {
        let line = ["ron-ledgerctl", "--quiet", "supply"];
        Context::new(Cli::try_parse_from(line).unwrap().global)
    }

    #[test]
    fn all_arms_write_the_entries_and_leave_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        let args = args("--groups 100 --arms --rounds 2");
        let config = load_config(None).unwrap().config;
        let groups = groups_of(&args.load(Spec::default().capability), 100).unwrap();
        let sizes = || groups.iter().map(|group| group.iter().map(|one| one.items.len()).sum());
        assert_eq!(sizes().sum::<usize>(), 2_000);
        assert!(sizes().max() <= Some(100usize) && groups.len() <= 30, "{}", groups.len());

        let site = Site::new(Some(&path), &config).unwrap();
        let report = measure(&args, &context(), &site, &groups).unwrap();
        let names: Vec<_> = report.arms.iter().map(|arm| arm.name).collect();
        assert_eq!(names, ["complete", "same puts", "blocks and log only"]);
        assert!((1_900..=2_000).contains(&report.entries), "{}", report.entries);
        assert!(report.arms.iter().all(|arm| arm.entries_per_second > 0.0));
        let Ratios { of_same_puts, of_blocks_only } = report.ratios.unwrap();
        assert!(of_same_puts > 0.0 && of_blocks_only > 0.0);
        assert_eq!(report.durability == "fsync", cfg!(feature = "rocks"));
        let text = report.table(&context().ui).to_string();
        assert!(text.contains("complete, of the same puts"), "{text}");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        drop(site);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_with_something_in_it_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mine"), "x").unwrap();
        let config = load_config(None).unwrap().config;
        let refused = Site::new(Some(dir.path()), &config).err().unwrap();
        assert!(refused.to_string().contains("must be empty"), "{refused}");
        assert!(dir.path().join("mine").exists());
    }
}
