//! The canonical form of an entry, version 1: the bytes that are stored, hashed as the Merkle leaf,
//! bundled in tiles and exported. `docs/INTEROP.md` specifies it byte by byte.
//!
//! One entry has one form: the order of fields is fixed, integers are big-endian, texts have their
//! length in front, and [`decode`] refuses whatever [`encode_into`] would not have written.

use super::entry::{Amount, ENTRY_VERSION, Entry, EntryId, Kind, Sequenced};
use super::names::{AccountId, Asset, IdemId, KeyName, NameError};

/// The longest canonical form, in bytes: every optional field there and every text at its limit.
pub const ENTRY_MAX_BYTES: usize = FIXED_BYTES
    + 2 * (1 + AccountId::MAX_BYTES)
    + (1 + Asset::MAX_BYTES)
    + 2 * (1 + KeyName::MAX_BYTES)
    + 16
    + 8
    + (1 + IdemId::MAX_BYTES);

/// Version, flags, seq, ts, kind, id, amount, nonce.
const FIXED_BYTES: usize = 1 + 1 + 8 + 8 + 1 + 16 + 16 + 16;

const LINKED: u8 = 1 << 0;
const KEEP_OPEN: u8 = 1 << 1;
const COUNTERPARTY: u8 = 1 << 2;
const REFERENCE: u8 = 1 << 3;
const EXPIRES_AT: u8 = 1 << 4;
const IDEM_ID: u8 = 1 << 5;
const KNOWN_FLAGS: u8 = LINKED | KEEP_OPEN | COUNTERPARTY | REFERENCE | EXPIRES_AT | IDEM_ID;

/// Why bytes are not the canonical form of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside of a field.
    #[error("the entry ends inside of a field")]
    Short,
    /// There are bytes after the last field.
    #[error("there are bytes after the last field")]
    Trailing,
    /// Another version than this code knows.
    #[error("unknown entry version {0}")]
    Version(u8),
    /// A flag that version 1 does not have.
    #[error("unknown flags {0:#04x}")]
    Flags(u8),
    /// A kind that version 1 does not have.
    #[error("unknown kind {0}")]
    Kind(u8),
    /// Amounts start at 1.
    #[error("the amount is zero")]
    Amount,
    /// A text that is not UTF-8 or breaks the rule of its field.
    #[error("a text breaks the rule of its field: {0}")]
    Name(#[from] NameError),
    /// Seqs start at 1.
    #[error("the seq is zero")]
    Seq,
    /// A field that the kind does not take, or lacks.
    #[error("a field does not fit the kind: {0}")]
    Field(#[from] super::entry::FieldError),
}

/// Appends the canonical form of `entry` at `seq` to `out`.
pub fn encode_into(out: &mut Vec<u8>, seq: u64, linked: bool, entry: &Entry) {
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    let flags = flag(linked, LINKED)
        | flag(entry.keep_open, KEEP_OPEN)
        | flag(entry.counterparty.is_some(), COUNTERPARTY)
        | flag(entry.reference.is_some(), REFERENCE)
        | flag(entry.expires_at.is_some(), EXPIRES_AT)
        | flag(entry.idem_id.is_some(), IDEM_ID);
    out.extend_from_slice(&[ENTRY_VERSION, flags]);
    out.extend_from_slice(&seq.to_be_bytes());
    out.extend_from_slice(&entry.ts.to_be_bytes());
    out.push(entry.kind.code());
    out.extend_from_slice(entry.id.as_bytes());
    text(out, entry.account.as_str());
    text(out, entry.asset.as_str());
    out.extend_from_slice(&entry.amount.get().to_be_bytes());
    out.extend_from_slice(&entry.nonce);
    text(out, entry.kid.as_str());
    text(out, entry.capability.as_str());
    if let Some(counterparty) = &entry.counterparty {
        text(out, counterparty.as_str());
    }
    if let Some(reference) = &entry.reference {
        out.extend_from_slice(reference.as_bytes());
    }
    if let Some(expires_at) = entry.expires_at {
        out.extend_from_slice(&expires_at.to_be_bytes());
    }
    if let Some(idem_id) = &entry.idem_id {
        text(out, idem_id.as_str());
    }
}

/// The canonical form of an entry.
pub fn encode(sequenced: &Sequenced) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    encode_into(&mut out, sequenced.seq, sequenced.linked, &sequenced.entry);
    out
}

/// Takes back exactly one entry.
///
/// # Errors
/// [`DecodeError`] for every text of bytes that is not the canonical form of an entry.
pub fn decode(bytes: &[u8]) -> Result<Sequenced, DecodeError> {
    let mut rest = Reader(bytes);
    let [version, flags] = rest.array()?;
    if version != ENTRY_VERSION {
        return Err(DecodeError::Version(version));
    }
    if flags & !KNOWN_FLAGS != 0 {
        return Err(DecodeError::Flags(flags));
    }
    let has = |bit: u8| flags & bit != 0;
    let seq = u64::from_be_bytes(rest.array()?);
    if seq == 0 {
        return Err(DecodeError::Seq);
    }
    let ts = u64::from_be_bytes(rest.array()?);
    let [code] = rest.array()?;
    let entry = Entry {
        ts,
        kind: Kind::from_code(code).ok_or(DecodeError::Kind(code))?,
        id: EntryId::from_bytes(rest.array()?),
        account: AccountId::new(rest.text()?)?,
        asset: Asset::new(rest.text()?)?,
        amount: Amount::new(u128::from_be_bytes(rest.array()?)).ok_or(DecodeError::Amount)?,
        nonce: rest.array()?,
        kid: KeyName::new(rest.text()?)?,
        capability: KeyName::new(rest.text()?)?,
        counterparty: match has(COUNTERPARTY) {
            true => Some(AccountId::new(rest.text()?)?),
            false => None,
        },
        reference: match has(REFERENCE) {
            true => Some(EntryId::from_bytes(rest.array()?)),
            false => None,
        },
        expires_at: match has(EXPIRES_AT) {
            true => Some(u64::from_be_bytes(rest.array()?)),
            false => None,
        },
        keep_open: has(KEEP_OPEN),
        idem_id: match has(IDEM_ID) {
            true => Some(IdemId::new(rest.text()?)?),
            false => None,
        },
    };
    if !rest.0.is_empty() {
        return Err(DecodeError::Trailing);
    }
    entry.check()?;
    Ok(Sequenced { seq, linked: has(LINKED), entry })
}

fn text(out: &mut Vec<u8>, text: &str) {
    // Every name type is at most 128 bytes long, so that its length fits one byte.
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let [length] = self.array()?;
        let (head, rest) =
            self.0.split_at_checked(usize::from(length)).ok_or(DecodeError::Short)?;
        self.0 = rest;
        std::str::from_utf8(head).map_err(|_| NameError::Charset("ASCII characters").into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::testing::{any_sequenced, entry, full_entry};

    #[test]
    fn the_longest_entry_is_as_long_as_stated() {
        let longest = Sequenced { seq: u64::MAX, linked: true, entry: full_entry() };
        assert_eq!(encode(&longest).len(), ENTRY_MAX_BYTES);
    }

    #[test]
    fn each_broken_form_is_refused() {
        let good = encode(&Sequenced { seq: 7, linked: false, entry: entry(Kind::Mint, "a", 1) });
        let check = |at: usize, value: u8| {
            let mut bad = good.clone();
            bad[at] = value;
            decode(&bad).unwrap_err()
        };
        assert_eq!(check(0, 2), DecodeError::Version(2));
        assert_eq!(check(1, 0x40), DecodeError::Flags(0x40));
        assert_eq!(
            check(1, KEEP_OPEN).to_string().split(':').next(),
            Some("a field does not fit the kind")
        );
        assert_eq!(check(9, 0), DecodeError::Seq);
        assert_eq!(check(18, 11), DecodeError::Kind(11));
        assert_eq!(
            check(36, b' '),
            DecodeError::Name(NameError::Charset("letters, digits and . _ : @ / -"))
        );
        for end in 0..good.len() {
            assert!(decode(&good[..end]).is_err(), "cut at {end}");
        }
        assert_eq!(decode(&[&good[..], &[0]].concat()), Err(DecodeError::Trailing));
    }

    proptest! {
        #[test]
        fn an_entry_comes_back_as_it_went(original in any_sequenced()) {
            prop_assert_eq!(decode(&encode(&original)), Ok(original));
        }

        /// One entry has one form: what decodes, encodes to the same bytes again.
        #[test]
        fn what_decodes_is_canonical(original in any_sequenced(), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let mut bytes = encode(&original);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if let Ok(other) = decode(&bytes) {
                prop_assert_eq!(encode(&other), bytes);
            }
        }
    }
}
