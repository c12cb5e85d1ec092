//! Tokens through the whole floor: mint, attenuate, verify, ask, remember.

use super::*;
use proptest::prelude::*;
use std::sync::LazyLock;
use std::time::Duration;

const NOW_MS: u64 = 1_767_000_000_000;
const SOON_MS: u64 = NOW_MS + 60_000;
const API_UDS: Context = Context { plane: Plane::Api, peer: Peer::Uds };

/// Derived from one seed and read back, so that every test has the same root key.
fn verifier() -> Verifier {
    Verifier::new(keyring())
}

fn keyring() -> Keyring {
    let dir = tempfile::tempdir().unwrap();
    Keyring::create(dir.path(), Some(&[1; 32])).unwrap()
}

fn caveats(texts: &[&str]) -> Vec<Caveat> {
    texts.iter().map(|text| Caveat::parse(text.as_bytes()).unwrap()).collect()
}

/// Signed with the right key, whatever the identifier and the caveats say.
fn signed(identifier: &str, caveats: &[&str]) -> Token {
    let keyring = keyring();
    let macaroon = Macaroon::mint(keyring.current().1, None, identifier.as_bytes()).unwrap();
    caveats
        .iter()
        .fold(macaroon, |macaroon, caveat| macaroon.attenuate(caveat.as_bytes()).unwrap())
        .serialize()
        .unwrap()
}

/// A token that lives for a minute, with these caveats too.
fn minted(texts: &[&str]) -> Token {
    let expiry = Caveat::ExpiresMs(SOON_MS);
    mint(&keyring(), "tenant-7", &[caveats(texts), vec![expiry]].concat(), NOW_MS).unwrap()
}

fn capability(texts: &[&str]) -> Capability {
    verifier().verify(minted(texts).expose(), NOW_MS, &API_UDS).unwrap()
}

#[test]
fn a_minted_token_verifies_and_names_its_key_and_capability() {
    let capability = capability(&["action in mint"]);
    assert_eq!((capability.kid(), capability.id()), ("root-1", "tenant-7"));
    assert_eq!(capability.expires_ms(), SOON_MS);
}

/// By pymacaroons 0.13, minted with the first two caveats and narrowed by the rest: see the tests
/// of the binary format.
#[test]
fn a_token_of_another_library_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    Keyring::create(dir.path(), None).unwrap();
    let key: [u8; 32] = std::array::from_fn(|i| i as u8);
    std::fs::write(dir.path().join("root-1.key"), hex::encode(key)).unwrap();
    let verifier = Verifier::new(Keyring::open(dir.path()).unwrap());
    let token = "AgEWaHR0cHM6Ly9sZWRnZXIuZXhhbXBsZQIRMTpyb290LTE6dGVuYW50LTcAAhxhY3Rpb24gaW4gbWludCx\
        idXJuLHRyYW5zZmVyAAIYZXhwaXJlcyA8PSAxNzY3MjI1NjAwMDAwAAIcYWNjb3VudCBwcmVmaXggYWNjdDp0ZW5hbn\
        Q3LwACEWFtb3VudCA8PSAxMDAwMDAwAAIQYXNzZXQgaW4gVVNELEVVUgAABiDCq2zyIPQCIJzIUneaDV30jsGzrpE5U\
        l-gUKGNhFPMsg";
    let capability = verifier.verify(token, NOW_MS, &API_UDS).unwrap();
    let allows = |action, account, asset, amount| capability.allows(action, account, asset, amount);
    assert_eq!(allows(Action::Burn, "acct:tenant7/a", "EUR", 1_000_000), Ok(()));
    assert_eq!(allows(Action::Hold, "acct:tenant7/a", "EUR", 1), Err(Denied::Action));
    assert_eq!(allows(Action::Burn, "acct:tenant77/a", "EUR", 1), Err(Denied::AccountPrefix));
    assert_eq!(allows(Action::Burn, "acct:tenant7/a", "GBP", 1), Err(Denied::Asset));
    assert_eq!(
        allows(Action::Burn, "acct:tenant7/a", "USD", 1_000_001),
        Err(Denied::AmountCeiling)
    );
}

#[test]
fn each_caveat_on_entries_is_asked_both_ways() {
    let cases: [(&[&str], Result<(), Denied>); 14] = [
        (&[], Ok(())),
        (&["action in hold,mint"], Ok(())),
        (&["action in hold,burn"], Err(Denied::Action)),
        (&["action in mint", "action in hold"], Err(Denied::Action)),
        (&["account prefix acct:t7/"], Ok(())),
        (&["account prefix acct:t7/a"], Ok(())),
        (&["account prefix acct:t7/ab"], Err(Denied::AccountPrefix)),
        (&["account prefix acct:", "account prefix acct:t8/"], Err(Denied::AccountPrefix)),
        (&["asset in EUR,USD"], Ok(())),
        (&["asset in EUR"], Err(Denied::Asset)),
        (&["asset in EUR,USD", "asset in EUR,GBP"], Err(Denied::Asset)),
        (&["amount <= 100"], Ok(())),
        (&["amount <= 99"], Err(Denied::AmountCeiling)),
        (&["amount <= 99", "amount <= 1000"], Err(Denied::AmountCeiling)),
    ];
    for (texts, expected) in cases {
        let answer = capability(texts).allows(Action::Mint, "acct:t7/a", "USD", 100);
        assert_eq!(answer, expected, "{texts:?}");
    }
}

#[test]
fn each_caveat_on_connections_is_asked_both_ways() {
    let cases: [(&str, Option<Denied>); 6] = [
        ("plane = api", None),
        ("plane = admin|api", None),
        ("plane = admin", Some(Denied::Plane)),
        ("peer = uds", None),
        ("peer = mtls|uds", None),
        ("peer = mtls|tls|plain", Some(Denied::Peer)),
    ];
    for (text, denied) in cases {
        let answer = verifier().verify(minted(&[text]).expose(), NOW_MS, &API_UDS);
        assert_eq!(answer.err(), denied.map(CapError::Denied), "{text}");
    }
}

#[test]
fn reads_ask_for_the_action_and_the_account() {
    let check = |texts: &[&str], of_account: Option<Denied>, of_all: Option<Denied>| {
        let capability = capability(texts);
        assert_eq!(capability.allows_read("acct:t7/a").err(), of_account, "{texts:?}");
        assert_eq!(capability.allows_unscoped(Action::Read).err(), of_all, "{texts:?}");
    };
    check(&[], None, None);
    check(&["action in read"], None, None);
    check(&["action in mint"], Some(Denied::Action), Some(Denied::Action));
    check(&["account prefix acct:t7/"], None, Some(Denied::AccountPrefix));
    check(&["account prefix acct:t8/"], Some(Denied::AccountPrefix), Some(Denied::AccountPrefix));
}

#[test]
fn a_capability_for_some_accounts_or_assets_does_not_operate_the_node() {
    assert_eq!(capability(&["action in admin"]).allows_unscoped(Action::Admin), Ok(()));
    let scoped = capability(&["account prefix acct:t7/"]);
    assert_eq!(scoped.allows_unscoped(Action::Admin), Err(Denied::AccountPrefix));
    assert_eq!(capability(&["asset in USD"]).allows_unscoped(Action::Admin), Err(Denied::Asset));
}

#[test]
fn the_lifetime_is_required_and_bounded_at_verification() {
    let limit = format!("expires <= {}", NOW_MS + LIFETIME_MS_MAX);
    let beyond = format!("expires <= {}", NOW_MS + LIFETIME_MS_MAX + 1);
    let soon = format!("expires <= {SOON_MS}");
    let now = format!("expires <= {NOW_MS}");
    let next = format!("expires <= {}", NOW_MS + 1);
    let never = format!("expires <= {}", u64::MAX);
    let cases: [(&[&str], Option<CapError>); 9] = [
        (&[&soon], None),
        (&[&next], None),
        (&[&limit], None),
        (&[&now], Some(CapError::Expired)),
        (&[&soon, &now], Some(CapError::Expired)),
        (&[&beyond], Some(CapError::TooLongLived)),
        (&[&never], Some(CapError::TooLongLived)),
        (&[&never, &soon], Some(CapError::TooLongLived)),
        (&["action in mint"], Some(CapError::TooLongLived)),
    ];
    for (texts, error) in cases {
        let token = signed("1:root-1:a", texts);
        let answer = verifier().verify(token.expose(), NOW_MS, &API_UDS);
        assert_eq!(answer.err(), error, "{texts:?}");
    }
}

#[test]
fn nothing_is_minted_that_would_be_refused() {
    let keyring = keyring();
    let refused = |caveats: &[Caveat], error: CapError| {
        let answer = mint(&keyring, "a", caveats, NOW_MS).unwrap_err();
        assert_eq!(answer, MintError::Refused(error), "{caveats:?}");
    };
    refused(&[], CapError::TooLongLived);
    refused(&[Caveat::ExpiresMs(NOW_MS)], CapError::Expired);
    refused(&[Caveat::ExpiresMs(NOW_MS + LIFETIME_MS_MAX + 1)], CapError::TooLongLived);
    let expiry = Caveat::ExpiresMs(SOON_MS);
    for unwritable in [Caveat::Actions(vec![]), Caveat::AccountPrefix("a b".to_owned())] {
        let answer = mint(&keyring, "a", &[expiry.clone(), unwritable], NOW_MS).unwrap_err();
        assert!(matches!(answer, MintError::Refused(CapError::UnknownCaveat(_))), "{answer:?}");
    }
    let answer = mint(&keyring, "a:b", std::slice::from_ref(&expiry), NOW_MS).unwrap_err();
    assert_eq!(answer, MintError::Identifier(IdentifierError::Part));
    let many = vec![expiry; CAVEATS_MAX + 1];
    let answer = mint(&keyring, "a", &many, NOW_MS).unwrap_err();
    assert_eq!(answer, MintError::Macaroon(MacaroonError::TooManyCaveats));
}

#[test]
fn strangers_are_unauthenticated_and_the_known_are_refused() {
    let expiry = format!("expires <= {SOON_MS}");
    let other_dir = tempfile::tempdir().unwrap();
    let other = Keyring::create(other_dir.path(), Some(&[2; 32])).unwrap();
    let other_key = mint(&other, "a", &[Caveat::ExpiresMs(SOON_MS)], NOW_MS).unwrap();
    let cases = [
        (
            String::new(),
            true,
            "no token was presented; it must come as one \"Authorization: Bearer <token>\"",
        ),
        ("!".to_owned(), true, "the token is not base64url"),
        (other_key.expose().to_owned(), true, "the signature of the token does not match"),
        (signed("2:root-1:a", &[&expiry]).expose().to_owned(), true, "the identifier must read"),
        (signed("1:root-9:a", &[&expiry]).expose().to_owned(), true, "\"root-9\" is not known"),
        (signed("1:root-1:a", &["expires <= 1"]).expose().to_owned(), false, "has expired"),
        (signed("1:root-1:a", &[]).expose().to_owned(), false, "must expire within 30 days"),
        (minted(&["plane = admin"]).expose().to_owned(), false, "plane: "),
    ];
    for (token, unauthenticated, message) in cases {
        let error = verifier().verify(&token, NOW_MS, &API_UDS).unwrap_err();
        assert_eq!(error.is_unauthenticated(), unauthenticated, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn an_unknown_or_malformed_caveat_fails_closed_and_is_named() {
    let expiry = format!("expires <= {SOON_MS}");
    for (caveat, named) in [
        ("time < 2027-01-01", "unknown caveat \"time\""),
        ("", "unknown caveat \"\""),
        ("amount <= 1e6", "malformed caveat \"amount\": it must read `amount <= ATOMS`"),
        ("action in mint,fly", "malformed caveat \"action\""),
    ] {
        let error = verifier()
            .verify(signed("1:root-1:a", &[&expiry, caveat]).expose(), NOW_MS, &API_UDS)
            .unwrap_err();
        assert!(!error.is_unauthenticated() && error.to_string().contains(named), "{error}");
    }
}

#[test]
fn denials_name_their_caveat_first() {
    for denied in [
        Denied::Action,
        Denied::AccountPrefix,
        Denied::Asset,
        Denied::AmountCeiling,
        Denied::Plane,
        Denied::Peer,
    ] {
        assert!(denied.to_string().starts_with(&format!("{}: ", denied.caveat())), "{denied}");
    }
}

fn any_caveat() -> impl Strategy<Value = Caveat> {
    let some = |values: &'static [&'static str]| {
        proptest::sample::subsequence(values, 1..=values.len())
            .prop_map(|values| values.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    prop_oneof![
        proptest::sample::subsequence(Action::ALL, 1..=4).prop_map(Caveat::Actions),
        proptest::sample::subsequence(Plane::ALL, 1..=2).prop_map(Caveat::Planes),
        proptest::sample::subsequence(Peer::ALL, 1..=3).prop_map(Caveat::Peers),
        proptest::sample::select(&["a", "a/", "a/1", "b/"][..])
            .prop_map(|prefix| Caveat::AccountPrefix(prefix.to_owned())),
        some(&["USD", "EUR", "GBP"]).prop_map(Caveat::Assets),
        (0..4_u128).prop_map(Caveat::AmountMax),
        (NOW_MS - 1..NOW_MS + 3).prop_map(Caveat::ExpiresMs),
    ]
}

/// One request: when, over what, and which entry.
type Request = (u64, Context, Action, &'static str, &'static str, u128);

fn any_request() -> impl Strategy<Value = Request> {
    let context = (proptest::sample::select(Plane::ALL), proptest::sample::select(Peer::ALL))
        .prop_map(|(plane, peer)| Context { plane, peer });
    (
        NOW_MS..NOW_MS + 3,
        context,
        proptest::sample::select(Action::ALL),
        proptest::sample::select(&["a", "a/1", "a/2", "b/1"][..]),
        proptest::sample::select(&["USD", "EUR", "GBP"][..]),
        0..4_u128,
    )
}

/// The verifier's answer to a request, as a yes or no.
fn permits(verifier: &Verifier, token: &Token, request: &Request) -> bool {
    let &(now_ms, context, action, account, asset, amount) = request;
    verifier
        .verify(token.expose(), now_ms, &context)
        .is_ok_and(|capability| capability.allows(action, account, asset, amount).is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A token permits just what each of its caveats permits alone; so adding one only narrows.
    #[test]
    fn a_token_permits_the_intersection_of_its_caveats(
        caveats in prop::collection::vec(any_caveat(), 0..5),
        requests in prop::collection::vec(any_request(), 8),
    ) {
        static VERIFIER: LazyLock<Verifier> = LazyLock::new(verifier);
        let wide = minted(&[]);
        let narrow = attenuate(wide.expose(), &caveats).unwrap();
        let alone: Vec<Token> = caveats
            .iter()
            .map(|caveat| attenuate(wide.expose(), std::slice::from_ref(caveat)).unwrap())
            .collect();
        for request in &requests {
            let each = alone.iter().all(|token| permits(&VERIFIER, token, request));
            prop_assert_eq!(permits(&VERIFIER, &narrow, request), each);
        }
    }
}

fn cached(ttl_ms: u64, capacity: usize) -> CachedVerifier {
    CachedVerifier::new(verifier(), Duration::from_millis(ttl_ms), capacity)
}

#[test]
fn the_cache_answers_as_the_verifier_does() {
    let cache = cached(5_000, 8);
    let token = minted(&["plane = api"]);
    let admin = Context { plane: Plane::Admin, ..API_UDS };
    let steps = [
        (NOW_MS, API_UDS, None),
        (NOW_MS, API_UDS, None),
        (NOW_MS, admin, Some(CapError::Denied(Denied::Plane))),
        (NOW_MS + 5_000, API_UDS, None),
        (SOON_MS - 1, API_UDS, None),
        (SOON_MS, API_UDS, Some(CapError::Expired)),
        (NOW_MS - LIFETIME_MS_MAX, API_UDS, Some(CapError::TooLongLived)),
        (NOW_MS, API_UDS, None),
    ];
    for (now_ms, context, error) in steps {
        let answer = cache.verify(token.expose(), now_ms, &context);
        assert_eq!(answer.err(), error, "{now_ms} {context:?}");
    }
    assert_eq!(cache.len(), 1);
}

/// Two answers share one capability if the second came from the cache.
#[test]
fn a_token_is_remembered_for_its_time_and_no_longer() {
    let remembered = |ttl_ms, from_ms, to_ms| {
        let cache = cached(ttl_ms, 8);
        let token = minted(&[]);
        let first = cache.verify(token.expose(), from_ms, &API_UDS).unwrap();
        let second = cache.verify(token.expose(), to_ms, &API_UDS).unwrap();
        std::sync::Arc::ptr_eq(&first, &second)
    };
    assert!(remembered(5_000, NOW_MS, NOW_MS));
    assert!(remembered(5_000, NOW_MS, NOW_MS + 4_999));
    assert!(!remembered(5_000, NOW_MS, NOW_MS + 5_000));
    assert!(!remembered(5_000, NOW_MS, NOW_MS - 1), "the clock was set back");
    assert!(!remembered(0, NOW_MS, NOW_MS));
}

#[test]
fn refusals_are_not_remembered() {
    let cache = cached(5_000, 8);
    for token in ["", "!", signed("1:root-1:a", &["expires <= 1"]).expose()] {
        assert!(cache.verify(token, NOW_MS, &API_UDS).is_err());
    }
    assert!(cache.is_empty());
    let none = cached(5_000, 0);
    none.verify(minted(&[]).expose(), NOW_MS, &API_UDS).unwrap();
    assert!(none.is_empty());
}

#[test]
fn the_cache_never_exceeds_its_bound() {
    const CAPACITY: usize = 8;
    let cache = cached(5_000, CAPACITY);
    let wide = minted(&[]);
    let check = &|amount: u128, now_ms| {
        let token = attenuate(wide.expose(), &[Caveat::AmountMax(amount)]).unwrap();
        let capability = cache.verify(token.expose(), now_ms, &API_UDS).unwrap();
        assert!(capability.allows(Action::Mint, "a", "USD", amount).is_ok());
        assert!(capability.allows(Action::Mint, "a", "USD", amount + 1).is_err());
        assert!(cache.len() <= CAPACITY);
    };
    std::thread::scope(|scope| {
        for thread in 1..=4 {
            scope.spawn(move || {
                for i in 0..100_u64 {
                    // Half of the tokens are the same in every thread.
                    let amount = if i % 2 == 0 { i } else { 1_000 * thread + i };
                    check(u128::from(amount), NOW_MS + 10 * i);
                }
            });
        }
    });
    for amount in 0..2 * CAPACITY as u128 {
        check(amount, NOW_MS + 1_000);
    }
    assert_eq!(cache.len(), CAPACITY);
    // When all have had their time, the next newcomer clears them away.
    check(1_000_000, NOW_MS + 6_000);
    assert_eq!(cache.len(), 1);
}

#[test]
fn debug_of_the_verifiers_shows_neither_keys_nor_tokens() {
    let cache = cached(5_000, 8);
    let token = minted(&["account prefix acct:t7/"]);
    cache.verify(token.expose(), NOW_MS, &API_UDS).unwrap();
    let key = *keyring().current().1.expose();
    let shown = format!("{cache:?}");
    assert!(shown.contains("tenant-7"), "{shown}");
    for secret in [token.expose(), &hex::encode(key), &format!("{key:?}")] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_revocation_bites_at_once_also_on_what_is_remembered() {
    let by = [
        (Subject::id("tenant-7").unwrap(), CapError::Revoked),
        (Subject::kid("root-1").unwrap(), CapError::KeyRevoked),
    ];
    for (subject, error) in by {
        for capacity in [0, 8] {
            let cache = cached(u64::MAX, capacity);
            let token = minted(&[]);
            cache.verify(token.expose(), NOW_MS, &API_UDS).unwrap();
            cache.revoke(Subject::id("tenant-77").unwrap(), NOW_MS).unwrap();
            cache.revoke(Subject::kid("tenant-7").unwrap(), NOW_MS).unwrap();
            cache.revoke(Subject::id("root-1").unwrap(), NOW_MS).unwrap();
            assert!(cache.verify(token.expose(), NOW_MS, &API_UDS).is_ok());
            cache.revoke(subject.clone(), NOW_MS).unwrap();
            let narrow = attenuate(token.expose(), &[Caveat::AmountMax(1)]).unwrap();
            for token in [&token, &narrow] {
                let refused = cache.verify(token.expose(), NOW_MS, &API_UDS).unwrap_err();
                assert_eq!(refused, error);
                assert!(!refused.is_unauthenticated());
            }
            // A forger does not learn what is revoked.
            let mut forged = token.expose().to_owned().into_bytes();
            let at = forged.len() - 8;
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            let refused = cache.verify(&forged, NOW_MS, &API_UDS).unwrap_err();
            assert!(matches!(refused, CapError::BadSignature(_)), "{refused}");
        }
    }
}

#[test]
fn a_new_keyring_adds_keys_and_what_it_lacks_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let old = Keyring::create(dir.path(), Some(&[1; 32])).unwrap();
    let both = Keyring::rotate(dir.path(), Some(&[1; 32])).unwrap();
    let expiry = [Caveat::ExpiresMs(SOON_MS)];
    let first = mint(&old, "a", &expiry, NOW_MS).unwrap();
    let second = mint(&both, "a", &expiry, NOW_MS).unwrap();
    let cache = CachedVerifier::new(Verifier::new(old), Duration::from_secs(3_600), 8);
    let check = |expected: [bool; 2]| {
        let tokens = [&first, &second];
        let held = tokens.map(|token| cache.verify(token.expose(), NOW_MS, &API_UDS).is_ok());
        assert_eq!(held, expected);
    };
    check([true, false]);
    cache.reload(both);
    check([true, true]);
    std::fs::remove_file(dir.path().join("root-1.key")).unwrap();
    cache.reload(Keyring::open(dir.path()).unwrap());
    check([false, true]);
    assert!(cache.with_keyring(|keyring| keyring.unwrap().kids().eq(["root-2"])));
}
