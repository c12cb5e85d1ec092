//! `roots`: published roots.

use clap::Args;

use super::CtlError;
use super::context::{Context, ask};
use super::ui::time_text;

/// List published roots
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl roots --since 1000 --limit 50")]
pub(super) struct RootsArgs {
    /// Roots after this size
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    since: u64,

    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

pub(super) async fn run(args: RootsArgs, context: &Context) -> Result<(), CtlError> {
    let client = context.client()?;
    let page = ask(|| client.roots(args.since, args.limit)).await?;
    context.ui.show(&page, || {
        let mut table = context.ui.table(["size", "root", "committed at"]);
        for row in &page.roots {
            table.add_row([row.seq.to_string(), row.root.to_string(), time_text(row.ts)]);
        }
        table
    })?;
    if let (Some(next), false) = (page.next, context.ui.json) {
        context.ui.note(format_args!("there is more: ron-ledgerctl roots --since {next}"));
    }
    Ok(())
}
