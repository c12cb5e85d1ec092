//! `supply`: what exists of each asset.

use clap::Args;
use comfy_table::Table;

use super::context::{Context, ask};
use super::{CtlError, Ui};
use crate::http::dto::SupplyOut;

/// Show what exists of each asset
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl supply --json")]
pub(super) struct SupplyArgs {}

pub(super) async fn run(_: SupplyArgs, context: &Context) -> Result<(), CtlError> {
    let client = context.client()?;
    let supply = ask(|| client.supply()).await?;
    context.ui.show(&supply, || table(&context.ui, &supply))
}

pub(super) fn table(ui: &Ui, supply: &SupplyOut<'_>) -> Table {
    let mut table = ui.table(["asset", "minted", "burned", "circulating"]);
    for row in &supply.assets {
        let sums = [row.minted, row.burned, row.circulating].map(|sum| sum.to_string());
        table.add_row(std::iter::once(row.asset.to_string()).chain(sums));
    }
    table
}
