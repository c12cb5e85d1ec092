//! `config`: what the daemon would run with, and what a change of it takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::CtlError;
use super::context::{Context, load_config};
use crate::config::{Config, Loaded, Sources, is_reloaded};
use crate::policy::Policy;

/// Look at a configuration
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    Print(PrintArgs),
    Check(CheckArgs),
    Diff(DiffArgs),
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

/// Show what differs between two configurations, and when a running node would take it
///
/// Without --to, from the defaults to the file; with it, from the file to the other one. The environment
/// is left out.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl config diff --file /etc/ron/ledger.toml\n  \
    ron-ledgerctl config diff --file /etc/ron/ledger.toml --to ledger.new.toml")]
pub(super) struct DiffArgs {
    /// A TOML file
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The file to compare it with
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
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
        ConfigCommand::Diff(DiffArgs { file, to }) => match to {
            Some(to) => diff(&of_file(Some(file))?, &of_file(Some(to))?, context),
            None => diff(&of_file(None)?, &of_file(Some(file))?, context),
        },
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

/// A file over the defaults, or the defaults alone.
fn of_file(file: Option<PathBuf>) -> Result<Loaded, CtlError> {
    Ok(Config::load(Sources { file, ..Sources::default() })?)
}

fn diff(old: &Loaded, new: &Loaded, context: &Context) -> Result<(), CtlError> {
    let changes: Vec<_> = old
        .changes(new)
        .map(|(key, old, new)| {
            let takes_effect = if is_reloaded(key) { "at SIGHUP" } else { "at a restart" };
            json!({ "key": key, "old": old, "new": new, "takes_effect": takes_effect })
        })
        .collect();
    if context.ui.json {
        return context.ui.show_json(&json!({ "changes": changes }));
    }
    if changes.is_empty() {
        return context.ui.line("no setting differs");
    }
    let mut table = context.ui.table(["setting", "from", "to", "takes effect"]);
    for change in &changes {
        let text = |field: &str| match &change[field] {
            serde_json::Value::String(text) if !text.is_empty() => text.clone(),
            value => value.to_string(),
        };
        table.add_row(["key", "old", "new", "takes_effect"].map(text));
    }
    context.ui.show_table(&table)
}
