//! The binary form of `POST /ingest`, beside JSON: what both sides of it share, and how clients write a
//! request. `http::parse` reads requests, [`answer`] is the way back. `docs/INTEROP.md` specifies each
//! byte.
//!
//! What is asked, and what is told, is the same as in JSON; errors are always JSON.

pub mod answer;
#[cfg(test)]
mod tests;

use super::dto::{EntryIn, RequestIn};
use super::parse::{parse_id, parse_nonce};
use crate::ledger::entry::Kind;

/// The media type of a request.
pub const BATCH: &str = "application/vnd.ron-ledger.batch";

/// The media type of an answer.
pub const ANSWER: &str = "application/vnd.ron-ledger.answer";

/// What a request begins with: no JSON does.
pub(super) const BATCH_MAGIC: [u8; 4] = *b"RONB";

/// The version of both forms. Of an entry, its own version says how to read it.
pub(super) const VERSION: u8 = 1;

/// Of a request.
pub(super) mod request_flags {
    pub const ATOMIC: u8 = 1 << 0;
    pub const RECEIPT: u8 = 1 << 1;
    pub const IDEM_ID: u8 = 1 << 2;
    pub const KNOWN: u8 = ATOMIC | RECEIPT | IDEM_ID;
}

/// Of an entry. They have the values of the canonical form, whose other two say what a client does
/// not say of an entry; that the asset is there is said here alone.
pub(super) mod entry_flags {
    pub const KEEP_OPEN: u8 = 1 << 1;
    pub const COUNTERPARTY: u8 = 1 << 2;
    pub const REFERENCE: u8 = 1 << 3;
    pub const EXPIRES_AT: u8 = 1 << 4;
    pub const ASSET: u8 = 1 << 6;
    pub const KNOWN: u8 = KEEP_OPEN | COUNTERPARTY | REFERENCE | EXPIRES_AT | ASSET;
}

/// The shortest entry, in bytes: version, flags, ts, kind, id, amount, nonce, and two texts of a length
/// alone.
pub(super) const ENTRY_BYTES_MIN: usize = 1 + 1 + 8 + 1 + 16 + 1 + 16 + 16 + 1;

/// Bytes that are taken from the front, never beyond their end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    /// One byte of length, and so many bytes.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.bytes(length.into())
    }

    /// Four bytes of length, and so many bytes.
    pub(super) fn long_text(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.array()?);
        self.bytes(usize::try_from(length).ok()?)
    }
}

/// The binary form of a request. It is judged by the ledger: an account with a blank in it has a form.
/// `None` for what has none, as an id that is no UUID or a text of more than 255 bytes: JSON can say
/// it, and the ledger then says what is wrong with it.
pub fn write(request: &RequestIn<'_>) -> Option<Vec<u8>> {
    use request_flags::{ATOMIC, IDEM_ID};
    let mut out = Vec::with_capacity(16 + 128 * request.batch.len());
    out.extend_from_slice(&BATCH_MAGIC);
    let flags = flag(request.atomic, ATOMIC) | flag(request.idem_id.is_some(), IDEM_ID);
    out.extend_from_slice(&[VERSION, flags]);
    out.extend_from_slice(&u32::try_from(request.batch.len()).ok()?.to_be_bytes());
    if let Some(idem_id) = &request.idem_id {
        text(&mut out, idem_id)?;
    }
    request.batch.iter().try_for_each(|entry| write_entry(&mut out, entry))?;
    Some(out)
}

fn write_entry(out: &mut Vec<u8>, entry: &EntryIn<'_>) -> Option<()> {
    use entry_flags::{ASSET, COUNTERPARTY, EXPIRES_AT, KEEP_OPEN, REFERENCE};
    let flags = flag(entry.keep_open, KEEP_OPEN)
        | flag(entry.counterparty.is_some(), COUNTERPARTY)
        | flag(entry.reference.is_some(), REFERENCE)
        | flag(entry.expires_at.is_some(), EXPIRES_AT)
        | flag(entry.asset.is_some(), ASSET);
    out.extend_from_slice(&[entry.v, flags]);
    out.extend_from_slice(&entry.ts.to_be_bytes());
    out.push(Kind::from_name(&entry.kind)?.code());
    out.extend_from_slice(parse_id(&entry.id)?.as_bytes());
    text(out, &entry.account)?;
    if let Some(asset) = &entry.asset {
        text(out, asset)?;
    }
    out.extend_from_slice(&entry.amount.0.to_be_bytes());
    out.extend_from_slice(&parse_nonce(&entry.nonce)?);
    text(out, &entry.capability_ref)?;
    if let Some(counterparty) = &entry.counterparty {
        text(out, counterparty)?;
    }
    if let Some(reference) = &entry.reference {
        out.extend_from_slice(parse_id(reference)?.as_bytes());
    }
    if let Some(expires_at) = entry.expires_at {
        out.extend_from_slice(&expires_at.to_be_bytes());
    }
    Some(())
}

fn flag(on: bool, bit: u8) -> u8 {
    if on { bit } else { 0 }
}

/// `None` when the length does not fit its byte.
fn text(out: &mut Vec<u8>, text: &str) -> Option<()> {
    out.push(u8::try_from(text.len()).ok()?);
    out.extend_from_slice(text.as_bytes());
    Some(())
}
