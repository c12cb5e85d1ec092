//! Reads of the ledger's records: the overlay first, then the engine.
//!
//! Everything that may still change is read under one read lock of the overlay. What is found in no
//! layer was not changed since the last visible flush, and a flush that runs meanwhile only writes
//! what is in the frozen layer: so an answer is of one size, whatever the flusher does.

use std::ops::Bound::{Excluded, Included};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockReadGuard};

use super::block::Block;
use super::codec::{self, Head, RootRow};
use super::engine::{DerivedFamily, Durability, Engine, ScanLimit, TruthFamily};
use super::error::ReadError;
use super::genesis::Genesis;
use super::overlay::{Layer, Overlay};
use crate::accumulator::TileId;
use crate::ledger::entry::{EntryId, Millis, Seq};
use crate::ledger::idempotency::IdemDigest;
use crate::ledger::names::{AccountId, AccountKey, Asset};
use crate::ledger::state::{Account, Hold, IdRecord, Supply};

/// One page of a scan that runs to its end by itself.
pub(super) const PAGE: ScanLimit = ScanLimit { items: 4096, bytes: 1 << 20 };

/// What the writer and all readers share.
pub(super) struct Shared {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) overlay: RwLock<Overlay>,
    pub(super) genesis: Genesis,
    /// A writer was given out once, so that the overlay has the verified end of the log; and derived
    /// data is not being made anew.
    pub(super) is_open: AtomicBool,
    /// The first entry that somebody looked for within the log and did not find; [`Seq::MAX`]: none.
    missing: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        engine: Arc<dyn Engine>,
        genesis: Genesis,
        head: Head,
        is_open: bool,
    ) -> Self {
        Shared {
            engine,
            overlay: RwLock::new(Overlay::new(head)),
            genesis,
            is_open: AtomicBool::new(is_open),
            missing: AtomicU64::new(Seq::MAX),
        }
    }

    pub(super) fn head(&self) -> Head {
        self.overlay.read().head
    }

    pub(super) fn durability(&self) -> Durability {
        self.engine.durability()
    }

    /// Holds the state still: see the module's words.
    pub(super) fn still(&self) -> Still<'_> {
        Still { engine: &*self.engine, overlay: self.overlay.read() }
    }

    /// Shuts readers out. When this returns, the last answer that was on its way is given.
    pub(super) fn close(&self) {
        self.is_open.store(false, Ordering::Release);
        drop(self.overlay.write());
    }

    /// The block that has `seq`, which must lie within the ledger.
    pub(super) fn block_of(&self, seq: Seq) -> Result<Block, ReadError> {
        let found =
            self.engine.truth_last_at_or_before(TruthFamily::Blocks, &codec::seq_key(seq))?;
        let (key, value) = found.ok_or_else(|| self.miss(seq))?;
        Ok(Block::parse(codec::seq_of(&key)?, value)?)
    }

    /// The error of an entry that is not there although the log reaches further: noted for the
    /// committer, since whoever reads has no say in what follows from it.
    pub(super) fn miss(&self, seq: Seq) -> ReadError {
        self.missing.fetch_min(seq, Ordering::AcqRel);
        ReadError::Missing(seq)
    }

    pub(super) fn missing(&self) -> Option<Seq> {
        Some(self.missing.load(Ordering::Acquire)).filter(|seq| *seq != Seq::MAX)
    }

    /// Looks again for what was missed: a verification must not pass over a hole that is known.
    /// What lies behind the end of the log was missed by a writer whose memory was wrong.
    pub(super) fn look_again(&self, end: Seq) -> Result<(), ReadError> {
        let Some(seq) = self.missing() else { return Ok(()) };
        if seq <= end && self.block_of(seq)?.form(seq)?.is_none() {
            return Err(ReadError::Missing(seq));
        }
        self.missing.store(Seq::MAX, Ordering::Release);
        Ok(())
    }

    /// Roots of groups that end after `since`, in order.
    pub(super) fn roots_after(&self, since: Seq, limit: usize) -> Result<Vec<RootRow>, ReadError> {
        let Some(from) = since.checked_add(1) else { return Ok(Vec::new()) };
        let limit = ScanLimit { items: limit, bytes: usize::MAX };
        let rows = self.engine.truth_scan(TruthFamily::Roots, &codec::seq_key(from), limit)?;
        rows.iter().map(|(key, value)| Ok(codec::root_row(key, value)?)).collect()
    }
}

/// The state at one size.
pub(super) struct Still<'a> {
    engine: &'a dyn Engine,
    overlay: RwLockReadGuard<'a, Overlay>,
}

impl Still<'_> {
    pub(super) fn size(&self) -> Seq {
        self.overlay.head.seq
    }

    pub(super) fn ids(&self, ids: &[EntryId]) -> Result<Vec<Option<IdRecord>>, ReadError> {
        let known = |layer: &Layer, id: &EntryId| layer.delta.ids.get(id).copied();
        self.many(DerivedFamily::Ids, ids, known, |id| id.as_bytes(), codec::id_of)
    }

    pub(super) fn idem(&self, digests: &[IdemDigest]) -> Result<Vec<Option<Seq>>, ReadError> {
        let known = |layer: &Layer, digest: &IdemDigest| layer.delta.idem.get(digest).copied();
        self.many(DerivedFamily::Idem, digests, known, |digest| &digest.0, codec::seq_of)
    }

    pub(super) fn holds(&self, ids: &[EntryId]) -> Result<Vec<Option<Hold>>, ReadError> {
        let known = |layer: &Layer, id: &EntryId| layer.delta.holds.get(id).cloned();
        self.many(DerivedFamily::Holds, ids, known, |id| id.as_bytes(), codec::hold_of)
    }

    pub(super) fn accounts(&self, keys: &[AccountKey]) -> Result<Vec<Option<Account>>, ReadError> {
        let known = |layer: &Layer, key: &AccountKey| layer.delta.accounts.get(key).copied();
        self.many(DerivedFamily::Accounts, keys, known, AccountKey::as_bytes, codec::account_of)
    }

    pub(super) fn supplies(&self, assets: &[Asset]) -> Result<Vec<Option<Supply>>, ReadError> {
        let known = |layer: &Layer, asset: &Asset| layer.delta.supply.get(asset).copied();
        self.many(
            DerivedFamily::Supply,
            assets,
            known,
            |asset| asset.as_str().as_bytes(),
            codec::supply_of,
        )
    }

    /// Looks in the layers, then asks the engine for the rest in one call.
    fn many<K, V>(
        &self,
        family: DerivedFamily,
        keys: &[K],
        known: impl Fn(&Layer, &K) -> Option<V>,
        bytes: fn(&K) -> &[u8],
        decode: fn(&[u8]) -> Result<V, codec::Damaged>,
    ) -> Result<Vec<Option<V>>, ReadError> {
        let mut found: Vec<Option<V>> = keys
            .iter()
            .map(|key| self.overlay.layers().find_map(|layer| known(layer, key)))
            .collect();
        let missing: Vec<usize> = (0..keys.len()).filter(|&at| found[at].is_none()).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let asked: Vec<&[u8]> = missing.iter().map(|&at| bytes(&keys[at])).collect();
        let values = self.engine.derived_multi_get(family, &asked)?;
        for (at, value) in missing.into_iter().zip(values) {
            found[at] = value.map(|value| decode(&value)).transpose()?;
        }
        Ok(found)
    }

    /// All assets of an account, in order.
    pub(super) fn assets_of(&self, id: &AccountId) -> Result<Vec<(Asset, Account)>, ReadError> {
        let prefix = AccountKey::prefix(id);
        let mut found = std::collections::BTreeMap::new();
        // The key after the last that has the prefix: assets are ASCII.
        let end = [&prefix[..], &[0x80]].concat();
        self.scan(DerivedFamily::Accounts, &prefix, &end, |key, value| {
            let key = AccountKey::from_bytes(key).ok_or(codec::Damaged("account key"))?;
            found.insert(key, codec::account_of(value)?);
            Ok(())
        })?;
        for layer in self.overlay.layers().rev() {
            let mine = layer.account_keys.range::<[u8], _>((Included(&*prefix), Excluded(&*end)));
            found.extend(mine.map(|key| (key.clone(), layer.delta.accounts[key])));
        }
        let named = |(key, account): (AccountKey, Account)| Some((key.names()?.1, account));
        Ok(found.into_iter().filter_map(named).collect())
    }

    /// All assets that exist, in order.
    pub(super) fn all_supplies(&self) -> Result<Vec<(Asset, Supply)>, ReadError> {
        let mut found = std::collections::BTreeMap::new();
        self.scan(DerivedFamily::Supply, &[], &[0x80], |key, value| {
            let text = String::from_utf8(key.to_vec()).map_err(|_| codec::Damaged("asset"))?;
            let asset = Asset::new(text).map_err(|_| codec::Damaged("asset"))?;
            found.insert(asset, codec::supply_of(value)?);
            Ok(())
        })?;
        for layer in self.overlay.layers().rev() {
            found.extend(layer.delta.supply.iter().map(|(asset, supply)| (asset.clone(), *supply)));
        }
        Ok(found.into_iter().collect())
    }

    /// Open holds with `expires_at <= now`, in order, at most `max`.
    pub(super) fn due(&self, now: Millis, max: usize) -> Result<Vec<EntryId>, ReadError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let end = codec::due_key(now, EntryId::from_bytes([0xff; 16]));
        let overlaid: usize = self.overlay.layers().map(|layer| layer.due.len()).sum();
        let limit = ScanLimit { items: max.saturating_add(overlaid), bytes: usize::MAX };
        let stored = self.engine.derived_scan(DerivedFamily::Due, &[], Some(&end), limit)?;
        let mut due = std::collections::BTreeMap::new();
        for (key, _) in stored {
            due.insert(codec::due_of(&key)?, true);
        }
        for layer in self.overlay.layers().rev() {
            due.extend(layer.due.range(..=(now, EntryId::from_bytes([0xff; 16]))));
        }
        let open = due.into_iter().filter(|(_, open)| *open);
        Ok(open.map(|((_, id), _)| id).take(max).collect())
    }

    /// A tile with all the hashes it has at this size.
    pub(super) fn tile(&self, tile: TileId) -> Result<Option<Vec<u8>>, ReadError> {
        let known = self.overlay.layers().find_map(|layer| layer.tiles.get(&tile).cloned());
        match known {
            Some(bytes) => Ok(Some(bytes)),
            None => Ok(self.engine.derived_get(DerivedFamily::Tiles, &codec::tile_key(tile))?),
        }
    }

    fn scan(
        &self,
        family: DerivedFamily,
        from: &[u8],
        to: &[u8],
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let mut from = from.to_vec();
        loop {
            let page = self.engine.derived_scan(family, &from, Some(to), PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            from = [&last[..], &[0]].concat();
            for (key, value) in &page {
                each(key, value)?;
            }
        }
    }
}
