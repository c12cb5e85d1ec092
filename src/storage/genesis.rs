//! What a ledger is made with and keeps for ever.

use serde::{Deserialize, Serialize};

use crate::accumulator::HashAlgo;
use crate::ledger::names::Asset;

/// The layout of the store that this code writes. Another one is refused.
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
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    schema: u32,
    hash: HashAlgo,
    origin: String,
    default_asset: String,
}

/// Why a stored genesis is not ours to open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Not what this code writes.
    #[error("the stored genesis cannot be read")]
    Unreadable,
    /// Written by another version.
    #[error("the store has schema {0}, this program reads {SCHEMA}: use the version that wrote it")]
    Schema(u32),
}

impl Genesis {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let stored = Stored {
            schema: SCHEMA,
            hash: self.hash,
            origin: self.origin.clone(),
            default_asset: self.default_asset.as_str().to_owned(),
        };
        serde_json::to_vec(&stored).expect("a struct of texts and numbers is JSON")
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, GenesisError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let unreadable = |_| GenesisError::Unreadable;
        let version: Version = serde_json::from_slice(bytes).map_err(unreadable)?;
        if version.schema != SCHEMA {
            return Err(GenesisError::Schema(version.schema));
        }
        let stored: Stored = serde_json::from_slice(bytes).map_err(unreadable)?;
        let default_asset =
            Asset::new(stored.default_asset).map_err(|_| GenesisError::Unreadable)?;
        Ok(Genesis { hash: stored.hash, origin: stored.origin, default_asset })
    }
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
        };
        let bytes = genesis.to_bytes();
        assert_eq!(Genesis::from_bytes(&bytes), Ok(genesis));
        let newer = String::from_utf8(bytes).unwrap().replace("\"schema\":1", "\"schema\":2");
        assert_eq!(Genesis::from_bytes(newer.as_bytes()), Err(GenesisError::Schema(2)));
        assert_eq!(Genesis::from_bytes(b"{}"), Err(GenesisError::Unreadable));
    }
}
