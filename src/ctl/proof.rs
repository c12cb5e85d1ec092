//! `proof`: proofs of the tree, fetched and checked.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::checkpoint::parse_key;
use super::context::{Context, ask};
use super::{CtlError, Exit};
use crate::accumulator::{Checkpoint, ProofError, verify_consistency, verify_inclusion};
use crate::client::Client;

/// Get proofs of the tree, and check them
#[derive(Debug, Subcommand)]
pub(super) enum ProofCommand {
    Inclusion(InclusionArgs),
    Consistency(ConsistencyArgs),
}

/// Prove that an entry is among the first entries of the ledger
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl proof inclusion --seq 17\n  \
    ron-ledgerctl proof inclusion --seq 17 --size 1000 --json")]
pub(super) struct InclusionArgs {
    /// The entry
    #[arg(long)]
    seq: u64,

    /// In the ledger of this many entries; of all that are published otherwise
    #[arg(long)]
    size: Option<u64>,
}

/// Prove that the ledger has only grown since a checkpoint that was saved
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    ron-ledgerctl proof consistency --since checkpoint.note --vkey ledger.vkey")]
pub(super) struct ConsistencyArgs {
    /// A checkpoint that was saved, as `checkpoint` prints it
    #[arg(long, value_name = "FILE")]
    since: PathBuf,

    /// The ledger's verifier key, or a file with it
    #[arg(long, value_name = "VKEY|FILE")]
    vkey: String,
}

pub(super) async fn run(command: ProofCommand, context: &Context) -> Result<(), CtlError> {
    let client = context.client()?;
    match command {
        ProofCommand::Inclusion(args) => inclusion(&client, args, context).await,
        ProofCommand::Consistency(args) => consistency(&client, args, context).await,
    }
}

fn unverified(error: impl std::fmt::Display) -> CtlError {
    CtlError::new(Exit::Unverified, error)
}

async fn inclusion(
    client: &Client,
    args: InclusionArgs,
    context: &Context,
) -> Result<(), CtlError> {
    let proof = ask(|| client.inclusion(args.seq, args.size)).await?;
    let (index, is_asked) = (args.seq.wrapping_sub(1), proof.seq == args.seq);
    let is_asked = is_asked && proof.index == index && args.size.is_none_or(|n| n == proof.size);
    if !is_asked {
        return Err(unverified("the proof is of something else"));
    }
    verify_inclusion(proof.hash, &proof.leaf, index, proof.size, &proof.proof, &proof.root)
        .map_err(unverified)?;
    context.ui.show(&proof, || {
        let mut table = context.ui.table(["field", "value"]);
        table.add_row(["seq", &proof.seq.to_string()]);
        table.add_row(["size", &proof.size.to_string()]);
        table.add_row(["leaf", &proof.leaf.to_string()]);
        for hash in &proof.proof {
            table.add_row(["then", &hash.to_string()]);
        }
        table.add_row(["root", &proof.root.to_string()]);
        table
    })
}

async fn consistency(
    client: &Client,
    args: ConsistencyArgs,
    context: &Context,
) -> Result<(), CtlError> {
    let key = parse_key(&args.vkey)?;
    let path = args.since.display();
    let old = std::fs::read(&args.since)
        .map_err(|error| CtlError::usage(format_args!("{path}: {error}")))?;
    let open = |note: &[u8]| Checkpoint::open(note, key.name(), std::slice::from_ref(&key));
    let old = open(&old).map_err(|error| unverified(format_args!("{path}: {error}")))?;
    let new = ask(|| client.checkpoint()).await?;
    let new = open(new.as_bytes()).map_err(unverified)?;
    let (from, to) = (old.size(), new.size());
    if from > to {
        return Err(unverified(ProofError::Shrinks { from, to }));
    }
    let told = ask(|| client.consistency(from, Some(to))).await?;
    verify_consistency(told.hash, from, to, &told.proof, &old.root(), &new.root())
        .map_err(unverified)?;
    context.ui.show(&told, || {
        let mut table = context.ui.table(["", "size", "root"]);
        table.add_row(["saved", &from.to_string(), &old.root().to_string()]);
        table.add_row(["now", &to.to_string(), &new.root().to_string()]);
        table
    })?;
    context.ui.note("the ledger has only grown");
    Ok(())
}
