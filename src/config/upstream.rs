//! The services that the ledger may ask: where each of them is, and how long it has.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::{Config, Environment, section};
use super::units::{choice, duration, optional};
use super::validate::Rules;

/// Attempts beyond the first one never outlast a request anyway.
const RETRIES_MAX: u32 = 10;

/// The longest that a token is good for reads on the word of an earlier verification.
const READ_GRACE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

choice! {
    /// Who answers a question.
    UpstreamMode {
        /// The ledger itself.
        Local = "local",
        /// A service over the network.
        Remote = "remote",
    }
}

section! {
    /// `[upstream]`
    UpstreamConfig {
        /// Authority of the services' certificates.
        #[serde(with = "optional")]
        ca_file: Option<PathBuf>,
        /// Certificate that the ledger shows them.
        #[serde(with = "optional")]
        cert_file: Option<PathBuf>,
        /// Its private key.
        #[serde(with = "optional")]
        key_file: Option<PathBuf>,
        /// Most questions to one service at a time.
        connections_max: usize,
        /// Failures in a row that open a breaker.
        breaker_failures: u32,
        /// How long it stays open before a trial.
        #[serde(with = "duration")]
        breaker_open: Duration,
        /// How long a verified token still reads while the key service does not answer.
        #[serde(with = "duration")]
        read_grace: Duration,
        /// Who verifies capabilities.
        kms: TargetConfig,
        /// Who decides by policy.
        policy: TargetConfig,
        /// Who checks for double spends.
        wallet: TargetConfig,
    }
}

section! {
    /// `[upstream.kms]`, `[upstream.policy]`, `[upstream.wallet]`
    TargetConfig {
        /// The ledger itself, or a service.
        mode: UpstreamMode,
        /// Where the service is.
        #[serde(with = "optional")]
        url: Option<String>,
        /// Of one attempt.
        #[serde(with = "duration")]
        timeout: Duration,
        /// Attempts after the first one.
        retries: u32,
    }
}

impl TargetConfig {
    /// Whether a service is asked.
    pub fn is_remote(&self) -> bool {
        self.mode == UpstreamMode::Remote
    }
}

impl Config {
    pub(super) fn check_upstream(&self, rules: &mut Rules) {
        let upstream = &self.upstream;
        rules.need(
            (1..=4096).contains(&upstream.connections_max),
            "upstream.connections_max",
            "1 to 4096: so many questions wait for one service at a time",
        );
        rules.need(
            upstream.breaker_failures > 0,
            "upstream.breaker_failures",
            "at least 1: a breaker opens by failures",
        );
        rules.need(!upstream.breaker_open.is_zero(), "upstream.breaker_open", "longer than 0");
        rules.need(
            upstream.read_grace <= READ_GRACE_MAX,
            "upstream.read_grace",
            "at most 24h: what the key service revokes meanwhile goes on reading",
        );
        rules.need(
            upstream.cert_file.is_some() == upstream.key_file.is_some(),
            if upstream.cert_file.is_some() { "upstream.key_file" } else { "upstream.cert_file" },
            "set both upstream.cert_file and upstream.key_file, or none: one is of no use without \
             the other",
        );
        for (target, keys) in [
            (&upstream.kms, KMS_KEYS),
            (&upstream.policy, POLICY_KEYS),
            (&upstream.wallet, WALLET_KEYS),
        ] {
            self.check_target(target, keys, rules);
        }
    }

    fn check_target(&self, target: &TargetConfig, keys: TargetKeys, rules: &mut Rules) {
        rules.need(target.retries <= RETRIES_MAX, keys.retries, "at most 10");
        if !target.is_remote() {
            return;
        }
        let deadline = self.limits.request_deadline;
        rules.need(
            !target.timeout.is_zero() && target.timeout < deadline,
            keys.timeout,
            "longer than 0 and shorter than limits.request_deadline: a service that hangs would \
             never be told from a request that is late",
        );
        let production = self.node.environment == Environment::Production;
        let place = target.url.as_deref().and_then(Place::of);
        rules.need(
            place == Some(Place::Tls) || place == Some(Place::Loopback) && !production,
            keys.url,
            "https://host:port/path, without credentials, query and fragment; http:// to a \
             loopback address alone, and not in production: tokens and balances would be in the \
             open",
        );
        rules.need(
            place != Some(Place::Tls) || self.upstream.ca_file.is_some(),
            "upstream.ca_file",
            "needed for https://: no other authority is trusted with tokens and balances",
        );
        rules.need(
            !production || self.upstream.cert_file.is_some(),
            "upstream.cert_file",
            "required in production: a service must know who asks it",
        );
    }
}

/// The keys of one target, for those who break a rule.
#[derive(Clone, Copy)]
struct TargetKeys {
    url: &'static str,
    timeout: &'static str,
    retries: &'static str,
}

const KMS_KEYS: TargetKeys = TargetKeys {
    url: "upstream.kms.url",
    timeout: "upstream.kms.timeout",
    retries: "upstream.kms.retries",
};

const POLICY_KEYS: TargetKeys = TargetKeys {
    url: "upstream.policy.url",
    timeout: "upstream.policy.timeout",
    retries: "upstream.policy.retries",
};

const WALLET_KEYS: TargetKeys = TargetKeys {
    url: "upstream.wallet.url",
    timeout: "upstream.wallet.timeout",
    retries: "upstream.wallet.retries",
};

/// Where a URL leads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Tls,
    /// Without TLS, and never off this machine.
    Loopback,
}

impl Place {
    /// `None` for what must not be asked. A name may resolve to anywhere, so that only an address is
    /// known to be on this machine.
    fn of(url: &str) -> Option<Self> {
        let url = reqwest::Url::parse(url).ok()?;
        let is_bare = url.username().is_empty() && url.password().is_none();
        let is_plain = is_bare && url.query().is_none() && url.fragment().is_none();
        let host = url.host_str().filter(|host| !host.is_empty() && is_plain)?;
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match url.scheme() {
            "https" => Some(Place::Tls),
            "http" if address.is_ok_and(|address| address.is_loopback()) => Some(Place::Loopback),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_never_leaves_the_machine() {
        let place = |url: &str| Place::of(url);
        assert!(place("https://kms.example:8443/v1") == Some(Place::Tls));
        for url in ["http://127.0.0.1:1", "http://127.9.9.9/x", "http://[::1]:80/"] {
            assert!(place(url) == Some(Place::Loopback), "{url}");
        }
        for url in [
            "http://kms.example",
            "http://localhost:1",
            "http://10.0.0.1",
            "http://127.0.0.1.example",
            "https://user@kms.example",
            "https://:secret@kms.example",
            "https://kms.example/?token=1",
            "https://kms.example/#a",
            "ftp://127.0.0.1",
            "kms.example:443",
            "",
        ] {
            assert!(place(url).is_none(), "{url}");
        }
    }
}
