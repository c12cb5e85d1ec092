//! Whether roots go on: what was ever shown as a checkpoint is still told, with the same root, sizes
//! only grow, and none has two roots.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::client::{Client, ClientError, Retry};

/// Roots in one page of the reading.
const PAGE: usize = 1000;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Roots {
    /// Different checkpoints that were seen during the drill.
    pub(super) seen: u64,
    /// Roots that the ledger told afterwards, from the first of them on.
    pub(super) told: u64,
    /// Checkpoints that went back, or that the ledger contradicts, and roots out of order.
    pub(super) broken: u64,
}

/// Reads all roots from the first seen checkpoint on.
///
/// # Errors
/// [`ClientError`] when they cannot be read.
pub(super) async fn check(client: &Client, seen: &[(u64, String)]) -> Result<Roots, ClientError> {
    let mut reading = Reading::new(seen);
    let mut since = seen.first().map(|(size, _)| size.saturating_sub(1));
    while let Some(from) = since {
        let page = Retry::default().run(|| client.roots(from, PAGE), |_, _| ()).await?;
        page.roots.iter().for_each(|row| reading.see(row.seq, &row.root));
        since = page.next;
    }
    Ok(reading.end())
}

struct Reading<'a> {
    /// Not met yet.
    open: BTreeMap<u64, &'a str>,
    last: u64,
    roots: Roots,
}

impl<'a> Reading<'a> {
    fn new(seen: &'a [(u64, String)]) -> Self {
        let mut roots = Roots { seen: seen.len() as u64, ..Roots::default() };
        roots.broken += seen.windows(2).filter(|two| two[0].0 >= two[1].0).count() as u64;
        // Of an empty ledger there is no row.
        let rows = seen.iter().filter(|(size, _)| *size > 0);
        let open = rows.map(|(size, root)| (*size, root.as_str())).collect();
        Reading { open, last: 0, roots }
    }

    fn see(&mut self, size: u64, root: &str) {
        self.roots.told += 1;
        let is_in_order = size > self.last;
        let agrees = self.open.remove(&size).is_none_or(|shown| shown == root);
        self.roots.broken += u64::from(!is_in_order) + u64::from(!agrees);
        self.last = self.last.max(size);
    }

    fn end(mut self) -> Roots {
        self.roots.broken += self.open.len() as u64;
        self.roots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seen: &[(u64, &str)], told: &[(u64, &str)], broken: u64) {
        let seen: Vec<_> = seen.iter().map(|&(size, root)| (size, root.to_owned())).collect();
        let mut reading = Reading::new(&seen);
        told.iter().for_each(|&(size, root)| reading.see(size, root));
        let roots = reading.end();
        let expected = Roots { seen: seen.len() as u64, told: told.len() as u64, broken };
        assert_eq!(roots, expected, "{seen:?} {told:?}");
    }

    #[test]
    fn what_was_shown_has_to_be_told_again() {
        check(&[(0, "e"), (3, "a"), (9, "c")], &[(3, "a"), (5, "b"), (9, "c"), (12, "d")], 0);
        check(&[], &[], 0);
        check(&[(3, "a")], &[(3, "x")], 1);
        check(&[(3, "a"), (4, "b")], &[(3, "a")], 1);
        check(&[(3, "a"), (3, "b")], &[(3, "b")], 1);
        check(&[(9, "c"), (3, "a")], &[(3, "a"), (9, "c")], 1);
        check(&[(3, "a")], &[(3, "a"), (5, "b"), (5, "c")], 1);
    }
}
