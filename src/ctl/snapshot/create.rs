//! `snapshot create`: takes a tar over from the running ledger, packs it, and reads it again before it
//! gets its name.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;

use super::{PARTIAL, SUFFIX, keys, prune, show};
use crate::backup::pack::Packer;
use crate::backup::snapshot::{self, Manifest};
use crate::client::SnapshotTar;
use crate::ctl::CtlError;
use crate::ctl::context::{Context, now_ms};
use crate::storage::files::{FILE_MODE, rename_durably};

/// Make a snapshot of the running ledger, which goes on
///
/// The ledger links its files, this command reads, packs and verifies them: run it where both the
/// ledger's local socket and the target are. The file gets its name when it is complete and verified.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl snapshot create --out /var/backups/ron-ledger/monday.tar.zst\n  \
    ron-ledgerctl snapshot create --out /var/backups/ron-ledger --keep 14 --json")]
pub(in crate::ctl) struct CreateArgs {
    /// Where to: a file that is not there, or a directory, in which it is named by its time
    #[arg(long, value_name = "PATH")]
    out: PathBuf,

    /// In a directory: delete all but so many of the newest afterwards
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    keep: Option<u16>,

    /// The ledger's verifier key, or a file with it: the snapshot must be signed by it
    #[arg(long, value_name = "KEY")]
    vkey: Vec<String>,
}

pub(super) async fn run(args: CreateArgs, context: &Context) -> Result<(), CtlError> {
    let keys = keys(&args.vkey)?;
    let is_dir = args.out.is_dir();
    if args.keep.is_some() && !is_dir {
        return Err(CtlError::usage("--keep needs a directory for --out"));
    }
    let path = if is_dir { args.out.join(name_now()) } else { args.out.clone() };
    if path.exists() {
        return Err(CtlError::usage(format_args!("{} is there already", path.display())));
    }
    let mut name = path.as_os_str().to_owned();
    name.push(PARTIAL);
    let partial = PathBuf::from(name);
    let taken = take_over(&partial, context).await;
    let made = taken.and_then(|()| {
        let keys = (!keys.is_empty()).then_some(&keys[..]);
        Ok(snapshot::verify(&partial, keys, &|_, _| ())?)
    });
    let manifest: Manifest = match made {
        Ok(manifest) => manifest,
        Err(error) => {
            // Where even that fails, the next run or `prune` does it.
            let _ = std::fs::remove_file(&partial);
            return Err(error);
        }
    };
    rename_durably(&partial, &path).map_err(CtlError::internal)?;
    if let Some(keep) = args.keep {
        prune(&args.out, usize::from(keep))?;
    }
    show(&path, &manifest, context)
}

fn name_now() -> String {
    let now = UNIX_EPOCH + Duration::from_millis(now_ms());
    let now = humantime::format_rfc3339_seconds(now).to_string();
    let time: String = now.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    format!("ron-ledger-{time}{SUFFIX}")
}

async fn take_over(partial: &Path, context: &Context) -> Result<(), CtlError> {
    let problem =
        |error: io::Error| CtlError::internal(format_args!("{}: {error}", partial.display()));
    let mut tar = context.local_client()?.snapshot().await?;
    let file = create(partial).map_err(problem)?;
    let packed = pack(&mut tar, file, context).await;
    packed.map_err(|error| match error {
        Failed::Io(error) => problem(error),
        Failed::Other(error) => error,
    })
}

/// What is in it is the ledger's: the file is its owner's alone.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)
}

enum Failed {
    Io(io::Error),
    Other(CtlError),
}

async fn pack(tar: &mut SnapshotTar, file: File, context: &Context) -> Result<(), Failed> {
    let bar = context.ui.bytes(tar.bytes);
    let mut packer = Packer::new(file).map_err(Failed::Io)?;
    let mut taken = 0;
    while let Some(piece) = tar.piece().await.map_err(|error| Failed::Other(error.into()))? {
        packer.write_all(&piece).map_err(Failed::Io)?;
        taken += piece.len() as u64;
        bar.inc(piece.len() as u64);
    }
    bar.finish_and_clear();
    if taken != tar.bytes {
        let told = format_args!("the ledger sent {taken} of {} bytes", tar.bytes);
        return Err(Failed::Other(CtlError::internal(told)));
    }
    let file = packer.finish().map_err(Failed::Io)?;
    file.sync_all().map_err(Failed::Io)
}
