//! Memory that holds secrets: wiped when dropped, hidden from `Debug`.

use std::fmt;
use zeroize::Zeroizing;

/// A 32-byte key or seed. It lives on the heap, so that moving it leaves no copy behind.
pub struct Secret(Box<Zeroizing<[u8; 32]>>);

impl Secret {
    /// An all-zero secret that `fill` then writes in place.
    ///
    /// # Errors
    /// What `fill` returns.
    pub(super) fn try_fill<E>(
        fill: impl FnOnce(&mut [u8; 32]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Fresh from the operating system.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        Self::try_fill(|bytes| getrandom::fill(bytes))
    }

    /// Reads 64 hex digits; `None` for anything else.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        Self::try_fill(|bytes| hex::decode_to_slice(text, bytes)).ok()
    }

    /// The form in files: 64 lower-case hex digits and a newline.
    pub(super) fn to_hex_line(&self) -> Zeroizing<[u8; 65]> {
        let mut line = Zeroizing::new([b'\n'; 65]);
        hex::encode_to_slice(self.expose(), &mut line[..64]).expect("64 digits hold 32 bytes");
        line
    }

    /// The bytes themselves. Do not copy them to where they are not wiped.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Secret {
    /// Takes over bytes that the caller still has to wipe where they came from.
    fn from(bytes: [u8; 32]) -> Self {
        Self(Box::new(Zeroizing::new(bytes)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// A serialized macaroon, as a client presents it. Whoever has the text has the authority.
pub struct Token(Zeroizing<String>);

impl Token {
    pub(super) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one place that hands it to its bearer.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let secret = Secret::from([0xab; 32]);
        for shown in [format!("{secret:?}"), format!("{secret:#?}")] {
            assert!(!shown.contains("ab") && !shown.contains("171"), "{shown}");
        }
        assert_eq!(format!("{:?}", Token::new("AgEWaHR0".to_owned())), "Token(hidden)");
    }

    #[test]
    fn hex_round_trips_and_other_lengths_are_refused() {
        let secret = Secret::from([7; 32]);
        let line = String::from_utf8(secret.to_hex_line().to_vec()).unwrap();
        let hex = line.strip_suffix('\n').unwrap();
        assert_eq!(Secret::from_hex(hex).unwrap().expose(), &[7; 32]);
        for text in ["", &line, &hex[1..], &format!("{hex}00"), &hex.replace('0', "g")] {
            assert!(Secret::from_hex(text).is_none());
        }
    }

    #[test]
    fn random_secrets_differ() {
        assert_ne!(Secret::random().unwrap().expose(), Secret::random().unwrap().expose());
    }
}
