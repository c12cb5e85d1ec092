//! Relations between values: each rule names the key to change and says why.

use std::fmt;
use std::time::Duration;

use super::model::*;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The key to change.
    pub key: &'static str,
    /// What it must be, and why.
    pub why: String,
}

/// All the rules that a configuration breaks; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Invalid(pub Vec<Violation>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration does not hold together:")?;
        for Violation { key, why } in &self.0 {
            write!(f, "\n  {key}: {why}")?;
        }
        Ok(())
    }
}

impl Config {
    /// Checks the relations between values, and what production demands.
    ///
    /// # Errors
    /// All broken rules at once.
    pub fn validate(&self) -> Result<(), Invalid> {
        let mut rules = Rules(Vec::new());
        self.check_names(&mut rules);
        self.check_counts(&mut rules);
        self.check_sizes(&mut rules);
        self.check_times(&mut rules);
        self.check_listeners(&mut rules);
        self.check_admin(&mut rules);
        self.check_telemetry(&mut rules);
        self.check_witnesses(&mut rules);
        self.check_upstream(&mut rules);
        self.archive.check(self.profile, &mut rules);
        self.check_environment(&mut rules);
        if rules.0.is_empty() { Ok(()) } else { Err(Invalid(rules.0)) }
    }

    fn check_names(&self, rules: &mut Rules) {
        // A note's key name is the origin: no spaces, no plus (C2SP signed-note).
        let origin = &self.node.origin;
        let plain = |c: char| c.is_ascii_graphic() && c != '+';
        rules.need(
            (1..=128).contains(&origin.len()) && origin.chars().all(plain),
            "node.origin",
            "1 to 128 printable ASCII characters without space or `+`: it names the key of notes",
        );
        let asset = &self.ledger.default_asset;
        let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "._-".contains(c);
        rules.need(
            (1..=16).contains(&asset.len()) && asset.chars().all(allowed),
            "ledger.default_asset",
            "1 to 16 of A-Z 0-9 . _ -: entries accept no other asset",
        );
        for (key, path) in [
            ("node.data_dir", &self.node.data_dir),
            ("capabilities.keyring_dir", &self.capabilities.keyring_dir),
            ("capabilities.signing_dir", &self.capabilities.signing_dir),
        ] {
            rules.need(!path.as_os_str().is_empty(), key, "name a directory");
        }
    }

    fn check_counts(&self, rules: &mut Rules) {
        let (limits, commit, derived) = (&self.limits, &self.commit, &self.derived);
        for (key, value) in [
            ("limits.body_max_bytes", limits.body_max_bytes),
            ("limits.inflight_requests", count(limits.inflight_requests)),
            ("limits.connections_max", count(limits.connections_max)),
            ("limits.page_max", count(limits.page_max)),
            ("queues.ingress", count(self.queues.ingress)),
            ("queues.commit", count(self.queues.commit)),
            ("commit.batch_max_entries", count(commit.batch_max_entries)),
            ("commit.batch_max_bytes", commit.batch_max_bytes),
            ("commit.expire_max", count(commit.expire_max)),
            ("derived.flush_entries", derived.flush_entries),
            ("rocksdb.write_buffer_bytes", self.rocksdb.write_buffer_bytes),
            ("rocksdb.background_jobs", self.rocksdb.background_jobs.into()),
            (
                "rocksdb.background_bytes_per_second_max",
                self.rocksdb.background_bytes_per_second_max,
            ),
            ("rocksdb.open_files_max", self.rocksdb.open_files_max.into()),
            ("capabilities.cache_entries", count(self.capabilities.cache_entries)),
        ] {
            rules.need(value > 0, key, "at least 1: nothing would get through");
        }
    }

    fn check_sizes(&self, rules: &mut Rules) {
        let (limits, commit, derived) = (&self.limits, &self.commit, &self.derived);
        rules.need(
            (1..=1000).contains(&limits.batch_max_entries),
            "limits.batch_max_entries",
            "1 to 1000: a request stands for at most that much of one commit group",
        );
        rules.need(
            limits.body_max_bytes <= limits.inflight_bytes,
            "limits.inflight_bytes",
            "at least limits.body_max_bytes: the largest body would never find a seat",
        );
        rules.need(
            (1..=64).contains(&self.concurrency.prevalidators),
            "concurrency.prevalidators",
            "1 to 64: each is a thread",
        );
        rules.need(
            self.queues.prevalidator >= self.concurrency.prevalidators,
            "queues.prevalidator",
            "at least concurrency.prevalidators: the total is shared by them",
        );
        rules.need(
            limits.requests_per_second <= 1_000_000,
            "limits.requests_per_second",
            "at most 1000000, or 0 for no limit: the time for one is counted in whole nanoseconds",
        );
        rules.need(
            self.verifier.entries_per_second <= 1_000_000,
            "verifier.entries_per_second",
            "at most 1000000, or 0 for never: no core verifies more",
        );
        let rates = &self.rates;
        for (key, rate) in [
            ("rates.capability", rates.capability),
            ("rates.uds", rates.uds),
            ("rates.mtls", rates.mtls),
            ("rates.tls", rates.tls),
            ("rates.plain", rates.plain),
        ] {
            rules.need(rate <= 1_000_000, key, "at most 1000000, or 0 for no limit");
        }
        rules.need(self.http.workers <= 1024, "http.workers", "at most 1024: each is a thread");
        // The request that closes a group may be of full size, after holds that expired.
        let group = count(commit.batch_max_entries)
            .saturating_add(count(limits.batch_max_entries))
            .saturating_add(count(commit.expire_max));
        rules.need(
            derived.flush_entries.saturating_add(group) <= derived.max_lag_entries,
            "derived.max_lag_entries",
            "at least derived.flush_entries + commit.batch_max_entries + limits.batch_max_entries \
             + commit.expire_max: the writer would stall before a flush is due",
        );
        rules.need(
            self.profile == Profile::Macronode
                || derived.filter_bytes.saturating_add(limits.inflight_bytes)
                    < self.memory.max_bytes,
            "memory.max_bytes",
            "more than derived.filter_bytes + limits.inflight_bytes: no room would be left for \
             entries",
        );
    }

    fn check_times(&self, rules: &mut Rules) {
        let supervision = &self.supervision;
        for (key, value) in [
            ("limits.request_deadline", self.limits.request_deadline),
            ("commit.wall_step_max", self.commit.wall_step_max),
            ("publish.min_interval", self.publish.min_interval),
            ("witness.interval", self.witness.interval),
            ("witness.timeout", self.witness.timeout),
            ("verifier.interval", self.verifier.interval),
            ("supervision.window", supervision.window),
            ("supervision.backoff_min", supervision.backoff_min),
        ] {
            rules.need(!value.is_zero(), key, "longer than 0");
        }
        rules.need(
            self.limits.request_deadline < self.drain.deadline,
            "limits.request_deadline",
            "shorter than drain.deadline: a stop would cut off requests that still have time",
        );
        rules.need(
            self.publish.min_interval < Duration::from_secs(1),
            "publish.min_interval",
            "shorter than 1s: published roots may trail the log by no more",
        );
        rules.need(
            supervision.backoff_min <= supervision.backoff_max,
            "supervision.backoff_max",
            "at least supervision.backoff_min",
        );
        rules.need(
            supervision.backoff_max < supervision.window,
            "supervision.backoff_max",
            "shorter than supervision.window: the restart budget could never be spent",
        );
        rules.need(
            supervision.stuck_after > self.limits.request_deadline,
            "supervision.stuck_after",
            "longer than limits.request_deadline: one slow request would look like a stuck queue",
        );
        rules.need(
            self.capabilities.cache_ttl <= Duration::from_secs(60),
            "capabilities.cache_ttl",
            "at most 60s: a revoked capability works for that long",
        );
    }

    fn check_witnesses(&self, rules: &mut Rules) {
        let witness = &self.witness;
        rules.need(
            !witness.hold || witness.policy_file.is_some(),
            "witness.hold",
            "needs witness.policy_file: without witnesses nothing would ever be published",
        );
        let lasting = self.profile == Profile::Macronode;
        rules.need(
            witness.policy_file.is_none() || lasting && self.ledger.hash == HashChoice::Sha256,
            "witness.policy_file",
            "needs a macronode whose ledger.hash is sha256: a witness follows one lasting log, and \
             checks its growth by that hash",
        );
    }

    fn check_listeners(&self, rules: &mut Rules) {
        // Port 0 asks for any free port, so two of them never collide.
        let (api, metrics) = (self.http.api_addr, self.http.metrics_addr);
        rules.need(
            api.port() == 0 || api != metrics,
            "http.metrics_addr",
            "another address than http.api_addr: the planes are apart",
        );
        // sockaddr_un holds 108 bytes, the end of the text among them.
        let path = self.uds.path.as_ref().map_or(0, |path| path.as_os_str().len());
        rules.need(path < 108, "uds.path", "shorter than 108 bytes: no socket has a longer one");
        let disk = &self.disk;
        rules.need(
            disk.degraded_percent < disk.refuse_percent && disk.refuse_percent < 100,
            "disk.refuse_percent",
            "more than disk.degraded_percent and less than 100: a warning comes before a refusal",
        );
        let tls = &self.tls;
        rules.need(
            tls.cert_file.is_some() == tls.key_file.is_some(),
            if tls.cert_file.is_some() { "tls.key_file" } else { "tls.cert_file" },
            "set both tls.cert_file and tls.key_file, or none: one is of no use without the other",
        );
        rules.need(
            tls.ca_file.is_none() || tls.cert_file.is_some(),
            "tls.ca_file",
            "needs tls.cert_file and tls.key_file: client certificates are asked for over TLS only",
        );
    }

    fn check_admin(&self, rules: &mut Rules) {
        let (admin, tls) = (&self.admin, &self.tls);
        let Some(addr) = admin.addr else {
            let why = "needs admin.addr: without it there is no admin plane";
            rules.need(admin.ca_file.is_none(), "admin.ca_file", why);
            rules.need(admin.roles.is_empty(), "admin.roles", why);
            return;
        };
        rules.need(
            tls.cert_file.is_some() && tls.key_file.is_some(),
            "admin.addr",
            "needs tls.cert_file and tls.key_file: orders are taken over TLS alone",
        );
        rules.need(
            admin.ca_file.is_some() || tls.ca_file.is_some(),
            "admin.ca_file",
            "set it, or tls.ca_file: nobody gives orders without a certificate",
        );
        rules.need(
            !admin.roles.is_empty(),
            "admin.roles",
            "name who may do what: without roles the admin plane serves nobody",
        );
        let others = [self.http.api_addr, self.http.metrics_addr];
        rules.need(
            addr.port() == 0 || !others.contains(&addr),
            "admin.addr",
            "another address than http.api_addr and http.metrics_addr: the planes are apart",
        );
    }

    fn check_telemetry(&self, rules: &mut Rules) {
        let telemetry = &self.telemetry;
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&telemetry.log) {
            rules.need(false, "telemetry.log", &format!("no filter directives: {error}"));
        }
        rules.need(
            (0.0..=1.0).contains(&telemetry.sample_ratio),
            "telemetry.sample_ratio",
            "0 to 1: it is a share",
        );
        let Some(endpoint) = &telemetry.otlp_endpoint else { return };
        rules.need(
            endpoint.strip_prefix("http://").is_some_and(|host| !host.is_empty()),
            "telemetry.otlp_endpoint",
            "http://host:port: put a local collector in front of one that needs TLS",
        );
        rules.need(
            !endpoint.contains('@'),
            "telemetry.otlp_endpoint",
            "without credentials: it is printed and logged",
        );
    }

    fn check_environment(&self, rules: &mut Rules) {
        if self.node.environment == Environment::Dev {
            return;
        }
        rules.need(
            self.telemetry.otlp_endpoint.is_some(),
            "telemetry.otlp_endpoint",
            "required in production (or OTEL_EXPORTER_OTLP_ENDPOINT): incidents need traces",
        );
        let allows = self.governance.reversible_bridges == ReversibleBridges::Allow;
        for (shortcut, key, why) in [
            (self.chaos.enabled, "chaos.enabled", "refused in production: it injects faults"),
            (self.keys.dev, "keys.dev", "refused in production: development keys are no secret"),
            (
                self.capabilities.open_reads,
                "capabilities.open_reads",
                "refused in production: balances would be public",
            ),
            (
                allows,
                "governance.reversible_bridges",
                "`allow` is refused in production: use `require-cap` or `disabled`",
            ),
        ] {
            rules.need(!shortcut, key, why);
        }
    }
}

/// A count as a size, so that both can be compared and added.
fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// Collects the rules that are broken.
pub(super) struct Rules(Vec<Violation>);

impl Rules {
    pub(super) fn need(&mut self, holds: bool, key: &'static str, why: &str) {
        if !holds {
            self.0.push(Violation { key, why: why.to_owned() });
        }
    }
}
