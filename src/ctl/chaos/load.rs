//! The load of a drill: an open loop that goes on whatever becomes of the ledger, in short pieces, so
//! that it can end when the drill does.

use std::cell::Cell;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::super::CtlError;
use super::super::bench::report::Quantiles;
use super::super::context::now_ms;
use crate::client::Client;
use crate::client::load::Load;
use crate::client::open::{Counts, Keep, Offered, Schedule, offer};
use crate::client::workload::{Mix, Spec};
use crate::http::Format;
use crate::ledger::names::KeyName;

/// Of a piece.
const PIECE: Duration = Duration::from_millis(500);

/// What is sent meanwhile. Nobody else may write to the ledger during a drill
#[derive(Clone, Debug, Args)]
pub(super) struct LoadArgs {
    /// Requests a second
    #[arg(long, value_name = "N", default_value_t = 100, help_heading = "Load")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,

    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 32, help_heading = "Load")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,

    /// About so many entries a request
    #[arg(long, value_name = "N", default_value_t = 4, help_heading = "Load")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,

    /// How often each scenario comes, as weights
    #[arg(long, default_value_t = drill_mix(), help_heading = "Load")]
    mix: Mix,

    /// How long latency is measured before the drill, and again after it
    #[arg(long, value_name = "DURATION", default_value = "10s", help_heading = "Verdict")]
    #[arg(value_parser = humantime::parse_duration)]
    pub(super) settle: Duration,

    /// How long the ledger may take to strike, to end, and to be ready again
    #[arg(long, value_name = "DURATION", default_value = "60s", help_heading = "Verdict")]
    #[arg(value_parser = humantime::parse_duration)]
    pub(super) patience: Duration,

    /// What the 95th percentile may be afterwards, unless it was above half of it before
    #[arg(long, value_name = "MS", default_value_t = 80.0, help_heading = "Verdict")]
    pub(super) p95_max_ms: f64,
}

/// All kinds but what a node may refuse by its policy, and what makes small requests.
fn drill_mix() -> Mix {
    let weights = "mint=5,burn=3,transfer=50,posting=10,hold=12,capture=9,release=3";
    weights.parse().expect("names of scenarios and small numbers")
}

/// What became of the requests of one part of the drill.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Part {
    pub(super) requests: Counts,
    /// Of all that were due.
    pub(super) accepted_share: f64,
    committed: u64,
    rejected: u64,
    /// From when they were due, in ms.
    pub(super) accepted_ms: Quantiles,
}

impl Part {
    pub(super) fn of(offered: &Offered) -> Self {
        let counts = offered.counts;
        let Counts { ok, partly, busy, unavailable, late, other, unanswered, unsent, .. } = counts;
        let due = ok + partly + busy + unavailable + late + other + unanswered + unsent;
        Part {
            requests: counts,
            accepted_share: (ok + partly) as f64 / due.max(1) as f64,
            committed: offered.committed,
            rejected: offered.rejected,
            accepted_ms: Quantiles::of(&offered.accepted_us),
        }
    }
}

/// Sends it.
pub(super) struct Sender {
    client: Client,
    load: Load,
    rate: u32,
    seed: Cell<u64>,
}

impl Sender {
    /// Entries name the capability of the client's token.
    pub(super) fn new(client: Client, capability: KeyName, args: &LoadArgs) -> Self {
        let spec = Spec {
            accounts: 200,
            mix: args.mix.clone(),
            invalid_share: 0.0,
            capability,
            ..Spec::default()
        };
        let (connections, batch) = (args.connections.into(), args.batch.into());
        // No two drills on one ledger send the same ids, or all would be replayed.
        let seed = Cell::new(now_ms() << 20);
        Sender {
            client,
            load: Load { connections, batch, format: Format::default(), spec },
            rate: args.rate,
            seed,
        }
    }

    /// For so long.
    pub(super) async fn offer(&self, duration: Duration) -> Result<Offered, CtlError> {
        let seed = self.seed.get();
        self.seed.set(seed.wrapping_add(self.load.connections as u64));
        let spec = Spec { seed, ..self.load.spec.clone() };
        let load = Load { spec, ..self.load };
        let schedule = Schedule { rate: self.rate, duration };
        Ok(offer(&self.client, &load, schedule, Keep::Receipts, || ()).await?)
    }

    /// Until it is done, to the end of a piece.
    pub(super) async fn offer_until(&self, done: &Cell<bool>) -> Result<Offered, CtlError> {
        let mut sum = Offered::default();
        while !done.get() {
            sum.add(self.offer(PIECE).await?);
        }
        Ok(sum)
    }
}
