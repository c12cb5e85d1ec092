//! The scenarios that a ledger must refuse. None of them changes what the generator remembers.

use super::*;

/// What is wrong with a unit.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Overdraft,
    Overburn,
    UnknownReference,
    ClosedHold,
    MoreThanHeld,
    OtherCounterparty,
    Unbalanced,
    OtherContent,
    AbortedUnit,
    ReversedTwice,
    NotReversible,
}

impl Fault {
    const ALL: [Fault; 11] = [
        Fault::Overdraft,
        Fault::Overburn,
        Fault::UnknownReference,
        Fault::ClosedHold,
        Fault::MoreThanHeld,
        Fault::OtherCounterparty,
        Fault::Unbalanced,
        Fault::OtherContent,
        Fault::AbortedUnit,
        Fault::ReversedTwice,
        Fault::NotReversible,
    ];
}

impl Workload {
    pub(super) fn faulty(&mut self) -> Unit {
        let fault = Fault::ALL[self.random.below(Fault::ALL.len() as u64) as usize];
        let unit = match fault {
            Fault::Overdraft => None,
            Fault::Overburn => {
                let (place, amount) = self.too_much();
                Some(Unit::of(vec![self.entry(Kind::Burn, place, amount)]))
            }
            Fault::UnknownReference => Some(self.unknown_reference()),
            Fault::ClosedHold => {
                let held = self.model.closed.see(&mut self.random).cloned();
                held.map(|held| self.bad_capture(&held, held.counterparty, 1))
            }
            Fault::MoreThanHeld => {
                let held = self.model.open.see(&mut self.random).cloned();
                held.map(|held| self.bad_capture(&held, held.counterparty, held.remaining + 1))
            }
            Fault::OtherCounterparty => self.other_counterparty(),
            Fault::Unbalanced => Some(self.unbalanced()),
            Fault::OtherContent => {
                let known = self.model.accepted.see(&mut self.random).cloned();
                known.map(|known| {
                    let nonce = self.random.bytes();
                    Unit::of(vec![Entry { nonce, ..known }])
                })
            }
            Fault::AbortedUnit => {
                let place = (self.account(), self.asset());
                let minted = self.entry(Kind::Mint, place, 1);
                let mut entries = vec![minted];
                entries.extend(self.overdraft().entries);
                Some(Unit { atomic: true, ..Unit::of(entries) })
            }
            Fault::ReversedTwice => {
                let undone = self.model.undone.see(&mut self.random).cloned();
                undone.map(|undone| Unit::of(vec![self.reversal_of(&undone)]))
            }
            Fault::NotReversible => self.not_reversible(),
        };
        Unit { valid: false, ..unit.unwrap_or_else(|| self.overdraft()) }
    }

    /// A place and more than it has, even with one atom more.
    fn too_much(&mut self) -> (Place, u64) {
        let place = (self.account(), self.asset());
        let balance = u64::try_from(self.model.balance(place)).unwrap_or(u64::MAX / 2);
        (place, balance + self.random.between(2, 1_000))
    }

    fn overdraft(&mut self) -> Unit {
        let (from, amount) = self.too_much();
        Unit::of(vec![self.transfer_entry(from, amount).0])
    }

    fn unknown_reference(&mut self) -> Unit {
        let place = (self.account(), self.asset());
        let kinds = [Kind::Capture, Kind::Release, Kind::Reverse];
        let kind = kinds[self.random.below(kinds.len() as u64) as usize];
        let mut entry = self.entry(kind, place, 1);
        entry.reference = Some(self.random.entry_id());
        if kind == Kind::Capture {
            entry.counterparty = Some(Self::account_name(self.other_than(place.0)));
        }
        Unit::of(vec![entry])
    }

    fn bad_capture(&mut self, held: &Held, to: Option<u32>, amount: u64) -> Unit {
        let to = to.unwrap_or_else(|| self.other_than(held.place.0));
        let mut entry = self.entry(Kind::Capture, held.place, amount);
        entry.counterparty = Some(Self::account_name(to));
        entry.reference = Some(held.id);
        Unit::of(vec![entry])
    }

    fn other_counterparty(&mut self) -> Option<Unit> {
        let held = self.model.open.see(&mut self.random)?.clone();
        let named = held.counterparty?;
        let (own, accounts) = (held.place.0, self.spec.accounts);
        let other = (1..accounts).map(|step| (named + step) % accounts).find(|&to| to != own)?;
        Some(self.bad_capture(&held, Some(other), 1))
    }

    fn unbalanced(&mut self) -> Unit {
        let (debtor, asset) = (self.account(), self.asset());
        let creditor = self.other_than(debtor);
        let amount = self.random.between(2, 1_000);
        Unit::of(vec![
            self.entry(Kind::Debit, (debtor, asset), amount),
            self.entry(Kind::Credit, (creditor, asset), amount - 1),
        ])
    }

    fn not_reversible(&mut self) -> Option<Unit> {
        let held = self.model.open.see(&mut self.random)?.clone();
        let mut entry = self.entry(Kind::Reverse, held.place, held.remaining);
        entry.reference = Some(held.id);
        Some(Unit::of(vec![entry]))
    }
}
