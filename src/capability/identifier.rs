//! The identifier of a macaroon: `1:<kid>:<capability id>`.
//!
//! It is the only part of a token that may be logged. The version comes first so that a later
//! form cannot be mistaken for this one.

use std::fmt;

/// The longest kid or capability id, in bytes.
pub const IDENTIFIER_PART_LEN_MAX: usize = 64;

const VERSION: &str = "1";

/// Names the root key and the capability of a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identifier {
    kid: String,
    id: String,
}

/// Why an identifier was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// Not three parts, or another version.
    #[error("the identifier must read 1:<kid>:<capability id>")]
    Form,
    /// A part is empty, too long, or has a character that is not allowed.
    #[error("a kid or capability id must be 1 to 64 characters of A-Z a-z 0-9 . _ -")]
    Part,
}

impl Identifier {
    /// Joins a kid and a capability id, each 1..=64 bytes of `[A-Za-z0-9._-]`.
    ///
    /// # Errors
    /// [`IdentifierError::Part`] when one of them is not.
    pub fn new(kid: &str, id: &str) -> Result<Self, IdentifierError> {
        if !is_part(kid) || !is_part(id) {
            return Err(IdentifierError::Part);
        }
        Ok(Self { kid: kid.to_owned(), id: id.to_owned() })
    }

    /// Reads an identifier; nothing is trimmed or forgiven.
    ///
    /// # Errors
    /// [`IdentifierError`] for anything that [`fmt::Display`] would not have written.
    pub fn parse(bytes: &[u8]) -> Result<Self, IdentifierError> {
        let text = std::str::from_utf8(bytes).map_err(|_| IdentifierError::Form)?;
        let mut parts = text.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(VERSION), Some(kid), Some(id), None) => Self::new(kid, id),
            _ => Err(IdentifierError::Form),
        }
    }

    /// The id of the root key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The id of the capability.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Splits into kid and capability id.
    pub fn into_parts(self) -> (String, String) {
        (self.kid, self.id)
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}:{}:{}", self.kid, self.id)
    }
}

/// Whether `text` can be a kid or a capability id.
pub(super) fn is_part(text: &str) -> bool {
    (1..=IDENTIFIER_PART_LEN_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_round_trip() {
        let longest = "k".repeat(IDENTIFIER_PART_LEN_MAX);
        for (kid, id) in [("root-1", "tenant-7"), ("a", "b"), (&longest, &longest)] {
            let identifier = Identifier::new(kid, id).unwrap();
            let read = Identifier::parse(identifier.to_string().as_bytes()).unwrap();
            assert_eq!((read.kid(), read.id()), (kid, id));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let too_long = format!("1:{}:a", "k".repeat(IDENTIFIER_PART_LEN_MAX + 1));
        let refused = [
            "", "1", "1:a", "1:a:", "1::a", "1:a:b:", "1:a:b:c", "2:a:b", "01:a:b", " 1:a:b",
            "1:a:b\n", "1:a/:b", "1:a:..%", &too_long,
        ];
        for text in refused {
            assert!(Identifier::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(Identifier::parse(b"1:a:\xff").is_err());
    }
}
