//! Metrics, logs and traces, each declared in one place.
//!
//! [`Metrics`] holds every metric; [`init`] starts logs and, where a collector is configured, traces.

mod labels;
mod logs;
mod metrics;
mod traces;

pub use labels::{
    ActorName, Anomaly, Closed, Denial, Drill, Label, Peer, Queue, RateScope, Reload, Target,
    TlsPlane, TlsReload, UpstreamOutcome, VerifierFinding, WitnessAnswer,
};
pub use logs::{Guard, TelemetryError, init};
pub use metrics::{LATENCY_SECONDS, Metrics};
