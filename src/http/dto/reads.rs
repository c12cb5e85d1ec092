//! The answers to reads. Each says of which size of the ledger it speaks.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Atoms, is_false};
use crate::accumulator::{Hash, HashAlgo};

/// One page of published roots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootsOut<'a> {
    /// In the order of `seq`.
    pub roots: Vec<RootOut<'a>>,
    /// The `since` of the next page, if there is more.
    pub next: Option<u64>,
}

/// One root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootOut<'a> {
    /// The last entry that it covers, which is the size of its tree.
    pub seq: u64,
    /// In hex.
    pub root: Cow<'a, str>,
    /// When it was committed, in ms since 1970.
    pub ts: u64,
}

/// What a proof of inclusion with its checkpoint is asked for and sent as: a C2SP tlog-proof.
pub const TLOG_PROOF: &str = "text/x.tlog.proof";

/// That an entry is in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InclusionOut {
    /// The entry's place in the ledger.
    pub seq: u64,
    /// The leaf's place in the tree: one less.
    pub index: u64,
    /// Entries in the tree of the proof.
    pub size: u64,
    /// Of the tree.
    pub hash: HashAlgo,
    /// The hash of the entry's canonical bytes.
    pub leaf: Hash,
    /// From the leaf towards the root.
    pub proof: Vec<Hash>,
    /// Of the first `size` entries.
    pub root: Hash,
}

/// That the ledger has only grown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencyOut {
    /// Entries in the smaller tree.
    pub from: u64,
    /// Entries in the larger one.
    pub to: u64,
    /// Of both trees.
    pub hash: HashAlgo,
    /// Of the smaller tree.
    pub from_root: Hash,
    /// Of the larger one.
    pub to_root: Hash,
    /// As RFC 6962 orders them.
    pub proof: Vec<Hash>,
}

/// An entry of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryOut<'a> {
    /// Its place in the ledger.
    pub seq: u64,
    /// Stands or falls with the entry after it.
    pub linked: bool,
    /// When it was committed, by the ledger's clock, in ms since 1970.
    pub committed_at: u64,
    /// As [`EntryIn::id`](super::EntryIn::id).
    pub id: Cow<'a, str>,
    /// As [`EntryIn::ts`](super::EntryIn::ts).
    pub ts: u64,
    /// As [`EntryIn::kind`](super::EntryIn::kind), or `Expire`.
    pub kind: Cow<'a, str>,
    /// As [`EntryIn::account`](super::EntryIn::account).
    pub account: Cow<'a, str>,
    /// As [`EntryIn::amount`](super::EntryIn::amount).
    pub amount: Atoms,
    /// Always named, also where the client did not.
    pub asset: Cow<'a, str>,
    /// In padded base64.
    pub nonce: Cow<'a, str>,
    /// As [`EntryIn::capability_ref`](super::EntryIn::capability_ref).
    pub capability_ref: Cow<'a, str>,
    /// The root key behind the capability.
    pub kid: Cow<'a, str>,
    /// As [`EntryIn::v`](super::EntryIn::v).
    pub v: u8,
    /// As [`EntryIn::counterparty`](super::EntryIn::counterparty).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<Cow<'a, str>>,
    /// As [`EntryIn::reference`](super::EntryIn::reference).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Cow<'a, str>>,
    /// As [`EntryIn::expires_at`](super::EntryIn::expires_at).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// As [`EntryIn::keep_open`](super::EntryIn::keep_open).
    #[serde(default, skip_serializing_if = "is_false")]
    pub keep_open: bool,
    /// As [`RequestIn::idem_id`](super::RequestIn::idem_id).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idem_id: Option<Cow<'a, str>>,
    /// The canonical form in hex, of which the leaf hash is made.
    pub canonical: Cow<'a, str>,
}

/// One entry with the size of the ledger that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryAtOut<'a> {
    /// The size of the ledger.
    pub size: u64,
    /// The entry.
    pub entry: EntryOut<'a>,
    /// The entry that reversed this one; only by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversed_by: Option<u64>,
}

/// One page of entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntriesOut<'a> {
    /// The size of the ledger.
    pub size: u64,
    /// In the order of `seq`.
    pub entries: Vec<EntryOut<'a>>,
    /// The `from` of the next page, if there is more.
    pub next: Option<u64>,
}

/// The balances of an account. An account that never had an entry has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountOut<'a> {
    /// The size of the ledger.
    pub size: u64,
    /// Its name.
    pub account: Cow<'a, str>,
    /// One row for each asset, by name.
    pub assets: Vec<BalanceOut<'a>>,
}

/// One asset of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceOut<'a> {
    /// Of which asset.
    pub asset: Cow<'a, str>,
    /// Free to move.
    pub available: Atoms,
    /// Set aside by open holds.
    pub held: Atoms,
    /// All that ever came in.
    pub credits: Atoms,
    /// All that ever went out.
    pub debits: Atoms,
    /// The last entry that touched it.
    pub last_seq: u64,
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldOut<'a> {
    /// The size of the ledger.
    pub size: u64,
    /// The id of the Hold entry.
    pub id: Cow<'a, str>,
    /// The Hold entry.
    pub seq: u64,
    /// Whose value it is.
    pub account: Cow<'a, str>,
    /// Of which asset.
    pub asset: Cow<'a, str>,
    /// The only account that may be paid from it, when named.
    pub counterparty: Option<Cow<'a, str>>,
    /// When it ends by itself, in ms since 1970.
    pub expires_at: Option<u64>,
    /// What was set aside at first.
    pub amount: Atoms,
    /// What captures paid out so far.
    pub captured: Atoms,
    /// What is still set aside.
    pub remaining: Atoms,
    /// `open`, `captured`, `released` or `expired`.
    pub state: Cow<'a, str>,
}

/// What exists of each asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupplyOut<'a> {
    /// The size of the ledger.
    pub size: u64,
    /// One row for each asset, by name.
    pub assets: Vec<AssetOut<'a>>,
}

/// What exists of one asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetOut<'a> {
    /// Its name.
    pub asset: Cow<'a, str>,
    /// All that was ever made.
    pub minted: Atoms,
    /// All that was ever destroyed.
    pub burned: Atoms,
    /// What is on accounts now.
    pub circulating: Atoms,
}
