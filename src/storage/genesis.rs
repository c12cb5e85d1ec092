//! What a ledger is made with and keeps for ever.

use serde::{Deserialize, Serialize};

use crate::accumulator::{Hash, HashAlgo};
use crate::ledger::names::Asset;

/// The layout of the store that this code reads and writes. Another one is refused; an older one may be
/// upgraded, see `storage::upgrade`.
pub const SCHEMA: u32 = 1;

/// Chosen when a ledger is made, stored with its truth, and never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The hash of the Merkle tree.
    pub hash: HashAlgo,
    /// The origin of its checkpoints.
    pub origin: String,
    /// The asset of an entry that names none.
    pub default_asset: Asset,
    /// The ledger that this one goes on from, under a name of its own.
    pub parent: Option<Parent>,
}

/// Where a ledger parted from another one: up to here both are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parent {
    /// Its origin.
    pub origin: String,
    /// The entries that both have.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    schema: u32,
    hash: HashAlgo,
    origin: String,
    default_asset: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<Parent>,
}

/// Why a stored genesis is not ours to open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Not what this code writes.
    #[error("the stored genesis cannot be read")]
    Unreadable,
    /// Written by a later version.
    #[error(
        "the store has schema {0}, newer than this program's {SCHEMA}: use the version that wrote it"
    )]
    Newer(u32),
    /// Written by an earlier version.
    #[error(
        "the store has schema {0}, older than this program's {SCHEMA}: copy the data directory, then \
         run `ron-ledgerd --upgrade` once, or use the version that wrote it"
    )]
    Older(u32),
}

impl Genesis {
    /// As it is stored: one line of JSON.
    ///
    /// # Panics
    /// Never: texts and numbers have a JSON form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let stored = Stored {
            schema: SCHEMA,
            hash: self.hash,
            origin: self.origin.clone(),
            default_asset: self.default_asset.as_str().to_owned(),
            parent: self.parent.clone(),
        };
        serde_json::to_vec(&stored).expect("a struct of texts and numbers is JSON")
    }

    /// Reads what [`Genesis::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GenesisError> {
        match schema_of(bytes)? {
            SCHEMA => (),
            newer if newer > SCHEMA => return Err(GenesisError::Newer(newer)),
            older => return Err(GenesisError::Older(older)),
        }
        let stored: Stored = serde_json::from_slice(bytes).map_err(|_| GenesisError::Unreadable)?;
        let default_asset =
            Asset::new(stored.default_asset.as_str()).map_err(|_| GenesisError::Unreadable)?;
        let Stored { hash, origin, parent, .. } = stored;
        Ok(Genesis { hash, origin, default_asset, parent })
    }
}

/// The schema of any version's genesis.
pub(super) fn schema_of(bytes: &[u8]) -> Result<u32, GenesisError> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    let version: Version = serde_json::from_slice(bytes).map_err(|_| GenesisError::Unreadable)?;
    Ok(version.schema)
}

/// The same genesis, of another schema.
pub(super) fn with_schema(bytes: &[u8], schema: u32) -> Result<Vec<u8>, GenesisError> {
    let unreadable = |_| GenesisError::Unreadable;
    let mut genesis: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(bytes).map_err(unreadable)?;
    genesis.insert("schema".into(), schema.into());
    serde_json::to_vec(&genesis).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_schema_is_refused_by_its_number() {
        let genesis = Genesis {
            hash: HashAlgo::Blake3,
            origin: "example.org/log".into(),
            default_asset: Asset::new("RON").unwrap(),
            parent: None,
        };
        let bytes = genesis.to_bytes();
        assert_eq!(Genesis::from_bytes(&bytes), Ok(genesis));
        let with = |schema| with_schema(&bytes, schema).unwrap();
        assert_eq!(Genesis::from_bytes(&with(2)), Err(GenesisError::Newer(2)));
        assert_eq!(Genesis::from_bytes(&with(0)), Err(GenesisError::Older(0)));
        assert_eq!(Genesis::from_bytes(b"{}"), Err(GenesisError::Unreadable));
    }
}
