//! `account`: the balances of one account.

use clap::Args;
use comfy_table::Table;

use super::context::{Context, ask};
use super::{CtlError, Ui};
use crate::http::dto::AccountOut;

/// Show the balances of an account
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl account acct:000000")]
pub(super) struct AccountArgs {
    /// The account's name
    account: String,
}

pub(super) async fn run(args: AccountArgs, context: &Context) -> Result<(), CtlError> {
    let client = context.client()?;
    let account = ask(|| client.account(&args.account)).await?;
    if account.assets.is_empty() {
        context.ui.note(format_args!("{} has no entry yet", args.account));
    }
    context.ui.show(&account, || table(&context.ui, std::slice::from_ref(&account)))
}

/// The balances of some accounts.
pub(super) fn table(ui: &Ui, accounts: &[AccountOut<'_>]) -> Table {
    let header = ["account", "asset", "available", "held", "credits", "debits", "last seq"];
    let mut table = ui.table(header);
    for account in accounts {
        for row in &account.assets {
            let sums =
                [row.available, row.held, row.credits, row.debits].map(|sum| sum.to_string());
            let names = [account.account.to_string(), row.asset.to_string()];
            table.add_row(names.into_iter().chain(sums).chain([row.last_seq.to_string()]));
        }
    }
    table
}
