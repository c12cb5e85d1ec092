//! C2SP tlog-cosignature v1: a witness's word that, at a time, it had seen a checkpoint and every
//! earlier one that it cosigned is a beginning of it. Ed25519 over the lines
//! `cosignature/v1` and `time <unix seconds>`, then the checkpoint's text.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer as _, SigningKey};

use super::key::{KeyError, NamedKey};
use super::note::NoteSignature;

/// The signature type of timestamped Ed25519 cosignatures.
const TYPE_COSIGNATURE: u8 = 0x04;

/// The public half of a witness's key, written as `<name>+<8 hex digits of key id>+<base64>`.
#[derive(Clone, PartialEq, Eq)]
pub struct CosignerKey(NamedKey);

impl CosignerKey {
    /// The name of the witness.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// When this witness cosigned the checkpoint with this text, in Unix seconds; `None` when the
    /// signature is by another key, or does not verify.
    pub fn cosigned_at(&self, text: &str, signature: &NoteSignature) -> Option<u64> {
        let (time, bytes) = signature.bytes().split_first_chunk()?;
        let time = u64::from_be_bytes(*time);
        let holds = self.0.is_named_by(signature)
            && is_time(time)
            && self.0.verifies(&message(text, time), bytes);
        holds.then_some(time)
    }
}

impl fmt::Display for CosignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for CosignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for CosignerKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        NamedKey::parse(text, TYPE_COSIGNATURE).map(CosignerKey)
    }
}

/// Cosigns checkpoints. The key is wiped from memory on drop and never shown.
pub struct Cosigner {
    key: SigningKey,
    public: CosignerKey,
}

impl Cosigner {
    /// The witness called `name` whose Ed25519 seed (RFC 8032) is `seed`.
    ///
    /// # Errors
    /// When the name is empty, longer than 255 bytes, or holds a space, a control character or `+`.
    pub fn new(name: impl Into<String>, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let key = SigningKey::from_bytes(seed);
        let public = NamedKey::new(name.into(), TYPE_COSIGNATURE, key.verifying_key())?;
        Ok(Cosigner { key, public: CosignerKey(public) })
    }

    /// The public half.
    pub fn cosigner_key(&self) -> &CosignerKey {
        &self.public
    }

    /// Cosigns the text of a checkpoint at a time in Unix seconds; `None` for a time that cannot be
    /// written, which is 0 and all beyond 2^63 - 1. That nothing inconsistent with an earlier one is
    /// cosigned is the caller's duty.
    pub fn cosign(&self, text: &str, unix_seconds: u64) -> Option<NoteSignature> {
        if !is_time(unix_seconds) {
            return None;
        }
        let signature = self.key.sign(message(text, unix_seconds).as_bytes()).to_bytes();
        let bytes = [&unix_seconds.to_be_bytes()[..], &signature].concat();
        Some(NoteSignature::new(self.public.name().to_owned(), self.public.0.id(), bytes))
    }
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cosigner").field("public", &self.public).finish_non_exhaustive()
    }
}

fn is_time(unix_seconds: u64) -> bool {
    unix_seconds != 0 && i64::try_from(unix_seconds).is_ok()
}

fn message(text: &str, unix_seconds: u64) -> String {
    format!("cosignature/v1\ntime {unix_seconds}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accumulator::{Hash, SignedNote};

    const TEXT: &str = "ledger.example/main\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n";
    const VKEY: &str = "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X";
    const LINE: &str = "\u{2014} witness.example/w1 IDJKvgAAAABlU/EAbHRmKaU5VLBKAQva/byNRDGKyPHepCB5H/IIuDa1RU2JeHWL1XCpKkc2HqQojOtz/raXv65OnNDfr5lGV067Aw==\n";

    fn witness() -> Cosigner {
        let seed: Vec<u8> = (0x20..=0x3f).collect();
        Cosigner::new("witness.example/w1", &seed.try_into().unwrap()).unwrap()
    }

    #[test]
    fn the_vector_is_made_and_verified_byte_for_byte() {
        let witness = witness();
        assert_eq!(witness.cosigner_key().to_string(), VKEY);
        assert_eq!(VKEY.parse::<CosignerKey>().unwrap(), *witness.cosigner_key());
        let made = witness.cosign(TEXT, 1_700_000_000).unwrap();
        assert_eq!(made.encode(), LINE);
        let read = NoteSignature::parse_lines(LINE).unwrap();
        assert_eq!(read, [made]);
        assert_eq!(witness.cosigner_key().cosigned_at(TEXT, &read[0]), Some(1_700_000_000));
    }

    #[test]
    fn another_text_time_name_or_key_does_not_verify() {
        let witness = witness();
        let good = witness.cosign(TEXT, 1_700_000_000).unwrap();
        let other = TEXT.replace("\n8\n", "\n9\n");
        assert_eq!(witness.cosigner_key().cosigned_at(&other, &good), None);
        for at in 0..good.bytes().len() {
            let mut bytes = good.bytes().to_vec();
            bytes[at] ^= 1;
            let bad = NoteSignature::new(good.name().into(), good.key_id(), bytes);
            assert_eq!(witness.cosigner_key().cosigned_at(TEXT, &bad), None, "byte {at}");
        }
        let stranger = Cosigner::new("witness.example/w2", &[9; 32]).unwrap();
        assert_eq!(stranger.cosigner_key().cosigned_at(TEXT, &good), None);
        for time in [0, 1 << 63, u64::MAX] {
            assert_eq!(witness.cosign(TEXT, time), None);
        }
    }

    #[test]
    fn a_key_of_a_log_is_no_key_of_a_witness_nor_the_other_way_round() {
        use crate::accumulator::{Checkpoint, KeyError, Signer, VerifierKey, sign_checkpoint};
        let signer = Signer::new("witness.example/w1", &[3; 32]).unwrap();
        let wrong = signer.verifier_key().to_string().parse::<CosignerKey>().unwrap_err();
        assert_eq!(wrong, KeyError::Type { found: 1, wanted: 4 });
        assert_eq!(VKEY.parse::<VerifierKey>(), Err(KeyError::Type { found: 4, wanted: 1 }));
        // And what a witness appends does not disturb those who do not know it.
        let checkpoint = Checkpoint::new("witness.example/w1", 1, Hash([1; 32])).unwrap();
        let note = sign_checkpoint(&signer, &checkpoint);
        let cosignature = witness().cosign(note.text(), 1_700_000_000).unwrap();
        let note: SignedNote = note.with([cosignature]).unwrap();
        let read = SignedNote::parse(note.encode().as_bytes()).unwrap();
        assert_eq!(read.verify(&[signer.verifier_key().clone()]).unwrap().signatures.len(), 1);
        assert_eq!(read.signatures().len(), 2);
    }
}
