//! `receipt`: an entry with the proof that it is in the ledger, in one file that needs no ledger to be
//! checked. A C2SP tlog-proof whose extra data are the entry's canonical bytes.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::checkpoint::parse_key;
use super::context::{Context, ask};
use super::{CtlError, Exit, private};
use crate::accumulator::{
    Checkpoint, HashAlgo, PROOF_BYTES_MAX, Policy, SignedNote, TlogProof, TlogProofError,
    VerifierKey,
};
use crate::client::Client;
use crate::ledger::encode::decode;
use crate::ledger::entry::Sequenced;

/// Get proof that an entry is in the ledger, or check it without the ledger
///
/// Writes the entry and the proof to a file.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Example:\n  \
    ron-ledgerctl receipt --id 9f0c6a52-6f0f-4d0b-9a55-0d9f8c1b7e21 --out entry.tlog-proof")]
pub(super) struct ReceiptArgs {
    #[command(subcommand)]
    command: Option<ReceiptCommand>,

    #[command(flatten)]
    get: Option<GetArgs>,
}

#[derive(Debug, Subcommand)]
enum ReceiptCommand {
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
struct GetArgs {
    /// The id that its client gave the entry
    #[arg(long, required = true)]
    id: String,

    /// Where the receipt goes
    #[arg(long, value_name = "FILE", required = true)]
    out: PathBuf,

    /// Prove it in the newest checkpoint that enough witnesses have cosigned
    #[arg(long)]
    witnessed: bool,
}

/// Check a receipt: the entry, its place, the proof and the signature
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl receipt verify --in entry.tlog-proof --vkey ledger.vkey\n  \
    ron-ledgerctl receipt verify --in entry.tlog-proof --vkey ledger.vkey --policy witness.policy\n  \
    ron-ledgerctl receipt verify --in entry.tlog-proof --vkey ledger.vkey --hash blake3 --json")]
struct VerifyArgs {
    /// The receipt
    #[arg(long = "in", value_name = "FILE")]
    file: PathBuf,

    /// The ledger's verifier key, or a file with it
    #[arg(long, value_name = "VKEY|FILE")]
    vkey: String,

    /// A C2SP tlog-policy: the witnesses that it asks for must have cosigned
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// The hash that the ledger was made with
    #[arg(long, default_value = "sha256")]
    hash: HashAlgo,
}

/// What a receipt shows.
#[derive(Debug, Serialize)]
struct Shown {
    seq: u64,
    id: String,
    kind: &'static str,
    account: String,
    counterparty: Option<String>,
    asset: String,
    amount: String,
    origin: String,
    size: u64,
    root: String,
    /// Those of the policy that have cosigned.
    witnesses: Vec<String>,
}

pub(super) async fn run(args: ReceiptArgs, context: &Context) -> Result<(), CtlError> {
    match (args.command, args.get) {
        (Some(ReceiptCommand::Verify(args)), _) => {
            let text = read(&args.file)?;
            let checked = check(&text, &parse_key(&args.vkey)?, args.hash)?;
            let policy = args.policy.as_deref().map(read_policy).transpose()?;
            let witnesses = policy.map(|policy| cosigners(&text, &policy)).transpose()?;
            show(&checked, witnesses.unwrap_or_default(), context)
        }
        (None, Some(args)) => get(args, context).await,
        (None, None) => Err(CtlError::usage("give --id and --out, or the command verify")),
    }
}

async fn get(args: GetArgs, context: &Context) -> Result<(), CtlError> {
    let client = context.client()?;
    let found = ask(|| client.entry_by_id(&args.id)).await?;
    let size = match args.witnessed {
        true => Some(witnessed_size(&client).await?),
        false => None,
    };
    let proof = ask(|| client.tlog_proof(found.entry.seq, size)).await;
    let proof =
        proof.map_err(|error| error.hint("an entry is published within a second: try again"))?;
    let version = ask(|| client.probe("version")).await?;
    let entry = hex::decode(found.entry.canonical.as_ref()).map_err(strange)?;
    let receipt = TlogProof::parse(proof.as_bytes()).and_then(|proof| proof.with_extra(entry));
    let text = receipt.map_err(strange)?.encode();
    // By the ledger's own word, so that a broken receipt is found at once. Whom to believe is for
    // whoever checks it.
    let told = |name: &str| version[name].as_str().unwrap_or_default();
    let hash = told("hash").parse().map_err(strange)?;
    let shown = check(text.as_bytes(), &told("verifier_key").parse().map_err(strange)?, hash)?;
    let failed = |error| CtlError::internal(format_args!("{}: {error}", args.out.display()));
    private::write(&args.out, text.as_bytes()).map_err(failed)?;
    context.ui.note(format_args!("wrote {}", args.out.display()));
    show(&shown, Vec::new(), context)
}

async fn witnessed_size(client: &Client) -> Result<u64, CtlError> {
    let note = ask(|| client.checkpoint_witnessed()).await;
    let note = note.map_err(|error| error.hint("has the ledger a witness.policy_file?"))?;
    let note = SignedNote::parse(note.as_bytes()).map_err(strange)?;
    Ok(Checkpoint::parse(note.text()).map_err(strange)?.size())
}

fn read_policy(path: &Path) -> Result<Policy, CtlError> {
    let problem = |error: &dyn std::fmt::Display| {
        CtlError::usage(format_args!("{}, {error}", path.display()))
    };
    let text = read(path)?;
    let text = std::str::from_utf8(&text).map_err(|error| problem(&error))?;
    Policy::parse(text).map_err(|error| problem(&error))
}

/// The witnesses that have cosigned the receipt's checkpoint, if they are enough.
fn cosigners(text: &[u8], policy: &Policy) -> Result<Vec<String>, CtlError> {
    let receipt = TlogProof::parse(text).map_err(strange)?;
    let (text, signatures) = (receipt.note().text(), receipt.note().signatures());
    if !policy.is_met(text, signatures) {
        let why = "too few witnesses of the policy have cosigned the checkpoint";
        return Err(CtlError::new(Exit::Unverified, why)
            .hint("`receipt --witnessed` proves the entry in a checkpoint that has enough"));
    }
    let cosigned = policy
        .witnesses()
        .iter()
        .filter(|witness| signatures.iter().any(|by| witness.key.cosigned_at(text, by).is_some()));
    Ok(cosigned.map(|witness| witness.name.clone()).collect())
}

fn strange(error: impl std::fmt::Display) -> CtlError {
    CtlError::new(Exit::Unverified, format_args!("the ledger's answer cannot be used: {error}"))
}

/// Checks that the receipt's entry is in the log of this key.
fn check(
    text: &[u8],
    key: &VerifierKey,
    hash: HashAlgo,
) -> Result<(Sequenced, Checkpoint), CtlError> {
    let unverified = |error: &dyn std::fmt::Display| CtlError::new(Exit::Unverified, error);
    let failed = |error: TlogProofError| unverified(&error);
    let receipt = TlogProof::parse(text).map_err(failed)?;
    let entry = receipt.extra().ok_or_else(|| unverified(&"the proof holds no entry"))?;
    let (leaf, keys) = (hash.leaf(entry), std::slice::from_ref(key));
    let checkpoint = receipt.verify(hash, &leaf, key.name(), keys).map_err(failed)?;
    let entry = decode(entry).map_err(|error| unverified(&error))?;
    if entry.seq.checked_sub(1) != Some(receipt.index()) {
        return Err(unverified(&"the entry has another place than the proof"));
    }
    Ok((entry, checkpoint))
}

fn show(
    checked: &(Sequenced, Checkpoint),
    witnesses: Vec<String>,
    context: &Context,
) -> Result<(), CtlError> {
    let (Sequenced { seq, entry, .. }, checkpoint) = checked;
    let shown = Shown {
        seq: *seq,
        id: entry.id.to_string(),
        kind: entry.kind.as_str(),
        account: entry.account.to_string(),
        counterparty: entry.counterparty.as_ref().map(ToString::to_string),
        asset: entry.asset.to_string(),
        amount: entry.amount.to_string(),
        origin: checkpoint.origin().to_owned(),
        size: checkpoint.size(),
        root: checkpoint.root().to_string(),
        witnesses,
    };
    context.ui.show(&shown, || {
        let mut table = context.ui.table(["field", "value"]);
        table.add_row(["seq", &shown.seq.to_string()]);
        table.add_row(["id", &shown.id]);
        table.add_row(["kind", shown.kind]);
        table.add_row(["account", &shown.account]);
        table.add_row(["counterparty", shown.counterparty.as_deref().unwrap_or("-")]);
        table.add_row(["asset", &shown.asset]);
        table.add_row(["amount", &shown.amount]);
        table.add_row(["proven in", &format!("{} at size {}", shown.origin, shown.size)]);
        table.add_row(["root", &shown.root]);
        if !shown.witnesses.is_empty() {
            table.add_row(["cosigned by", &shown.witnesses.join(", ")]);
        }
        table
    })
}

/// A file, up to the longest that a proof can be.
fn read(path: &Path) -> Result<Vec<u8>, CtlError> {
    use std::io::Read as _;
    let failed = |error| CtlError::usage(format_args!("{}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = Vec::new();
    file.take(PROOF_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}
