//! The names that entries carry. Each is checked once, when it is made, and never again: a value of
//! one of these types is proof that its length and its characters are within the limits. A copy of
//! one is the same text, and costs no allocation: up to 23 bytes lie in place, and a longer text is shared.

use std::fmt;

use serde::{Serialize, Serializer};
use smallvec::SmallVec;
use smol_str::SmolStr;

/// Why a text is not a name. The message is safe to show to a client: it never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text has no characters at all.
    #[error("must not be empty")]
    Empty,
    /// The text is longer than the type allows.
    #[error("must be at most {0} characters")]
    TooLong(usize),
    /// The text has a character outside of the allowed set, which is named.
    #[error("must consist of {0}")]
    Charset(&'static str),
}

fn check(
    text: &[u8],
    max: usize,
    charset: &'static str,
    allowed: fn(u8) -> bool,
) -> Result<(), NameError> {
    match text.len() {
        0 => Err(NameError::Empty),
        length if length > max => Err(NameError::TooLong(max)),
        _ if text.iter().all(|&byte| allowed(byte)) => Ok(()),
        _ => Err(NameError::Charset(charset)),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal, $charset:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SmolStr);

        impl $name {
            /// The longest name, in bytes (the characters are ASCII).
            pub const MAX_BYTES: usize = $max;

            /// Checks and takes the text.
            ///
            /// # Errors
            /// [`NameError`] when it is empty, too long, or has another character.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                let text = text.as_ref();
                check(text.as_bytes(), Self::MAX_BYTES, $charset, $allowed)?;
                Ok(Self(SmolStr::new(text)))
            }

            /// Checks bytes, then takes them as the text that they are.
            ///
            /// # Errors
            /// [`NameError`] as of [`Self::new`]; bytes that are no text have another character.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, NameError> {
                check(bytes, Self::MAX_BYTES, $charset, $allowed)?;
                let text = std::str::from_utf8(bytes).expect("what is allowed is ASCII");
                Ok(Self(SmolStr::new(text)))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

const fn path_like(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'@' | b'/' | b'-')
}

const fn asset_like(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
}

const fn key_like(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

name!(
    /// Who holds value: 1 to 128 of `[A-Za-z0-9._:@/-]`.
    AccountId, 128, "letters, digits and . _ : @ / -", path_like
);
name!(
    /// What is held: 1 to 16 of `[A-Z0-9._-]`.
    Asset, 16, "capital letters, digits and . _ -", asset_like
);
name!(
    /// Which root key stands behind a capability, or which capability: 1 to 64 of `[A-Za-z0-9._-]`.
    KeyName, 64, "letters, digits and . _ -", key_like
);
name!(
    /// The client's idempotency id of a request: 1 to 64 of `[A-Za-z0-9._:@/-]`.
    IdemId, 64, "letters, digits and . _ : @ / -", path_like
);

impl KeyName {
    /// Stands where a verified KID will stand. The prevalidator replaces it in every entry before
    /// the entry goes on; it never reaches the log.
    pub fn unverified() -> Self {
        KeyName(SmolStr::new_static("unverified"))
    }
}

/// An account and an asset as one key: `len(account)`, account, asset.
///
/// The length in front keeps two pairs of names from ever being the same bytes, and lets all
/// assets of one account be found by [`AccountKey::prefix`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey(SmallVec<[u8; KEY_BYTES_INLINE]>);

/// The key of a UUID and an asset of three letters lies in place; a longer one is allocated.
const KEY_BYTES_INLINE: usize = 40;

impl AccountKey {
    /// The key of `asset` held by `account`.
    pub fn new(account: &AccountId, asset: &Asset) -> Self {
        let mut key = SmallVec::with_capacity(1 + account.0.len() + asset.0.len());
        key.push(account.0.len() as u8);
        key.extend_from_slice(account.0.as_bytes());
        key.extend_from_slice(asset.0.as_bytes());
        AccountKey(key)
    }

    /// What the keys of all assets of `account`, and no others, start with.
    pub fn prefix(account: &AccountId) -> Vec<u8> {
        let mut key = Vec::with_capacity(1 + account.0.len() + Asset::MAX_BYTES);
        key.push(account.0.len() as u8);
        key.extend_from_slice(account.0.as_bytes());
        key
    }

    /// Takes back what [`AccountKey::as_bytes`] gave; `None` when the bytes are no such key.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let key = AccountKey(bytes.into());
        key.names().map(|_| key)
    }

    /// The two names of this key; `None` never happens for a key made by [`AccountKey::new`].
    pub fn names(&self) -> Option<(AccountId, Asset)> {
        let (&length, rest) = self.0.split_first()?;
        let (account, asset) = rest.split_at_checked(usize::from(length))?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        Some((AccountId::new(text(account)?).ok()?, Asset::new(text(asset)?).ok()?))
    }

    /// What is the same in the keys of all assets of its account: see [`AccountKey::prefix`].
    pub fn account_bytes(&self) -> &[u8] {
        &self.0[..1 + usize::from(self.0[0])]
    }

    /// The bytes, as they are stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// In the order of the bytes, so that a range of bytes finds the keys of one account.
impl std::borrow::Borrow<[u8]> for AccountKey {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_their_limits() {
        assert!(AccountId::new("acct:a/b.c_d@e-f").is_ok());
        assert_eq!(AccountId::new(""), Err(NameError::Empty));
        assert!(AccountId::new("x".repeat(128)).is_ok());
        assert_eq!(AccountId::new("x".repeat(129)), Err(NameError::TooLong(128)));
        assert!(Asset::new("USD.X_1-").is_ok());
        for bad in ["a\n", "a b", "a\0", "\u{e9}", "a\"", "a\\"] {
            assert!(matches!(AccountId::new(bad), Err(NameError::Charset(_))), "{bad:?}");
            assert!(matches!(IdemId::new(bad), Err(NameError::Charset(_))), "{bad:?}");
        }
        assert!(matches!(Asset::new("usd"), Err(NameError::Charset(_))));
        assert_eq!(Asset::new("A".repeat(17)), Err(NameError::TooLong(16)));
        assert!(matches!(KeyName::new("a:b"), Err(NameError::Charset(_))));
        assert!(matches!(AccountId::from_bytes(b"a\xff"), Err(NameError::Charset(_))));
        assert_eq!(AccountId::from_bytes(&[0xff; 129]), Err(NameError::TooLong(128)));
        assert_eq!(AccountId::from_bytes(b"a/b"), AccountId::new("a/b"));
    }

    #[test]
    fn no_two_pairs_of_names_share_a_key() {
        let key = |account: &str, asset: &str| {
            AccountKey::new(&AccountId::new(account).unwrap(), &Asset::new(asset).unwrap())
        };
        assert_ne!(key("A", "BC"), key("AB", "C"));
        let long = AccountId::new("AB").unwrap();
        assert!(!key("A", "BC").as_bytes().starts_with(&AccountKey::prefix(&long)));
        assert_eq!(key("A", "BC").names().unwrap().1.as_str(), "BC");
        assert_eq!(AccountKey::from_bytes(key("A", "BC").as_bytes()), Some(key("A", "BC")));
        assert_eq!(AccountKey::from_bytes(b"\x09AB"), None);
    }
}
