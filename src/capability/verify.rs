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
    /// None where a key service verifies.
    keyring: Option<Keyring>,
}

impl Verifier {
    /// Takes over the keyring.
    pub fn new(keyring: Keyring) -> Self {
        Self { keyring: Some(keyring) }
    }

    /// One that verifies nothing by itself.
    pub(super) fn without_keyring() -> Self {
        Self { keyring: None }
    }

    /// The root keys that it knows; none where a key service verifies.
    pub fn keyring(&self) -> Option<&Keyring> {
        self.keyring.as_ref()
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
        let (macaroon, identifier) = parse(token)?;
        let keyring = self.keyring.as_ref().ok_or(CapError::Unproven)?;
        let root_key = keyring
            .root_key(identifier.kid())
            .ok_or_else(|| CapError::UnknownKid { kid: identifier.kid().to_owned() })?;
        macaroon.verify(root_key)?;
        Capability::from_verified(&macaroon)
    }

    /// What a token would allow, **if** a key service vouches for it.
    pub(super) fn read(token: &str) -> Result<Capability, CapError> {
        Capability::from_verified(&parse(token)?.0)
    }
}

fn parse(token: &str) -> Result<(Macaroon, Identifier), CapError> {
    if token.is_empty() {
        return Err(CapError::Missing);
    }
    let macaroon = Macaroon::parse(token)?;
    let identifier = Identifier::parse(macaroon.identifier())?;
    Ok((macaroon, identifier))
}
