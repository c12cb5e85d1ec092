//! One source of settings as dotted keys: the unknown ones are found here, before they are merged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use config::{File, FileFormat, Map, Source, Value, ValueKind};

use super::nearest::nearest;
use super::{ConfigError, Origin};

/// A configuration file may be this large, far more than all keys with comments need.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A variable with this prefix is a key in capitals, with `__` for the dot.
const PREFIX: &str = "RON_LEDGER_";

/// Variables with the prefix that are not settings: where continuous integration keeps its build.
const NOT_SETTINGS: [&str; 5] = [
    "RON_LEDGER_CACHE",
    "RON_LEDGER_METRICS_URL",
    "RON_LEDGER_SOCKET",
    "RON_LEDGER_TOKEN",
    "RON_LEDGER_URL",
];

/// Names that other tools gave to some settings. The ledger's own name wins over them.
const ALIASES: [(&str, &str); 5] = [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
    ("TLS_CERT_FILE", "tls.cert_file"),
    ("TLS_KEY_FILE", "tls.key_file"),
    ("TLS_CA_FILE", "tls.ca_file"),
    ("RUST_LOG", "telemetry.log"),
];

/// The values of one source under their dotted keys.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) values: BTreeMap<String, Value>,
    pub(super) origin: Origin,
}

impl Layer {
    fn of_one(key: String, value: String, origin: Origin) -> Self {
        let value = Value::new(Some(&origin.to_string()), ValueKind::String(value));
        Self { values: BTreeMap::from([(key, value)]), origin }
    }

    /// One dotted key of the command line.
    pub(super) fn from_flag(
        key: String,
        value: String,
        known: &BTreeSet<String>,
    ) -> Result<Self, ConfigError> {
        check_known(&key, known, &Origin::Flag)?;
        Ok(Self::of_one(key, value, Origin::Flag))
    }

    /// Parses TOML into dotted keys; a table without keys counts as a key, so that a mistyped
    /// section is noticed even when it is empty.
    pub(super) fn parse(toml: &str, origin: Origin) -> Result<Self, ConfigError> {
        let unreadable = |cause: config::ConfigError| ConfigError::File {
            path: origin.to_string(),
            cause: cause.to_string(),
        };
        let tables = File::from_str(toml, FileFormat::Toml).collect().map_err(unreadable)?;
        let mut values = BTreeMap::new();
        flatten(String::new(), tables, &origin, &mut values);
        Ok(Self { values, origin })
    }

    /// Reads a file, refusing keys that are not known.
    pub(super) fn from_file(path: PathBuf, known: &BTreeSet<String>) -> Result<Self, ConfigError> {
        let toml = read_bounded(&path).map_err(|cause| ConfigError::File {
            path: format!("file {}", path.display()),
            cause: cause.to_string(),
        })?;
        let mut layer = Self::parse(&toml, Origin::File(path))?;
        let is_empty_section = |key: &str, value: &Value| {
            matches!(value.kind, ValueKind::Table(_))
                && known.iter().any(|k| k.strip_prefix(key).is_some_and(|k| k.starts_with('.')))
        };
        layer.values.retain(|key, value| !is_empty_section(key, value));
        for key in layer.values.keys() {
            check_known(key, known, &layer.origin)?;
        }
        Ok(layer)
    }

    /// An alias that is set and empty counts as not set, as the tools that own the names have it.
    pub(super) fn from_aliases(env: &BTreeMap<String, String>) -> Vec<Self> {
        let layer = |(name, key): &(&str, &str)| {
            let value = env.get(*name).filter(|value| !value.is_empty())?;
            Some(Self::of_one((*key).into(), value.clone(), Origin::Env((*name).into())))
        };
        ALIASES.iter().filter_map(layer).collect()
    }

    /// The variables with the prefix, refusing keys that are not known.
    pub(super) fn from_env(
        env: &BTreeMap<String, String>,
        known: &BTreeSet<String>,
    ) -> Result<Vec<Self>, ConfigError> {
        let mut layers = Vec::new();
        for (name, value) in env {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            if NOT_SETTINGS.contains(&name.as_str()) {
                continue;
            }
            let key = rest.replace("__", ".").to_ascii_lowercase();
            let origin = Origin::Env(name.clone());
            if !known.contains(&key) || variable(&key) != *name {
                return Err(ConfigError::UnknownKey {
                    key: name.clone(),
                    origin,
                    nearest: variable(nearest_known(&key, known)),
                });
            }
            layers.push(Self::of_one(key, value.clone(), origin));
        }
        Ok(layers)
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.values.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut toml = String::new();
    let read = std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut toml)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(toml)
}

/// Depth-first walk over tables, collecting leaves and empty tables under their dotted path.
fn flatten(
    prefix: String,
    table: Map<String, Value>,
    origin: &Origin,
    out: &mut BTreeMap<String, Value>,
) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value.kind {
            ValueKind::Table(inner) if !inner.is_empty() => flatten(key, inner, origin, out),
            kind => {
                out.insert(key, Value::new(Some(&origin.to_string()), kind));
            }
        }
    }
}

fn check_known(key: &str, known: &BTreeSet<String>, origin: &Origin) -> Result<(), ConfigError> {
    if known.contains(key) {
        return Ok(());
    }
    let nearest = nearest_known(key, known).to_owned();
    Err(ConfigError::UnknownKey { key: key.to_owned(), origin: origin.clone(), nearest })
}

fn nearest_known<'a>(key: &str, known: &'a BTreeSet<String>) -> &'a str {
    nearest(key, known.iter().map(String::as_str)).expect("the defaults have keys")
}

/// The variable that sets a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}
