//! Holds what a ledger said of entries against what it shows: nothing lost, nothing twice, nothing
//! in another place, and nothing there that nobody sent.

use std::collections::HashSet;

use super::{Client, ClientError};
use crate::ledger::entry::{EntryId, Seq};

/// Entries in one page of the reading.
const PAGE: usize = 1000;

/// What a ledger said of entries: about 24 bytes for each.
#[derive(Clone, Debug, Default)]
pub struct Receipts {
    acknowledged: Vec<(Seq, EntryId)>,
    /// Sent, and no answer says what became of them.
    unknown: Vec<EntryId>,
}

/// What came of it. All but the first four is zero for a ledger that keeps its word to its only
/// client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Audit {
    /// Entries that were acknowledged.
    pub acknowledged: u64,
    /// Entries that are there.
    pub present: u64,
    /// Entries that are there and were not acknowledged, of requests whose outcome was unknown.
    pub unknown_present: u64,
    /// Entries of requests whose outcome was unknown.
    pub unknown: u64,
    /// Acknowledged entries that are not where they were said to be.
    pub lost: u64,
    /// Entries that are there more than once.
    pub doubled: u64,
    /// Places without an entry.
    pub gaps: u64,
    /// Entries that are there and that nobody sent.
    pub strange: u64,
}

impl Audit {
    /// Nothing is lost, doubled, missing or strange.
    pub fn is_clean(&self) -> bool {
        let Audit { lost, doubled, gaps, strange, .. } = self;
        [lost, doubled, gaps, strange].iter().all(|&&count| count == 0)
    }
}

impl Receipts {
    /// Notes an answer: where it says that these entries are.
    pub fn answered(&mut self, ids: &[EntryId], places: &[Option<Seq>]) {
        let acknowledged = ids.iter().zip(places);
        self.acknowledged.extend(acknowledged.filter_map(|(&id, place)| Some(((*place)?, id))));
    }

    /// Notes the entries of a request without an answer.
    pub fn unknown(&mut self, ids: &[EntryId]) {
        self.unknown.extend(ids);
    }

    /// Those of another one as well.
    pub fn add(&mut self, mut other: Receipts) {
        self.acknowledged.append(&mut other.acknowledged);
        self.unknown.append(&mut other.unknown);
    }

    /// Reads all entries after the size `since` back, from a ledger that nobody writes to meanwhile.
    ///
    /// # Errors
    /// [`ClientError`] when they cannot be read.
    pub async fn audit(self, client: &Client, since: Seq) -> Result<Audit, ClientError> {
        let mut reading = Reading::new(self, since);
        let mut from = Some(since + 1);
        while let Some(next) = from {
            let page =
                super::Retry::default().run(|| client.entries(next, PAGE), |_, _| ()).await?;
            for entry in &page.entries {
                reading.see(entry.seq, EntryId::parse(&entry.id));
            }
            from = page.next;
        }
        Ok(reading.end())
    }
}

/// Both in the order of seq, one held against the other.
struct Reading {
    acknowledged: std::iter::Peekable<std::vec::IntoIter<(Seq, EntryId)>>,
    unknown: HashSet<EntryId>,
    next: Seq,
    seen: Vec<EntryId>,
    audit: Audit,
}

impl Reading {
    fn new(receipts: Receipts, since: Seq) -> Self {
        let Receipts { mut acknowledged, unknown } = receipts;
        // A replay is told the same place once more.
        acknowledged.sort_unstable();
        acknowledged.dedup();
        let audit = Audit {
            acknowledged: acknowledged.len() as u64,
            unknown: unknown.len() as u64,
            ..Audit::default()
        };
        Reading {
            acknowledged: acknowledged.into_iter().peekable(),
            unknown: unknown.into_iter().collect(),
            next: since + 1,
            seen: Vec::new(),
            audit,
        }
    }

    fn see(&mut self, seq: Seq, id: Option<EntryId>) {
        self.audit.present += 1;
        self.audit.gaps += seq.saturating_sub(self.next);
        self.next = seq + 1;
        // Two acknowledgements of one place are two promises of which one is broken.
        let mut is_known = false;
        while let Some((_, said)) = self.acknowledged.next_if(|(at, _)| *at <= seq) {
            match Some(said) == id {
                true => is_known = true,
                false => self.audit.lost += 1,
            }
        }
        let Some(id) = id else { return self.audit.strange += 1 };
        if !is_known {
            match self.unknown.contains(&id) || id.is_ledgers_own() {
                true => self.audit.unknown_present += 1,
                false => self.audit.strange += 1,
            }
        }
        self.seen.push(id);
    }

    fn end(mut self) -> Audit {
        self.audit.lost += self.acknowledged.count() as u64;
        self.seen.sort_unstable();
        self.audit.doubled = self.seen.windows(2).filter(|two| two[0] == two[1]).count() as u64;
        self.audit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> EntryId {
        EntryId::from_bytes([number; 16])
    }

    /// Entries after the size 10.
    fn check(said: &[(Seq, u8)], unknown: &[u8], there: &[(Seq, u8)], expected: Audit) {
        let receipts = Receipts {
            acknowledged: said.iter().map(|&(seq, number)| (seq, id(number))).collect(),
            unknown: unknown.iter().map(|&number| id(number)).collect(),
        };
        let mut reading = Reading::new(receipts, 10);
        there.iter().for_each(|&(seq, number)| reading.see(seq, Some(id(number))));
        let audit = reading.end();
        assert_eq!(audit, expected, "{said:?} {unknown:?} {there:?}");
    }

    #[test]
    fn a_kept_word_is_clean() {
        let two = Audit { acknowledged: 2, present: 2, ..Audit::default() };
        assert!(two.is_clean());
        check(&[(12, 2), (11, 1)], &[], &[(11, 1), (12, 2)], two);
        check(&[(11, 1), (12, 2), (11, 1)], &[], &[(11, 1), (12, 2)], two);
        let open = Audit { acknowledged: 1, present: 2, unknown_present: 1, unknown: 2, ..two };
        assert!(open.is_clean());
        check(&[(11, 1)], &[2, 3], &[(11, 1), (12, 2)], open);
    }

    #[test]
    fn every_broken_word_is_found() {
        let one = Audit { acknowledged: 1, present: 1, ..Audit::default() };
        check(&[(11, 1)], &[], &[], Audit { present: 0, lost: 1, ..one });
        check(&[(11, 1)], &[], &[(11, 2)], Audit { lost: 1, strange: 1, ..one });
        check(&[(12, 1)], &[], &[(12, 1)], Audit { gaps: 1, ..one });
        let twice = Audit { present: 2, doubled: 1, strange: 1, ..one };
        check(&[(11, 1)], &[], &[(11, 1), (12, 1)], twice);
        assert!(!twice.is_clean());
        let shared = Audit { acknowledged: 2, lost: 1, ..one };
        check(&[(11, 1), (11, 2)], &[], &[(11, 1)], shared);
    }
}
