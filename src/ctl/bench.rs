//! `bench`: load over HTTP, and what came of it on both sides; or the engine alone.

mod disk;
mod engine;
mod histogram;
pub(super) mod ledger;
mod open;
mod process;
mod remote;
pub(super) mod report;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::CtlError;
use super::context::{Context, capability_id};
use crate::client::BearerToken;
use crate::client::load::{ENTRIES_MAX, Load, default_mix};
use crate::client::workload::{Ids, Mix, Spec};
use crate::http::Format;
use crate::ledger::names::KeyName;

/// Measure a ledger under load, or the engine alone
///
/// Closed loop: each connection sends its next request when the last one is answered. The requests
/// are made before the clock starts, about 250 bytes of memory for an entry. With --rate an open loop:
/// requests are due by a constant schedule, none is sent again, and latency counts from when a request
/// was due. Latencies of the ledger itself are read off its metrics listener, before and after. The
/// entries stay in the ledger: use one that may be thrown away.
///
/// With --in-process no ledger is asked: groups of entries are decided, hashed and written by one
/// thread of this program, to a store of their own that is removed again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl bench --connections 64 --batch 16 --entries 200000 --token-file ./dev/token\n  \
    ron-ledgerctl bench --format binary --token-file ./dev/token\n  \
    ron-ledgerctl bench --duration 60s --preload 1000000 --uuid v7 --token-file ./dev/token\n  \
    ron-ledgerctl bench --rate 2000 --duration 30s --verify --token-file ./dev/token\n  \
    ron-ledgerctl bench --local --socket ./dev/s --batch 1 --token-file ./dev/token\n  \
    ron-ledgerctl bench --in-process --groups 512 --entries 1000000 --arms --rounds 3")]
pub(super) struct BenchArgs {
    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,

    /// About so many entries a request
    #[arg(long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,

    /// Entries in all [default: 200,000]; with --duration those that are made before the clock starts, with
    /// --rate by default those of the first minute
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=ENTRIES_MAX as i64))]
    entries: Option<u32>,

    /// Open loop: requests a second over all connections
    #[arg(long, value_name = "N", requires = "duration")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,

    /// Send for so long, whatever that comes to
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,

    /// After an open loop, read all back and hold it against what was acknowledged. Nobody else may
    /// write meanwhile
    #[arg(long, requires = "rate")]
    verify: bool,

    /// Send so many entries more before the clock starts
    #[arg(long, value_name = "N", default_value_t = 0)]
    preload: u32,

    /// Where chance starts; another one for each run on the same ledger, or all is replayed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// How many accounts
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    accounts: u32,

    /// How unevenly accounts are chosen: the exponent of Zipf's law; 0 is evenly
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    zipf: f64,

    /// The form of requests and answers
    #[arg(long, value_name = "json|binary", default_value_t)]
    format: Format,

    /// How often each scenario comes, as weights. `atomic` makes small requests, whatever --batch says
    #[arg(long, default_value_t = default_mix())]
    mix: Mix,

    /// What ids look like: random, by time, or strictly ordered
    #[arg(long, value_name = "v4|v7|ordered", default_value_t)]
    uuid: Ids,

    /// Go by the ledger's local socket (--socket) instead of --url
    #[arg(long)]
    local: bool,

    /// The ledger's process, where it is on this machine: to tell the most memory that it had, and its CPU
    /// as the kernel counts it. Known with --local
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,

    /// The ledger's data directory, where it is on this machine: to tell what an entry takes in it. With
    /// --in-process an empty directory for the stores, by default one below the current directory
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// The engine alone: no actors, no HTTP
    #[arg(long, conflicts_with_all = ["rate", "duration", "preload", "local", "pid", "connections", "format"])]
    #[arg(help_heading = "Engine")]
    in_process: bool,

    /// Entries of a commit group
    #[arg(long, value_name = "N", default_value_t = 512, requires = "in_process")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=16_384), help_heading = "Engine")]
    groups: u16,

    /// Also write the same again without deciding and hashing it, and its blocks alone, to compare. What
    /// is written lies in memory meanwhile, about a kilobyte for an entry
    #[arg(long, requires = "in_process", help_heading = "Engine")]
    arms: bool,

    /// Measure so often, all ways in turn, and tell the median of each
    #[arg(long, value_name = "N", default_value_t = 1, requires = "in_process")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=99), help_heading = "Engine")]
    rounds: u8,
}

pub(super) async fn run(args: BenchArgs, context: &Context) -> Result<(), CtlError> {
    if args.in_process {
        return engine::run(&args, context);
    }
    let token = context.token()?.ok_or_else(|| {
        CtlError::usage("a token is needed").hint("--token-file ./dev/token, for instance")
    })?;
    remote::run(&args, token, context).await
}

impl BenchArgs {
    /// 0 where the schedule decides.
    fn entries(&self) -> u32 {
        const DEFAULT: u32 = 200_000;
        self.entries.unwrap_or(if self.rate.is_some() { 0 } else { DEFAULT })
    }

    fn load(&self, capability: KeyName) -> Load {
        let spec = Spec {
            entries: self.entries() as usize,
            seed: self.seed,
            accounts: self.accounts,
            zipf: self.zipf,
            mix: self.mix.clone(),
            invalid_share: 0.0,
            capability,
            ids: self.uuid,
            ..Spec::default()
        };
        Load {
            connections: self.connections.into(),
            batch: self.batch.into(),
            format: self.format,
            spec,
        }
    }
}

/// What `capability_ref` has to say for this token.
fn capability_of(token: &BearerToken) -> Result<KeyName, CtlError> {
    KeyName::new(capability_id(token)?).map_err(CtlError::usage)
}
