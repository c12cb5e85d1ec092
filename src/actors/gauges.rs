//! The metrics that nobody counts as they happen: read off the doors, the breakers and the store when
//! they are asked for.

use std::sync::Arc;
use std::time::Instant;

use prometheus::{Counter, IntCounter};

use super::breaker::{BreakerHandle, Phase};
use super::door::Door;
use super::pipeline::{Pipeline, Role};
use super::prevalidator::unix_ms;
use super::upstreams::label_of;
use crate::capability::KEY_AGE_MS_MAX;
use crate::storage::reader::Figures;
use crate::telemetry::{Instance, Metrics, Queue};

impl Pipeline {
    /// The metrics, their gauges brought up to date: for a scrape, as it asks the store.
    pub fn measure(&self) -> &Arc<Metrics> {
        let (inner, now) = (&*self.inner, Instant::now());
        let metrics = &inner.metrics;
        // What is set from a difference must not be set by two at once.
        let _one_at_a_time = inner.measuring.lock();
        if let Role::Writes(doors) = &inner.role {
            let preval: usize = doors.pool.iter().map(Door::depth).sum();
            for (queue, depth) in [
                (Queue::Ingress, doors.ingress.depth()),
                (Queue::Preval, preval),
                (Queue::Commit, doors.sequencer.depth()),
            ] {
                metrics.queue_depth.of(queue).set(depth as i64);
            }
        }
        let used = inner.budget.used();
        metrics.inflight_requests.set(used.requests as i64);
        metrics.inflight_bytes.set(used.bytes as i64);
        metrics.committer_lag.set(inner.ages.oldest_ms(now) as f64 / 1e3);
        metrics.safe_mode.set(i64::from(inner.mode.get().safe_reason().is_some()));
        metrics.ingress_locked.set(i64::from(inner.mode.get().is_ingress_locked()));
        let lag = inner.reader.derived_lag() as i64;
        metrics.derived_lag_entries.set(lag);
        metrics.merges_behind_percent.set(inner.reader.merges_behind().into());
        metrics.overlay_entries.set(lag);
        metrics.head_seq.set(inner.reader.head().seq as i64);
        metrics.disk_pressure.set(i64::from(inner.disk.percent()));
        if let Ok(usage) = inner.reader.usage() {
            metrics.store_bytes.set(usage.bytes_own as i64);
        }
        if let Some(figures) = inner.reader.figures() {
            measure_engine(metrics, &figures);
        }
        inner.upstreams.breakers().for_each(|breaker| measure_breaker(metrics, breaker, now));
        let roots: Vec<u64> = inner.capabilities.with_keyring(|keyring| {
            let keys = keyring.into_iter().flat_map(|keyring| keyring.made_ms());
            keys.map(|(_, made_ms)| made_ms).collect()
        });
        measure_keys(metrics, "root", &roots, unix_ms());
        measure_keys(metrics, "signing", inner.signed.key_made_ms().as_slice(), unix_ms());
        metrics
    }
}

/// How many keys, by the times at which they were made, have to be rotated by when.
fn measure_keys(metrics: &Metrics, kind: &str, made_ms: &[u64], now_ms: u64) {
    for (within, days) in [("0d", 0), ("30d", 30), ("90d", 90)] {
        let by_ms = now_ms.saturating_add(days * 24 * 60 * 60 * 1000);
        let is_due = |made_ms: &&u64| made_ms.saturating_add(KEY_AGE_MS_MAX) <= by_ms;
        let due = made_ms.iter().filter(is_due).count();
        metrics.keys_expiring.with_label_values(&[kind, within]).set(due as i64);
    }
}

/// What the engine tells of itself.
fn measure_engine(metrics: &Metrics, figures: &Figures) {
    let seconds = |micros: f64| micros / 1e6;
    let syncs = &figures.log_syncs;
    raise(&metrics.rocksdb_log_syncs, syncs.count);
    raise_seconds(&metrics.rocksdb_log_sync_seconds, syncs.sum_micros);
    for (percentile, micros) in [
        ("50", syncs.p50_micros),
        ("95", syncs.p95_micros),
        ("99", syncs.p99_micros),
        ("100", syncs.max_micros),
    ] {
        metrics.rocksdb_log_sync_percentile.with_label_values(&[percentile]).set(seconds(micros));
    }
    metrics.rocksdb_cache_bytes.set(figures.cache_bytes as i64);
    metrics.rocksdb_cache_bytes_max.set(figures.cache_bytes_max as i64);
    for (label, of) in [(Instance::Truth, &figures.truth), (Instance::Derived, &figures.derived)] {
        raise(metrics.rocksdb_cache_hits.of(label), of.cache_hits);
        raise(metrics.rocksdb_cache_misses.of(label), of.cache_misses);
        raise(metrics.rocksdb_compaction_bytes_read.of(label), of.compaction_bytes_read);
        raise(metrics.rocksdb_compaction_bytes_written.of(label), of.compaction_bytes_written);
        raise(metrics.rocksdb_flush_bytes.of(label), of.flush_bytes_written);
        raise_seconds(metrics.rocksdb_stall_seconds.of(label), of.stall_micros);
        for (gauge, now) in [
            (&metrics.rocksdb_compaction_bytes_pending, of.compaction_bytes_pending),
            (&metrics.rocksdb_compactions_running, of.compactions_running),
            (&metrics.rocksdb_flushes_running, of.flushes_running),
            (&metrics.rocksdb_memtable_bytes, of.memtable_bytes),
            (&metrics.rocksdb_background_errors, of.background_errors),
            (&metrics.rocksdb_write_stopped, u64::from(of.is_write_stopped)),
        ] {
            gauge.of(label).set(now as i64);
        }
    }
}

/// To what was counted elsewhere; a counter never goes back.
fn raise(counter: &IntCounter, now: u64) {
    counter.inc_by(now.saturating_sub(counter.get()));
}

fn raise_seconds(counter: &Counter, micros: u64) {
    counter.inc_by((micros as f64 / 1e6 - counter.get()).max(0.0));
}

fn measure_breaker(metrics: &Metrics, breaker: &BreakerHandle, now: Instant) {
    let label = label_of(breaker.target());
    let state = breaker.state();
    metrics.breaker_state.of(label).set(match state.phase(now) {
        Phase::Closed => 0,
        Phase::HalfOpen => 1,
        Phase::Open => 2,
    });
    let openings = metrics.breaker_open.of(label);
    openings.inc_by(state.openings.saturating_sub(openings.get()));
    metrics.breaker_open_seconds.of(label).set(state.open_for(now).as_secs_f64());
    let total = metrics.breaker_open_seconds_total.of(label);
    // `now` may be a little older than what another scrape saw.
    total.inc_by((state.open_in_all(now).as_secs_f64() - total.get()).max(0.0));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix::Arbiter;

    use super::*;
    use crate::actors::breaker::{self, Breaker, Limits, Outcome, Target};
    use crate::actors::probe::Probe;
    use crate::actors::supervise::Policy;
    use crate::telemetry::Target as Label;

    #[test]
    fn keys_are_counted_by_when_they_have_to_be_rotated() {
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        let (metrics, now_ms) = (Metrics::new(), 1_000 * DAY_MS);
        let made = [0, 59, 60, 89, 90, 200].map(|age| now_ms - age * DAY_MS);
        measure_keys(&metrics, "root", &made, now_ms);
        measure_keys(&metrics, "signing", &[], now_ms);
        let due = |kind, within| metrics.keys_expiring.with_label_values(&[kind, within]).get();
        assert_eq!(["0d", "30d", "90d"].map(|within| due("root", within)), [2, 4, 6]);
        assert_eq!(["0d", "30d", "90d"].map(|within| due("signing", within)), [0, 0, 0]);
    }

    #[test]
    fn what_the_engine_counts_is_told_once() {
        let metrics = Metrics::new();
        let mut figures = Figures::default();
        figures.log_syncs.count = 7;
        figures.log_syncs.sum_micros = 2_500_000;
        figures.log_syncs.p99_micros = 1_500.0;
        figures.derived.cache_hits = 9;
        figures.truth.is_write_stopped = true;
        measure_engine(&metrics, &figures);
        figures.derived.cache_hits = 11;
        measure_engine(&metrics, &figures);
        assert_eq!(metrics.rocksdb_log_syncs.get(), 7);
        assert_eq!(metrics.rocksdb_log_sync_seconds.get(), 2.5);
        let p99 = metrics.rocksdb_log_sync_percentile.with_label_values(&["99"]).get();
        assert!((p99 - 0.0015).abs() < 1e-9, "{p99}");
        assert_eq!(metrics.rocksdb_cache_hits.of(Instance::Derived).get(), 11);
        assert_eq!(metrics.rocksdb_cache_hits.of(Instance::Truth).get(), 0);
        assert_eq!(metrics.rocksdb_write_stopped.of(Instance::Truth).get(), 1);
    }

    #[actix_rt::test]
    async fn an_opening_is_counted_once_and_its_time_goes_on() {
        let (limits, metrics) = (Limits { failures: 1, ..Limits::default() }, Metrics::new());
        let (handle, _care) = breaker::start(
            &Arbiter::current(),
            Target::Policy,
            limits,
            Policy::default(),
            Arc::new(()),
            Probe::none(),
        );
        let unborn = Breaker::new(limits).state();
        handle.watch().wait_for(|state| *state != unborn).await.unwrap();
        handle.may_call().unwrap().ended(Outcome::Failed);
        handle.watch().wait_for(|state| !state.is_closed()).await.unwrap();
        let opened = Instant::now();
        for (seconds, state) in [(1, 2), (10, 1), (10, 1), (20, 1), (15, 1)] {
            measure_breaker(&metrics, &handle, opened + Duration::from_secs(seconds));
            assert_eq!(metrics.breaker_state.of(Label::Policy).get(), state);
        }
        assert_eq!(metrics.breaker_open.of(Label::Policy).get(), 1);
        assert_eq!(metrics.breaker_open_seconds.of(Label::Policy).get().floor(), 15.0);
        assert_eq!(metrics.breaker_open_seconds_total.of(Label::Policy).get().floor(), 20.0);
        assert_eq!(metrics.breaker_open.of(Label::Kms).get(), 0);
    }
}
