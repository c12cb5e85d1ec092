//! What is revoked: capability ids, with all tokens that bear them, and root keys, with all tokens
//! under them.
//!
//! An id may be forgotten 30 days later, since no token that was minted before lives longer. A root
//! key never is: whoever has stolen it can mint new tokens for as long as its file is there.
//!
//! As text, `ron-ledger revoked v1`, then `id NAME MS` and `kid NAME MS` with the unix milliseconds of
//! the revocation, then `digest` with the BLAKE3 of the lines before it.

use super::error::CapError;
use super::grants::{Capability, LIFETIME_MS_MAX};
use super::identifier::{IdentifierError, is_part};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The most ids and root keys that are revoked at a time.
pub const REVOKED_MAX: usize = 100_000;

/// The longest text of what is revoked, in bytes: more than [`REVOKED_MAX`] lines can have.
pub const REVOKED_BYTES_MAX: usize = 10 << 20;

const HEADER: &str = "ron-ledger revoked v1";

/// What a revocation names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A capability id.
    Id(String),
    /// The id of a root key.
    Kid(String),
}

impl Subject {
    /// A capability id.
    ///
    /// # Errors
    /// [`IdentifierError::Part`] when no token can have it.
    pub fn id(id: &str) -> Result<Self, IdentifierError> {
        part(id).map(Self::Id)
    }

    /// The id of a root key.
    ///
    /// # Errors
    /// [`IdentifierError::Part`] when no token can have it.
    pub fn kid(kid: &str) -> Result<Self, IdentifierError> {
        part(kid).map(Self::Kid)
    }
}

fn part(text: &str) -> Result<String, IdentifierError> {
    if is_part(text) { Ok(text.to_owned()) } else { Err(IdentifierError::Part) }
}

/// There are [`REVOKED_MAX`] already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("100000 revocations stand already: revoke the root key and mint under a new one")]
pub struct RevokedFull;

/// What is revoked, and since when, in unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    ids: BTreeMap<String, u64>,
    kids: BTreeMap<String, u64>,
}

impl Revoked {
    /// Revokes. When there is no room, what has had its time is forgotten. What is revoked again is
    /// so from `now_ms` on: tokens may have been minted under its id in between.
    ///
    /// # Errors
    /// [`RevokedFull`]; then nothing has changed.
    pub fn add(&mut self, subject: Subject, now_ms: u64) -> Result<(), RevokedFull> {
        let is_new = match &subject {
            Subject::Id(id) => !self.ids.contains_key(id),
            Subject::Kid(kid) => !self.kids.contains_key(kid),
        };
        if is_new && self.len() >= REVOKED_MAX {
            self.ids.retain(|_, since_ms| now_ms < forgotten_ms(*since_ms));
            if self.len() >= REVOKED_MAX {
                return Err(RevokedFull);
            }
        }
        match subject {
            Subject::Id(id) => self.ids.insert(id, now_ms),
            Subject::Kid(kid) => self.kids.insert(kid, now_ms),
        };
        Ok(())
    }

    /// Whether a capability stands.
    ///
    /// # Errors
    /// [`CapError::Revoked`] or [`CapError::KeyRevoked`].
    pub fn admits(&self, capability: &Capability) -> Result<(), CapError> {
        if self.has_kid(capability.kid()) {
            return Err(CapError::KeyRevoked);
        }
        if self.ids.contains_key(capability.id()) { Err(CapError::Revoked) } else { Ok(()) }
    }

    /// Whether a root key is revoked.
    pub fn has_kid(&self, kid: &str) -> bool {
        self.kids.contains_key(kid)
    }

    /// How many revocations stand.
    pub fn len(&self) -> usize {
        self.ids.len() + self.kids.len()
    }

    /// Whether none stands.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids, in the order of their bytes, each with the time of its revocation.
    pub fn ids(&self) -> impl Iterator<Item = (&str, u64)> {
        self.ids.iter().map(|(id, since_ms)| (id.as_str(), *since_ms))
    }

    /// The root keys, in the order of their bytes, each with the time of its revocation.
    pub fn kids(&self) -> impl Iterator<Item = (&str, u64)> {
        self.kids.iter().map(|(kid, since_ms)| (kid.as_str(), *since_ms))
    }

    /// The text that [`Revoked::parse`] reads.
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\n");
        let lines = self.ids().map(|row| ("id", row)).chain(self.kids().map(|row| ("kid", row)));
        for (word, (name, since_ms)) in lines {
            writeln!(text, "{word} {name} {since_ms}").expect("a string takes every write");
        }
        let digest = blake3::hash(text.as_bytes());
        writeln!(text, "digest {digest}").expect("a string takes every write");
        text
    }

    /// Reads what [`Revoked::to_text`] writes; `None` for anything else, and above a bound.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > REVOKED_BYTES_MAX {
            return None;
        }
        let at = text.rfind("digest ")?;
        let (said, digest) = text.split_at(at);
        if digest.strip_prefix("digest ")?.strip_suffix('\n')?
            != blake3::hash(said.as_bytes()).to_hex().as_str()
        {
            return None;
        }
        let mut revoked = Self::default();
        for line in said.strip_prefix(HEADER)?.strip_prefix('\n')?.lines() {
            let mut words = line.split(' ');
            let (word, name) = (words.next()?, part(words.next()?).ok()?);
            let since_ms = words.next()?.parse().ok()?;
            let names = match word {
                "id" => &mut revoked.ids,
                "kid" => &mut revoked.kids,
                _ => return None,
            };
            if words.next().is_some() || names.insert(name, since_ms).is_some() {
                return None;
            }
        }
        (revoked.len() <= REVOKED_MAX).then_some(revoked)
    }
}

/// From when on the revocation of an id may be forgotten, given its time, in unix milliseconds.
pub fn forgotten_ms(since_ms: u64) -> u64 {
    since_ms.saturating_add(LIFETIME_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_767_000_000_000;

    fn of(subjects: &[Subject]) -> Revoked {
        let mut revoked = Revoked::default();
        subjects.iter().for_each(|subject| revoked.add(subject.clone(), NOW_MS).unwrap());
        revoked
    }

    #[test]
    fn there_is_a_bound_and_room_is_made_after_thirty_days_but_never_of_keys() {
        let mut revoked = of(&[Subject::kid(&"k".repeat(64)).unwrap()]);
        for nth in 1..REVOKED_MAX {
            revoked.add(Subject::Id(format!("{nth:064}")), NOW_MS).unwrap();
        }
        let more = Subject::id("one-more").unwrap();
        assert_eq!(revoked.add(more.clone(), NOW_MS), Err(RevokedFull));
        // What stands can be renewed.
        revoked.add(Subject::Id(format!("{:064}", 1)), NOW_MS).unwrap();
        let text = revoked.to_text();
        assert!(text.len() < REVOKED_BYTES_MAX);
        assert_eq!(Revoked::parse(&text), Some(revoked.clone()));
        let (before, after) = (NOW_MS + LIFETIME_MS_MAX - 1, NOW_MS + LIFETIME_MS_MAX);
        assert_eq!(revoked.add(more.clone(), before), Err(RevokedFull));
        revoked.add(more, after).unwrap();
        assert!(revoked.ids().eq([("one-more", after)]));
        assert!(revoked.kids().eq([("k".repeat(64).as_str(), NOW_MS)]));
    }

    #[test]
    fn the_text_reads_back_and_a_changed_one_does_not() {
        let revoked = of(&[Subject::id("a").unwrap(), Subject::kid("root-1").unwrap()]);
        let text = revoked.to_text();
        assert_eq!(Revoked::parse(&text), Some(revoked));
        assert_eq!(Revoked::parse(&Revoked::default().to_text()), Some(Revoked::default()));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(Revoked::parse(&changed), None, "{changed}");
            assert_eq!(Revoked::parse(&text[..at]), None);
        }
    }

    #[test]
    fn lines_that_were_never_written_are_refused() {
        for line in ["id a", "id a 1 2", "id a/b 1", "key a 1", "id a -1", "id a 1\nid a 1", ""] {
            let said = format!("{HEADER}\n{line}\n");
            let text = format!("{said}digest {}\n", blake3::hash(said.as_bytes()));
            assert_eq!(Revoked::parse(&text), None, "{line}");
        }
    }

    #[test]
    fn what_no_token_can_bear_is_not_revoked() {
        for name in ["", "a b", "a:b", &"k".repeat(65)] {
            assert!(Subject::id(name).is_err() && Subject::kid(name).is_err(), "{name}");
        }
    }
}
