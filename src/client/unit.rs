//! The lines of a file of entries, and how they are packed into requests.
//!
//! A line is a unit: one entry, or `{"entries":[...], "atomic"?: bool, "idem_id"?: text}`. A unit is
//! never split over requests, since what stands or falls together must arrive together.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::workload;
use crate::http::dto::{Atoms, EntryIn, RequestIn};
use crate::ledger::entry::{ENTRY_VERSION, Entry};

/// The longest line, in bytes: larger than the largest body that a ledger takes by default.
pub const LINE_BYTES_MAX: usize = 4 << 20;

/// One line: entries that belong to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitIn {
    /// In order; at least one.
    pub entries: Vec<EntryIn<'static>>,
    /// All or nothing: a request of its own.
    pub atomic: bool,
    /// Part of the idempotency of each entry: a request of its own.
    pub idem_id: Option<String>,
}

/// Why a line is not a unit.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// Not the JSON of an entry, nor of a unit.
    #[error("not an entry, nor {{\"entries\":[...]}}: {0}")]
    Json(#[from] serde_json::Error),
    /// A unit of nothing.
    #[error("entries: must not be empty")]
    Empty,
    /// Longer than [`LINE_BYTES_MAX`].
    #[error("the line is longer than 4 MiB")]
    TooLong,
}

/// The long form of a line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    entries: Vec<EntryIn<'a>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    atomic: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idem_id: Option<Cow<'a, str>>,
}

/// Tells the two forms apart, so that an error speaks of the one that was meant.
#[derive(Deserialize)]
struct Form {
    entries: Option<IgnoredAny>,
}

impl UnitIn {
    /// Reads one line.
    ///
    /// # Errors
    /// [`UnitError`] with the place in the line. Fields are judged by the ledger.
    pub fn parse(line: &str) -> Result<Self, UnitError> {
        if line.len() > LINE_BYTES_MAX {
            return Err(UnitError::TooLong);
        }
        let form: Form = serde_json::from_str(line)?;
        if form.entries.is_none() {
            let entry: EntryIn<'_> = serde_json::from_str(line)?;
            return Ok(UnitIn { entries: vec![owned(entry)], atomic: false, idem_id: None });
        }
        let line: Line<'_> = serde_json::from_str(line)?;
        if line.entries.is_empty() {
            return Err(UnitError::Empty);
        }
        Ok(UnitIn {
            entries: line.entries.into_iter().map(owned).collect(),
            atomic: line.atomic,
            idem_id: line.idem_id.map(Cow::into_owned),
        })
    }

    /// The line that [`UnitIn::parse`] reads, without its end.
    pub fn to_line(&self) -> String {
        let text = match (&self.entries[..], self.atomic, &self.idem_id) {
            ([single], false, None) => serde_json::to_string(single),
            _ => serde_json::to_string(&Line {
                entries: self.entries.clone(),
                atomic: self.atomic,
                idem_id: self.idem_id.as_deref().map(Cow::Borrowed),
            }),
        };
        text.expect("texts and numbers always have a JSON form")
    }

    /// Must be a request of its own.
    fn stands_alone(&self) -> bool {
        self.atomic || self.idem_id.is_some()
    }

    /// Ends in legs that do not net to zero. The legs of a unit behind it in the same request would
    /// be taken for legs of the same posting, so that the request has to end here.
    fn is_open_ended(&self) -> bool {
        let mut nets: Vec<(Option<&str>, Option<i128>)> = Vec::new();
        let signed =
            |entry: &EntryIn<'_>| match (entry.kind.as_ref(), i128::try_from(entry.amount.0)) {
                ("Debit", Ok(amount)) => Some(Some(-amount)),
                ("Credit", Ok(amount)) => Some(Some(amount)),
                ("Debit" | "Credit", Err(_)) => Some(None),
                _ => None,
            };
        for (entry, amount) in
            self.entries.iter().rev().map_while(|entry| signed(entry).map(|amount| (entry, amount)))
        {
            let asset = entry.asset.as_deref();
            let at = nets.iter().position(|(known, _)| *known == asset).unwrap_or_else(|| {
                nets.push((asset, Some(0)));
                nets.len() - 1
            });
            // A sum that does not fit counts as one that is not zero.
            let sum = nets[at].1.zip(amount).and_then(|(sum, amount)| sum.checked_add(amount));
            nets[at].1 = sum;
        }
        nets.iter().any(|(_, net)| *net != Some(0))
    }
}

/// The same entry with texts of its own.
fn owned(entry: EntryIn<'_>) -> EntryIn<'static> {
    fn text(text: Cow<'_, str>) -> Cow<'static, str> {
        Cow::Owned(text.into_owned())
    }
    EntryIn {
        id: text(entry.id),
        ts: entry.ts,
        kind: text(entry.kind),
        account: text(entry.account),
        amount: entry.amount,
        nonce: text(entry.nonce),
        capability_ref: text(entry.capability_ref),
        v: entry.v,
        counterparty: entry.counterparty.map(text),
        reference: entry.reference.map(text),
        asset: entry.asset.map(text),
        expires_at: entry.expires_at,
        keep_open: entry.keep_open,
    }
}

/// An entry as it stands on the wire. The key behind the capability and the request's `idem_id` are
/// no part of it.
pub fn to_wire(entry: &Entry) -> EntryIn<'static> {
    EntryIn {
        id: entry.id.to_string().into(),
        ts: entry.ts,
        kind: entry.kind.as_str().into(),
        account: entry.account.to_string().into(),
        amount: Atoms(entry.amount.get()),
        nonce: STANDARD.encode(entry.nonce).into(),
        capability_ref: entry.capability.to_string().into(),
        v: ENTRY_VERSION,
        counterparty: entry.counterparty.as_ref().map(|name| name.to_string().into()),
        reference: entry.reference.map(|id| id.to_string().into()),
        asset: Some(entry.asset.to_string().into()),
        expires_at: entry.expires_at,
        keep_open: entry.keep_open,
    }
}

impl From<&workload::Unit> for UnitIn {
    fn from(unit: &workload::Unit) -> Self {
        let entries = unit.entries.iter().map(to_wire).collect();
        UnitIn { entries, atomic: unit.atomic, idem_id: None }
    }
}

/// Packs units into requests of about `entries_max` entries: more only when one unit alone has more.
/// Order is kept. A unit that is atomic or has an `idem_id` is a request of its own.
pub fn pack<I>(units: I, entries_max: usize) -> Packer<I::IntoIter>
where
    I: IntoIterator<Item = UnitIn>,
{
    Packer { units: units.into_iter(), entries_max, next: None, taken: 0 }
}

/// A request and the units in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// To be sent.
    pub request: RequestIn<'static>,
    /// Which units, counted from 0.
    pub units: Range<usize>,
}

/// Made by [`pack`].
#[derive(Debug)]
pub struct Packer<I> {
    units: I,
    entries_max: usize,
    /// Read, and did not fit the request before.
    next: Option<UnitIn>,
    /// How many units are in the requests so far.
    taken: usize,
}

impl<I: Iterator<Item = UnitIn>> Iterator for Packer<I> {
    type Item = Packed;

    fn next(&mut self) -> Option<Packed> {
        let first = self.next.take().or_else(|| self.units.next())?;
        let start = self.taken;
        self.taken += 1;
        let mut ends_here = first.stands_alone() || first.is_open_ended();
        let mut request = RequestIn {
            batch: first.entries,
            idem_id: first.idem_id.map(Cow::Owned),
            atomic: first.atomic,
        };
        while !ends_here && let Some(unit) = self.units.next() {
            let too_many = request.batch.len() + unit.entries.len() > self.entries_max;
            if too_many || unit.stands_alone() {
                self.next = Some(unit);
                break;
            }
            ends_here = unit.is_open_ended();
            self.taken += 1;
            request.batch.extend(unit.entries);
        }
        Some(Packed { request, units: start..self.taken })
    }
}

#[cfg(test)]
mod tests;
