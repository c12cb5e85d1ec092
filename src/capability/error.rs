//! Why a token was refused, in the two classes that the wire tells apart.

use super::caveat::CaveatError;
use super::grants::Denied;
use super::identifier::IdentifierError;
use super::macaroon::{BadSignature, MacaroonError};

/// Why a token was refused. Every message is safe to show to the client: none holds a part of the
/// token but the key of a caveat or the id of a root key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapError {
    /// No token was presented.
    #[error("no token was presented; it must come as one \"Authorization: Bearer <token>\"")]
    Missing,
    /// The token is not one that this ledger could have minted.
    #[error(transparent)]
    Malformed(#[from] MacaroonError),
    /// The token's identifier is not one that this ledger could have minted.
    #[error(transparent)]
    MalformedIdentifier(#[from] IdentifierError),
    /// The keyring has no such root key.
    #[error("the root key {kid:?} is not known here")]
    UnknownKid {
        /// The key id that the token names.
        kid: String,
    },
    /// Minted under another root key, or changed since.
    #[error(transparent)]
    BadSignature(#[from] BadSignature),
    /// The key service does not vouch for it.
    #[error("the key service does not vouch for the token")]
    Unproven,
    /// Its capability id is revoked.
    #[error("the capability has been revoked")]
    Revoked,
    /// The root key that it was minted under is revoked.
    #[error("the root key of the capability has been revoked")]
    KeyRevoked,
    /// The token's time is over.
    #[error("the capability has expired")]
    Expired,
    /// The token has no expiry, or one that is too far ahead.
    #[error("the capability must expire within 30 days")]
    TooLongLived,
    /// A caveat that is unknown or does not parse.
    #[error(transparent)]
    UnknownCaveat(#[from] CaveatError),
    /// A caveat does not hold.
    #[error(transparent)]
    Denied(#[from] Denied),
}

impl CapError {
    /// Whether the bearer is unknown (401 `unauth`), rather than known and refused (403
    /// `cap_invalid`).
    pub fn is_unauthenticated(&self) -> bool {
        match self {
            Self::Missing
            | Self::Malformed(_)
            | Self::MalformedIdentifier(_)
            | Self::UnknownKid { .. }
            | Self::BadSignature(_)
            | Self::Unproven => true,
            Self::Revoked
            | Self::KeyRevoked
            | Self::Expired
            | Self::TooLongLived
            | Self::UnknownCaveat(_)
            | Self::Denied(_) => false,
        }
    }
}
