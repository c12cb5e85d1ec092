//! What a ledger states of its snapshots and its archive: one line that says what it is, one line of
//! JSON, signed as a note by the ledger's checkpoint key.
//!
//! No statement can be taken for a checkpoint, nor the other way round: the second line of a checkpoint
//! is a decimal size, and no JSON object is one.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::accumulator::{NoteError, SignedNote, VerifierKey};

/// What a statement is about: its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A snapshot.
    Snapshot,
    /// An archive: the ledger that it is of.
    Archive,
    /// One segment of an archive.
    Segment,
}

impl About {
    const fn line(self) -> &'static str {
        match self {
            About::Snapshot => "ron-ledger-snapshot/1",
            About::Archive => "ron-ledger-archive/1",
            About::Segment => "ron-ledger-segment/1",
        }
    }
}

/// The text of a statement, ready to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement(String);

impl Statement {
    /// Puts it into words.
    ///
    /// # Panics
    /// When `body` has no JSON form: a struct of texts and numbers has one.
    pub fn new(about: About, body: &impl Serialize) -> Self {
        let body = serde_json::to_string(body).expect("a struct of texts and numbers is JSON");
        Statement(format!("{}\n{body}\n", about.line()))
    }

    /// What is signed.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Why a statement is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The note, or its signature.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Signed, and about something else, or of a version that this program does not read.
    #[error("it is no statement that begins with `{0}`")]
    OtherKind(&'static str),
    /// Signed, and not in the form of this version.
    #[error("it does not read: {0}")]
    Form(String),
}

/// Reads a statement that at least one of `keys` has signed.
///
/// # Errors
/// [`StatementError`].
pub fn open<T: DeserializeOwned>(
    about: About,
    note: &[u8],
    keys: &[VerifierKey],
) -> Result<T, StatementError> {
    let note = SignedNote::parse(note)?;
    body(about, note.verify(keys)?.text)
}

/// Reads a statement whose signature nobody has checked: for listings alone.
///
/// # Errors
/// [`StatementError`].
pub fn peek<T: DeserializeOwned>(about: About, note: &[u8]) -> Result<T, StatementError> {
    body(about, SignedNote::parse(note)?.text())
}

fn body<T: DeserializeOwned>(about: About, text: &str) -> Result<T, StatementError> {
    let line = about.line();
    let (first, body) = text.split_once('\n').ok_or(StatementError::OtherKind(line))?;
    if first != line {
        return Err(StatementError::OtherKind(line));
    }
    serde_json::from_str(body).map_err(|error| StatementError::Form(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accumulator::{Checkpoint, Hash, Signer, sign_checkpoint};

    #[test]
    fn a_statement_is_believed_by_its_key_and_its_kind_alone() {
        let signer = Signer::new("example.org/log", &[7; 32]).unwrap();
        let keys = [signer.verifier_key().clone()];
        let stranger = [Signer::new("example.org/log", &[8; 32]).unwrap().verifier_key().clone()];
        let said = Statement::new(About::Segment, &("one", 2));
        let note = signer.sign(said.text()).unwrap().encode();
        let opened = |about, note: &str, keys: &[VerifierKey]| {
            open::<(String, u8)>(about, note.as_bytes(), keys)
        };
        assert_eq!(opened(About::Segment, &note, &keys), Ok(("one".to_owned(), 2)));
        assert_eq!(
            opened(About::Segment, &note, &stranger),
            Err(StatementError::Note(NoteError::Unverified))
        );
        for other in [About::Snapshot, About::Archive] {
            let wrong = opened(other, &note, &keys);
            assert!(matches!(wrong, Err(StatementError::OtherKind(_))), "{wrong:?}");
        }
        let changed = note.replace("one", "two");
        assert_eq!(
            opened(About::Segment, &changed, &keys),
            Err(StatementError::Note(NoteError::BadSignature))
        );
    }

    #[test]
    fn no_statement_is_a_checkpoint_and_no_checkpoint_a_statement() {
        for about in [About::Snapshot, About::Archive, About::Segment] {
            // The origin that comes nearest to one.
            let signer = Signer::new(about.line(), &[7; 32]).unwrap();
            let keys = [signer.verifier_key().clone()];
            let said = Statement::new(about, &vec![0; 3]);
            let note = signer.sign(said.text()).unwrap().encode();
            assert!(Checkpoint::open(note.as_bytes(), about.line(), &keys).is_err());
            let checkpoint = Checkpoint::new(about.line(), 7, Hash([1; 32])).unwrap();
            let note = sign_checkpoint(&signer, &checkpoint).encode();
            assert!(open::<Vec<u8>>(about, note.as_bytes(), &keys).is_err());
        }
    }
}
