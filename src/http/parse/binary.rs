//! The binary form of a request, read into the same entries as the JSON. `docs/INTEROP.md` specifies
//! each byte.
//!
//! A body is a frame of known fields, so that it ends with the first fault. Fields are taken in the order
//! of their bytes and then checked in the order of the JSON: of several faults both forms tell the same.

use super::super::binary::{
    BATCH_MAGIC, Cursor, ENTRY_BYTES_MIN, VERSION, entry_flags, request_flags,
};
use super::fields::{Fault, Problem, asset, capability, clients_id, clients_kind, problem};
use super::{Parsed, Rules, entry_fault, located, malformed, no_entry, too_many};
use crate::ledger::entry::{Amount, ENTRY_VERSION, Entry, EntryId, Kind, Millis};
use crate::ledger::names::{AccountId, Asset, IdemId, KeyName, NameError};
use crate::ledger::reason::Reject;

const ENDS: Problem = Problem::Borrowed("the body ends in it");

/// Reads the body of `POST /ingest` in the binary form.
///
/// # Errors
/// `too_large` for a batch over the limit, before any of its entries is looked at; else
/// `unknown_kind` with the place of the first fault.
pub fn parse_binary(body: &[u8], rules: &Rules<'_>) -> Result<Parsed, Reject> {
    let mut rest = Cursor(body);
    let head = Head::read(&mut rest, rules.batch_max_entries)?;
    // No more room than the bytes can fill.
    let room = head.count.min(rest.0.len() / ENTRY_BYTES_MIN);
    let mut entries: Vec<Entry> = Vec::with_capacity(room);
    for index in 0..head.count {
        let fields = Fields::take(&mut rest);
        let entry = fields.and_then(|it| it.into_entry(rules.default_asset, entries.last()));
        entries.push(entry.map_err(|(name, problem)| entry_fault(index, name, &problem))?);
    }
    if !rest.0.is_empty() {
        return Err(malformed("body: has bytes after the last entry"));
    }
    let idem_id = head.idem_id.map(IdemId::from_bytes).transpose();
    let idem_id = idem_id.map_err(|error| located(("idem_id", problem(error))))?;
    Parsed::of(entries, idem_id, head.atomic, head.receipt)
}

struct Head<'a> {
    atomic: bool,
    receipt: bool,
    /// At least one, and no more than may come at once.
    count: usize,
    idem_id: Option<&'a [u8]>,
}

impl<'a> Head<'a> {
    fn read(rest: &mut Cursor<'a>, entries_max: usize) -> Result<Self, Reject> {
        let ends = || malformed("body: ends before its first entry");
        if rest.array() != Some(BATCH_MAGIC) {
            return Err(malformed("body: does not begin as a batch in the binary form"));
        }
        if rest.byte().ok_or_else(ends)? != VERSION {
            return Err(malformed("body: is of an unknown version of the binary form"));
        }
        let flags = rest.byte().ok_or_else(ends)?;
        let count = u32::from_be_bytes(rest.array().ok_or_else(ends)?);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > entries_max {
            return Err(too_many(count, entries_max));
        }
        if flags & !request_flags::KNOWN != 0 {
            return Err(malformed("body: has an unknown flag"));
        }
        if count == 0 {
            return Err(no_entry());
        }
        let has = |bit: u8| flags & bit != 0;
        let idem_id = match has(request_flags::IDEM_ID) {
            true => Some(rest.text().ok_or_else(|| located(("idem_id", ENDS)))?),
            false => None,
        };
        let (atomic, receipt) = (has(request_flags::ATOMIC), has(request_flags::RECEIPT));
        Ok(Head { atomic, receipt, count, idem_id })
    }
}

/// The fields of an entry as they stand in the bytes.
struct Fields<'a> {
    flags: u8,
    ts: Millis,
    kind: u8,
    id: [u8; 16],
    account: &'a [u8],
    asset: Option<&'a [u8]>,
    amount: u128,
    nonce: [u8; 16],
    capability: &'a [u8],
    counterparty: Option<&'a [u8]>,
    reference: Option<[u8; 16]>,
    expires_at: Option<Millis>,
}

impl<'a> Fields<'a> {
    /// The version comes first, since it says how to read the others.
    fn take(rest: &mut Cursor<'a>) -> Result<Self, Fault> {
        use entry_flags::{ASSET, COUNTERPARTY, EXPIRES_AT, KNOWN, REFERENCE};
        if need("v", rest.byte())? != ENTRY_VERSION {
            return Err(("v", "must be 1".into()));
        }
        let flags = need("flags", rest.byte())?;
        if flags & !KNOWN != 0 {
            return Err(("flags", "has one that no entry has".into()));
        }
        let has = |bit: u8| flags & bit != 0;
        Ok(Fields {
            flags,
            ts: u64::from_be_bytes(need("ts", rest.array())?),
            kind: need("kind", rest.byte())?,
            id: need("id", rest.array())?,
            account: need("account", rest.text())?,
            asset: may("asset", has(ASSET), || rest.text())?,
            amount: u128::from_be_bytes(need("amount", rest.array())?),
            nonce: need("nonce", rest.array())?,
            capability: need("capability_ref", rest.text())?,
            counterparty: may("counterparty", has(COUNTERPARTY), || rest.text())?,
            reference: may("reference", has(REFERENCE), || rest.array())?,
            expires_at: may("expires_at", has(EXPIRES_AT), || rest.array())?
                .map(u64::from_be_bytes),
        })
    }

    /// In the order of the JSON; `before` is the entry before, if there is one.
    fn into_entry(self, default_asset: &Asset, before: Option<&Entry>) -> Result<Entry, Fault> {
        let name = |name| move |error: NameError| (name, problem(error));
        let entry = Entry {
            id: clients_id(EntryId::from_bytes(self.id)).map_err(|problem| ("id", problem))?,
            ts: self.ts,
            kind: clients_kind(Kind::from_code(self.kind)).map_err(|problem| ("kind", problem))?,
            account: AccountId::from_bytes(self.account).map_err(name("account"))?,
            amount: Amount::new(self.amount).ok_or(("amount", "must be at least 1".into()))?,
            nonce: self.nonce,
            kid: KeyName::unverified(),
            capability: capability(self.capability, before).map_err(name("capability_ref"))?,
            counterparty: match self.counterparty {
                Some(bytes) => Some(AccountId::from_bytes(bytes).map_err(name("counterparty"))?),
                None => None,
            },
            reference: self.reference.map(EntryId::from_bytes),
            asset: match self.asset {
                Some(bytes) => asset(bytes, before).map_err(name("asset"))?,
                None => default_asset.clone(),
            },
            expires_at: self.expires_at,
            keep_open: self.flags & entry_flags::KEEP_OPEN != 0,
            idem_id: None,
        };
        entry.check().map_err(|error| (error.field, error.problem.into()))?;
        Ok(entry)
    }
}

fn need<T>(name: &'static str, taken: Option<T>) -> Result<T, Fault> {
    taken.ok_or((name, ENDS))
}

fn may<T>(
    name: &'static str,
    there: bool,
    take: impl FnOnce() -> Option<T>,
) -> Result<Option<T>, Fault> {
    match there {
        true => need(name, take()).map(Some),
        false => Ok(None),
    }
}
