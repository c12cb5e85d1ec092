//! C2SP signed notes: a text, an empty line, and one line for each signature:
//! U+2014, a space, the key's name, a space, base64 of (4-byte key id, signature).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::{VerifierKey, is_key_name};

/// The longest note that is read or made, in bytes, signatures included.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;

/// The most signatures that a note may bear; the specification asks for 16 at least.
pub const SIGNATURES_MAX: usize = 64;

/// What a signature line begins with: an em dash and a space.
const LINE_PREFIX: &str = "\u{2014} ";

/// One signature line, whether or not the key is known. Debug shows who signed, not what.
#[derive(Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    key_id: u32,
    bytes: Vec<u8>,
}

impl NoteSignature {
    pub(super) fn new(name: String, key_id: u32, bytes: Vec<u8>) -> Self {
        NoteSignature { name, key_id, bytes }
    }

    /// The name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the key.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The signature proper: what follows the key id. At least one byte.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads signature lines, each with its line end, as a witness sends them.
    ///
    /// # Errors
    /// When there is none, there are too many, or one is not in due form.
    pub fn parse_lines(lines: &str) -> Result<Vec<Self>, NoteError> {
        if lines.is_empty() {
            return Err(NoteError::NoSignature);
        }
        let lines = lines.strip_suffix('\n').ok_or(NoteError::NoLineEnd)?;
        if lines.split('\n').count() > SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        let parsed: Option<Vec<_>> = lines.split('\n').map(NoteSignature::parse).collect();
        parsed.ok_or(NoteError::BadLine)
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, blob) = line.strip_prefix(LINE_PREFIX)?.split_once(' ')?;
        let blob = STANDARD.decode(blob).ok()?;
        let (key_id, bytes) = blob.split_first_chunk()?;
        if !is_key_name(name) || bytes.is_empty() {
            return None;
        }
        Some(NoteSignature::new(name.to_owned(), u32::from_be_bytes(*key_id), bytes.to_vec()))
    }

    /// The line, with its line end.
    pub fn encode(&self) -> String {
        let blob = [&self.key_id.to_be_bytes(), &self.bytes[..]].concat();
        format!("{LINE_PREFIX}{} {}\n", self.name, STANDARD.encode(blob))
    }
}

impl fmt::Debug for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}", self.name, self.key_id)
    }
}

/// A note in due form. Nothing is known of its signatures until [`SignedNote::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    pub(super) fn new(text: String, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        let note = SignedNote { text, signatures };
        if note.signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        if note.encode().len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLarge);
        }
        Ok(note)
    }

    /// Reads a note. The text ends at the last empty line.
    ///
    /// # Errors
    /// Whatever is not a note within the limits, by the first rule that it breaks.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLarge);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::NotUtf8)?;
        if note.bytes().any(is_barred) {
            return Err(NoteError::ControlByte);
        }
        let blank = note.rfind("\n\n").ok_or(NoteError::NoSignature)?;
        let (text, lines) = (&note[..=blank], &note[blank + 2..]);
        Ok(SignedNote { text: text.to_owned(), signatures: NoteSignature::parse_lines(lines)? })
    }

    /// The note as it is sent and stored: byte for byte what [`SignedNote::parse`] was given.
    pub fn encode(&self) -> String {
        let lines: String = self.signatures.iter().map(NoteSignature::encode).collect();
        format!("{}\n{lines}", self.text)
    }

    /// The note with more signatures at its end, such as those of witnesses.
    ///
    /// # Errors
    /// [`NoteError::TooManySignatures`] and [`NoteError::TooLarge`].
    pub fn with(
        mut self,
        more: impl IntoIterator<Item = NoteSignature>,
    ) -> Result<Self, NoteError> {
        self.signatures.extend(more);
        if self.signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        SignedNote::new(self.text, self.signatures)
    }

    /// The text, of which nothing may be believed before [`SignedNote::verify`].
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signatures, by known keys or not, in their order.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Checks every signature that is by one of `keys` (name and id); others are ignored.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] when one by a known key is wrong, whatever the others are, and
    /// [`NoteError::Unverified`] when there is none by a known key.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<Verified<'_>, NoteError> {
        let mut signatures: Vec<&NoteSignature> = Vec::new();
        for signature in &self.signatures {
            let mut known = false;
            for key in keys.iter().filter(|key| key.is_named_by(signature)) {
                if !key.verifies(&self.text, &signature.bytes) {
                    return Err(NoteError::BadSignature);
                }
                known = true;
            }
            let by_same_key =
                |s: &&NoteSignature| s.key_id == signature.key_id && s.name == signature.name;
            if known && !signatures.iter().any(by_same_key) {
                signatures.push(signature);
            }
        }
        if signatures.is_empty() {
            return Err(NoteError::Unverified);
        }
        Ok(Verified { text: &self.text, signatures })
    }
}

/// What [`SignedNote::verify`] vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<'a> {
    /// The text that was signed, with its last new line.
    pub text: &'a str,
    /// The good signatures: at least one, and one for each key.
    pub signatures: Vec<&'a NoteSignature>,
}

/// Checks that a text can be signed.
pub(super) fn check_text(text: &str) -> Result<(), NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::NoLineEnd);
    }
    if text.bytes().any(is_barred) {
        return Err(NoteError::ControlByte);
    }
    Ok(())
}

/// Control bytes other than the new line.
fn is_barred(byte: u8) -> bool {
    byte < 0x20 && byte != b'\n'
}

/// Why a note is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`NOTE_BYTES_MAX`].
    #[error("the note is longer than {NOTE_BYTES_MAX} bytes")]
    TooLarge,
    /// Not UTF-8.
    #[error("the note is not UTF-8")]
    NotUtf8,
    /// A byte below 0x20 that is no new line.
    #[error("the note holds a control byte other than a new line")]
    ControlByte,
    /// No empty line, or nothing after it.
    #[error("the note has no signatures: want an empty line and signature lines at its end")]
    NoSignature,
    /// The last line is not ended.
    #[error("the note does not end in a new line")]
    NoLineEnd,
    /// More than [`SIGNATURES_MAX`].
    #[error("the note has more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    /// A line after the empty one is no signature line.
    #[error("the note has a malformed signature line")]
    BadLine,
    /// A signature by a known key is wrong.
    #[error("a signature by a known key does not verify")]
    BadSignature,
    /// No signature by a known key.
    #[error("the note has no signature by a known key")]
    Unverified,
}
