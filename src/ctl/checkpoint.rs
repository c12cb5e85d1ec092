//! `checkpoint`: the last signed checkpoint, as a note.

use clap::Args;
use serde::Serialize;

use super::context::{Context, ask};
use super::{CtlError, Exit};
use crate::accumulator::{Checkpoint, SignedNote, VerifierKey};
use crate::client::Client;

/// Print the last signed checkpoint
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl checkpoint > checkpoint.note\n  \
    ron-ledgerctl checkpoint --verifier-key ledger.vkey --json\n  \
    ron-ledgerctl checkpoint --size 1000")]
pub(super) struct CheckpointArgs {
    /// A file with the ledger's verifier key, which `key show` prints: check the signature
    #[arg(long, value_name = "FILE")]
    verifier_key: Option<std::path::PathBuf>,

    /// That of an earlier size; `roots` lists those that have one
    #[arg(long, value_name = "N")]
    size: Option<u64>,
}

/// A checkpoint that was read; whether anyone checked its signature is said.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    pub(super) origin: String,
    pub(super) size: u64,
    pub(super) root: String,
    signature_checked: bool,
    note: String,
}

pub(super) async fn run(args: CheckpointArgs, context: &Context) -> Result<(), CtlError> {
    let key = args.verifier_key.as_deref().map(read_key).transpose()?;
    let client = context.client()?;
    let shown = match args.size {
        None => fetch(&client, key.as_ref()).await?,
        Some(size) => shown(ask(|| client.checkpoint_at(size)).await?, key.as_ref())?,
    };
    match context.ui.json {
        true => context.ui.show_json(&shown),
        // The note as it came, so that it can be kept.
        false => context.ui.line(shown.note.trim_end_matches('\n')),
    }
}

/// Gets the last checkpoint, and checks its signature when there is a key.
pub(super) async fn fetch(client: &Client, key: Option<&VerifierKey>) -> Result<Shown, CtlError> {
    shown(ask(|| client.checkpoint()).await?, key)
}

fn shown(note: String, key: Option<&VerifierKey>) -> Result<Shown, CtlError> {
    let checkpoint = read(&note, key)?;
    Ok(Shown {
        origin: checkpoint.origin().to_owned(),
        size: checkpoint.size(),
        root: checkpoint.root().to_string(),
        signature_checked: key.is_some(),
        note,
    })
}

/// The checkpoint of a note, checked when there is a key.
pub(super) fn read(note: &str, key: Option<&VerifierKey>) -> Result<Checkpoint, CtlError> {
    let unverified = |error: &dyn std::fmt::Display| CtlError::new(Exit::Unverified, error);
    match key {
        Some(key) => Checkpoint::open(note.as_bytes(), key.name(), std::slice::from_ref(key))
            .map_err(|error| unverified(&error)),
        None => {
            let note = SignedNote::parse(note.as_bytes()).map_err(|error| unverified(&error))?;
            Checkpoint::parse(note.text()).map_err(|error| unverified(&error))
        }
    }
}

/// A verifier key, or a file with one.
pub(super) fn parse_key(text: &str) -> Result<VerifierKey, CtlError> {
    text.parse().or_else(|_| read_key(text.as_ref()))
}

pub(super) fn read_key(path: &std::path::Path) -> Result<VerifierKey, CtlError> {
    let problem = |error: &dyn std::fmt::Display| {
        CtlError::usage(format_args!("{}: {error}", path.display()))
            .hint("`key show > FILE` on the ledger's machine writes one")
    };
    let text = std::fs::read_to_string(path).map_err(|error| problem(&error))?;
    text.trim().parse().map_err(|error| problem(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accumulator::{Hash, Signer, sign_checkpoint};

    #[test]
    fn a_signature_is_checked_when_there_is_a_key() {
        let signer = Signer::new("ledger.example/a", &[7; 32]).unwrap();
        let other = Signer::new("ledger.example/a", &[8; 32]).unwrap();
        let checkpoint = Checkpoint::new("ledger.example/a", 3, Hash([1; 32])).unwrap();
        let note = sign_checkpoint(&signer, &checkpoint).encode();
        assert_eq!(read(&note, Some(signer.verifier_key())).unwrap(), checkpoint);
        assert_eq!(read(&note, None).unwrap(), checkpoint);
        let error = read(&note, Some(other.verifier_key())).unwrap_err();
        assert_eq!(error.exit(), Exit::Unverified);
        let error = read("not a note", None).unwrap_err();
        assert_eq!(error.exit(), Exit::Unverified);
    }
}
