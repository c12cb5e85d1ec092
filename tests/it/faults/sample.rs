//! A small ledger on disk, and what each of its sizes has to say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ron_ledger::accumulator::{Checkpoint, HashAlgo, Signer, TileId, sign_checkpoint};
use ron_ledger::actors::pipeline::SignedNotes;
use ron_ledger::client::workload::{Spec, Workload};
use ron_ledger::ledger::entry::{Entry, EntryId};
use ron_ledger::ledger::names::{AccountId, Asset};
use ron_ledger::ledger::plan::Group;
use ron_ledger::ledger::request::{Grants, Item, Request};
use ron_ledger::ledger::state::{Account, Hold, IdRecord, Supply};
use ron_ledger::storage::engine::{Engine, MemoryEngine, RocksEngine, RocksOptions, StoreError};
use ron_ledger::storage::error::ReadError;
use ron_ledger::storage::genesis::Genesis;
use ron_ledger::storage::reader::Reader;
use ron_ledger::storage::store::{RecoverError, Store, StoreOptions};
use ron_ledger::storage::writer::{Lag, Prepared, Writer};
use ron_ledger::storage::{Head, RootRow};
use tempfile::TempDir;

const ORIGIN: &str = "localhost/test";
const NOW: u64 = 1_800_000_000_000;

/// Whom a reader can ask about.
#[derive(Default)]
pub struct Names {
    accounts: BTreeSet<AccountId>,
    ids: Vec<EntryId>,
}

/// All that a ledger says.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub head: Head,
    pub state: State,
    pub log: Log,
}

/// What derived data says.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    accounts: Vec<Vec<(Asset, Account)>>,
    supply: Vec<(Asset, Supply)>,
    ids: Vec<Option<IdRecord>>,
    holds: Vec<Option<Hold>>,
    tile: Option<Vec<u8>>,
}

/// What truth says.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    entries: Vec<Vec<u8>>,
    roots: Vec<RootRow>,
}

impl State {
    pub fn read(reader: &Reader, names: &Names) -> Result<Self, ReadError> {
        let accounts = names.accounts.iter().map(|id| Ok(reader.account(id)?.value));
        let holds = names.ids.iter().map(|id| Ok(reader.hold(*id)?.value));
        Ok(State {
            accounts: accounts.collect::<Result<_, ReadError>>()?,
            supply: reader.supply()?.value,
            ids: names.ids.iter().map(|id| reader.find(*id)).collect::<Result<_, _>>()?,
            holds: holds.collect::<Result<_, ReadError>>()?,
            tile: reader.tile(TileId { level: 0, index: 0 })?,
        })
    }
}

impl Log {
    pub fn read(reader: &Reader) -> Result<Self, ReadError> {
        let entries = reader.entries(1, u64::MAX, usize::MAX)?;
        let entries = entries.into_iter().map(|stored| stored.bytes).collect();
        Ok(Log { entries, roots: reader.roots(0, u64::MAX, usize::MAX)? })
    }
}

impl Facts {
    pub fn read(reader: &Reader, names: &Names) -> Result<Self, ReadError> {
        let (state, log) = (State::read(reader, names)?, Log::read(reader)?);
        Ok(Facts { head: reader.head(), state, log })
    }
}

/// A ledger on disk that nobody has open, and another in memory that was told the same.
pub struct Sample {
    scratch: TempDir,
    pub names: Names,
    /// By size, at the end of each group.
    pub facts: BTreeMap<u64, Facts>,
    pub head: u64,
    /// The size of the newest signed checkpoint.
    pub signed: u64,
    groups: Vec<Vec<Request>>,
    twin: (Store, Writer),
}

impl Sample {
    /// Of so many groups, none of them written yet. Where there is memory for files, it is there.
    pub fn new(groups: usize, seed: u64) -> Self {
        let spec = Spec { entries: groups * 16, seed, accounts: 20, ..Spec::default() };
        let units = Workload::new(spec).unwrap().map(|unit| Request {
            items: unit.entries.into_iter().map(|entry| Item::new(entry, Grants::ALL)).collect(),
            atomic: unit.atomic,
        });
        let units: Vec<Request> = units.collect();
        let mut names = Names::default();
        for entry in units.iter().flat_map(|unit| &unit.items).map(|item| &item.entry) {
            names.ids.push(entry.id);
            names.accounts.extend(
                [Some(&entry.account), entry.counterparty.as_ref()].into_iter().flatten().cloned(),
            );
        }
        let mut rest = units.into_iter();
        let mut groups: Vec<Vec<Request>> =
            (0..groups).map(|_| rest.by_ref().take(8).collect()).collect();
        groups.reverse();
        let twin = store(Arc::new(MemoryEngine::new(1 << 28))).unwrap();
        let twin_writer = twin.writer(None).unwrap();
        Sample {
            scratch: scratch(),
            names,
            facts: BTreeMap::new(),
            head: 0,
            signed: 0,
            groups,
            twin: (twin, twin_writer.0),
        }
    }

    /// The data directory.
    pub fn dir(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// A life that commits so many groups and signs at the end of one of them, counted from 1. With
    /// `settle` derived data is flushed in the end; without, the log alone has them.
    pub fn live(&mut self, groups: usize, sign_after: usize, settle: bool) {
        let store = store(Arc::new(engine(&self.dir()).unwrap())).unwrap();
        let (mut writer, _lease) =
            store.writer(notes(&self.dir()).anchor().unwrap().as_ref()).unwrap();
        for at in 1..=groups {
            let group = self.groups.pop().unwrap();
            commit(&mut writer, &group);
            commit(&mut self.twin.1, &group);
            let facts = Facts::read(&self.twin.0.reader(), &self.names).unwrap();
            assert_eq!(Facts::read(&store.reader(), &self.names).unwrap(), facts);
            self.head = facts.head.seq;
            self.facts.insert(self.head, facts);
            if at == sign_after {
                self.sign();
            }
        }
        if settle {
            assert!(writer.settle(Instant::now() + Duration::from_secs(20)));
        }
    }

    fn sign(&mut self) {
        let head = self.facts[&self.head].head;
        let checkpoint = Checkpoint::new(ORIGIN, head.seq, head.root).unwrap();
        let note = sign_checkpoint(&signer(), &checkpoint).encode();
        fs::write(self.dir().join("signed/checkpoint"), note).unwrap();
        self.signed = self.head;
    }
}

/// A directory in memory where there is one.
pub fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn signer() -> Signer {
    Signer::new(ORIGIN, &[7; 32]).unwrap()
}

pub fn notes(dir: &Path) -> SignedNotes {
    SignedNotes::in_dir(&dir.join("signed"), signer()).unwrap()
}

pub fn engine(dir: &Path) -> Result<RocksEngine, StoreError> {
    let options = RocksOptions {
        block_cache_bytes: 1 << 20,
        write_buffer_bytes: 1 << 20,
        disk_bytes_free_min: 0,
        ..RocksOptions::default()
    };
    RocksEngine::open(dir, &options)
}

pub fn store(engine: Arc<dyn Engine>) -> Result<Store, RecoverError> {
    let genesis = Genesis {
        hash: HashAlgo::Sha256,
        origin: ORIGIN.into(),
        default_asset: Asset::new("RON").unwrap(),
        parent: None,
    };
    let options = StoreOptions { filter_bytes: 1 << 12, lag: Lag { flush: 1 << 20, max: 1 << 21 } };
    Store::open(engine, genesis, options)
}

pub fn request(entries: Vec<Entry>) -> Request {
    let items = entries.into_iter().map(|entry| Item::new(entry, Grants::ALL)).collect();
    Request { items, atomic: false }
}

/// A group at the ledger's time, up to its commit point.
pub fn prepare(writer: &mut Writer, group: &[Request]) -> Result<Prepared, ReadError> {
    let requests: Vec<&Request> = group.iter().collect();
    let now = writer.next_time(NOW);
    writer.prepare(&Group { requests: &requests, now, expire_max: 100 })
}

pub fn finish(writer: &mut Writer, mut prepared: Prepared) {
    let written = writer.write(&mut prepared).unwrap();
    writer.apply(prepared, written);
}

fn commit(writer: &mut Writer, group: &[Request]) {
    let prepared = prepare(writer, group).unwrap();
    finish(writer, prepared);
}

pub fn copy_dir(from: &Path, to: &Path) {
    ron_ledger::storage::files::create_dir_private(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        match item.file_type().unwrap().is_dir() {
            true => copy_dir(&item.path(), &to.join(item.file_name())),
            false => drop(fs::copy(item.path(), to.join(item.file_name())).unwrap()),
        }
    }
}

/// All files below `dir`, relative to it, in order.
pub fn files_in(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for item in fs::read_dir(dir).unwrap() {
        let item = item.unwrap();
        let name = PathBuf::from(item.file_name());
        match item.file_type().unwrap().is_dir() {
            true => found.extend(files_in(&item.path()).into_iter().map(|path| name.join(path))),
            false => found.push(name),
        }
    }
    found.sort();
    found
}
