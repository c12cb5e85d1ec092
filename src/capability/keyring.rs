//! The local keyring: a directory of root keys, and which of them mints.
//!
//! `<kid>.key` holds 64 hex digits and a newline; `current` holds the kid that mints now. The
//! directory is 0700, each file 0600. A token verifies as long as the file of its kid is there:
//! [`Keyring::rotate`] adds a key and points `current` to it; when the last token under the old key
//! has expired, remove the old file. Other files in the directory are ignored.

use super::identifier::is_part;
use super::private_file::{self, PrivateFileError};
use super::secret::Secret;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The most root keys in a keyring.
pub const KEYS_MAX: usize = 64;

const CURRENT: &str = "current";

/// The age at which a root key or a signing key should have been rotated, in milliseconds: 90 days.
/// Nothing refuses an older one.
pub const KEY_AGE_MS_MAX: u64 = 90 * 24 * 60 * 60 * 1000;

/// Root keys by kid.
#[derive(Debug)]
pub struct Keyring {
    keys: BTreeMap<String, RootKey>,
    /// Invariant: a key of `keys`.
    current: String,
}

#[derive(Debug)]
struct RootKey {
    secret: Secret,
    /// When its file was written, in unix milliseconds.
    made_ms: u64,
}

/// Why a keyring could not be opened or written. No message shows a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// A file could not be used.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// A key file that does not hold a key.
    #[error("{} must hold 64 hex digits and a newline", path.display())]
    NotAKey {
        /// The key file.
        path: PathBuf,
    },
    /// A key file whose name is not a kid.
    #[error(
        "the name of {} must be a kid of 1 to 64 characters of A-Z a-z 0-9 . _ - and .key",
        path.display()
    )]
    NotAKid {
        /// The key file.
        path: PathBuf,
    },
    /// `current` names no key of the keyring.
    #[error("{} must hold the kid of one of the key files beside it", path.display())]
    NoCurrent {
        /// The file `current`.
        path: PathBuf,
    },
    /// More than [`KEYS_MAX`] keys.
    #[error("{} would have more than 64 root keys: remove those that are not in use", dir.display())]
    TooManyKeys {
        /// The keyring's directory.
        dir: PathBuf,
    },
    /// The operating system gave no random bytes.
    #[error("cannot get random bytes: {0}")]
    Random(getrandom::Error),
}

impl Keyring {
    /// Reads the keyring in `dir`.
    ///
    /// # Errors
    /// [`KeyringError`]; also when group or others can use one of the files or write to the
    /// directory, with the `chmod` that mends it.
    pub fn open(dir: &Path) -> Result<Self, KeyringError> {
        private_file::check_dir(dir)?;
        let mut keys = BTreeMap::new();
        for path in private_file::list(dir)? {
            if path.extension().is_none_or(|extension| extension != "key") {
                continue;
            }
            if keys.len() == KEYS_MAX {
                return Err(KeyringError::TooManyKeys { dir: dir.to_owned() });
            }
            let (kid, secret) = read_key(&path)?;
            let made_ms = private_file::written_ms(&path)?;
            keys.insert(kid, RootKey { secret, made_ms });
        }
        let path = dir.join(CURRENT);
        let text = private_file::read(&path)?;
        let current = text.strip_suffix('\n').unwrap_or(&text).to_owned();
        if !keys.contains_key(&current) {
            return Err(KeyringError::NoCurrent { path });
        }
        Ok(Self { keys, current })
    }

    /// Makes a keyring with one key, `root-1`. The key is random, or derived from `seed`: then
    /// whoever knows the seed can mint, so give one in tests and development only.
    ///
    /// # Errors
    /// [`KeyringError`]; also when `dir` already has such a key: nothing is overwritten.
    pub fn create(dir: &Path, seed: Option<&[u8; 32]>) -> Result<Self, KeyringError> {
        private_file::create_dir(dir)?;
        let kid = kid_of(1);
        add_key(dir, &kid, seed)?;
        private_file::create(&dir.join(CURRENT), &[kid.as_bytes(), b"\n"])?;
        Self::open(dir)
    }

    /// Adds the next key, `root-<n>`, to the keyring in `dir` and makes it the one that mints.
    /// `seed` is as in [`Keyring::create`].
    ///
    /// # Errors
    /// [`KeyringError`]; then the key that mints is unchanged.
    pub fn rotate(dir: &Path, seed: Option<&[u8; 32]>) -> Result<Self, KeyringError> {
        let keyring = Self::open(dir)?;
        if keyring.keys.len() == KEYS_MAX {
            return Err(KeyringError::TooManyKeys { dir: dir.to_owned() });
        }
        let newest = keyring.keys.keys().filter_map(|kid| number_of(kid)).max().unwrap_or(0);
        let kid = kid_of(u64::from(newest) + 1);
        add_key(dir, &kid, seed)?;
        private_file::replace(&dir.join(CURRENT), &[kid.as_bytes(), b"\n"])?;
        Self::open(dir)
    }

    /// The kid that mints now, and its key.
    pub fn current(&self) -> (&str, &Secret) {
        (&self.current, &self.keys[&self.current].secret)
    }

    /// The key of a kid.
    pub fn root_key(&self, kid: &str) -> Option<&Secret> {
        self.keys.get(kid).map(|key| &key.secret)
    }

    /// Every kid, in the order of its bytes.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Every kid, and when the file of its key was written, in unix milliseconds. A copy that does
    /// not keep the times of files makes a key look younger than it is.
    pub fn made_ms(&self) -> impl Iterator<Item = (&str, u64)> {
        self.keys.iter().map(|(kid, key)| (kid.as_str(), key.made_ms))
    }
}

fn kid_of(number: u64) -> String {
    format!("root-{number}")
}

fn number_of(kid: &str) -> Option<u32> {
    kid.strip_prefix("root-")?.parse().ok()
}

fn read_key(path: &Path) -> Result<(String, Secret), KeyringError> {
    let kid = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .filter(|stem| is_part(stem))
        .ok_or_else(|| KeyringError::NotAKid { path: path.to_owned() })?;
    let text = private_file::read(path)?;
    let key = Secret::from_hex(text.strip_suffix('\n').unwrap_or(&text))
        .ok_or_else(|| KeyringError::NotAKey { path: path.to_owned() })?;
    Ok((kid.to_owned(), key))
}

fn add_key(dir: &Path, kid: &str, seed: Option<&[u8; 32]>) -> Result<(), KeyringError> {
    let key = match seed {
        Some(seed) => Secret::from(*blake3::keyed_hash(seed, kid.as_bytes()).as_bytes()),
        None => Secret::random().map_err(KeyringError::Random)?,
    };
    let path = dir.join(format!("{kid}.key"));
    Ok(private_file::create(&path, &[&*key.to_hex_line()])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    const SEED: [u8; 32] = [7; 32];

    fn new_dir() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("caps");
        (parent, dir)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_created_opens_and_is_its_owners_alone() {
        let (_parent, dir) = new_dir();
        let created = Keyring::create(&dir, None).unwrap();
        let opened = Keyring::open(&dir).unwrap();
        assert_eq!(opened.current().0, "root-1");
        assert_eq!(opened.current().1.expose(), created.current().1.expose());
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(mode(&dir.join("root-1.key")), 0o600);
        assert_eq!(mode(&dir.join("current")), 0o600);
    }

    #[test]
    fn a_seed_gives_the_same_keys_and_chance_others() {
        let keys = [Some(&SEED), Some(&SEED), Some(&[8; 32]), None, None].map(|seed| {
            let (_parent, dir) = new_dir();
            *Keyring::create(&dir, seed).unwrap().current().1.expose()
        });
        assert_eq!(keys[0], keys[1]);
        assert!((2..5).all(|i| (0..i).all(|j| keys[i] != keys[j])));
        assert_ne!(keys[0], SEED);
    }

    #[test]
    fn create_overwrites_nothing() {
        let (_parent, dir) = new_dir();
        let created = Keyring::create(&dir, None).unwrap();
        assert!(matches!(Keyring::create(&dir, None), Err(KeyringError::File(_))));
        let opened = Keyring::open(&dir).unwrap();
        assert_eq!(opened.current().1.expose(), created.current().1.expose());
    }

    #[test]
    fn rotation_adds_a_key_and_keeps_the_old_ones() {
        let (_parent, dir) = new_dir();
        let first = Keyring::create(&dir, Some(&SEED)).unwrap();
        // What a crash in the middle of an earlier rotation could have left.
        fs::write(dir.join("current.new"), "root-").unwrap();
        let rotated = Keyring::rotate(&dir, Some(&SEED)).unwrap();
        assert_eq!(rotated.current().0, "root-2");
        assert!(rotated.kids().eq(["root-1", "root-2"]));
        let old = rotated.root_key("root-1").unwrap();
        assert_eq!(old.expose(), first.current().1.expose());
        assert_ne!(old.expose(), rotated.current().1.expose());
        assert_eq!(mode(&dir.join("root-2.key")), 0o600);
        assert_eq!(mode(&dir.join("current")), 0o600);
        assert!(!dir.join("current.new").exists());
    }

    #[test]
    fn what_others_can_reach_is_refused_with_the_command_that_mends_it() {
        let exposed = [
            ("root-1.key", 0o640, "chmod 600"),
            ("root-1.key", 0o604, "chmod 600"),
            ("root-1.key", 0o620, "chmod 600"),
            ("current", 0o644, "chmod 600"),
            ("", 0o770, "chmod 700"),
            ("", 0o702, "chmod 700"),
        ];
        for (name, mode, command) in exposed {
            let (_parent, dir) = new_dir();
            Keyring::create(&dir, Some(&SEED)).unwrap();
            let path = if name.is_empty() { dir.clone() } else { dir.join(name) };
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let message = Keyring::open(&dir).unwrap_err().to_string();
            let command = format!("`{command} {}`", path.display());
            assert!(message.contains(&command), "{message}");
            assert!(message.contains(&format!("mode {mode:03o}")), "{message}");
        }
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_without_showing_it() {
        let hex = "ab".repeat(32);
        let wrong = [
            ("root-1.key", String::new()),
            ("root-1.key", hex[1..].to_owned()),
            ("root-1.key", format!("{hex}\n\n")),
            ("root-1.key", format!(" {hex}")),
            ("root-1.key", hex.repeat(17)),
            ("other key.key", hex.clone()),
            ("current", "root-2\n".to_owned()),
            ("current", String::new()),
        ];
        for (name, contents) in wrong {
            let (_parent, dir) = new_dir();
            Keyring::create(&dir, Some(&SEED)).unwrap();
            let path = dir.join(name);
            fs::write(&path, &contents).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let error = Keyring::open(&dir).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(name) && !shown.contains("abab"), "{shown}");
        }
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let (_parent, dir) = new_dir();
        Keyring::create(&dir, Some(&SEED)).unwrap();
        for number in 2..=KEYS_MAX as u64 {
            add_key(&dir, &kid_of(number), Some(&SEED)).unwrap();
        }
        assert_eq!(Keyring::open(&dir).unwrap().kids().count(), KEYS_MAX);
        let refused = Keyring::rotate(&dir, Some(&SEED));
        assert!(matches!(refused, Err(KeyringError::TooManyKeys { .. })));
        add_key(&dir, "one-more", Some(&SEED)).unwrap();
        assert!(matches!(Keyring::open(&dir), Err(KeyringError::TooManyKeys { .. })));
    }

    #[test]
    fn debug_shows_no_key() {
        let (_parent, dir) = new_dir();
        let keyring = Keyring::create(&dir, Some(&SEED)).unwrap();
        let key = *keyring.current().1.expose();
        let shown = format!("{keyring:?}");
        assert!(shown.contains("root-1"), "{shown}");
        assert!(!shown.contains(&hex::encode(key)) && !shown.contains(&format!("{key:?}")));
    }
}
