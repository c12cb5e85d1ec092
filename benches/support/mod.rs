//! Requests and ledgers for the benches. Entries are those of `client::workload`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ron_ledger::accumulator::HashAlgo;
use ron_ledger::client::unit::to_wire;
use ron_ledger::client::workload::{Spec, Workload};
use ron_ledger::http::dto::RequestIn;
use ron_ledger::ledger::entry::Entry;
use ron_ledger::ledger::names::Asset;
use ron_ledger::ledger::plan::Group;
use ron_ledger::ledger::request::{Grants, Item, Request};
use ron_ledger::storage::engine::Engine;
use ron_ledger::storage::genesis::Genesis;
use ron_ledger::storage::store::{Lease, Store, StoreOptions};
use ron_ledger::storage::writer::{Lag, Writer};

fn workload(entries: usize, seed: u64) -> Workload {
    let spec = Spec { entries, seed, accounts: 10_000, invalid_share: 0.0, ..Spec::default() };
    Workload::new(spec).expect("the spec is within its bounds")
}

/// So many entries, always the same.
pub fn entries(count: usize) -> Vec<Entry> {
    workload(count, 1).flat_map(|unit| unit.entries).collect()
}

/// The asset of entries that name none.
pub fn asset() -> Asset {
    Asset::new("RON").expect("a name")
}

/// A request of so many entries, as a client sends it.
pub fn body(count: usize) -> Vec<u8> {
    let batch = entries(count).iter().map(to_wire).collect();
    let request = RequestIn { batch, idem_id: None, atomic: false };
    serde_json::to_vec(&request).expect("texts and numbers")
}

/// The requests of a group; each seed's were never seen before.
pub fn fresh(count: usize, seed: u64) -> Vec<Request> {
    let item = |entry| Item::new(entry, Grants::ALL);
    let units = workload(count, seed);
    units
        .map(|unit| Request {
            items: unit.entries.into_iter().map(item).collect(),
            atomic: unit.atomic,
        })
        .collect()
}

/// An empty ledger.
pub fn ledger(engine: Arc<dyn Engine>) -> (Store, Writer, Lease) {
    let genesis = Genesis {
        hash: HashAlgo::Sha256,
        origin: "bench".into(),
        default_asset: asset(),
        parent: None,
    };
    let lag = Lag { flush: 50_000, max: 200_000 };
    let options = StoreOptions { filter_bytes: 32 << 20, lag };
    let store = Store::open(engine, genesis, options).expect("the store opens");
    let (writer, lease) = store.writer(None).expect("an empty store recovers");
    (store, writer, lease)
}

/// One group from its requests to the reader's view.
pub fn commit(writer: &mut Writer, requests: &[Request]) {
    let requests: Vec<&Request> = requests.iter().collect();
    let far = Instant::now() + Duration::from_secs(60);
    writer.make_room(requests.len() as u64 * 4, far).expect("there is room");
    let group = Group { requests: &requests, now: writer.next_time(1), expire_max: 0 };
    let mut prepared = writer.prepare(&group).expect("the store can be read");
    let written = writer.write(&mut prepared).expect("the store can be written");
    black_box(writer.apply(prepared, written));
}
