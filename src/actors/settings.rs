//! The knobs of the pipeline, as the configuration sets them.

use std::time::Duration;

use super::breaker;
use super::budget::Usage;
use super::disk::Marks;
use super::limits::Rates;
use super::supervise::Policy;
use super::verifier::Pace;
use crate::config::{Config, ReversibleBridges};

/// The knobs of the pipeline.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each is the configuration key of the same name")]
pub struct Settings {
    pub queue_ingress: u32,
    pub queue_prevalidator: u32,
    pub queue_commit: u32,
    pub prevalidators: u32,
    pub inflight: Usage,
    pub request_deadline: Duration,
    pub rates: Rates,
    pub batch_max_entries: usize,
    pub batch_max_bytes: usize,
    pub expire_max: usize,
    pub wall_step_max: Duration,
    pub disk: Marks,
    pub publish_min_interval: Duration,
    pub bridges: ReversibleBridges,
    pub auto_clear: bool,
    pub policy: Policy,
    pub stuck_after: Duration,
    pub verifier: Pace,
    pub breaker: breaker::Limits,
    pub upstream_connections_max: u32,
}

impl Settings {
    /// As the configuration says.
    pub fn of(config: &Config) -> Self {
        // Validation has bounded each of these far below the end of its type.
        let seats = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Settings {
            queue_ingress: seats(config.queues.ingress),
            queue_prevalidator: seats(config.queues.prevalidator),
            queue_commit: seats(config.queues.commit),
            prevalidators: seats(config.concurrency.prevalidators),
            inflight: Usage {
                requests: config.limits.inflight_requests as u64,
                bytes: config.limits.inflight_bytes,
            },
            request_deadline: config.limits.request_deadline,
            rates: Rates::of(config),
            batch_max_entries: config.commit.batch_max_entries,
            batch_max_bytes: usize::try_from(config.commit.batch_max_bytes).unwrap_or(usize::MAX),
            expire_max: config.commit.expire_max,
            wall_step_max: config.commit.wall_step_max,
            disk: Marks {
                degraded: config.disk.degraded_percent,
                refuse: config.disk.refuse_percent,
            },
            publish_min_interval: config.publish.min_interval,
            bridges: config.governance.reversible_bridges,
            auto_clear: config.safe_mode.auto_clear,
            policy: Policy {
                restarts: config.supervision.restarts as usize,
                window: config.supervision.window,
                shortest: config.supervision.backoff_min,
                longest: config.supervision.backoff_max,
            },
            stuck_after: config.supervision.stuck_after,
            verifier: Pace {
                entries_per_second: config.verifier.entries_per_second,
                interval: config.verifier.interval,
            },
            breaker: breaker::Limits {
                failures: config.upstream.breaker_failures,
                open: config.upstream.breaker_open,
            },
            upstream_connections_max: seats(config.upstream.connections_max),
        }
    }
}
