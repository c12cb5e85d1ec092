//! A directory with the keys of one node, and its configuration. Gone when dropped.

use std::path::Path;
use std::time::SystemTime;

use ron_ledger::capability::{Action, Caveat, Keyring, SigningKey, mint};
use ron_ledger::config::{Config, Sources};
use tempfile::TempDir;

/// The id of the capability that tests hold.
pub const CAPABILITY: &str = "cap-1";

/// The same keys in each test: what they sign can be compared.
const SEED: [u8; 32] = [7; 32];

pub struct Keys {
    dir: TempDir,
    keyring: Keyring,
}

impl Keys {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keyring = Keyring::create(&dir.path().join("keyring"), Some(&SEED)).unwrap();
        SigningKey::create(&dir.path().join("signing"), "localhost/test", Some(&SEED)).unwrap();
        Keys { dir, keyring }
    }

    /// The data directory lies in it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The settings of a node with these keys: loopback, free ports, reads by capability. Later ones win.
    pub fn settings(&self, profile: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let path = |name: &str| self.dir().join(name).display().to_string();
        let own = [
            ("profile", profile.to_owned()),
            ("node.environment", "dev".to_owned()),
            ("node.origin", "localhost/test".to_owned()),
            ("node.data_dir", path("data")),
            ("capabilities.keyring_dir", path("keyring")),
            ("capabilities.signing_dir", path("signing")),
            ("http.api_addr", "127.0.0.1:0".to_owned()),
            ("http.metrics_addr", "127.0.0.1:0".to_owned()),
            ("governance.reversible_bridges", "allow".to_owned()),
            ("keys.dev", "true".to_owned()),
        ];
        let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
        own.chain(more.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()))).collect()
    }

    pub fn config(&self, profile: &str, more: &[(&str, &str)]) -> Config {
        let sources = Sources { overrides: self.settings(profile, more), ..Sources::default() };
        let config = Config::load(sources).unwrap().config;
        config.validate().unwrap();
        config
    }

    /// A token with these caveats that is good for an hour.
    pub fn token(&self, caveats: &[Caveat]) -> String {
        self.token_until(caveats, now_ms() + 3_600_000)
    }

    pub fn token_until(&self, caveats: &[Caveat], expires_ms: u64) -> String {
        let caveats: Vec<_> =
            caveats.iter().cloned().chain([Caveat::ExpiresMs(expires_ms)]).collect();
        mint(&self.keyring, CAPABILITY, &caveats, now_ms()).unwrap().expose().to_owned()
    }

    /// A token for everything.
    pub fn master(&self) -> String {
        self.token(&[Caveat::Actions(Action::ALL.to_vec())])
    }
}

pub fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64
}
