//! `init`: the directories and keys that a node needs before its first start.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use super::context::{Context, DEV_TOKEN_NAME, load_config, now_ms, read_token};
use super::key::verifier_key;
use super::{CtlError, private};
use crate::capability::{Action, Capability, Caveat, Keyring, Macaroon, SigningKey, mint};
use crate::config::{Config, Environment, Profile};

/// The configuration of `--dev` when no other is named.
const DEV_CONFIG: &str = "configs/ledger.dev.toml";

/// The id of the development capability, and the default `capability_ref` of workloads.
const DEV_CAPABILITY: &str = "dev";

/// How long a development token is good for: a day less than any may be.
const DEV_TOKEN_MS: u64 = 29 * 24 * 60 * 60 * 1000;

/// What is left of it when it is made anew.
const DEV_TOKEN_LEFT_MS_MIN: u64 = 60 * 60 * 1000;

/// Make the directories and keys that a node needs
///
/// What is there already is kept. Run it as the user that the daemon runs as.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl init --config /etc/ron/ledger.toml\n  \
    ron-ledgerctl init --dev")]
pub(super) struct InitArgs {
    /// The daemon's configuration, which says what goes where
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// For development: takes configs/ledger.dev.toml unless --config is given, and leaves a token
    /// for everything beside the data directory
    #[arg(long)]
    dev: bool,

    /// Make the same keys each time, for tests: 64 hex digits, or any word. Whoever knows it has the
    /// keys
    #[arg(long, value_name = "HEX|WORD")]
    seed: Option<String>,
}

/// One thing that a node needs.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Step {
    what: &'static str,
    path: PathBuf,
    /// What happened to it.
    state: &'static str,
    /// Its public name, where it has one.
    name: Option<String>,
}

impl Step {
    fn new(what: &'static str, path: &Path, made: bool) -> Self {
        let state = if made { "made" } else { "was there" };
        Step { what, path: path.to_owned(), state, name: None }
    }
}

pub(super) fn run(args: InitArgs, context: &Context) -> Result<(), CtlError> {
    let file = args.config.or_else(|| args.dev.then(|| PathBuf::from(DEV_CONFIG)));
    let config = load_config(file)?.config;
    let steps = init(&config, args.dev, args.seed.as_deref(), now_ms())?;
    context.ui.show(&steps, || {
        let mut table = context.ui.table(["what", "path", "", "name"]);
        for Step { what, path, state, name } in &steps {
            let name = name.clone().unwrap_or_default();
            table.add_row([what.to_string(), path.display().to_string(), state.to_string(), name]);
        }
        table
    })
}

fn init(
    config: &Config,
    dev: bool,
    seed: Option<&str>,
    now_ms: u64,
) -> Result<Vec<Step>, CtlError> {
    if config.node.environment == Environment::Production {
        let problem = match (seed, dev) {
            (Some(_), _) => Some("--seed makes keys that others can make too"),
            (None, true) => Some("--dev leaves a token for everything"),
            (None, false) => None,
        };
        if let Some(problem) = problem {
            let message = format!("{problem}: refused with node.environment = \"production\"");
            return Err(CtlError::usage(message).hint("give a configuration for development"));
        }
    }
    let seed = seed.map(seed_bytes).transpose()?;
    let mut steps = Vec::new();
    if config.profile == Profile::Macronode {
        let dir = &config.node.data_dir;
        let made = private::make_dir(dir).map_err(|error| failed(dir, &error))?;
        steps.push(Step::new("data directory", dir, made));
    }
    let (keyring, step) = keyring(config, seed.as_deref())?;
    steps.push(step);
    steps.push(signing_key(config, seed.as_deref())?);
    if dev {
        steps.push(dev_token(config, &keyring, now_ms)?);
    }
    Ok(steps)
}

/// 64 hex digits are the seed itself; a word is stretched to one.
fn seed_bytes(text: &str) -> Result<Zeroizing<[u8; 32]>, CtlError> {
    let mut seed = Zeroizing::new([0; 32]);
    if text.is_empty() {
        return Err(CtlError::usage("--seed must not be empty"));
    }
    if text.len() != 64 || hex::decode_to_slice(text, &mut *seed).is_err() {
        *seed = blake3::derive_key("ron-ledger v1 seed of test keys", text.as_bytes());
    }
    Ok(seed)
}

fn keyring(config: &Config, seed: Option<&[u8; 32]>) -> Result<(Keyring, Step), CtlError> {
    let dir = &config.capabilities.keyring_dir;
    let there = dir.join("current").exists();
    let keyring = match there {
        true => Keyring::open(dir),
        false => Keyring::create(dir, seed),
    };
    let keyring = keyring.map_err(CtlError::internal)?;
    let name = Some(keyring.current().0.to_owned());
    let step = Step { name, ..Step::new("root keys", dir, !there) };
    Ok((keyring, step))
}

fn signing_key(config: &Config, seed: Option<&[u8; 32]>) -> Result<Step, CtlError> {
    let dir = &config.capabilities.signing_dir;
    let there = dir.join("signing.key").exists();
    let key = match there {
        true => SigningKey::load(dir),
        false => SigningKey::create(dir, &config.node.origin, seed),
    };
    let key = key.map_err(CtlError::internal)?;
    if key.origin() != config.node.origin {
        let (found, wanted) = (key.origin(), &config.node.origin);
        let message = format!("{} signs for {found}, not for {wanted}", dir.display());
        let hint = "set node.origin to that, or capabilities.signing_dir to an empty directory";
        return Err(CtlError::usage(message).hint(hint));
    }
    let name = Some(verifier_key(&key)?);
    Ok(Step { name, ..Step::new("signing key", dir, !there) })
}

/// A token for everything, beside the data directory. One that is about to expire, or is of other
/// keys, is made anew.
fn dev_token(config: &Config, keyring: &Keyring, now_ms: u64) -> Result<Step, CtlError> {
    let path = dev_token_path(config);
    let there = path.exists();
    let name = Some(DEV_CAPABILITY.to_owned());
    if there && is_good(&path, keyring, now_ms) {
        return Ok(Step { name, ..Step::new("token", &path, false) });
    }
    let expires = Caveat::ExpiresMs(now_ms.saturating_add(DEV_TOKEN_MS));
    let caveats = [Caveat::Actions(Action::ALL.to_vec()), expires];
    let token = mint(keyring, DEV_CAPABILITY, &caveats, now_ms).map_err(CtlError::internal)?;
    private::write(&path, token.expose().as_bytes()).map_err(|error| failed(&path, &error))?;
    let state = if there { "made anew" } else { "made" };
    Ok(Step { what: "token", path, state, name })
}

/// Where the development token of a configuration is.
pub(super) fn dev_token_path(config: &Config) -> PathBuf {
    config.node.data_dir.with_file_name(DEV_TOKEN_NAME)
}

fn is_good(path: &Path, keyring: &Keyring, now_ms: u64) -> bool {
    let Ok(token) = read_token(path) else { return false };
    let Ok(macaroon) = Macaroon::parse(token.expose()) else { return false };
    let signed = macaroon.verify(keyring.current().1).is_ok();
    signed
        && Capability::from_verified(&macaroon).is_ok_and(|capability| {
            capability.expires_ms() > now_ms.saturating_add(DEV_TOKEN_LEFT_MS_MIN)
        })
}

fn failed(path: &Path, error: &std::io::Error) -> CtlError {
    CtlError::internal(format_args!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use crate::ctl::Exit;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn config(dir: &Path, environment: &str) -> Config {
        let path = |name: &str| dir.join(name).display().to_string();
        let overrides = [
            ("node.environment", environment.to_owned()),
            ("node.data_dir", path("data")),
            ("capabilities.keyring_dir", path("keyring")),
            ("capabilities.signing_dir", path("signing")),
        ];
        let overrides = overrides.map(|(key, value)| (key.to_owned(), value)).to_vec();
        Config::load(Sources { overrides, ..Sources::default() }).unwrap().config
    }

    fn states(steps: &[Step]) -> Vec<&'static str> {
        steps.iter().map(|step| step.state).collect()
    }

    #[test]
    fn a_second_init_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), "dev");
        let first = init(&config, true, None, NOW_MS).unwrap();
        assert_eq!(states(&first), ["made"; 4]);
        let second = init(&config, true, None, NOW_MS).unwrap();
        assert_eq!(states(&second), ["was there"; 4]);
        let names = |steps: &[Step]| steps.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&first), names(&second));
    }

    #[test]
    fn a_token_is_made_anew_before_it_expires() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), "dev");
        init(&config, true, None, NOW_MS).unwrap();
        let later = |ms: u64| states(&init(&config, true, None, NOW_MS + ms).unwrap())[3];
        assert_eq!(later(DEV_TOKEN_MS - DEV_TOKEN_LEFT_MS_MIN - 1), "was there");
        assert_eq!(later(DEV_TOKEN_MS - DEV_TOKEN_LEFT_MS_MIN), "made anew");
        assert_eq!(later(DEV_TOKEN_MS), "was there");
        std::fs::write(dev_token_path(&config), "nonsense").unwrap();
        assert_eq!(later(DEV_TOKEN_MS), "made anew");
    }

    #[test]
    fn a_seed_gives_the_same_keys_everywhere() {
        let keys = |seed: Option<&str>| {
            let dir = tempfile::tempdir().unwrap();
            let steps = init(&config(dir.path(), "dev"), false, seed, NOW_MS).unwrap();
            let root = std::fs::read(dir.path().join("keyring/root-1.key")).unwrap();
            (root, steps[2].name.clone())
        };
        assert_eq!(keys(Some("word")), keys(Some("word")));
        assert_ne!(keys(Some("word")), keys(Some("other")));
        assert_ne!(keys(None), keys(None));
        let hex = "07".repeat(32);
        assert_eq!(seed_bytes(&hex).unwrap().as_slice(), [7; 32]);
        assert_eq!(keys(Some(&hex)), keys(Some(&hex)));
    }

    #[test]
    fn production_takes_no_shortcut() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), "production");
        for (dev, seed) in [(true, None), (false, Some("word")), (true, Some("word"))] {
            let error = init(&config, dev, seed, NOW_MS).unwrap_err();
            assert_eq!(error.exit(), Exit::Usage, "{error}");
            assert!(!dir.path().join("keyring").exists());
        }
        assert_eq!(states(&init(&config, false, None, NOW_MS).unwrap()), ["made"; 3]);
        assert!(!dir.path().join("token").exists());
    }

    #[test]
    fn a_key_of_another_origin_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), "dev");
        init(&config, false, None, NOW_MS).unwrap();
        config.node.origin = "elsewhere/ledger".to_owned();
        let error = init(&config, false, None, NOW_MS).unwrap_err();
        assert!(error.to_string().contains("not for elsewhere/ledger"), "{error}");
    }
}
