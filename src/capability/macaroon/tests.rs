//! The binary format against tokens that pymacaroons made, its limits, and hostile tokens.

use super::*;

/// By pymacaroons 0.13: root key 00 01 .. 1f, location `https://ledger.example`, identifier
/// `1:root-1:tenant-7`, and the caveats of [`CAVEATS`].
const PYMACAROONS_V2: &str = "AgEWaHR0cHM6Ly9sZWRnZXIuZXhhbXBsZQIRMTpyb290LTE6dGVuYW50LTcAAhxhY3Rp\
    b24gaW4gbWludCxidXJuLHRyYW5zZmVyAAIYZXhwaXJlcyA8PSAxNzY3MjI1NjAwMDAwAAIcYWNjb3VudCBwcmVmaXggYW\
    NjdDp0ZW5hbnQ3LwACEWFtb3VudCA8PSAxMDAwMDAwAAIQYXNzZXQgaW4gVVNELEVVUgAABiDCq2zyIPQCIJzIUneaDV30\
    jsGzrpE5Ul-gUKGNhFPMsg";
const CAVEATS: [&str; 5] = [
    "action in mint,burn,transfer",
    "expires <= 1767225600000",
    "account prefix acct:tenant7/",
    "amount <= 1000000",
    "asset in USD,EUR",
];
/// As [`PYMACAROONS_V2`] with `action in mint` as its only caveat, in V1.
const PYMACAROONS_V1: &str = "MDAyNGxvY2F0aW9uIGh0dHBzOi8vbGVkZ2VyLmV4YW1wbGUKMDAyMWlkZW50aWZpZXIg\
    MTpyb290LTE6dGVuYW50LTcKMDAxN2NpZCBhY3Rpb24gaW4gbWludAowMDJmc2lnbmF0dXJlIPu8L8pzoIyz5S8YPUiIb3\
    xZgR8eWlWjnDj2mIkR0Xh0Cg";
/// `action in mint` alone and no location, in V2: pymacaroons verifies it.
const WITHOUT_LOCATION: &str = "AgIRMTpyb290LTE6dGVuYW50LTcAAg5hY3Rpb24gaW4gbWludAAABiD7vC_Kc6CMs-\
    UvGD1IiG98WYEfHlpVo5w49piJEdF4dA";
/// As [`PYMACAROONS_V2`] with its first two caveats and one of a third party.
const PYMACAROONS_THIRD_PARTY: &str = "AgEWaHR0cHM6Ly9sZWRnZXIuZXhhbXBsZQIRMTpyb290LTE6dGVuYW50LTcA\
    AhxhY3Rpb24gaW4gbWludCxidXJuLHRyYW5zZmVyAAIYZXhwaXJlcyA8PSAxNzY3MjI1NjAwMDAwAAEVaHR0cHM6Ly9vdG\
    hlci5leGFtcGxlAgV0aGlyZARI_efVMFxGAtfSCe9_0TWswGxGfei1zuMBFpO_bRpdtYaIjQKgk4Dk1-21I_OCxkZH0rq9\
    NU_gZ-FoW25jJPB7DgOpVXzvN3BzAAAGIAavGga-51NLoVUo8lw6fZaxQOioDQNlw4NOY4tni1Ec";

fn root_key() -> Secret {
    Secret::from(std::array::from_fn(|i| i as u8))
}

fn minted(location: Option<&str>, caveats: &[&str]) -> Macaroon {
    let macaroon = Macaroon::mint(&root_key(), location, b"1:root-1:tenant-7").unwrap();
    caveats.iter().fold(macaroon, |m, caveat| m.attenuate(caveat.as_bytes()).unwrap())
}

fn text(bytes: &[u8]) -> String {
    BASE64URL.encode(bytes)
}

fn binary(macaroon: &Macaroon) -> Vec<u8> {
    BASE64URL.decode(macaroon.serialize().unwrap().expose()).unwrap()
}

#[test]
fn a_token_of_another_library_verifies_and_is_reproduced_byte_for_byte() {
    let theirs = Macaroon::parse(PYMACAROONS_V2).unwrap();
    assert_eq!(theirs.verify(&root_key()), Ok(()));
    assert_eq!(theirs.identifier(), b"1:root-1:tenant-7");
    assert!(theirs.caveats().eq(CAVEATS.map(str::as_bytes)));
    assert_eq!(theirs.serialize().unwrap().expose(), PYMACAROONS_V2);
    let ours = minted(Some("https://ledger.example"), &CAVEATS);
    assert_eq!(ours.serialize().unwrap().expose(), PYMACAROONS_V2);
    let ours = minted(None, &["action in mint"]);
    assert_eq!(ours.serialize().unwrap().expose(), WITHOUT_LOCATION);
}

#[test]
fn other_formats_and_third_parties_are_refused() {
    let refused = [
        (PYMACAROONS_V1, MacaroonError::Version),
        ("", MacaroonError::Version),
        ("eyJ2IjoyfQ", MacaroonError::Version),
        ("{\"v\":2}", MacaroonError::NotBase64url),
        ("AgI/", MacaroonError::NotBase64url),
        (PYMACAROONS_THIRD_PARTY, MacaroonError::ThirdPartyCaveat),
    ];
    for (token, error) in refused {
        assert_eq!(Macaroon::parse(token).unwrap_err(), error, "{token:?}");
    }
}

#[test]
fn round_trip_keeps_every_field_with_and_without_padding() {
    let longest = "x".repeat(FIELD_LEN_MAX);
    for caveats in [vec![], vec![""], vec!["a b c"], vec!["a b c", &longest, "d"]] {
        for location in [None, Some(""), Some("here")] {
            let macaroon = minted(location, &caveats);
            let token = macaroon.serialize().unwrap();
            let padding = "=".repeat((4 - token.expose().len() % 4) % 4);
            for token in [token.expose().to_owned(), format!("{}{padding}", token.expose())] {
                let read = Macaroon::parse(&token).unwrap();
                assert_eq!(read.verify(&root_key()), Ok(()));
                assert_eq!(binary(&read), binary(&macaroon));
            }
        }
    }
}

#[test]
fn another_root_key_does_not_verify() {
    for other in [[0; 32], *hmac(KEY_GENERATOR, root_key().expose())] {
        assert_eq!(minted(None, &CAVEATS).verify(&Secret::from(other)), Err(BadSignature));
    }
}

#[test]
fn caveats_cannot_be_taken_away_changed_or_reordered() {
    let changes: [fn(&mut Macaroon); 5] = [
        |m| drop(m.caveats.pop()),
        |m| drop(m.caveats.remove(0)),
        |m| m.caveats.swap(0, 1),
        |m| m.caveats[3] = b"amount <= 9000000".to_vec(),
        |m| m.identifier = b"1:root-1:tenant-8".to_vec(),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut macaroon = minted(None, &CAVEATS);
        change(&mut macaroon);
        assert_eq!(macaroon.verify(&root_key()), Err(BadSignature), "change {i}");
    }
}

#[test]
fn limits_hold_when_writing() {
    let too_long = vec![b'x'; FIELD_LEN_MAX + 1];
    let field = |what| Some(MacaroonError::FieldTooLong(what));
    assert_eq!(minted(None, &[]).attenuate(&too_long).err(), field("caveat"));
    assert_eq!(Macaroon::mint(&root_key(), None, &too_long).err(), field("identifier"));
    let location = std::str::from_utf8(&too_long).unwrap();
    assert_eq!(Macaroon::mint(&root_key(), Some(location), b"").err(), field("location"));
    let full = minted(None, &["a"; CAVEATS_MAX]);
    assert_eq!(full.attenuate(b"a").err(), Some(MacaroonError::TooManyCaveats));
    let long = "x".repeat(FIELD_LEN_MAX);
    let fat = minted(None, &[long.as_str(); 12]);
    assert_eq!(fat.serialize().unwrap_err(), MacaroonError::TooLong);
}

#[test]
fn limits_hold_when_reading() {
    let padded = "A".repeat(TOKEN_LEN_MAX + 1);
    assert_eq!(Macaroon::parse(&padded).unwrap_err(), MacaroonError::TooLong);

    // Type 2 and a length of 257, then of 2^21, which a third length byte would hold.
    for len in [&[0x81, 0x02][..], &[0x80, 0x80, 0x80, 0x01]] {
        let token = text(&[&[2, 2], len, &[b'x'; 257]].concat());
        assert_eq!(Macaroon::parse(&token).unwrap_err(), MacaroonError::FieldTooLong("identifier"));
    }

    let mut many = vec![2, 2, 1, b'i', 0];
    many.extend([2, 1, b'c', 0].repeat(CAVEATS_MAX + 1));
    many.extend([&[0, 6, 32][..], &[0; 32]].concat());
    assert_eq!(Macaroon::parse(&text(&many)).unwrap_err(), MacaroonError::TooManyCaveats);

    let not_minimal = [&[2, 2, 0x81, 0, b'i', 0, 0, 6, 32][..], &[0; 32]].concat();
    assert_eq!(
        Macaroon::parse(&text(&not_minimal)).unwrap_err(),
        MacaroonError::Malformed("identifier")
    );

    let mut trailing = binary(&minted(None, &CAVEATS));
    trailing.push(0);
    assert_eq!(Macaroon::parse(&text(&trailing)).unwrap_err(), MacaroonError::TrailingBytes);
}

#[test]
fn every_cut_is_refused() {
    let whole = binary(&minted(Some("here"), &CAVEATS));
    for len in 0..whole.len() {
        assert!(Macaroon::parse(&text(&whole[..len])).is_err(), "cut at {len}");
    }
}

#[test]
fn debug_shows_no_signature() {
    let macaroon = minted(None, &CAVEATS);
    let shown = format!("{macaroon:?}");
    assert_eq!(shown, "Macaroon { identifier: 1:root-1:tenant-7, caveats: 5, .. }");
}

/// A xorshift generator: the same mutants on every run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, alphabet: &[u8]) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let byte = alphabet[self.below(alphabet.len())];
            match self.below(5) {
                0 => bytes.insert(at, byte),
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                2 if at > 0 => bytes.truncate(at),
                _ => bytes[at] = byte,
            }
        }
    }
}

/// The token has no location, which the signature would not cover.
#[test]
fn mutated_tokens_never_verify() {
    let macaroon = minted(None, &CAVEATS);
    let (token, whole) = (macaroon.serialize().unwrap(), binary(&macaroon));
    let characters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ ";
    let every_byte: Vec<u8> = (0..=255).collect();
    let key = root_key();
    let mut seeded = Seeded(0x5eed_1ed6_e600_0001);
    let mut parsed = 0;
    for i in 0..100_000 {
        let mutant = if i % 2 == 0 {
            let mut characters_of_token = token.expose().as_bytes().to_vec();
            seeded.mutate(&mut characters_of_token, characters);
            String::from_utf8(characters_of_token).unwrap()
        } else {
            let mut bytes = whole.clone();
            seeded.mutate(&mut bytes, &every_byte);
            text(&bytes)
        };
        if mutant.trim_end_matches('=') == token.expose() {
            continue;
        }
        if let Ok(macaroon) = Macaroon::parse(&mutant) {
            parsed += 1;
            assert_eq!(macaroon.verify(&key), Err(BadSignature), "mutant {i}: {mutant}");
        }
    }
    // Enough of them get past the parser for the signature to be put to the test.
    assert!(parsed > 5_000, "{parsed}");
}
