//! One ledger in memory behind the edge, and tokens for it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_web::web::Data;
use ron_ledger::actors::pipeline::Pipeline;
use ron_ledger::capability::{CachedVerifier, Caveat, Keyring, Verifier, mint};
use ron_ledger::http::{Settings, Shared};
use ron_ledger::ledger::reason::{Reason, Reject};
use ron_ledger::storage::reader::Reader;
use ron_ledger::telemetry::Metrics;

/// Dropped at the end of each test, with its directory.
pub struct World {
    pub shared: Data<Shared>,
    keyring: Keyring,
    _dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        let keyring = Keyring::create(&keys, None).unwrap();
        let verifier = Verifier::new(Keyring::open(&keys).unwrap());
        let pipeline = Pipeline {
            script: Arc::new(|_| Err(Reject::new(Reason::Busy, "full"))),
            reader: Reader::new(),
            metrics: Metrics::new(),
            verifier: Arc::new(CachedVerifier::new(verifier, Duration::from_secs(2), 10)),
            published: None,
        };
        let mut settings = Settings {
            body_bytes_max: 1 << 20,
            batch_max_entries: 1000,
            page_max: 100,
            open_reads: false,
            profile: "micronode",
        };
        change(&mut settings);
        World { shared: Shared::new(pipeline, settings), keyring, _dir: dir }
    }

    /// A token with these caveats that is good for an hour.
    pub fn token(&self, caveats: &[Caveat]) -> String {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
        let expiry = Caveat::ExpiresMs(now + 3_600_000);
        let caveats: Vec<_> = caveats.iter().cloned().chain([expiry]).collect();
        mint(&self.keyring, "cap-1", &caveats, now).unwrap().expose().to_owned()
    }
}
