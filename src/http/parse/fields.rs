//! The fields of an entry: first as they stand in the JSON, then as what they mean.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::http::dto::parse_atoms;
use crate::ledger::entry::{Amount, ENTRY_VERSION, Entry, EntryId, Kind, Millis};
use crate::ledger::names::{AccountId, Asset, KeyName, NameError};

/// The standard alphabet, with or without padding; bits that carry nothing must be zero, so that
/// 16 bytes have one spelling in each of the two forms.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is wrong, in words that follow the name of the field.
pub(super) type Problem = Cow<'static, str>;

/// A field and what is wrong with it.
pub(super) type Fault = (&'static str, Problem);

/// Any JSON value, as far as a field can use it. Texts without escapes are borrowed.
pub(super) enum Raw<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Flag(bool),
    Null,
    /// A negative number, a fraction, a number of 2^64 or more, an array or an object.
    Other,
}

impl Raw<'_> {
    /// The text of a key, which is never anything else.
    pub(super) fn as_text(&self) -> &str {
        match self {
            Raw::Text(text) => text,
            _ => "",
        }
    }
}

impl<'de> Deserialize<'de> for Raw<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Raw<'de>, E> {
        Ok(Raw::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw<'de>, E> {
        Ok(Raw::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw<'de>, E> {
        Ok(Raw::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw<'de>, E> {
        Ok(u64::try_from(number).map_or(Raw::Other, Raw::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw<'de>, E> {
        Ok(Raw::Other)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Raw<'de>, E> {
        Ok(Raw::Flag(flag))
    }

    fn visit_unit<E>(self) -> Result<Raw<'de>, E> {
        Ok(Raw::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Raw::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Raw::Other)
    }
}

macro_rules! fields {
    ($($name:ident),+) => {
        /// The fields that were given.
        #[derive(Default)]
        pub(super) struct Fields<'a> { $($name: Option<Raw<'a>>,)+ }

        impl<'a> Fields<'a> {
            /// The place of a field; none for a name that no field has.
            pub(super) fn slot(&mut self, name: &str) -> Option<&mut Option<Raw<'a>>> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)+
                    _ => None,
                }
            }
        }
    };
}

fields!(
    id,
    ts,
    kind,
    account,
    amount,
    nonce,
    capability_ref,
    v,
    counterparty,
    reference,
    asset,
    expires_at,
    keep_open
);

impl Fields<'_> {
    /// Checks each field, then which of them go with the kind. The version comes first, since it
    /// says how to read the others. `before` is the entry before, if there is one.
    pub(super) fn into_entry(
        self,
        default_asset: &Asset,
        before: Option<&Entry>,
    ) -> Result<Entry, Fault> {
        need("v", self.v, version)?;
        let entry = Entry {
            id: need("id", self.id, |raw| clients_id(entry_id(raw)?))?,
            ts: need("ts", self.ts, millis)?,
            kind: need("kind", self.kind, kind)?,
            account: need("account", self.account, account)?,
            amount: need("amount", self.amount, amount)?,
            nonce: need("nonce", self.nonce, nonce)?,
            kid: KeyName::unverified(),
            capability: need("capability_ref", self.capability_ref, |raw| {
                capability(text(raw)?.as_bytes(), before).map_err(problem)
            })?,
            counterparty: may("counterparty", self.counterparty, account)?,
            reference: may("reference", self.reference, entry_id)?,
            asset: may("asset", self.asset, |raw| {
                asset(text(raw)?.as_bytes(), before).map_err(problem)
            })?
            .unwrap_or_else(|| default_asset.clone()),
            expires_at: may("expires_at", self.expires_at, millis)?,
            keep_open: may("keep_open", self.keep_open, flag)?.unwrap_or(false),
            idem_id: None,
        };
        entry.check().map_err(|error| (error.field, error.problem.into()))?;
        Ok(entry)
    }
}

/// A field that may be left out; `null` says the same.
pub(super) fn may<'a, T>(
    name: &'static str,
    raw: Option<Raw<'a>>,
    read: impl FnOnce(Raw<'a>) -> Result<T, Problem>,
) -> Result<Option<T>, Fault> {
    match raw {
        None | Some(Raw::Null) => Ok(None),
        Some(raw) => read(raw).map(Some).map_err(|problem| (name, problem)),
    }
}

fn need<'a, T>(
    name: &'static str,
    raw: Option<Raw<'a>>,
    read: impl FnOnce(Raw<'a>) -> Result<T, Problem>,
) -> Result<T, Fault> {
    may(name, raw, read)?.ok_or((name, "is missing".into()))
}

pub(super) fn text(raw: Raw<'_>) -> Result<Cow<'_, str>, Problem> {
    match raw {
        Raw::Text(text) => Ok(text),
        _ => Err("must be a string".into()),
    }
}

pub(super) fn flag(raw: Raw<'_>) -> Result<bool, Problem> {
    match raw {
        Raw::Flag(flag) => Ok(flag),
        _ => Err("must be true or false".into()),
    }
}

pub(super) fn problem(error: NameError) -> Problem {
    error.to_string().into()
}

fn version(raw: Raw<'_>) -> Result<(), Problem> {
    match raw {
        Raw::Number(number) if number == u64::from(ENTRY_VERSION) => Ok(()),
        _ => Err("must be 1".into()),
    }
}

fn millis(raw: Raw<'_>) -> Result<Millis, Problem> {
    match raw {
        Raw::Number(millis) => Ok(millis),
        _ => Err("must be a whole number of milliseconds since 1970, below 2^64".into()),
    }
}

/// A UUID as 32 hex digits with or without the four hyphens; no braces, no `urn:uuid:`.
pub(crate) fn parse_id(text: &str) -> Option<EntryId> {
    if matches!(text.len(), 32 | 36) { EntryId::parse(text) } else { None }
}

fn entry_id(raw: Raw<'_>) -> Result<EntryId, Problem> {
    parse_id(&text(raw)?).ok_or("must be a UUID".into())
}

/// An id that a client may give.
pub(super) fn clients_id(id: EntryId) -> Result<EntryId, Problem> {
    if id.is_ledgers_own() {
        return Err("must not be a UUID of version 8, which is the ledger's own".into());
    }
    Ok(id)
}

/// A kind that a client may name; none where no kind has the name or the code that was given.
pub(super) fn clients_kind(kind: Option<Kind>) -> Result<Kind, Problem> {
    match kind {
        Some(Kind::Expire) => Err("Expire is made by the ledger alone".into()),
        Some(kind) => Ok(kind),
        None => {
            let names = Kind::ALL.iter().filter(|&&kind| kind != Kind::Expire);
            let names: Vec<_> = names.map(|kind| kind.as_str()).collect();
            Err(format!("must be one of {}", names.join(", ")).into())
        }
    }
}

fn kind(raw: Raw<'_>) -> Result<Kind, Problem> {
    clients_kind(Kind::from_name(&text(raw)?))
}

/// Most entries of a batch have the capability of the entry before, and then share its name.
pub(super) fn capability(text: &[u8], before: Option<&Entry>) -> Result<KeyName, NameError> {
    match before {
        Some(before) if before.capability.as_str().as_bytes() == text => {
            Ok(before.capability.clone())
        }
        _ => KeyName::from_bytes(text),
    }
}

/// As with the capability.
pub(super) fn asset(text: &[u8], before: Option<&Entry>) -> Result<Asset, NameError> {
    match before {
        Some(before) if before.asset.as_str().as_bytes() == text => Ok(before.asset.clone()),
        _ => Asset::from_bytes(text),
    }
}

fn account(raw: Raw<'_>) -> Result<AccountId, Problem> {
    AccountId::new(text(raw)?).map_err(problem)
}

fn amount(raw: Raw<'_>) -> Result<Amount, Problem> {
    let atoms = match &raw {
        Raw::Text(text) => parse_atoms(text),
        _ => None,
    };
    let wrong = "must be a decimal string of atoms from 1 to 2^128-1";
    atoms.and_then(Amount::new).ok_or(wrong.into())
}

/// 16 bytes in base64, with or without padding.
pub(crate) fn parse_nonce(text: &str) -> Option<[u8; 16]> {
    // What 24 characters can hold at most.
    let mut bytes = [0; 18];
    let length = match text.len() {
        22 | 24 => BASE64.decode_slice(text.as_bytes(), &mut bytes).ok()?,
        _ => return None,
    };
    bytes[..length].try_into().ok()
}

fn nonce(raw: Raw<'_>) -> Result<[u8; 16], Problem> {
    parse_nonce(&text(raw)?).ok_or("must be 16 bytes in base64".into())
}
