//! What SIGHUP reloads while the node runs. Whatever cannot be reloaded leaves all as it was, and a line
//! in the log.

use std::sync::Arc;

use super::tls::Endpoint;
use crate::capability::{CachedVerifier, Keyring};
use crate::config::{Config, ConfigError, Sources};
use crate::telemetry::Telemetry;

/// What can be reloaded, each by a function of its own. It holds no store, so that it cannot keep one
/// open.
pub(super) struct Reload {
    pub(super) config: Config,
    pub(super) capabilities: Arc<CachedVerifier>,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    pub(super) telemetry: Telemetry,
    /// Where the configuration is read again.
    pub(super) sources: Option<Sources>,
}

impl Reload {
    /// All of it.
    pub(super) fn run(&self) {
        tracing::info!("SIGHUP: settings that are not named below need a restart");
        self.telemetry();
        self.keyring();
        self.endpoints.iter().for_each(|endpoint| endpoint.reload());
    }

    /// The level of the log and the share of traces are as the configuration says again, whatever an
    /// operator set since.
    fn telemetry(&self) {
        let Some(sources) = &self.sources else { return };
        match read(sources) {
            Ok(config) => {
                let (log, ratio) = (config.telemetry.log, config.telemetry.sample_ratio);
                if let Err(error) = self.telemetry.set_log(&log) {
                    tracing::error!(%error, "the log stays as it was: telemetry.log");
                }
                self.telemetry.sampling().set_ratio(ratio);
                tracing::info!(log, sample_ratio = ratio, "reloaded the settings of telemetry");
            }
            Err(error) => {
                tracing::error!(%error, "log and sampling stay as they were: the configuration");
            }
        }
    }

    fn keyring(&self) {
        match Keyring::open(&self.config.capabilities.keyring_dir) {
            Ok(keyring) => {
                let (kids, current) = (keyring.kids().count(), keyring.current().0.to_owned());
                self.capabilities.reload(keyring);
                tracing::info!(kids, current, "reloaded the root keys");
            }
            Err(error) => {
                tracing::error!(%error, "the root keys stay as they were: capabilities.keyring_dir");
            }
        }
    }
}

fn read(sources: &Sources) -> Result<Config, ConfigError> {
    let config = Config::load(sources.clone())?.config;
    config.validate()?;
    Ok(config)
}
