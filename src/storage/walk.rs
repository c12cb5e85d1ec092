//! Walks a whole log from its first block and believes nothing: each block follows the one before, each
//! entry is the one form of what it says, and the tree of all of them has the stored roots and tiles.
//! It only reads, and needs no recovery before it.

use super::block::Block;
use super::chain::Chain;
use super::codec::{self, Damaged, Head};
use super::engine::{DerivedFamily, Engine, ScanLimit, StoreError, TruthFamily};
use super::error::ReadError;
use super::filter::Filter;
use super::flusher::HEIGHT;
use super::genesis::{Genesis, GenesisError};
use super::store::GENESIS;
use super::view::PAGE;
use super::writer::HEAD;
use crate::accumulator::{Hash, TileId};
use crate::ledger::encode::decode;
use crate::ledger::entry::{Entry, Millis, Seq, Sequenced};
use crate::ledger::state::{Hold, HoldState, State};

/// Why a walk ends before the log does.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The engine, or a record in it, cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No ledger, or one of another version.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The log has a hole, or something twice.
    #[error("the log has no block that begins with entry {seq}")]
    Gap {
        /// The entry that should be there.
        seq: Seq,
    },
    /// A block stands in the log where it cannot.
    #[error("entry {seq}: {problem}")]
    Order {
        /// Where.
        seq: Seq,
        /// In words.
        problem: String,
    },
    /// An entry is not what it must be.
    #[error("entry {seq}: {problem}")]
    Entry {
        /// Which.
        seq: Seq,
        /// In words.
        problem: String,
    },
    /// What the store says of the tree is not what its entries make.
    #[error("{what} at size {size} is not what the entries make")]
    Differs {
        /// Which record.
        what: &'static str,
        /// At which size.
        size: Seq,
    },
}

impl From<StoreError> for WalkError {
    fn from(error: StoreError) -> Self {
        WalkError::Read(error.into())
    }
}

impl From<Damaged> for WalkError {
    fn from(error: Damaged) -> Self {
        WalkError::Read(error.into())
    }
}

/// A commit group that was walked over.
#[derive(Clone, Debug)]
pub struct WalkedGroup {
    /// When it was committed, in ms.
    pub time: Millis,
    /// Its entries.
    pub entries: Vec<Sequenced>,
    /// The last of them, which is the size of the tree after it.
    pub size: Seq,
    /// The root after it.
    pub root: Hash,
}

/// A walk over a log that nobody writes to meanwhile.
pub struct Walk<'a> {
    engine: &'a dyn Engine,
    genesis: Genesis,
    chain: Chain,
    /// Up to where derived data goes.
    height: Seq,
}

impl<'a> Walk<'a> {
    /// Before the first block.
    ///
    /// # Errors
    /// [`WalkError`] when there is no ledger here.
    pub fn new(engine: &'a dyn Engine) -> Result<Self, WalkError> {
        let genesis = engine.truth_get(TruthFamily::Meta, GENESIS)?;
        let genesis = Genesis::from_bytes(&genesis.ok_or(GenesisError::Unreadable)?)?;
        let height = match engine.derived_is_damaged() {
            true => 0,
            false => height_of(engine)?,
        };
        let chain = Chain::new(genesis.hash, PAGE);
        Ok(Walk { engine, genesis, chain, height })
    }

    /// What the ledger was made with.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The size up to which derived data goes; 0 when it is damaged, or new.
    pub fn derived_height(&self) -> Seq {
        self.height
    }

    /// The size that the stored head claims.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn stored_size(&self) -> Result<Seq, WalkError> {
        Ok(self.stored_head()?.map_or(0, |head| head.seq))
    }

    fn stored_head(&self) -> Result<Option<Head>, WalkError> {
        let stored = self.engine.truth_get(TruthFamily::Meta, HEAD)?;
        Ok(stored.map(|bytes| codec::head_of(&bytes)).transpose()?)
    }

    /// The next group; `None` after the last, once the stored head is what the log makes.
    ///
    /// # Errors
    /// [`WalkError`]; the walk cannot go on then.
    pub fn next_group(&mut self) -> Result<Option<WalkedGroup>, WalkError> {
        let before = self.chain.tiles().size();
        let Some(link) = self.chain.next(self.engine)? else {
            self.end()?;
            return Ok(None);
        };
        let size = link.group.size;
        if before < self.height && self.height < size {
            // Derived data is flushed by whole groups.
            return Err(WalkError::Differs { what: "the height of derived data", size });
        }
        if size <= self.height {
            for (tile, bytes) in link.filled {
                self.holds(tile, &bytes)?;
            }
        }
        if size == self.height {
            // At the height of derived data its tiles have these hashes and no more.
            for (tile, bytes) in self.chain.tiles().edge() {
                self.holds(tile, bytes)?;
            }
        }
        Ok(Some(link.group))
    }

    fn holds(&self, tile: TileId, bytes: &[u8]) -> Result<(), WalkError> {
        let stored = self.engine.derived_get(DerivedFamily::Tiles, &codec::tile_key(tile))?;
        match stored.as_deref() == Some(bytes) {
            true => Ok(()),
            false => {
                Err(WalkError::Differs { what: "a stored tile", size: self.chain.tiles().size() })
            }
        }
    }

    fn end(&mut self) -> Result<(), WalkError> {
        let size = self.chain.tiles().size();
        let differs = |what| Err(WalkError::Differs { what, size });
        if self.chain.has_more_roots(self.engine)? {
            return differs("a stored root beyond the log");
        }
        let stored = self.stored_head()?;
        let made = Head { seq: size, root: self.chain.tiles().root(), time: self.chain.time() };
        if stored.is_some_and(|head| head != made) || stored.is_none() && size > 0 {
            return differs("the stored head");
        }
        if self.height > size {
            return differs("the height of derived data");
        }
        Ok(())
    }
}

fn height_of(engine: &dyn Engine) -> Result<Seq, WalkError> {
    let stored = engine.derived_get(DerivedFamily::Meta, HEIGHT)?;
    Ok(stored.map(|value| codec::seq_of(&value)).transpose()?.unwrap_or(0))
}

/// The entry at `seq`, by its block.
///
/// # Errors
/// [`ReadError`], also when the log does not have it.
pub fn entry_of(engine: &dyn Engine, seq: Seq) -> Result<Entry, ReadError> {
    let found = engine.truth_last_at_or_before(TruthFamily::Blocks, &codec::seq_key(seq))?;
    let (key, value) = found.ok_or(ReadError::Missing(seq))?;
    let block = Block::parse(codec::seq_of(&key)?, value)?;
    let form = block.form(seq)?.ok_or(ReadError::Missing(seq))?;
    Ok(decode(form).map_err(|_| Damaged("entry"))?.entry)
}

/// Holds stored balances, supplies, ids, tuples and holds against a replay of as many entries. Gives
/// what differs, in words.
///
/// # Errors
/// When they cannot be read.
pub fn derived_differs(
    engine: &dyn Engine,
    state: &State,
) -> Result<Option<&'static str>, ReadError> {
    use DerivedFamily::{Accounts, Due, Holds, Idem, Ids, Supply};
    let same = |family, count: usize, is: &dyn Fn(&[u8], &[u8]) -> bool| {
        Ok::<bool, ReadError>(count_same(engine, family, is)? == Some(count))
    };
    let accounts = |key: &[u8], value: &[u8]| {
        state.accounts.get(key).is_some_and(|known| *codec::account_value(known) == *value)
    };
    if !same(Accounts, state.accounts.len(), &accounts)? {
        return Ok(Some("the stored balances"));
    }
    let supply = |key: &[u8], value: &[u8]| {
        let known = state.supply.iter().find(|(asset, _)| asset.as_str().as_bytes() == key);
        known.is_some_and(|(_, known)| codec::supply_value(known) == value)
    };
    if !same(Supply, state.supply.len(), &supply)? {
        return Ok(Some("the stored supply"));
    }
    let id_of = |key: &[u8]| key.try_into().ok().map(crate::ledger::entry::EntryId::from_bytes);
    let ids = |key: &[u8], value: &[u8]| {
        let known = id_of(key).and_then(|id| state.ids.get(&id));
        known.is_some_and(|known| *codec::id_value(known) == *value)
    };
    if !same(Ids, state.ids.len(), &ids)? {
        return Ok(Some("the stored ids"));
    }
    let tuples = |key: &[u8], value: &[u8]| {
        let digest = key.try_into().ok().map(crate::ledger::idempotency::IdemDigest);
        let known = digest.and_then(|digest| state.idem.get(&digest));
        known.is_some_and(|seq| codec::seq_key(*seq) == value)
    };
    if !same(Idem, state.idem.len(), &tuples)? {
        return Ok(Some("the stored idempotency tuples"));
    }
    let holds = |key: &[u8], value: &[u8]| {
        let known = id_of(key).and_then(|id| state.holds.get(&id));
        known.is_some_and(|known| *codec::hold_value(known) == *value)
    };
    if !same(Holds, state.holds.len(), &holds)? {
        return Ok(Some("the stored holds"));
    }
    let waits = |hold: &Hold| hold.state == HoldState::Open && hold.expires_at.is_some();
    let due = |key: &[u8], value: &[u8]| {
        codec::due_of(key).is_ok_and(|(at, id)| {
            let known = state.holds.get(&id).filter(|hold| waits(hold));
            known.is_some_and(|hold| hold.expires_at == Some(at)) && value.is_empty()
        })
    };
    if !same(Due, state.holds.values().iter().filter(|hold| waits(hold)).count(), &due)? {
        return Ok(Some("the stored times of holds"));
    }
    let load = |key: &[u8]| engine.derived_get(DerivedFamily::Filter, key);
    let ids = state.ids.iter().map(|(id, record)| (id.as_bytes(), record.seq));
    let tuples = state.idem.iter().map(|(digest, seq)| (&digest.0, *seq));
    let knows = Filter::saved_knows(load, ids.chain(tuples))?;
    Ok(if knows { None } else { Some("the saved filter of ids and tuples") })
}

/// How many records a family has; `None` as soon as one is not as it should be.
fn count_same(
    engine: &dyn Engine,
    family: DerivedFamily,
    is: &dyn Fn(&[u8], &[u8]) -> bool,
) -> Result<Option<usize>, ReadError> {
    let (mut from, mut count) = (Vec::new(), 0);
    loop {
        let limit = ScanLimit { items: 4096, ..PAGE };
        let page = engine.derived_scan(family, &from, None, limit)?;
        let Some((last, _)) = page.last() else { return Ok(Some(count)) };
        if !page.iter().all(|(key, value)| is(key, value)) {
            return Ok(None);
        }
        count += page.len();
        from = [&last[..], &[0]].concat();
    }
}

/// The records of a saved filter that knows nothing, and says that it knows all up to `height`.
#[cfg(test)]
pub(crate) fn saved_filter(bytes: u64, height: Seq) -> Vec<super::engine::Item> {
    let mut records = Vec::new();
    let filter = Filter::new(bytes).expect("room for a block");
    filter.share(0).records(height, |key, value| records.push((key.into(), value.into())));
    records
}
