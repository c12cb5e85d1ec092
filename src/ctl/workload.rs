//! `workload`: generates entries, and writes or sends them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::Args;

use super::CtlError;
use super::context::{Context, capability_id};
use super::ingest::SendArgs;
use super::send::{Sending, send};
use crate::client::unit::{UnitIn, pack};
use crate::client::workload::{Ids, Mix, Spec, Workload};
use crate::ledger::names::{Asset, KeyName};

/// Generate a reproducible workload of entries of every kind
///
/// The same options give the same bytes. Without --send, one unit a line, as `ingest` reads them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl workload --entries 100000 --seed 7 --out entries.jsonl\n  \
    ron-ledgerctl workload --entries 5000 --mix transfer=9,hold=1 --send --token-file dev/token")]
pub(super) struct WorkloadArgs {
    /// How many entries
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    entries: usize,

    /// Where chance starts
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// How many accounts
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    accounts: u32,

    /// How unevenly accounts are chosen: the exponent of Zipf's law; 0 is evenly
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    zipf: f64,

    /// The share of units that the ledger must refuse, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.02)]
    invalid_share: f64,

    /// How often each scenario comes, as weights; what is not named is left out
    #[arg(long, default_value_t)]
    mix: Mix,

    /// Which assets
    #[arg(long, value_delimiter = ',', default_value = "RON,USD,EUR")]
    #[arg(value_parser = |text: &str| Asset::new(text))]
    assets: Vec<Asset>,

    /// What ids look like: random, by time, or strictly ordered
    #[arg(long, value_name = "v4|v7|ordered", default_value_t)]
    uuid: Ids,

    /// The `capability_ref` of the entries; by default that of the token, or else `dev`
    #[arg(long, value_name = "ID", value_parser = |text: &str| KeyName::new(text))]
    capability: Option<KeyName>,

    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE", conflicts_with = "send")]
    out: Option<PathBuf>,

    /// Send it to the ledger
    #[arg(long)]
    send: bool,

    #[command(flatten)]
    how: SendArgs,
}

pub(super) async fn run(args: WorkloadArgs, context: &Context) -> Result<(), CtlError> {
    let capability = match (args.capability, context.token()?) {
        (Some(capability), _) => capability,
        (None, Some(token)) => KeyName::new(capability_id(&token)?).map_err(CtlError::usage)?,
        (None, None) => Spec::default().capability,
    };
    let units = Workload::new(Spec {
        entries: args.entries,
        seed: args.seed,
        accounts: args.accounts,
        zipf: args.zipf,
        invalid_share: args.invalid_share,
        mix: args.mix,
        assets: args.assets,
        capability,
        ids: args.uuid,
    })?;
    if args.send {
        let client = context.client()?;
        let sending =
            Sending { connections: args.how.connections.into(), total: args.entries as u64 };
        let requests = pack(units.map(|unit| UnitIn::from(&unit)), args.how.batch as usize);
        let (report, outcome) = send(&client, &context.ui, requests, sending).await;
        context.ui.show(&report, || report.table(&context.ui))?;
        outcome?;
        return report.judge(args.how.strict);
    }
    match args.out {
        None => Ok(write(units, io::stdout().lock())?),
        Some(path) => {
            let failed = |error| CtlError::internal(format_args!("{}: {error}", path.display()));
            let file = File::create(&path).map_err(failed)?;
            write(units, file).map_err(failed)?;
            context.ui.note(format_args!("wrote {} entries to {}", args.entries, path.display()));
            Ok(())
        }
    }
}

fn write(units: Workload, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    for unit in units {
        writeln!(out, "{}", UnitIn::from(&unit).to_line())?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(entries: usize, seed: u64) -> Vec<u8> {
        let mut out = Vec::new();
        write(Workload::new(Spec { entries, seed, ..Spec::default() }).unwrap(), &mut out).unwrap();
        out
    }

    /// Whoever keeps a file of a workload, or its results, relies on it.
    #[test]
    fn the_bytes_of_a_seed_never_change() {
        let digest = blake3::hash(&bytes(2_000, 7)).to_hex();
        assert_eq!(&digest[..16], "f0a8d1631fac7b31");
        assert_ne!(bytes(100, 7), bytes(100, 8));
    }
}
