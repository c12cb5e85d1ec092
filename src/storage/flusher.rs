//! Brings frozen layers to the engine in the background, so that a commit never waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::background;
use super::codec;
use super::engine::{DerivedBatch, DerivedFamily, Durability, StoreError};
use super::overlay::{Layer, Overlay};
use super::pace;
use super::view::Shared;

/// The key in the derived meta family of the height that all derived data stands for.
pub(super) const HEIGHT: &[u8] = b"height";

/// About what an entry changes, in bytes of keys and values.
const BYTES_PER_ENTRY: usize = 100;

/// How often merges are looked at while commits rest for them.
const LOOK: Duration = Duration::from_millis(200);

/// Each try after a failure of the disk opens derived data anew, which readers wait for.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// One thread and at most one layer on its way. Ends when dropped; what was not flushed by then is
/// replayed from truth at the next start.
pub(super) struct Flusher {
    layers: Option<SyncSender<Arc<Layer>>>,
    thread: Option<JoinHandle<()>>,
    turns: Arc<Turns>,
}

/// What the two sides wait for: the next flush, and the end.
#[derive(Default)]
struct Turns {
    ended: Mutex<bool>,
    turned: Condvar,
}

impl Turns {
    /// Waits for the end, and says whether it has come; an orderly stop has no time for a pause.
    fn ended_within(&self, pause: Duration) -> bool {
        let mut ended = self.ended.lock();
        self.turned.wait_while_for(&mut ended, |ended| !*ended, pause);
        *ended
    }
}

impl Flusher {
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let (layers, queue) = sync_channel(1);
        let turns = Arc::new(Turns::default());
        let turned = Arc::clone(&turns);
        let thread = std::thread::Builder::new()
            .name("derived-flush".into())
            .spawn(move || run(&shared, &queue, &turned))?;
        Ok(Flusher { layers: Some(layers), thread: Some(thread), turns })
    }

    /// Hands over the layer that was just frozen. There is room: no layer is frozen while another is.
    pub(super) fn send(&self, layer: Arc<Layer>) {
        if let Some(layers) = &self.layers {
            // A dead thread leaves the layer where readers find it; the bound on the lag then stops
            // the ledger before memory is used up.
            drop(layers.try_send(layer));
        }
    }

    /// Waits until `enough` holds, or until `deadline`; it is asked again after each flush.
    pub(super) fn wait(&self, deadline: Instant, mut enough: impl FnMut() -> bool) -> bool {
        let mut guard = self.turns.ended.lock();
        loop {
            if enough() {
                return true;
            }
            if self.turns.turned.wait_until(&mut guard, deadline).timed_out() {
                return enough();
            }
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        *self.turns.ended.lock() = true;
        self.turns.turned.notify_all();
        self.layers = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there was logged where it happened; truth has all of it.
            drop(thread.join());
        }
    }
}

fn run(shared: &Shared, queue: &Receiver<Arc<Layer>>, turns: &Turns) {
    background::give_way();
    while let Some(layer) = next(shared, queue) {
        // For the first one after a start, which merges may hold up.
        look(shared);
        while let Err(error) = flush(shared, &layer) {
            tracing::error!(%error, height = layer.height, "derived data could not be flushed");
            if turns.ended_within(RETRY_PAUSE) {
                return;
            }
            look(shared);
        }
        // An engine in memory finds them as fast, and has a bound on what it may take.
        let is_kept = shared.durability() != Durability::Memory;
        let done = shared.overlay.write().flushed(layer, is_kept);
        Overlay::reuse(&shared.overlay, done);
        look(shared);
        let _guard = turns.ended.lock();
        turns.turned.notify_all();
    }
}

/// Waits for a layer, and looks after merges meanwhile while commits rest for them.
fn next(shared: &Shared, queue: &Receiver<Arc<Layer>>) -> Option<Arc<Layer>> {
    loop {
        let next = match pace::is_resting(shared.behind.load(Ordering::Relaxed)) {
            true => queue.recv_timeout(LOOK),
            false => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(layer) => return Some(layer),
            Err(RecvTimeoutError::Timeout) => look(shared),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

fn look(shared: &Shared) {
    shared.behind.store(shared.engine.derived_behind(), Ordering::Relaxed);
}

fn flush(shared: &Shared, layer: &Layer) -> Result<(), StoreError> {
    shared.engine.derived_write(batch_of(layer))?;
    shared.engine.derived_flush()
}

/// Everything that a layer changed, and the height that it leads to, in one batch: a family ahead of
/// its height would be applied twice by the replay.
pub(super) fn batch_of(layer: &Layer) -> DerivedBatch {
    let entries = layer.entries as usize;
    let of_filter = layer.filter.as_ref().map_or(0, |filter| filter.size_bytes() as usize);
    let mut batch = DerivedBatch::with_capacity(3 * entries, BYTES_PER_ENTRY * entries + of_filter);
    for (key, account) in &layer.state.accounts {
        batch.put(DerivedFamily::Accounts, key.as_bytes(), codec::account_value(account));
    }
    for (asset, supply) in &layer.state.supply {
        batch.put(DerivedFamily::Supply, asset.as_str(), codec::supply_value(supply));
    }
    for (id, record) in &layer.state.ids {
        batch.put(DerivedFamily::Ids, id.as_bytes(), codec::id_value(record));
    }
    for (digest, seq) in &layer.state.idem {
        batch.put(DerivedFamily::Idem, digest.0, codec::seq_key(*seq));
    }
    for (id, hold) in &layer.state.holds {
        batch.put(DerivedFamily::Holds, id.as_bytes(), codec::hold_value(hold));
    }
    for (&(at, id), &open) in &layer.due {
        match open {
            true => batch.put(DerivedFamily::Due, codec::due_key(at, id), Vec::new()),
            false => batch.delete(DerivedFamily::Due, codec::due_key(at, id)),
        }
    }
    for (&tile, bytes) in &layer.tiles {
        batch.put(DerivedFamily::Tiles, codec::tile_key(tile), bytes.as_slice());
    }
    if let Some(filter) = &layer.filter {
        filter.records(layer.height, |key, value| batch.put(DerivedFamily::Filter, key, value));
    }
    batch.put(DerivedFamily::Meta, HEIGHT, codec::seq_key(layer.height));
    batch
}
