//! The tuple (account, amount, nonce, idem_id) takes effect once: its digest finds the entry that
//! did, whatever its id.

use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt as _, hash_derive_key_context};

use super::entry::Entry;

/// The first 16 bytes of BLAKE3 in its key derivation mode over the tuple, texts with their length
/// in front. A hit is always confirmed against the entry itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdemDigest(pub [u8; 16]);

const CONTEXT: &str = "ron-ledger v1 idempotency tuple";

/// Hashed once, and not for each entry.
static CONTEXT_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(CONTEXT));

impl IdemDigest {
    /// The digest of an entry's tuple. An absent `idem_id` differs from every present one.
    pub fn of(entry: &Entry) -> Self {
        let mut hasher = blake3::Hasher::new_from_context_key(&CONTEXT_KEY);
        let account = entry.account.as_str().as_bytes();
        hasher.update(&[account.len() as u8]);
        hasher.update(account);
        hasher.update(&entry.amount.get().to_be_bytes());
        hasher.update(&entry.nonce);
        if let Some(idem_id) = &entry.idem_id {
            hasher.update(&[idem_id.as_str().len() as u8]);
            hasher.update(idem_id.as_str().as_bytes());
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        IdemDigest(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::entry::{Amount, Kind};
    use crate::ledger::names::{AccountId, Asset, IdemId};
    use crate::ledger::testing::entry;

    /// Stored digests stay what they are.
    #[test]
    fn the_digest_is_that_of_the_published_derivation() {
        let entry = entry(Kind::Mint, "a", 5);
        let tuple = [&[1, b'a'][..], &5_u128.to_be_bytes(), &entry.nonce].concat();
        assert_eq!(IdemDigest::of(&entry).0, blake3::derive_key(CONTEXT, &tuple)[..16]);
    }

    #[test]
    fn only_the_tuple_counts() {
        let first = entry(Kind::Mint, "a", 5);
        let mut same = entry(Kind::Burn, "a", 5);
        same.nonce = first.nonce;
        same.asset = Asset::new("X").unwrap();
        assert_eq!(IdemDigest::of(&first), IdemDigest::of(&same));
        let changes: &[fn(&mut Entry)] = &[
            |e| e.account = AccountId::new("b").unwrap(),
            |e| e.amount = Amount::new(6).unwrap(),
            |e| e.nonce[15] ^= 1,
            |e| e.idem_id = Some(IdemId::new("x").unwrap()),
        ];
        for change in changes {
            let mut other = first.clone();
            change(&mut other);
            assert_ne!(IdemDigest::of(&first), IdemDigest::of(&other));
        }
    }
}
