//! Where a value comes from, what is refused, and that the documents list every key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

const SHIPPED: [&str; 3] = ["ledger.dev.toml", "micronode.toml", "macronode.toml"];

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn with_env(pairs: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    Config::load(Sources { env: env(pairs), ..Sources::default() })
}

fn with_flags(pairs: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let overrides = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    Config::load(Sources { overrides, ..Sources::default() })
}

fn with_file(toml: &str) -> Result<Loaded, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.toml");
    std::fs::write(&file, toml).unwrap();
    Config::load(Sources { file: Some(file), ..Sources::default() })
}

fn origin_of<'a>(loaded: &'a Loaded, key: &str) -> &'a Origin {
    &loaded.origins().iter().find(|s| s.key == key).unwrap().origin
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.toml");
    std::fs::write(&file, "[queues]\ningress = 2\nprevalidator = 2\ncommit = 2\n").unwrap();
    let loaded = Config::load(Sources {
        file: Some(file.clone()),
        env: env(&[("RON_LEDGER_QUEUES__INGRESS", "3"), ("RON_LEDGER_QUEUES__COMMIT", "3")]),
        overrides: vec![("queues.ingress".into(), "4".into())],
    })
    .unwrap();
    let queues = &loaded.config.queues;
    assert_eq!((queues.ingress, queues.commit, queues.prevalidator), (4, 3, 2));
    assert_eq!(loaded.config.commit.batch_max_entries, 4096);
    assert_eq!(*origin_of(&loaded, "queues.ingress"), Origin::Flag);
    assert_eq!(
        *origin_of(&loaded, "queues.commit"),
        Origin::Env("RON_LEDGER_QUEUES__COMMIT".into())
    );
    assert_eq!(*origin_of(&loaded, "queues.prevalidator"), Origin::File(file));
    assert_eq!(*origin_of(&loaded, "commit.batch_max_entries"), Origin::Default);
}

#[test]
fn every_key_has_one_origin_and_a_field() {
    let loaded = Config::load(Sources::default()).unwrap();
    fn leaves(prefix: &str, value: &serde_json::Value, out: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(map) => {
                for (name, inner) in map {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    leaves(&format!("{prefix}{dot}{name}"), inner, out);
                }
            }
            _ => drop(out.insert(prefix.to_owned())),
        }
    }
    let mut fields = BTreeSet::new();
    leaves("", &serde_json::to_value(&loaded.config).unwrap(), &mut fields);
    let keys: Vec<&str> = loaded.origins().iter().map(|s| s.key.as_str()).collect();
    assert_eq!(keys, fields.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn profile_and_names_of_other_tools_are_understood() {
    let loaded = with_env(&[
        ("RON_LEDGER_PROFILE", "micronode"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel-collector:4317"),
        ("TLS_CERT_FILE", "/etc/ron/tls/ledger.crt"),
        ("TLS_KEY_FILE", "/etc/ron/tls/ledger.key"),
        ("TLS_CA_FILE", "/etc/ron/tls/ca.crt"),
        ("RUST_LOG", "info,hyper=warn,tower=warn"),
        ("RON_LEDGER_CACHE", "/var/cache"),
        ("RON_LEDGERX", "not ours"),
        ("PATH", "/bin"),
    ])
    .unwrap();
    let config = &loaded.config;
    assert_eq!(config.profile, Profile::Micronode);
    assert_eq!(config.telemetry.otlp_endpoint.as_deref(), Some("http://otel-collector:4317"));
    assert_eq!(config.tls.cert_file.as_deref(), Some(Path::new("/etc/ron/tls/ledger.crt")));
    assert_eq!(config.tls.key_file.as_deref(), Some(Path::new("/etc/ron/tls/ledger.key")));
    assert_eq!(config.tls.ca_file.as_deref(), Some(Path::new("/etc/ron/tls/ca.crt")));
    assert_eq!(config.telemetry.log, "info,hyper=warn,tower=warn");
    assert_eq!(*origin_of(&loaded, "telemetry.log"), Origin::Env("RUST_LOG".into()));
}

#[test]
fn own_name_beats_alias_and_empty_alias_is_not_set() {
    let both = with_env(&[("RUST_LOG", "warn"), ("RON_LEDGER_TELEMETRY__LOG", "debug")]).unwrap();
    assert_eq!(both.config.telemetry.log, "debug");
    let empty = with_env(&[("RUST_LOG", ""), ("TLS_CERT_FILE", "")]).unwrap();
    assert_eq!(empty.config.telemetry.log, "info");
    assert_eq!(empty.config.tls.cert_file, None);
}

#[test]
fn unknown_keys_are_refused_and_name_the_nearest() {
    let check = |result: Result<Loaded, ConfigError>, parts: &[&str]| {
        let error = result.expect_err("an unknown key").to_string();
        for part in parts {
            assert!(error.contains(part), "{part} not in: {error}");
        }
    };
    check(with_file("[queues]\ningres = 1\n"), &["`queues.ingres`", "`queues.ingress`", "file "]);
    check(with_file("[quues]\n"), &["`quues`"]);
    check(with_file("queues = 1\n"), &["`queues`"]);
    check(with_file("[profile]\nname = \"micronode\"\n"), &["`profile.name`"]);
    check(with_file("[Queues]\ningress = 1\n"), &["`Queues.ingress`", "`queues.ingress`"]);
    check(
        with_env(&[("RON_LEDGER_QUEUE__INGRESS", "1")]),
        &["`RON_LEDGER_QUEUE__INGRESS`", "`RON_LEDGER_QUEUES__INGRESS`"],
    );
    check(with_env(&[("RON_LEDGER_queues__ingress", "1")]), &["`RON_LEDGER_QUEUES__INGRESS`"]);
    check(with_env(&[("RON_LEDGER_HOME", "/x")]), &["did you mean"]);
    check(with_flags(&[("queues.comit", "1")]), &["`queues.comit`", "`queues.commit`", "flag"]);
}

#[test]
fn wrong_values_name_key_and_origin() {
    let check = |key: &str, value: &str| {
        let error = with_flags(&[(key, value)]).expect_err(value).to_string();
        assert!(error.contains(&format!("`{key}`")), "{error}");
        assert!(error.contains("(flag)"), "{error}");
    };
    check("queues.ingress", "many");
    check("queues.ingress", "-1");
    check("queues.ingress", "");
    check("limits.body_max_bytes", "1MB");
    check("limits.request_deadline", "2.5");
    check("limits.request_deadline", "soon");
    check("profile", "meganode");
    check("ledger.hash", "md5");
    check("http.api_addr", "localhost");
    check("chaos.enabled", "perhaps");
    check("telemetry.sample_ratio", "half");
    assert!(with_file("[queues]\ningress = [1]\n").is_err());
    assert!(with_file("[limits]\nbody_max_bytes = -1\n").is_err());
}

#[test]
fn file_that_is_missing_or_broken_is_named() {
    let missing = Sources { file: Some("/no/such/file.toml".into()), ..Sources::default() };
    let error = Config::load(missing).unwrap_err().to_string();
    assert!(error.contains("/no/such/file.toml"), "{error}");
    let error = with_file("[queues\n").unwrap_err().to_string();
    assert!(error.contains("ledger.toml"), "{error}");
    let error = with_file(&"#".repeat((1 << 20) + 1)).unwrap_err().to_string();
    assert!(error.contains("larger than"), "{error}");
    assert!(with_file(&"#".repeat(1 << 20)).is_ok());
}

#[test]
fn sizes_and_durations_have_units() {
    let loaded = with_flags(&[
        ("limits.body_max_bytes", "3KiB"),
        ("limits.inflight_bytes", "4096"),
        ("drain.deadline", "1m 2s"),
        ("publish.min_interval", "0.25s"),
    ])
    .unwrap();
    let config = &loaded.config;
    assert_eq!((config.limits.body_max_bytes, config.limits.inflight_bytes), (3072, 4096));
    assert_eq!(config.limits.request_deadline, Duration::from_millis(2500));
    assert_eq!(config.drain.deadline, Duration::from_secs(62));
    assert_eq!(config.publish.min_interval, Duration::from_millis(250));
}

#[test]
fn a_printed_value_loads_again_as_the_same() {
    let first =
        with_env(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"), ("TLS_CA_FILE", "ca")]);
    let first = first.unwrap();
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let overrides = first.origins().iter().map(|s| (s.key.clone(), text(&s.value))).collect();
    let second = Config::load(Sources { overrides, ..Sources::default() }).unwrap();
    assert_eq!(first.config, second.config);
}

#[test]
fn print_shows_value_and_origin() {
    let loaded = with_env(&[("RON_LEDGER_QUEUES__INGRESS", "7")]).unwrap();
    let text = loaded.to_string();
    let line = text.lines().find(|line| line.starts_with("queues.ingress = 7")).unwrap();
    assert!(line.ends_with("# env RON_LEDGER_QUEUES__INGRESS"), "{line}");
    let json = loaded.to_json();
    assert_eq!(json["queues.ingress"]["value"], 7);
    assert_eq!(json["queues.ingress"]["origin"], "env RON_LEDGER_QUEUES__INGRESS");
    assert_eq!(json["limits.request_deadline"]["value"], "2s 500ms");
    assert_eq!(json["limits.request_deadline"]["origin"], "default");
}

/// Keys that `validate` blames after these flags over the development configuration.
fn blamed(flags: &[(&str, &str)]) -> Vec<&'static str> {
    let overrides = flags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let file = Some(repo("configs/ledger.dev.toml"));
    let loaded = Config::load(Sources { file, overrides, ..Sources::default() }).unwrap();
    match loaded.config.validate() {
        Ok(()) => Vec::new(),
        Err(Invalid(violations)) => violations.iter().map(|v| v.key).collect(),
    }
}

#[test]
fn broken_relations_blame_their_key() {
    let check =
        |flags: &[(&str, &str)], keys: &[&str]| assert_eq!(blamed(flags), keys, "{flags:?}");
    check(&[], &[]);
    check(&[("node.origin", "two words")], &["node.origin"]);
    check(&[("ledger.default_asset", "ron")], &["ledger.default_asset"]);
    check(&[("node.data_dir", "")], &["node.data_dir"]);
    check(&[("queues.commit", "0")], &["queues.commit"]);
    check(&[("limits.batch_max_entries", "1001")], &["limits.batch_max_entries"]);
    check(&[("limits.batch_max_entries", "0")], &["limits.batch_max_entries"]);
    check(&[("limits.inflight_bytes", "1023KiB")], &["limits.inflight_bytes"]);
    check(&[("limits.inflight_bytes", "1MiB")], &[]);
    check(&[("limits.requests_per_second", "1000001")], &["limits.requests_per_second"]);
    check(&[("limits.requests_per_second", "1000000")], &[]);
    check(&[("rates.tls", "1000001")], &["rates.tls"]);
    check(&[("concurrency.prevalidators", "65")], &["concurrency.prevalidators"]);
    check(&[("queues.prevalidator", "1")], &["queues.prevalidator"]);
    check(&[("commit.batch_max_entries", "398744")], &[]);
    check(&[("commit.batch_max_entries", "398745")], &["derived.max_lag_entries"]);
    check(&[("limits.request_deadline", "3s")], &["limits.request_deadline"]);
    check(&[("publish.min_interval", "1s")], &["publish.min_interval"]);
    check(&[("supervision.backoff_min", "3s")], &["supervision.backoff_max"]);
    check(&[("supervision.backoff_max", "60s")], &["supervision.backoff_max"]);
    check(&[("supervision.stuck_after", "2.5s")], &["supervision.stuck_after"]);
    check(&[("verifier.entries_per_second", "1000001")], &["verifier.entries_per_second"]);
    check(&[("verifier.entries_per_second", "0")], &[]);
    check(&[("verifier.interval", "0s")], &["verifier.interval"]);
    check(&[("capabilities.cache_ttl", "61s")], &["capabilities.cache_ttl"]);
    check(&[("upstream.connections_max", "0")], &["upstream.connections_max"]);
    check(&[("upstream.breaker_failures", "0")], &["upstream.breaker_failures"]);
    check(&[("upstream.read_grace", "25h")], &["upstream.read_grace"]);
    check(&[("upstream.cert_file", "a")], &["upstream.key_file"]);
    check(&[("upstream.kms.timeout", "2.5s")], &[]);
    check(&[("upstream.wallet.retries", "11")], &["upstream.wallet.retries"]);
    let guard = ("upstream.policy.mode", "remote");
    check(&[guard], &["upstream.policy.url"]);
    check(&[guard, ("upstream.policy.url", "http://10.0.0.1:1")], &["upstream.policy.url"]);
    check(&[guard, ("upstream.policy.url", "https://guard:1")], &["upstream.ca_file"]);
    let there = ("upstream.policy.url", "http://127.0.0.1:1");
    check(&[guard, there], &[]);
    for timeout in ["2.5s", "0s"] {
        let wrong = ("upstream.policy.timeout", timeout);
        check(&[guard, there, wrong], &["upstream.policy.timeout"]);
    }
    check(&[("http.metrics_addr", "127.0.0.1:5082")], &["http.metrics_addr"]);
    check(&[("http.api_addr", "[::]:0"), ("http.metrics_addr", "[::]:0")], &[]);
    check(&[("tls.cert_file", "a")], &["tls.key_file"]);
    check(&[("tls.key_file", "a")], &["tls.cert_file"]);
    check(&[("tls.ca_file", "a")], &["tls.ca_file"]);
    check(&[("telemetry.log", "info,=")], &["telemetry.log"]);
    check(&[("telemetry.sample_ratio", "1.5")], &["telemetry.sample_ratio"]);
    check(&[("telemetry.sample_ratio", "nan")], &["telemetry.sample_ratio"]);
    check(&[("telemetry.otlp_endpoint", "https://c:4317")], &["telemetry.otlp_endpoint"]);
    check(&[("telemetry.otlp_endpoint", "http://u:p@c:4317")], &["telemetry.otlp_endpoint"]);
    check(&[("memory.max_bytes", "112MiB")], &[]);
    check(&[("memory.max_bytes", "112MiB"), ("profile", "micronode")], &["memory.max_bytes"]);
}

#[test]
fn production_refuses_the_shortcuts_of_development() {
    let safe = [
        ("node.environment", "production"),
        ("telemetry.otlp_endpoint", "http://127.0.0.1:4317"),
        ("keys.dev", "false"),
        ("capabilities.open_reads", "false"),
        ("governance.reversible_bridges", "require-cap"),
    ];
    assert_eq!(blamed(&safe), Vec::<&str>::new());
    let check = |key: &'static str, value| {
        let mut flags = safe.to_vec();
        flags.retain(|(k, _)| *k != key);
        flags.push((key, value));
        assert_eq!(blamed(&flags), [key]);
    };
    check("telemetry.otlp_endpoint", "");
    check("keys.dev", "true");
    check("chaos.enabled", "true");
    check("capabilities.open_reads", "true");
    check("governance.reversible_bridges", "allow");
    assert_eq!(blamed(&[("chaos.enabled", "true")]), Vec::<&str>::new());
    let remote = [("upstream.kms.mode", "remote"), ("upstream.kms.url", "http://127.0.0.1:1")];
    let flags = [&safe[..], &remote].concat();
    assert_eq!(blamed(&flags), ["upstream.kms.url", "upstream.cert_file"]);
}

#[test]
fn shipped_configurations_load_and_validate() {
    for name in SHIPPED {
        let file = Some(repo("configs").join(name));
        let loaded = Config::load(Sources { file, ..Sources::default() });
        let loaded = loaded.unwrap_or_else(|error| panic!("{name}: {error}"));
        loaded.config.validate().unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn a_file_is_read_again_under_the_same_variables_and_flags() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.toml");
    std::fs::write(&file, "[rates]\ntls = 5\nplain = 6\nuds = 7\n").unwrap();
    let first = Config::load(Sources {
        file: Some(file.clone()),
        env: env(&[("RON_LEDGER_RATES__PLAIN", "60")]),
        overrides: vec![("rates.uds".into(), "70".into())],
    })
    .unwrap();
    assert_eq!(first.changes(&first.again().unwrap()).count(), 0);
    std::fs::write(&file, "[rates]\ntls = 50\nplain = 8\nuds = 9\n").unwrap();
    let again = first.again().unwrap().again().unwrap();
    let rates = &again.config.rates;
    assert_eq!((rates.tls, rates.plain, rates.uds), (50, 60, 70));
    let told: Vec<String> =
        first.changes(&again).map(|(key, old, new)| format!("{key} {old} {new}")).collect();
    assert_eq!(told, ["rates.tls 5 50"]);
    std::fs::write(&file, "[rates]\ntsl = 50\n").unwrap();
    assert!(first.again().unwrap_err().to_string().contains("rates.tls"));
}

#[test]
fn every_file_in_configs_is_under_test() {
    let names: BTreeSet<String> = std::fs::read_dir(repo("configs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let known = SHIPPED
        .into_iter()
        .chain(["default.toml", "policy.example.toml"])
        .map(str::to_owned)
        .collect();
    assert_eq!(names, known);
}

#[test]
fn the_manual_has_every_key_with_its_default() {
    let manual = std::fs::read_to_string(repo("docs/CONFIG.md")).unwrap();
    let rows: BTreeMap<String, String> = manual
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let key = cells.next()?.trim_end_matches('`').to_owned();
            let default = cells.next()?.trim_matches('`').to_owned();
            Some((key, default))
        })
        .collect();
    assert_eq!(rows, written_defaults());
}

/// Key and value of each default as it is written, read without the code under test.
fn written_defaults() -> BTreeMap<String, String> {
    let mut section = String::new();
    let mut out = BTreeMap::new();
    for line in DEFAULTS.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        } else if let Some((key, value)) = line.split_once(" = ") {
            out.insert(format!("{section}{key}"), value.to_owned());
        }
    }
    out
}
