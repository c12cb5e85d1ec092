//! Making tokens: new ones from the keyring, narrower ones from any token.

use super::caveat::Caveat;
use super::error::CapError;
use super::grants::Capability;
use super::identifier::{Identifier, IdentifierError};
use super::keyring::Keyring;
use super::macaroon::{Macaroon, MacaroonError};
use super::secret::Token;

/// Why a token was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The capability id cannot stand in an identifier.
    #[error(transparent)]
    Identifier(#[from] IdentifierError),
    /// The token to narrow does not parse, or the result would be over a limit.
    #[error(transparent)]
    Macaroon(#[from] MacaroonError),
    /// The token would be refused on every use, or at `now_ms`.
    #[error("the token would be refused: {0}")]
    Refused(#[from] CapError),
}

/// Mints a token under the keyring's current root key. `caveats` must hold an expiry after
/// `now_ms` (unix milliseconds) and within [`super::LIFETIME_MS_MAX`] of it.
///
/// # Errors
/// [`MintError`]; nothing is minted that a verifier would refuse at `now_ms`.
pub fn mint(
    keyring: &Keyring,
    id: &str,
    caveats: &[Caveat],
    now_ms: u64,
) -> Result<Token, MintError> {
    let (kid, root_key) = keyring.current();
    let identifier = Identifier::new(kid, id)?;
    let macaroon = Macaroon::mint(root_key, None, identifier.to_string().as_bytes())?;
    let macaroon = narrowed(macaroon, caveats)?;
    Capability::from_verified(&macaroon)?.admits_time(now_ms)?;
    Ok(macaroon.serialize()?)
}

/// Narrows a token by more caveats; this needs no key. The token itself is not verified.
///
/// # Errors
/// [`MintError`], also when a caveat of the token or a new one would not parse.
pub fn attenuate(token: &str, caveats: &[Caveat]) -> Result<Token, MintError> {
    let macaroon = narrowed(Macaroon::parse(token)?, caveats)?;
    Capability::from_verified(&macaroon)?;
    Ok(macaroon.serialize()?)
}

fn narrowed(macaroon: Macaroon, caveats: &[Caveat]) -> Result<Macaroon, MacaroonError> {
    caveats
        .iter()
        .try_fold(macaroon, |macaroon, caveat| macaroon.attenuate(caveat.to_string().as_bytes()))
}
