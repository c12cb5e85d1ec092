//! The first-party caveats, in plain text that any macaroon library can add.
//!
//! A caveat is `key operator value`, parted by single spaces:
//!
//! ```text
//! action in mint,burn,transfer     one of the listed actions
//! account prefix acct:tenant7/     the account starts with these bytes; end it with a delimiter,
//!                                  since `acct:tenant7` is also a prefix of `acct:tenant77`
//! asset in USD,EUR                 one of the listed assets
//! amount <= 1000000                atoms, per entry
//! expires <= 1767225600000         unix milliseconds; the token is dead from that instant on
//! plane = api                      the listener; alternatives are parted by `|`
//! peer = uds|mtls                  the kind of connection; alternatives are parted by `|`
//! ```
//!
//! Caveats are conjunctive: each of them must hold, also when a key is repeated. Numbers are
//! decimal without sign or leading zeros. What does not parse is refused, never skipped.

use super::names::{Action, Peer, Plane};
use std::fmt;

/// The longest account name that the ledger knows, in bytes; no longer prefix can match.
const ACCOUNT_LEN_MAX: usize = 128;
/// The longest asset name that the ledger knows, in bytes.
const ASSET_LEN_MAX: usize = 16;
/// How much of a stranger's key an error repeats, in characters.
const KEY_SHOWN_LEN_MAX: usize = 32;

/// One restriction of a capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caveat {
    /// `action in ...`
    Actions(Vec<Action>),
    /// `account prefix ...`: at most 128 bytes of `[A-Za-z0-9._:@/-]`.
    AccountPrefix(String),
    /// `asset in ...`: each at most 16 bytes of `[A-Z0-9._-]`.
    Assets(Vec<String>),
    /// `amount <= ...`, in atoms, for each entry.
    AmountMax(u128),
    /// `expires <= ...`, in unix milliseconds; the first instant at which the token is dead.
    ExpiresMs(u64),
    /// `plane = ...`
    Planes(Vec<Plane>),
    /// `peer = ...`
    Peers(Vec<Peer>),
}

/// Why a caveat was refused. The key is shortened and stripped of unusual characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaveatError {
    /// No caveat of this ledger has that key.
    #[error("unknown caveat {key:?}")]
    Unknown {
        /// The caveat's key.
        key: String,
    },
    /// The key is known, its operator or value is not well formed.
    #[error("malformed caveat {key:?}: it must read `{expected}`")]
    Malformed {
        /// The caveat's key.
        key: &'static str,
        /// The form that parses.
        expected: &'static str,
    },
}

impl Caveat {
    /// Reads one caveat.
    ///
    /// # Errors
    /// [`CaveatError`], which names the caveat's key and nothing else of it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CaveatError> {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let (key, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (operator, value) = rest.split_once(' ').unwrap_or((rest, ""));
        let form = FORMS
            .iter()
            .find(|form| form.key == key)
            .ok_or_else(|| CaveatError::Unknown { key: shown(key) })?;
        (operator == form.operator)
            .then(|| (form.read)(value))
            .flatten()
            .ok_or(CaveatError::Malformed { key: form.key, expected: form.expected })
    }
}

impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Actions(actions) => write!(f, "action in {}", join(actions, ",")),
            Self::AccountPrefix(prefix) => write!(f, "account prefix {prefix}"),
            Self::Assets(assets) => write!(f, "asset in {}", join(assets, ",")),
            Self::AmountMax(atoms) => write!(f, "amount <= {atoms}"),
            Self::ExpiresMs(ms) => write!(f, "expires <= {ms}"),
            Self::Planes(planes) => write!(f, "plane = {}", join(planes, "|")),
            Self::Peers(peers) => write!(f, "peer = {}", join(peers, "|")),
        }
    }
}

/// One line of the grammar.
struct Form {
    key: &'static str,
    operator: &'static str,
    read: fn(&str) -> Option<Caveat>,
    expected: &'static str,
}

const FORMS: [Form; 7] = [
    Form {
        key: "action",
        operator: "in",
        read: |value| list(value, ',', Action::from_name).map(Caveat::Actions),
        expected: "action in mint,burn,...",
    },
    Form {
        key: "account",
        operator: "prefix",
        read: |value| is_account_prefix(value).then(|| Caveat::AccountPrefix(value.to_owned())),
        expected: "account prefix NAME",
    },
    Form {
        key: "asset",
        operator: "in",
        read: |value| list(value, ',', asset).map(Caveat::Assets),
        expected: "asset in USD,EUR,...",
    },
    Form {
        key: "amount",
        operator: "<=",
        read: |value| decimal(value)?.parse().ok().map(Caveat::AmountMax),
        expected: "amount <= ATOMS",
    },
    Form {
        key: "expires",
        operator: "<=",
        read: |value| decimal(value)?.parse().ok().map(Caveat::ExpiresMs),
        expected: "expires <= UNIX_MS",
    },
    Form {
        key: "plane",
        operator: "=",
        read: |value| list(value, '|', Plane::from_name).map(Caveat::Planes),
        expected: "plane = api|admin|metrics",
    },
    Form {
        key: "peer",
        operator: "=",
        read: |value| list(value, '|', Peer::from_name).map(Caveat::Peers),
        expected: "peer = uds|tls|plain|mtls",
    },
];

fn list<T>(value: &str, separator: char, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    value.split(separator).map(item).collect()
}

fn asset(name: &str) -> Option<String> {
    let is_asset = (1..=ASSET_LEN_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"._-".contains(&b));
    is_asset.then(|| name.to_owned())
}

fn is_account_prefix(value: &str) -> bool {
    (1..=ACCOUNT_LEN_MAX).contains(&value.len())
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:@/-".contains(&b))
}

/// Digits without sign or leading zeros; `str::parse` alone would take `+7` and `007`.
fn decimal(value: &str) -> Option<&str> {
    let canonical =
        value.bytes().all(|b| b.is_ascii_digit()) && (value == "0" || !value.starts_with('0'));
    canonical.then_some(value)
}

fn join<T: fmt::Display>(items: &[T], separator: &str) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(separator)
}

fn shown(key: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '?' };
    key.chars().take(KEY_SHOWN_LEN_MAX).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_round_trips() {
        let caveats = [
            ("action in mint,burn,transfer", "action"),
            ("account prefix acct:tenant7/", "account"),
            ("asset in USD,EUR", "asset"),
            ("amount <= 0", "amount"),
            ("amount <= 340282366920938463463374607431768211455", "amount"),
            ("expires <= 1767225600000", "expires"),
            ("plane = api", "plane"),
            ("peer = uds|tls|plain|mtls", "peer"),
        ];
        for (text, key) in caveats {
            assert_eq!(Caveat::parse(text.as_bytes()).unwrap().to_string(), text, "{key}");
        }
    }

    #[test]
    fn malformed_caveats_are_refused_by_key() {
        let long_account = format!("account prefix {}", "a".repeat(ACCOUNT_LEN_MAX + 1));
        let refused = [
            "action",
            "action in",
            "action in ",
            "action in mint,",
            "action in Mint",
            "action in mint, burn",
            "action = mint",
            "action  in mint",
            "action in mint ",
            "account prefix ",
            "account prefix a b",
            "account prefix a\n",
            "account = a",
            &long_account,
            "asset in usd",
            "asset in ",
            "asset in ABCDEFGHIJKLMNOPQ",
            "amount <= ",
            "amount <= -1",
            "amount <= +1",
            "amount <= 01",
            "amount <= 1.0",
            "amount < 1",
            "amount <= 340282366920938463463374607431768211456",
            "expires <= 18446744073709551616",
            "expires <= never",
            "plane = API",
            "plane = api|",
            "plane = api,admin",
            "peer = ",
            "peer in uds",
        ];
        for text in refused {
            let key = text.split(' ').next().unwrap();
            match Caveat::parse(text.as_bytes()) {
                Err(CaveatError::Malformed { key: named, .. }) => assert_eq!(named, key),
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn unknown_caveats_are_named_by_a_harmless_key() {
        let named = [
            ("time < 2027-01-01", "time"),
            ("Action in mint", "Action"),
            (" action in mint", ""),
            ("", ""),
            ("evil\u{1b}[2J\nkey x", "evil??2J?key"),
        ];
        for (text, key) in named {
            let expected = CaveatError::Unknown { key: key.to_owned() };
            assert_eq!(Caveat::parse(text.as_bytes()), Err(expected), "{text:?}");
        }
        let long = "k".repeat(200);
        let Err(CaveatError::Unknown { key }) = Caveat::parse(long.as_bytes()) else { panic!() };
        assert_eq!(key.len(), KEY_SHOWN_LEN_MAX);
        assert!(Caveat::parse(b"account prefix \xff").is_err());
    }
}
