//! `log` and `traces`: how much a running node tells, over its local socket.

use clap::Subcommand;

use super::CtlError;
use super::context::{Context, ask};
use crate::http::telemetry::{LevelsIn, LevelsOut};

/// See and set what a running node logs
#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Show the filter directives of now
    #[command(after_help = "Example:\n  ron-ledgerctl log show --json")]
    Show,
    /// Set them, until the daemon is restarted or reloaded
    #[command(after_help = "Examples:\n  \
        ron-ledgerctl log level debug\n  \
        ron-ledgerctl log level info,ron_ledger::actors=debug")]
    Level {
        /// A level, or filter directives as in telemetry.log
        directives: String,
    },
}

/// See and set what share of requests a running node traces
#[derive(Debug, Subcommand)]
pub(super) enum TracesCommand {
    /// Show the share of now
    #[command(after_help = "Example:\n  ron-ledgerctl traces show --json")]
    Show,
    /// Set it, until the daemon is restarted or reloaded
    #[command(after_help = "Example:\n  ron-ledgerctl traces ratio 0.1")]
    Ratio {
        /// 0 to 1
        share: f64,
    },
}

pub(super) async fn log(command: LogCommand, context: &Context) -> Result<(), CtlError> {
    let asked = match command {
        LogCommand::Show => None,
        LogCommand::Level { directives } => {
            Some(LevelsIn { log: Some(directives), ..LevelsIn::default() })
        }
    };
    run(asked, context).await
}

pub(super) async fn traces(command: TracesCommand, context: &Context) -> Result<(), CtlError> {
    let asked = match command {
        TracesCommand::Show => None,
        TracesCommand::Ratio { share } => {
            Some(LevelsIn { sample_ratio: Some(share), ..LevelsIn::default() })
        }
    };
    run(asked, context).await
}

async fn run(asked: Option<LevelsIn>, context: &Context) -> Result<(), CtlError> {
    let client = context.local_client()?;
    let levels = match asked {
        None => ask(|| client.levels()).await?,
        Some(asked) => ask(|| client.set_levels(&asked)).await?,
    };
    show(&levels, context)
}

fn show(levels: &LevelsOut, context: &Context) -> Result<(), CtlError> {
    context.ui.show(levels, || {
        let share = |share: f64| format!("{} % of requests", share * 100.0);
        let mut table = context.ui.table(["", ""]);
        table.add_row(["log", levels.log.as_deref().unwrap_or("none")]);
        if levels.has_collector {
            table.add_row(["traces", &share(levels.sample_ratio)]);
            table.add_row(["traces now", &share(levels.sample_ratio_now)]);
        } else {
            table.add_row(["traces", "no collector (telemetry.otlp_endpoint)"]);
        }
        table
    })
}
