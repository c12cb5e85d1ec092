//! Where two ledgers, or exports of them, part: by bisection over the roots of their prefixes. Two
//! equal roots have equal entries below them, two that differ do not, so that one question a step
//! is enough.

use serde::Serialize;

use super::report::AuditError;
use super::sources::Prefixes;
use crate::ledger::entry::Seq;

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The first so many entries are the same.
    pub same: Seq,
    /// The first entry that differs; none where one begins with all of the other.
    pub first_difference: Option<Seq>,
    /// The difference lies at `first_difference` or before it, where one of the two says nothing.
    pub is_before_range: bool,
    /// The two that were compared.
    pub sides: [Side; 2],
}

/// One of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// The origin of its checkpoint.
    pub origin: String,
    /// The last entry that it has.
    pub to: Seq,
}

/// Finds the first entry that differs, with about log2(entries) questions to each.
///
/// # Errors
/// [`AuditError`], also for two that cannot be compared: trees of two hash functions, or ranges
/// that have no size in common.
pub async fn compare(one: &Prefixes, other: &Prefixes) -> Result<Comparison, AuditError> {
    let refused = |problem: &str| Err(AuditError::Source(problem.to_owned()));
    if one.hash() != other.hash() {
        return refused("the two have trees of different hash functions: no root can be compared");
    }
    let ((one_from, one_to), (other_from, other_to)) = (one.sizes(), other.sizes());
    let (from, to) = (one_from.max(other_from), one_to.min(other_to));
    if from > to {
        return refused("the two have no entries in common: export ranges that overlap");
    }
    let is_same = async |size: Seq| -> Result<bool, AuditError> {
        Ok(one.root_at(size).await? == other.root_at(size).await?)
    };
    let side = |of: &Prefixes| Side { origin: of.origin().to_owned(), to: of.sizes().1 };
    let sides = [side(one), side(other)];
    if is_same(to).await? {
        let (first_difference, is_before_range) = (None, false);
        return Ok(Comparison { same: to, first_difference, is_before_range, sides });
    }
    // The same root at `same`, another one at `differs`.
    let (mut same, mut differs) = (from, to);
    if from > 0 && !is_same(from).await? {
        let first_difference = Some(from);
        return Ok(Comparison { same: 0, first_difference, is_before_range: true, sides });
    }
    while differs - same > 1 {
        let middle = same + (differs - same) / 2;
        match is_same(middle).await? {
            true => same = middle,
            false => differs = middle,
        }
    }
    let (first_difference, is_before_range) = (Some(differs), false);
    Ok(Comparison { same, first_difference, is_before_range, sides })
}
