//! The orders of operators, over the ledger's local socket: `safe-mode`, `freeze`, `unfreeze`,
//! `maintenance`, `ingress`, `drain`.

use clap::{Args, Subcommand, ValueEnum};

use super::CtlError;
use super::context::{Context, ask};
use crate::http::admin::{ModeOut, OrderIn, OrderName};

/// See why writes are refused, refuse them, or let them pass again
#[derive(Debug, Subcommand)]
pub(super) enum SafeModeCommand {
    /// Show what stands, and what ends it
    #[command(after_help = "Example:\n  ron-ledgerctl safe-mode status --json")]
    Status,
    /// Refuse writes until cleared, also over restarts
    #[command(after_help = "Example:\n  ron-ledgerctl safe-mode enter")]
    Enter,
    /// Let writes pass again
    ///
    /// The ledger first verifies its head and tail once more, as at a start.
    #[command(after_help = "Examples:\n  \
        ron-ledgerctl safe-mode clear\n  \
        ron-ledgerctl safe-mode clear --i-have-verified")]
    Clear {
        /// Needed for head_mismatch and gap: what is stored was in doubt, and you have looked
        #[arg(long = "i-have-verified")]
        has_verified: bool,
    },
}

/// Refuse new writes, also over restarts; what is queued is committed
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl freeze")]
pub(super) struct FreezeArgs {}

/// Take a freeze back
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl unfreeze")]
pub(super) struct UnfreezeArgs {}

/// As freeze, and clients are told `maintenance`
#[derive(Debug, Subcommand)]
pub(super) enum MaintenanceCommand {
    /// Refuse new writes
    #[command(visible_alias = "on", after_help = "Example:\n  ron-ledgerctl maintenance begin")]
    Begin,
    /// Let them pass again
    #[command(visible_alias = "off", after_help = "Example:\n  ron-ledgerctl maintenance end")]
    End,
}

/// Close the network to writes, or open it again; reads go on
#[derive(Debug, Subcommand)]
pub(super) enum IngressCommand {
    /// Take writes over the local socket alone, also over restarts
    #[command(after_help = "Example:\n  ron-ledgerctl ingress lock --to uds")]
    Lock {
        /// What stays open
        #[arg(long, value_enum)]
        to: LockTo,
    },
    /// Take writes over the network again
    #[command(after_help = "Example:\n  ron-ledgerctl ingress unlock")]
    Unlock,
}

/// What a lock leaves open.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum LockTo {
    /// The local socket
    Uds,
}

/// Finish what is accepted and stop the daemon
///
/// Whatever restarts it on its own, as systemd does on failure alone, leaves it stopped: its exit code
/// is 0.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl drain")]
pub(super) struct DrainArgs {}

pub(super) async fn safe_mode(command: SafeModeCommand, context: &Context) -> Result<(), CtlError> {
    match command {
        SafeModeCommand::Status => {
            let client = context.local_client()?;
            show(context, &ask(|| client.mode()).await?)
        }
        SafeModeCommand::Enter => give(OrderName::SafeModeEnter, false, context).await,
        SafeModeCommand::Clear { has_verified } => {
            give(OrderName::SafeModeClear, has_verified, context).await
        }
    }
}

pub(super) async fn maintenance(
    command: MaintenanceCommand,
    context: &Context,
) -> Result<(), CtlError> {
    let order = match command {
        MaintenanceCommand::Begin => OrderName::MaintenanceBegin,
        MaintenanceCommand::End => OrderName::MaintenanceEnd,
    };
    give(order, false, context).await
}

pub(super) async fn ingress(command: IngressCommand, context: &Context) -> Result<(), CtlError> {
    let order = match command {
        IngressCommand::Lock { to: LockTo::Uds } => OrderName::IngressLock,
        IngressCommand::Unlock => OrderName::IngressUnlock,
    };
    give(order, false, context).await
}

/// Gives an order, once: one that was heard and not answered is not given again.
pub(super) async fn give(
    order: OrderName,
    has_verified: bool,
    context: &Context,
) -> Result<(), CtlError> {
    let mode = context.local_client()?.order(&OrderIn { order, has_verified }).await?;
    show(context, &mode)
}

fn show(context: &Context, mode: &ModeOut) -> Result<(), CtlError> {
    context.ui.show(mode, || {
        let mut table = context.ui.table(["", ""]);
        table.add_row(["mode", &mode.mode]);
        for reason in &mode.safe_mode {
            table.add_row([&format!("safe-mode {}", reason.reason), hint(&reason.way_out)]);
        }
        for (stands, flag, way_out) in [
            (mode.frozen, "frozen", "until `unfreeze`"),
            (mode.maintenance, "maintenance", "until `maintenance end`"),
            (mode.ingress_locked, "ingress locked to the local socket", "until `ingress unlock`"),
            (mode.draining, "draining", "until the process has ended"),
        ] {
            if stands {
                table.add_row([flag, way_out]);
            }
        }
        table
    })
}

fn hint(way_out: &str) -> &'static str {
    match way_out {
        "automatic" => "ends by itself",
        "restart" => "ends with a restart that recovers cleanly",
        "clear" => "until `safe-mode clear`",
        _ => "until `safe-mode clear`, after a verification",
    }
}
