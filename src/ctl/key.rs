//! `key`: the keys that sign checkpoints: their public halves, and how one follows another.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::context::{Context, load_config};
use super::{CtlError, Exit};
use crate::accumulator::VerifierKey;
use crate::capability::{SigningKey, SigningKeyError, SigningKeys};

/// Look at the node's signing keys, and rotate them
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    Show(ShowArgs),
    List(ListArgs),
    Rotate(RotateArgs),
    Retire(RetireArgs),
}

/// Print the verifier key, with which anyone can check the node's checkpoints
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    ron-ledgerctl key show --config /etc/ron/ledger.toml > ledger.vkey")]
pub(super) struct ShowArgs {
    #[command(flatten)]
    place: Place,
}

/// List the verifier keys of now and of before
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl key list --config /etc/ron/ledger.toml")]
pub(super) struct ListArgs {
    #[command(flatten)]
    place: Place,
}

/// Make a new signing key
///
/// The key of now signs beside it until `key retire`. Takes effect when the daemon is restarted.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl key rotate --config /etc/ron/ledger.toml")]
pub(super) struct RotateArgs {
    #[command(flatten)]
    place: Place,
}

/// Delete the previous signing key once nobody needs its signatures
///
/// Its verifier key is kept. Takes effect when the daemon is restarted.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl key retire --config /etc/ron/ledger.toml")]
pub(super) struct RetireArgs {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Place {
    /// The daemon's configuration, which says where the keys are
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    fn dir(self) -> Result<PathBuf, CtlError> {
        Ok(load_config(self.config)?.config.capabilities.signing_dir)
    }
}

/// A key and what it is for.
#[derive(Debug, Serialize)]
struct Row {
    state: &'static str,
    verifier_key: String,
}

pub(super) fn run(command: KeyCommand, context: &Context) -> Result<(), CtlError> {
    let restart = || context.ui.note("this takes effect when the daemon is restarted");
    match command {
        KeyCommand::Show(args) => show(&args.place.dir()?, context),
        KeyCommand::List(args) => list(&SigningKeys::load(&args.place.dir()?), context),
        KeyCommand::Rotate(args) => {
            list(&SigningKeys::rotate(&args.place.dir()?, None), context)?;
            restart();
            Ok(())
        }
        KeyCommand::Retire(args) => {
            list(&SigningKeys::retire(&args.place.dir()?), context)?;
            restart();
            Ok(())
        }
    }
}

fn show(dir: &Path, context: &Context) -> Result<(), CtlError> {
    let key = SigningKey::load(dir).map_err(|error| failed(&error))?;
    let verifier_key = verifier_key(&key)?;
    match context.ui.json {
        true => {
            let value = json!({ "origin": key.origin(), "verifier_key": verifier_key });
            context.ui.show_json(&value)
        }
        false => context.ui.line(verifier_key),
    }
}

fn list(keys: &Result<SigningKeys, SigningKeyError>, context: &Context) -> Result<(), CtlError> {
    let keys = keys.as_ref().map_err(failed)?;
    let mut rows = vec![Row { state: "signs", verifier_key: verifier_key(keys.current())? }];
    if let Some(previous) = keys.previous() {
        rows.push(Row { state: "signs too", verifier_key: verifier_key(previous)? });
    }
    let retired = keys.retired().iter().map(VerifierKey::to_string);
    rows.extend(retired.map(|verifier_key| Row { state: "retired", verifier_key }));
    context.ui.show(&rows, || {
        let mut table = context.ui.table(["", "verifier key"]);
        for Row { state, verifier_key } in &rows {
            table.add_row([*state, verifier_key]);
        }
        table
    })
}

fn failed(error: &SigningKeyError) -> CtlError {
    match error {
        SigningKeyError::Overlap | SigningKeyError::NoPrevious => CtlError::new(Exit::Usage, error),
        _ => CtlError::internal(error).hint("`init` makes the keys"),
    }
}

/// The line `<name>+<key id>+<base64>` of C2SP signed-note.
pub(super) fn verifier_key(key: &SigningKey) -> Result<String, CtlError> {
    Ok(key.verifier_key().map_err(CtlError::internal)?.to_string())
}
