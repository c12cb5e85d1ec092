//! The keys of a log over time: the one that signs, the one before it, and those that signed once.
//!
//! In the signing directory stand `signing.key`; after a rotation `previous.key`, which signs beside
//! it so that nobody has to change keys at once; and of each key that was retired
//! `retired-<key id>.vkey`, its verifier key alone, by which an old note is still known as ours.
//! Every step leaves a directory that loads, wherever a crash interrupts it.

use std::path::Path;

use super::private_file;
use super::signing::{FILE, SigningKey, SigningKeyError};
use crate::accumulator::{Signer, VerifierKey};

const PREVIOUS: &str = "previous.key";
const RETIRED_PREFIX: &str = "retired-";
const RETIRED_SUFFIX: &str = ".vkey";

/// The most retired keys that a log may have.
pub const RETIRED_MAX: usize = 64;

/// The keys of a log.
#[derive(Debug)]
pub struct SigningKeys {
    current: SigningKey,
    made_ms: u64,
    previous: Option<SigningKey>,
    retired: Vec<VerifierKey>,
}

impl SigningKeys {
    /// Reads the directory.
    ///
    /// # Errors
    /// As [`SigningKey::load`], for each of the files; and when there are more than
    /// [`RETIRED_MAX`] retired keys, or keys of more than one origin.
    pub fn load(dir: &Path) -> Result<Self, SigningKeyError> {
        let current = SigningKey::load(dir)?;
        let made_ms = private_file::written_ms(&dir.join(FILE))?;
        let path = dir.join(PREVIOUS);
        let previous = match path.exists() {
            true => Some(SigningKey::load_file(&path)?),
            false => None,
        };
        // A rotation that a crash interrupted has not made the new key yet.
        let previous = previous.filter(|key| key.seed().expose() != current.seed().expose());
        let retired = retired(dir)?;
        let origins = previous.iter().map(SigningKey::origin);
        let mut origins = origins.chain(retired.iter().map(VerifierKey::name));
        if origins.any(|origin| origin != current.origin()) {
            return Err(SigningKeyError::MixedOrigins { dir: dir.to_owned() });
        }
        Ok(SigningKeys { current, made_ms, previous, retired })
    }

    /// Makes a new key, which signs from the next start on, beside the one of now.
    ///
    /// # Errors
    /// [`SigningKeyError::Overlap`] while there is a previous key: retire it first.
    pub fn rotate(dir: &Path, seed: Option<&[u8; 32]>) -> Result<Self, SigningKeyError> {
        let keys = Self::load(dir)?;
        if keys.previous.is_some() {
            return Err(SigningKeyError::Overlap);
        }
        keys.current.write(&dir.join(PREVIOUS))?;
        SigningKey::new(keys.current.origin(), seed)?.write(&dir.join(FILE))?;
        Self::load(dir)
    }

    /// Ends the overlap: the previous key's seed is deleted, its verifier key is kept.
    ///
    /// # Errors
    /// [`SigningKeyError::NoPrevious`] when there is none.
    pub fn retire(dir: &Path) -> Result<Self, SigningKeyError> {
        let keys = Self::load(dir)?;
        let previous = keys.previous.ok_or(SigningKeyError::NoPrevious)?;
        if keys.retired.len() >= RETIRED_MAX {
            return Err(SigningKeyError::TooMany);
        }
        let key = previous.verifier_key()?;
        let path = dir.join(format!("{RETIRED_PREFIX}{:08x}{RETIRED_SUFFIX}", key.id()));
        private_file::replace(&path, &[key.to_string().as_bytes(), b"\n"])?;
        private_file::remove(&dir.join(PREVIOUS))?;
        Self::load(dir)
    }

    /// The key that signs.
    pub fn current(&self) -> &SigningKey {
        &self.current
    }

    /// When the file of the key that signs was written, in unix milliseconds.
    pub fn made_ms(&self) -> u64 {
        self.made_ms
    }

    /// The key that signs beside it.
    pub fn previous(&self) -> Option<&SigningKey> {
        self.previous.as_ref()
    }

    /// The keys that sign no more, in the order of their ids.
    pub fn retired(&self) -> &[VerifierKey] {
        &self.retired
    }
}

impl SigningKey {
    /// Who signs notes with this key.
    ///
    /// # Errors
    /// [`SigningKeyError::Origin`] for an origin that names no key.
    pub fn signer(&self) -> Result<Signer, SigningKeyError> {
        Signer::new(self.origin(), self.seed().expose()).map_err(|_| SigningKeyError::Origin)
    }

    /// The public half.
    ///
    /// # Errors
    /// As [`SigningKey::signer`].
    pub fn verifier_key(&self) -> Result<VerifierKey, SigningKeyError> {
        Ok(self.signer()?.verifier_key().clone())
    }
}

fn retired(dir: &Path) -> Result<Vec<VerifierKey>, SigningKeyError> {
    let mut paths = private_file::list(dir)?;
    paths.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(RETIRED_PREFIX) && name.ends_with(RETIRED_SUFFIX)
    });
    if paths.len() > RETIRED_MAX {
        return Err(SigningKeyError::TooMany);
    }
    paths.sort_unstable();
    let read = |path: std::path::PathBuf| -> Result<VerifierKey, SigningKeyError> {
        let text = private_file::read(&path)?;
        text.trim_end().parse().map_err(|_| SigningKeyError::NoVerifierKey { path })
    };
    paths.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const ORIGIN: &str = "ledger.example/node-1";

    fn made() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        SigningKey::create(dir.path(), ORIGIN, Some(&[1; 32])).unwrap();
        dir
    }

    /// The first byte of each seed: of the current key and of the previous one; and the retired ids.
    fn state(dir: &Path) -> (u8, Option<u8>, usize) {
        let keys = SigningKeys::load(dir).unwrap();
        let first = |key: &SigningKey| key.seed().expose()[0];
        (first(keys.current()), keys.previous().map(first), keys.retired().len())
    }

    #[test]
    fn a_key_signs_then_signs_beside_its_successor_then_is_only_known() {
        let dir = made();
        let old = SigningKey::load(dir.path()).unwrap().verifier_key().unwrap();
        assert_eq!(state(dir.path()), (1, None, 0));
        SigningKeys::rotate(dir.path(), Some(&[2; 32])).unwrap();
        assert_eq!(state(dir.path()), (2, Some(1), 0));
        let again = SigningKeys::rotate(dir.path(), Some(&[3; 32]));
        assert!(matches!(again, Err(SigningKeyError::Overlap)));
        SigningKeys::retire(dir.path()).unwrap();
        assert_eq!(state(dir.path()), (2, None, 1));
        assert_eq!(SigningKeys::load(dir.path()).unwrap().retired(), [old]);
        assert!(matches!(SigningKeys::retire(dir.path()), Err(SigningKeyError::NoPrevious)));
        SigningKeys::rotate(dir.path(), None).unwrap();
        assert_eq!(state(dir.path()).1, Some(2));
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains(&"01".repeat(32)), "the seed of a retired key is left");
        }
    }

    #[test]
    fn a_crash_between_two_files_leaves_a_directory_that_loads_and_goes_on() {
        let dir = made();
        let path = |name: &str| dir.path().join(name);
        // A rotation that wrote the first of its two files.
        fs::copy(path(FILE), path(PREVIOUS)).unwrap();
        assert_eq!(state(dir.path()), (1, None, 0));
        SigningKeys::rotate(dir.path(), Some(&[2; 32])).unwrap();
        assert_eq!(state(dir.path()), (2, Some(1), 0));
        // A retirement that did not remove the seed.
        fs::copy(path(PREVIOUS), path("kept")).unwrap();
        SigningKeys::retire(dir.path()).unwrap();
        fs::rename(path("kept"), path(PREVIOUS)).unwrap();
        assert_eq!(state(dir.path()), (2, Some(1), 1));
        SigningKeys::retire(dir.path()).unwrap();
        assert_eq!(state(dir.path()), (2, None, 1));
    }

    #[test]
    fn keys_of_another_origin_and_texts_that_are_none_are_refused() {
        let dir = made();
        let other = SigningKey::new("elsewhere/ledger", Some(&[9; 32])).unwrap();
        other.write(&dir.path().join(PREVIOUS)).unwrap();
        let mixed = SigningKeys::load(dir.path());
        assert!(matches!(mixed, Err(SigningKeyError::MixedOrigins { .. })));
        fs::remove_file(dir.path().join(PREVIOUS)).unwrap();
        let bad = dir.path().join("retired-00000000.vkey");
        private_file::create(&bad, &[b"nonsense\n"]).unwrap();
        let refused = SigningKeys::load(dir.path());
        assert!(matches!(refused, Err(SigningKeyError::NoVerifierKey { .. })));
        fs::remove_file(&bad).unwrap();
        let key = SigningKey::load(dir.path()).unwrap().verifier_key().unwrap().to_string();
        for number in 0..=RETIRED_MAX {
            let path = dir.path().join(format!("retired-{number:08x}.vkey"));
            private_file::create(&path, &[key.as_bytes(), b"\n"]).unwrap();
        }
        assert!(matches!(SigningKeys::load(dir.path()), Err(SigningKeyError::TooMany)));
    }
}
