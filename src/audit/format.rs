//! The lines of an export: a header, one line an entry, a trailer. All but the trailer is a function
//! of the range and the size alone.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::accumulator::{Hash, HashAlgo};
use crate::http::dto::Atoms;
use crate::ledger::entry::{ENTRY_VERSION, Entry, EntryId, Millis, Seq, Sequenced};

/// What the first line calls itself.
pub const FORMAT: &str = "ron-ledger-export";

/// The version of the format; a reader refuses every other.
pub const VERSION: u32 = 1;

/// The longest line that is read, in bytes. The longest that is written is that of a trailer whose
/// checkpoint has all the signatures that a note may have.
pub const LINE_BYTES_MAX: usize = 256 << 10;

/// What each byte is worth as a hex digit.
const HEX_VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut digit = 0;
    while digit < 16 {
        let letter = b"0123456789abcdef"[digit];
        values[letter as usize] = digit as u8;
        values[letter.to_ascii_uppercase() as usize] = digit as u8;
        digit += 1;
    }
    values
};

/// Above every digit.
const NO_DIGIT: u8 = 0x80;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The origin of the ledger's checkpoints.
    pub origin: String,
    /// The hash of its tree.
    pub hash: HashAlgo,
    /// The first entry.
    pub from: Seq,
    /// The last one.
    pub to: Seq,
    /// The size of the ledger by the checkpoint.
    pub size: Seq,
}

impl Header {
    /// Whether the line is one that this code reads.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("its format is not {FORMAT}"));
        }
        if self.version != VERSION {
            return Err(format!("its version is {}, this program reads {VERSION}", self.version));
        }
        if !(1 <= self.from && self.from <= self.to && self.to <= self.size) {
            return Err("its range is not 1 <= from <= to <= size".into());
        }
        // A tree has at most so many leaves.
        if self.size > u64::MAX >> 1 {
            return Err("its size is above 2^63 - 1".into());
        }
        Ok(())
    }
}

/// The last line: what shows that the entries are those that were signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trailer {
    /// SHA-256 over the `committed_at` of all lines, 8 bytes each: no root covers these times. It
    /// finds damage, and no lie.
    pub times_sha256: Hash,
    /// The range proof, from left to right.
    pub proof: Vec<Hash>,
    /// The signed note of the size.
    pub checkpoint: String,
}

/// The line of an entry, as it is read: `EntryOut` is what is written. Nothing is copied out of the
/// line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryLine<'a> {
    seq: Seq,
    linked: bool,
    /// When it was committed, in ms.
    pub committed_at: Millis,
    #[serde(borrow)]
    id: Text<'a>,
    ts: Millis,
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    account: Text<'a>,
    amount: Atoms,
    #[serde(borrow)]
    asset: Text<'a>,
    #[serde(borrow)]
    nonce: Text<'a>,
    #[serde(borrow)]
    capability_ref: Text<'a>,
    #[serde(borrow)]
    kid: Text<'a>,
    v: u8,
    #[serde(borrow, default)]
    counterparty: Option<Text<'a>>,
    #[serde(borrow, default)]
    reference: Option<Text<'a>>,
    #[serde(default)]
    expires_at: Option<Millis>,
    #[serde(default)]
    keep_open: bool,
    #[serde(borrow, default)]
    idem_id: Option<Text<'a>>,
    #[serde(borrow)]
    canonical: Text<'a>,
}

impl EntryLine<'_> {
    /// Writes the canonical bytes into `bytes`; false when they are not hex.
    pub fn canonical(&self, bytes: &mut Vec<u8>) -> bool {
        let digits = self.canonical.0.as_bytes();
        let (pairs, odd) = digits.as_chunks::<2>();
        bytes.clear();
        bytes.extend(pairs.iter().map(|[high, low]| {
            HEX_VALUES[usize::from(*high)] << 4 | HEX_VALUES[usize::from(*low)] & 0x0f
        }));
        // Looked at as a whole afterwards, so that neither loop has a branch.
        let wrong = digits.iter().fold(0, |seen, digit| seen | HEX_VALUES[usize::from(*digit)]);
        odd.is_empty() && wrong < NO_DIGIT
    }

    /// Holds the readable fields against what the canonical bytes say.
    ///
    /// # Errors
    /// The first field that says something else.
    pub fn agrees(&self, sequenced: &Sequenced) -> Result<(), &'static str> {
        let Sequenced { seq, linked, entry } = sequenced;
        let id_is = |text: &Text<'_>, id: &EntryId| EntryId::parse(&text.0).as_ref() == Some(id);
        let same = [
            ("seq", self.seq == *seq),
            ("linked", self.linked == *linked),
            ("id", id_is(&self.id, &entry.id)),
            ("ts", self.ts == entry.ts),
            ("kind", self.kind.0 == entry.kind.as_str()),
            ("account", self.account.0 == entry.account.as_str()),
            ("amount", self.amount.0 == entry.amount.get()),
            ("asset", self.asset.0 == entry.asset.as_str()),
            ("nonce", self.nonce_is(entry)),
            ("capability_ref", self.capability_ref.0 == entry.capability.as_str()),
            ("kid", self.kid.0 == entry.kid.as_str()),
            ("v", self.v == ENTRY_VERSION),
            (
                "counterparty",
                is(&self.counterparty, entry.counterparty.as_ref().map(|a| a.as_str())),
            ),
            (
                "reference",
                match (&self.reference, &entry.reference) {
                    (Some(text), Some(id)) => id_is(text, id),
                    (None, None) => true,
                    _ => false,
                },
            ),
            ("expires_at", self.expires_at == entry.expires_at),
            ("keep_open", self.keep_open == entry.keep_open),
            ("idem_id", is(&self.idem_id, entry.idem_id.as_ref().map(|id| id.as_str()))),
        ];
        same.iter().find(|(_, same)| !same).map_or(Ok(()), |(field, _)| Err(field))
    }

    fn nonce_is(&self, entry: &Entry) -> bool {
        // 24 digits may stand for 18 bytes, which the slice would be too short for.
        let mut nonce = [0; 16];
        let read = STANDARD.decode_slice(self.nonce.0.as_bytes(), &mut nonce);
        read == Ok(16) && nonce == entry.nonce
    }
}

fn is(text: &Option<Text<'_>>, wanted: Option<&str>) -> bool {
    text.as_ref().map(|text| &*text.0) == wanted
}

/// A text of the line, or its own when it has escapes. (`Option<Cow<str>>` would never borrow.)
#[derive(Debug)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrowing)
    }
}
