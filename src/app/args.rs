//! The command line of the daemon.

use std::path::PathBuf;

use clap::Parser;

use super::EXIT_CODES_HELP;

/// The append-only, verifiable ledger of a node
///
/// Serves clients and auditors on http.api_addr, metrics and health on http.metrics_addr. SIGTERM or
/// SIGINT drains and stops it. Settings come from flags, the environment (RON_LEDGER_...), the file,
/// and defaults, in this order; `ron-ledgerctl config print` shows each with its origin.
#[derive(Debug, Parser)]
#[command(name = "ron-ledgerd", version, after_help = after_help())]
pub struct Args {
    /// The configuration, TOML; what it does not say keeps its default
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// micronode (in memory, forgets) or macronode (durable)
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,

    /// A signed checkpoint that was saved elsewhere: take no writes unless the ledger contains it
    #[arg(long, value_name = "NOTE")]
    pub at_least: Option<PathBuf>,

    /// Follow another node by its archive (file://, s3://, gs://, az://): take what is archived, check it
    /// by the ledger's own rules, serve reads, refuse writes; needs no signing key
    #[arg(long, value_name = "URL", requires = "follow_key", conflicts_with = "at_least")]
    pub follow: Option<String>,

    /// The verifier key of the ledger that is followed, or a file with it; earlier keys after the present
    /// one
    #[arg(long, value_name = "KEY", requires = "follow")]
    pub follow_key: Vec<String>,

    /// Begin with the ledger of another node, from the file of `ron-ledgerctl audit export`: a micronode,
    /// under a name of its own
    #[arg(long, value_name = "EXPORT", requires = "import_key", conflicts_with_all = ["at_least", "follow"])]
    pub import: Option<PathBuf>,

    /// The verifier key that the export was signed by, or a file with it
    #[arg(long, value_name = "KEY", requires = "import")]
    pub import_key: Option<String>,

    /// One setting, by its dotted key; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,

    /// Bring a store of an older schema to this program's, and end; copy the data directory before
    #[arg(long, conflicts_with_all = ["follow", "import"])]
    pub upgrade: bool,

    /// Make the store a new ledger that goes on from the old one, by the node.origin and signing key
    /// of the configuration, and end; copy the data directory before
    #[arg(long, conflicts_with_all = ["upgrade", "at_least", "follow", "import"])]
    pub new_origin: bool,
}

fn after_help() -> String {
    format!(
        "Examples:\n  \
         ron-ledgerd --config /etc/ron/ledger.toml\n  \
         ron-ledgerd --config configs/ledger.dev.toml --set telemetry.log=debug\n  \
         ron-ledgerd --config /etc/ron/ledger.toml --at-least checkpoint.note\n  \
         ron-ledgerd --config /etc/ron/ledger.toml --follow s3://backups/ledger --follow-key ledger.vkey\n  \
         ron-ledgerd --config configs/micronode.toml --import ledger.jsonl --import-key ledger.vkey\n\n{EXIT_CODES_HELP}"
    )
}

fn setting(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or("is not KEY=VALUE, as in http.workers=2")?;
    Ok((key.to_owned(), value.to_owned()))
}
