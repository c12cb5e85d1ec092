//! Configuration: flag over environment over file over defaults, with the origin of each value.
//!
//! [`Config::load`] merges the sources and refuses keys that nobody knows; [`Config::validate`]
//! then checks the relations between values. They are apart so that `config print` can show where a
//! wrong value came from.

mod admission;
mod archive;
mod layer;
mod load;
mod model;
mod nearest;
mod reload;
mod roles;
mod units;
mod upstream;
mod validate;
mod watchers;

pub use admission::{PolicyConfig, RatesConfig};
pub use archive::ArchiveConfig;
pub use load::{ConfigError, DEFAULTS, Loaded, Origin, Setting, Sources};
pub use model::*;
pub(crate) use nearest::nearest;
pub use reload::is_reloaded;
pub use roles::{CertName, RoleSet, Roles};
pub use upstream::{TargetConfig, UpstreamConfig, UpstreamMode};
pub use validate::{Invalid, Violation};
pub use watchers::{VerifierConfig, WitnessConfig};

#[cfg(test)]
mod tests;
