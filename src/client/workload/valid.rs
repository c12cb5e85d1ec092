//! The scenarios that a ledger accepts.

use super::*;

/// How often another account is looked for when one has too little.
const TRIES: usize = 4;

impl Workload {
    pub(super) fn valid(&mut self) -> Unit {
        let scenario = Scenario::ALL[self.scenarios.pick(&mut self.random)];
        let unit = match scenario {
            Scenario::Mint => Some(self.mint()),
            Scenario::Transfer => Some(self.transfer()),
            Scenario::Burn => self.burn(),
            Scenario::Posting => self.posting(),
            Scenario::Hold => self.hold(),
            Scenario::Capture => self.capture(),
            Scenario::Release => self.release(),
            Scenario::Reverse => self.reverse(),
            Scenario::Atomic => self.atomic(),
            Scenario::Replay => {
                let entry = self.model.accepted.see(&mut self.random).cloned();
                entry.map(|entry| Unit::of(vec![entry]))
            }
        };
        // What the ledger has no value or no hold for yet, it has later.
        unit.unwrap_or_else(|| self.mint())
    }

    /// An account and asset with some value, and an amount of at least `least` that it can bear.
    fn funded(&mut self, least: u64) -> Option<(Place, u64)> {
        for _ in 0..TRIES {
            let place = (self.account(), self.asset());
            let most = self.model.balance(place).min(1_000) as u64;
            if most >= least {
                return Some((place, self.random.between(least, most)));
            }
        }
        None
    }

    /// Moves what cannot fail: a scenario only asks for what it saw to be there.
    fn book(&mut self, moves: &[(Place, i128)]) {
        let moved = self.model.try_move(moves);
        debug_assert!(moved, "a scenario looks before it moves");
    }

    /// A single entry was accepted, and can be undone when `undo` says how.
    fn settle(&mut self, entry: Entry, undo: Option<Moves>) -> Unit {
        self.model.accepted.put(&mut self.random, entry.clone());
        let entries = vec![entry];
        if let Some(undo) = undo {
            let undoable = Undoable { entries: entries.clone(), undo };
            self.model.undoable.put(&mut self.random, undoable);
        }
        Unit::of(entries)
    }

    fn mint(&mut self) -> Unit {
        let place = (self.account(), self.asset());
        let amount = self.random.between(1_000, 1_000_000);
        let entry = self.entry(Kind::Mint, place, amount);
        self.book(&[(place, amount.into())]);
        self.settle(entry, Some(vec![(place, -i128::from(amount))]))
    }

    fn burn(&mut self) -> Option<Unit> {
        let (place, amount) = self.funded(1)?;
        let entry = self.entry(Kind::Burn, place, amount);
        self.book(&[(place, -i128::from(amount))]);
        Some(self.settle(entry, Some(vec![(place, amount.into())])))
    }

    pub(super) fn transfer(&mut self) -> Unit {
        let Some((from, amount)) = self.funded(1) else { return self.mint() };
        let entry = self.transfer_entry(from, amount);
        let to = (entry.1, from.1);
        let amount = i128::from(amount);
        self.book(&[(from, -amount), (to, amount)]);
        self.settle(entry.0, Some(vec![(to, -amount), (from, amount)]))
    }

    /// A Transfer to anyone, and to whom.
    pub(super) fn transfer_entry(&mut self, from: Place, amount: u64) -> (Entry, u32) {
        let to = self.other_than(from.0);
        let mut entry = self.entry(Kind::Transfer, from, amount);
        entry.counterparty = Some(Self::account_name(to));
        (entry, to)
    }

    fn posting(&mut self) -> Option<Unit> {
        let (from, amount) = self.funded(2)?;
        let to = self.other_than(from.0);
        let mut legs = vec![(Kind::Debit, from, amount)];
        match self.random.below(3) {
            0 => legs.push((Kind::Credit, (to, from.1), amount)),
            1 => {
                let part = self.random.between(1, amount - 1);
                let third = self.account();
                legs.push((Kind::Credit, (to, from.1), part));
                legs.push((Kind::Credit, (third, from.1), amount - part));
            }
            // Two assets change hands. The first two legs leave both open, so that the four are one
            // posting and not two.
            _ => {
                let other = (from.1 + 1) % self.spec.assets.len() as u8;
                let back = self.model.balance((to, other)).min(1_000) as u64;
                if other == from.1 || back == 0 {
                    return None;
                }
                legs.push((Kind::Debit, (to, other), back));
                legs.push((Kind::Credit, (to, from.1), amount));
                legs.push((Kind::Credit, (from.0, other), back));
            }
        }
        let signed = |&(kind, place, amount): &(Kind, Place, u64)| match kind {
            Kind::Debit => (place, -i128::from(amount)),
            _ => (place, i128::from(amount)),
        };
        let moves: Moves = legs.iter().map(signed).collect();
        self.book(&moves);
        let entries: Vec<Entry> =
            legs.into_iter().map(|(kind, place, amount)| self.entry(kind, place, amount)).collect();
        let undo = moves.into_iter().map(|(place, amount)| (place, -amount)).collect();
        let undoable = Undoable { entries: entries.clone(), undo };
        self.model.undoable.put(&mut self.random, undoable);
        Some(Unit::of(entries))
    }

    fn hold(&mut self) -> Option<Unit> {
        let (place, amount) = self.funded(1)?;
        let mut entry = self.entry(Kind::Hold, place, amount);
        let counterparty = self.random.chance(1, 2).then(|| self.other_than(place.0));
        entry.counterparty = counterparty.map(Self::account_name);
        entry.expires_at = self.random.chance(1, 2).then_some(EXPIRES_AT);
        self.book(&[(place, -i128::from(amount))]);
        let held = Held { id: entry.id, place, counterparty, remaining: amount };
        self.model.open.put(&mut self.random, held);
        Some(self.settle(entry, None))
    }

    fn capture(&mut self) -> Option<Unit> {
        let mut held = self.model.open.take(&mut self.random)?;
        let amount = self.part_of(held.remaining);
        let to = held.counterparty.unwrap_or_else(|| self.other_than(held.place.0));
        let mut entry = self.entry(Kind::Capture, held.place, amount);
        entry.counterparty = Some(Self::account_name(to));
        entry.reference = Some(held.id);
        held.remaining -= amount;
        entry.keep_open = held.remaining > 0 && self.random.chance(1, 2);
        let paid = ((to, held.place.1), i128::from(amount));
        self.book(&[paid]);
        if entry.keep_open {
            self.model.open.put(&mut self.random, held.clone());
        } else {
            self.book(&[(held.place, held.remaining.into())]);
            self.model.closed.put(&mut self.random, Held { remaining: 0, ..held.clone() });
        }
        let undo = vec![(paid.0, -paid.1), (held.place, paid.1)];
        Some(self.settle(entry, Some(undo)))
    }

    fn release(&mut self) -> Option<Unit> {
        let mut held = self.model.open.take(&mut self.random)?;
        let amount = self.part_of(held.remaining);
        let mut entry = self.entry(Kind::Release, held.place, amount);
        entry.reference = Some(held.id);
        held.remaining -= amount;
        self.book(&[(held.place, amount.into())]);
        match held.remaining {
            0 => self.model.closed.put(&mut self.random, held),
            _ => self.model.open.put(&mut self.random, held),
        }
        Some(self.settle(entry, None))
    }

    /// All of it as often as not, else some.
    fn part_of(&mut self, whole: u64) -> u64 {
        match self.random.chance(1, 2) {
            true => whole,
            false => self.random.between(1, whole),
        }
    }

    fn reverse(&mut self) -> Option<Unit> {
        let undoable = self.model.undoable.take(&mut self.random)?;
        if !self.model.try_move(&undoable.undo) {
            // What came has gone on. It may be there again later.
            self.model.undoable.put(&mut self.random, undoable);
            return None;
        }
        let entries: Vec<Entry> =
            undoable.entries.iter().map(|original| self.reversal_of(original)).collect();
        if let [single] = &undoable.entries[..] {
            self.model.undone.put(&mut self.random, single.clone());
        }
        let atomic = entries.len() > 1;
        Some(Unit { atomic, ..Unit::of(entries) })
    }

    pub(super) fn reversal_of(&mut self, original: &Entry) -> Entry {
        // The place is overwritten at once: it has to name the account of the original.
        let blank = self.entry(Kind::Reverse, (0, 0), 1);
        Entry {
            account: original.account.clone(),
            asset: original.asset.clone(),
            amount: original.amount,
            reference: Some(original.id),
            ..blank
        }
    }

    /// The same amount goes from hand to hand: only the first of them has to have it.
    fn atomic(&mut self) -> Option<Unit> {
        let (first, amount) = self.funded(1)?;
        let mut entries = Vec::new();
        let mut from = first;
        for _ in 0..self.random.between(2, UNIT_ENTRIES_MAX as u64) {
            let (entry, to) = self.transfer_entry(from, amount);
            entries.push(entry);
            from = (to, from.1);
        }
        self.book(&[(first, -i128::from(amount)), (from, amount.into())]);
        Some(Unit { atomic: true, ..Unit::of(entries) })
    }
}
