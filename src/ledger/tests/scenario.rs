//! Random groups of requests: few accounts, small amounts and many references, so that retries,
//! conflicts, missing funds, captures and reversals are common.

use std::fmt;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::ledger::entry::{Amount, Entry, EntryId, Kind, Millis};
use crate::ledger::names::{AccountId, Asset, IdemId, KeyName};
use crate::ledger::request::{Grants, Item, Request};
use crate::ledger::testing::entry_of;

/// One commit group, ready to be sent.
#[derive(Clone)]
pub(super) struct SentGroup {
    pub(super) now: Millis,
    pub(super) expire_max: usize,
    pub(super) requests: Vec<Request>,
}

/// One line an entry, since a failure shows whole histories.
impl fmt::Debug for SentGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "group at {}, at most {} expire", self.now, self.expire_max)?;
        for request in &self.requests {
            writeln!(f, "  {}", if request.atomic { "atomic" } else { "request" })?;
            for Item { entry: e, grants, .. } in &request.items {
                let (kind, account, asset, amount) = (e.kind, &e.account, &e.asset, e.amount);
                let (id, nonce) = (hex::encode(e.id.as_bytes()), hex::encode(e.nonce));
                writeln!(f, "    {kind:?} {account} {amount} {asset} id {id} nonce {nonce}")?;
                let (to, of) = (&e.counterparty, &e.reference);
                let (end, open, idem) = (e.expires_at, e.keep_open, &e.idem_id);
                writeln!(f, "      {to:?} of {of:?} {end:?} {open} {idem:?} {grants:?}")?;
            }
        }
        Ok(())
    }
}

/// Random numbers that decide an entry; what they mean depends on what was sent before.
#[derive(Clone, Debug)]
struct Shape {
    kind: Kind,
    account: u8,
    other: u8,
    asset: u8,
    amount: u8,
    of: Index,
    /// A number below 100 for each choice: the reference, its fields, the nonce and the options.
    rolls: [u8; 4],
    id: u16,
}

#[derive(Clone, Debug)]
enum Part {
    One(Shape),
    /// An earlier entry again, as it was or changed.
    Again {
        of: Index,
        change: u8,
        id: u16,
    },
    /// Payments as debits and credits; the last leg may be missing or wrong.
    Posting {
        legs: Vec<Shape>,
        flaw: u8,
    },
}

#[derive(Clone, Debug)]
enum RequestShape {
    New {
        parts: Vec<Part>,
        atomic: bool,
    },
    /// An earlier request again.
    Retry {
        of: Index,
        atomic: bool,
    },
    /// Reversals of all legs of an earlier posting, or of all but one.
    Undo {
        of: Index,
        flaw: u8,
        id: u16,
    },
}

#[derive(Clone, Debug)]
struct GroupShape {
    step_ms: Millis,
    expire_max: usize,
    requests: Vec<RequestShape>,
}

fn any_shape() -> impl Strategy<Value = Shape> {
    use Kind::{Burn, Capture, Credit, Debit, Hold, Mint, Release, Reverse, Transfer};
    let kinds = prop_oneof![
        3 => Just(Mint), 4 => Just(Burn), 8 => Just(Transfer), 8 => Just(Hold), 9 => Just(Capture),
        6 => Just(Release), 9 => Just(Reverse), 1 => Just(Debit), 1 => Just(Credit),
    ];
    let names = (0..5u8, 1..5u8, 0..6u8);
    let rolls = [0..100u8, 0..100u8, 0..100u8, 0..100u8];
    (kinds, names, 1..8u8, any::<Index>(), rolls, any::<u16>()).prop_map(
        |(kind, (account, other, asset), amount, of, rolls, id)| Shape {
            kind,
            account,
            other,
            asset,
            amount,
            of,
            rolls,
            id,
        },
    )
}

fn any_part() -> impl Strategy<Value = Part> {
    let again = (any::<Index>(), 0..10u8, any::<u16>());
    let legs = prop::collection::vec(any_shape(), 1..3);
    prop_oneof![
        12 => any_shape().prop_map(Part::One),
        2 => again.prop_map(|(of, change, id)| Part::Again { of, change, id }),
        2 => (legs, 0..10u8).prop_map(|(legs, flaw)| Part::Posting { legs, flaw }),
    ]
}

fn any_request() -> impl Strategy<Value = RequestShape> {
    let parts = prop::collection::vec(any_part(), 1..5);
    prop_oneof![
        12 => (parts, prop::bool::weighted(0.25))
            .prop_map(|(parts, atomic)| RequestShape::New { parts, atomic }),
        1 => (any::<Index>(), any::<bool>())
            .prop_map(|(of, atomic)| RequestShape::Retry { of, atomic }),
        1 => (any::<Index>(), 0..6u8, any::<u16>())
            .prop_map(|(of, flaw, id)| RequestShape::Undo { of, flaw, id }),
    ]
}

/// Up to eight groups of up to five requests.
pub(super) fn any_groups() -> impl Strategy<Value = Vec<SentGroup>> {
    let step_ms = prop_oneof![2 => Just(0), 2 => 1..40u64];
    let expire_max = prop_oneof![4 => Just(100), 1 => 0..2usize];
    let group = (step_ms, expire_max, prop::collection::vec(any_request(), 1..6))
        .prop_map(|(step_ms, expire_max, requests)| GroupShape { step_ms, expire_max, requests });
    prop::collection::vec(group, 1..9).prop_map(|shapes| {
        let mut client = Client { now: 1_000, ..Client::default() };
        let mut groups: Vec<_> = shapes.into_iter().map(|shape| client.group(shape)).collect();
        groups[0].requests.insert(0, client.funding());
        groups
    })
}

/// Remembers what was sent, so that later entries can refer to it and repeat it.
#[derive(Default)]
struct Client {
    now: Millis,
    sent: Vec<Entry>,
    requests: Vec<Request>,
    postings: Vec<Vec<Entry>>,
    count: u32,
}

impl Client {
    /// Something for most accounts to begin with.
    fn funding(&mut self) -> Request {
        let mint = |(number, asset): (u8, &str)| {
            let id = self.fresh_id(0);
            let mint = entry_of(Kind::Mint, account(number).as_str(), 24, asset);
            Item::new(Entry { id, nonce: *id.as_bytes(), ..mint }, Grants::ALL)
        };
        let pairs = (0..4).flat_map(|number| [(number, "RON"), (number, "USD")]);
        Request { items: pairs.map(mint).collect(), atomic: false }
    }

    fn group(&mut self, shape: GroupShape) -> SentGroup {
        self.now += shape.step_ms;
        let requests = shape.requests.into_iter().map(|request| self.request(request)).collect();
        SentGroup { now: self.now, expire_max: shape.expire_max, requests }
    }

    fn request(&mut self, shape: RequestShape) -> Request {
        let made = match shape {
            RequestShape::Retry { of, atomic } if !self.requests.is_empty() => {
                Request { atomic, ..of.get(&self.requests).clone() }
            }
            RequestShape::Undo { of, flaw, id } if !self.postings.is_empty() => {
                self.undo(of, flaw, id)
            }
            RequestShape::Retry { .. } | RequestShape::Undo { .. } => {
                Request { items: Vec::new(), atomic: true }
            }
            RequestShape::New { parts, atomic } => {
                let items = parts.into_iter().flat_map(|part| self.part(part)).collect();
                Request { items, atomic }
            }
        };
        self.requests.push(made.clone());
        made
    }

    fn part(&mut self, part: Part) -> Vec<Item> {
        let (entries, grants) = match part {
            Part::One(shape) => {
                let denied = shape.rolls[3] < 30;
                let grants = Grants { reverse_mint: !denied, reverse_burn: !denied };
                (vec![self.one(&shape)], grants)
            }
            Part::Again { of, change, id } => {
                (Vec::from_iter(self.again(of, change, id)), Grants::ALL)
            }
            Part::Posting { legs, flaw } => (self.posting(&legs, flaw), Grants::ALL),
        };
        self.sent.extend(entries.iter().cloned());
        entries.into_iter().map(|entry| Item::new(entry, grants)).collect()
    }

    fn fresh_id(&mut self, random: u16) -> EntryId {
        self.count += 1;
        let mut id = [0x40; 16];
        id[..2].copy_from_slice(&random.to_be_bytes());
        id[12..].copy_from_slice(&self.count.to_be_bytes());
        EntryId::from_bytes(id)
    }

    fn plain(&mut self, kind: Kind, shape: &Shape) -> Entry {
        let id = self.fresh_id(shape.id);
        let amount = u128::from(shape.amount);
        let (asset, amount) = match (shape.asset, kind) {
            // One asset whose sums come near to their limit.
            (0, _) => ("BIG", [1, u128::MAX, 1 << 127, 1 << 127][shape.amount as usize % 4]),
            (1..=2, Kind::Mint) => ("USD", amount * 8),
            (1..=2, _) => ("USD", amount),
            (_, Kind::Mint) => ("RON", amount * 8),
            _ => ("RON", amount),
        };
        let common_nonce = shape.rolls[2] < 8;
        Entry {
            id,
            ts: 1_700_000_000_000 + u64::from(shape.id),
            kind,
            account: account(shape.account),
            asset: Asset::new(asset).unwrap(),
            amount: Amount::new(amount).unwrap(),
            nonce: if common_nonce { [shape.id as u8 % 2; 16] } else { *id.as_bytes() },
            kid: KeyName::new("root-1").unwrap(),
            capability: KeyName::new("cap-1").unwrap(),
            counterparty: None,
            reference: None,
            expires_at: None,
            keep_open: false,
            idem_id: shape.rolls[2].is_multiple_of(5).then(|| IdemId::new("order").unwrap()),
        }
    }

    fn one(&mut self, shape: &Shape) -> Entry {
        let nothing_held = || !self.sent.iter().any(|entry| entry.kind == Kind::Hold);
        let kind = match shape.kind {
            Kind::Capture | Kind::Release if nothing_held() => Kind::Hold,
            kind => kind,
        };
        let mut entry = self.plain(kind, shape);
        let roll = shape.rolls[3];
        match kind {
            Kind::Transfer => entry.counterparty = Some(account_but(&entry, shape.other)),
            Kind::Hold => {
                entry.counterparty =
                    roll.is_multiple_of(3).then(|| account_but(&entry, shape.other));
                entry.expires_at =
                    roll.is_multiple_of(2).then(|| (self.now + u64::from(shape.rolls[1] / 2)) - 2);
            }
            Kind::Capture | Kind::Release => self.refer(&mut entry, shape, Kind::Hold),
            Kind::Reverse => self.refer(&mut entry, shape, kind),
            _ => {}
        }
        if entry.kind == Kind::Capture {
            entry.keep_open = roll.is_multiple_of(2);
            // A faithful capture took the hold's counterparty over.
            if entry.counterparty.as_ref().is_none_or(|other| *other == entry.account) {
                entry.counterparty = Some(account_but(&entry, shape.other));
            }
        }
        entry
    }

    /// Lets an entry refer to an earlier one: mostly to a fitting one, with its account and asset.
    fn refer(&self, entry: &mut Entry, shape: &Shape, kind: Kind) {
        let [which, fields, ..] = shape.rolls;
        let undoable = |e: &&Entry| !matches!(e.kind, Kind::Hold | Kind::Release | Kind::Reverse);
        let fits = |e: &&Entry| if kind == Kind::Hold { e.kind == kind } else { undoable(e) };
        let fitting: Vec<&Entry> = self.sent.iter().filter(fits).collect();
        let named = match which {
            0..4 => None,
            4..12 if !self.sent.is_empty() => Some(shape.of.get(&self.sent)),
            _ if !fitting.is_empty() => Some(*shape.of.get(&fitting)),
            _ => None,
        };
        entry.reference = match which {
            0..2 => Some(entry.id),
            2..4 => Some(EntryId::from_bytes([0xee; 16])),
            _ => Some(named.map_or(entry.id, |named| named.id)),
        };
        let Some(named) = named else { return };
        if fields >= 4 {
            entry.account = named.account.clone();
        }
        if fields >= 8 {
            entry.asset = named.asset.clone();
        }
        if kind == Kind::Reverse && fields >= 12 {
            entry.amount = named.amount;
        } else if kind == Kind::Hold {
            let part = named.amount.get().div_ceil(6).saturating_mul(shape.amount.into());
            entry.amount = if fields < 60 { named.amount } else { Amount::new(part).unwrap() };
        }
        if entry.kind == Kind::Capture && fields >= 16 {
            entry.counterparty = named.counterparty.clone();
        }
    }

    fn again(&mut self, of: Index, change: u8, id: u16) -> Option<Entry> {
        if self.sent.is_empty() {
            return None;
        }
        let first = of.get(&self.sent).clone();
        let mut entry = first.clone();
        match change {
            0..4 => (entry.ts, entry.capability) = (7, KeyName::new("cap-2").unwrap()),
            4..6 => entry.id = self.fresh_id(id),
            6 => entry.amount = Amount::new(entry.amount.get() % 1000 + 1).unwrap(),
            7 => (entry.id, entry.asset) = (self.fresh_id(id), Asset::new("EUR").unwrap()),
            8 => (entry.id, entry.idem_id) = (self.fresh_id(id), IdemId::new("other").ok()),
            _ => entry.account = account(id as u8 % 5),
        }
        Some(if entry.check().is_ok() { entry } else { first })
    }

    fn posting(&mut self, shapes: &[Shape], flaw: u8) -> Vec<Entry> {
        let (mut debits, mut credits) = (Vec::new(), Vec::new());
        for shape in shapes {
            debits.push(self.plain(Kind::Debit, shape));
            let receiver = Shape { account: shape.other, ..shape.clone() };
            credits.push(self.plain(Kind::Credit, &receiver));
        }
        let mut legs = match flaw % 2 {
            0 => [debits, credits].concat(),
            _ => [credits, debits].concat(),
        };
        match flaw {
            0 => legs.truncate(legs.len() - 1),
            1 => legs[0].amount = Amount::new(9).unwrap(),
            _ => self.postings.push(legs.clone()),
        }
        legs
    }

    fn undo(&mut self, of: Index, flaw: u8, id: u16) -> Request {
        let legs = of.get(&self.postings).clone();
        let mut items: Vec<Item> = Vec::new();
        for leg in legs.into_iter().skip(usize::from(flaw == 0)) {
            let id = self.fresh_id(id);
            let undo = Entry {
                id,
                kind: Kind::Reverse,
                reference: Some(leg.id),
                nonce: *id.as_bytes(),
                ..leg
            };
            items.push(Item::new(undo, Grants::ALL));
        }
        self.sent.extend(items.iter().map(|item| item.entry.clone()));
        Request { items, atomic: flaw != 1 }
    }
}

fn account(number: u8) -> AccountId {
    AccountId::new(["a", "b", "c", "d", "e"][usize::from(number)]).unwrap()
}

/// Another account than the entry's own.
fn account_but(entry: &Entry, offset: u8) -> AccountId {
    let own = (0..5).find(|number| account(*number) == entry.account).unwrap_or(0);
    account((own + offset) % 5)
}
