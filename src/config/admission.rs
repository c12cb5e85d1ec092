//! What is let in: rates of requests, and the operator's rules.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::model::section;
use super::units::optional;

section! {
    /// `[rates]`: requests a second; 0 for no limit.
    RatesConfig {
        /// Of each capability.
        capability: u32,
        /// Of all over the local socket.
        uds: u32,
        /// Of all with a client certificate.
        mtls: u32,
        /// Of all over TLS without one.
        tls: u32,
        /// Of all without TLS.
        plain: u32,
    }
}

section! {
    /// `[policy]`
    PolicyConfig {
        /// The rules; without it everything is allowed.
        #[serde(with = "optional")]
        file: Option<PathBuf>,
    }
}
