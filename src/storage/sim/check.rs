//! What the simulated ledger is held against.

use std::sync::Arc;

use super::{HASH, World, genesis};
use crate::storage::engine::Engine;
use crate::storage::error::ReadError;
use crate::storage::reader::Reader;
use crate::storage::store::{Anchor, Store, StoreOptions};
use crate::storage::writer::Lag;

impl World {
    /// A record of the log is damaged. Whatever can still be read is true: damage is an error, at the
    /// start or at the read, and never another entry.
    pub(super) fn damage(&mut self) {
        while self.life.is_none() {
            self.recover();
        }
        self.kill();
        let records = 2 * self.roots.len() as u64 + 2;
        if !self.engine.damage_truth(self.random.below(records) as usize) {
            return;
        }
        self.note("damaged");
        self.recover_damaged();
    }

    fn recover_damaged(&mut self) {
        let options = StoreOptions { filter_bytes: 0, lag: Lag { flush: 50, max: 1 << 20 } };
        let engine = Arc::clone(&self.engine) as Arc<dyn Engine>;
        let opened = Store::open(engine, genesis(), options)
            .and_then(|store| store.writer(self.signed.as_ref()).map(|open| (store, open)));
        let Ok((store, _open)) = opened else { return self.note("damage: refused") };
        self.note("damage: opened");
        let reader = store.reader();
        for known in &self.book.log {
            if let Ok(found) = reader.entry(known.seq) {
                assert_eq!(found.map(|stored| stored.sequenced).as_ref(), Some(known));
            }
        }
        if let Ok(rows) = reader.roots(0, u64::MAX, usize::MAX) {
            assert!(rows.iter().map(|row| (row.seq, row.root)).eq(self.roots.clone()));
        }
    }

    /// The ledger is what the book says, and has all that was told and signed.
    pub(super) fn check(&self) {
        let Some(life) = &self.life else { return };
        let (reader, head) = (life.store.reader(), life.writer.head().get());
        assert_eq!(reader.head(), head);
        assert_eq!(head.seq, self.book.head(), "the log is as long as the book");
        assert_eq!(head.root, self.tree.root(HASH), "at {}", head.seq);
        self.book.check();
        let stored = reader.entries(1, u64::MAX, usize::MAX).expect("the log can be read");
        assert!(stored.iter().map(|stored| &stored.sequenced).eq(&self.book.log));
        let rows = reader.roots(0, u64::MAX, usize::MAX).expect("the roots can be read");
        assert!(rows.iter().map(|row| (row.seq, row.root)).eq(self.roots.clone()));
        self.check_state(&reader).expect("the state can be read");
        for (id, seq) in &self.told {
            let known = self.book.state.ids.get(id).map(|record| record.seq);
            assert_eq!(known, Some(*seq), "{id} was acknowledged");
        }
        if let Some(Anchor { size, root }) = &self.signed {
            assert_eq!(self.roots.get(size), Some(root), "what was signed stays true");
        }
    }

    fn check_state(&self, reader: &Reader) -> Result<(), ReadError> {
        for (key, account) in &self.book.state.accounts {
            let (id, asset) = key.names().expect("a key of the book");
            assert!(reader.account(&id)?.value.contains(&(asset, *account)), "{id}");
        }
        for (id, hold) in &self.book.state.holds {
            assert_eq!(reader.hold(*id)?.value.as_ref(), Some(hold));
        }
        for (id, record) in &self.book.state.ids {
            assert_eq!(reader.find(*id)?, Some(*record));
        }
        for (asset, supply) in reader.supply()?.value {
            assert_eq!(self.book.state.supply.get(&asset), Some(&supply));
        }
        Ok(())
    }
}
