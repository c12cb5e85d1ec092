//! `hold`: one hold by its id.

use clap::Args;

use super::CtlError;
use super::context::{Context, ask};
use super::ui::{or_dash, time_text};

/// Show a hold and what is left of it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl hold 9f0c6a52-6f0f-4d0b-9a55-0d9f8c1b7e21")]
pub(super) struct HoldArgs {
    /// The id of the Hold entry
    id: String,
}

pub(super) async fn run(args: HoldArgs, context: &Context) -> Result<(), CtlError> {
    let client = context.client()?;
    let hold = ask(|| client.hold(&args.id)).await?;
    context.ui.show(&hold, || {
        let mut table = context.ui.table(["field", "value"]);
        table.add_row(["id", &hold.id]);
        table.add_row(["seq", &hold.seq.to_string()]);
        table.add_row(["state", &hold.state]);
        table.add_row(["account", &hold.account]);
        table.add_row(["asset", &hold.asset]);
        table.add_row(["counterparty", &or_dash(hold.counterparty.as_ref())]);
        table.add_row(["amount", &hold.amount.to_string()]);
        table.add_row(["captured", &hold.captured.to_string()]);
        table.add_row(["remaining", &hold.remaining.to_string()]);
        table.add_row(["expires at", &or_dash(hold.expires_at.map(time_text))]);
        table.add_row(["ledger size", &hold.size.to_string()]);
        table
    })
}
