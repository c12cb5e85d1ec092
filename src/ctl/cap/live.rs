//! `cap revoke`, `cap list` and `cap rotate`: what a running node accepts.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde_json::json;

use super::super::context::{Context, ask, load_config};
use super::super::ui::time_text;
use super::CtlError;
use crate::capability::Keyring;
use crate::http::caps::{CapsOut, RevokeIn};

/// Refuse a capability, or all of a root key, from now on
///
/// Over the local socket. It bites at once, outlives a restart, and is never taken back: mint anew
/// under another id or key.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true)))]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl cap revoke --id shop-1\n  \
    ron-ledgerctl cap revoke --kid root-1")]
pub(in crate::ctl) struct RevokeArgs {
    /// A capability id: all tokens that bear it, however narrowed
    #[arg(long, group = "what")]
    id: Option<String>,

    /// The id of a root key: all tokens under it
    #[arg(long, group = "what")]
    kid: Option<String>,
}

/// List the root keys of the running node, and what is revoked
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl cap list --json")]
pub(in crate::ctl) struct ListArgs {}

/// Add a root key, and mint under it from now on
///
/// Runs on the ledger's machine, as the user who owns the keyring. The node takes it after SIGHUP.
/// Tokens under the old keys stay good: remove their files, and reload, when the last has expired.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl cap rotate --config /etc/ron/ledger.toml")]
pub(in crate::ctl) struct RotateArgs {
    /// The daemon's configuration, which says where the keyring is
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) async fn revoke(args: RevokeArgs, context: &Context) -> Result<(), CtlError> {
    let asked = RevokeIn { id: args.id, kid: args.kid };
    let client = context.local_client()?;
    // To revoke twice does no harm.
    show(&ask(|| client.revoke(&asked)).await?, context)
}

pub(super) async fn list(context: &Context) -> Result<(), CtlError> {
    let client = context.local_client()?;
    show(&ask(|| client.capabilities()).await?, context)
}

pub(super) fn rotate(args: RotateArgs, context: &Context) -> Result<(), CtlError> {
    let dir = load_config(args.config)?.config.capabilities.keyring_dir;
    let keyring = Keyring::rotate(&dir, None)
        .map_err(|error| CtlError::internal(error).hint("`init` makes the keyring"))?;
    context.ui.note("a running node takes it after SIGHUP: `systemctl reload ron-ledger`");
    let (current, kids) = (keyring.current().0, keyring.kids().collect::<Vec<_>>());
    match context.ui.json {
        true => context.ui.show_json(&json!({ "current": current, "kids": kids })),
        false => context.ui.line(format_args!("{current} mints from now on")),
    }
}

fn show(caps: &CapsOut, context: &Context) -> Result<(), CtlError> {
    context.ui.show(caps, || {
        let mut table = context.ui.table(["", "name", "state", "since", "until"]);
        for key in &caps.keys {
            let state = match (key.revoked, key.mints) {
                (true, _) => "revoked",
                (false, true) => "mints",
                (false, false) => "accepted",
            };
            let due = format!("rotate by {}", time_text(key.due_at));
            table.add_row(["root key", &key.kid, state, &time_text(key.made_at), &due]);
        }
        for row in &caps.revoked {
            let (what, name) = match (&row.id, &row.kid) {
                (Some(id), _) => ("capability", id.as_str()),
                (None, kid) => ("root key", kid.as_deref().unwrap_or_default()),
            };
            let until = row.forgotten_at.map_or_else(|| "for ever".to_owned(), time_text);
            table.add_row([what, name, "revoked", &time_text(row.revoked_at), &until]);
        }
        table
    })
}
