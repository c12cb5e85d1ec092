//! The canonical form against the files in `tests/vectors/entry`, which other implementations can
//! be tested with too: fields to bytes, bytes to fields, hashes, and bytes that must be refused.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::ledger::encode::{DecodeError, decode, encode};
use crate::ledger::entry::{Amount, Entry, EntryId, Kind, Sequenced};
use crate::ledger::expire::expire_id;
use crate::ledger::idempotency::IdemDigest;
use crate::ledger::names::{AccountId, Asset, IdemId, KeyName};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    #[serde(rename = "what")]
    _what: String,
    seq: String,
    linked: bool,
    entry: Fields,
    bytes: String,
    leaf_sha256: String,
    leaf_blake3: String,
    idempotency: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    id: String,
    ts: String,
    kind: String,
    account: String,
    asset: String,
    amount: String,
    nonce: String,
    kid: String,
    capability: String,
    counterparty: Option<String>,
    reference: Option<String>,
    expires_at: Option<String>,
    keep_open: bool,
    idem_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    why: String,
    fault: String,
    bytes: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// All vectors of a folder, by the name of their file.
fn read<T: DeserializeOwned>(folder: PathBuf) -> Vec<(String, T)> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some()).collect();
    files.sort();
    let parse = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}")))
    };
    files.into_iter().map(parse).collect()
}

fn sequenced(vector: &Vector) -> Sequenced {
    let fields = &vector.entry;
    let account = |name: &String| AccountId::new(name.as_str()).unwrap();
    let entry = Entry {
        id: EntryId::parse(&fields.id).unwrap(),
        ts: fields.ts.parse().unwrap(),
        kind: *Kind::ALL.iter().find(|kind| kind.as_str() == fields.kind).unwrap(),
        account: account(&fields.account),
        asset: Asset::new(fields.asset.as_str()).unwrap(),
        amount: Amount::new(fields.amount.parse().unwrap()).unwrap(),
        nonce: hex::decode(&fields.nonce).unwrap().try_into().unwrap(),
        kid: KeyName::new(fields.kid.as_str()).unwrap(),
        capability: KeyName::new(fields.capability.as_str()).unwrap(),
        counterparty: fields.counterparty.as_ref().map(account),
        reference: fields.reference.as_ref().map(|id| EntryId::parse(id).unwrap()),
        expires_at: fields.expires_at.as_ref().map(|at| at.parse().unwrap()),
        keep_open: fields.keep_open,
        idem_id: fields.idem_id.as_ref().map(|id| IdemId::new(id.as_str()).unwrap()),
    };
    Sequenced { seq: vector.seq.parse().unwrap(), linked: vector.linked, entry }
}

#[test]
fn each_vector_has_its_bytes_and_its_bytes_have_its_fields() {
    for (name, vector) in read::<Vector>(folder().join("entry")) {
        let expected = sequenced(&vector);
        let bytes = encode(&expected);
        assert_eq!(hex::encode(&bytes), vector.bytes, "{name}");
        assert_eq!(decode(&hex::decode(&vector.bytes).unwrap()), Ok(expected), "{name}");
        let leaf = [&[0][..], &bytes].concat();
        assert_eq!(hex::encode(Sha256::digest(&leaf)), vector.leaf_sha256, "{name}");
        assert_eq!(blake3::hash(&leaf).to_hex().as_str(), vector.leaf_blake3, "{name}");
    }
}

#[test]
fn each_vector_has_its_idempotency_digest_and_each_expire_its_derived_id() {
    for (name, vector) in read::<Vector>(folder().join("entry")) {
        let entry = sequenced(&vector).entry;
        match vector.idempotency {
            Some(digest) => assert_eq!(hex::encode(IdemDigest::of(&entry).0), digest, "{name}"),
            None => assert_eq!(entry.id, expire_id(entry.reference.unwrap()), "{name}"),
        }
        assert_eq!(entry.kind == Kind::Expire, entry.id.is_ledgers_own(), "{name}");
    }
}

fn fault(error: DecodeError) -> &'static str {
    match error {
        DecodeError::Short => "short",
        DecodeError::Trailing => "trailing",
        DecodeError::Version(_) => "version",
        DecodeError::Flags(_) => "flags",
        DecodeError::Kind(_) => "kind",
        DecodeError::Amount => "amount",
        DecodeError::Name(_) => "name",
        DecodeError::Seq => "seq",
        DecodeError::Field(_) => "field",
    }
}

const FAULTS: [&str; 9] =
    ["short", "trailing", "version", "flags", "kind", "amount", "name", "seq", "field"];

#[test]
fn each_refused_form_is_refused_for_its_fault() {
    for (name, Refused { why, fault: expected, bytes }) in read(folder().join("entry/refused")) {
        let error = decode(&hex::decode(bytes).unwrap()).expect_err(&name);
        assert_eq!(fault(error), expected, "{name}: {why}");
    }
}

#[test]
fn the_vectors_cover_each_kind_each_option_and_each_fault() {
    let vectors = read::<Vector>(folder().join("entry"));
    let any = |has: &dyn Fn(&Vector) -> bool| vectors.iter().any(|(_, vector)| has(vector));
    for kind in Kind::ALL {
        assert!(any(&|vector| vector.entry.kind == kind.as_str()), "{kind:?}");
    }
    for on in [true, false] {
        assert!(any(&|vector| vector.linked == on));
        assert!(any(&|vector| vector.entry.keep_open == on));
        assert!(any(&|vector| vector.entry.counterparty.is_some() == on));
        assert!(any(&|vector| vector.entry.reference.is_some() == on));
        assert!(any(&|vector| vector.entry.expires_at.is_some() == on));
        assert!(any(&|vector| vector.entry.idem_id.is_some() == on));
    }
    let refused = read::<Refused>(folder().join("entry/refused"));
    for fault in FAULTS {
        assert!(refused.iter().any(|(_, vector)| vector.fault == fault), "{fault}");
    }
}

/// `check.py` knows the text of `docs/INTEROP.md` and nothing of this crate.
#[test]
fn an_independent_encoder_agrees_where_python_is_installed() {
    let mut python = Command::new("python3");
    match python.args(["-B", "check.py"]).current_dir(folder()).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("no python3 here: not checked");
        }
        Err(error) => panic!("python3 does not run: {error}"),
    }
}
