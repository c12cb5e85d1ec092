//! What SIGHUP reloads while the node runs. Whatever cannot be reloaded leaves all as it was, and a line
//! in the log.

use std::sync::Arc;

use super::services;
use super::tls::Endpoint;
use crate::actors::pipeline::{Guard, Limits, Pipeline, Rates, Services};
use crate::capability::{CachedVerifier, Keyring};
use crate::config::{Loaded, is_reloaded};
use crate::policy::Policy;
use crate::telemetry::{Metrics, Reload as Outcome, Telemetry};

/// What can be reloaded, each by a function of its own. It holds no store, so that it cannot keep one
/// open.
pub(super) struct Reload {
    /// What the node was started with.
    started: Loaded,
    /// What was read last, and found fit.
    last: Loaded,
    capabilities: Arc<CachedVerifier>,
    limits: Arc<Limits>,
    guard: Arc<Guard>,
    metrics: Arc<Metrics>,
    endpoints: Vec<Arc<Endpoint>>,
    services: Services,
    telemetry: Telemetry,
}

impl Reload {
    pub(super) fn new(
        loaded: &Loaded,
        pipeline: &Pipeline,
        endpoints: Vec<Arc<Endpoint>>,
        telemetry: Telemetry,
    ) -> Self {
        Reload {
            started: loaded.clone(),
            last: loaded.clone(),
            capabilities: Arc::clone(pipeline.capabilities()),
            limits: Arc::clone(pipeline.limits()),
            guard: Arc::clone(pipeline.guard()),
            metrics: Arc::clone(pipeline.metrics()),
            endpoints,
            services: pipeline.services().clone(),
            telemetry,
        }
    }

    /// All of it.
    pub(super) fn run(&mut self) {
        tracing::info!("SIGHUP: settings that are not named below stay as they are");
        self.settings();
        self.telemetry();
        self.policy();
        self.upstreams();
        self.keyring();
        self.endpoints.iter().for_each(|endpoint| endpoint.reload());
    }

    /// The file again, under the same variables and flags. A rate that an operator has set while the
    /// node ran stays, unless the file says of it something new.
    fn settings(&mut self) {
        let read = self.last.again().and_then(|loaded| {
            loaded.config.validate()?;
            Ok(loaded)
        });
        let loaded = match read {
            Ok(loaded) => loaded,
            Err(error) => {
                self.metrics.config_reloads.of(Outcome::Refused).inc();
                return tracing::error!(%error, "the settings stay as they were");
            }
        };
        let changes = self.last.changes(&loaded);
        for (key, old, new) in changes.filter(|(key, ..)| is_reloaded(key)) {
            tracing::info!(key, %old, %new, "a setting has changed");
        }
        let changes = self.started.changes(&loaded);
        for (key, running, new) in changes.filter(|(key, ..)| !is_reloaded(key)) {
            tracing::warn!(key, %running, %new, "a change of this setting needs a restart");
        }
        let (old, new) = (Rates::of(&self.last.config), Rates::of(&loaded.config));
        if old != new {
            self.limits.set(self.limits.rates().changed(old, new));
        }
        self.metrics.config_reloads.of(Outcome::Done).inc();
        self.last = loaded;
    }

    /// The level of the log and the share of traces are as the configuration says again, whatever an
    /// operator set since.
    fn telemetry(&self) {
        let config = &self.last.config.telemetry;
        if let Err(error) = self.telemetry.set_log(&config.log) {
            tracing::error!(%error, "the log stays as it was: telemetry.log");
        }
        self.telemetry.sampling().set_ratio(config.sample_ratio);
        let (log, sample_ratio) = (&config.log, config.sample_ratio);
        tracing::info!(log, sample_ratio, "reloaded the settings of telemetry");
    }

    fn policy(&self) {
        match Policy::of(&self.last.config.policy) {
            Ok(policy) => {
                let rules = policy.rules_count();
                self.guard.replace(policy);
                self.metrics.policy_reloads.of(Outcome::Done).inc();
                tracing::info!(rules, "reloaded the policy");
            }
            Err(error) => {
                self.metrics.policy_reloads.of(Outcome::Refused).inc();
                tracing::error!(%error, "the policy stays as it was: policy.file");
            }
        }
    }

    fn upstreams(&self) {
        if self.services.is_empty() {
            return;
        }
        match services::reload(&self.services, &self.last.config.upstream) {
            Ok(()) => tracing::info!("reloaded upstream: urls, timeouts, retries, certificates"),
            Err(error) => tracing::error!(%error, "the upstreams stay as they were"),
        }
    }

    fn keyring(&self) {
        if self.started.config.upstream.kms.is_remote() {
            return;
        }
        match Keyring::open(&self.started.config.capabilities.keyring_dir) {
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
