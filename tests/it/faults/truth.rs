//! Truth of a stopped node, opened past the ledger: what it never does to itself.

use std::path::Path;

use rocksdb::{ColumnFamily, DB, IteratorMode, Options};
use ron_ledger::storage::engine::TruthFamily;

pub struct Truth(DB);

impl Truth {
    /// Of the data directory.
    pub fn open(data: &Path) -> Self {
        let families = TruthFamily::ALL.map(TruthFamily::name).into_iter().chain(["default"]);
        Truth(DB::open_cf(&Options::default(), data.join("truth"), families).unwrap())
    }

    fn family(&self, family: TruthFamily) -> &ColumnFamily {
        self.0.cf_handle(family.name()).unwrap()
    }

    /// The first seq of each group.
    pub fn groups(&self) -> Vec<u64> {
        let blocks = self.0.iterator_cf(self.family(TruthFamily::Blocks), IteratorMode::Start);
        blocks.map(|item| u64::from_be_bytes(item.unwrap().0[..].try_into().unwrap())).collect()
    }

    pub fn delete_group(&self, first: u64) {
        let blocks = self.family(TruthFamily::Blocks);
        self.0.delete_cf(blocks, first.to_be_bytes()).unwrap();
        self.0.flush_cf(blocks).unwrap();
    }

    /// Writes another number into what the ledger was made with.
    pub fn set_schema(&self, from: u32, to: u32) {
        let (meta, key) = (self.family(TruthFamily::Meta), "genesis");
        let genesis = String::from_utf8(self.0.get_cf(meta, key).unwrap().unwrap()).unwrap();
        let (from, to) = (format!("\"schema\":{from},"), format!("\"schema\":{to},"));
        assert!(genesis.contains(&from), "{genesis}");
        self.0.put_cf(meta, key, genesis.replace(&from, &to)).unwrap();
        self.0.flush_cf(meta).unwrap();
    }
}
