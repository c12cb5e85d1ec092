//! Metrics, logs and traces, each declared in one place.
//!
//! [`Metrics`] holds every metric; [`init`] starts logs and, where a collector is configured, traces;
//! [`Telemetry`] is what they are used and changed by.

mod exemplars;
mod handle;
mod labels;
mod logs;
mod metrics;
pub mod openmetrics;
mod process;
mod repeats;
mod sampling;
mod stage;
mod traces;

pub use exemplars::{Latency, LatencyVec};
pub use handle::Telemetry;
pub use labels::{
    ActorName, Anomaly, Closed, Denial, Drill, DropReason, Instance, Label, Peer, Queue, RateScope,
    Reload, SnapshotOutcome, Target, TlsPlane, TlsReload, UpstreamOutcome, VerifierFinding,
    WitnessAnswer,
};
pub use logs::{Guard, TelemetryError, init};
pub use metrics::{LATENCY_SECONDS, Metrics};
pub use repeats::{LINES_MAX, LeftOut, STRETCH};
pub use sampling::{CALLERS_PER_SECOND_MAX, Sampling};
pub use stage::{Stage, Stages, Trace};
