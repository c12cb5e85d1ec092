//! `policy`: what a rule file of the local policy guard says, without a running node.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::CtlError;
use super::context::{Context, load_config};
use crate::http::parse::{Rules, parse};
use crate::ledger::names::Asset;
use crate::ledger::request::{Grants, Item, Request};
use crate::policy::Policy;
use crate::storage::files::read_bounded;

/// A request is hardly longer.
const ENTRY_BYTES_MAX: usize = 1 << 20;

/// Look at the rules of the local policy guard
#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    Check(CheckArgs),
    Explain(ExplainArgs),
}

/// Check that a rule file would be accepted
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl policy check /etc/ron/policy.toml")]
pub(super) struct CheckArgs {
    /// The rule file, TOML
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Say which rule would decide about an entry, with windows that have counted nothing yet
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl policy explain --entry entry.json --policy /etc/ron/policy.toml\n  \
    ron-ledgerctl policy explain --entry request.json --config /etc/ron/ledger.toml --json")]
pub(super) struct ExplainArgs {
    /// An entry as `/ingest` takes it, or a whole request
    #[arg(long, value_name = "FILE")]
    entry: PathBuf,

    /// The rule file; without it, the one that the configuration names
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    policy: Option<PathBuf>,

    /// The configuration, TOML; without it, the defaults and the environment
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(command: PolicyCommand, context: &Context) -> Result<(), CtlError> {
    match command {
        PolicyCommand::Check(CheckArgs { file }) => {
            let policy = Policy::read(&file).map_err(CtlError::usage)?;
            let rules = policy.rules_count();
            match context.ui.json {
                true => context.ui.show_json(&json!({ "ok": true, "rules": rules })),
                false => context.ui.line(format_args!("ok: {rules} rules")),
            }
        }
        PolicyCommand::Explain(args) => explain(args, context),
    }
}

fn explain(args: ExplainArgs, context: &Context) -> Result<(), CtlError> {
    let loaded = load_config(args.config)?;
    let policy = match &args.policy {
        Some(file) => Policy::read(file),
        None => Policy::of(&loaded.config.policy),
    };
    let policy = policy.map_err(CtlError::usage)?;
    let default_asset = Asset::new(loaded.config.ledger.default_asset.as_str());
    let default_asset = default_asset.map_err(CtlError::usage)?;
    let request = read_request(&args.entry, &default_asset)?;
    let judged = judge(&policy, &request);
    if context.ui.json {
        return context.ui.show_json(&judged);
    }
    let mut table = context.ui.table(["entry", "allowed", "decided by", "because", "counts for"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for (idx, verdict) in judged.iter().enumerate() {
        let allowed = if verdict["allowed"] == true { "yes" } else { "no" };
        let rules = verdict["counts_for"].as_array().into_iter().flatten().map(text);
        let rules = rules.collect::<Vec<_>>().join(", ");
        let (by, why) = (text(&verdict["rule"]), text(&verdict["why"]));
        table.add_row([idx.to_string(), allowed.to_owned(), by, why, rules]);
    }
    context.ui.show_table(&table)
}

/// One object for each entry, in their order; each counts against the windows for those after it.
fn judge(policy: &Policy, request: &Request) -> Vec<Value> {
    let flows = policy.flows(request).into_iter();
    let judged = flows.zip(&request.items).map(|(flow, item)| {
        let verdict = policy.judge(&item.entry, flow, 0);
        let why = verdict.outcome.as_ref().err().map(ToString::to_string);
        json!({
            "allowed": verdict.outcome.is_ok(),
            "rule": verdict.by,
            "why": why,
            "counts_for": verdict.counts_for,
            "crosses_regions": flow.crosses(),
        })
    });
    judged.collect()
}

/// A request, or one entry of it.
fn read_request(path: &Path, default_asset: &Asset) -> Result<Request, CtlError> {
    let told = |error: &dyn std::fmt::Display| {
        CtlError::usage(format_args!("{}: {error}", path.display()))
    };
    let text = read_bounded(path, ENTRY_BYTES_MAX).map_err(|error| told(&error))?;
    let text = text.ok_or_else(|| told(&"there is no such file"))?;
    if text.len() > ENTRY_BYTES_MAX {
        return Err(told(&format_args!("longer than {ENTRY_BYTES_MAX} bytes")));
    }
    let value: Value = serde_json::from_str(&text).map_err(|error| told(&error))?;
    let body = match value.get("batch") {
        Some(_) => value,
        None => json!({ "batch": [value] }),
    };
    let rules = Rules { default_asset, batch_max_entries: 1000 };
    let parsed = parse(body.to_string().as_bytes(), &rules);
    let parsed = parsed.map_err(|reject| told(&reject.details))?;
    let items = parsed.entries.into_iter().map(|entry| Item::new(entry, Grants::ALL));
    Ok(Request { items: items.collect(), atomic: parsed.atomic })
}
