//! The daemon.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ron_ledger::app::{self, EXIT_CODES_HELP, Exit, Process};
use ron_ledger::config::{Config, ConfigError, Sources};
use ron_ledger::storage::genesis::{Parent, SCHEMA};
use ron_ledger::telemetry;

/// The append-only, verifiable ledger of a node
///
/// Serves clients and auditors on http.api_addr, metrics and health on http.metrics_addr. SIGTERM or
/// SIGINT drains and stops it. Settings come from flags, the environment (RON_LEDGER_...), the file,
/// and defaults, in this order; `ron-ledgerctl config print` shows each with its origin.
#[derive(Debug, Parser)]
#[command(name = "ron-ledgerd", version, after_help = after_help())]
struct Args {
    /// The configuration, TOML; what it does not say keeps its default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// micronode (in memory, forgets) or macronode (durable)
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,

    /// A signed checkpoint that was saved elsewhere: take no writes unless the ledger contains it
    #[arg(long, value_name = "NOTE")]
    at_least: Option<PathBuf>,

    /// One setting, by its dotted key; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,

    /// Bring a store of an older schema to this program's, and end; copy the data directory before
    #[arg(long)]
    upgrade: bool,

    /// Make the store a new ledger that goes on from the old one, by the node.origin and signing key
    /// of the configuration, and end; copy the data directory before
    #[arg(long, conflicts_with_all = ["upgrade", "at_least"])]
    new_origin: bool,
}

fn after_help() -> String {
    format!(
        "Examples:\n  \
         ron-ledgerd --config /etc/ron/ledger.toml\n  \
         ron-ledgerd --config configs/ledger.dev.toml --set telemetry.log=debug\n  \
         ron-ledgerd --config /etc/ron/ledger.toml --at-least checkpoint.note\n\n{EXIT_CODES_HELP}"
    )
}

fn setting(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or("is not KEY=VALUE, as in http.workers=2")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    let at_least = args.at_least.take();
    let (is_upgrade, is_branch) = (args.upgrade, args.new_origin);
    let sources = sources(args);
    let config = match load(sources.clone()) {
        Ok(config) => config,
        Err(error) => return fail(&error, Exit::Usage),
    };
    let telemetry = match telemetry::init(&config.telemetry) {
        Ok(guard) => guard,
        Err(error) => return fail(&error, Exit::NotStarted),
    };
    app::log_panics();
    if is_upgrade {
        return upgrade(&config);
    }
    if is_branch {
        return branch(&config);
    }
    let process = Process { telemetry: telemetry.telemetry().clone(), sources: Some(sources) };
    match actix_rt::System::new().block_on(app::run(&config, at_least.as_deref(), process)) {
        Ok(exit) => exit.into(),
        Err(error) => {
            tracing::error!(%error, "not started");
            Exit::NotStarted.into()
        }
    }
}

fn upgrade(config: &Config) -> ExitCode {
    match app::upgrade_store(config) {
        Ok(SCHEMA) => tracing::info!(schema = SCHEMA, "nothing to upgrade"),
        Ok(from) => tracing::info!(from, to = SCHEMA, "upgraded"),
        Err(error) => {
            tracing::error!(%error, "not upgraded");
            return Exit::NotStarted.into();
        }
    }
    Exit::Ok.into()
}

fn branch(config: &Config) -> ExitCode {
    match app::branch_store(config) {
        Ok(Parent { origin, size, root }) => {
            let (parent, root) = (origin, root.to_string());
            let origin = &config.node.origin;
            tracing::info!(origin, parent, size, root, "a new ledger goes on from another one");
            Exit::Ok.into()
        }
        Err(error) => {
            tracing::error!(%error, "no new ledger");
            Exit::NotStarted.into()
        }
    }
}

fn sources(args: Args) -> Sources {
    let profile = args.profile.map(|profile| ("profile".to_owned(), profile));
    let overrides = profile.into_iter().chain(args.set).collect();
    Sources::from_process(args.config, overrides)
}

fn load(sources: Sources) -> Result<Config, ConfigError> {
    let config = Config::load(sources)?.config;
    config.validate()?;
    Ok(config)
}

fn fail(error: &dyn std::error::Error, exit: Exit) -> ExitCode {
    eprintln!("ron-ledgerd: {error}");
    exit.into()
}
