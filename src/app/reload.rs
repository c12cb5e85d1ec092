//! What SIGHUP reloads while the node runs. Whatever cannot be reloaded leaves all as it was, and a line
//! in the log.

use std::sync::Arc;

use super::tls::Endpoint;
use crate::capability::{CachedVerifier, Keyring};
use crate::config::Config;

/// What can be reloaded, each by a function of its own. It holds no store, so that it cannot keep one
/// open.
pub(super) struct Reload {
    pub(super) config: Config,
    pub(super) capabilities: Arc<CachedVerifier>,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
}

impl Reload {
    /// All of it.
    pub(super) fn run(&self) {
        tracing::info!("SIGHUP: settings that are not named below need a restart");
        self.keyring();
        self.endpoints.iter().for_each(|endpoint| endpoint.reload());
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
