//! What each kind does: the rules of references, and the moves of value.

use super::draft::Mover;
use super::entry::{Entry, Kind, Seq};
use super::names::AccountKey;
use super::plan::Planner;
use super::reason::{Reason, Reject};
use super::request::Item;
use super::state::{Hold, HoldState};

fn key(entry: &Entry) -> AccountKey {
    AccountKey::new(&entry.account, &entry.asset)
}

/// The counterparty's key. The field is there for the kinds that ask: [`Entry::check`] saw to it.
fn counter_key(entry: &Entry) -> Result<AccountKey, Reject> {
    match &entry.counterparty {
        Some(counterparty) => Ok(AccountKey::new(counterparty, &entry.asset)),
        None => Err(Reject::new(Reason::UnknownKind, "counterparty: this kind needs it")),
    }
}

impl Planner<'_> {
    /// Drafts the effect of one entry. Only references are checked here; whether the accounts can
    /// bear it is decided on the net of the unit.
    pub(super) fn effect(&mut self, at: usize, seq: Seq, item: &Item) -> Result<(), Reject> {
        let (entry, amount) = (&item.entry, item.entry.amount.get());
        let by = Mover { at, seq };
        match entry.kind {
            Kind::Mint => {
                self.draft.mint(by, &entry.asset, amount)?;
                self.draft.give(by, key(entry), amount)
            }
            Kind::Burn => {
                self.draft.burn(by, &entry.asset, amount)?;
                self.draft.take(by, key(entry), amount)
            }
            Kind::Transfer => {
                self.draft.take(by, key(entry), amount)?;
                self.draft.give(by, counter_key(entry)?, amount)
            }
            Kind::Credit => self.draft.give(by, key(entry), amount),
            Kind::Debit => self.draft.take(by, key(entry), amount),
            Kind::Hold => self.set_aside(by, entry),
            Kind::Capture => self.capture(by, entry),
            Kind::Release => self.release(by, entry),
            Kind::Reverse => self.reverse(by, item),
            Kind::Expire => Err(Reject::new(Reason::UnknownKind, "kind: only the ledger expires")),
        }
    }

    fn set_aside(&mut self, by: Mover, entry: &Entry) -> Result<(), Reject> {
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
        self.draft.holds.insert(entry.id, hold);
        self.draft.hold(by, key(entry), amount)
    }

    fn capture(&mut self, by: Mover, entry: &Entry) -> Result<(), Reject> {
        let (amount, mut hold) = (entry.amount.get(), self.open_hold(by, entry)?);
        if hold.counterparty.is_some() && hold.counterparty != entry.counterparty {
            let details = "counterparty: the hold names another one";
            return Err(Reject::new(Reason::Conflict, details));
        }
        let rest = remainder(&hold, amount)?;
        hold.captured += amount;
        hold.remaining = rest;
        self.draft.pay_held(by, key(entry), amount)?;
        self.draft.give(by, counter_key(entry)?, amount)?;
        if !entry.keep_open || rest == 0 {
            (hold.remaining, hold.state) = (0, HoldState::Captured);
            self.draft.release(by, key(entry), rest)?;
        }
        self.close_or_keep(entry, hold)
    }

    fn release(&mut self, by: Mover, entry: &Entry) -> Result<(), Reject> {
        let (amount, mut hold) = (entry.amount.get(), self.open_hold(by, entry)?);
        hold.remaining = remainder(&hold, amount)?;
        if hold.remaining == 0 {
            hold.state = HoldState::Released;
        }
        self.draft.release(by, key(entry), amount)?;
        self.close_or_keep(entry, hold)
    }

    fn close_or_keep(&mut self, entry: &Entry, hold: Hold) -> Result<(), Reject> {
        let id = entry.reference.ok_or_else(no_reference)?;
        self.draft.holds.insert(id, hold);
        Ok(())
    }

    /// The hold that a Capture or a Release refers to, when it may still be acted on.
    fn open_hold(&self, by: Mover, entry: &Entry) -> Result<Hold, Reject> {
        let id = entry.reference.ok_or_else(no_reference)?;
        let known = self.id_record(id).filter(|record| record.seq < by.seq);
        known.ok_or_else(not_found)?;
        let Some(hold) = self.hold(id) else {
            return Err(Reject::new(Reason::Conflict, "reference: is not a hold"));
        };
        if hold.account != entry.account || hold.asset != entry.asset {
            return Err(other_account());
        }
        let expired = hold.state == HoldState::Expired || hold.is_due(self.group.now);
        if entry.kind == Kind::Capture && expired {
            return Err(Reject::new(Reason::HoldExpired, "reference: the hold's time has passed"));
        }
        if hold.state != HoldState::Open {
            return Err(Reject::new(Reason::AlreadyResolved, "reference: the hold is closed"));
        }
        Ok(hold.clone())
    }

    fn reverse(&mut self, by: Mover, item: &Item) -> Result<(), Reject> {
        let entry = &item.entry;
        let id = entry.reference.ok_or_else(no_reference)?;
        let known = self.id_record(id).filter(|record| record.seq < by.seq);
        let mut record = known.ok_or_else(not_found)?;
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
        self.undo(by, &original)?;
        if let Some(posting) = record.posting {
            self.draft.reversed_legs.push((by.at, record.seq, posting));
        }
        record.reversed_by = Some(by.seq);
        self.draft.ids.insert(id, record);
        Ok(())
    }

    /// Whether `seq` belongs to the unit in hand.
    fn is_in_hand(&self, seq: Seq, by: Mover) -> bool {
        seq >= by.seq - by.at as Seq
    }

    fn undo(&mut self, by: Mover, original: &Entry) -> Result<(), Reject> {
        let amount = original.amount.get();
        match original.kind {
            Kind::Transfer | Kind::Capture => {
                self.draft.take(by, counter_key(original)?, amount)?;
                self.draft.give(by, key(original), amount)
            }
            // A minted atom that is taken back counts as burned, and the other way round.
            Kind::Mint => {
                self.draft.burn(by, &original.asset, amount)?;
                self.draft.take(by, key(original), amount)
            }
            Kind::Burn => {
                self.draft.mint(by, &original.asset, amount)?;
                self.draft.give(by, key(original), amount)
            }
            Kind::Debit => self.draft.give(by, key(original), amount),
            Kind::Credit => self.draft.take(by, key(original), amount),
            Kind::Hold | Kind::Release | Kind::Expire | Kind::Reverse => Err(Reject::new(
                Reason::NotReversible,
                "reference: holds, releases, expiries and reversals cannot be undone",
            )),
        }
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
