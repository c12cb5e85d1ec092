//! Merges defaults, file, environment and flags, and remembers where each value came from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::Config;
use super::layer::Layer;
use super::validate::Invalid;

/// The commented defaults; also the list of all keys.
pub const DEFAULTS: &str = include_str!("../../configs/default.toml");

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
    file: Option<PathBuf>,
    /// Variables and flags, which stay as they are as long as the process lives.
    fixed: Vec<Layer>,
}

impl Loaded {
    /// Every key in alphabetical order, with its value and where that came from.
    pub fn origins(&self) -> &[Setting] {
        &self.origins
    }

    /// The same sources, with the file as it is now. Not validated.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn again(&self) -> Result<Loaded, ConfigError> {
        merge(self.file.clone(), self.fixed.clone())
    }

    /// The keys whose values differ, with the value here and the one there.
    pub fn changes<'a>(
        &'a self,
        other: &'a Loaded,
    ) -> impl Iterator<Item = (&'a str, &'a serde_json::Value, &'a serde_json::Value)> {
        // Both have every key there is, in the same order.
        let both = self.origins.iter().zip(&other.origins);
        both.filter(|(here, there)| here.value != there.value)
            .map(|(here, there)| (here.key.as_str(), &here.value, &there.value))
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
        let known = known(&Layer::parse(DEFAULTS, Origin::Default)?);
        let mut fixed = Layer::from_aliases(&sources.env);
        fixed.extend(Layer::from_env(&sources.env, &known)?);
        for (key, value) in sources.overrides {
            fixed.push(Layer::from_flag(key, value, &known)?);
        }
        merge(sources.file, fixed)
    }
}

fn known(defaults: &Layer) -> BTreeSet<String> {
    defaults.values.keys().cloned().collect()
}

fn merge(file: Option<PathBuf>, fixed: Vec<Layer>) -> Result<Loaded, ConfigError> {
    let defaults = Layer::parse(DEFAULTS, Origin::Default)?;
    let read = file.clone().map(|path| Layer::from_file(path, &known(&defaults))).transpose()?;
    let layers = [defaults].into_iter().chain(read).chain(fixed.iter().cloned());
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
    Ok(Loaded { config, origins, file, fixed })
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
