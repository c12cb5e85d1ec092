//! An entry: what a client asks the ledger to do, in domain types, and the rules of its fields that
//! need no state.

use std::fmt;
use std::num::NonZeroU128;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::names::{AccountId, Asset, IdemId, KeyName};

/// The version of an entry's fields and rules; the first byte of its canonical form.
pub const ENTRY_VERSION: u8 = 1;

/// A count of atoms, the smallest unit of an asset: 1 to 2^128 - 1.
pub type Amount = NonZeroU128;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = u64;

/// The place of an entry in the ledger: 1, 2, 3 and so on without a gap.
pub type Seq = u64;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)+) => {
        /// What an entry does. The number is its code in the canonical form and is never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Kind { $($(#[$doc])* $name = $code,)+ }

        impl Kind {
            /// Every kind, in the order of their codes.
            pub const ALL: &[Kind] = &[$(Kind::$name,)+];

            /// The code in the canonical form.
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// The kind of a code.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Kind::$name),)+ _ => None }
            }

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Kind::$name => $text,)+ }
            }
        }
    };
}

kinds! {
    /// Creates value on an account.
    Mint = 1, "Mint";
    /// Destroys value of an account.
    Burn = 2, "Burn";
    /// Moves value from the account to its counterparty.
    Transfer = 3, "Transfer";
    /// One leg of a posting: adds to the account.
    Credit = 4, "Credit";
    /// One leg of a posting: takes from the account.
    Debit = 5, "Debit";
    /// Sets value of the account aside.
    Hold = 6, "Hold";
    /// Pays value that a hold has set aside to the counterparty.
    Capture = 7, "Capture";
    /// Gives value that a hold has set aside back to its account.
    Release = 8, "Release";
    /// Undoes an entry, once and in full.
    Reverse = 9, "Reverse";
    /// Gives back what is left of a hold whose time has passed. Made by the ledger alone.
    Expire = 10, "Expire";
}

impl Kind {
    /// The kind of that name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// The kind that a client may name so; `Expire` is the ledger's own.
    pub fn from_client(name: &str) -> Option<Self> {
        Self::from_name(name).filter(|kind| *kind != Kind::Expire)
    }

    /// A leg counts only together with the others of its posting.
    pub const fn is_leg(self) -> bool {
        matches!(self, Kind::Credit | Kind::Debit)
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The client's name of an entry, for ever unique: a UUID of any version but 8, which is the
/// ledger's own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct EntryId(Uuid);

impl EntryId {
    /// From 16 bytes, any version: for what is read back from the log.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        EntryId(Uuid::from_bytes(bytes))
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// From the usual text with or without hyphens; `None` when it is no UUID.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(EntryId)
    }

    /// True for the ids that only the ledger makes.
    pub fn is_ledgers_own(&self) -> bool {
        self.0.get_version_num() == 8
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One entry as its client wrote it, with the key behind the capability that allowed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The client's name of this entry.
    pub id: EntryId,
    /// The client's clock. Says nothing about order.
    pub ts: Millis,
    /// What it does.
    pub kind: Kind,
    /// Whose value it is about.
    pub account: AccountId,
    /// Of which asset.
    pub asset: Asset,
    /// How much.
    pub amount: Amount,
    /// Tells entries apart that are otherwise meant to be equal.
    pub nonce: [u8; 16],
    /// The root key behind the capability.
    pub kid: KeyName,
    /// The capability's id.
    pub capability: KeyName,
    /// The other account: see [`Entry::check`] for the kinds that have one.
    pub counterparty: Option<AccountId>,
    /// The entry acted on: Capture, Release, Reverse, Expire.
    pub reference: Option<EntryId>,
    /// When a Hold ends by itself.
    pub expires_at: Option<Millis>,
    /// A Capture that leaves the rest of the hold open.
    pub keep_open: bool,
    /// The idempotency id of the request.
    pub idem_id: Option<IdemId>,
}

/// A field that does not fit the kind of its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// The field's name on the wire.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// What a kind says of an optional field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Required,
    Allowed,
    Refused,
}

impl Kind {
    /// Counterparty, reference, expires_at, keep_open: in this order.
    const fn uses(self) -> [Use; 4] {
        use Use::{Allowed as A, Refused as N, Required as R};
        match self {
            Kind::Mint | Kind::Burn | Kind::Credit | Kind::Debit => [N, N, N, N],
            Kind::Transfer => [R, N, N, N],
            Kind::Hold => [A, N, A, N],
            Kind::Capture => [R, R, N, A],
            Kind::Release | Kind::Reverse | Kind::Expire => [N, R, N, N],
        }
    }
}

impl Entry {
    /// The rules of fields that need no state: which optional field goes with which kind, and that
    /// an account is not its own counterparty.
    ///
    /// # Errors
    /// The first field, in the order of the wire's documentation, that does not fit.
    pub fn check(&self) -> Result<(), FieldError> {
        let present = [
            ("counterparty", self.counterparty.is_some()),
            ("reference", self.reference.is_some()),
            ("expires_at", self.expires_at.is_some()),
            ("keep_open", self.keep_open),
        ];
        for ((field, there), rule) in present.into_iter().zip(self.kind.uses()) {
            match rule {
                Use::Required if !there => {
                    return Err(FieldError { field, problem: "this kind needs it" });
                }
                Use::Refused if there => {
                    return Err(FieldError { field, problem: "this kind does not take it" });
                }
                _ => {}
            }
        }
        if self.counterparty.as_ref() == Some(&self.account) {
            return Err(FieldError {
                field: "counterparty",
                problem: "must be another account than the entry's own",
            });
        }
        Ok(())
    }

    /// Whether the two mean the same: all that a client decides but the id, the clock and the
    /// capability, since a retry may come with another token.
    pub fn same_content(&self, other: &Entry) -> bool {
        self.kind == other.kind
            && self.account == other.account
            && self.asset == other.asset
            && self.amount == other.amount
            && self.nonce == other.nonce
            && self.counterparty == other.counterparty
            && self.reference == other.reference
            && self.expires_at == other.expires_at
            && self.keep_open == other.keep_open
            && self.idem_id == other.idem_id
    }
}

/// An entry with its place in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequenced {
    /// Its place.
    pub seq: Seq,
    /// Stands or falls with the entry after it.
    pub linked: bool,
    /// What it says.
    pub entry: Entry,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::entry;

    #[test]
    fn each_kind_takes_its_own_fields_and_no_others() {
        let cases: &[(Kind, &str)] = &[
            (Kind::Mint, "----"),
            (Kind::Burn, "----"),
            (Kind::Transfer, "c---"),
            (Kind::Credit, "----"),
            (Kind::Debit, "----"),
            (Kind::Hold, "c-e-"),
            (Kind::Capture, "cr-k"),
            (Kind::Release, "-r--"),
            (Kind::Reverse, "-r--"),
        ];
        for &(kind, takes) in cases {
            let mut full = entry(kind, "a", 1);
            full.counterparty = takes.contains('c').then(|| AccountId::new("b").unwrap());
            full.reference = takes.contains('r').then(|| EntryId::from_bytes([7; 16]));
            full.expires_at = takes.contains('e').then_some(5);
            full.keep_open = takes.contains('k');
            assert_eq!(full.check(), Ok(()), "{kind:?}");
            for (letter, field) in
                [('c', "counterparty"), ('r', "reference"), ('e', "expires_at"), ('k', "keep_open")]
            {
                if takes.contains(letter) {
                    continue;
                }
                let mut extra = full.clone();
                match letter {
                    'c' => extra.counterparty = Some(AccountId::new("b").unwrap()),
                    'r' => extra.reference = Some(EntryId::from_bytes([7; 16])),
                    'e' => extra.expires_at = Some(5),
                    _ => extra.keep_open = true,
                }
                assert_eq!(extra.check().unwrap_err().field, field, "{kind:?}");
            }
        }
        let mut own = entry(Kind::Transfer, "a", 1);
        own.counterparty = Some(own.account.clone());
        assert_eq!(own.check().unwrap_err().field, "counterparty");
        own.counterparty = None;
        assert_eq!(own.check().unwrap_err().problem, "this kind needs it");
    }

    #[test]
    fn codes_and_names_are_one_to_one_and_expire_is_not_the_clients() {
        for &kind in Kind::ALL {
            assert_eq!(Kind::from_code(kind.code()), Some(kind));
            assert_eq!(Kind::from_client(kind.as_str()).is_some(), kind != Kind::Expire);
        }
        assert_eq!(Kind::from_code(0), None);
        assert_eq!(Kind::from_code(11), None);
        assert_eq!(Kind::from_client("mint"), None);
    }

    #[test]
    fn content_is_all_but_id_clock_and_capability() {
        let first = entry(Kind::Hold, "a", 5);
        let mut retry = first.clone();
        retry.id = EntryId::from_bytes([9; 16]);
        retry.ts += 1;
        retry.kid = KeyName::new("other").unwrap();
        retry.capability = KeyName::new("other").unwrap();
        assert!(first.same_content(&retry));
        let changes: &[fn(&mut Entry)] = &[
            |e| e.kind = Kind::Mint,
            |e| e.account = AccountId::new("z").unwrap(),
            |e| e.asset = Asset::new("Z").unwrap(),
            |e| e.amount = Amount::new(6).unwrap(),
            |e| e.nonce[0] ^= 1,
            |e| e.counterparty = Some(AccountId::new("z").unwrap()),
            |e| e.reference = Some(e.id),
            |e| e.expires_at = Some(1),
            |e| e.keep_open = true,
            |e| e.idem_id = Some(IdemId::new("x").unwrap()),
        ];
        for (at, change) in changes.iter().enumerate() {
            let mut other = first.clone();
            change(&mut other);
            assert!(!first.same_content(&other), "change {at}");
        }
    }
}
