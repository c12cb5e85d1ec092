//! `bench`: load over HTTP, and what came of it on both sides.

pub(super) mod ledger;
mod open;
pub(super) mod report;

use std::time::Duration;

use clap::Args;

use self::ledger::Ledger;
use super::context::{Context, ask, capability_id};
use super::{CtlError, Exit};
use crate::client::load::{self, ENTRIES_MAX, Load, default_mix};
use crate::client::open::{Schedule, offer};
use crate::client::workload::{Mix, Spec};
use crate::client::{BearerToken, Client, Format};
use crate::ledger::names::KeyName;

/// Measure a ledger under load
///
/// Closed loop: each connection sends its next request when the last one is answered. The requests
/// are made before the clock starts. With --rate an open loop: requests are due by a constant
/// schedule, none is sent again, and latency counts from when a request was due. Latencies of the
/// ledger itself are read off its metrics listener, before and after. The entries stay in the ledger:
/// use one that may be thrown away.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl bench --connections 64 --batch 16 --entries 200000 --token-file ./dev/token\n  \
    ron-ledgerctl bench --format binary --token-file ./dev/token\n  \
    ron-ledgerctl bench --rate 2000 --duration 30s --verify --token-file ./dev/token")]
pub(super) struct BenchArgs {
    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,

    /// About so many entries a request
    #[arg(long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,

    /// Entries in all
    #[arg(long, value_name = "N", default_value_t = 200_000, conflicts_with = "rate")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=ENTRIES_MAX as i64))]
    entries: u32,

    /// Open loop: requests a second over all connections
    #[arg(long, value_name = "N", requires = "duration")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,

    /// Of an open loop
    #[arg(long, value_name = "DURATION", requires = "rate", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,

    /// After an open loop, read all back and hold it against what was acknowledged. Nobody else may
    /// write meanwhile
    #[arg(long, requires = "rate")]
    verify: bool,

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
}

pub(super) async fn run(args: BenchArgs, context: &Context) -> Result<(), CtlError> {
    let token = context.token()?.ok_or_else(|| {
        CtlError::usage("a token is needed").hint("--token-file ./dev/token, for instance")
    })?;
    let load = args.load(&token)?;
    let client = context.client_with(Some(token))?.with_format(args.format);
    match args.rate.zip(args.duration) {
        Some((rate, duration)) => {
            run_open(&args, &load, Schedule { rate, duration }, &client, context).await
        }
        None => run_closed(&args, &load, &client, context).await,
    }
}

impl BenchArgs {
    fn load(&self, token: &BearerToken) -> Result<Load, CtlError> {
        let capability = KeyName::new(capability_id(token)?).map_err(CtlError::usage)?;
        let spec = Spec {
            entries: self.entries as usize,
            seed: self.seed,
            accounts: self.accounts,
            zipf: self.zipf,
            mix: self.mix.clone(),
            invalid_share: 0.0,
            capability,
            ..Spec::default()
        };
        Ok(Load { connections: self.connections.into(), batch: self.batch.into(), spec })
    }
}

async fn run_closed(
    args: &BenchArgs,
    load: &Load,
    client: &Client,
    context: &Context,
) -> Result<(), CtlError> {
    context.ui.note("preparing the requests");
    let streams = load.requests()?;
    let metrics = context.metrics_client()?;
    // Also finds out whether a ledger is there at all.
    ask(|| client.probe("version")).await?;
    let before = metrics.text("metrics").await.ok();
    let bar = context.ui.progress(args.entries.into());
    let (ticking, cpu_before) = (bar.clone(), cpu_seconds());
    let measured = load::run(client, streams, move |entries| ticking.inc(entries)).await;
    let client_cpu_seconds = cpu_seconds() - cpu_before;
    bar.finish_and_clear();
    let measured = measured?;
    let after = metrics.text("metrics").await.ok();
    let ledger = before.zip(after).map(|(before, after)| Ledger::between(&before, &after));
    let sizes = (args.connections, args.batch);
    let report = report::Report::of(sizes, &measured, ledger, client_cpu_seconds);
    context.ui.show(&report, || report.table(&context.ui))
}

async fn run_open(
    args: &BenchArgs,
    load: &Load,
    schedule: Schedule,
    client: &Client,
    context: &Context,
) -> Result<(), CtlError> {
    let metrics = context.metrics_client()?;
    let since = ask(|| client.entries(1, 1)).await?.size;
    let before = metrics.text("metrics").await.ok();
    context.ui.note("preparing the requests");
    let bar = context.ui.progress(schedule.planned());
    let (ticking, cpu_before) = (bar.clone(), cpu_seconds());
    let offered = offer(client, load, schedule, move || ticking.inc(1)).await;
    let client_cpu_seconds = cpu_seconds() - cpu_before;
    bar.finish_and_clear();
    let offered = offered?;
    let after = metrics.text("metrics").await.ok();
    let ledger = before.zip(after).map(|(before, after)| Ledger::between(&before, &after));
    let sizes = (args.connections, args.batch);
    let mut report = open::Report::of(sizes, schedule, &offered, ledger, client_cpu_seconds);
    if args.verify {
        context.ui.note("reading all entries back");
        report.audit = Some(offered.receipts.audit(client, since).await?);
    }
    context.ui.show(&report, || report.table(&context.ui))?;
    match report.audit {
        Some(audit) if !audit.is_clean() => {
            Err(CtlError::new(Exit::Unverified, "the ledger did not keep its word"))
        }
        _ => Ok(()),
    }
}

/// What this process has used so far.
fn cpu_seconds() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}
