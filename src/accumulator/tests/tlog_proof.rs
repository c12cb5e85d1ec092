//! The text of a proof: one spelling, bounds, and no change of it that goes unseen.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

const ORIGIN: &str = "ledger.example/main";
const ALGO: HashAlgo = HashAlgo::Sha256;

fn signer(first: u8) -> Signer {
    let seed: Vec<u8> = (first..).take(32).collect();
    Signer::new(ORIGIN, &seed.try_into().unwrap()).unwrap()
}

/// The data of leaf 5, and a proof that it is among the first 40, with the data in it.
fn receipt() -> (Vec<u8>, TlogProof) {
    let (size, index) = (40, 5);
    let store = Store::filled(ALGO, size);
    let root = root_at(ALGO, size, store.load()).unwrap();
    let note = sign_checkpoint(&signer(0), &Checkpoint::new(ORIGIN, size, root).unwrap());
    let proof = inclusion(ALGO, index, size, store.load()).unwrap();
    let data = format!("entry {index}").into_bytes();
    (data.clone(), TlogProof::new(index, proof, note).with_extra(data).unwrap())
}

fn verify(proof: &TlogProof) -> Result<Checkpoint, TlogProofError> {
    let leaf = ALGO.leaf(proof.extra().unwrap_or_default());
    proof.verify(ALGO, &leaf, ORIGIN, &[signer(0).verifier_key().clone()])
}

#[test]
fn a_proof_is_written_as_the_specification_has_it() {
    let (data, proof) = receipt();
    let text = proof.encode();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
    assert_eq!(lines.next(), Some(&*format!("extra {}", STANDARD.encode(&data))));
    assert_eq!(lines.next(), Some("index 5"));
    let hashes: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    assert_eq!(hashes.len(), 6);
    assert!(hashes.iter().all(|hash| Hash::from_base64(hash).is_ok()));
    assert_eq!((lines.next(), lines.next()), (Some(ORIGIN), Some("40")));
    assert_eq!(TlogProof::parse(text.as_bytes()), Ok(proof.clone()));
    assert_eq!(verify(&proof).unwrap().size(), 40);

    // Without extra data, and of a tree of one leaf, which needs no hashes.
    let root = leaf(ALGO, 0);
    let note = sign_checkpoint(&signer(0), &Checkpoint::new(ORIGIN, 1, root).unwrap());
    let bare = TlogProof::new(0, Vec::new(), note.clone());
    assert_eq!(bare.encode(), format!("c2sp.org/tlog-proof@v1\nindex 0\n\n{}", note.encode()));
    assert_eq!(TlogProof::parse(bare.encode().as_bytes()), Ok(bare.clone()));
    assert_eq!(bare.extra(), None);
    let keys = [signer(0).verifier_key().clone()];
    assert!(bare.verify(ALGO, &root, ORIGIN, &keys).is_ok());
    let refused = |algo, leaf: &Hash, origin, keys: &[VerifierKey]| {
        bare.verify(algo, leaf, origin, keys).unwrap_err()
    };
    let proof = TlogProofError::Proof(ProofError::Mismatch);
    assert_eq!(refused(ALGO, &leaf(ALGO, 1), ORIGIN, &keys), proof);
    let origin = TlogProofError::Checkpoint(CheckpointError::OtherOrigin);
    assert_eq!(refused(ALGO, &root, "elsewhere", &keys), origin);
    let unsigned = TlogProofError::Checkpoint(CheckpointError::Note(NoteError::Unverified));
    assert_eq!(refused(ALGO, &root, ORIGIN, &[signer(9).verifier_key().clone()]), unsigned);
}

#[test]
fn both_keys_of_an_overlap_and_signatures_of_others_are_borne() {
    let (_, proof) = receipt();
    let text = proof.encode();
    let (new, old) = (signer(64), signer(0));
    let (head, note) = text.split_once("\n\n").unwrap();
    let note = new.cosign(&SignedNote::parse(note.as_bytes()).unwrap()).unwrap();
    let both = TlogProof::parse(format!("{head}\n\n{}", note.encode()).as_bytes()).unwrap();
    let leaf = ALGO.leaf(both.extra().unwrap());
    for keys in [[old.verifier_key().clone()], [new.verifier_key().clone()]] {
        assert_eq!(both.verify(ALGO, &leaf, ORIGIN, &keys).unwrap().size(), 40);
    }
    let stranger = "\u{2014} witness.example/w1 AAAAAAA=\n";
    let with_stranger = TlogProof::parse(format!("{text}{stranger}").as_bytes()).unwrap();
    assert!(verify(&with_stranger).is_ok());
    let mut full = SignedNote::parse(text.split_once("\n\n").unwrap().1.as_bytes()).unwrap();
    while full.signatures().len() < SIGNATURES_MAX {
        full = new.cosign(&full).unwrap();
    }
    assert_eq!(new.cosign(&full), Err(NoteError::TooManySignatures));
}

#[test]
fn no_flipped_bit_of_a_receipt_goes_unseen() {
    let text = receipt().1.encode().into_bytes();
    let mut random = Random(8);
    for at in 0..text.len() {
        let (bit, mut flipped) = (random.below(8), text.clone());
        flipped[at] ^= 1 << bit;
        let told = TlogProof::parse(&flipped).and_then(|proof| verify(&proof));
        assert!(told.is_err(), "bit {bit} of byte {at}");
        assert!(TlogProof::parse(&text[..at]).and_then(|proof| verify(&proof)).is_err());
    }
}

#[test]
fn changed_texts_are_refused_or_mean_the_same() {
    let (data, proof) = receipt();
    let text = proof.encode();
    let mut random = Random(5);
    for _ in 0..1_000 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(3) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes.insert(at, b"\n \xe2A=+0"[random.below(7) as usize]),
                _ => drop(bytes.remove(at)),
            }
        }
        if let Ok(parsed) = TlogProof::parse(&bytes) {
            assert_eq!(parsed.encode().as_bytes(), bytes);
            if verify(&parsed).is_ok() {
                assert_eq!((parsed.index(), parsed.extra()), (5, Some(&data[..])));
            }
        }
    }
}

#[test]
fn malformed_and_over_long_proofs_are_refused() {
    let text = receipt().1.encode();
    let check = |text: &str, error: TlogProofError| {
        assert_eq!(TlogProof::parse(text.as_bytes()), Err(error), "{text}");
    };
    let swap = |from: &str, to: &str| {
        assert!(text.contains(from));
        text.replacen(from, to, 1)
    };
    check("", TlogProofError::Header);
    check(&swap("@v1", "@v2"), TlogProofError::Header);
    check(&swap("@v1\n", "@v1\r\n"), TlogProofError::Header);
    check("c2sp.org/tlog-proof@v1\nindex 0\n", TlogProofError::Form);
    check(&swap("extra ", "extra  "), TlogProofError::Extra);
    check(&swap("extra ", "extra"), TlogProofError::Index);
    check(&swap("index 5", "index 05"), TlogProofError::Index);
    check(&swap("index 5", "index -5"), TlogProofError::Index);
    check(&swap("index 5", "index 18446744073709551616"), TlogProofError::Index);
    check(&swap("index 5\n", ""), TlogProofError::Index);
    check(&swap("index 5\n", "index 5\nx\n"), TlogProofError::Hash);
    check(&swap("index 5\n", "index 5\nindex 5\n"), TlogProofError::Hash);
    let hash = format!("{}\n", Hash::default().to_base64());
    let many = |count: usize| swap("index 5\n", &format!("index 5\n{}", hash.repeat(count)));
    assert!(TlogProof::parse(many(58).as_bytes()).is_ok());
    check(&many(59), TlogProofError::Hash);
    let length = TlogProofError::Proof(ProofError::Length);
    assert_eq!(verify(&TlogProof::parse(many(58).as_bytes()).unwrap()), Err(length));

    let (_, proof) = receipt();
    let longest = proof.clone().with_extra(vec![7; EXTRA_BYTES_MAX]).unwrap();
    assert_eq!(TlogProof::parse(longest.encode().as_bytes()), Ok(longest));
    let longer = proof.with_extra(vec![7; EXTRA_BYTES_MAX + 1]);
    assert_eq!(longer, Err(TlogProofError::TooLarge));
    let longer = format!("extra {}", STANDARD.encode([7; EXTRA_BYTES_MAX + 1]));
    let extra = text.lines().nth(1).unwrap();
    check(&swap(extra, &longer), TlogProofError::TooLarge);
    check(&"x".repeat(PROOF_BYTES_MAX + 1), TlogProofError::TooLarge);
    assert_eq!(TlogProof::parse(&[0xff]), Err(TlogProofError::Note(NoteError::NotUtf8)));
}
