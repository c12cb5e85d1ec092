//! The typed configuration: one struct a section, one field a key, with units.
//!
//! There are no defaults here: `configs/default.toml` is their only home.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::admission::{PolicyConfig, RatesConfig};
use super::roles::Roles;
use super::units::{bytes, choice, duration, numbers, optional};
use super::upstream::UpstreamConfig;
use super::watchers::{VerifierConfig, WitnessConfig};

choice! {
    /// How much the node remembers.
    Profile {
        /// In memory only: leaves nothing on disk.
        Micronode = "micronode",
        /// Durable, on RocksDB.
        Macronode = "macronode",
    }
}

choice! {
    /// Whether shortcuts of development are allowed.
    Environment {
        /// Development keys, open reads and chaos may be switched on.
        Dev = "dev",
        /// They are refused, and traces are required.
        Production = "production",
    }
}

choice! {
    /// The hash of a new ledger's tree.
    HashChoice {
        /// SHA-256, which any transparency-log tool checks.
        Sha256 = "sha256",
        /// BLAKE3.
        Blake3 = "blake3",
    }
}

choice! {
    /// What becomes of Reverse entries.
    ReversibleBridges {
        /// Always refused.
        Disabled = "disabled",
        /// Allowed to capabilities that name the action.
        RequireCap = "require-cap",
        /// Allowed. For development.
        Allow = "allow",
    }
}

choice! {
    /// Whether the key exchange of TLS withstands quantum computers.
    PostQuantum {
        /// Elliptic curves alone.
        Off = "off",
        /// X25519MLKEM768 with whoever can, elliptic curves with the others.
        Hybrid = "hybrid",
    }
}

choice! {
    /// What somebody may do on the admin plane.
    Role {
        /// Give orders.
        Operator = "operator",
        /// See the mode.
        Auditor = "auditor",
        /// Start drills.
        Chaos = "chaos",
    }
}

choice! {
    /// The form of log lines.
    LogFormat {
        /// One JSON object a line.
        Json = "json",
        /// For people.
        Pretty = "pretty",
    }
}

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Micronode or macronode.
    pub profile: Profile,
    /// Who this node is and where it lives.
    pub node: NodeConfig,
    /// What a new ledger is created with.
    pub ledger: LedgerConfig,
    /// The listeners.
    pub http: HttpConfig,
    /// The socket of operators on this machine.
    pub uds: UdsConfig,
    /// The listener of operators elsewhere.
    pub admin: AdminConfig,
    /// How full the disk may get.
    pub disk: DiskConfig,
    /// What one request, and all together, may take.
    pub limits: LimitsConfig,
    /// Rates of requests, by who sends them.
    pub rates: RatesConfig,
    /// Depths of the queues.
    pub queues: QueuesConfig,
    /// How many actors run side by side.
    pub concurrency: ConcurrencyConfig,
    /// Commit groups.
    pub commit: CommitConfig,
    /// Publication of roots.
    pub publish: PublishConfig,
    /// The way out.
    pub drain: DrainConfig,
    /// Data that is computed from the log.
    pub derived: DerivedConfig,
    /// The durable engine.
    pub rocksdb: RocksConfig,
    /// The engine of a micronode.
    pub memory: MemoryConfig,
    /// Restarts of failed actors.
    pub supervision: SupervisionConfig,
    /// Keys, and how capabilities are verified.
    pub capabilities: CapabilitiesConfig,
    /// What everyone may have of the log.
    pub tlog: TlogConfig,
    /// Who cosigns checkpoints.
    pub witness: WitnessConfig,
    /// Services that are asked.
    pub upstream: UpstreamConfig,
    /// How the store is read again.
    pub verifier: VerifierConfig,
    /// What the operator's rules allow.
    pub policy: PolicyConfig,
    /// `[archive]`
    pub archive: super::ArchiveConfig,
    /// What the ledger's policy allows.
    pub governance: GovernanceConfig,
    /// How safe-mode ends.
    pub safe_mode: SafeModeConfig,
    /// Certificates.
    pub tls: TlsConfig,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// Fault injection.
    pub chaos: ChaosConfig,
    /// What kind of keys these are.
    pub keys: KeysConfig,
}

/// Declares one section: a struct whose fields are its keys.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type),+ }
    };
}
pub(super) use section;

section! {
    /// `[node]`
    NodeConfig {
        /// Development or production.
        environment: Environment,
        /// Directory of the durable ledger; not used by a micronode.
        data_dir: PathBuf,
        /// Origin line of checkpoints.
        origin: String,
    }
}

section! {
    /// `[ledger]`
    LedgerConfig {
        /// The asset of an entry that names none.
        default_asset: String,
        /// Hash of a ledger that is created; an existing one of another hash is refused.
        hash: HashChoice,
    }
}

section! {
    /// `[http]`
    HttpConfig {
        /// Listener of the API plane.
        api_addr: SocketAddr,
        /// Listener of metrics, health and readiness.
        metrics_addr: SocketAddr,
        /// Threads that serve HTTP; 0 means one for each core.
        workers: usize,
    }
}

section! {
    /// `[uds]`
    UdsConfig {
        /// The socket; none without it.
        #[serde(with = "optional")]
        path: Option<PathBuf>,
        /// Users that may use it, beside root and the daemon's own.
        #[serde(with = "numbers")]
        allow_uids: Vec<u32>,
    }
}

section! {
    /// `[admin]`
    AdminConfig {
        /// Listener of the admin plane; none without it.
        #[serde(with = "optional")]
        addr: Option<SocketAddr>,
        /// Authority that operators' certificates must come from; `tls.ca_file` without it.
        #[serde(with = "optional")]
        ca_file: Option<PathBuf>,
        /// Who may do what.
        roles: Roles,
    }
}

section! {
    /// `[disk]`
    DiskConfig {
        /// From so much in use on the node is degraded, in percent.
        degraded_percent: u8,
        /// From so much in use on new entries are refused, in percent.
        refuse_percent: u8,
    }
}

section! {
    /// `[limits]`
    LimitsConfig {
        /// Largest request body, in bytes.
        #[serde(with = "bytes")]
        body_max_bytes: u64,
        /// Most entries in one request.
        batch_max_entries: usize,
        /// Bodies of all requests in flight together, in bytes.
        #[serde(with = "bytes")]
        inflight_bytes: u64,
        /// Requests in flight.
        inflight_requests: usize,
        /// Requests a second that are taken; 0 for no limit.
        requests_per_second: u32,
        /// Time from receipt to answer.
        #[serde(with = "duration")]
        request_deadline: Duration,
        /// Open connections on the API plane.
        connections_max: usize,
        /// Most items in one page of a read.
        page_max: usize,
    }
}

section! {
    /// `[queues]`: depths in requests.
    QueuesConfig {
        /// Admitted, not yet validated.
        ingress: usize,
        /// Waiting for a validator: the total of the pool.
        prevalidator: usize,
        /// Sequenced and not yet durable.
        commit: usize,
    }
}

section! {
    /// `[concurrency]`
    ConcurrencyConfig {
        /// Validators that run side by side.
        prevalidators: usize,
    }
}

section! {
    /// `[commit]`
    CommitConfig {
        /// Most entries of a commit group; a larger request goes alone.
        batch_max_entries: usize,
        /// Most bytes of bodies in a commit group; a larger request goes alone.
        #[serde(with = "bytes")]
        batch_max_bytes: u64,
        /// Most holds that expire at the head of one group.
        expire_max: usize,
        /// Largest step of the wall clock against the monotonic clock that expiry tolerates.
        #[serde(with = "duration")]
        wall_step_max: Duration,
    }
}

section! {
    /// `[publish]`
    PublishConfig {
        /// Least time between two published roots.
        #[serde(with = "duration")]
        min_interval: Duration,
    }
}

section! {
    /// `[drain]`
    DrainConfig {
        /// Time from the stop signal to the exit.
        #[serde(with = "duration")]
        deadline: Duration,
    }
}

section! {
    /// `[derived]`
    DerivedConfig {
        /// Most entries by which derived data trails the log.
        max_lag_entries: u64,
        /// Lag, in entries, at which it is written out.
        flush_entries: u64,
        /// Budget of the filter of known ids, in bytes.
        #[serde(with = "bytes")]
        filter_bytes: u64,
    }
}

section! {
    /// `[rocksdb]`
    RocksConfig {
        /// Cache of uncompressed blocks, in bytes.
        #[serde(with = "bytes")]
        block_cache_bytes: u64,
        /// The log's memtables together, in bytes.
        #[serde(with = "bytes")]
        write_buffer_bytes: u64,
        /// Flushes and merges of each store at a time.
        background_jobs: u16,
        /// What flushes and compactions of each store may write in a second, in bytes.
        #[serde(with = "bytes")]
        background_bytes_per_second_max: u64,
        /// Table files that each store keeps open.
        open_files_max: u32,
    }
}

section! {
    /// `[memory]`
    MemoryConfig {
        /// Size at which a micronode refuses new entries, in bytes.
        #[serde(with = "bytes")]
        max_bytes: u64,
    }
}

section! {
    /// `[supervision]`
    SupervisionConfig {
        /// Restarts of one actor within the window that the process survives.
        restarts: u32,
        /// Length of that window.
        #[serde(with = "duration")]
        window: Duration,
        /// First pause before a restart.
        #[serde(with = "duration")]
        backoff_min: Duration,
        /// Longest pause before a restart.
        #[serde(with = "duration")]
        backoff_max: Duration,
        /// Time without progress after which a queue that holds work fails readiness.
        #[serde(with = "duration")]
        stuck_after: Duration,
    }
}

section! {
    /// `[capabilities]`
    CapabilitiesConfig {
        /// Directory of the root keys that verify capabilities.
        keyring_dir: PathBuf,
        /// Directory of the key that signs checkpoints.
        signing_dir: PathBuf,
        /// Most verified capabilities that are remembered.
        cache_entries: usize,
        /// How long each is remembered.
        #[serde(with = "duration")]
        cache_ttl: Duration,
        /// Whether reads need no capability.
        open_reads: bool,
    }
}
section! {
    /// `[tlog]`
    TlogConfig {
        /// Whether bundles of entries need no capability.
        public_entries: bool,
    }
}

section! {
    /// `[governance]`
    GovernanceConfig {
        /// What becomes of Reverse entries.
        reversible_bridges: ReversibleBridges,
    }
}

section! {
    /// `[safe_mode]`
    SafeModeConfig {
        /// Whether a verified ledger leaves safe-mode without an operator after a crash of the
        /// committer.
        auto_clear: bool,
    }
}

section! {
    /// `[tls]`: PEM files.
    TlsConfig {
        /// Certificate chain of the server.
        #[serde(with = "optional")]
        cert_file: Option<PathBuf>,
        /// Its private key.
        #[serde(with = "optional")]
        key_file: Option<PathBuf>,
        /// Authority that client certificates must come from.
        #[serde(with = "optional")]
        ca_file: Option<PathBuf>,
        /// The key exchange.
        pq: PostQuantum,
    }
}

section! {
    /// `[telemetry]`
    TelemetryConfig {
        /// Filter directives, as in `RUST_LOG`.
        log: String,
        /// Form of log lines.
        log_format: LogFormat,
        /// gRPC endpoint of a collector; without one there are no traces.
        #[serde(with = "optional")]
        otlp_endpoint: Option<String>,
        /// Share of traces that is kept, 0 to 1.
        sample_ratio: f64,
    }
}

section! {
    /// `[chaos]`
    ChaosConfig {
        /// Whether faults may be injected on request.
        enabled: bool,
    }
}

section! {
    /// `[keys]`
    KeysConfig {
        /// Whether these are development keys.
        dev: bool,
    }
}
