//! The never-seen filter of a writer: filled at a start, from the saved one and the log after it or else from the
//! indexes themselves, and saved now and then.

use std::ops::Range;

use super::block::Block;
use super::codec::{self, Damaged};
use super::engine::{DerivedFamily, Engine, TruthFamily};
use super::filter::{Filter, SharedFilter};
use super::recovery::RecoverError;
use super::store::Stop;
use super::view::PAGE;
use crate::ledger::entry::Seq;
use crate::ledger::idempotency::IdemDigest;

/// The filter is saved once it knows an entry more for each of so many bytes of its newest part, and at an
/// orderly stop: at most so many bytes are written for an entry. What it lacks at the next start is read from
/// the log: about a second for a million entries.
const BYTES_PER_ENTRY: u64 = 16;

/// An id and a tuple.
const KEYS_PER_ENTRY: u64 = 2;

/// The filter of a writer, and what is saved of it.
pub(super) struct Seen {
    pub(super) filter: Filter,
    /// The entry up to which the saved one knows all.
    pub(super) saved: Seq,
    /// Parts that are saved, and did not change since.
    saved_parts: usize,
}

impl Seen {
    /// All ids and tuples up to `height`, where derived data stands, in at most so many bytes; `None` for
    /// too few.
    pub(super) fn at(
        height: Seq,
        engine: &dyn Engine,
        bytes_max: u64,
        stop: &Stop,
    ) -> Result<Option<Self>, RecoverError> {
        let Some(mut filter) = Filter::new(bytes_max) else { return Ok(None) };
        let load = |key: &[u8]| engine.derived_get(DerivedFamily::Filter, key);
        // It was written together with derived data of its height. One that knows more is no danger, but
        // is not one of this data.
        let saved = filter.restore(load)?.filter(|saved| *saved <= height);
        let saved_parts = if saved.is_some() { filter.full_parts() } else { 0 };
        match saved {
            Some(saved) => add_from_log(&mut filter, engine, saved..height, stop)?,
            None => add_from_indexes(&mut filter, engine, stop)?,
        }
        Ok(Some(Seen { filter, saved: saved.unwrap_or(0), saved_parts }))
    }

    /// Counts entries whose keys were taken in.
    pub(super) fn count(&mut self, entries: u64) {
        self.filter.count(KEYS_PER_ENTRY * entries);
    }

    /// What is to be saved at `head`, if the saved filter lacks enough or `all` of it is wanted. What was shared
    /// before is saved by now.
    pub(super) fn share(&mut self, head: Seq, all: bool) -> Option<SharedFilter> {
        let behind_max = if all { 0 } else { self.filter.newest_bytes() / BYTES_PER_ENTRY };
        if head - self.saved <= behind_max {
            return None;
        }
        let shared = self.filter.share(self.saved_parts);
        (self.saved, self.saved_parts) = (head, self.filter.full_parts());
        Some(shared)
    }
}

fn add_from_log(
    filter: &mut Filter,
    engine: &dyn Engine,
    sizes: Range<Seq>,
    stop: &Stop,
) -> Result<(), RecoverError> {
    let mut next = sizes.start + 1;
    while next <= sizes.end {
        stop.check()?;
        let page = engine.truth_scan(TruthFamily::Blocks, &codec::seq_key(next), PAGE)?;
        if page.is_empty() {
            return Err(RecoverError::Gap { missing: next });
        }
        for (key, value) in page {
            let block = Block::parse(codec::seq_of(&key)?, value)?;
            if block.first != next {
                return Err(RecoverError::Gap { missing: next });
            }
            for entry in block.entries() {
                let entry = entry?.entry;
                filter.insert(entry.id.as_bytes());
                filter.insert(&IdemDigest::of(&entry).0);
                next += 1;
            }
            filter.count(KEYS_PER_ENTRY * (next - block.first));
        }
    }
    Ok(())
}

fn add_from_indexes(
    filter: &mut Filter,
    engine: &dyn Engine,
    stop: &Stop,
) -> Result<(), RecoverError> {
    for family in [DerivedFamily::Ids, DerivedFamily::Idem] {
        let mut from = Vec::new();
        loop {
            stop.check()?;
            let page = engine.derived_scan(family, &from, None, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            from = [&last[..], &[0]].concat();
            for (key, _) in &page {
                filter.insert(key[..].try_into().map_err(|_| Damaged("key of an index"))?);
            }
            filter.count(page.len() as u64);
        }
    }
    Ok(())
}
