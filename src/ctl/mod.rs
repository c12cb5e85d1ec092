//! `ron-ledgerctl`: the command line of operators, auditors and client developers.
//!
//! One file a command: its arguments, whose doc comments are the help, and the function that does
//! it. [`Exit`] has the exit codes.

mod context;
mod error;
mod ui;

mod account;
mod archive;
mod audit;
mod bench;
mod breakers;
mod cap;
mod chaos;
mod checkpoint;
mod completions;
mod config;
mod demo;
mod deny;
mod entry;
mod hold;
mod ingest;
mod init;
mod key;
mod limits;
mod operate;
mod policy;
mod private;
mod proof;
mod receipt;
mod roots;
mod send;
mod snapshot;
mod status;
mod supply;
mod telemetry;
mod top;
mod witness;
mod workload;

use clap::{Parser, Subcommand};

use context::{Context, Global};
use error::EXIT_CODES_HELP;
use ui::Ui;

use crate::http::admin::OrderName;

pub use error::{CtlError, Exit};

/// Operate, feed and audit a ron-ledger
#[derive(Debug, Parser)]
#[command(name = "ron-ledgerctl", version, after_help = EXIT_CODES_HELP)]
pub struct Cli {
    #[command(flatten)]
    global: Global,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::InitArgs),
    #[command(subcommand)]
    Cap(cap::CapCommand),
    Ingest(ingest::IngestArgs),
    Workload(workload::WorkloadArgs),
    Demo(demo::DemoArgs),
    Bench(bench::BenchArgs),
    Status(status::StatusArgs),
    Top(top::TopArgs),
    Roots(roots::RootsArgs),
    Account(account::AccountArgs),
    Entry(entry::EntryArgs),
    Hold(hold::HoldArgs),
    Supply(supply::SupplyArgs),
    Checkpoint(checkpoint::CheckpointArgs),
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    #[command(subcommand)]
    Proof(proof::ProofCommand),
    Receipt(receipt::ReceiptArgs),
    #[command(subcommand)]
    SafeMode(operate::SafeModeCommand),
    Freeze(operate::FreezeArgs),
    Unfreeze(operate::UnfreezeArgs),
    #[command(subcommand)]
    Maintenance(operate::MaintenanceCommand),
    #[command(subcommand)]
    Ingress(operate::IngressCommand),
    Drain(operate::DrainArgs),
    #[command(subcommand)]
    Limits(limits::LimitsCommand),
    Breakers(breakers::BreakersArgs),
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    #[command(subcommand)]
    Deny(deny::DenyCommand),
    #[command(subcommand)]
    Log(telemetry::LogCommand),
    #[command(subcommand)]
    Traces(telemetry::TracesCommand),
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    #[command(subcommand)]
    Archive(archive::ArchiveCommand),
    #[command(subcommand)]
    Chaos(chaos::ChaosCommand),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    #[command(subcommand)]
    Key(key::KeyCommand),
    #[command(subcommand)]
    Witness(witness::WitnessCommand),
    Completions(completions::CompletionsArgs),
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// [`CtlError`], which knows its exit code.
    pub fn run(self) -> Result<(), CtlError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(CtlError::internal)?;
        runtime.block_on(self.command.run(&Context::new(self.global)))
    }
}

impl Command {
    async fn run(self, context: &Context) -> Result<(), CtlError> {
        match self {
            Command::Init(args) => init::run(args, context),
            Command::Cap(command) => cap::run(command, context).await,
            Command::Ingest(args) => ingest::run(args, context).await,
            Command::Workload(args) => workload::run(args, context).await,
            Command::Demo(args) => demo::run(args, context).await,
            Command::Bench(args) => bench::run(args, context).await,
            Command::Status(args) => status::run(args, context).await,
            Command::Top(args) => top::run(args, context).await,
            Command::Completions(args) => completions::run(args, context),
            Command::Roots(args) => roots::run(args, context).await,
            Command::Account(args) => account::run(args, context).await,
            Command::Entry(args) => entry::run(args, context).await,
            Command::Hold(args) => hold::run(args, context).await,
            Command::Supply(args) => supply::run(args, context).await,
            Command::Checkpoint(args) => checkpoint::run(args, context).await,
            Command::Audit(command) => audit::run(command, context).await,
            Command::Proof(command) => proof::run(command, context).await,
            Command::Receipt(args) => receipt::run(args, context).await,
            Command::SafeMode(command) => operate::safe_mode(command, context).await,
            Command::Freeze(_) => operate::give(OrderName::Freeze, false, context).await,
            Command::Unfreeze(_) => operate::give(OrderName::Unfreeze, false, context).await,
            Command::Maintenance(command) => operate::maintenance(command, context).await,
            Command::Ingress(command) => operate::ingress(command, context).await,
            Command::Drain(_) => operate::give(OrderName::Drain, false, context).await,
            Command::Limits(command) => limits::run(command, context).await,
            Command::Policy(command) => policy::run(command, context),
            Command::Deny(command) => deny::run(command, context).await,
            Command::Breakers(args) => breakers::run(args, context).await,
            Command::Log(command) => telemetry::log(command, context).await,
            Command::Traces(command) => telemetry::traces(command, context).await,
            Command::Snapshot(command) => snapshot::run(command, context).await,
            Command::Archive(command) => archive::run(command, context).await,
            Command::Chaos(command) => chaos::run(command, context).await,
            Command::Config(command) => config::run(command, context),
            Command::Key(command) => key::run(command, context),
            Command::Witness(command) => witness::run(command, context).await,
        }
    }
}

#[cfg(test)]
mod tests;
