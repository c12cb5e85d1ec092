//! What each kind does: the rules of references, and the moves of value.

use super::draft::Mover;
use super::entry::{Entry, Kind, Seq};
use super::names::{AccountKey, Asset};
use super::plan::{FORESEEN, Planner};
use super::reason::{Reason, Reject};
use super::request::Item;
use super::state::{Hold, HoldState, IdRecord, Named};
use super::table::Slot;

/// The row of the other account. The field is there for the kinds that ask: [`Entry::check`] saw to it.
fn counterparty(named: Named) -> Result<Slot, Reject> {
    named.counterparty.ok_or_else(no_counterparty)
}

fn no_counterparty() -> Reject {
    Reject::new(Reason::UnknownKind, "counterparty: this kind needs it")
}

impl Planner<'_> {
    /// Drafts the effect of one entry. Only references are checked here; whether the accounts can
    /// bear it is decided on the net of the unit.
    pub(super) fn effect(&mut self, by: Mover, item: &Item, named: Named) -> Result<(), Reject> {
        let (entry, amount, account) = (&item.entry, item.entry.amount.get(), named.account);
        match entry.kind {
            Kind::Mint => {
                self.draft.mint(by, self.supply_slot(&entry.asset), amount);
                self.draft.give(by, account, amount);
            }
            Kind::Burn => {
                self.draft.burn(by, self.supply_slot(&entry.asset), amount);
                self.draft.take(by, account, amount);
            }
            Kind::Transfer => {
                self.draft.take(by, account, amount);
                self.draft.give(by, counterparty(named)?, amount);
            }
            Kind::Credit => self.draft.give(by, account, amount),
            Kind::Debit => self.draft.take(by, account, amount),
            Kind::Hold => self.set_aside(by, entry, account)?,
            Kind::Capture => self.capture(by, entry, named)?,
            Kind::Release => self.release(by, entry, named)?,
            Kind::Reverse => self.reverse(by, item, named)?,
            Kind::Expire => {
                return Err(Reject::new(Reason::UnknownKind, "kind: only the ledger expires"));
            }
        }
        Ok(())
    }

    fn set_aside(&mut self, by: Mover, entry: &Entry, account: Slot) -> Result<(), Reject> {
        if entry.expires_at.is_some_and(|at| at <= self.group.now) {
            let details = "expires_at: must lie in the future of the ledger's clock";
            return Err(Reject::new(Reason::HoldExpired, details));
        }
        let amount = entry.amount.get();
        let hold = Hold {
            seq: by.seq,
            account: entry.account.clone(),
            asset: entry.asset.clone(),
            counterparty: entry.counterparty.clone(),
            expires_at: entry.expires_at,
            amount,
            captured: 0,
            remaining: amount,
            state: HoldState::Open,
        };
        self.set_hold(entry.id, hold);
        self.draft.hold(by, account, amount);
        Ok(())
    }

    fn capture(&mut self, by: Mover, entry: &Entry, named: Named) -> Result<(), Reject> {
        let (amount, mut hold) = (entry.amount.get(), self.open_hold(by, entry, named)?);
        let rest = remainder(&hold, amount)?;
        hold.captured += amount;
        hold.remaining = rest;
        self.draft.pay_held(by, named.account, amount);
        self.draft.give(by, counterparty(named)?, amount);
        if !entry.keep_open || rest == 0 {
            (hold.remaining, hold.state) = (0, HoldState::Captured);
            self.draft.release(by, named.account, rest);
        }
        self.close_or_keep(entry, hold)
    }

    fn release(&mut self, by: Mover, entry: &Entry, named: Named) -> Result<(), Reject> {
        let (amount, mut hold) = (entry.amount.get(), self.open_hold(by, entry, named)?);
        hold.remaining = remainder(&hold, amount)?;
        if hold.remaining == 0 {
            hold.state = HoldState::Released;
        }
        self.draft.release(by, named.account, amount);
        self.close_or_keep(entry, hold)
    }

    fn close_or_keep(&mut self, entry: &Entry, hold: Hold) -> Result<(), Reject> {
        let id = entry.reference.ok_or_else(no_reference)?;
        self.set_hold(id, hold);
        Ok(())
    }

    /// The hold that a Capture or a Release refers to, when it may still be acted on.
    fn open_hold(&self, by: Mover, entry: &Entry, named: Named) -> Result<Hold, Reject> {
        let id = entry.reference.ok_or_else(no_reference)?;
        self.acted_on(by, named)?;
        let Some(hold) = self.hold(id) else {
            return Err(Reject::new(Reason::Conflict, "reference: is not a hold"));
        };
        if hold.account != entry.account || hold.asset != entry.asset {
            return Err(other_account());
        }
        let captures = entry.kind == Kind::Capture;
        if captures && hold.counterparty.is_some() && hold.counterparty != entry.counterparty {
            let details = "counterparty: the hold names another one";
            return Err(Reject::new(Reason::Conflict, details));
        }
        let expired = hold.state == HoldState::Expired || hold.is_due(self.group.now);
        if captures && expired {
            return Err(Reject::new(Reason::HoldExpired, "reference: the hold's time has passed"));
        }
        if hold.state != HoldState::Open {
            return Err(Reject::new(Reason::AlreadyResolved, "reference: the hold is closed"));
        }
        Ok(hold.clone())
    }

    /// The row and the record of the entry that an entry acts on, which is one before it.
    fn acted_on(&self, by: Mover, named: Named) -> Result<(Slot, IdRecord), Reject> {
        let slot = named.reference.ok_or_else(no_reference)?;
        let record = self.ids.rows[slot].filter(|record| record.seq < by.seq);
        Ok((slot, record.ok_or_else(not_found)?))
    }

    fn reverse(&mut self, by: Mover, item: &Item, named: Named) -> Result<(), Reject> {
        let entry = &item.entry;
        let (slot, mut record) = self.acted_on(by, named)?;
        let original = match self.is_in_hand(record.seq, by) {
            // A unit has one order; an entry of the same unit needs no undoing.
            true => return Err(not_found()),
            false => self.entry_at(record.seq).clone(),
        };
        let granted = match original.kind {
            Kind::Mint => item.grants.reverse_mint,
            Kind::Burn => item.grants.reverse_burn,
            _ => true,
        };
        if !granted {
            let details = "the capability must also allow the kind that is undone";
            return Err(Reject::new(Reason::CapInvalid, details));
        }
        if original.account != entry.account || original.asset != entry.asset {
            return Err(other_account());
        }
        if original.amount != entry.amount {
            let details = "amount: a reversal undoes the whole amount";
            return Err(Reject::new(Reason::Conflict, details));
        }
        if record.reversed_by.is_some() {
            return Err(Reject::new(Reason::AlreadyResolved, "reference: was reversed before"));
        }
        self.take_back(by, &original, named.account)?;
        if let Some(posting) = record.posting {
            self.draft.reversed_legs.push((by.at, posting));
        }
        record.reversed_by = Some(by.seq);
        self.ids.set(slot, Some(record));
        Ok(())
    }

    fn supply_slot(&self, asset: &Asset) -> Slot {
        self.supply.rows.slot(asset).expect(FORESEEN)
    }

    /// Whether `seq` belongs to the unit in hand.
    fn is_in_hand(&self, seq: Seq, by: Mover) -> bool {
        seq >= by.seq - by.at as Seq
    }

    /// What `original` did to `account`, its own, and to the other one.
    fn take_back(&mut self, by: Mover, original: &Entry, account: Slot) -> Result<(), Reject> {
        let amount = original.amount.get();
        match original.kind {
            Kind::Transfer | Kind::Capture => {
                let other = original.counterparty.as_ref().ok_or_else(no_counterparty)?;
                let other = self.account_slot(&AccountKey::new(other, &original.asset));
                self.draft.take(by, other, amount);
                self.draft.give(by, account, amount);
            }
            // A minted atom that is taken back counts as burned, and the other way round.
            Kind::Mint => {
                self.draft.burn(by, self.supply_slot(&original.asset), amount);
                self.draft.take(by, account, amount);
            }
            Kind::Burn => {
                self.draft.mint(by, self.supply_slot(&original.asset), amount);
                self.draft.give(by, account, amount);
            }
            Kind::Debit => self.draft.give(by, account, amount),
            Kind::Credit => self.draft.take(by, account, amount),
            Kind::Hold | Kind::Release | Kind::Expire | Kind::Reverse => {
                let details = "reference: holds, releases, expiries and reversals cannot be undone";
                return Err(Reject::new(Reason::NotReversible, details));
            }
        }
        Ok(())
    }
}

fn remainder(hold: &Hold, amount: u128) -> Result<u128, Reject> {
    hold.remaining.checked_sub(amount).ok_or_else(|| {
        Reject::new(Reason::InsufficientFunds, "amount: is more than the hold has left")
    })
}

fn no_reference() -> Reject {
    Reject::new(Reason::UnknownKind, "reference: this kind needs it")
}

fn not_found() -> Reject {
    Reject::new(Reason::NotFound, "reference: no entry before this one has that id")
}

fn other_account() -> Reject {
    Reject::new(Reason::Conflict, "reference: is of another account or asset")
}
