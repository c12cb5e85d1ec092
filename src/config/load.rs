//! Merges defaults, file, environment and flags, and remembers where each value came from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use config::{File, FileFormat, Map, Source, Value, ValueKind};
use serde::Serialize;

use super::Config;
use super::nearest::nearest;
use super::validate::Invalid;

/// The commented defaults; also the list of all keys.
pub const DEFAULTS: &str = include_str!("../../configs/default.toml");

/// A configuration file may be this large, far more than all keys with comments need.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A variable with this prefix is a key in capitals, with `__` for the dot.
const PREFIX: &str = "RON_LEDGER_";

/// Variables with the prefix that are not settings: where continuous integration keeps its build.
const NOT_SETTINGS: [&str; 1] = ["RON_LEDGER_CACHE"];

/// Names that other tools gave to some settings. The ledger's own name wins over them.
const ALIASES: [(&str, &str); 5] = [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
    ("TLS_CERT_FILE", "tls.cert_file"),
    ("TLS_KEY_FILE", "tls.key_file"),
    ("TLS_CA_FILE", "tls.ca_file"),
    ("RUST_LOG", "telemetry.log"),
];

/// What a configuration is made from, beside the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// The environment. What is neither prefixed nor an alias is passed over.
    pub env: BTreeMap<String, String>,
    /// Dotted keys and values from command-line flags.
    pub overrides: Vec<(String, String)>,
}

impl Sources {
    /// The environment of this process, with the given file and flags.
    pub fn from_process(file: Option<PathBuf>, overrides: Vec<(String, String)>) -> Self {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let env = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect();
        Self { file, env, overrides }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The defaults.
    Default,
    /// A file.
    File(PathBuf),
    /// The environment variable of this name.
    Env(String),
    /// A command-line flag.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "env {name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One key with the value in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// The dotted key.
    pub key: String,
    /// The value as the program understood it: sizes in bytes, durations as strings, an optional
    /// value that is not set as an empty string.
    pub value: serde_json::Value,
    /// Where it came from.
    pub origin: Origin,
}

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key that nobody knows.
    #[error("unknown key `{key}` ({origin}); did you mean `{nearest}`?")]
    UnknownKey {
        /// The key, or the variable, as it was written.
        key: String,
        /// Where it was written.
        origin: Origin,
        /// The nearest known key, in the same notation.
        nearest: String,
    },
    /// The file cannot be read or is not TOML.
    #[error("cannot read {path}: {cause}")]
    File {
        /// The file.
        path: String,
        /// What went wrong.
        cause: String,
    },
    /// A value of the wrong type or form.
    #[error("{0}")]
    Value(String),
    /// Values that do not go together.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// A configuration and the story of its values.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values in force. Not yet validated.
    pub config: Config,
    origins: Vec<Setting>,
}

impl Loaded {
    /// Every key in alphabetical order, with its value and where that came from.
    pub fn origins(&self) -> &[Setting] {
        &self.origins
    }

    /// The same as one JSON object: key -> `{"value", "origin"}`.
    pub fn to_json(&self) -> serde_json::Value {
        let entry = |s: &Setting| {
            (s.key.clone(), serde_json::json!({ "value": s.value, "origin": s.origin }))
        };
        serde_json::Value::Object(self.origins.iter().map(entry).collect())
    }
}

impl fmt::Display for Loaded {
    /// One line a key: `key = value  # origin`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Setting { key, value, origin } in &self.origins {
            writeln!(f, "{:<60} # {origin}", format!("{key} = {value}"))?;
        }
        Ok(())
    }
}

impl Config {
    /// Merges the sources: flag over environment over file over defaults.
    ///
    /// # Errors
    /// An unreadable file, an unknown key in any source (with the nearest known one), or a value of
    /// the wrong type. Relations between values are left to [`Config::validate`].
    pub fn load(sources: Sources) -> Result<Loaded, ConfigError> {
        let defaults = Layer::parse(DEFAULTS, Origin::Default)?;
        let known: BTreeSet<String> = defaults.values.keys().cloned().collect();

        let mut layers = vec![defaults];
        if let Some(path) = sources.file {
            layers.push(Layer::from_file(path, &known)?);
        }
        layers.extend(Layer::from_aliases(&sources.env));
        layers.extend(Layer::from_env(&sources.env, &known)?);
        for (key, value) in sources.overrides {
            check_known(&key, &known, &Origin::Flag)?;
            layers.push(Layer::of_one(key, value, Origin::Flag));
        }

        let mut origins: BTreeMap<String, Origin> = BTreeMap::new();
        let mut builder = config::Config::builder();
        for layer in layers {
            origins.extend(layer.values.keys().map(|key| (key.clone(), layer.origin.clone())));
            builder = builder.add_source(layer);
        }
        let config: Config = builder
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|error| ConfigError::Value(describe(&error, &origins)))?;
        let origins = settings(&config, origins);
        Ok(Loaded { config, origins })
    }
}

/// The values of one source under their dotted keys.
#[derive(Clone, Debug)]
struct Layer {
    values: BTreeMap<String, Value>,
    origin: Origin,
}

impl Layer {
    fn of_one(key: String, value: String, origin: Origin) -> Self {
        let value = Value::new(Some(&origin.to_string()), ValueKind::String(value));
        Self { values: BTreeMap::from([(key, value)]), origin }
    }

    /// Parses TOML into dotted keys; a table without keys counts as a key, so that a mistyped
    /// section is noticed even when it is empty.
    fn parse(toml: &str, origin: Origin) -> Result<Self, ConfigError> {
        let unreadable = |cause: config::ConfigError| ConfigError::File {
            path: origin.to_string(),
            cause: cause.to_string(),
        };
        let tables = File::from_str(toml, FileFormat::Toml).collect().map_err(unreadable)?;
        let mut values = BTreeMap::new();
        flatten(String::new(), tables, &origin, &mut values);
        Ok(Self { values, origin })
    }

    fn from_file(path: PathBuf, known: &BTreeSet<String>) -> Result<Self, ConfigError> {
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
    fn from_aliases(env: &BTreeMap<String, String>) -> Vec<Self> {
        let layer = |(name, key): &(&str, &str)| {
            let value = env.get(*name).filter(|value| !value.is_empty())?;
            Some(Self::of_one((*key).into(), value.clone(), Origin::Env((*name).into())))
        };
        ALIASES.iter().filter_map(layer).collect()
    }

    fn from_env(
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

/// One setting for each key, with the value read back from the typed configuration.
fn settings(config: &Config, origins: BTreeMap<String, Origin>) -> Vec<Setting> {
    let tree = serde_json::to_value(config).expect("it holds strings, numbers and booleans only");
    let setting = |(key, origin): (String, Origin)| {
        let path = format!("/{}", key.replace('.', "/"));
        let value = tree.pointer(&path).expect("a key that is no field was refused before");
        Setting { key, value: value.clone(), origin }
    };
    origins.into_iter().map(setting).collect()
}

/// `key: what is wrong (origin)`. The crate's own text has the key or the origin, seldom both.
fn describe(error: &config::ConfigError, origins: &BTreeMap<String, Origin>) -> String {
    let (key, cause) = match error {
        config::ConfigError::At { error, key: Some(key), .. } => (key, error.to_string()),
        config::ConfigError::Type { key: Some(key), unexpected, expected, .. } => {
            (key, format!("found {unexpected}, expected {expected}"))
        }
        other => return other.to_string(),
    };
    match origins.get(key) {
        Some(origin) => format!("`{key}`: {cause} ({origin})"),
        None => format!("`{key}`: {cause}"),
    }
}
