//! What stands on the wire, as types: the server writes the answers with them, and clients write
//! requests and read answers. Texts are borrowed where they can be.
//!
//! The server does not read requests with these types but with `parse`, which names the
//! field that is wrong; a test holds the two together. `docs/API.md` describes each field.

mod reads;

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

pub use self::reads::{
    AccountOut, AssetOut, BalanceOut, ConsistencyOut, EntriesOut, EntryAtOut, EntryOut, HoldOut,
    InclusionOut, RangeProofOut, RootOut, RootsOut, SupplyOut, TLOG_PROOF,
};

/// An amount of atoms; on the wire a decimal string, since many JSON readers have only doubles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Atoms(pub u128);

/// The decimal string of [`Atoms`]: digits only, no leading zero but for zero itself.
pub(crate) fn parse_atoms(text: &str) -> Option<u128> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let shortest = text == "0" || !text.starts_with('0');
    // What is left for `parse` to refuse is the empty text and what exceeds 128 bits.
    if plain && shortest { text.parse().ok() } else { None }
}

impl fmt::Display for Atoms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Atoms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Atoms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Atoms;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal string of atoms, at most 2^128-1")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Atoms, E> {
                let atoms = parse_atoms(text);
                atoms.map(Atoms).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The body of `POST /ingest`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestIn<'a> {
    /// The entries, in order; at least one.
    #[serde(borrow)]
    pub batch: Vec<EntryIn<'a>>,
    /// Part of the idempotency tuple of each entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idem_id: Option<Cow<'a, str>>,
    /// All or nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub atomic: bool,
}

/// One entry of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryIn<'a> {
    /// A UUID of any version but 8.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// The client's clock, in ms since 1970.
    pub ts: u64,
    /// The name of the kind.
    pub kind: Cow<'a, str>,
    /// Whose value it is about.
    pub account: Cow<'a, str>,
    /// At least one atom.
    pub amount: Atoms,
    /// 16 bytes in base64.
    pub nonce: Cow<'a, str>,
    /// The id of the capability that allows it.
    pub capability_ref: Cow<'a, str>,
    /// The version of the fields: 1.
    pub v: u8,
    /// The other account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<Cow<'a, str>>,
    /// The id of the entry acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Cow<'a, str>>,
    /// Of which asset; the ledger's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<Cow<'a, str>>,
    /// When a Hold ends by itself, in ms since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// A Capture that leaves the rest of the hold open.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keep_open: bool,
}

/// The answer to `POST /ingest` when the batch was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerOut<'a> {
    /// Entries that are in the ledger now, new or from before.
    pub accepted: usize,
    /// The first new entry, if there is one.
    pub seq_start: Option<u64>,
    /// The last new entry, if there is one.
    pub seq_end: Option<u64>,
    /// A root that covers all of them, in hex.
    pub new_root: Cow<'a, str>,
    /// The size of the tree of `new_root`.
    pub root_size: u64,
    /// `fsync` or `memory`.
    pub durability: Cow<'a, str>,
    /// Why entries were rejected, by index.
    pub reasons: Vec<ReasonOut<'a>>,
    /// What became of each entry, by index.
    pub results: Vec<ResultOut>,
    /// Whether the results have the receipts that were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipts: Option<Receipts>,
}

/// What became of the wish for receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receipts {
    /// Each entry that is in the ledger has one.
    Given,
    /// There is none: the entries were not published in time, or could not be proven now. Each can be
    /// had later.
    NotYet,
}

/// Why one entry was rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonOut<'a> {
    /// The entry's index in the batch.
    pub idx: usize,
    /// One of the reasons of `docs/API.md`.
    pub reason: Cow<'a, str>,
    /// In words.
    pub details: Cow<'a, str>,
}

/// What became of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultOut {
    /// The entry's index in the batch.
    pub idx: usize,
    /// In one word.
    pub status: Status,
    /// Its place in the ledger; none when it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// A C2SP tlog-proof with the entry in it, where receipts were asked for and given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}

/// What became of an entry, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// New.
    Committed,
    /// In the ledger since an earlier request.
    Replayed,
    /// Not in the ledger by this request.
    Rejected,
}

/// The body of every error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorOut<'a> {
    /// One of the reasons of `docs/API.md`.
    pub reason: Cow<'a, str>,
    /// In words.
    pub details: Cow<'a, str>,
    /// When it makes sense to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atoms_are_decimal_strings_and_nothing_else() {
        for atoms in [0, 1, u128::from(u64::MAX) + 1, u128::MAX] {
            let text = serde_json::to_string(&Atoms(atoms)).unwrap();
            assert_eq!(text, format!("\"{atoms}\""));
            assert_eq!(serde_json::from_str::<Atoms>(&text).unwrap(), Atoms(atoms));
        }
        let above = "340282366920938463463374607431768211456";
        for bad in ["", "+1", "-1", "01", "00", "1.0", "1e3", " 1", "1 ", "0x1", "1_000", above] {
            assert!(serde_json::from_str::<Atoms>(&format!("\"{bad}\"")).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Atoms>("1").is_err());
    }

    #[test]
    fn what_is_absent_is_not_written() {
        let result = ResultOut { idx: 0, status: Status::Rejected, seq: None, receipt: None };
        let text = serde_json::to_string(&result).unwrap();
        assert_eq!(text, r#"{"idx":0,"status":"rejected"}"#);
        assert_eq!(serde_json::from_str::<ResultOut>(&text).unwrap(), result);
    }
}
