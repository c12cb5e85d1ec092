//! A bounded cache of verified tokens, keyed by the BLAKE3 digest of the token.
//!
//! It holds what a token allows, never the token. Only tokens that verified get in, so forged ones
//! cannot push others out. Time and connection are checked on every use: a hit saves the parsing
//! and the HMAC chain, nothing else.

use super::error::CapError;
use super::grants::Capability;
use super::verify::{Context, Verifier};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

type Digest = [u8; 32];

/// A [`Verifier`] that remembers for a while. Share it between threads by reference.
#[derive(Debug)]
pub struct CachedVerifier {
    verifier: Verifier,
    ttl_ms: u64,
    capacity: usize,
    verified: Mutex<Verified>,
}

/// Invariant: `by_age` holds each key of `entries` exactly once.
#[derive(Debug, Default)]
struct Verified {
    entries: HashMap<Digest, Entry>,
    /// Oldest first, by when the key came in.
    by_age: VecDeque<Digest>,
}

#[derive(Debug)]
struct Entry {
    capability: Arc<Capability>,
    from_ms: u64,
    until_ms: u64,
}

impl CachedVerifier {
    /// Remembers at most `capacity` tokens, each for `ttl` and not beyond its expiry. A change of
    /// the keyring needs a new verifier. A `ttl` or `capacity` of zero remembers nothing.
    pub fn new(verifier: Verifier, ttl: Duration, capacity: usize) -> Self {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Self { verifier, ttl_ms, capacity, verified: Mutex::default() }
    }

    /// As [`Verifier::verify`].
    ///
    /// # Errors
    /// As [`Verifier::verify`]; a refusal is not remembered.
    pub fn verify(
        &self,
        token: &str,
        now_ms: u64,
        context: &Context,
    ) -> Result<Arc<Capability>, CapError> {
        let digest = *blake3::hash(token.as_bytes()).as_bytes();
        let hit = self.verified.lock().get(&digest, now_ms);
        if let Some(capability) = hit {
            capability.admits(now_ms, context)?;
            return Ok(capability);
        }
        let capability = Arc::new(self.verifier.verify(token, now_ms, context)?);
        if self.capacity > 0 {
            let entry = Entry {
                capability: Arc::clone(&capability),
                from_ms: now_ms,
                until_ms: now_ms.saturating_add(self.ttl_ms).min(capability.expires_ms()),
            };
            self.verified.lock().put(digest, entry, now_ms, self.capacity);
        }
        Ok(capability)
    }

    /// How many tokens are remembered now.
    pub fn len(&self) -> usize {
        self.verified.lock().entries.len()
    }

    /// Whether no token is remembered now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Verified {
    fn get(&self, digest: &Digest, now_ms: u64) -> Option<Arc<Capability>> {
        let entry = self.entries.get(digest)?;
        entry.is_fresh(now_ms).then(|| Arc::clone(&entry.capability))
    }

    fn put(&mut self, digest: Digest, entry: Entry, now_ms: u64, capacity: usize) {
        // A stale entry, or one that another thread has just put in, keeps its place in `by_age`.
        if let Some(present) = self.entries.get_mut(&digest) {
            *present = entry;
            return;
        }
        while let Some(oldest) = self.by_age.front() {
            if self.entries.len() < capacity && self.entries[oldest].is_fresh(now_ms) {
                break;
            }
            self.entries.remove(oldest);
            self.by_age.pop_front();
        }
        self.by_age.push_back(digest);
        self.entries.insert(digest, entry);
    }
}

impl Entry {
    /// Also stale before it came in: the wall clock has been set back, and without this the entry
    /// would live that much longer.
    fn is_fresh(&self, now_ms: u64) -> bool {
        (self.from_ms..self.until_ms).contains(&now_ms)
    }
}
