//! `archive`: what an archive of committed groups has, and whether it is what was signed.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::context::{Context, now_ms};
use super::snapshot::keys;
use super::ui::time_text;
use super::{CtlError, Exit};
use crate::accumulator::{Hash, VerifierKey};
use crate::backup::archive::{Archive, ArchiveError};
use crate::backup::check::check;
use crate::backup::target::{Target, TargetError};

/// What each call of the object store may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// See and check what is archived
#[derive(Debug, Subcommand)]
pub(super) enum ArchiveCommand {
    Status(StatusArgs),
    Verify(VerifyArgs),
}

/// Show how far an archive reaches
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    ron-ledgerctl archive status --url s3://backups/ledger --vkey ledger.vkey")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    which: Which,
}

/// Read a whole archive: each digest, each root, each signature, and that nothing is missing
///
/// Fails with exit code 4 and names the first piece that is wrong.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    ron-ledgerctl archive verify --url file:///var/backups/archive --vkey ledger.vkey --json")]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    /// Its `archive.url`; credentials come from the environment, as for the ledger
    #[arg(long, value_name = "URL")]
    url: String,

    /// The ledger's verifier key, which `key show` prints, or a file with it; several after a rotation
    #[arg(long, value_name = "KEY", required = true)]
    vkey: Vec<String>,
}

/// How far an archive reaches.
#[derive(Serialize)]
struct StatusOut {
    origin: String,
    segments: usize,
    entries: u64,
    root: Option<Hash>,
    last_committed_ms: u64,
    age_seconds: u64,
}

pub(super) async fn run(command: ArchiveCommand, context: &Context) -> Result<(), CtlError> {
    match command {
        ArchiveCommand::Status(args) => status(&args.which, context).await,
        ArchiveCommand::Verify(args) => verify(&args.which, context).await,
    }
}

pub(super) async fn opened(url: &str, keys: &[VerifierKey]) -> Result<Archive, CtlError> {
    let target = Target::open(url, false, TIMEOUT).map_err(ArchiveError::from)?;
    Ok(Archive::open(target, keys.to_vec()).await?)
}

async fn status(which: &Which, context: &Context) -> Result<(), CtlError> {
    let archive = opened(&which.url, &keys(&which.vkey)?).await?;
    let segments = archive.firsts(0).await?.len();
    let last = archive.last().await?.map(|last| last.manifest);
    let last_committed_ms = last.as_ref().map_or(0, |last| last.last_time);
    let out = StatusOut {
        origin: archive.genesis().origin.clone(),
        segments,
        entries: last.as_ref().map_or(0, |last| last.to),
        root: last.as_ref().map(|last| last.root),
        last_committed_ms,
        age_seconds: now_ms().saturating_sub(last_committed_ms) / 1000,
    };
    context.ui.show(&out, || {
        let mut table = context.ui.table(["", ""]);
        table.add_row(["ledger", &out.origin]);
        table.add_row(["segments", &out.segments.to_string()]);
        table.add_row(["entries", &out.entries.to_string()]);
        table.add_row(["root", &super::ui::or_dash(out.root)]);
        table.add_row(["last committed", &time_text(out.last_committed_ms)]);
        table
    })
}

async fn verify(which: &Which, context: &Context) -> Result<(), CtlError> {
    let archive = opened(&which.url, &keys(&which.vkey)?).await?;
    let bar = context.ui.progress(0);
    let done = |entries, total| {
        bar.set_length(total);
        bar.inc(entries);
    };
    let checked = check(&archive, &done).await;
    bar.finish_and_clear();
    let checked = checked?;
    context.ui.show(&checked, || {
        let mut table = context.ui.table(["", ""]);
        table.add_row(["ledger", &checked.origin]);
        table.add_row(["segments", &checked.segments.to_string()]);
        table.add_row(["entries", &checked.entries.to_string()]);
        table.add_row(["root", &checked.root.to_string()]);
        table.add_row(["last committed", &time_text(checked.time)]);
        table.add_row(["bytes", &checked.bytes.to_string()]);
        table
    })
}

impl From<ArchiveError> for CtlError {
    fn from(error: ArchiveError) -> Self {
        use TargetError as T;
        let exit = match &error {
            ArchiveError::Target(T::Url(_)) => Exit::Usage,
            ArchiveError::Target(T::Store(_) | T::Late(_) | T::File(_)) | ArchiveError::None(_) => {
                Exit::Unreachable
            }
            _ => Exit::Unverified,
        };
        CtlError::new(exit, error)
    }
}
