//! The Ed25519 keys of C2SP signed notes: the signer, and the verifier key ("vkey") that it prints.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::note::{NoteError, NoteSignature, SignedNote, check_text};

/// The signature type of plain Ed25519 note signatures.
const TYPE_ED25519: u8 = 0x01;

/// The longest name of a key that is used here: as much as a cosigned message can name.
const NAME_BYTES_MAX: usize = 255;

/// A name and an Ed25519 key that signs one kind of message under it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct NamedKey {
    name: String,
    kind: u8,
    id: u32,
    key: VerifyingKey,
}

impl NamedKey {
    pub(super) fn new(name: String, kind: u8, key: VerifyingKey) -> Result<Self, KeyError> {
        if !is_key_name(&name) || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
            return Err(KeyError::Name);
        }
        if key.is_weak() {
            return Err(KeyError::Point);
        }
        let id = key_id(&name, kind, key.as_bytes());
        Ok(NamedKey { name, kind, id, key })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn parse(text: &str, kind_wanted: u8) -> Result<Self, KeyError> {
        // The base64 may hold a `+`; the name may not.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(blob)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Form);
        };
        let mut id_bytes = [0; 4];
        hex::decode_to_slice(id, &mut id_bytes).map_err(|_| KeyError::Form)?;
        let blob = STANDARD.decode(blob).map_err(|_| KeyError::Form)?;
        let (&kind, key) = blob.split_first().ok_or(KeyError::Form)?;
        if kind != kind_wanted {
            return Err(KeyError::Type { found: kind, wanted: kind_wanted });
        }
        let key = VerifyingKey::try_from(key).map_err(|_| KeyError::Point)?;
        let key = NamedKey::new(name.to_owned(), kind, key)?;
        if key.id != u32::from_be_bytes(id_bytes) {
            return Err(KeyError::Id);
        }
        Ok(key)
    }

    /// Whether a signature claims to be by this key.
    pub(super) fn is_named_by(&self, signature: &NoteSignature) -> bool {
        self.id == signature.key_id() && self.name == signature.name()
    }

    /// Whether `signature` is a signature of `text` by this key.
    pub(super) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .and_then(|signature| self.key.verify_strict(text.as_bytes(), &signature))
            .is_ok()
    }
}

impl fmt::Display for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blob = [self.kind; 33];
        blob[1..].copy_from_slice(self.key.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, self.id, STANDARD.encode(blob))
    }
}

/// The public half of a signer, written as `<name>+<8 hex digits of key id>+<base64>`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey(NamedKey);

impl VerifierKey {
    /// The name of the key; for a log's key, the log's origin.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The key id: with the name it says which signatures are by this key.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether a signature claims to be by this key.
    pub fn is_named_by(&self, signature: &NoteSignature) -> bool {
        self.0.is_named_by(signature)
    }

    /// Whether `signature` is a signature of `text` by this key.
    pub(super) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        self.0.verifies(text, signature)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        NamedKey::parse(text, TYPE_ED25519).map(VerifierKey)
    }
}

/// Signs notes. The key is wiped from memory on drop and never shown.
pub struct Signer {
    key: SigningKey,
    public: VerifierKey,
}

impl Signer {
    /// The signer called `name` whose Ed25519 seed (RFC 8032) is `seed`.
    ///
    /// # Errors
    /// When the name is empty, longer than 255 bytes, or holds a space, a control character or `+`.
    pub fn new(name: impl Into<String>, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let key = SigningKey::from_bytes(seed);
        let public = NamedKey::new(name.into(), TYPE_ED25519, key.verifying_key())?;
        Ok(Signer { key, public: VerifierKey(public) })
    }

    /// The public half.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.public
    }

    /// Signs a text, which must end in a new line. The same text always gives the same note.
    ///
    /// # Errors
    /// When the text does not end in a new line, holds another control byte, or is too long.
    pub fn sign(&self, text: &str) -> Result<SignedNote, NoteError> {
        check_text(text)?;
        SignedNote::new(text.to_owned(), vec![self.signature_of(text)])
    }

    /// Adds this key's signature to those of a note.
    ///
    /// # Errors
    /// When the note becomes too long, or has as many signatures as it may.
    pub fn cosign(&self, note: &SignedNote) -> Result<SignedNote, NoteError> {
        note.clone().with([self.signature_of(note.text())])
    }

    fn signature_of(&self, text: &str) -> NoteSignature {
        let signature = self.key.sign(text.as_bytes()).to_bytes().to_vec();
        NoteSignature::new(self.public.name().to_owned(), self.public.id(), signature)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("public", &self.public).finish_non_exhaustive()
    }
}

/// Whether a signature line may bear this name: not empty, without white space or `+`.
pub(super) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+')
}

/// The first four bytes of `SHA-256(name || 0x0A || type || key)`, big-endian.
fn key_id(name: &str, kind: u8, key: &[u8; 32]) -> u32 {
    let digest =
        Sha256::new_with_prefix(name).chain_update([b'\n', kind]).chain_update(key).finalize();
    let [a, b, c, d, ..]: [u8; 32] = digest.into();
    u32::from_be_bytes([a, b, c, d])
}

/// Why a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name cannot be a key's.
    #[error("bad key name: want 1 to 255 bytes without spaces, control characters or `+`")]
    Name,
    /// Not in the form of a verifier key.
    #[error("not a verifier key: want <name>+<8 hex digits>+<base64>")]
    Form,
    /// A key of another kind.
    #[error("key type {found:#04x}, want {wanted:#04x} (0x01: a log's key, 0x04: a witness's)")]
    Type {
        /// The type of this one.
        found: u8,
        /// The type that is used here.
        wanted: u8,
    },
    /// Not a usable Ed25519 public key.
    #[error("not a usable Ed25519 public key")]
    Point,
    /// The key id is not the one of this name and key.
    #[error("the key id does not belong to the name and the key")]
    Id,
}
