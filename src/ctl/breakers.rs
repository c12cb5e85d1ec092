//! `breakers`: how the upstreams of a running node are, over its local socket.

use clap::Args;

use super::CtlError;
use super::context::{Context, ask};

/// Show which upstreams answer, and what went wrong last
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl breakers\n  \
    ron-ledgerctl breakers --json")]
pub(super) struct BreakersArgs {}

pub(super) async fn run(_: BreakersArgs, context: &Context) -> Result<(), CtlError> {
    let client = context.local_client()?;
    let shown = ask(|| client.breakers()).await?;
    context.ui.show(&shown, || {
        let mut table =
            context.ui.table(["target", "mode", "state", "open for", "openings", "last failure"]);
        for row in &shown.breakers {
            table.add_row([
                row.target.clone(),
                row.mode.clone(),
                row.state.replace('_', "-"),
                format!("{}.{} s", row.open_ms / 1000, row.open_ms % 1000 / 100),
                row.openings.to_string(),
                row.last_failure.clone().unwrap_or_else(|| "-".to_owned()),
            ]);
        }
        table
    })
}
