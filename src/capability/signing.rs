//! The key with which the node signs its checkpoints.
//!
//! `signing.key`, 0600 in a directory of 0700, has two lines:
//!
//! ```text
//! origin ledger.example/node-1
//! seed <64 hex digits: the Ed25519 seed>
//! ```
//!
//! The origin is the first line of every checkpoint and the name of its signature (C2SP
//! tlog-checkpoint and signed-note), so it is kept with the key that speaks for it.

use super::private_file::{self, PrivateFileError};
use super::secret::Secret;
use std::path::{Path, PathBuf};

/// The longest origin, in bytes.
pub const ORIGIN_LEN_MAX: usize = 255;

/// The key that signs.
pub(super) const FILE: &str = "signing.key";

/// An origin and the Ed25519 seed that signs for it.
#[derive(Debug)]
pub struct SigningKey {
    origin: String,
    seed: Secret,
}

/// Why a signing key could not be read or made. No message shows the seed.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The file could not be used.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// Not the two lines.
    #[error("{} must hold the lines `origin NAME` and `seed 64-HEX-DIGITS`", path.display())]
    Malformed {
        /// The key file.
        path: PathBuf,
    },
    /// An origin that cannot name a signature.
    #[error("the origin must be 1 to 255 visible ascii characters without `+`")]
    Origin,
    /// The operating system gave no random bytes.
    #[error("cannot get random bytes: {0}")]
    Random(getrandom::Error),
    /// A second rotation before the first one has ended.
    #[error("the previous key still signs: end that with `ron-ledgerctl key retire` first")]
    Overlap,
    /// Nothing to retire.
    #[error("there is no previous key: `ron-ledgerctl key rotate` makes one of the current one")]
    NoPrevious,
    /// Keys that name different logs.
    #[error("the keys in {} are not all of one origin", dir.display())]
    MixedOrigins {
        /// The signing directory.
        dir: PathBuf,
    },
    /// A retired key's file.
    #[error("{} must hold a verifier key", path.display())]
    NoVerifierKey {
        /// The file.
        path: PathBuf,
    },
    /// More retired keys than a log may have.
    #[error("there are more than {} retired keys", super::rotation::RETIRED_MAX)]
    TooMany,
}

impl SigningKey {
    /// Reads `signing.key` in `dir`.
    ///
    /// # Errors
    /// [`SigningKeyError`]; also when group or others can use the file or write to the directory,
    /// with the `chmod` that mends it.
    pub fn load(dir: &Path) -> Result<Self, SigningKeyError> {
        private_file::check_dir(dir)?;
        Self::load_file(&dir.join(FILE))
    }

    pub(super) fn load_file(path: &Path) -> Result<Self, SigningKeyError> {
        let text = private_file::read(path)?;
        Self::parse(&text).ok_or_else(|| SigningKeyError::Malformed { path: path.to_owned() })
    }

    /// Makes a key for `origin`; the seed is random unless it is given.
    ///
    /// # Errors
    /// [`SigningKeyError`]; also when `dir` already has a key: nothing is overwritten.
    pub fn create(
        dir: &Path,
        origin: &str,
        seed: Option<&[u8; 32]>,
    ) -> Result<Self, SigningKeyError> {
        let key = Self::new(origin, seed)?;
        private_file::create_dir(dir)?;
        private_file::create(&dir.join(FILE), &key.parts(&*key.seed.to_hex_line()))?;
        Ok(key)
    }

    pub(super) fn new(origin: &str, seed: Option<&[u8; 32]>) -> Result<Self, SigningKeyError> {
        if !is_origin(origin) {
            return Err(SigningKeyError::Origin);
        }
        let seed = match seed {
            Some(seed) => Secret::from(*seed),
            None => Secret::random().map_err(SigningKeyError::Random)?,
        };
        Ok(Self { origin: origin.to_owned(), seed })
    }

    /// Puts the key in the place of what is there.
    pub(super) fn write(&self, path: &Path) -> Result<(), SigningKeyError> {
        Ok(private_file::replace(path, &self.parts(&*self.seed.to_hex_line()))?)
    }

    /// The file, given the line of the seed.
    fn parts<'a>(&'a self, seed_line: &'a [u8]) -> [&'a [u8]; 4] {
        [b"origin ", self.origin.as_bytes(), b"\nseed ", seed_line]
    }

    /// The name that the signatures carry.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The Ed25519 seed.
    pub fn seed(&self) -> &Secret {
        &self.seed
    }

    fn parse(text: &str) -> Option<Self> {
        let (origin, seed) = text.strip_prefix("origin ")?.split_once("\nseed ")?;
        let seed = Secret::from_hex(seed.strip_suffix('\n').unwrap_or(seed))?;
        is_origin(origin).then(|| Self { origin: origin.to_owned(), seed })
    }
}

/// A note's key name has no space and no `+`, which part it from the signature's key hash.
fn is_origin(text: &str) -> bool {
    (1..=ORIGIN_LEN_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'+')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    const ORIGIN: &str = "ledger.example/node-1";
    const SEED: [u8; 32] = [0xab; 32];

    #[test]
    fn the_file_is_two_lines_and_loads_back() {
        let dir = tempfile::tempdir().unwrap();
        SigningKey::create(dir.path(), ORIGIN, Some(&SEED)).unwrap();
        let path = dir.path().join(FILE);
        let hex = "ab".repeat(32);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("origin {ORIGIN}\nseed {hex}\n"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let loaded = SigningKey::load(dir.path()).unwrap();
        assert_eq!((loaded.origin(), loaded.seed().expose()), (ORIGIN, &SEED));
    }

    #[test]
    fn seeds_are_random_and_nothing_is_overwritten() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, other] = dirs
            .each_ref()
            .map(|dir| *SigningKey::create(dir.path(), ORIGIN, None).unwrap().seed().expose());
        assert_ne!(one, other);
        let again = SigningKey::create(dirs[0].path(), ORIGIN, None);
        assert!(matches!(again, Err(SigningKeyError::File(_))));
        assert_eq!(SigningKey::load(dirs[0].path()).unwrap().seed().expose(), &one);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_command_that_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        SigningKey::create(dir.path(), ORIGIN, Some(&SEED)).unwrap();
        let path = dir.path().join(FILE);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let message = SigningKey::load(dir.path()).unwrap_err().to_string();
        assert!(message.contains(&format!("`chmod 600 {}`", path.display())), "{message}");
    }

    #[test]
    fn malformed_files_and_origins_are_refused() {
        let hex = "ab".repeat(32);
        for text in [
            String::new(),
            format!("seed {hex}\n"),
            format!("origin \nseed {hex}\n"),
            format!("origin a b\nseed {hex}\n"),
            format!("origin a\nseed {hex}\n\n"),
            format!("origin a\nseed {hex}00\n"),
            format!("origin a\n\nseed {hex}\n"),
        ] {
            assert!(SigningKey::parse(&text).is_none(), "{text:?}");
        }
        let dir = tempfile::tempdir().unwrap();
        for origin in ["", "a b", "a+b", "a\nb", "\u{e9}", &"a".repeat(ORIGIN_LEN_MAX + 1)] {
            let refused = SigningKey::create(dir.path(), origin, None);
            assert!(matches!(refused, Err(SigningKeyError::Origin)), "{origin:?}");
        }
    }

    #[test]
    fn debug_shows_no_seed() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::create(dir.path(), ORIGIN, Some(&SEED)).unwrap();
        let shown = format!("{key:?}");
        assert!(shown.contains(ORIGIN) && !shown.contains("abab") && !shown.contains("171"));
    }
}
