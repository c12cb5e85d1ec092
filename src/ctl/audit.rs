//! `audit`: exports, their check without any server, and the comparison of two ledgers.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::context::Context;
use super::ui::or_dash;
use super::{CtlError, Exit};
use crate::accumulator::VerifierKey;
use crate::audit::{
    self, AuditError, Comparison, ExportError, FilePrefixes, LedgerPrefixes, Prefixes, Range,
    Report,
};

/// Export a ledger, verify it without a server, compare two
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    Export(ExportArgs),
    Verify(VerifyArgs),
    Compare(CompareArgs),
}

/// Write published entries to a file that can be verified without the ledger
///
/// Takes a token that may read the whole ledger. The file gets its name when it is complete.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl audit export --range 0:latest --out ledger.jsonl --token-file auditor.token\n  \
    ron-ledgerctl audit export --range 1000:1999 --out - --token-file auditor.token")]
pub(super) struct ExportArgs {
    /// Entries A to B, both included; `latest` is the last signed one
    #[arg(long, value_name = "A:B", default_value = "0:latest")]
    range: Range,

    /// Where to; `-` is stdout
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Verify an export, or a store that lies still, without any server
///
/// Fails with exit code 4 and names the first thing that is wrong.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl audit verify --in ledger.jsonl --vkey ledger.vkey\n  \
    ron-ledgerctl audit verify --data-dir /var/lib/ron-ledger-copy --vkey ledger.vkey --json")]
pub(super) struct VerifyArgs {
    /// An export
    #[arg(long = "in", value_name = "FILE", required_unless_present = "data_dir")]
    input: Option<PathBuf>,

    /// A data directory: of a stopped ledger, or a copy; nothing in it is changed
    #[arg(long, value_name = "DIR", conflicts_with = "input")]
    data_dir: Option<PathBuf>,

    /// The ledger's verifier key, which `key show` prints, or a file with it
    #[arg(long, value_name = "KEY")]
    vkey: String,
}

/// Find the first entry in which two ledgers or exports differ
///
/// Fails with exit code 4 when there is one. Ledgers are asked for proofs, which need no token.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl audit compare http://10.0.0.7:5082 http://10.0.0.8:5082\n  \
    ron-ledgerctl audit compare ledger.jsonl http://10.0.0.8:5082 --vkey ledger.vkey")]
pub(super) struct CompareArgs {
    /// A URL, or an export
    #[arg(value_name = "ONE")]
    one: String,

    /// A URL, or an export
    #[arg(value_name = "OTHER")]
    other: String,

    /// A verifier key, or a file with it, that must have signed both checkpoints
    #[arg(long, value_name = "KEY")]
    vkey: Option<String>,
}

pub(super) async fn run(command: AuditCommand, context: &Context) -> Result<(), CtlError> {
    match command {
        AuditCommand::Export(args) => export(args, context).await,
        AuditCommand::Verify(args) => verify(&args, context),
        AuditCommand::Compare(args) => compare(args, context).await,
    }
}

async fn export(args: ExportArgs, context: &Context) -> Result<(), CtlError> {
    let client = context.client()?;
    let bar = context.ui.progress(0);
    let (begun, done) = (|total| bar.set_length(total), |entries| bar.inc(entries));
    let exported = audit::export(&client, args.range, &args.out, &begun, &done).await;
    bar.finish_and_clear();
    let exported = exported?;
    if args.out == Path::new("-") {
        return Ok(());
    }
    context.ui.show(&exported, || {
        let mut table = context.ui.table(["", ""]);
        table.add_row(["file", &args.out.display().to_string()]);
        table.add_row(["ledger", &exported.origin]);
        table.add_row(["entries", &format!("{} to {}", exported.from, exported.to)]);
        table.add_row(["of a signed size of", &exported.size.to_string()]);
        table.add_row(["root", &exported.root.to_string()]);
        table
    })
}

fn verify(args: &VerifyArgs, context: &Context) -> Result<(), CtlError> {
    let key = verifier_key(&args.vkey)?;
    let bar = context.ui.progress(0);
    let done = |entries, total| {
        bar.set_length(total);
        bar.inc(entries);
    };
    let report = match (&args.input, &args.data_dir) {
        (Some(path), _) => audit::verify_export(path, &key, &done),
        (None, Some(dir)) => verify_store(dir, &key, &done),
        (None, None) => return Err(CtlError::usage("--in or --data-dir is needed")),
    };
    bar.finish_and_clear();
    show_report(&report?, context)
}

#[cfg(feature = "rocks")]
fn verify_store(
    dir: &Path,
    key: &VerifierKey,
    progress: &dyn Fn(u64, u64),
) -> Result<Report, AuditError> {
    audit::verify_store(dir, key, progress)
}

#[cfg(not(feature = "rocks"))]
fn verify_store(_: &Path, _: &VerifierKey, _: &dyn Fn(u64, u64)) -> Result<Report, AuditError> {
    Err(AuditError::Store("this build has no RocksDB (feature `rocks`): verify an export".into()))
}

fn show_report(report: &Report, context: &Context) -> Result<(), CtlError> {
    context.ui.show(report, || {
        let mut table = context.ui.table(["", ""]);
        table.add_row(["ledger", &report.origin]);
        table.add_row(["entries", &format!("{} to {}", report.from, report.to)]);
        table.add_row(["of a signed size of", &report.size.to_string()]);
        table.add_row(["root", &or_dash(report.root)]);
        table.add_row(["without a finding", &report.entries.to_string()]);
        table.add_row(["accounts", &report.accounts.to_string()]);
        let named =
            |check| serde_json::to_value(check).map(|name| name.as_str().map(str::to_owned));
        let names = report.checked.iter().filter_map(|check| named(check).ok().flatten());
        table.add_row(["checked", &names.collect::<Vec<_>>().join(", ")]);
        for not in &report.not_checked {
            table.add_row(["not checked", &format!("{}: {}", not.what, not.why)]);
        }
        table
    })?;
    let Some(problem) = &report.problem else { return Ok(()) };
    let line = problem.line.map_or_else(String::new, |line| format!("line {line}, "));
    let seq = problem.seq.map_or_else(String::new, |seq| format!("entry {seq}, "));
    let check = serde_json::to_string(&problem.check).unwrap_or_default().replace('"', "");
    let told = format_args!("{line}{seq}{check}: {}", problem.problem);
    Err(CtlError::new(Exit::Unverified, told))
}

async fn compare(args: CompareArgs, context: &Context) -> Result<(), CtlError> {
    let key = args.vkey.as_deref().map(verifier_key).transpose()?;
    let one = side(&args.one, key.as_ref(), context).await?;
    let other = side(&args.other, key.as_ref(), context).await?;
    let found = audit::compare(&one, &other).await?;
    context.ui.show(&found, || {
        let mut table = context.ui.table(["", "origin", "entries"]);
        let [one, other] = &found.sides;
        table.add_row([&args.one, &one.origin, &one.to.to_string()]);
        table.add_row([&args.other, &other.origin, &other.to.to_string()]);
        table.add_row(["the same", "", &found.same.to_string()]);
        table
    })?;
    match found {
        Comparison { first_difference: None, .. } => Ok(()),
        Comparison { first_difference: Some(seq), is_before_range: false, .. } => {
            let told = format_args!("the two differ from entry {seq} on");
            Err(CtlError::new(Exit::Unverified, told))
        }
        Comparison { first_difference: Some(seq), .. } => {
            let told = format_args!("the two differ at entry {seq} or before it");
            Err(CtlError::new(Exit::Unverified, told)
                .hint("an export that begins with entry 1 tells where"))
        }
    }
}

/// A URL is a ledger, everything else a file.
async fn side(
    name: &str,
    key: Option<&VerifierKey>,
    context: &Context,
) -> Result<Prefixes, CtlError> {
    if name.starts_with("http://") || name.starts_with("https://") {
        let client = context.client_at(name)?;
        return Ok(Prefixes::Ledger(LedgerPrefixes::open(client, key).await?));
    }
    Ok(Prefixes::File(FilePrefixes::open(Path::new(name), key)?))
}

/// A key as `key show` prints it, or a file with one. A key has a `+`, which is the rule here.
pub(super) fn verifier_key(text: &str) -> Result<VerifierKey, CtlError> {
    match text.parse() {
        Ok(key) => Ok(key),
        Err(_) if !text.contains('+') => super::checkpoint::read_key(Path::new(text)),
        Err(error) => Err(CtlError::usage(format_args!("--vkey: {error}"))),
    }
}

impl From<ExportError> for CtlError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Client(error) => error.into(),
            ExportError::Strange(_) => CtlError::new(Exit::Unverified, error),
            ExportError::NotPublished { .. } => {
                CtlError::new(Exit::Refused, error).hint("`checkpoint` shows what is published")
            }
            ExportError::Io { source, path } if path == Path::new("-") => source.into(),
            ExportError::File(_) | ExportError::Io { .. } => CtlError::internal(error),
        }
    }
}

impl From<AuditError> for CtlError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Client(error) => error.into(),
            AuditError::Io { .. } | AuditError::Store(_) => CtlError::usage(error),
            AuditError::Source(_) => CtlError::new(Exit::Unverified, error),
        }
    }
}
