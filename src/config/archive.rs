//! `[archive]`: where committed groups are kept besides this machine.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::Profile;
use super::units::{duration, optional};
use super::validate::Rules;

/// `[archive]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveConfig {
    /// The address of the archive: `file://`, `s3://`, `gs://` or `az://`; no archive without one.
    #[serde(with = "optional")]
    pub url: Option<String>,
    /// Between two rounds.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// What each call of the object store may take.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

impl ArchiveConfig {
    pub(super) fn check(&self, profile: Profile, rules: &mut Rules) {
        const SECOND: Duration = Duration::from_secs(1);
        rules.need(
            self.url.is_none() || profile == Profile::Macronode,
            "archive.url",
            "needs a macronode: a ledger that forgets begins another history at each start",
        );
        rules.need(
            (SECOND..=300 * SECOND).contains(&self.interval),
            "archive.interval",
            "1s to 5m: so much a loss of this machine may take",
        );
        rules.need((SECOND..=300 * SECOND).contains(&self.timeout), "archive.timeout", "1s to 5m");
    }
}
