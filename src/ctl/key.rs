//! `key`: the public half of the key that signs checkpoints.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::CtlError;
use super::context::{Context, load_config};
use crate::accumulator::Signer;
use crate::capability::SigningKey;

/// Look at the node's signing key
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    Show(ShowArgs),
}

/// Print the verifier key, with which anyone can check the node's checkpoints
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    ron-ledgerctl key show --config /etc/ron/ledger.toml > ledger.vkey")]
pub(super) struct ShowArgs {
    /// The daemon's configuration, which says where the key is
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(command: KeyCommand, context: &Context) -> Result<(), CtlError> {
    let KeyCommand::Show(ShowArgs { config }) = command;
    let config = load_config(config)?.config;
    let key = SigningKey::load(&config.capabilities.signing_dir)
        .map_err(|error| CtlError::internal(error).hint("`init` makes the keys"))?;
    let verifier_key = verifier_key(&key)?;
    match context.ui.json {
        true => {
            let value = json!({ "origin": key.origin(), "verifier_key": verifier_key });
            context.ui.show_json(&value)
        }
        false => context.ui.line(verifier_key),
    }
}

/// The line `<name>+<key id>+<base64>` of C2SP signed-note.
pub(super) fn verifier_key(key: &SigningKey) -> Result<String, CtlError> {
    let signer = Signer::new(key.origin(), key.seed().expose()).map_err(CtlError::internal)?;
    Ok(signer.verifier_key().to_string())
}
