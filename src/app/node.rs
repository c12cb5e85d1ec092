//! From a configuration to a running pipeline: keys, engine, store, actors.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::import::{self, Import, ImportError};
use super::services::{ServicesError, services};
use super::watchers::{WatchersError, watchers};
use crate::accumulator::{HashAlgo, KeyError, NOTE_BYTES_MAX, Signer, VerifierKey};
use crate::actors::drills::{self, Drills};
use crate::actors::mode::{Mode, ModeCell, ModeFile, ModeFileError};
use crate::actors::pipeline::{
    ArchiveTo, FollowFrom, LogKeys, Parts, Pipeline, RevokedFile, RevokedFileError, Settings,
    SignedError, SignedNotes, Watchers,
};
use crate::actors::probe::Probe;
use crate::backup::archive::ArchiveError;
use crate::backup::target::{Target, TargetError};
use crate::capability::{
    CachedVerifier, Keyring, KeyringError, SigningKeyError, SigningKeys, Verifier,
};
use crate::config::{Config, Environment, HashChoice, Profile};
use crate::ledger::names::Asset;
use crate::policy::{Policy, Unfit};
use crate::storage::branch::{BranchError, branch};
use crate::storage::engine::{Engine, Failing, FsyncFault, MemoryEngine, StoreError};
use crate::storage::files::read_bounded;
use crate::storage::genesis::{Genesis, Parent};
use crate::storage::store::{RecoverError, Store, StoreOptions};
use crate::storage::upgrade::{UpgradeError, upgrade};
use crate::telemetry::Metrics;

/// The folder of signed checkpoints in a data directory.
const SIGNED: &str = "signed";

/// The folder of what a restart must find again of the mode.
const STATE: &str = "state";

/// The folder of what is revoked.
const CAPS: &str = "caps";

/// Why a node cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The root keys.
    #[error("capabilities.keyring_dir: {}{}", .0, hint(.0))]
    Keyring(#[from] KeyringError),
    /// The signing key.
    #[error("capabilities.signing_dir: {}{}", .0, hint(.0))]
    SigningKey(#[from] SigningKeyError),
    /// A key of another ledger.
    #[error(
        "the key in {} signs for `{found}`, not for node.origin `{wanted}`: set node.origin to that, \
         or capabilities.signing_dir to another directory", dir.display()
    )]
    OtherOrigin {
        /// Where the key is.
        dir: PathBuf,
        /// What it signs for.
        found: String,
        /// What it should sign for.
        wanted: String,
    },
    /// An origin that cannot name a key.
    #[error("node.origin: {0}")]
    Origin(#[from] KeyError),
    /// A default asset that no entry may name.
    #[error("ledger.default_asset: is no name of an asset")]
    Asset,
    /// The last signed checkpoint.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// The witnesses.
    #[error("witness.policy_file: {0}")]
    Watchers(#[from] WatchersError),
    /// The upstreams.
    #[error(transparent)]
    Services(#[from] ServicesError),
    /// The archive.
    #[error("archive.url: {0}")]
    Archive(#[from] TargetError),
    /// The archive to follow.
    #[error("--follow: {0}")]
    Follow(TargetError),
    /// A key of the ledger to follow.
    #[error("--follow-key {given}: {why}")]
    FollowKey {
        /// As it was given.
        given: String,
        /// Why it is none.
        why: String,
    },
    /// Nothing says whose ledger it is.
    #[error("--follow needs --follow-key, the ledger's verifier key")]
    NoFollowKey,
    /// The first start needs the archive.
    #[error("--follow: {0}; the first start needs the archive")]
    NoLeader(ArchiveError),
    /// The checkpoint that the ledger must contain.
    #[error("--at-least {}: {error}", path.display())]
    AtLeast {
        /// The file.
        path: PathBuf,
        /// Why it is none.
        error: SignedError,
    },
    /// A micronode begins anew each time.
    #[error("--at-least: a micronode begins anew at each start, and contains nothing")]
    NothingLasts,
    /// What it should begin with.
    #[error("--import: {0}")]
    Import(#[from] ImportError),
    /// The key of what it should begin with.
    #[error("--import-key {given}: {why}")]
    ImportKey {
        /// As it was given.
        given: String,
        /// Why it is none.
        why: String,
    },
    /// It does not become a new ledger.
    #[error(transparent)]
    Branch(#[from] BranchError),
    /// The rules.
    #[error("policy.file: {0}")]
    Policy(#[from] Unfit),
    /// What the mode was.
    #[error(transparent)]
    Mode(#[from] ModeFileError),
    /// What is revoked.
    #[error(transparent)]
    Revoked(#[from] RevokedFileError),
    /// The engine.
    #[error("cannot open the store: {0}")]
    Engine(#[from] StoreError),
    /// The ledger in it.
    #[error("cannot open the ledger: {0}")]
    Ledger(#[from] RecoverError),
    /// What `--upgrade` asks for.
    #[error("cannot upgrade the store: {0}")]
    Upgrade(#[from] UpgradeError),
    /// This build has no durable engine.
    #[error("this build has no RocksDB (feature `rocks`): it runs as a micronode only")]
    NoRocks,
    /// The operating system gave no random bytes.
    #[error("cannot get random bytes: {0}")]
    Random(getrandom::Error),
    /// No threads.
    #[error("cannot start the actors' threads: {0}")]
    Threads(#[from] io::Error),
}

/// What to do about a key that is not there. The other errors say it themselves.
fn hint(error: &dyn Error) -> &'static str {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::NotFound) => "; `ron-ledgerctl init` makes what is missing",
        _ => "",
    }
}

/// Opens the ledger of a validated configuration and starts its actors, with a probe in them. Call it
/// on an actix system. With `at_least`, a file with a signed checkpoint of this ledger, the ledger must
/// contain it, and takes no writes otherwise.
///
/// # Errors
/// [`OpenError`], which names the configuration key to look at.
pub fn open(config: &Config, at_least: Option<&Path>, probe: Probe) -> Result<Pipeline, OpenError> {
    open_around(config, at_least, probe, |engine, _| Ok(engine))
}

/// Opens a micronode that begins with an export. Call it on an actix system.
///
/// # Errors
/// [`OpenError`].
pub(super) fn open_importing(config: &Config, import: &Import) -> Result<Pipeline, OpenError> {
    if config.profile == Profile::Macronode {
        return Err(ImportError::Macronode.into());
    }
    let wrong = |why| OpenError::ImportKey { given: import.vkey.clone(), why };
    let vkey = verifier_key(&import.vkey).map_err(wrong)?;
    open_around(config, None, Probe::none(), |engine, genesis| {
        import::fill(&engine, genesis, StoreOptions::from(&config.derived), import, &vkey)?;
        Ok(engine)
    })
}

/// As [`open`], with the means of drills where they are allowed: never in production, whatever else
/// is set.
pub(super) fn open_for_service(
    config: &Config,
    at_least: Option<&Path>,
) -> Result<(Pipeline, Option<Arc<Drills>>), OpenError> {
    let data_dir = (config.profile == Profile::Macronode).then(|| config.node.data_dir.clone());
    // What a killed drill left takes the room that the start needs.
    data_dir.iter().for_each(|dir| drills::clean(dir));
    if !config.chaos.enabled || config.node.environment == Environment::Production {
        return Ok((open(config, at_least, Probe::none())?, None));
    }
    tracing::warn!("chaos.enabled: this node takes drills");
    let ((probe, trigger), fsync) = (Probe::armable(), FsyncFault::default());
    let fault = fsync.clone();
    let pipeline = open_around(config, at_least, probe, |engine, _| {
        Ok(Arc::new(Failing::new(engine, fault)))
    })?;
    Ok((pipeline, Some(Arc::new(Drills::new(trigger, fsync, data_dir)))))
}

fn open_around(
    config: &Config,
    at_least: Option<&Path>,
    probe: Probe,
    around: impl FnOnce(Arc<dyn Engine>, &Genesis) -> Result<Arc<dyn Engine>, OpenError>,
) -> Result<Pipeline, OpenError> {
    let verifier = verifier(config)?;
    let mut base = match config.profile {
        Profile::Micronode if at_least.is_some() => return Err(OpenError::NothingLasts),
        Profile::Micronode => Base {
            engine: memory_engine(config),
            signed: SignedNotes::in_memory(boot_signer(config)?),
            mode: ModeCell::new(Mode::READY),
            revoked_file: None,
        },
        Profile::Macronode => durable(config, lasting_keys(config)?, &verifier)?,
    };
    if let Some(path) = at_least {
        base.signed = held_to(base.signed, path)?;
    }
    let genesis = Genesis {
        hash: match config.ledger.hash {
            HashChoice::Sha256 => HashAlgo::Sha256,
            HashChoice::Blake3 => HashAlgo::Blake3,
        },
        origin: base.signed.origin().to_owned(),
        default_asset: Asset::new(config.ledger.default_asset.as_str())
            .map_err(|_| OpenError::Asset)?,
        parent: None,
    };
    base.engine = around(base.engine, &genesis)?;
    let archive = &config.archive;
    let open = |url: &String| Target::open(url, true, archive.timeout);
    let target = archive.url.as_ref().map(open).transpose()?;
    let archive = target.map(|target| ArchiveTo { target, interval: archive.interval });
    let ends = Ends { watchers: watchers(&config.witness)?, archive, follow: None };
    start(config, base, genesis, ends, Arc::new(verifier), probe)
}

/// What a node keeps, opened.
pub(super) struct Base {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) signed: SignedNotes,
    pub(super) mode: ModeCell,
    pub(super) revoked_file: Option<RevokedFile>,
}

/// Whom a node knows besides its clients and upstreams.
#[derive(Default)]
pub(super) struct Ends {
    pub(super) watchers: Option<Watchers>,
    pub(super) archive: Option<ArchiveTo>,
    pub(super) follow: Option<FollowFrom>,
}

/// What a macronode keeps, in its data directory.
pub(super) fn durable(
    config: &Config,
    keys: LogKeys,
    verifier: &CachedVerifier,
) -> Result<Base, OpenError> {
    let engine = durable_engine(config)?;
    let dir = &config.node.data_dir;
    let (file, mode) = ModeFile::open(&dir.join(STATE))?;
    let (lasting, revoked) = RevokedFile::open(&dir.join(CAPS))?;
    verifier.restore(revoked);
    Ok(Base {
        engine,
        signed: SignedNotes::in_dir(&dir.join(SIGNED), keys)?,
        mode: ModeCell::kept(mode, file),
        revoked_file: Some(lasting),
    })
}

/// Opens the ledger, and starts the actors.
pub(super) fn start(
    config: &Config,
    base: Base,
    genesis: Genesis,
    ends: Ends,
    capabilities: Arc<CachedVerifier>,
    probe: Probe,
) -> Result<Pipeline, OpenError> {
    let Base { engine, signed, mode, revoked_file } = base;
    let Ends { watchers, archive, follow } = ends;
    let parts = Parts {
        watchers,
        services: services(&config.upstream)?,
        archive,
        follow,
        store: Arc::new(Store::open(engine, genesis, StoreOptions::from(&config.derived))?),
        signed: Arc::new(signed),
        capabilities,
        revoked_file,
        rules: Policy::of(&config.policy)?,
        mode,
        metrics: Metrics::new(),
        probe,
    };
    Ok(Pipeline::start(parts, &Settings::of(config))?)
}

/// A key that is given as text or in a file.
pub(super) fn verifier_key(given: &str) -> Result<VerifierKey, String> {
    let text = match given.contains('+') {
        true => given.to_owned(),
        false => {
            let text = read_bounded(given.as_ref(), NOTE_BYTES_MAX);
            text.map_err(|error| error.to_string())?.ok_or("there is no such file")?
        }
    };
    text.trim().parse().map_err(|error| format!("{error}"))
}

/// By the keyring, or by the key service: then no root key is here at all.
pub(super) fn verifier(config: &Config) -> Result<CachedVerifier, OpenError> {
    let cache = &config.capabilities;
    let (ttl, capacity) = (cache.cache_ttl, cache.cache_entries);
    if config.upstream.kms.is_remote() {
        return Ok(CachedVerifier::by_key_service(ttl, config.upstream.read_grace, capacity));
    }
    let keyring = Keyring::open(&cache.keyring_dir)?;
    Ok(CachedVerifier::new(Verifier::new(keyring), ttl, capacity))
}

fn held_to(signed: SignedNotes, path: &Path) -> Result<SignedNotes, OpenError> {
    let refused = |error| OpenError::AtLeast { path: path.to_owned(), error };
    let note = read_bounded(path, NOTE_BYTES_MAX).map_err(|error| refused(error.into()))?;
    signed.hold_to(note.unwrap_or_default()).map_err(refused)
}

/// Upgrades the store of a validated configuration to this program's schema, and gives the schema that
/// it had. Nobody else may have it open.
///
/// # Errors
/// [`OpenError`].
pub fn upgrade_store(config: &Config) -> Result<u32, OpenError> {
    // Opening an engine makes what is missing.
    if config.profile == Profile::Micronode || !config.node.data_dir.exists() {
        return Err(UpgradeError::NoLedger.into());
    }
    Ok(upgrade(&*durable_engine(config)?)?)
}

/// Makes the store of a validated configuration a new ledger, of the configuration's origin. What was
/// signed for the old one goes: it speaks of another ledger now. Nobody else may have it open.
///
/// # Errors
/// [`OpenError`].
pub fn branch_store(config: &Config) -> Result<Parent, OpenError> {
    let dir = &config.node.data_dir;
    if config.profile == Profile::Micronode || !dir.exists() {
        return Err(BranchError::NoLedger.into());
    }
    let key = lasting_keys(config)?;
    let engine = durable_engine(config)?;
    // First this: without it the old notes are still needed.
    let parent = branch(&*engine, &config.node.origin)?;
    SignedNotes::in_dir(&dir.join(SIGNED), key)?.forget()?;
    Ok(parent)
}

/// What the bound leaves after the other two that grow.
pub(super) fn memory_engine(config: &Config) -> Arc<dyn Engine> {
    let taken = config.derived.filter_bytes.saturating_add(config.limits.inflight_bytes);
    Arc::new(MemoryEngine::new(config.memory.max_bytes.saturating_sub(taken)))
}

#[cfg(feature = "rocks")]
fn durable_engine(config: &Config) -> Result<Arc<dyn Engine>, OpenError> {
    use crate::storage::engine::{RocksEngine, RocksOptions};
    let options = RocksOptions::from(&config.rocksdb);
    Ok(Arc::new(RocksEngine::open(&config.node.data_dir, &options)?))
}

#[cfg(not(feature = "rocks"))]
fn durable_engine(_: &Config) -> Result<Arc<dyn Engine>, OpenError> {
    Err(OpenError::NoRocks)
}

fn lasting_keys(config: &Config) -> Result<LogKeys, OpenError> {
    let dir = &config.capabilities.signing_dir;
    let keys = SigningKeys::load(dir)?;
    let origin = keys.current().origin();
    if origin != config.node.origin {
        return Err(OpenError::OtherOrigin {
            dir: dir.clone(),
            found: origin.to_owned(),
            wanted: config.node.origin.clone(),
        });
    }
    let previous = keys.previous().map(|key| key.signer()).transpose()?;
    let log_keys = LogKeys::new(keys.current().signer()?, previous, keys.retired().to_vec());
    Ok(log_keys.made_at(keys.made_ms()))
}

/// A ledger that forgets must never sign two histories under one name: each boot has its own key and
/// its own origin.
fn boot_signer(config: &Config) -> Result<Signer, OpenError> {
    let (mut seed, mut boot) = (zeroize::Zeroizing::new([0; 32]), [0; 8]);
    getrandom::fill(&mut *seed).map_err(OpenError::Random)?;
    getrandom::fill(&mut boot).map_err(OpenError::Random)?;
    let origin = format!("{}/boot-{}", config.node.origin, hex::encode(boot));
    Ok(Signer::new(origin, &seed)?)
}
