//! The services of the configuration, ready to be asked, and made anew when their settings change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::actors::pipeline::Services;
use crate::config::{TargetConfig, UpstreamConfig};
use crate::storage::files::{FileError, check_private, read_bounded};
use crate::upstream::service::{Service, SetupError, Trust};

/// A PEM file may be this long, in bytes: far more than a chain, or a bundle of authorities, needs.
const PEM_BYTES_MAX: usize = 1 << 20;

/// Why the services cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// A PEM file.
    #[error("upstream.{key}: {error}")]
    File {
        /// The configuration key.
        key: &'static str,
        /// What is wrong with it.
        error: FileError,
    },
    /// It is not there.
    #[error("upstream.{key}: {} is not there", path.display())]
    Missing {
        /// The configuration key.
        key: &'static str,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// One of the services.
    #[error("upstream.{target}: {error}")]
    Setup {
        /// Which.
        target: &'static str,
        /// Why.
        error: SetupError,
    },
}

/// Those that are remote.
///
/// # Errors
/// [`ServicesError`], which names the configuration key.
pub(super) fn services(config: &UpstreamConfig) -> Result<Services, ServicesError> {
    if ![&config.kms, &config.policy, &config.wallet].into_iter().any(TargetConfig::is_remote) {
        return Ok(Services::default());
    }
    let trust = trust(config)?;
    let service = |target, config: &TargetConfig| match config.is_remote() {
        false => Ok(None),
        true => match Service::new(config, &trust) {
            Ok(service) => Ok(Some(Arc::new(service))),
            Err(error) => Err(ServicesError::Setup { target, error }),
        },
    };
    Ok(Services {
        kms: service("kms", &config.kms)?,
        policy: service("policy", &config.policy)?,
        wallet: service("wallet", &config.wallet)?,
    })
}

/// Gives the services that there are other settings: all of them, or none. Who answers stays as it is.
///
/// # Errors
/// As [`services`]; then nothing has changed.
pub(super) fn reload(services: &Services, config: &UpstreamConfig) -> Result<(), ServicesError> {
    let trust = trust(config)?;
    let rows = [
        ("kms", &services.kms, &config.kms),
        ("policy", &services.policy, &config.policy),
        ("wallet", &services.wallet, &config.wallet),
    ];
    let present = rows.into_iter().filter_map(|(target, service, config)| {
        service.as_ref().filter(|_| config.is_remote()).map(|service| (target, service, config))
    });
    let present: Vec<_> = present.collect();
    for &(target, _, config) in &present {
        let tried = Service::new(config, &trust);
        tried.map_err(|error| ServicesError::Setup { target, error })?;
    }
    for (target, service, config) in present {
        let done = service.reload(config, &trust);
        done.map_err(|error| ServicesError::Setup { target, error })?;
    }
    Ok(())
}

fn trust(config: &UpstreamConfig) -> Result<Trust, ServicesError> {
    let authority = config.ca_file.as_deref().map(|path| read("ca_file", path)).transpose()?;
    let identity = match (&config.cert_file, &config.key_file) {
        (Some(cert), Some(key)) => {
            check_private(key).map_err(|error| ServicesError::File { key: "key_file", error })?;
            let secret = Zeroizing::new(read("key_file", key)?);
            let cert = read("cert_file", cert)?;
            // Reserved in full, so that growing leaves no copy of the key behind.
            let mut both = Zeroizing::new(Vec::with_capacity(cert.len() + secret.len() + 1));
            both.extend_from_slice(&cert);
            both.push(b'\n');
            both.extend_from_slice(&secret);
            Some(both)
        }
        _ => None,
    };
    Ok(Trust { authority, identity })
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, ServicesError> {
    match read_bounded(path, PEM_BYTES_MAX) {
        Ok(Some(text)) => Ok(text.into_bytes()),
        Ok(None) => Err(ServicesError::Missing { key, path: path.to_owned() }),
        Err(error) => Err(ServicesError::File { key, error }),
    }
}
