//! `config`: what the daemon would run with.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::CtlError;
use super::context::{Context, load_config};
use crate::policy::Policy;

/// Look at a configuration
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    Print(PrintArgs),
    Check(CheckArgs),
}

/// Print every setting, its value, and where that came from
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl config print\n  \
    ron-ledgerctl config print --file /etc/ron/ledger.toml --json")]
pub(super) struct PrintArgs {
    /// A TOML file; without it, the defaults and the environment
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Check that a configuration would be accepted, and the rule file that it names
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl config check --file /etc/ron/ledger.toml")]
pub(super) struct CheckArgs {
    /// A TOML file; without it, the defaults and the environment
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) fn run(command: ConfigCommand, context: &Context) -> Result<(), CtlError> {
    match command {
        ConfigCommand::Print(PrintArgs { file }) => {
            let loaded = load_config(file)?;
            match context.ui.json {
                true => context.ui.show_json(&loaded.to_json()),
                false => context.ui.line(loaded.to_string().trim_end()),
            }
        }
        ConfigCommand::Check(CheckArgs { file }) => {
            let loaded = load_config(file)?;
            loaded.config.validate().map_err(CtlError::usage)?;
            let unfit = |error| CtlError::usage(format_args!("policy.file: {error}"));
            Policy::of(&loaded.config.policy).map_err(unfit)?;
            let settings = loaded.origins().len();
            match context.ui.json {
                true => context.ui.show_json(&json!({ "ok": true, "settings": settings })),
                false => context.ui.line(format_args!("ok: {settings} settings hold together")),
            }
        }
    }
}
