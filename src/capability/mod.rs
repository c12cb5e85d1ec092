//! Capabilities: macaroons, their caveats, and the keyring that mints and verifies them.
//!
//! A client presents a V2 macaroon whose identifier names a root key and a capability id. The
//! keyring proves the signature, the caveats say what the bearer may do, and nothing here reads a
//! clock: the caller gives the time. Secrets are wiped when dropped and never shown by `Debug`.

mod names;

mod caveat;
mod identifier;
mod macaroon;

mod private_file;
mod secret;

mod keyring;
mod rotation;
mod signing;

mod cache;
mod error;
mod grants;
mod mint;
mod revoked;
mod verify;

#[cfg(test)]
mod tests;

pub use cache::{CachedVerifier, Lookup, Unproven};
pub use caveat::{Caveat, CaveatError};
pub use error::CapError;
pub use grants::{Capability, Denied, LIFETIME_MS_MAX};
pub use identifier::{IDENTIFIER_PART_LEN_MAX, Identifier, IdentifierError};
pub use keyring::{KEY_AGE_MS_MAX, KEYS_MAX, Keyring, KeyringError};
pub use macaroon::{
    BadSignature, CAVEATS_MAX, FIELD_LEN_MAX, Macaroon, MacaroonError, TOKEN_LEN_MAX,
};
pub use mint::{MintError, attenuate, mint};
pub use names::{Action, Peer, Plane};
pub use private_file::PrivateFileError;
pub use revoked::{REVOKED_BYTES_MAX, REVOKED_MAX, Revoked, RevokedFull, Subject, forgotten_ms};
pub use rotation::{RETIRED_MAX, SigningKeys};
pub use secret::{Secret, Token};
pub use signing::{ORIGIN_LEN_MAX, SigningKey, SigningKeyError};
pub use verify::{Context, Verifier};
