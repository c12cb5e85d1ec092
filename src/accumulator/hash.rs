//! The two hashes a log can be built on, with the domain separation of RFC 6962 section 2.1:
//! 0x00 before a leaf's data, 0x01 before a node's two children, nothing for the empty tree.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

const LEAF_PREFIX: u8 = 0x00;
const NODE_PREFIX: u8 = 0x01;

/// The hash function of a log: chosen when the log is made, never changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashAlgo {
    /// SHA-256, as RFC 6962 and the public transparency logs use it.
    #[default]
    Sha256,
    /// BLAKE3 with its default 32-byte output, in the same tree.
    Blake3,
}

impl HashAlgo {
    /// The hash of one leaf's data: `H(0x00 || data)`.
    pub fn leaf(self, data: &[u8]) -> Hash {
        match self {
            HashAlgo::Sha256 => {
                Hash(Sha256::new_with_prefix([LEAF_PREFIX]).chain_update(data).finalize().into())
            }
            HashAlgo::Blake3 => {
                let mut hasher = blake3::Hasher::new();
                hasher.update(&[LEAF_PREFIX]).update(data);
                Hash(hasher.finalize().into())
            }
        }
    }

    /// The hash of an inner node: `H(0x01 || left || right)`.
    pub fn node(self, left: &Hash, right: &Hash) -> Hash {
        let mut input = [NODE_PREFIX; 65];
        input[1..33].copy_from_slice(&left.0);
        input[33..].copy_from_slice(&right.0);
        self.plain(&input)
    }

    /// The root of the tree without leaves: `H("")`.
    pub fn empty(self) -> Hash {
        self.plain(&[])
    }

    fn plain(self, input: &[u8]) -> Hash {
        match self {
            HashAlgo::Sha256 => Hash(Sha256::digest(input).into()),
            HashAlgo::Blake3 => Hash(blake3::hash(input).into()),
        }
    }
}

impl fmt::Display for HashAlgo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HashAlgo::Sha256 => "sha256",
            HashAlgo::Blake3 => "blake3",
        })
    }
}

impl FromStr for HashAlgo {
    type Err = HashParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sha256" => Ok(HashAlgo::Sha256),
            "blake3" => Ok(HashAlgo::Blake3),
            _ => Err(HashParseError::Algo),
        }
    }
}

/// A leaf hash, a node hash or a root: 32 bytes, written as 64 lower-case hex digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Standard base64 with padding: the spelling of checkpoints and proofs.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads what [`Hash::to_base64`] writes, and no other spelling of the same bytes.
    pub fn from_base64(text: &str) -> Result<Self, HashParseError> {
        let mut bytes = [0; 32];
        // 44 characters may decode to 33 bytes, which the slice is too short for.
        match STANDARD.decode_slice(text, &mut bytes) {
            Ok(32) => Ok(Hash(bytes)),
            _ => Err(HashParseError::Base64),
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).expect("32 bytes are 64 digits");
        f.write_str(std::str::from_utf8(&digits).expect("hex digits are ASCII"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = HashParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        if text.bytes().any(|b| b.is_ascii_uppercase())
            || hex::decode_to_slice(text, &mut bytes).is_err()
        {
            return Err(HashParseError::Hex);
        }
        Ok(Hash(bytes))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Why a hash, or the name of a hash function, could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashParseError {
    /// Not the name of a hash function.
    #[error("unknown hash function: want sha256 or blake3")]
    Algo,
    /// Not 64 lower-case hex digits.
    #[error("not a hash: want 64 lower-case hex digits")]
    Hex,
    /// Not the padded standard base64 of 32 bytes.
    #[error("not a hash: want the base64 of 32 bytes")]
    Base64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_tree_has_the_published_root() {
        let root = HashAlgo::Sha256.empty();
        assert_eq!(root.to_base64(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(HashAlgo::Blake3.empty().0, *blake3::hash(b"").as_bytes());
    }

    #[test]
    fn leaves_and_nodes_carry_their_prefix() {
        let (l, r) = (Hash([1; 32]), Hash([2; 32]));
        let input = [&[1][..], &l.0, &r.0].concat();
        assert_eq!(HashAlgo::Sha256.node(&l, &r).0, *Sha256::digest(&input));
        assert_eq!(HashAlgo::Blake3.node(&l, &r).0, *blake3::hash(&input).as_bytes());
        assert_eq!(HashAlgo::Sha256.leaf(b"x").0, *Sha256::digest(b"\0x"));
        assert_eq!(HashAlgo::Blake3.leaf(b"x").0, *blake3::hash(b"\0x").as_bytes());
    }

    #[test]
    fn a_hash_has_one_spelling_in_each_form() {
        let hash = HashAlgo::Sha256.leaf(b"");
        let hex = hash.to_string();
        assert_eq!(hex, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(hex.parse(), Ok(hash));
        assert_eq!(Hash::from_base64(&hash.to_base64()), Ok(hash));
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(json, format!("\"{hex}\""));
        assert_eq!(serde_json::from_str::<Hash>(&json).unwrap(), hash);

        for bad in [&hex[1..], &hex.to_uppercase(), &format!("{hex}00"), &hex.replace('6', "g"), ""]
        {
            assert_eq!(bad.parse::<Hash>(), Err(HashParseError::Hex), "{bad}");
        }
        let base64 = hash.to_base64();
        let (unpadded, long) = (base64.trim_end_matches('='), STANDARD.encode([0; 33]));
        // The last digit before the padding holds two bits that must be zero.
        let loose_bits = base64.replace("B0=", "B1=");
        assert_ne!(loose_bits, base64);
        for bad in [unpadded, &long, &loose_bits, &base64[4..], "", " "] {
            assert_eq!(Hash::from_base64(bad), Err(HashParseError::Base64), "{bad}");
        }
    }

    #[test]
    fn hash_functions_go_by_one_name_everywhere() {
        for algo in [HashAlgo::Sha256, HashAlgo::Blake3] {
            assert_eq!(algo.to_string().parse(), Ok(algo));
            assert_eq!(serde_json::to_string(&algo).unwrap(), format!("\"{algo}\""));
        }
        for bad in ["SHA256", "sha-256", "sha512", ""] {
            assert_eq!(bad.parse::<HashAlgo>(), Err(HashParseError::Algo));
        }
    }
}
