//! `snapshot`: makes snapshots of a running ledger, and data directories of snapshots and archives.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::audit::verifier_key;
use super::context::Context;
use super::ui::time_text;
use super::{CtlError, Exit};
use crate::accumulator::VerifierKey;
use crate::backup::snapshot::{self, Manifest, SnapshotError};

mod create;
mod restore;

/// The end of the names that `list` and `prune` look for.
const SUFFIX: &str = ".tar.zst";

/// Of one that is not complete.
const PARTIAL: &str = ".partial";

/// Make, check and keep snapshots; restore a ledger from them
#[derive(Debug, Subcommand)]
pub(super) enum SnapshotCommand {
    Create(create::CreateArgs),
    Verify(VerifyArgs),
    List(ListArgs),
    Prune(PruneArgs),
    Restore(restore::RestoreArgs),
}

/// Hold each file of a snapshot against what the ledger has signed
///
/// Fails with exit code 4 and names the first piece that is wrong.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    ron-ledgerctl snapshot verify --in /var/backups/ron-ledger/monday.tar.zst --vkey ledger.vkey")]
pub(super) struct VerifyArgs {
    /// The snapshot
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,

    /// The ledger's verifier key, which `key show` prints, or a file with it; several after a rotation
    #[arg(long, value_name = "KEY", required = true)]
    vkey: Vec<String>,
}

/// List the snapshots in a directory, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ron-ledgerctl snapshot list --dir /var/backups/ron-ledger")]
pub(super) struct ListArgs {
    /// Where they are
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// Only those that this key has signed
    #[arg(long, value_name = "KEY")]
    vkey: Vec<String>,
}

/// Delete all but the newest snapshots of each ledger in a directory, and what killed runs have left
///
/// What does not read as a snapshot is left alone.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    ron-ledgerctl snapshot prune --dir /var/backups/ron-ledger --keep 14")]
pub(super) struct PruneArgs {
    /// Where they are
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// How many stay
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    keep: u16,
}

pub(super) async fn run(command: SnapshotCommand, context: &Context) -> Result<(), CtlError> {
    match command {
        SnapshotCommand::Create(args) => create::run(args, context).await,
        SnapshotCommand::Verify(args) => verify(&args, context),
        SnapshotCommand::List(args) => list(&args, context),
        SnapshotCommand::Prune(args) => {
            let gone = prune(&args.dir, usize::from(args.keep))?;
            context.ui.show(&gone, || {
                let mut table = context.ui.table(["deleted"]);
                for path in &gone {
                    table.add_row([path.display().to_string()]);
                }
                table
            })
        }
        SnapshotCommand::Restore(args) => restore::run(args, context).await,
    }
}

pub(super) fn keys(given: &[String]) -> Result<Vec<VerifierKey>, CtlError> {
    given.iter().map(|text| verifier_key(text)).collect()
}

fn verify(args: &VerifyArgs, context: &Context) -> Result<(), CtlError> {
    let keys = keys(&args.vkey)?;
    let bar = context.ui.bytes(0);
    let done = |bytes, total| {
        bar.set_length(total);
        bar.inc(bytes);
    };
    let manifest = snapshot::verify(&args.input, Some(&keys), &done);
    bar.finish_and_clear();
    show(&args.input, &manifest?, context)
}

fn show(path: &Path, manifest: &Manifest, context: &Context) -> Result<(), CtlError> {
    context.ui.show(&Listed { file: path.into(), manifest: manifest.clone() }, || {
        let mut table = context.ui.table(["", ""]);
        table.add_row(["file", &path.display().to_string()]);
        table.add_row(["ledger", &manifest.origin]);
        table.add_row(["made", &time_text(manifest.created_ms)]);
        table.add_row(["entries", &manifest.entries.to_string()]);
        table.add_row(["root", &manifest.root.to_string()]);
        table.add_row(["signed checkpoint", &manifest.signed_size.to_string()]);
        table.add_row(["files", &manifest.files.to_string()]);
        table.add_row(["bytes, unpacked", &manifest.bytes.to_string()]);
        table
    })
}

#[derive(Clone, Debug, Serialize)]
struct Listed {
    file: PathBuf,
    #[serde(flatten)]
    manifest: Manifest,
}

/// What reads as a snapshot, the newest first.
fn listed(dir: &Path, keys: Option<&[VerifierKey]>) -> Result<Vec<Listed>, CtlError> {
    let mut found = Vec::new();
    for path in files_in(dir)? {
        let is_one = path.to_string_lossy().ends_with(SUFFIX);
        if let Some(Ok(manifest)) = is_one.then(|| snapshot::manifest_of(&path, keys)) {
            found.push(Listed { file: path, manifest });
        }
    }
    let age = |one: &Listed| (one.manifest.created_ms, one.manifest.entries);
    found.sort_by_key(|one| std::cmp::Reverse(age(one)));
    Ok(found)
}

fn files_in(dir: &Path) -> Result<Vec<PathBuf>, CtlError> {
    let problem = |error| CtlError::usage(format_args!("{}: {error}", dir.display()));
    let files = std::fs::read_dir(dir).map_err(problem)?;
    files.map(|file| file.map(|file| file.path()).map_err(problem)).collect()
}

fn list(args: &ListArgs, context: &Context) -> Result<(), CtlError> {
    let keys = keys(&args.vkey)?;
    let found = listed(&args.dir, (!keys.is_empty()).then_some(&keys))?;
    context.ui.show(&found, || {
        let mut table = context.ui.table(["file", "made", "entries", "signed", "bytes", "ledger"]);
        for Listed { file, manifest } in &found {
            table.add_row([
                &file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                &time_text(manifest.created_ms),
                &manifest.entries.to_string(),
                &manifest.signed_size.to_string(),
                &manifest.bytes.to_string(),
                &manifest.origin,
            ]);
        }
        table
    })
}

/// Says what it has deleted.
fn prune(dir: &Path, keep: usize) -> Result<Vec<PathBuf>, CtlError> {
    let mut gone = Vec::new();
    let mut kept: Vec<(String, usize)> = Vec::new();
    for Listed { file, manifest } in listed(dir, None)? {
        let at = kept.iter().position(|(origin, _)| *origin == manifest.origin);
        let at = at.unwrap_or_else(|| {
            kept.push((manifest.origin.clone(), 0));
            kept.len() - 1
        });
        kept[at].1 += 1;
        if kept[at].1 > keep {
            gone.push(file);
        }
    }
    let left = format!("{SUFFIX}{PARTIAL}");
    gone.extend(files_in(dir)?.into_iter().filter(|path| path.to_string_lossy().ends_with(&left)));
    for path in &gone {
        let removed = std::fs::remove_file(path);
        removed.map_err(|e| CtlError::internal(format_args!("{}: {e}", path.display())))?;
    }
    Ok(gone)
}

impl From<SnapshotError> for CtlError {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::File(_) => CtlError::usage(error),
            error => CtlError::new(Exit::Unverified, error),
        }
    }
}
