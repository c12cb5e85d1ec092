//! From a bearer's text to a [`Capability`]: parse, find the root key, prove the chain, and only
//! then read the caveats. It reads no clock; the caller gives the time.

use super::error::CapError;
use super::grants::Capability;
use super::identifier::Identifier;
use super::keyring::Keyring;
use super::macaroon::Macaroon;
use super::names::{Peer, Plane};

/// Over what a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The listener family.
    pub plane: Plane,
    /// The kind of connection.
    pub peer: Peer,
}

/// Verifies tokens against the local keyring.
#[derive(Debug)]
pub struct Verifier {
    keyring: Keyring,
}

impl Verifier {
    /// Takes over the keyring.
    pub fn new(keyring: Keyring) -> Self {
        Self { keyring }
    }

    /// The root keys that it knows.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Verifies a token at `now_ms` (unix milliseconds) over the given connection.
    ///
    /// # Errors
    /// [`CapError`]; [`CapError::is_unauthenticated`] gives its class.
    pub fn verify(
        &self,
        token: &str,
        now_ms: u64,
        context: &Context,
    ) -> Result<Capability, CapError> {
        let capability = self.authenticate(token)?;
        capability.admits(now_ms, context)?;
        Ok(capability)
    }

    /// The part of [`Verifier::verify`] that depends on the token alone.
    pub(super) fn authenticate(&self, token: &str) -> Result<Capability, CapError> {
        if token.is_empty() {
            return Err(CapError::Missing);
        }
        let macaroon = Macaroon::parse(token)?;
        let identifier = Identifier::parse(macaroon.identifier())?;
        let root_key = self
            .keyring
            .root_key(identifier.kid())
            .ok_or_else(|| CapError::UnknownKid { kid: identifier.kid().to_owned() })?;
        macaroon.verify(root_key)?;
        Capability::from_verified(&macaroon)
    }
}
