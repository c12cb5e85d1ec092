//! The bearer's token: whoever has the text has the authority.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::capability::TOKEN_LEN_MAX;

/// The text of a capability, wiped when dropped and hidden from `Debug`.
#[derive(Clone)]
pub struct BearerToken(Zeroizing<String>);

impl BearerToken {
    /// Takes the text; what stands around it is cut off.
    ///
    /// # Errors
    /// `InvalidData` when it is empty, longer than any token, or not plain ASCII.
    pub fn new(text: String) -> io::Result<Self> {
        let text = Zeroizing::new(text);
        let token = text.trim();
        let fits = (1..=TOKEN_LEN_MAX).contains(&token.len());
        if !fits || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = "is not a token: want one line of base64url";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(BearerToken(Zeroizing::new(token.to_owned())))
    }

    /// Reads the text from a file, which is read through a bound.
    ///
    /// # Errors
    /// Of the file, or as [`BearerToken::new`].
    pub fn read(path: &Path) -> io::Result<Self> {
        let bound = TOKEN_LEN_MAX as u64 + 64;
        // Reserved in full, so that growing leaves no copy behind.
        let mut text = String::with_capacity(bound as usize);
        File::open(path)?.take(bound).read_to_string(&mut text)?;
        Self::new(text)
    }

    /// The text itself. Do not copy it to where it is not wiped.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_token() {
        let token = BearerToken::new(" MDAxc2VjcmV0\n".to_owned()).unwrap();
        assert_eq!(token.expose(), "MDAxc2VjcmV0");
        assert_eq!(format!("{token:?}"), "BearerToken(hidden)");
    }

    #[test]
    fn what_cannot_be_a_token_is_refused_without_showing_it() {
        let long = "A".repeat(TOKEN_LEN_MAX + 1);
        for bad in ["", " \n", "two words", "new\nline", "\u{e9}t\u{e9}", &long] {
            let message = BearerToken::new(bad.to_owned()).unwrap_err().to_string();
            assert_eq!(message, "is not a token: want one line of base64url");
        }
    }

    #[test]
    fn a_file_is_read_through_a_bound() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc\n").unwrap();
        assert_eq!(BearerToken::read(file.path()).unwrap().expose(), "abc");
        std::fs::write(file.path(), "A".repeat(1 << 20)).unwrap();
        assert!(BearerToken::read(file.path()).is_err());
    }
}
