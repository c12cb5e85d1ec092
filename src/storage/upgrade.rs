//! Brings a store of an older schema to this program's. Only when an operator says so: a start refuses
//! such a store, since what was upgraded the older program cannot read again.

use super::engine::{CommitError, Engine, StoreError, TruthBatch, TruthFamily};
use super::genesis::{GenesisError, SCHEMA, schema_of, with_schema};
use super::store::GENESIS;

/// What leads from one schema to the next one. It is done again after a crash in the middle, and what
/// it finds may be half its own work.
type Step = fn(&dyn Engine) -> Result<(), StoreError>;

/// The steps, each with the schema that it begins at. There are none: schema 1 is the first.
const STEPS: &[(u32, Step)] = &[];

/// Why a store was not upgraded, or not to the end. It stays one of the schema that it says it is.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The engine.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new schema could not be noted.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The store is newer, or not one of ours.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// There is no ledger in the data directory.
    #[error("there is no ledger to upgrade")]
    NoLedger,
    /// This program never knew the way.
    #[error("no upgrade leads from schema {0} to {SCHEMA}: use the version that wrote the store")]
    NoWay(u32),
}

/// Upgrades the store in `engine`, step by step, and gives the schema that it had.
///
/// # Errors
/// [`UpgradeError`].
pub fn upgrade(engine: &dyn Engine) -> Result<u32, UpgradeError> {
    upgrade_by(STEPS, engine)
}

fn upgrade_by(steps: &[(u32, Step)], engine: &dyn Engine) -> Result<u32, UpgradeError> {
    let genesis = engine.truth_get(TruthFamily::Meta, GENESIS)?;
    let mut genesis = genesis.ok_or(UpgradeError::NoLedger)?;
    let found = schema_of(&genesis)?;
    if found > SCHEMA {
        return Err(GenesisError::Newer(found).into());
    }
    // Before the first step: a store between two schemas that nobody reads is of no use.
    let step = |from| steps.iter().find(|(begins, _)| *begins == from).map(|(_, step)| step);
    if (found..SCHEMA).any(|from| step(from).is_none()) {
        return Err(UpgradeError::NoWay(found));
    }
    for from in found..SCHEMA {
        if let Some(step) = step(from) {
            step(engine)?;
        }
        genesis = with_schema(&genesis, from + 1)?;
        let mut batch = TruthBatch::new();
        batch.put(TruthFamily::Meta, GENESIS, genesis.clone());
        engine.commit(&batch)?;
        tracing::info!(from, to = from + 1, "the store was upgraded");
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::accumulator::HashAlgo;
    use crate::ledger::names::Asset;
    use crate::storage::engine::MemoryEngine;
    use crate::storage::genesis::Genesis;
    use crate::storage::store::{RecoverError, Store, StoreOptions};
    use crate::storage::writer::Lag;

    fn open(engine: &Arc<MemoryEngine>) -> Result<Store, RecoverError> {
        let genesis = Genesis {
            hash: HashAlgo::Sha256,
            origin: "example.org/log".into(),
            default_asset: Asset::new("RON").unwrap(),
            parent: None,
        };
        let options = StoreOptions { filter_bytes: 0, lag: Lag { flush: 2, max: 6 } };
        Store::open(Arc::clone(engine) as Arc<dyn Engine>, genesis, options)
    }

    fn of_schema(schema: u32) -> Arc<MemoryEngine> {
        let engine = Arc::new(MemoryEngine::new(1 << 20));
        open(&engine).unwrap();
        let genesis = engine.truth_get(TruthFamily::Meta, GENESIS).unwrap().unwrap();
        let mut batch = TruthBatch::new();
        batch.put(TruthFamily::Meta, GENESIS, with_schema(&genesis, schema).unwrap());
        engine.commit(&batch).unwrap();
        engine
    }

    fn said<T>(outcome: Result<T, impl std::fmt::Display>) -> String {
        outcome.err().expect("it is refused").to_string()
    }

    #[test]
    fn a_newer_schema_is_refused_by_the_start_and_by_the_upgrade() {
        let engine = of_schema(2);
        assert!(said(open(&engine)).contains("use the version that wrote it"));
        assert!(said(upgrade(&*engine)).contains("schema 2"));
    }

    #[test]
    fn an_older_schema_is_refused_until_every_step_to_this_one_is_done() {
        let engine = of_schema(0);
        let refusal = said(open(&engine));
        assert!(refusal.contains("schema 0") && refusal.contains("--upgrade"), "{refusal}");
        assert!(matches!(upgrade(&*engine), Err(UpgradeError::NoWay(0))));

        let fails: Step = |_| Err(StoreError::Poisoned);
        assert!(matches!(upgrade_by(&[(0, fails)], &*engine), Err(UpgradeError::Store(_))));
        assert!(said(open(&engine)).contains("schema 0"), "half an upgrade is none");
        let marks: Step = |engine| {
            let mut batch = TruthBatch::new();
            batch.put(TruthFamily::Meta, "step", "done");
            engine.commit(&batch).map_err(|_| StoreError::Poisoned)
        };
        assert_eq!(upgrade_by(&[(0, marks)], &*engine).unwrap(), 0);
        assert_eq!(engine.truth_get(TruthFamily::Meta, b"step").unwrap(), Some(b"done".to_vec()));
        open(&engine).unwrap();
    }

    #[test]
    fn this_schema_is_left_as_it_is_and_nothing_is_no_ledger() {
        let engine = of_schema(SCHEMA);
        assert_eq!(upgrade(&*engine).unwrap(), SCHEMA);
        open(&engine).unwrap();
        let empty = MemoryEngine::new(1 << 20);
        assert!(matches!(upgrade(&empty), Err(UpgradeError::NoLedger)));
    }
}
