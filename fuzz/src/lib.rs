//! What the fuzz targets do with their bytes: one function a target. Each panics when a promise of
//! the parser is broken, not only when the parser itself does. `cargo test` runs the same functions
//! over `fuzz/seeds`, without a fuzzer (`tests/it/seeds.rs`).

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ron_ledger::accumulator::{
    Checkpoint, CosignerKey, HashAlgo, NoteSignature, Policy, SignedNote, Signer, Submission,
    TilePath, TlogProof, VerifierKey,
};
use ron_ledger::audit::verify_export;
use ron_ledger::capability::{
    Caveat, Context, Keyring, Macaroon, Peer, Plane, Revoked, Secret, TOKEN_LEN_MAX, Verifier,
};
use ron_ledger::client::unit::to_wire;
use ron_ledger::config::{Config, ConfigError, Loaded, Sources};
use ron_ledger::http::binary;
use ron_ledger::http::dto::{AnswerOut, RequestIn};
use ron_ledger::http::parse::{Parsed, Rules, parse, parse_binary};
use ron_ledger::ledger::encode::{ENTRY_MAX_BYTES, decode, encode};
use ron_ledger::ledger::entry::Sequenced;
use ron_ledger::ledger::idempotency::IdemDigest;
use ron_ledger::ledger::names::Asset;
use ron_ledger::ledger::reason::{Reason, Reject};

/// Of the keys behind the seeds; they are used nowhere else.
pub const SEED: [u8; 32] = [7; 32];
/// The log of the seeds.
pub const ORIGIN: &str = "ledger.example/a";
/// When the tokens of the seeds are alive, in unix milliseconds.
pub const NOW_MS: u64 = 1_700_000_000_000;
/// How far a client may be told what is wrong, in bytes.
const DETAILS_BYTES_MAX: usize = 512;
const BATCH_MAX: usize = 16;
const CONTEXT: Context = Context { plane: Plane::Api, peer: Peer::Tls };

/// The body of `POST /ingest`. What is taken is JSON to every other reader too, has as many entries,
/// and each of them has a canonical form that reads back.
pub fn ingest(body: &[u8]) {
    let asset = Asset::new("RON").expect("a fit name");
    let rules = Rules { default_asset: &asset, batch_max_entries: BATCH_MAX };
    let parsed = match parse(body, &rules) {
        Ok(parsed) => parsed,
        Err(reject) => return is_answerable(&reject),
    };
    let json: serde_json::Value = serde_json::from_slice(body).expect("JSON");
    let batch = json["batch"].as_array().expect("a batch");
    assert_eq!(batch.len(), parsed.entries.len());
    assert!((1..=BATCH_MAX).contains(&batch.len()));
    for (seq, entry) in (1..).zip(parsed.entries) {
        entry.check().expect("fields that fit the kind");
        IdemDigest::of(&entry);
        let sequenced = Sequenced { seq, linked: parsed.atomic, entry };
        assert_eq!(decode(&encode(&sequenced)), Ok(sequenced));
    }
}

/// What a client is told of a body that is not taken is short, and fit to be shown.
fn is_answerable(reject: &Reject) {
    assert!(matches!(reject.reason, Reason::UnknownKind | Reason::TooLarge));
    assert!(reject.details.len() <= DETAILS_BYTES_MAX, "{}", reject.details.len());
    assert!(!reject.details.contains(char::is_control), "{:?}", reject.details);
}

/// Whether a body is taken.
pub fn is_taken(body: &[u8]) -> bool {
    let asset = Asset::new("RON").expect("a fit name");
    parse(body, &Rules { default_asset: &asset, batch_max_entries: BATCH_MAX }).is_ok()
}

/// The body of `POST /ingest` in the binary form. What is taken is what the JSON of the same entries is,
/// and has a form that is taken for the same again.
pub fn batch(body: &[u8]) {
    let asset = Asset::new("RON").expect("a fit name");
    let rules = Rules { default_asset: &asset, batch_max_entries: BATCH_MAX };
    let parsed = match parse_binary(body, &rules) {
        Ok(parsed) => parsed,
        Err(reject) => return is_answerable(&reject),
    };
    assert!((1..=BATCH_MAX).contains(&parsed.entries.len()));
    let idem_id = parsed.entries[0].idem_id.as_ref().map(|id| id.to_string().into());
    let batch = parsed.entries.iter().map(to_wire).collect();
    let request = RequestIn { batch, idem_id, atomic: parsed.atomic };
    let json = serde_json::to_vec(&request).expect("texts and numbers");
    let again = binary::write(&request).expect("what was taken has a form");
    for read in [parse(&json, &rules), parse_binary(&again, &rules)] {
        // A client that writes with these types asks for no receipts.
        let read = read.expect("the same entries");
        assert_eq!(Parsed { receipt: parsed.receipt, ..read }, parsed);
    }
}

/// Whether a body in the binary form is taken.
pub fn is_batch(body: &[u8]) -> bool {
    let asset = Asset::new("RON").expect("a fit name");
    parse_binary(body, &Rules { default_asset: &asset, batch_max_entries: BATCH_MAX }).is_ok()
}

/// An answer in the binary form: what is taken is the one form of what it says, and says it in JSON too.
pub fn answer(bytes: &[u8]) {
    let Some(answer) = binary::answer::read(bytes) else { return };
    assert_eq!(binary::answer::write(&answer).as_deref(), Some(bytes));
    let json = serde_json::to_vec(&answer).expect("texts and numbers");
    assert_eq!(serde_json::from_slice::<AnswerOut<'_>>(&json).expect("what was written"), answer);
    assert_eq!(answer.accepted + answer.reasons.len(), answer.results.len());
}

/// The canonical form of an entry: what is taken is the one form of what it says.
pub fn canonical(bytes: &[u8]) {
    let Ok(sequenced) = decode(bytes) else { return };
    assert_eq!(encode(&sequenced), bytes);
    assert!(bytes.len() <= ENTRY_MAX_BYTES);
    sequenced.entry.check().expect("fields that fit the kind");
}

/// A token as a client sends it; then the same bytes as the binary inside of a token; then as the
/// identifier and caveats, a line each, of a chain that the keyring signs, so that what comes after
/// the signature is reached.
pub fn macaroon(bytes: &[u8]) {
    let verifier = verifier();
    if let Ok(text) = std::str::from_utf8(bytes) {
        token(verifier, text);
    }
    token(verifier, &URL_SAFE_NO_PAD.encode(bytes));
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let (_, key) = verifier.keyring().expect("it verifies by one").current();
    let chain = Macaroon::mint(key, None, lines.next().unwrap_or_default());
    let chain = lines.try_fold(chain, |chain, line| match chain {
        Ok(chain) => Some(chain.attenuate(line)),
        Err(_) => None,
    });
    let Some(Ok(chain)) = chain else { return };
    chain.verify(key).expect("the chain starts at its key");
    let Ok(text) = chain.serialize() else { return };
    token(verifier, text.expose());
    for caveat in chain.caveats() {
        if let Ok(read) = Caveat::parse(caveat) {
            assert_eq!(read.to_string().as_bytes(), caveat);
        }
    }
}

/// Whether a text is a token that is good now.
pub fn is_alive(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    verifier().verify(text, NOW_MS, &CONTEXT).is_ok()
}

/// What is verified reads back, is alive, and is dead with any other key or after its time.
fn token(verifier: &Verifier, text: &str) {
    if let Ok(macaroon) = Macaroon::parse(text) {
        assert!(text.len() <= TOKEN_LEN_MAX);
        assert!(macaroon.verify(&Secret::from([0xee; 32])).is_err());
        let again = macaroon.serialize().expect("as long as it was");
        let again = Macaroon::parse(again.expose()).expect("what was written");
        assert_eq!(again.identifier(), macaroon.identifier());
        assert!(again.caveats().eq(macaroon.caveats()));
    }
    match verifier.verify(text, NOW_MS, &CONTEXT) {
        Ok(capability) => {
            assert!(capability.expires_ms() > NOW_MS);
            let late = verifier.verify(text, capability.expires_ms(), &CONTEXT);
            assert!(late.is_err(), "a token outlives its expiry");
        }
        Err(error) => assert!(error.to_string().len() <= DETAILS_BYTES_MAX),
    }
}

fn verifier() -> &'static Verifier {
    static VERIFIER: OnceLock<Verifier> = OnceLock::new();
    VERIFIER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = folder.path().join("keys");
        Verifier::new(Keyring::create(&keys, Some(&SEED)).expect("a keyring"))
    })
}

/// A signed note with what may stand in it: checkpoint, signatures, cosignatures; and keys as texts.
pub fn note(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    if let Ok(key) = text.parse::<CosignerKey>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert!(text.starts_with(checkpoint.to_text().trim_end_matches('\n')));
    }
    if let Ok(signatures) = NoteSignature::parse_lines(text) {
        let again: String = signatures.iter().map(NoteSignature::encode).collect();
        assert_eq!(again, text);
    }
    let Ok(note) = SignedNote::parse(bytes) else { return };
    assert_eq!(note.encode().as_bytes(), bytes);
    let signer = signer();
    let keys = [signer.verifier_key().clone()];
    if note.verify(&keys).is_ok() {
        // Nobody else has the key: only what it signs verifies.
        let own = signer.sign(note.text()).expect("a text that was signed");
        assert!(note.signatures().contains(&own.signatures()[0]));
    }
    let _ = Checkpoint::open(bytes, ORIGIN, &keys);
}

fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| Signer::new(ORIGIN, &SEED).expect("a fit name"))
}

/// A witness policy, and after an empty line the note that is held against it.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (policy, note) = text.split_once("\n\n\n").unwrap_or((text, ""));
    let Ok(policy) = Policy::parse(policy) else { return };
    let Ok(note) = SignedNote::parse(note.as_bytes()) else { return };
    let all = policy.is_met(note.text(), note.signatures());
    // More signatures never break a quorum.
    for count in 0..note.signatures().len() {
        assert!(all || !policy.is_met(note.text(), &note.signatures()[..count]));
    }
    assert!(all || !policy.is_met(note.text(), &[]));
}

/// The path of a tile: one spelling, and no width or index that the numbers do not have.
pub fn tile_path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(path) = text.parse::<TilePath>() {
        assert_eq!(path.to_string(), text);
        if let TilePath::Hashes { tile, .. } = path {
            assert!(tile.width_at(u64::MAX) <= 256 && tile.width_at(0) == 0);
        }
    }
}

/// A portable proof, and the submission to a witness, which is built alike.
pub fn tlog_proof(bytes: &[u8]) {
    if let Ok(submission) = Submission::parse(bytes) {
        assert_eq!(submission.encode().as_bytes(), bytes);
    }
    let Ok(proof) = TlogProof::parse(bytes) else { return };
    assert_eq!(proof.encode().as_bytes(), bytes);
    let keys = [signer().verifier_key().clone()];
    for algo in [HashAlgo::Sha256, HashAlgo::Blake3] {
        let leaf = algo.leaf(proof.extra().unwrap_or_default());
        if let Ok(checkpoint) = proof.verify(algo, &leaf, ORIGIN, &keys) {
            assert!(proof.index() < checkpoint.size());
            let other = algo.leaf(b"something else");
            assert!(proof.verify(algo, &other, ORIGIN, &keys).is_err());
        }
    }
}

/// A configuration file; and after a line `---`, flags as `key=value`. What is understood can be
/// printed, and as flags gives the same configuration again.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (toml, flags) = text.split_once("\n---\n").unwrap_or((text, ""));
    let flag = |line: &str| line.split_once('=').map(|(key, value)| (key.into(), value.into()));
    let overrides = flags.lines().filter_map(flag).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ledger.toml");
    std::fs::write(&file, toml).expect("a file");
    let Ok(loaded) = Config::load(Sources { file: Some(file), overrides, ..Sources::default() })
    else {
        return;
    };
    let _ = loaded.config.validate();
    let _ = loaded.to_string();
    let again = reloaded(&loaded).expect("what was printed");
    assert_eq!(again.config, loaded.config);
}

fn reloaded(loaded: &Loaded) -> Result<Loaded, ConfigError> {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let flag = |setting: &ron_ledger::config::Setting| (setting.key.clone(), text(&setting.value));
    let overrides = loaded.origins().iter().map(flag).collect();
    Config::load(Sources { overrides, ..Sources::default() })
}

/// An export, verified offline: whatever is wrong with it is told in the report.
pub fn export(bytes: &[u8]) {
    is_verified(bytes);
}

/// Whether nothing is wrong with an export.
pub fn is_verified(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("export.jsonl");
    std::fs::write(&path, bytes).expect("a file");
    let report = verify_export(&path, signer().verifier_key(), &|_, _| ());
    report.expect("a file to read").verified
}

/// The list of revoked capabilities; the bytes also with the digest that they need.
pub fn revoked(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let whole = format!("{text}digest {}\n", blake3::hash(bytes));
    for text in [text, &whole] {
        if let Some(list) = Revoked::parse(text) {
            assert_eq!(Revoked::parse(&list.to_text()), Some(list));
        }
    }
}
