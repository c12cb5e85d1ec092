//! Opens a ledger, and opens it again after its writer crashed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::engine::{Engine, StoreError, TruthBatch, TruthFamily};
use super::flusher::Flusher;
use super::genesis::Genesis;
use super::overlay::Overlay;
use super::reader::Reader;
use super::recovery::{self, Recovered, recover};
use super::view::Shared;
use super::writer::{Lag, Writer};
use crate::config::DerivedConfig;

pub use super::recovery::{Anchor, RecoverError};

pub(super) const GENESIS: &[u8] = b"genesis";

/// What does not change while the ledger is open.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// The never-seen filter's size; 0 for none.
    pub filter_bytes: u64,
    /// The bounds of derived data's lag.
    pub lag: Lag,
}

impl From<&DerivedConfig> for StoreOptions {
    fn from(config: &DerivedConfig) -> Self {
        let lag = Lag { flush: config.flush_entries, max: config.max_lag_entries };
        StoreOptions { filter_bytes: config.filter_bytes, lag }
    }
}

/// An open ledger: where a writer comes from, one at a time.
pub struct Store {
    shared: Arc<Shared>,
    options: StoreOptions,
    writer_out: Arc<AtomicBool>,
    stop: Stop,
    /// Derived data was made anew once since the store was opened.
    remade: AtomicBool,
}

/// Stops recoveries of a store, now and from now on, so that a process can end in the middle of one:
/// the next start begins it anew.
#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// What runs ends before its next block of the log, with [`RecoverError::Stopped`].
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn check(&self) -> Result<(), RecoverError> {
        if self.0.load(Ordering::Relaxed) { Err(RecoverError::Stopped) } else { Ok(()) }
    }
}

/// The right to write, given back when dropped, also by a panic.
pub struct Lease(Arc<AtomicBool>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Store {
    /// Opens the ledger in `engine`, making it when the engine is empty. Reads are refused until
    /// [`Store::writer`] has recovered for the first time.
    ///
    /// # Errors
    /// A store of another schema, hash or origin.
    pub fn open(
        engine: Arc<dyn Engine>,
        configured: Genesis,
        options: StoreOptions,
    ) -> Result<Store, RecoverError> {
        let genesis = match engine.truth_get(TruthFamily::Meta, GENESIS)? {
            Some(bytes) => same_genesis(Genesis::from_bytes(&bytes)?, &configured)?,
            None => {
                let mut batch = TruthBatch::new();
                batch.put(TruthFamily::Meta, GENESIS, configured.to_bytes());
                engine.commit(&batch)?;
                configured
            }
        };
        let empty = super::Head { seq: 0, root: genesis.hash.empty(), time: 0 };
        let shared = Arc::new(Shared::new(engine, genesis, empty, false));
        let (writer_out, stop) = (Arc::default(), Stop::default());
        Ok(Store { shared, options, writer_out, stop, remade: AtomicBool::new(false) })
    }

    /// What the ledger in an engine was made with; `None` for an empty engine.
    ///
    /// # Errors
    /// A store of another schema, or one that cannot be read.
    pub fn made_with(engine: &dyn Engine) -> Result<Option<Genesis>, RecoverError> {
        let stored = engine.truth_get(TruthFamily::Meta, GENESIS)?;
        Ok(stored.map(|bytes| Genesis::from_bytes(&bytes)).transpose()?)
    }

    /// Reads of this ledger.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// What ends a recovery early.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Recovers and gives out the writer; what readers see moves on in one step when it is done.
    /// `signed` is the last checkpoint that was signed for this ledger.
    ///
    /// Derived data that is damaged, or does not fit the log, is made anew from it, at most once as
    /// long as the store is open; readers are shut out meanwhile.
    ///
    /// # Errors
    /// [`RecoverError`]; readers go on with what they had. Where `signed` alone speaks of more than there
    /// is, they see what there is.
    ///
    /// # Panics
    /// When the last writer is still there: two would be two truths.
    pub fn writer(&self, signed: Option<&Anchor>) -> Result<(Writer, Lease), RecoverError> {
        assert!(!self.writer_out.swap(true, Ordering::AcqRel), "one writer at a time");
        let lease = Lease(Arc::clone(&self.writer_out));
        let with = recovery::Plan {
            engine: Arc::clone(&self.shared.engine),
            genesis: &self.shared.genesis,
            signed,
            filter_bytes: self.options.filter_bytes,
            lag: self.options.lag.of(self.shared.durability()),
            stop: &self.stop,
            readers: &self.shared,
            remade: &self.remade,
        };
        let Recovered { mut writer, rolled_back } = recover(&with)?;
        let recovered = std::mem::replace(
            &mut *writer.shared.overlay.write(),
            Overlay::new(self.shared.head()),
        );
        self.shared.open(recovered);
        if let Some(error) = rolled_back {
            return Err(error);
        }
        writer.shared = Arc::clone(&self.shared);
        let flusher = Flusher::start(Arc::clone(&self.shared)).map_err(|error| {
            StoreError::Backend { verb: "start the flusher's thread", message: error.to_string() }
        })?;
        writer.flusher = Some(flusher);
        Ok((writer, lease))
    }
}

fn same_genesis(stored: Genesis, configured: &Genesis) -> Result<Genesis, RecoverError> {
    let differs = |what, stored: &str, configured: &str| RecoverError::OtherGenesis {
        what,
        stored: stored.to_owned(),
        configured: configured.to_owned(),
    };
    if stored.hash != configured.hash {
        let (one, other) = (stored.hash.to_string(), configured.hash.to_string());
        return Err(differs("the hash", &one, &other));
    }
    if stored.origin != configured.origin {
        return Err(differs("the origin", &stored.origin, &configured.origin));
    }
    Ok(stored)
}
