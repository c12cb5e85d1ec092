//! `demo`: a sample workload for a development node, and what it left in the ledger.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::context::{Context, ask, capability_id, load_config, read_token};
use super::init::dev_token_path;
use super::send::{Report, Sending, send};
use super::{CtlError, account, supply};
use crate::client::unit::{UnitIn, pack};
use crate::client::workload::{Spec, Workload};
use crate::client::{BearerToken, Client};
use crate::http::dto::{AccountOut, SupplyOut};
use crate::ledger::names::KeyName;

/// How many of the busiest accounts are shown.
const ACCOUNTS_SHOWN: u32 = 5;

/// Entries a request: small, so that the progress can be seen.
const BATCH: usize = 100;

/// Send a sample workload to a development node and look around
///
/// Uses the token that `init --dev` has made, unless another is given. A second run sends the same
/// entries, which are then replayed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl demo --entries 5000")]
pub(super) struct DemoArgs {
    /// How many entries
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    entries: usize,

    /// Where chance starts
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,

    /// The node's configuration, which says where the token is
    #[arg(long, value_name = "FILE", default_value = "configs/ledger.dev.toml")]
    config: PathBuf,
}

#[derive(Serialize)]
struct Demo {
    sent: Report,
    accounts: Vec<AccountOut<'static>>,
    supply: SupplyOut<'static>,
}

pub(super) async fn run(args: DemoArgs, context: &Context) -> Result<(), CtlError> {
    let (token, token_file) = match (context.token()?, &context.global.token_file) {
        (Some(token), Some(path)) => (token, path.clone()),
        (Some(token), None) => (token, PathBuf::from("TOKEN_FILE")),
        (None, _) => {
            let path = dev_token_path(&load_config(Some(args.config))?.config);
            let hint = "`init --dev` makes the development token";
            (read_token(&path).map_err(|error| error.hint(hint))?, path)
        }
    };
    let capability = KeyName::new(capability_id(&token)?).map_err(CtlError::usage)?;
    let spec = Spec { entries: args.entries, seed: args.seed, capability, ..Spec::default() };
    let ui = &context.ui;
    ui.note(format_args!("Sending {} entries to {}", args.entries, context.global.url));
    let demo = play(context, token, spec).await?;
    if ui.json {
        return ui.show_json(&demo);
    }
    ui.show_table(&demo.sent.table(ui))?;
    ui.line("\nThe busiest accounts")?;
    ui.show_table(&account::table(ui, &demo.accounts))?;
    ui.line(format_args!("\nAll that exists, at size {}", demo.supply.size))?;
    ui.show_table(&supply::table(ui, &demo.supply))?;
    ui.note(next_steps(context, &token_file.display().to_string(), &demo.sent));
    demo.sent.judge(false)
}

async fn play(context: &Context, token: BearerToken, spec: Spec) -> Result<Demo, CtlError> {
    let client = context.client_with(Some(token))?;
    let sending = Sending { connections: 1, total: spec.entries as u64 };
    let units = Workload::new(spec)?.map(|unit| UnitIn::from(&unit));
    let (sent, outcome) = send(&client, &context.ui, pack(units, BATCH), sending).await;
    outcome?;
    Ok(Demo { sent, accounts: busiest(&client).await?, supply: ask(|| client.supply()).await? })
}

async fn busiest(client: &Client) -> Result<Vec<AccountOut<'static>>, CtlError> {
    let mut accounts = Vec::new();
    for rank in 0..ACCOUNTS_SHOWN {
        let name = Workload::account_name(rank);
        accounts.push(ask(|| client.account(name.as_str())).await?);
    }
    Ok(accounts)
}

/// Commands to copy.
fn next_steps(context: &Context, token_file: &str, sent: &Report) -> String {
    let (url, metrics) = (context.global.url.trim_end_matches('/'), &context.global.metrics_url);
    let metrics = metrics.trim_end_matches('/');
    let seq = sent.last_seq.unwrap_or(sent.root_size);
    // As it was called, so that the lines can be pasted.
    let ctl = std::env::args().next().unwrap_or_else(|| "ron-ledgerctl".to_owned());
    format!(
        "\nWhat to try next:\n  \
         curl -s '{url}/roots?limit=3'\n  \
         curl -s {url}/checkpoint\n  \
         curl -s {url}/entries/{seq}\n  \
         curl -s {metrics}/readyz\n  \
         curl -s {metrics}/metrics\n  \
         {ctl} status\n  \
         {ctl} entry {seq}\n  \
         {ctl} cap inspect --token-file {token_file}\n  \
         {ctl} workload --entries 20000 --seed 8 --send --token-file {token_file}"
    )
}
