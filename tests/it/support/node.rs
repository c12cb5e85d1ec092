//! A whole pipeline in this process, on either engine, with a probe in its actors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web::Data;
use ron_ledger::actors::pipeline::{Answer, Bearer, Pipeline, Submission};
use ron_ledger::actors::probe::{Probe, Trigger};
use ron_ledger::app;
use ron_ledger::capability::Peer;
use ron_ledger::config::Config;
use ron_ledger::http::{Settings, Shared};
use ron_ledger::ledger::entry::Entry;
use ron_ledger::ledger::reason::Reject;

use super::keys::Keys;

/// A test that waits longer than this for the ledger has found a hang.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Node {
    pub keys: Keys,
    pub pipeline: Pipeline,
    pub trigger: Arc<Trigger>,
    pub shared: Data<Shared>,
    token: String,
}

impl Node {
    /// In memory, ready for writes.
    pub async fn new() -> Self {
        Self::with("micronode", &[]).await
    }

    /// Ready for writes.
    pub async fn with(profile: &str, more: &[(&str, &str)]) -> Self {
        Self::open(Keys::new(), profile, more).await
    }

    /// On the directory of another node that has ended; ready for writes.
    pub async fn open(keys: Keys, profile: &str, more: &[(&str, &str)]) -> Self {
        let (probe, trigger) = Probe::armable();
        let node = Self::begin(keys, profile, more, probe, trigger);
        node.until("the ledger is ready", |node| node.pipeline.readiness().ready).await;
        node
    }

    /// With a probe that may be armed already; perhaps not ready.
    pub fn begin(
        keys: Keys,
        profile: &str,
        more: &[(&str, &str)],
        probe: Probe,
        trigger: Arc<Trigger>,
    ) -> Self {
        let config = keys.config(profile, more);
        let pipeline = app::open(&config, None, probe).unwrap();
        Self::around(keys, &config, pipeline, trigger)
    }

    /// Around a pipeline that was put together by hand; perhaps not ready.
    pub fn around(keys: Keys, config: &Config, pipeline: Pipeline, trigger: Arc<Trigger>) -> Self {
        let shared = Shared::new(pipeline.clone(), Settings::of(config));
        let token = keys.master();
        Node { keys, pipeline, trigger, shared, token }
    }

    /// Waits until it holds.
    ///
    /// # Panics
    /// When it does not in twenty seconds.
    pub async fn until(&self, what: &str, holds: impl Fn(&Node) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < PATIENCE, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// What became of the entries, sent with a token for everything; `None` when the answer was lost.
    pub async fn send(&self, entries: Vec<Entry>) -> Option<Result<Arc<Answer>, Reject>> {
        match self.pipeline.submit(self.submission(entries)) {
            Ok(answer) => tokio::time::timeout(PATIENCE, answer).await.unwrap().ok().map(Ok),
            Err(reject) => Some(Err(reject)),
        }
    }

    pub fn submission(&self, entries: Vec<Entry>) -> Submission {
        let mut fingerprint = blake3::Hasher::new();
        entries.iter().for_each(|entry| {
            fingerprint.update(entry.id.as_bytes());
        });
        Submission {
            body_bytes: 300 * entries.len(),
            entries,
            atomic: false,
            token: Some(Bearer::new(&self.token)),
            fingerprint: fingerprint.finalize().into(),
            peer: Peer::Plain,
            received: Instant::now(),
        }
    }

    /// Ends in order and gives the directory on.
    pub async fn stop(self) -> Keys {
        self.pipeline.drain(Instant::now() + Duration::from_secs(5)).await.unwrap();
        let Node { keys, pipeline, shared, .. } = self;
        drop((pipeline, shared));
        keys
    }
}
