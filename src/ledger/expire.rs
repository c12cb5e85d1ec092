//! The one entry that the ledger makes by itself: what is left of a hold goes back to its account
//! when the hold's time has passed.

use sha2::{Digest, Sha256};

use super::entry::{Amount, Entry, EntryId, Kind};
use super::names::KeyName;
use super::state::Hold;

/// The KID and the capability of entries that the ledger makes.
pub const LEDGER_KID: &str = "ledger";

/// The id of the Expire entry of a hold: SHA-256 over `ron-ledger v1 expire` and the hold's 16
/// bytes, cut to 16, marked as UUID version 8. Clients cannot use version 8, so none is ever taken.
pub fn expire_id(hold: EntryId) -> EntryId {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(b"ron-ledger v1 expire")
        .chain_update(hold.as_bytes())
        .finalize()
        .into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    EntryId::from_bytes(bytes)
}

/// The entry that ends an open hold. `None` when nothing is left of it.
///
/// The nonce is the hold's id. An Expire does not take part in the idempotency of tuples: a client
/// could have used that very tuple before, and must not be able to stop an expiry by it.
pub fn expire_entry(id: EntryId, hold: &Hold) -> Option<Entry> {
    let kid = KeyName::new(LEDGER_KID).ok()?;
    Some(Entry {
        id: expire_id(id),
        ts: hold.expires_at?,
        kind: Kind::Expire,
        account: hold.account.clone(),
        asset: hold.asset.clone(),
        amount: Amount::new(hold.remaining)?,
        nonce: *id.as_bytes(),
        capability: kid.clone(),
        kid,
        counterparty: None,
        reference: Some(id),
        expires_at: None,
        keep_open: false,
        idem_id: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_derived_id_is_a_version_8_uuid_and_does_not_change() {
        let id = expire_id(EntryId::from_bytes([0; 16]));
        assert!(id.is_ledgers_own());
        assert_eq!(id.as_bytes()[8] >> 6, 0b10);
        assert_eq!(id, expire_id(EntryId::from_bytes([0; 16])));
        assert_ne!(id, expire_id(EntryId::from_bytes([1; 16])));
    }
}
