//! `entry`: one entry by its seq or by its id.

use clap::Args;

use super::CtlError;
use super::context::{Context, ask};
use super::ui::{or_dash, time_text};

/// Show an entry
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl entry 1\n  \
    ron-ledgerctl entry 9f0c6a52-6f0f-4d0b-9a55-0d9f8c1b7e21 --json")]
pub(super) struct EntryArgs {
    /// Its seq, or the id that its client gave it
    #[arg(value_name = "SEQ|ID")]
    which: String,
}

pub(super) async fn run(args: EntryArgs, context: &Context) -> Result<(), CtlError> {
    let client = context.client()?;
    let found = match args.which.parse::<u64>() {
        Ok(seq) => ask(|| client.entry(seq)).await?,
        Err(_) => ask(|| client.entry_by_id(&args.which)).await?,
    };
    context.ui.show(&found, || {
        let entry = &found.entry;
        let mut table = context.ui.table(["field", "value"]);
        table.add_row(["seq", &entry.seq.to_string()]);
        table.add_row(["id", &entry.id]);
        table.add_row(["kind", &entry.kind]);
        table.add_row(["account", &entry.account]);
        table.add_row(["counterparty", &or_dash(entry.counterparty.as_ref())]);
        table.add_row(["asset", &entry.asset]);
        table.add_row(["amount", &entry.amount.to_string()]);
        table.add_row(["reference", &or_dash(entry.reference.as_ref())]);
        table.add_row(["expires at", &or_dash(entry.expires_at.map(time_text))]);
        table.add_row(["keep open", &entry.keep_open.to_string()]);
        table.add_row(["linked to the next", &entry.linked.to_string()]);
        table.add_row(["reversed by", &or_dash(found.reversed_by)]);
        table.add_row(["client's clock", &time_text(entry.ts)]);
        table.add_row(["committed at", &time_text(entry.committed_at)]);
        table.add_row(["capability", &format!("{} (key {})", entry.capability_ref, entry.kid)]);
        table.add_row(["idem id", &or_dash(entry.idem_id.as_ref())]);
        table.add_row(["nonce", &entry.nonce]);
        table
    })
}
