//! What SIGHUP reloads while the node runs. Whatever cannot be reloaded leaves all as it was, and a line
//! in the log.

use std::sync::Arc;

use super::services;
use super::tls::Endpoint;
use crate::actors::pipeline::Services;
use crate::capability::{CachedVerifier, Keyring};
use crate::config::{Config, ConfigError, Sources};

/// What can be reloaded, each by a function of its own. It holds no store, so that it cannot keep one
/// open.
pub(super) struct Reload {
    /// As it was at the start.
    pub(super) config: Config,
    /// Where it came from.
    pub(super) sources: Sources,
    pub(super) capabilities: Arc<CachedVerifier>,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    pub(super) services: Services,
}

impl Reload {
    /// All of it.
    pub(super) fn run(&self) {
        tracing::info!("SIGHUP: settings that are not named below need a restart");
        self.keyring();
        self.endpoints.iter().for_each(|endpoint| endpoint.reload());
        match self.read_again() {
            Ok(config) => self.upstreams(&config),
            Err(error) => tracing::error!(%error, "the settings stay as they were"),
        }
    }

    fn read_again(&self) -> Result<Config, ConfigError> {
        let config = Config::load(self.sources.clone())?.config;
        config.validate()?;
        Ok(config)
    }

    fn upstreams(&self, config: &Config) {
        if self.services.is_empty() {
            return;
        }
        match services::reload(&self.services, &config.upstream) {
            Ok(()) => tracing::info!("reloaded upstream: urls, timeouts, retries, certificates"),
            Err(error) => tracing::error!(%error, "the upstreams stay as they were"),
        }
    }

    fn keyring(&self) {
        if self.config.upstream.kms.is_remote() {
            return;
        }
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
