//! What the ledger knows, as far as a commit group needs it: records, the [`Facts`] that were read
//! before a plan, the [`Delta`] that a plan leaves behind, and the [`State`] that deltas add up to.

use std::collections::HashMap;
use std::hash::Hash;

use super::entry::{Entry, EntryId, Kind, Millis, Seq, Sequenced};
use super::idempotency::IdemDigest;
use super::names::{AccountId, AccountKey, Asset};
use super::table::{Slot, Table};

/// A hash map with a fast, seeded hash. Its order never reaches anything that is hashed or stored.
pub type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// One asset of one account. All amounts are atoms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Free to move.
    pub available: u128,
    /// Set aside by open holds.
    pub held: u128,
    /// All that ever came in, by the net of each unit.
    pub credits: u128,
    /// All that ever went out, likewise; `available + held == credits - debits`.
    pub debits: u128,
    /// The last entry that touched it; 0 for none.
    pub last_seq: Seq,
}

/// What exists of an asset: `minted - burned` is on accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Supply {
    /// All that was ever made.
    pub minted: u128,
    /// All that was ever destroyed; never more than was made.
    pub burned: u128,
}

impl Supply {
    /// What is on accounts now.
    pub const fn circulating(&self) -> u128 {
        // A burn takes from an account what a mint has put there, so that this cannot underflow.
        self.minted - self.burned
    }
}

/// The legs that stand and fall together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The first leg.
    pub first: Seq,
    /// How many legs there are, one after the other.
    pub legs: u32,
}

/// What an id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRecord {
    /// Where the entry is.
    pub seq: Seq,
    /// The entry that reversed it; an entry is reversed at most once.
    pub reversed_by: Option<Seq>,
    /// For a leg: its posting.
    pub posting: Option<Posting>,
}

/// Where a hold is in its life. It leaves [`HoldState::Open`] once and never returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HoldState {
    /// Something is still set aside.
    Open = 0,
    /// Ended by a Capture.
    Captured = 1,
    /// Ended by a Release.
    Released = 2,
    /// Ended by its time.
    Expired = 3,
}

impl HoldState {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            HoldState::Open => "open",
            HoldState::Captured => "captured",
            HoldState::Released => "released",
            HoldState::Expired => "expired",
        }
    }
}

/// Value set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The Hold entry.
    pub seq: Seq,
    /// Whose value it is.
    pub account: AccountId,
    /// Of which asset.
    pub asset: Asset,
    /// The only account that may be paid from it, when named.
    pub counterparty: Option<AccountId>,
    /// When it ends by itself, in ms.
    pub expires_at: Option<Millis>,
    /// What was set aside at first.
    pub amount: u128,
    /// What captures paid out so far.
    pub captured: u128,
    /// What is still set aside; 0 once it is closed.
    pub remaining: u128,
    /// Whether and how it ended.
    pub state: HoldState,
}

impl Hold {
    /// What its id stands for: a hold is neither reversed nor a leg of a posting.
    pub fn record(&self) -> IdRecord {
        IdRecord { seq: self.seq, reversed_by: None, posting: None }
    }

    /// Its place in the order of expiry, while it is open and has one.
    pub fn due(&self, id: EntryId) -> Option<(Millis, EntryId)> {
        self.expires_at.map(|at| (at, id))
    }

    /// Whether its time has passed at `now`.
    pub fn is_due(&self, now: Millis) -> bool {
        self.state == HoldState::Open && self.expires_at.is_some_and(|at| at <= now)
    }
}

/// Where in the tables of its group's [`Facts`] what an entry names has its rows.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// Its id.
    pub id: Slot,
    /// The id that it acts on.
    pub reference: Option<Slot>,
    /// Its tuple.
    pub tuple: Slot,
    /// Its account, in its asset.
    pub account: Slot,
    /// The other account, in its asset.
    pub counterparty: Option<Slot>,
}

/// Everything that a plan may look at, read before it starts.
///
/// Whatever a group can ask for has a row here, present or known to be absent: a question that
/// was not foreseen is a bug, and [`super::plan`] panics on it rather than take it for "absent".
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What each item names, request by request.
    pub named: Vec<Named>,
    /// Accounts of all entries, of what they refer to, and of the holds that are due.
    pub accounts: Table<AccountKey, Account>,
    /// Supplies of the assets that are minted or burned, also by a reversal.
    pub supply: Table<Asset, Supply>,
    /// Ids of all entries and of what they refer to.
    pub ids: Table<EntryId, Option<IdRecord>>,
    /// Tuples of all entries.
    pub idem: Table<IdemDigest, Option<Seq>>,
    /// Holds named by a Capture or a Release, and those that are due.
    pub holds: Table<EntryId, Option<Hold>>,
    /// Entries that a known id or tuple leads to.
    pub entries: Map<Seq, Entry>,
    /// Holds with `expires_at <= now` in the order of (expires_at, id), bounded by the caller.
    pub due: Vec<EntryId>,
}

/// New values of everything that a group changed, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Accounts.
    pub accounts: Vec<(AccountKey, Account)>,
    /// Supplies.
    pub supply: Vec<(Asset, Supply)>,
    /// Ids: new ones, and those that were reversed.
    pub ids: Vec<(EntryId, IdRecord)>,
    /// Tuples, new ones only.
    pub idem: Vec<(IdemDigest, Seq)>,
    /// Holds: new ones and changed ones.
    pub holds: Vec<(EntryId, Hold)>,
}

/// What some groups in a row lead to: from the first one on, the whole state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Accounts.
    pub accounts: Table<AccountKey, Account>,
    /// Supplies.
    pub supply: Table<Asset, Supply>,
    /// Ids.
    pub ids: Table<EntryId, IdRecord>,
    /// Tuples.
    pub idem: Table<IdemDigest, Seq>,
    /// Holds, closed ones among them.
    pub holds: Table<EntryId, Hold>,
}

impl State {
    /// An empty one with room for what so many entries bring; how many accounts they touch, nobody knows.
    pub fn with_capacity(entries: usize) -> Self {
        let mut state = State::default();
        state.ids.reserve(entries);
        state.idem.reserve(entries);
        state.holds.reserve(entries / 4);
        state
    }

    /// Forgets all, and keeps its memory.
    pub fn clear(&mut self) {
        self.accounts.clear();
        self.supply.clear();
        self.ids.clear();
        self.idem.clear();
        self.holds.clear();
    }

    /// Takes in what came after; the later value wins.
    pub fn merge(&mut self, later: Delta) {
        fn all<K: Eq + Hash, V>(table: &mut Table<K, V>, rows: Vec<(K, V)>) {
            rows.into_iter().for_each(|(key, value)| table.insert(key, value));
        }
        all(&mut self.accounts, later.accounts);
        all(&mut self.supply, later.supply);
        all(&mut self.ids, later.ids);
        all(&mut self.idem, later.idem);
        all(&mut self.holds, later.holds);
    }
}

/// The kinds that change the supply of their asset, by themselves or when they are undone.
pub const fn changes_supply(kind: Kind) -> bool {
    matches!(kind, Kind::Mint | Kind::Burn)
}

impl Sequenced {
    /// The canonical form: see [`super::encode`].
    pub fn to_bytes(&self) -> Vec<u8> {
        super::encode::encode(self)
    }
}
