//! `limits`: the rates of requests on a running node, over its local socket.

use clap::{Args, Subcommand};

use super::CtlError;
use super::context::{Context, ask};
use crate::http::limits::{LimitsIn, LimitsOut};

/// See and set how many requests a second a running node takes
#[derive(Debug, Subcommand)]
pub(super) enum LimitsCommand {
    /// Show the rates of now
    #[command(after_help = "Example:\n  ron-ledgerctl limits get --json")]
    Get,
    Set(SetArgs),
}

/// Set rates, until the daemon is restarted; 0 is no limit, and what is not named stays
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl limits set --capability 50\n  \
    ron-ledgerctl limits set --plain 10 --global 1200")]
pub(super) struct SetArgs {
    /// Of all together
    #[arg(long, value_name = "RATE")]
    global: Option<u32>,

    /// Of each capability
    #[arg(long, value_name = "RATE")]
    capability: Option<u32>,

    /// Of all over the local socket
    #[arg(long, value_name = "RATE")]
    uds: Option<u32>,

    /// Of all with a client certificate
    #[arg(long, value_name = "RATE")]
    mtls: Option<u32>,

    /// Of all over TLS without one
    #[arg(long, value_name = "RATE")]
    tls: Option<u32>,

    /// Of all without TLS
    #[arg(long, value_name = "RATE")]
    plain: Option<u32>,
}

pub(super) async fn run(command: LimitsCommand, context: &Context) -> Result<(), CtlError> {
    let client = context.local_client()?;
    let limits = match command {
        LimitsCommand::Get => ask(|| client.limits()).await?,
        LimitsCommand::Set(SetArgs { global, capability, uds, mtls, tls, plain }) => {
            let asked = LimitsIn { global, capability, uds, mtls, tls, plain };
            ask(|| client.set_limits(&asked)).await?
        }
    };
    show(&limits, context)
}

fn show(limits: &LimitsOut, context: &Context) -> Result<(), CtlError> {
    context.ui.show(limits, || {
        let mut table = context.ui.table(["requests a second", ""]);
        for (scope, rate) in [
            ("all", limits.global),
            ("each capability", limits.capability),
            ("uds", limits.uds),
            ("mtls", limits.mtls),
            ("tls", limits.tls),
            ("plain", limits.plain),
        ] {
            let rate = if rate == 0 { "no limit".to_owned() } else { rate.to_string() };
            table.add_row([scope, &rate]);
        }
        table
    })
}
