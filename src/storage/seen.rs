//! Fills the never-seen filter at a start: from the saved one and the log after it, or else from the
//! indexes themselves.

use std::ops::Range;

use super::block::Block;
use super::codec::{self, Damaged};
use super::engine::{DerivedFamily, Engine, TruthFamily};
use super::filter::Filter;
use super::recovery::RecoverError;
use super::store::Stop;
use super::view::PAGE;
use crate::ledger::entry::Seq;
use crate::ledger::idempotency::IdemDigest;

/// A filter of all ids and tuples up to `height`, where derived data stands, and the entry up to which
/// the saved one knew all.
pub(super) fn filter(
    engine: &dyn Engine,
    bytes: u64,
    height: Seq,
    stop: &Stop,
) -> Result<(Option<Filter>, Seq), RecoverError> {
    let Some(filter) = Filter::new(bytes) else { return Ok((None, 0)) };
    let load = |key: &[u8]| engine.derived_get(DerivedFamily::Filter, key);
    // It was written together with derived data of its height. One that knows more is no danger, but
    // is not one of this data.
    let saved = filter.restore(load)?.filter(|saved| *saved <= height);
    match saved {
        Some(saved) => add_from_log(&filter, engine, saved..height, stop)?,
        None => add_from_indexes(&filter, engine, stop)?,
    }
    Ok((Some(filter), saved.unwrap_or(0)))
}

fn add_from_log(
    filter: &Filter,
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
        }
    }
    Ok(())
}

fn add_from_indexes(filter: &Filter, engine: &dyn Engine, stop: &Stop) -> Result<(), RecoverError> {
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
        }
    }
    Ok(())
}
