//! `witness`: runs a small durable witness, so that two operators can watch each other's ledgers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_web::HttpServer;
use actix_web::web::Data;
use clap::{Args, Subcommand};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::CtlError;
use super::checkpoint::parse_key;
use super::context::Context;
use crate::accumulator::{Cosigner, CosignerKey};
use crate::capability::SigningKey;
use crate::http::witness::witness_plane;
use crate::witness::Witness;

/// Where, below its directory, a witness keeps the checkpoints that it has cosigned.
const LOGS: &str = "logs";

const WORKERS: usize = 2;
const CONNECTIONS_MAX: usize = 256;
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
const SHUTDOWN_SECONDS: u64 = 5;

/// Watch the ledgers of others: cosign their checkpoints as long as they only grow
#[derive(Debug, Subcommand)]
pub(super) enum WitnessCommand {
    Init(InitArgs),
    Show(ShowArgs),
    Serve(ServeArgs),
}

/// Make the key of a witness, and print what others verify its cosignatures with
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    ron-ledgerctl witness init --dir /var/lib/ron-witness --name witness.example/a")]
pub(super) struct InitArgs {
    /// Where the key and the cosigned checkpoints are to be; it belongs to the witness alone
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The name in its cosignatures, by custom a URL without scheme
    #[arg(long)]
    name: String,
}

/// Print the key that this witness's cosignatures are verified with
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl witness show --dir /var/lib/ron-witness")]
pub(super) struct ShowArgs {
    /// The directory of the witness
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// Serve add-checkpoint of C2SP tlog-witness until SIGINT or SIGTERM
///
/// Over plain HTTP: what is sent is public and signed. For TLS put a proxy in front.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    ron-ledgerctl witness serve --dir /var/lib/ron-witness --log ledger.vkey --log other.vkey")]
pub(super) struct ServeArgs {
    /// The directory of the witness
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5090")]
    listen: SocketAddr,
    /// A log to watch: a file with its verifier key, which its `key show` prints, or the key itself;
    /// may be given several times
    #[arg(long = "log", value_name = "VKEY", required = true)]
    logs: Vec<String>,
}

pub(super) async fn run(command: WitnessCommand, context: &Context) -> Result<(), CtlError> {
    match command {
        WitnessCommand::Init(InitArgs { dir, name }) => {
            let made = SigningKey::create(&dir, &name, None);
            show(&cosigner(&made.map_err(CtlError::internal)?)?, context)
        }
        WitnessCommand::Show(ShowArgs { dir }) => show(&load(&dir)?, context),
        WitnessCommand::Serve(args) => serve(args, context).await,
    }
}

fn load(dir: &Path) -> Result<Cosigner, CtlError> {
    let key = SigningKey::load(dir);
    cosigner(&key.map_err(|error| CtlError::internal(error).hint("`witness init` makes the key"))?)
}

fn cosigner(key: &SigningKey) -> Result<Cosigner, CtlError> {
    Cosigner::new(key.origin(), key.seed().expose()).map_err(CtlError::internal)
}

fn show(cosigner: &Cosigner, context: &Context) -> Result<(), CtlError> {
    let key: &CosignerKey = cosigner.cosigner_key();
    match context.ui.json {
        true => context.ui.show_json(&json!({ "name": key.name(), "key": key.to_string() })),
        false => context.ui.line(key),
    }
}

async fn serve(args: ServeArgs, context: &Context) -> Result<(), CtlError> {
    let keys = args.logs.iter().map(|log| parse_key(log)).collect::<Result<Vec<_>, _>>()?;
    let witness = Witness::open(&args.dir.join(LOGS), load(&args.dir)?, keys);
    let witness = Data::new(witness.map_err(CtlError::internal)?);
    let server = HttpServer::new(move || witness_plane(witness.clone()))
        .workers(WORKERS)
        .max_connections(CONNECTIONS_MAX)
        .client_request_timeout(HEAD_DEADLINE)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .bind(args.listen)
        .map_err(|error| CtlError::internal(format_args!("{}: {error}", args.listen)))?;
    // Before it says that it is up: whoever has read the line can end it in order.
    let mut terminate = signal(SignalKind::terminate()).map_err(CtlError::internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CtlError::internal)?;
    let addresses = server.addrs();
    for address in addresses {
        context.ui.line(format_args!("witness on http://{address}"))?;
    }
    let running = server.disable_signals().run();
    let handle = running.handle();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => handle.stop(true).await,
            _ = interrupt.recv() => handle.stop(false).await,
        }
    });
    running.await.map_err(CtlError::internal)
}
