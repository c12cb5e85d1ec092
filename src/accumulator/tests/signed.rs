//! Keys, notes and checkpoints: the published vectors, and every rule by which one is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::*;

const EXAMPLE: &str = include_str!("../../../tests/vectors/tlog/example.note");
const EXAMPLE_KEY: &str = include_str!("../../../tests/vectors/tlog/example.vkey");
const LEDGER: &str = include_str!("../../../tests/vectors/tlog/ledger.note");
const LEDGER_KEY: &str = include_str!("../../../tests/vectors/tlog/ledger.vkey");

fn key(vkey: &str) -> VerifierKey {
    vkey.trim_end().parse().unwrap()
}

fn signer(name: &str, first: u8) -> Signer {
    let seed: Vec<u8> = (first..).take(32).collect();
    Signer::new(name, &seed.try_into().unwrap()).unwrap()
}

/// The signature lines of a note.
fn lines(note: &str) -> &str {
    note.rsplit_once("\n\n").unwrap().1
}

fn verify(note: &str, keys: &[VerifierKey]) -> Result<usize, NoteError> {
    SignedNote::parse(note.as_bytes())?.verify(keys).map(|verified| verified.signatures.len())
}

#[test]
fn the_published_note_verifies() {
    let key = key(EXAMPLE_KEY);
    assert_eq!(key.to_string(), EXAMPLE_KEY.trim_end());
    assert_eq!((key.name(), key.id()), ("example.com/foo", 0x530d_903a));
    let note = SignedNote::parse(EXAMPLE.as_bytes()).unwrap();
    assert_eq!(note.encode(), EXAMPLE);
    let verified = note.verify(&[key]).unwrap();
    assert_eq!(verified.text, "This is an example message.\n");
    assert_eq!(verified.signatures, note.signatures().iter().collect::<Vec<_>>());
    assert_eq!(note.signatures()[0].bytes().len(), 64);
}

#[test]
fn the_ledger_vector_is_signed_byte_for_byte() {
    let signer = signer("ledger.example/main", 0);
    assert_eq!(signer.verifier_key().to_string(), LEDGER_KEY.trim_end());
    let root = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328";
    let checkpoint = Checkpoint::new("ledger.example/main", 8, root.parse().unwrap()).unwrap();
    let note = sign_checkpoint(&signer, &checkpoint).encode();
    assert_eq!(note, LEDGER);
    assert_eq!(note.len(), 185);
    let digest = "ec3a392976cb6cfe8f79cffc75158ba02c7cf3e6508710064b3349ca8fc758b0";
    assert_eq!(hex::encode(Sha256::digest(&note)), digest);

    let keys = [signer.verifier_key().clone()];
    let open = |origin| Checkpoint::open(note.as_bytes(), origin, &keys);
    assert_eq!(open("ledger.example/main"), Ok(checkpoint));
    assert_eq!(open("ledger.example/other"), Err(CheckpointError::OtherOrigin));
    assert_eq!(
        Checkpoint::open(note.as_bytes(), "ledger.example/main", &[key(EXAMPLE_KEY)]),
        Err(CheckpointError::Note(NoteError::Unverified))
    );
}

#[test]
fn unknown_keys_are_ignored_and_known_ones_must_hold() {
    let (a, b) = (signer("a", 0), signer("b", 32));
    let [key_a, key_b] = [&a, &b].map(|s| s.verifier_key().clone());
    let text = "hello\n\nworld\n";
    let [by_a, by_b] = [&a, &b].map(|s| s.sign(text).unwrap().encode());
    let both = format!("{by_a}{}", lines(&by_b));

    assert_eq!(verify(&both, &[key_a.clone(), key_b.clone()]), Ok(2));
    assert_eq!(verify(&both, std::slice::from_ref(&key_b)), Ok(1));
    assert_eq!(verify(&by_a, std::slice::from_ref(&key_b)), Err(NoteError::Unverified));
    assert_eq!(verify(&by_a, &[]), Err(NoteError::Unverified));
    let twice = format!("{by_a}{}", lines(&by_a));
    assert_eq!(verify(&twice, std::slice::from_ref(&key_a)), Ok(1), "one key counts once");

    // A line in b's name and id over another text.
    let other = b.sign("other\n").unwrap().encode();
    let forged = format!("{by_a}{}", lines(&other));
    assert_eq!(verify(&forged, std::slice::from_ref(&key_a)), Ok(1), "unknown to this reader");
    assert_eq!(verify(&forged, &[key_a.clone(), key_b.clone()]), Err(NoteError::BadSignature));

    // The id of b under the name of a, and the other way round: neither is a known key.
    let renamed = by_b.replace("\u{2014} b ", "\u{2014} a ");
    assert_eq!(verify(&renamed, &[key_a.clone(), key_b]), Err(NoteError::Unverified));
    let blob = [&key_a.id().to_be_bytes()[..], &[0; 63]].concat();
    let short = format!("hello\n\n\u{2014} a {}\n", STANDARD.encode(blob));
    assert_eq!(verify(&short, &[key_a]), Err(NoteError::BadSignature));
}

#[test]
fn the_text_ends_at_the_last_empty_line() {
    let signer = signer("a", 0);
    for text in ["\n", "\n\n\n", "x\n\n", "x\n\n\u{2014} a AAAAAAA=\n", "caf\u{e9}\n"] {
        let note = signer.sign(text).unwrap().encode();
        let parsed = SignedNote::parse(note.as_bytes()).unwrap();
        assert_eq!(parsed.verify(&[signer.verifier_key().clone()]).unwrap().text, text);
        assert_eq!(parsed.encode(), note);
    }
    for (text, error) in [
        ("", NoteError::NoLineEnd),
        ("x", NoteError::NoLineEnd),
        ("x\r\n", NoteError::ControlByte),
        ("x\0\n", NoteError::ControlByte),
        ("\t\n", NoteError::ControlByte),
    ] {
        assert_eq!(signer.sign(text), Err(error), "{text:?}");
    }
}

#[test]
fn malformed_notes_are_refused() {
    let line = "\u{2014} a AAAAAAA=\n";
    assert!(SignedNote::parse(format!("x\n\n{line}").as_bytes()).is_ok());
    let check = |note: &[u8], error| assert_eq!(SignedNote::parse(note), Err(error));
    check(b"", NoteError::NoSignature);
    check(b"x\n", NoteError::NoSignature);
    check(b"x\n\n", NoteError::NoSignature);
    check(format!("x\n{line}").as_bytes(), NoteError::NoSignature);
    check(format!("x\n\n{}", line.trim_end()).as_bytes(), NoteError::NoLineEnd);
    check(format!("x\r\n\n{line}").as_bytes(), NoteError::ControlByte);
    check(b"\xff\n\n", NoteError::NotUtf8);
    for bad in [
        "- a AAAAAAA=",
        "\u{2014}a AAAAAAA=",
        "\u{2014}  AAAAAAA=",
        "\u{2014} a",
        "\u{2014} a ",
        "\u{2014} a AAAAAAA",
        "\u{2014} a AAAAAAB=",
        "\u{2014} a AAAAAA==",
        "\u{2014} a AAAA AAA=",
        "\u{2014} a AAAAAAA= ",
        "\u{2014} a+b AAAAAAA=",
        "\u{2014} a\u{a0}b AAAAAAA=",
        "x",
    ] {
        check(format!("x\n\n{bad}\n").as_bytes(), NoteError::BadLine);
        check(format!("x\n\n{line}{bad}\n{line}").as_bytes(), NoteError::BadLine);
    }
}

#[test]
fn notes_are_bounded() {
    let signer = signer("a", 0);
    let keys = [signer.verifier_key().clone()];
    let note = signer.sign("x\n").unwrap().encode();
    let times = |n| format!("{note}{}", lines(&note).repeat(n - 1));
    assert_eq!(verify(&times(SIGNATURES_MAX), &keys), Ok(1));
    assert_eq!(verify(&times(SIGNATURES_MAX + 1), &keys), Err(NoteError::TooManySignatures));

    let room = NOTE_BYTES_MAX - (note.len() - "x\n".len());
    let text = |n: usize| format!("{}\n", "x".repeat(n - 1));
    let longest = signer.sign(&text(room)).unwrap().encode();
    assert_eq!(longest.len(), NOTE_BYTES_MAX);
    assert_eq!(verify(&longest, &keys), Ok(1));
    assert_eq!(signer.sign(&text(room + 1)), Err(NoteError::TooLarge));
    assert_eq!(verify(&format!("x{longest}"), &keys), Err(NoteError::TooLarge));
}

#[test]
fn mutated_notes_neither_verify_nor_panic() {
    let keys = [key(LEDGER_KEY)];
    let mut random = Random(3);
    for i in 0..LEDGER.len() {
        let mut note = LEDGER.as_bytes().to_vec();
        note[i] ^= 1 << random.below(8);
        assert!(Checkpoint::open(&note, "ledger.example/main", &keys).is_err(), "byte {i}");
        assert!(Checkpoint::open(&LEDGER.as_bytes()[..i], "ledger.example/main", &keys).is_err());
    }
    for _ in 0..600 {
        let mut note = LEDGER.as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(note.len() as u64) as usize;
            match random.below(3) {
                0 => note[at] = random.below(256) as u8,
                1 => note.insert(at, b"\n \xe2A=+0"[random.below(7) as usize]),
                _ => drop(note.remove(at)),
            }
        }
        if let Ok(parsed) = SignedNote::parse(&note) {
            assert_eq!(parsed.encode().as_bytes(), note);
            if let Ok(verified) = parsed.verify(&keys) {
                assert!(LEDGER.starts_with(verified.text));
            }
        }
        let _ = Checkpoint::parse(&String::from_utf8_lossy(&note));
        let _ = String::from_utf8_lossy(&note).parse::<VerifierKey>();
    }
}

#[test]
fn keys_have_one_name_id_and_type() {
    let blob = |kind: u8, key: &[u8]| STANDARD.encode([&[kind][..], key].concat());
    let (good, name) = (EXAMPLE_KEY.trim_end(), "example.com/foo");
    let point = &STANDARD.decode(good.rsplit('+').next().unwrap()).unwrap()[1..];
    assert!(format!("{name}+530d903a+{}", blob(1, point)).parse::<VerifierKey>().is_ok());
    for (bad, error) in [
        (String::new(), KeyError::Form),
        (name.to_owned(), KeyError::Form),
        (format!("{name}+530d903a"), KeyError::Form),
        (format!("{name}+530d903a+"), KeyError::Form),
        (format!("{name}+530d903+{}", blob(1, point)), KeyError::Form),
        (format!("{name}+0530d903a+{}", blob(1, point)), KeyError::Form),
        (format!("{good}\n"), KeyError::Form),
        (format!("{name}+530d903b+{}", blob(1, point)), KeyError::Id),
        (format!("example.com/bar+530d903a+{}", blob(1, point)), KeyError::Id),
        (format!("{name}+530d903a+{}", blob(2, point)), KeyError::Type { found: 2, wanted: 1 }),
        (format!("{name}+530d903a+{}", blob(1, &point[1..])), KeyError::Point),
        // The neutral element, which "signs" everything.
        (format!("{name}+530d903a+{}", blob(1, &[&[1][..], &[0; 31]].concat())), KeyError::Point),
        (format!("+530d903a+{}", blob(1, point)), KeyError::Name),
        (format!("a b+530d903a+{}", blob(1, point)), KeyError::Name),
    ] {
        assert_eq!(bad.parse::<VerifierKey>(), Err(error), "{bad}");
    }
    for bad in ["", "a b", "a+b", "a\nb", "a\u{7f}", "\u{3000}", &"a".repeat(256)] {
        assert_eq!(Signer::new(bad, &[1; 32]).err(), Some(KeyError::Name), "{bad:?}");
    }
    assert!(Signer::new("a".repeat(255), &[1; 32]).is_ok());
}

#[test]
fn debug_shows_neither_keys_nor_signatures() {
    let seed = [0x5a; 32];
    let signer = Signer::new("a", &seed).unwrap();
    let note = signer.sign("x\n").unwrap();
    let shown = format!("{signer:?} {note:?} {:?}", note.verify(&[signer.verifier_key().clone()]));
    assert!(shown.contains(&format!("a+{:08x}", signer.verifier_key().id())));
    let signature = note.signatures()[0].bytes();
    for secret in [&seed[..], &signature[..8]] {
        let list: Vec<String> = secret[..4].iter().map(u8::to_string).collect();
        for form in [hex::encode(secret), STANDARD.encode(secret), list.join(", ")] {
            assert!(!shown.contains(form.trim_end_matches('=')), "{shown}");
        }
    }
}

#[test]
fn checkpoints_have_one_spelling() {
    let root = HashAlgo::Sha256.empty();
    let hash = root.to_base64();
    for (origin, size) in [("ledger.example/main", 0), ("go.sum database tree", u64::MAX)] {
        let checkpoint = Checkpoint::new(origin, size, root).unwrap();
        assert_eq!(checkpoint.to_text(), format!("{origin}\n{size}\n{hash}\n"));
        assert_eq!(Checkpoint::parse(&checkpoint.to_text()), Ok(checkpoint.clone()));
        let extended = format!("{}an extension\nanother\n", checkpoint.to_text());
        assert_eq!(Checkpoint::parse(&extended), Ok(checkpoint));
    }
    for (bad, error) in [
        (String::new(), CheckpointError::Form),
        (format!("a\n1\n{hash}"), CheckpointError::Form),
        ("a\n1\n".to_owned(), CheckpointError::Form),
        (format!("a\n1\n{hash}\n\n"), CheckpointError::Form),
        (format!("a\n1\n{hash}\n\nx\n"), CheckpointError::Form),
        (format!("a\n1\n{}\n", "x".repeat(NOTE_BYTES_MAX)), CheckpointError::Form),
        (format!("\n1\n{hash}\n"), CheckpointError::Origin),
        (format!("a\r\n1\n{hash}\n"), CheckpointError::Origin),
        (format!("{}\n1\n{hash}\n", "a".repeat(256)), CheckpointError::Origin),
        (format!("a\n\n{hash}\n"), CheckpointError::Size),
        (format!("a\n01\n{hash}\n"), CheckpointError::Size),
        (format!("a\n00\n{hash}\n"), CheckpointError::Size),
        (format!("a\n+1\n{hash}\n"), CheckpointError::Size),
        (format!("a\n-1\n{hash}\n"), CheckpointError::Size),
        (format!("a\n1 \n{hash}\n"), CheckpointError::Size),
        (format!("a\n18446744073709551616\n{hash}\n"), CheckpointError::Size),
        (format!("a\n1\n{hash} \n"), CheckpointError::Root),
        (format!("a\n1\n{}\n", &hash[4..]), CheckpointError::Root),
        (format!("a\n1\n{}\n", hash.trim_end_matches('=')), CheckpointError::Root),
    ] {
        assert_eq!(Checkpoint::parse(&bad), Err(error), "{bad:?}");
    }
    assert_eq!(Checkpoint::new("a\nb", 1, root), Err(CheckpointError::Origin));
}
