//! The witnesses of the configuration, ready to be asked.

use std::path::PathBuf;
use std::sync::Arc;

use crate::accumulator::{POLICY_BYTES_MAX, Policy, PolicyError};
use crate::actors::pipeline::Watchers;
use crate::config::WitnessConfig;
use crate::storage::files::{FileError, read_bounded};
use crate::upstream::witness::{WitnessClient, WitnessError};

/// Why the witnesses cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum WatchersError {
    /// The policy cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is none.
    #[error("{} is not there", .0.display())]
    Missing(PathBuf),
    /// It does not read as one.
    #[error("{}, {error}", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: PolicyError,
    },
    /// One of its witnesses cannot be asked.
    #[error("witness `{name}` {error}")]
    Witness {
        /// What the policy calls it.
        name: String,
        /// Why.
        error: WitnessError,
    },
}

/// `None` when no witness is configured.
///
/// # Errors
/// [`WatchersError`].
pub(super) fn watchers(config: &WitnessConfig) -> Result<Option<Watchers>, WatchersError> {
    let Some(path) = &config.policy_file else { return Ok(None) };
    let text = read_bounded(path, POLICY_BYTES_MAX)?;
    let text = text.ok_or_else(|| WatchersError::Missing(path.clone()))?;
    let policy = Policy::parse(&text)
        .map_err(|error| WatchersError::Policy { path: path.clone(), error })?;
    let client =
        |witness: &crate::accumulator::Witness| match WitnessClient::new(witness, config.timeout) {
            Ok(client) => Ok(Arc::new(client)),
            Err(error) => Err(WatchersError::Witness { name: witness.name.clone(), error }),
        };
    let clients = policy.witnesses().iter().map(client).collect::<Result<_, _>>()?;
    let (hold, interval) = (config.hold, config.interval);
    Ok(Some(Watchers { policy, clients, hold, interval }))
}
