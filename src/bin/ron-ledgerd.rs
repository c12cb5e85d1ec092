//! The daemon.

use std::process::ExitCode;

use clap::Parser as _;
use ron_ledger::app::{self, Args, Begin, Exit, Follow, Import};
use ron_ledger::config::{Config, ConfigError, Loaded, Sources};
use ron_ledger::storage::genesis::{Parent, SCHEMA};
use ron_ledger::telemetry;

fn main() -> ExitCode {
    let mut args = Args::parse();
    let begin = begin(&mut args);
    let (is_upgrade, is_branch) = (args.upgrade, args.new_origin);
    let loaded = match load(args) {
        Ok(loaded) => loaded,
        Err(error) => return fail(&error, Exit::Usage),
    };
    let config = &loaded.config;
    let telemetry = match telemetry::init(&config.telemetry) {
        Ok(guard) => guard,
        Err(error) => return fail(&error, Exit::NotStarted),
    };
    app::log_panics();
    if is_upgrade {
        return upgrade(config);
    }
    if is_branch {
        return branch(config);
    }
    let telemetry = telemetry.telemetry().clone();
    let run = app::run(&loaded, &begin, telemetry);
    match actix_rt::System::new().block_on(run) {
        Ok(exit) => exit.into(),
        Err(error) => {
            tracing::error!(%error, "not started");
            Exit::NotStarted.into()
        }
    }
}

fn begin(args: &mut Args) -> Begin {
    let vkeys = std::mem::take(&mut args.follow_key);
    match (args.follow.take(), args.import.take(), args.import_key.take()) {
        (Some(url), ..) => Begin::Follow(Follow { url, vkeys }),
        (_, Some(export), Some(vkey)) => Begin::Import(Import { export, vkey }),
        _ => Begin::Own { at_least: args.at_least.take() },
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

fn load(args: Args) -> Result<Loaded, ConfigError> {
    let profile = args.profile.map(|profile| ("profile".to_owned(), profile));
    let overrides = profile.into_iter().chain(args.set).collect();
    let loaded = Config::load(Sources::from_process(args.config, overrides))?;
    loaded.config.validate()?;
    Ok(loaded)
}

fn fail(error: &dyn std::error::Error, exit: Exit) -> ExitCode {
    eprintln!("ron-ledgerd: {error}");
    exit.into()
}
