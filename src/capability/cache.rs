//! A bounded cache of verified tokens, keyed by the BLAKE3 digest of the token.
//!
//! It holds what a token allows, never the token. Only tokens that verified get in, so forged ones
//! cannot push others out. Time and connection are checked on every use: a hit saves the parsing
//! and the HMAC chain, nothing else. So are revocations, which bite at once, and a new keyring
//! forgets all that was verified by the one before it.

use super::error::CapError;
use super::grants::Capability;
use super::keyring::Keyring;
use super::revoked::{Revoked, RevokedFull, Subject};
use super::verify::{Context, Verifier};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

type Digest = [u8; 32];

/// A [`Verifier`] that remembers for a while. Share it between threads by reference.
#[derive(Debug)]
pub struct CachedVerifier {
    ttl_ms: u64,
    capacity: usize,
    verified: Mutex<Verified>,
    revoked: RwLock<Revoked>,
}

/// Invariant: `by_age` holds each key of `entries` exactly once, and `verifier` has verified each.
#[derive(Debug)]
struct Verified {
    verifier: Arc<Verifier>,
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
    /// Remembers at most `capacity` tokens, each for `ttl` and not beyond its expiry. A `ttl` or
    /// `capacity` of zero remembers nothing. Nothing is revoked yet.
    pub fn new(verifier: Verifier, ttl: Duration, capacity: usize) -> Self {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let verified = Mutex::new(Verified::by(verifier));
        Self { ttl_ms, capacity, verified, revoked: RwLock::default() }
    }

    /// Goes on with another keyring, and forgets what the one before it has verified.
    pub fn reload(&self, keyring: Keyring) {
        *self.verified.lock() = Verified::by(Verifier::new(keyring));
    }

    /// Calls with the root keys of now.
    pub fn with_keyring<T>(&self, look: impl FnOnce(&Keyring) -> T) -> T {
        let verifier = Arc::clone(&self.verified.lock().verifier);
        look(verifier.keyring())
    }

    /// What is revoked from now on, instead of what was.
    pub fn restore(&self, revoked: Revoked) {
        *self.revoked.write() = revoked;
    }

    /// Revokes, for every check from now on, also of tokens that are remembered.
    ///
    /// # Errors
    /// [`RevokedFull`].
    pub fn revoke(&self, subject: Subject, now_ms: u64) -> Result<(), RevokedFull> {
        self.revoked.write().add(subject, now_ms)
    }

    /// Calls with what is revoked now. A revocation waits until it has ended.
    pub fn with_revoked<T>(&self, look: impl FnOnce(&Revoked) -> T) -> T {
        look(&self.revoked.read())
    }

    /// As [`Verifier::verify`], of tokens that are not revoked.
    ///
    /// # Errors
    /// As [`Verifier::verify`]; [`CapError::Revoked`] or [`CapError::KeyRevoked`]. A refusal is not
    /// remembered.
    pub fn verify(
        &self,
        token: &str,
        now_ms: u64,
        context: &Context,
    ) -> Result<Arc<Capability>, CapError> {
        let digest = *blake3::hash(token.as_bytes()).as_bytes();
        let (hit, verifier) = {
            let verified = self.verified.lock();
            (verified.get(&digest, now_ms), Arc::clone(&verified.verifier))
        };
        if let Some(capability) = hit {
            self.revoked.read().admits(&capability)?;
            capability.admits(now_ms, context)?;
            return Ok(capability);
        }
        let capability = Arc::new(verifier.authenticate(token)?);
        self.revoked.read().admits(&capability)?;
        capability.admits(now_ms, context)?;
        if self.capacity > 0 {
            let entry = Entry {
                capability: Arc::clone(&capability),
                from_ms: now_ms,
                until_ms: now_ms.saturating_add(self.ttl_ms).min(capability.expires_ms()),
            };
            let mut verified = self.verified.lock();
            // Else the keyring has changed meanwhile, and this is no longer to be remembered.
            if Arc::ptr_eq(&verified.verifier, &verifier) {
                verified.put(digest, entry, now_ms, self.capacity);
            }
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
    fn by(verifier: Verifier) -> Self {
        let (entries, by_age) = (HashMap::new(), VecDeque::new());
        Self { verifier: Arc::new(verifier), entries, by_age }
    }

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
