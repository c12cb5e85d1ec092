//! Who looks at the log besides its readers: witnesses, and the ledger itself once more.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::section;
use super::units::{duration, optional};

section! {
    /// `[witness]`
    WitnessConfig {
        /// The witnesses, and how many are enough.
        #[serde(with = "optional")]
        policy_file: Option<PathBuf>,
        /// Whether publication waits for them.
        hold: bool,
        /// Between two rounds.
        #[serde(with = "duration")]
        interval: Duration,
        /// What each of them has to answer.
        #[serde(with = "duration")]
        timeout: Duration,
    }
}

section! {
    /// `[verifier]`
    VerifierConfig {
        /// Entries a second; 0 for none.
        entries_per_second: u32,
        /// Between two passes.
        #[serde(with = "duration")]
        interval: Duration,
    }
}
