//! `snapshot restore`: a data directory of a snapshot, an archive, or both.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use super::keys;
use crate::accumulator::{Checkpoint, NOTE_BYTES_MAX, VerifierKey};
use crate::backup::archive::Archive;
use crate::backup::restore::{Known, RestoreError, Restored, Sources, Until, restore};
use crate::ctl::archive::opened;
use crate::ctl::context::{Context, load_config};
use crate::ctl::{CtlError, Exit};
use crate::storage::engine::{Engine, StoreError};
use crate::storage::files::read_bounded;
use crate::storage::store::StoreOptions;

/// Make a data directory of a snapshot, of an archive, or of a snapshot and what the archive has after it
///
/// Every entry of the archive is planned again, every root compared with what was signed. What ends
/// before the newest signed checkpoint that is known takes no writes, unless `ron-ledgerd --new-origin`
/// makes it a new ledger.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl snapshot restore --in monday.tar.zst --data-dir /var/lib/ron-ledger-new --vkey ledger.vkey\n  \
    ron-ledgerctl snapshot restore --in monday.tar.zst --archive s3://backups/ledger \
    --data-dir /var/lib/ron-ledger-new --vkey ledger.vkey\n  \
    ron-ledgerctl snapshot restore --archive file:///var/backups/archive --to-time 2026-01-31T23:59:59Z \
    --data-dir /var/lib/ron-ledger-new --vkey ledger.vkey")]
pub(in crate::ctl) struct RestoreArgs {
    /// A snapshot
    #[arg(long = "in", value_name = "FILE", required_unless_present = "archive")]
    input: Option<PathBuf>,

    /// An archive, by its `archive.url`
    #[arg(long, value_name = "URL")]
    archive: Option<String>,

    /// Where the ledger is to be: an empty directory
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// The ledger's verifier key, which `key show` prints, or a file with it; several after a rotation
    #[arg(long, value_name = "KEY", required = true)]
    vkey: Vec<String>,

    /// Stop at the last commit group that ends with this entry or before it
    #[arg(long, value_name = "N", requires = "archive", conflicts_with = "to_time")]
    to_seq: Option<u64>,

    /// Stop at the last commit group of this time or before it, as 2026-01-31T23:59:59Z
    #[arg(long, value_name = "TIME", requires = "archive", value_parser = time)]
    to_time: Option<SystemTime>,

    /// A signed checkpoint that was kept elsewhere: what ends before it takes no writes
    #[arg(long, value_name = "NOTE")]
    at_least: Option<PathBuf>,
}

fn time(text: &str) -> Result<SystemTime, humantime::TimestampError> {
    humantime::parse_rfc3339_weak(text)
}

pub(super) async fn run(args: RestoreArgs, context: &Context) -> Result<(), CtlError> {
    let keys = keys(&args.vkey)?;
    let archive: Option<Archive> = match &args.archive {
        Some(url) => Some(opened(url, &keys).await?),
        None => None,
    };
    let at_least = args.at_least.as_deref().map(|path| known(path, &keys)).transpose()?;
    let until = match (args.to_seq, args.to_time) {
        (Some(seq), _) => Until::Seq(seq),
        (None, Some(time)) => {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            Until::Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
        }
        (None, None) => Until::Latest,
    };
    let options = StoreOptions::from(&load_config(None)?.config.derived);
    let bar = context.ui.bytes(0);
    let done = |more, total| {
        bar.set_length(total);
        bar.inc(more);
    };
    let (snapshot, archive) = (args.input.as_deref(), archive.as_ref());
    let sources = Sources { snapshot, archive, at_least, keys: &keys };
    let restored = restore(&args.data_dir, sources, until, options, &engine, &done).await;
    bar.finish_and_clear();
    show(&args.data_dir, &restored?, context)
}

fn show(dir: &Path, restored: &Restored, context: &Context) -> Result<(), CtlError> {
    context.ui.show(restored, || {
        let mut table = context.ui.table(["", ""]);
        table.add_row(["directory", &dir.display().to_string()]);
        table.add_row(["ledger", &restored.origin]);
        table.add_row(["entries", &restored.entries.to_string()]);
        table.add_row(["root", &restored.root.to_string()]);
        table.add_row(["from the snapshot", &restored.from_snapshot.to_string()]);
        table.add_row(["proven by a signed checkpoint", &restored.signed_size.to_string()]);
        table.add_row(["newest checkpoint known", &restored.newest_known.to_string()]);
        let writes = match restored.takes_writes {
            true => "yes",
            false => "no: as a new ledger alone, by `ron-ledgerd --new-origin`",
        };
        table.add_row(["takes writes", writes]);
        table
    })
}

fn known(path: &Path, keys: &[VerifierKey]) -> Result<Known, CtlError> {
    let problem = |error: &dyn std::fmt::Display| {
        CtlError::usage(format_args!("--at-least {}: {error}", path.display()))
    };
    let note = read_bounded(path, NOTE_BYTES_MAX).map_err(|error| problem(&error))?;
    let note = note.ok_or_else(|| problem(&"it is not there"))?;
    let open = |key: &VerifierKey| Checkpoint::open(note.as_bytes(), key.name(), keys);
    let checkpoint = keys.iter().map(open).find(Result::is_ok);
    let checkpoint = checkpoint.ok_or_else(|| problem(&"no checkpoint that --vkey has signed"))?;
    Ok((checkpoint.map_err(|error| problem(&error))?, note))
}

#[cfg(feature = "rocks")]
fn engine(dir: &Path) -> Result<Arc<dyn Engine>, StoreError> {
    use crate::storage::engine::{RocksEngine, RocksOptions};
    Ok(Arc::new(RocksEngine::open(dir, &RocksOptions::default())?))
}

#[cfg(not(feature = "rocks"))]
fn engine(_: &Path) -> Result<Arc<dyn Engine>, StoreError> {
    let message = "this build has no RocksDB (feature `rocks`)".to_owned();
    Err(StoreError::Backend { verb: "restore", message })
}

impl From<RestoreError> for CtlError {
    fn from(error: RestoreError) -> Self {
        use RestoreError as E;
        match error {
            E::Archive(error) => error.into(),
            E::Snapshot(error) => error.into(),
            E::NotEmpty(_) | E::NoSource | E::Beyond { .. } => CtlError::usage(error),
            E::Store(_) | E::File(_) | E::Read(_) => CtlError::internal(error),
            error => CtlError::new(Exit::Unverified, error),
        }
    }
}
