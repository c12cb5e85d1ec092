//! A bounded cache of verified tokens, keyed by the BLAKE3 digest of the token.
//!
//! It holds what a token allows, never the token. Only tokens that verified get in, so forged ones
//! cannot push others out. Time and connection are checked on every use: a hit saves the parsing
//! and the HMAC chain, nothing else. So are revocations, which bite at once, and a new keyring
//! forgets all that was verified by the one before it.
//!
//! Where a key service verifies, there is no keyring here: [`CachedVerifier::lookup`] reads a token and
//! says that it is [`Unproven`], the caller asks the service, and [`CachedVerifier::proven`] remembers.
//! What the token allows is read off its own caveats either way.

use super::error::CapError;
use super::grants::Capability;
use super::keyring::Keyring;
use super::revoked::{Revoked, RevokedFull, Subject};
use super::verify::{Context, Verifier};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

type Digest = [u8; 32];

/// A [`Verifier`] that remembers for a while. Share it between threads by reference.
#[derive(Debug)]
pub struct CachedVerifier {
    ttl_ms: u64,
    grace_ms: u64,
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
    /// From `until_ms` up to here it is good for nothing but [`Unproven::remembered`].
    kept_until_ms: u64,
}

/// What is known of a token without asking anybody.
#[derive(Debug)]
pub enum Lookup {
    /// All there is to verify.
    Verified(Arc<Capability>),
    /// It reads as a token that may be used now; a key service has to say whether it is genuine.
    Unproven(Unproven),
}

/// A token that nobody has vouched for. It gives no capability out before.
pub struct Unproven {
    digest: Digest,
    capability: Arc<Capability>,
    was_verified: bool,
}

// By hand: what is not proven is not worth showing.
impl fmt::Debug for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unproven(..)")
    }
}

impl Unproven {
    /// What it allows, if the key service has vouched for it not long ago: for reads, while that service
    /// does not answer.
    pub fn remembered(&self) -> Option<Arc<Capability>> {
        self.was_verified.then(|| Arc::clone(&self.capability))
    }
}

impl CachedVerifier {
    /// Remembers at most `capacity` tokens, each for `ttl` and not beyond its expiry. A `ttl` or
    /// `capacity` of zero remembers nothing. Nothing is revoked yet.
    pub fn new(verifier: Verifier, ttl: Duration, capacity: usize) -> Self {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let verified = Mutex::new(Verified::by(verifier));
        Self { ttl_ms, grace_ms: 0, capacity, verified, revoked: RwLock::default() }
    }

    /// As [`CachedVerifier::new`], where a key service verifies. What it has vouched for is remembered for
    /// `grace` too, if that is longer, and then known to be old.
    pub fn by_key_service(ttl: Duration, grace: Duration, capacity: usize) -> Self {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        Self { grace_ms, ..Self::new(Verifier::without_keyring(), ttl, capacity) }
    }

    /// Goes on with another keyring, and forgets what the one before it has verified.
    pub fn reload(&self, keyring: Keyring) {
        *self.verified.lock() = Verified::by(Verifier::new(keyring));
    }

    /// Calls with the root keys of now; there are none where a key service verifies.
    pub fn with_keyring<T>(&self, look: impl FnOnce(Option<&Keyring>) -> T) -> T {
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
    /// As [`Verifier::verify`]; [`CapError::Revoked`] or [`CapError::KeyRevoked`]; [`CapError::Unproven`]
    /// where a key service would have to be asked. A refusal is not remembered.
    pub fn verify(
        &self,
        token: &str,
        now_ms: u64,
        context: &Context,
    ) -> Result<Arc<Capability>, CapError> {
        match self.lookup(token, now_ms, context)? {
            Lookup::Verified(capability) => Ok(capability),
            Lookup::Unproven(_) => Err(CapError::Unproven),
        }
    }

    /// All of [`CachedVerifier::verify`] that asks nobody. What a token says against itself is seen
    /// before a key service is troubled with it.
    ///
    /// # Errors
    /// As [`CachedVerifier::verify`].
    pub fn lookup(&self, token: &str, now_ms: u64, context: &Context) -> Result<Lookup, CapError> {
        let digest = *blake3::hash(token.as_bytes()).as_bytes();
        let (hit, was_verified, verifier) = {
            let verified = self.verified.lock();
            let hit = verified.get(&digest, now_ms);
            (hit, verified.keeps(&digest, now_ms), Arc::clone(&verified.verifier))
        };
        if let Some(capability) = hit {
            self.admits(&capability, now_ms, context)?;
            return Ok(Lookup::Verified(capability));
        }
        let is_local = verifier.keyring().is_some();
        let capability = match is_local {
            true => Arc::new(verifier.authenticate(token)?),
            false => Arc::new(Verifier::read(token)?),
        };
        self.admits(&capability, now_ms, context)?;
        if !is_local {
            return Ok(Lookup::Unproven(Unproven { digest, capability, was_verified }));
        }
        self.remember(digest, &capability, now_ms, &verifier);
        Ok(Lookup::Verified(capability))
    }

    /// The key service has vouched for the token: remembers it, and gives out what it allows.
    ///
    /// # Errors
    /// [`CapError`] of a token that may no longer be used.
    pub fn proven(
        &self,
        unproven: Unproven,
        now_ms: u64,
        context: &Context,
    ) -> Result<Arc<Capability>, CapError> {
        let Unproven { digest, capability, .. } = unproven;
        self.admits(&capability, now_ms, context)?;
        let verifier = Arc::clone(&self.verified.lock().verifier);
        self.remember(digest, &capability, now_ms, &verifier);
        Ok(capability)
    }

    /// The key service does not vouch for the token, or no longer: nothing of it is remembered.
    pub fn disproven(&self, unproven: &Unproven) {
        self.verified.lock().forget(&unproven.digest);
    }

    fn admits(
        &self,
        capability: &Capability,
        now_ms: u64,
        context: &Context,
    ) -> Result<(), CapError> {
        self.revoked.read().admits(capability)?;
        capability.admits(now_ms, context)
    }

    fn remember(
        &self,
        digest: Digest,
        capability: &Arc<Capability>,
        now_ms: u64,
        verifier: &Arc<Verifier>,
    ) {
        if self.capacity == 0 {
            return;
        }
        let until = |ms: u64| now_ms.saturating_add(ms).min(capability.expires_ms());
        let entry = Entry {
            capability: Arc::clone(capability),
            from_ms: now_ms,
            until_ms: until(self.ttl_ms),
            kept_until_ms: until(self.ttl_ms.max(self.grace_ms)),
        };
        let mut verified = self.verified.lock();
        // Else the keyring has changed meanwhile, and this is no longer to be remembered.
        if Arc::ptr_eq(&verified.verifier, verifier) {
            verified.put(digest, entry, now_ms, self.capacity);
        }
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

    fn keeps(&self, digest: &Digest, now_ms: u64) -> bool {
        self.entries.get(digest).is_some_and(|entry| entry.is_kept(now_ms))
    }

    /// Its place in `by_age` stays, as an entry that is stale from now on.
    fn forget(&mut self, digest: &Digest) {
        if let Some(entry) = self.entries.get_mut(digest) {
            (entry.until_ms, entry.kept_until_ms) = (0, 0);
        }
    }

    fn put(&mut self, digest: Digest, entry: Entry, now_ms: u64, capacity: usize) {
        // A stale entry, or one that another thread has just put in, keeps its place in `by_age`.
        if let Some(present) = self.entries.get_mut(&digest) {
            *present = entry;
            return;
        }
        while let Some(oldest) = self.by_age.front() {
            if self.entries.len() < capacity && self.entries[oldest].is_kept(now_ms) {
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

    fn is_kept(&self, now_ms: u64) -> bool {
        (self.from_ms..self.kept_until_ms).contains(&now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::{Action, Caveat, Peer, Plane, mint};

    const NOW_MS: u64 = 1_700_000_000_000;
    const API: Context = Context { plane: Plane::Api, peer: Peer::Tls };

    fn token(expires_ms: u64) -> String {
        let dir = tempfile::tempdir().unwrap();
        let keyring = Keyring::create(&dir.path().join("caps"), Some(&[7; 32])).unwrap();
        let caveats = [Caveat::Actions(vec![Action::Mint]), Caveat::ExpiresMs(expires_ms)];
        mint(&keyring, "cap-1", &caveats, NOW_MS).unwrap().expose().to_owned()
    }

    fn remote(capacity: usize) -> CachedVerifier {
        let (ttl, grace) = (Duration::from_secs(2), Duration::from_secs(60));
        CachedVerifier::by_key_service(ttl, grace, capacity)
    }

    fn unproven(cache: &CachedVerifier, token: &str, now_ms: u64) -> Unproven {
        match cache.lookup(token, now_ms, &API) {
            Ok(Lookup::Unproven(unproven)) => unproven,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_key_service_vouched_for_is_fresh_for_a_while_and_known_for_longer() {
        let (cache, token) = (remote(8), token(NOW_MS + 30_000));
        let first = unproven(&cache, &token, NOW_MS);
        assert!(first.remembered().is_none());
        assert_eq!(cache.verify(&token, NOW_MS, &API), Err(CapError::Unproven));
        let capability = cache.proven(first, NOW_MS, &API).unwrap();
        assert!(capability.permits(Action::Mint) && !capability.permits(Action::Burn));
        assert!(cache.verify(&token, NOW_MS + 1_999, &API).is_ok());
        let old = |at| unproven(&cache, &token, NOW_MS + at).remembered();
        assert_eq!(old(2_000), Some(Arc::clone(&capability)));
        assert_eq!(old(29_999), Some(capability), "and not beyond its expiry");
        assert!(matches!(cache.lookup(&token, NOW_MS + 30_000, &API), Err(CapError::Expired)));
        assert!(matches!(cache.lookup("AgEC", NOW_MS, &API), Err(CapError::Malformed(_))));
        assert!(matches!(cache.lookup("", NOW_MS, &API), Err(CapError::Missing)));
    }

    #[test]
    fn what_it_takes_back_and_what_is_revoked_here_is_not_remembered() {
        let (cache, token) = (remote(8), token(NOW_MS + 30_000));
        let at = NOW_MS + 5_000;
        cache.proven(unproven(&cache, &token, NOW_MS), NOW_MS, &API).unwrap();
        cache.disproven(&unproven(&cache, &token, at));
        assert!(unproven(&cache, &token, at).remembered().is_none());
        let asked = unproven(&cache, &token, at);
        cache.revoke(Subject::id("cap-1").unwrap(), at).unwrap();
        assert_eq!(cache.proven(asked, at, &API), Err(CapError::Revoked), "revoked meanwhile");
        assert!(matches!(cache.lookup(&token, at, &API), Err(CapError::Revoked)));
    }

    #[test]
    fn no_more_tokens_are_known_than_there_is_room_for() {
        let cache = remote(2);
        for expires_ms in (30_000..30_010).map(|ms| NOW_MS + ms) {
            let token = token(expires_ms);
            cache.proven(unproven(&cache, &token, NOW_MS), NOW_MS, &API).unwrap();
        }
        assert_eq!(cache.len(), 2);
    }
}
