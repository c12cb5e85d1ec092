//! The rule file: TOML, bounded, and every key of it known. docs/INTEROP.md has its form.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::{File, FileFormat, Map, Source as _, Value, ValueKind};
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, Visitor};

use super::names::{ELSEWHERE, Prefixes, REGIONS_MAX, RegionSet, Regions};
use super::rule::{Conditions, Effect, Limit, Per, Rule, Shape, Window};
use super::window::{Ceiling, Counters};
use super::{DEFAULT, Policy, RESIDENCY};
use crate::config::{PolicyConfig, nearest};
use crate::ledger::entry::Kind;
use crate::ledger::names::{AccountId, Asset};
use crate::storage::files::{FileError, read_bounded};

/// A longer file is refused.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// The most rules. Each is a series of a metric.
pub const RULES_MAX: usize = 256;

/// The most prefixes of a file, of all its rules and regions.
pub const PREFIXES_MAX: usize = 4096;

/// The most accounts, capabilities and assets that all windows of a file count for.
pub const WINDOW_KEYS_MAX: usize = 65_536;

/// Of a window that does not say.
const WINDOW_KEYS: usize = 4096;

const NAME_BYTES_MAX: usize = 64;
const WINDOW_MIN: Duration = Duration::from_secs(1);
const WINDOW_MAX: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// Why a file holds no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not there.
    #[error("there is no such file")]
    Missing,
    /// It is too long.
    #[error("longer than {FILE_BYTES_MAX} bytes")]
    TooLong,
    /// It is no TOML, or a value has a wrong type or form.
    #[error("{place}{problem}")]
    Value {
        /// Where, with a colon, or nothing.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// A key that nobody knows.
    #[error("{place}unknown key `{key}`; did you mean `{nearest}`?")]
    UnknownKey {
        /// Where, with a colon, or nothing.
        place: String,
        /// The key as it was written.
        key: String,
        /// The nearest known one.
        nearest: String,
    },
}

/// A file that holds no policy.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub struct Unfit {
    /// The file.
    pub path: PathBuf,
    /// Why not.
    pub error: PolicyError,
}

fn wrong(place: &str, problem: impl fmt::Display) -> PolicyError {
    PolicyError::Value { place: place.to_owned(), problem: problem.to_string() }
}

/// Declares a table of the file with the list of its keys, so that neither can miss one.
macro_rules! table {
    ($name:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        #[derive(serde::Deserialize)]
        struct $name { $(#[serde(default)] $field: $type),+ }

        impl $name {
            const KEYS: &'static [&'static str] = &[$(stringify!($field)),+];
        }
    };
}

table!(TopIn { default: Option<String>, region: Vec<Map<String, Value>>, rule: Vec<Map<String, Value>> });

table!(RegionIn { name: Option<String>, accounts: Vec<String> });

table!(RuleIn {
    name: Option<String>,
    effect: Option<String>,
    kinds: Option<Vec<String>>,
    assets: Option<Vec<String>>,
    accounts: Option<Vec<String>>,
    counterparties: Option<Vec<String>>,
    parties: Option<Vec<String>>,
    from: Option<Vec<String>>,
    to: Option<Vec<String>>,
    entry_max: Option<Atoms>,
    window: Option<String>,
    window_max: Option<Atoms>,
    window_entries_max: Option<u64>,
    window_keys_max: Option<usize>,
    per: Option<String>,
});

impl Policy {
    /// As the configuration says: without a file, everything is allowed.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn of(config: &PolicyConfig) -> Result<Policy, Unfit> {
        config.file.as_deref().map_or_else(|| Ok(Policy::default()), Self::read)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn read(path: &Path) -> Result<Policy, Unfit> {
        let text = read_bounded(path, FILE_BYTES_MAX).map_err(PolicyError::from);
        let text = text.and_then(|text| text.ok_or(PolicyError::Missing));
        let policy = text.and_then(|text| Self::parse(&text));
        policy.map_err(|error| Unfit { path: path.to_owned(), error })
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`PolicyError`], with the rule that it is about.
    pub fn parse(text: &str) -> Result<Policy, PolicyError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(PolicyError::TooLong);
        }
        let tree = File::from_str(text, FileFormat::Toml).collect();
        let top: TopIn = typed("", TopIn::KEYS, tree.map_err(|error| wrong("", error))?)?;
        let allows_by_default = match top.default.as_deref() {
            Some("allow") => true,
            Some("deny") => false,
            _ => return Err(wrong("default: ", "say \"allow\" or \"deny\"")),
        };
        let mut room = Room { prefixes: PREFIXES_MAX, keys: WINDOW_KEYS_MAX };
        let regions = regions(top.region, &mut room)?;
        if top.rule.len() > RULES_MAX {
            return Err(wrong("rule: ", format_args!("at most {RULES_MAX}")));
        }
        let mut names = BTreeSet::from([DEFAULT.to_owned(), RESIDENCY.to_owned()]);
        let mut rules = Vec::with_capacity(top.rule.len());
        for (at, table) in top.rule.into_iter().enumerate() {
            let place = place_of("rule", at, &table);
            let read: RuleIn = typed(&place, RuleIn::KEYS, table)?;
            rules.push(rule(&place, read, &regions, &mut names, &mut room)?);
        }
        Ok(Policy { allows_by_default, regions, rules })
    }
}

/// What the file may still take.
struct Room {
    prefixes: usize,
    keys: usize,
}

/// `rule 3 (name): `, by which people find it.
fn place_of(what: &str, at: usize, table: &Map<String, Value>) -> String {
    let name = table.get("name").and_then(|name| name.clone().into_string().ok());
    match name.filter(|name| is_name(name)) {
        Some(name) => format!("{what} {} ({name}): ", at + 1),
        None => format!("{what} {}: ", at + 1),
    }
}

fn typed<T: DeserializeOwned>(
    place: &str,
    known: &[&str],
    table: Map<String, Value>,
) -> Result<T, PolicyError> {
    if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(PolicyError::UnknownKey {
            place: place.to_owned(),
            key: key.clone(),
            nearest: nearest(key, known.iter().copied()).unwrap_or_default().to_owned(),
        });
    }
    let value = Value::new(None, ValueKind::Table(table));
    value.try_deserialize().map_err(|error| wrong(place, error))
}

fn is_name(text: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(allowed)
}

fn new_name(
    place: &str,
    name: Option<String>,
    taken: &mut BTreeSet<String>,
) -> Result<String, PolicyError> {
    let form = || wrong(place, "name: 1 to 64 of small letters, digits, - and _");
    let name = name.filter(|name| is_name(name)).ok_or_else(form)?;
    if !taken.insert(name.clone()) {
        return Err(wrong(place, format_args!("name: `{name}` is taken")));
    }
    Ok(name)
}

fn regions(tables: Vec<Map<String, Value>>, room: &mut Room) -> Result<Regions, PolicyError> {
    if tables.len() > REGIONS_MAX {
        return Err(wrong("region: ", format_args!("at most {REGIONS_MAX}")));
    }
    let (mut names, mut seen) = (BTreeSet::from([ELSEWHERE.to_owned()]), BTreeSet::new());
    let mut built: Vec<(Box<str>, Vec<Box<str>>)> = Vec::with_capacity(tables.len());
    for (at, table) in tables.into_iter().enumerate() {
        let place = place_of("region", at, &table);
        let RegionIn { name, accounts } = typed(&place, RegionIn::KEYS, table)?;
        let name = new_name(&place, name, &mut names)?;
        let accounts = prefixes(&place, "accounts", accounts, room)?;
        if let Some(twice) = accounts.iter().find(|prefix| !seen.insert((*prefix).clone())) {
            return Err(wrong(&place, format_args!("accounts: `{twice}` is given twice")));
        }
        built.push((name.into(), accounts));
    }
    Ok(Regions::new(built))
}

fn rule(
    place: &str,
    read: RuleIn,
    regions: &Regions,
    names: &mut BTreeSet<String>,
    room: &mut Room,
) -> Result<Rule, PolicyError> {
    let name = new_name(place, read.name.clone(), names)?;
    let ceilings = [
        ("entry_max", read.entry_max.is_some()),
        ("window", read.window.is_some()),
        ("window_max", read.window_max.is_some()),
        ("window_entries_max", read.window_entries_max.is_some()),
        ("window_keys_max", read.window_keys_max.is_some()),
        ("per", read.per.is_some()),
    ];
    let effect = match read.effect.as_deref() {
        Some("limit") => Effect::Limit(limit(place, &read, room)?),
        Some(effect @ ("allow" | "deny")) => {
            if let Some((key, _)) = ceilings.iter().find(|(_, is_given)| *is_given) {
                return Err(wrong(place, format_args!("{key}: needs effect = \"limit\"")));
            }
            if effect == "allow" { Effect::Allow } else { Effect::Deny }
        }
        _ => return Err(wrong(place, "effect: say \"allow\", \"deny\" or \"limit\"")),
    };
    let on = Conditions {
        kinds: read.kinds.map(|kinds| each(place, "kinds", kinds, kind)).transpose()?,
        assets: read.assets.map(|assets| sorted_assets(place, assets)).transpose()?,
        accounts: covered(place, "accounts", read.accounts, room)?,
        counterparties: covered(place, "counterparties", read.counterparties, room)?,
        parties: covered(place, "parties", read.parties, room)?,
        from: region_set(place, "from", read.from, regions)?,
        to: region_set(place, "to", read.to, regions)?,
    };
    Ok(Rule { name: Arc::from(name), on, effect })
}

fn limit(place: &str, read: &RuleIn, room: &mut Room) -> Result<Limit, PolicyError> {
    let amount = read.window_max.map(|atoms| atoms.0);
    let ceiling = Ceiling { amount, count: read.window_entries_max };
    let entry_max = read.entry_max.map(|atoms| atoms.0);
    let has_ceiling = ceiling != Ceiling::default();
    let Some(length) = &read.window else {
        if has_ceiling || read.per.is_some() || read.window_keys_max.is_some() {
            return Err(wrong(place, "window: say how long it is, as in \"1h\""));
        }
        if entry_max.is_none() {
            return Err(wrong(place, "effect: needs entry_max, or window with a ceiling"));
        }
        return Ok(Limit { entry_max, window: None });
    };
    if !has_ceiling {
        return Err(wrong(place, "window: needs window_max or window_entries_max"));
    }
    let length = humantime::parse_duration(length).ok();
    let length = length.filter(|length| (WINDOW_MIN..=WINDOW_MAX).contains(length));
    let length = length.ok_or_else(|| wrong(place, "window: 1s to 31days, as in \"1h\""))?;
    let per = match read.per.as_deref() {
        None | Some("rule") => Per::Rule,
        Some("account") => Per::Account,
        Some("capability") => Per::Capability,
        Some(_) => return Err(wrong(place, "per: say \"rule\", \"account\" or \"capability\"")),
    };
    let keys_max = read.window_keys_max.unwrap_or(WINDOW_KEYS);
    room.keys = room.keys.checked_sub(keys_max.max(1)).ok_or_else(|| {
        let problem = "window_keys_max: the windows of a file count for at most";
        wrong(
            place,
            format_args!("{problem} {WINDOW_KEYS_MAX} together; without it, {WINDOW_KEYS}"),
        )
    })?;
    if keys_max == 0 {
        return Err(wrong(place, "window_keys_max: at least 1"));
    }
    let length_ms = u64::try_from(length.as_millis()).expect("31 days of ms fit");
    let shape = Shape { length_ms, per };
    let window = Window { shape, ceiling, keys_max, counters: Counters::new(length_ms) };
    Ok(Limit { entry_max, window: Some(window) })
}

/// At least one: a condition that nothing meets is a mistake.
fn each<T>(
    place: &str,
    key: &str,
    texts: Vec<String>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, PolicyError> {
    if texts.is_empty() {
        return Err(wrong(place, format_args!("{key}: names nothing")));
    }
    let told = |problem: String| wrong(place, format_args!("{key}: {problem}"));
    texts.iter().map(|text| parse(text).map_err(told)).collect()
}

fn kind(text: &str) -> Result<Kind, String> {
    let names = || Kind::ALL.iter().map(|kind| kind.as_str());
    Kind::from_client(text).ok_or_else(|| {
        let nearest = nearest(text, names()).unwrap_or_default();
        format!("`{text}` is no kind of a client's; did you mean `{nearest}`?")
    })
}

fn sorted_assets(place: &str, assets: Vec<String>) -> Result<Vec<Asset>, PolicyError> {
    let parse = |text: &str| Asset::new(text).map_err(|error| format!("`{text}` {error}"));
    let mut assets = each(place, "assets", assets, parse)?;
    assets.sort_unstable();
    Ok(assets)
}

fn prefixes(
    place: &str,
    key: &str,
    texts: Vec<String>,
    room: &mut Room,
) -> Result<Vec<Box<str>>, PolicyError> {
    room.prefixes = room.prefixes.checked_sub(texts.len()).ok_or_else(|| {
        wrong(place, format_args!("{key}: a file has at most {PREFIXES_MAX} prefixes"))
    })?;
    // What no account can begin with is a mistake.
    let parse = |text: &str| match AccountId::new(text) {
        Ok(_) => Ok(text.into()),
        Err(error) => Err(format!("`{text}` {error}")),
    };
    each(place, key, texts, parse)
}

fn covered(
    place: &str,
    key: &str,
    texts: Option<Vec<String>>,
    room: &mut Room,
) -> Result<Option<Prefixes>, PolicyError> {
    texts.map(|texts| prefixes(place, key, texts, room).map(Prefixes::new)).transpose()
}

fn region_set(
    place: &str,
    key: &str,
    texts: Option<Vec<String>>,
    regions: &Regions,
) -> Result<Option<RegionSet>, PolicyError> {
    let parse = |text: &str| {
        regions.named(text).ok_or_else(|| {
            let known = regions.names().chain([ELSEWHERE]);
            let nearest = nearest(text, known).unwrap_or_default();
            format!("there is no region `{text}`; did you mean `{nearest}`?")
        })
    };
    let sets = texts.map(|texts| each(place, key, texts, parse)).transpose()?;
    Ok(sets.map(RegionSet::from_iter))
}

/// An amount: a decimal string, or a number as far as TOML has them.
#[derive(Clone, Copy)]
struct Atoms(u128);

impl<'de> Deserialize<'de> for Atoms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AtomsVisitor)
    }
}

struct AtomsVisitor;

impl Visitor<'_> for AtomsVisitor {
    type Value = Atoms;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of atoms, as a number or as digits in a string")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Atoms, E> {
        let wrong = |_| E::invalid_value(de::Unexpected::Signed(number), &self);
        u128::try_from(number).map(Atoms).map_err(wrong)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Atoms, E> {
        Ok(Atoms(number.into()))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Atoms, E> {
        let wrong = || E::invalid_value(de::Unexpected::Str(text), &self);
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok().map(Atoms)).flatten().ok_or_else(wrong)
    }
}
