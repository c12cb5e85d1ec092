//! Reads of the ledger's records: the overlay first, then the engine.
//!
//! The layers are looked through under the overlay's lock, which nobody holds while the disk is waited
//! for: neither does a slow read hold up the committer, nor a commit a read. What is found in no layer
//! was not changed since the last visible flush, and a flush that runs meanwhile only writes what was
//! in the frozen layer, unless another layer was frozen since: then the answer is thrown away, and
//! asked for anew. So an answer is of one size, whatever the flusher does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::block::{Block, form_in};
use super::codec::{self, Damaged, Head, RootRow};
use super::engine::{DerivedFamily, Durability, Engine, ScanLimit, TruthFamily};
use super::error::ReadError;
use super::genesis::Genesis;
use super::overlay::{Layer, Overlay};
use crate::accumulator::TileId;
use crate::ledger::encode::decode;
use crate::ledger::entry::{Entry, EntryId, Millis, Seq, Sequenced};
use crate::ledger::idempotency::IdemDigest;
use crate::ledger::names::{AccountId, AccountKey, Asset};
use crate::ledger::state::{Account, Hold, IdRecord, Supply};

/// One page of a scan that runs to its end by itself.
pub(super) const PAGE: ScanLimit = ScanLimit { items: 4096, bytes: 1 << 20 };

/// Holds that fall due are looked for so far ahead, in milliseconds, since each look costs as much as a
/// small group: most groups then know that there are none.
const DUE_AHEAD: Millis = 1_000;

/// Tries that the flusher may overtake; the next one holds the layers still until it is done.
pub(super) const TRIES: usize = 3;

/// An answer and the size of the ledger that it speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// Entries in the ledger at that moment.
    pub size: Seq,
    /// The answer.
    pub value: T,
}

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
    /// As of an era: no hold in the engine waits for a time before this, nor will one by a flush of that
    /// era.
    none_due: Mutex<Option<(u64, Millis)>>,
    /// As the engine told it last, of its merges: see the pace.
    pub(super) behind: AtomicU8,
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
            none_due: Mutex::new(None),
            behind: AtomicU8::new(0),
        }
    }

    pub(super) fn head(&self) -> Head {
        self.overlay.read().head
    }

    pub(super) fn durability(&self) -> Durability {
        self.engine.durability()
    }

    /// What `look` finds in the layers, completed from the engine by `ask`: see the module's words.
    /// Both may be called several times.
    ///
    /// # Errors
    /// `NotOpen`, asked with the state in hand: whoever closes the ledger waits for nobody, and what was
    /// on its way then is thrown away.
    pub(super) fn answer<L, T>(
        &self,
        look: impl Fn(&Overlay) -> L,
        ask: impl Fn(L) -> Result<T, ReadError>,
    ) -> Result<At<T>, ReadError> {
        for _ in 0..TRIES {
            let overlay = self.opened()?;
            let (size, era, seen) = (overlay.head.seq, overlay.era, look(&overlay));
            drop(overlay);
            let value = ask(seen);
            if self.overlay.read().era == era {
                return Ok(At { size, value: value? });
            }
        }
        let overlay = self.opened()?;
        Ok(At { size: overlay.head.seq, value: ask(look(&overlay))? })
    }

    fn opened(&self) -> Result<RwLockReadGuard<'_, Overlay>, ReadError> {
        let overlay = self.overlay.read();
        match self.is_open.load(Ordering::Acquire) {
            true => Ok(overlay),
            false => Err(ReadError::NotOpen),
        }
    }

    /// Shuts readers out. When this returns, no answer that is on its way will be given.
    pub(super) fn close(&self) {
        let mut overlay = self.overlay.write();
        self.is_open.store(false, Ordering::Release);
        overlay.era += 1;
    }

    /// Lets readers in, to a state that was recovered.
    pub(super) fn open(&self, recovered: Overlay) {
        let mut overlay = self.overlay.write();
        *overlay = Overlay { era: overlay.era + 1, ..recovered };
        // Under the lock: whoever sees the head may also read what it speaks of.
        self.is_open.store(true, Ordering::Release);
    }

    /// The block that has `seq`, which must lie within the ledger.
    pub(super) fn block_of(&self, seq: Seq) -> Result<Block, ReadError> {
        let found =
            self.engine.truth_last_at_or_before(TruthFamily::Blocks, &codec::seq_key(seq))?;
        let (key, value) = found.ok_or_else(|| self.miss(seq))?;
        Ok(Block::parse(codec::seq_of(&key)?, value)?)
    }

    /// The entries at these seqs, which must lie within the ledger. Of a block no more is copied than the
    /// entry that is asked for.
    pub(super) fn entries_at(&self, seqs: &[Seq]) -> Result<Vec<Entry>, ReadError> {
        let overlay = self.overlay.read();
        let form = |seq| overlay.recent().find_map(|layer| layer.form(seq));
        let young = |seq: &Seq| form(*seq).and_then(|form| decode(form).ok());
        let mut entries: Vec<_> = seqs.iter().map(|seq| young(seq).map(|one| one.entry)).collect();
        drop(overlay);
        let missing: Vec<usize> = (0..seqs.len()).filter(|&at| entries[at].is_none()).collect();
        let asked: Vec<Seq> = missing.iter().map(|&at| seqs[at]).collect();
        for (at, entry) in missing.into_iter().zip(self.stored_entries_at(&asked)?) {
            entries[at] = Some(entry);
        }
        Ok(entries.into_iter().flatten().collect())
    }

    fn stored_entries_at(&self, seqs: &[Seq]) -> Result<Vec<Entry>, ReadError> {
        if seqs.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<_> = seqs.iter().map(|seq| codec::seq_key(*seq)).collect();
        let mut found = Vec::with_capacity(seqs.len());
        self.engine.truth_each_at_or_before(TruthFamily::Blocks, &keys, &mut |at, item| {
            let entry = || {
                let Some((key, block)) = item else { return Ok(None) };
                let form = form_in(codec::seq_of(key)?, block, seqs[at])?;
                form.map(|form| decode(form).map_err(|_| Damaged("entry"))).transpose()
            };
            found.push(entry());
        })?;
        let entry = |(seq, found): (&Seq, Result<Option<Sequenced>, Damaged>)| {
            Ok(found?.ok_or_else(|| self.miss(*seq))?.entry)
        };
        seqs.iter().zip(found).map(entry).collect()
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

/// The state. Each answer is of one size.
impl Shared {
    pub(super) fn ids(&self, ids: &[EntryId]) -> Result<Vec<Option<IdRecord>>, ReadError> {
        let known = |layer: &Layer, id: &EntryId| layer.state.ids.get(id).copied();
        let found = self.many(DerivedFamily::Ids, ids, known, |id| id.as_bytes(), codec::id_of);
        Ok(found?.value)
    }

    pub(super) fn idem(&self, digests: &[IdemDigest]) -> Result<Vec<Option<Seq>>, ReadError> {
        let known = |layer: &Layer, digest: &IdemDigest| layer.state.idem.get(digest).copied();
        let found =
            self.many(DerivedFamily::Idem, digests, known, |digest| &digest.0, codec::seq_of);
        Ok(found?.value)
    }

    pub(super) fn holds(&self, ids: &[EntryId]) -> Result<At<Vec<Option<Hold>>>, ReadError> {
        let known = |layer: &Layer, id: &EntryId| layer.state.holds.get(id).cloned();
        self.many(DerivedFamily::Holds, ids, known, |id| id.as_bytes(), codec::hold_of)
    }

    pub(super) fn accounts(&self, keys: &[AccountKey]) -> Result<Vec<Option<Account>>, ReadError> {
        let known = |layer: &Layer, key: &AccountKey| layer.state.accounts.get(key).copied();
        let found = self.many(
            DerivedFamily::Accounts,
            keys,
            known,
            AccountKey::as_bytes,
            codec::account_of,
        );
        Ok(found?.value)
    }

    pub(super) fn supplies(&self, assets: &[Asset]) -> Result<Vec<Option<Supply>>, ReadError> {
        let known = |layer: &Layer, asset: &Asset| layer.state.supply.get(asset).copied();
        let bytes: fn(&Asset) -> &[u8] = |asset| asset.as_str().as_bytes();
        Ok(self.many(DerivedFamily::Supply, assets, known, bytes, codec::supply_of)?.value)
    }

    /// Looks in the layers, then asks the engine for the rest in one call.
    fn many<K, V: Clone>(
        &self,
        family: DerivedFamily,
        keys: &[K],
        known: impl Fn(&Layer, &K) -> Option<V>,
        bytes: fn(&K) -> &[u8],
        decode: fn(&[u8]) -> Result<V, codec::Damaged>,
    ) -> Result<At<Vec<Option<V>>>, ReadError> {
        let of_layers = |overlay: &Overlay| -> Vec<Option<V>> {
            keys.iter().map(|key| overlay.recent().find_map(|layer| known(layer, key))).collect()
        };
        let complete = |mut found: Vec<Option<V>>| {
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
        };
        self.answer(of_layers, complete)
    }

    /// All assets of an account, in order.
    pub(super) fn assets_of(&self, id: &AccountId) -> Result<At<Vec<(Asset, Account)>>, ReadError> {
        let prefix = AccountKey::prefix(id);
        // The key after the last that has the prefix: assets are ASCII.
        let end = [&prefix[..], &[0x80]].concat();
        let of_layers = |overlay: &Overlay| {
            let mut newer = BTreeMap::new();
            for layer in overlay.layers().rev() {
                newer.extend(layer.assets_of(id).map(|(key, account)| (key.clone(), *account)));
            }
            newer
        };
        let named = |(key, account): (AccountKey, Account)| Some((key.names()?.1, account));
        self.answer(of_layers, |newer| {
            let mut found = BTreeMap::new();
            self.scan(DerivedFamily::Accounts, &prefix, &end, |key, value| {
                let key = AccountKey::from_bytes(key).ok_or(codec::Damaged("account key"))?;
                found.insert(key, codec::account_of(value)?);
                Ok(())
            })?;
            found.extend(newer);
            Ok(found.into_iter().filter_map(named).collect())
        })
    }

    /// All assets that exist, in order.
    pub(super) fn all_supplies(&self) -> Result<At<Vec<(Asset, Supply)>>, ReadError> {
        let of_layers = |overlay: &Overlay| {
            let layers = overlay.layers().rev();
            let newer = layers.flat_map(|layer| &layer.state.supply);
            newer.map(|(asset, supply)| (asset.clone(), *supply)).collect::<BTreeMap<_, _>>()
        };
        self.answer(of_layers, |newer| {
            let mut found = BTreeMap::new();
            self.scan(DerivedFamily::Supply, &[], &[0x80], |key, value| {
                let text = String::from_utf8(key.to_vec()).map_err(|_| codec::Damaged("asset"))?;
                let asset = Asset::new(text).map_err(|_| codec::Damaged("asset"))?;
                found.insert(asset, codec::supply_of(value)?);
                Ok(())
            })?;
            found.extend(newer);
            Ok(found.into_iter().collect())
        })
    }

    /// Open holds with `expires_at <= now`, in order, at most `max`.
    pub(super) fn due(&self, now: Millis, max: usize) -> Result<Vec<EntryId>, ReadError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let last = (now, EntryId::from_bytes([0xff; 16]));
        let of_layers = |overlay: &Overlay| {
            let overlaid: usize = overlay.layers().map(|layer| layer.due.len()).sum();
            let layers = overlay.layers().rev();
            let newer = layers.flat_map(|layer| layer.due.range(..=last));
            let newer = newer.map(|(at, open)| (*at, *open)).collect::<BTreeMap<_, _>>();
            let flushing = overlay.frozen.as_ref().and_then(|layer| layer.due.first_key_value());
            let flushed_from = flushing.map_or(Millis::MAX, |((at, _), _)| *at);
            (overlay.era, overlaid, flushed_from, newer)
        };
        let complete = |(era, overlaid, flushed_from, newer): (_, usize, Millis, _)| {
            let mut due = BTreeMap::new();
            if self.none_due.lock().is_none_or(|(of, before)| of != era || before <= now) {
                let limit = ScanLimit { items: max.saturating_add(overlaid), bytes: usize::MAX };
                let ahead = now.saturating_add(DUE_AHEAD);
                let stored = self.stored_due(ahead, limit)?;
                let first = stored.first().map_or(ahead, |(at, _)| *at);
                *self.none_due.lock() = Some((era, first.min(flushed_from)));
                due.extend(stored.into_iter().filter(|at| *at <= last).map(|at| (at, true)));
            }
            due.extend(newer);
            let open = due.into_iter().filter(|(_, open)| *open);
            Ok(open.map(|((_, id), _)| id).take(max).collect())
        };
        Ok(self.answer(of_layers, complete)?.value)
    }

    /// Holds in the engine with `expires_at < before`, in order.
    fn stored_due(
        &self,
        before: Millis,
        limit: ScanLimit,
    ) -> Result<Vec<(Millis, EntryId)>, ReadError> {
        let end = codec::due_key(before, EntryId::from_bytes([0; 16]));
        let stored = self.engine.derived_scan(DerivedFamily::Due, &[], Some(&end), limit)?;
        Ok(stored.iter().map(|(key, _)| codec::due_of(key)).collect::<Result<_, _>>()?)
    }

    /// A tile with all the hashes it has at this size.
    pub(super) fn tile(&self, tile: TileId) -> Result<Option<Vec<u8>>, ReadError> {
        let of_layers =
            |overlay: &Overlay| overlay.layers().find_map(|layer| layer.tiles.get(&tile).cloned());
        let complete = |known: Option<Vec<u8>>| match known {
            Some(bytes) => Ok(Some(bytes)),
            None => Ok(self.engine.derived_get(DerivedFamily::Tiles, &codec::tile_key(tile))?),
        };
        Ok(self.answer(of_layers, complete)?.value)
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
