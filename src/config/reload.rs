//! Which settings a running node takes anew at SIGHUP. All others need a restart.

/// The settings that take effect at once, or whole sections of them.
const RELOADED: &[&str] = &[
    "limits.requests_per_second",
    "policy.file",
    "rates.",
    "telemetry.log",
    "telemetry.sample_ratio",
    "upstream.ca_file",
    "upstream.cert_file",
    "upstream.key_file",
];

/// The same of each service that is asked.
const RELOADED_OF_UPSTREAMS: &[&str] = &[".url", ".timeout", ".retries"];

/// Whether a change of the setting with this dotted key takes effect at SIGHUP.
#[must_use]
pub fn is_reloaded(key: &str) -> bool {
    let is_in = |section: &str| section.ends_with('.') && key.starts_with(section);
    let is_of_service = |setting: &str| key.starts_with("upstream.") && key.ends_with(setting);
    RELOADED.iter().any(|known| key == *known || is_in(known))
        || RELOADED_OF_UPSTREAMS.iter().any(|setting| is_of_service(setting))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Sources};
    use super::*;

    /// A name that is no setting would promise a reload of nothing.
    #[test]
    fn every_name_in_the_list_is_that_of_a_setting() {
        let loaded = Config::load(Sources::default()).unwrap();
        let keys: Vec<&str> = loaded.origins().iter().map(|s| s.key.as_str()).collect();
        for name in RELOADED {
            let found =
                keys.iter().any(|key| key == name || name.ends_with('.') && key.starts_with(name));
            assert!(found, "{name}");
        }
        for ending in RELOADED_OF_UPSTREAMS {
            let found =
                keys.iter().any(|key| key.starts_with("upstream.") && key.ends_with(ending));
            assert!(found, "{ending}");
        }
        let reloaded = keys.iter().filter(|key| is_reloaded(key)).count();
        assert!(reloaded > 10 && reloaded < keys.len() / 2, "{reloaded} of {}", keys.len());
        assert!(!is_reloaded("ledger.hash") && !is_reloaded("upstream.kms.mode"));
    }
}
