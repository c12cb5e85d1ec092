//! From the bytes of a request to entries of the ledger, in one pass: here over the JSON, in
//! [`parse_binary`] over the binary form. Both give the same [`Parsed`], by the same checks.
//!
//! Whatever is wrong is told with its place, as `batch[3].amount: must be ...`. So a wrong value is
//! no error of the JSON reader, which would lose the place, but a fault that travels as a value;
//! the reader goes on, and the number of entries is known even when one of them is wrong. Nothing
//! that the client wrote is repeated but the short plain name of an unknown field.

mod binary;
mod fields;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::de::{Read, SliceRead, StrRead};

pub use self::binary::parse_binary;
use self::fields::{Fault, Fields, Raw};
pub(crate) use self::fields::{parse_id, parse_nonce};
use super::receipts::RECEIPTS_MAX;
use crate::ledger::entry::Entry;
use crate::ledger::names::{Asset, IdemId};
use crate::ledger::reason::{Reason, Reject};

/// What the configuration says of a request.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Of an entry that names no asset.
    pub default_asset: &'a Asset,
    /// More entries than this are `too_large`.
    pub batch_max_entries: usize,
}

/// A request that reads as it must. No field of its entries is out of range, and each kind has the
/// fields that go with it; the key behind the capability is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// In the client's order; at least one.
    pub entries: Vec<Entry>,
    /// All or nothing.
    pub atomic: bool,
    /// The client waits for the receipts of its entries.
    pub receipt: bool,
}

impl Parsed {
    /// What is left to do once all fields are read, in whatever form they came.
    fn of(
        mut entries: Vec<Entry>,
        idem_id: Option<IdemId>,
        atomic: bool,
        receipt: bool,
    ) -> Result<Self, Reject> {
        if receipt && entries.len() > RECEIPTS_MAX {
            let details = format!("receipt: true with at most {RECEIPTS_MAX} entries");
            return Err(malformed(details));
        }
        if let Some(idem_id) = idem_id {
            for entry in &mut entries {
                entry.idem_id = Some(idem_id.clone());
            }
        }
        Ok(Parsed { entries, atomic, receipt })
    }
}

/// Reads the body of `POST /ingest` in JSON.
///
/// # Errors
/// `too_large` for a batch over the limit, else `unknown_kind` with the place of the first fault.
pub fn parse(body: &[u8], rules: &Rules<'_>) -> Result<Parsed, Reject> {
    // An entry is hardly shorter than this many bytes, so that the list seldom has to grow.
    let room = (body.len() / 256).min(rules.batch_max_entries);
    let seed = RequestSeed { rules, room };
    let request = match std::str::from_utf8(body) {
        // Checked once, and not value by value.
        Ok(text) => read(StrRead::new(text), seed),
        // The place of what is no text is told by the reader.
        Err(_) => read(SliceRead::new(body), seed),
    };
    // Every value is taken, whatever its type: what is left are errors of the syntax, and their
    // messages hold no text of the client.
    request.map_err(|error| malformed(format!("body: not JSON: {error}")))?
}

fn read<'de, R: Read<'de>>(
    json: R,
    seed: RequestSeed<'_>,
) -> serde_json::Result<Result<Parsed, Reject>> {
    let mut json = serde_json::Deserializer::new(json);
    let request = seed.deserialize(&mut json)?;
    json.end().map(|()| request)
}

fn malformed(details: impl Into<Cow<'static, str>>) -> Reject {
    Reject::new(Reason::UnknownKind, details)
}

fn no_entry() -> Reject {
    malformed("batch: must have at least one entry")
}

fn too_many(entries: usize, max: usize) -> Reject {
    let details = format!("batch: has {entries} entries, at most {max} may come at once");
    Reject::new(Reason::TooLarge, details)
}

/// A fault of a field of the request.
fn located((name, problem): Fault) -> Reject {
    malformed(format!("{name}: {problem}"))
}

/// A fault of a field of the entry at `index`.
fn entry_fault(index: usize, name: &str, problem: &str) -> Reject {
    malformed(format!("batch[{index}].{name}: {problem}"))
}

/// A fault of the field `name` at `place`, which is empty or ends with a dot.
fn unknown_field(place: &str, name: &str) -> Reject {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.len() <= 32 && name.bytes().all(plain) {
        malformed(format!("{place}{name}: no such field"))
    } else {
        let owner = place.strip_suffix('.').unwrap_or("body");
        malformed(format!("{owner}: has a field that does not exist"))
    }
}

/// The visits of a visitor that expects something else: all are the same fault.
macro_rules! other_shapes {
    ($($visit:ident: $type:ty),+ => $fault:expr) => {
        $(fn $visit<E>(self, _: $type) -> Result<Self::Value, E> {
            Ok(Err($fault(&self)))
        })+

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Err($fault(&self)))
        }
    };
    (object; $fault:expr) => {
        other_shapes!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64,
            visit_str: &str => $fault);

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Err($fault(&self)))
        }
    };
    (array; $fault:expr) => {
        other_shapes!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64,
            visit_str: &str => $fault);

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Err($fault(&self)))
        }
    };
}

struct RequestSeed<'a> {
    rules: &'a Rules<'a>,
    room: usize,
}

impl RequestSeed<'_> {
    fn fault(&self) -> Reject {
        malformed("body: must be an object with a batch")
    }
}

impl<'de> DeserializeSeed<'de> for RequestSeed<'_> {
    type Value = Result<Parsed, Reject>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RequestSeed<'_> {
    type Value = Result<Parsed, Reject>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut draft = Draft::default();
        while let Some(key) = map.next_key::<Raw<'de>>()? {
            let name = key.as_text();
            let twice = match name {
                "batch" => {
                    let seed = BatchSeed { rules: self.rules, room: self.room };
                    draft.batch.replace(map.next_value_seed(seed)?).is_some()
                }
                "idem_id" => draft.idem_id.replace(map.next_value()?).is_some(),
                "atomic" => draft.atomic.replace(map.next_value()?).is_some(),
                "receipt" => draft.receipt.replace(map.next_value()?).is_some(),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    draft.fault.get_or_insert_with(|| unknown_field("", name));
                    false
                }
            };
            if twice {
                draft.fault.get_or_insert_with(|| malformed(format!("{name}: given twice")));
            }
        }
        Ok(draft.finish())
    }

    other_shapes!(array; Self::fault);
}

#[derive(Default)]
struct Draft<'a> {
    batch: Option<Result<Vec<Entry>, Reject>>,
    idem_id: Option<Raw<'a>>,
    atomic: Option<Raw<'a>>,
    receipt: Option<Raw<'a>>,
    fault: Option<Reject>,
}

impl Draft<'_> {
    /// Too many entries come before every other fault, as the order of reasons has it.
    fn finish(self) -> Result<Parsed, Reject> {
        let batch = match self.batch {
            Some(Err(reject)) if reject.reason == Reason::TooLarge => return Err(reject),
            batch => batch,
        };
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let entries = batch.unwrap_or_else(|| Err(malformed("batch: is missing")))?;
        if entries.is_empty() {
            return Err(no_entry());
        }
        let idem_id = fields::may("idem_id", self.idem_id, |raw| {
            IdemId::new(fields::text(raw)?).map_err(fields::problem)
        });
        let idem_id = idem_id.map_err(located)?;
        let atomic = fields::may("atomic", self.atomic, fields::flag).map_err(located)?;
        let receipt = fields::may("receipt", self.receipt, fields::flag).map_err(located)?;
        Parsed::of(entries, idem_id, atomic.unwrap_or(false), receipt.unwrap_or(false))
    }
}

struct BatchSeed<'a> {
    rules: &'a Rules<'a>,
    room: usize,
}

impl BatchSeed<'_> {
    fn fault(&self) -> Reject {
        malformed("batch: must be an array of entries")
    }
}

impl<'de> DeserializeSeed<'de> for BatchSeed<'_> {
    type Value = Result<Vec<Entry>, Reject>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BatchSeed<'_> {
    type Value = Result<Vec<Entry>, Reject>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let max = self.rules.batch_max_entries;
        let mut batch = Ok(Vec::with_capacity(self.room));
        let mut index = 0;
        while index < max {
            let before = batch.as_ref().ok().and_then(|entries: &Vec<Entry>| entries.last());
            let seed = EntrySeed { rules: self.rules, index, before };
            let Some(entry) = seq.next_element_seed(seed)? else { return Ok(batch) };
            match (&mut batch, entry) {
                (Ok(entries), Ok(entry)) => entries.push(entry),
                (Ok(_), Err(fault)) => batch = Err(fault),
                (Err(_), _) => {}
            }
            index += 1;
        }
        let mut more = 0;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            more += 1;
        }
        if more == 0 {
            return Ok(batch);
        }
        Ok(Err(too_many(max + more, max)))
    }

    other_shapes!(object; Self::fault);
}

struct EntrySeed<'a> {
    rules: &'a Rules<'a>,
    index: usize,
    before: Option<&'a Entry>,
}

impl EntrySeed<'_> {
    fn fault(&self) -> Reject {
        malformed(format!("batch[{}]: must be an object", self.index))
    }
}

impl<'de> DeserializeSeed<'de> for EntrySeed<'_> {
    type Value = Result<Entry, Reject>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EntrySeed<'_> {
    type Value = Result<Entry, Reject>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        let mut fault = None;
        while let Some(key) = map.next_key::<Raw<'de>>()? {
            let name = key.as_text();
            let value = map.next_value::<Raw<'de>>()?;
            match fields.slot(name) {
                Some(slot) => {
                    if slot.replace(value).is_some() {
                        fault.get_or_insert_with(|| entry_fault(self.index, name, "given twice"));
                    }
                }
                None => {
                    let place = || format!("batch[{}].", self.index);
                    fault.get_or_insert_with(|| unknown_field(&place(), name));
                }
            }
        }
        Ok(match fault {
            Some(fault) => Err(fault),
            None => fields
                .into_entry(self.rules.default_asset, self.before)
                .map_err(|(name, problem)| entry_fault(self.index, name, &problem)),
        })
    }

    other_shapes!(array; Self::fault);
}
