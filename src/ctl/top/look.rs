//! What `top` shows, reckoned from two readings of the ledger's metrics.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use super::super::bench::ledger::{quantile_of, series};

/// Readings whose throughput is drawn.
const HISTORY: usize = 120;

/// Published roots that are shown.
const ROOTS: usize = 5;

/// Queues, in the order in which a request passes them.
pub(super) const QUEUES: [&str; 3] = ["ingress", "preval", "commit"];

/// Upstreams that a breaker stands in front of.
const TARGETS: [&str; 3] = ["kms", "policy", "wallet"];

/// One reading, as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    /// Seconds since the first one.
    pub(super) at: f64,
    pub(super) metrics: String,
    pub(super) readyz: Value,
    pub(super) root: Option<Published>,
}

/// Size, root and time of a published root.
pub(super) type Published = (u64, String, u64);

/// How full something is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Level {
    pub(super) name: &'static str,
    pub(super) depth: f64,
    pub(super) capacity: f64,
}

impl Level {
    /// Between 0 and 1.
    pub(super) fn share(&self) -> f64 {
        (self.depth / self.capacity.max(1.0)).clamp(0.0, 1.0)
    }
}

/// One screen.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    pub(super) ready: bool,
    pub(super) degraded: bool,
    /// Why not, in the ledger's words; empty when all is well.
    pub(super) reason: String,
    pub(super) safe_mode: bool,
    pub(super) head: f64,
    pub(super) published: f64,
    /// Each in one second.
    pub(super) entries: f64,
    pub(super) commits: f64,
    pub(super) requests: f64,
    pub(super) rejected: f64,
    pub(super) errors: f64,
    /// Quantiles 0.5, 0.95, 0.99 since the last reading, in ms; of nothing, 0.
    pub(super) commit_ms: [f64; 3],
    pub(super) answer_ms: [f64; 3],
    pub(super) levels: Vec<Level>,
    /// Each with how long it has been open, in seconds; 0 is closed.
    pub(super) breakers: Vec<(&'static str, f64)>,
    pub(super) cores: f64,
    pub(super) memory_bytes: f64,
    pub(super) disk_percent: f64,
}

/// The looks so far.
#[derive(Debug, Default)]
pub(super) struct Looks {
    last: Option<Reading>,
    pub(super) now: Look,
    /// Entries in one second, the newest last.
    pub(super) history: VecDeque<u64>,
    /// Those that were seen, the newest last.
    pub(super) roots: VecDeque<Published>,
    /// Why there is no newer one.
    pub(super) unreachable: Option<String>,
}

impl Looks {
    /// Takes note of one more reading. Of the first one there are no rates.
    pub(super) fn note(&mut self, reading: Reading) {
        let before = self.last.as_ref().unwrap_or(&reading);
        self.now = Look::between(before, &reading);
        if self.last.is_some() {
            push(&mut self.history, self.now.entries as u64, HISTORY);
        }
        if let Some(root) = &reading.root
            && self.roots.back() != Some(root)
        {
            push(&mut self.roots, root.clone(), ROOTS);
        }
        self.unreachable = None;
        self.last = Some(reading);
    }
}

fn push<T>(kept: &mut VecDeque<T>, newest: T, max: usize) {
    kept.push_back(newest);
    if kept.len() > max {
        kept.pop_front();
    }
}

impl Look {
    fn between(before: &Reading, after: &Reading) -> Self {
        let (old, new) = (series(&before.metrics), series(&after.metrics));
        let seconds = (after.at - before.at).max(f64::MIN_POSITIVE);
        let is_first = after.at <= before.at;
        let value = |name: &str| new.get(name).copied().unwrap_or(0.0);
        let rate = |name: &str, also: &str| match is_first {
            true => 0.0,
            false => (sum(&new, name, also) - sum(&old, name, also)).max(0.0) / seconds,
        };
        let quantiles = |name: &str| {
            let buckets = risen(&old, &new, name);
            [0.5, 0.95, 0.99].map(|quantile| quantile_of(&buckets, quantile) * 1000.0)
        };
        let flag = |name: &str| after.readyz.get(name).and_then(Value::as_bool).unwrap_or(false);
        let reason = after.readyz.get("reason").and_then(Value::as_str).unwrap_or_default();
        let level = |name: &'static str, depth: String, capacity: String| Level {
            name,
            depth: value(&depth),
            capacity: value(&capacity),
        };
        let queue = |name: &'static str| {
            let labelled = |metric: &str| format!("{metric}{{q=\"{name}\"}}");
            level(name, labelled("queue_depth"), labelled("queue_capacity"))
        };
        let mut levels: Vec<Level> = QUEUES.map(queue).into();
        levels.push(level(
            "in flight",
            "inflight_requests".into(),
            "inflight_requests_capacity".into(),
        ));
        let open = |target: &str| value(&format!("breaker_open_seconds{{target=\"{target}\"}}"));
        Look {
            ready: flag("ready"),
            degraded: flag("degraded"),
            reason: reason.to_owned(),
            safe_mode: value("ledger_safe_mode") > 0.0,
            head: value("ledger_head_seq"),
            published: value("ledger_published_size"),
            entries: rate("ledger_entries_committed_total", ""),
            commits: rate("ledger_commits_total", ""),
            requests: rate("http_requests_total{", ""),
            rejected: rate("rejected_total{", ""),
            errors: rate("http_requests_total{", "status=\"5"),
            commit_ms: quantiles("ledger_commit_latency_seconds_bucket{"),
            answer_ms: quantiles("http_request_duration_seconds_bucket{"),
            levels,
            breakers: TARGETS.map(|target| (target, open(target))).into(),
            cores: rate("process_cpu_seconds_total", ""),
            memory_bytes: value("process_resident_memory_bytes"),
            disk_percent: value("disk_pressure"),
        }
    }
}

/// Over all series that begin with `name` and have `also` in them.
fn sum(all: &BTreeMap<&str, f64>, name: &str, also: &str) -> f64 {
    let those = all.iter().filter(|(series, _)| series.starts_with(name) && series.contains(also));
    those.map(|(_, value)| value).sum()
}

/// What the buckets of a histogram, all its labels together, have risen by.
fn risen(old: &BTreeMap<&str, f64>, new: &BTreeMap<&str, f64>, name: &str) -> Vec<(f64, f64)> {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for (series, value) in new.iter().filter(|(series, _)| series.starts_with(name)) {
        let Some(bound) = series.split("le=\"").nth(1).and_then(|rest| rest.split('"').next())
        else {
            continue;
        };
        let bound = if bound == "+Inf" { Some(f64::INFINITY) } else { bound.parse().ok() };
        let Some(bound) = bound else { continue };
        let rise = (value - old.get(series).copied().unwrap_or(0.0)).max(0.0);
        match buckets.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, sum)) => *sum += rise,
            None => buckets.push((bound, rise)),
        }
    }
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    buckets
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A ledger that has committed 4,000 entries in two seconds, with one breaker open.
    pub(in crate::ctl::top) fn busy() -> Looks {
        let reading = |at: f64, n: u32| Reading {
            at,
            metrics: format!(
                "# HELP ledger_head_seq x\nledger_head_seq {}\nledger_published_size {}\n\
                 ledger_entries_committed_total {}\nledger_commits_total {}\n\
                 http_requests_total{{route=\"/ingest\",method=\"POST\",status=\"200\"}} {}\n\
                 http_requests_total{{route=\"/ingest\",method=\"POST\",status=\"503\"}} {n}\n\
                 rejected_total{{reason=\"busy\"}} {n}\nledger_safe_mode 0\n\
                 ledger_commit_latency_seconds_bucket{{le=\"0.01\"}} {}\n\
                 ledger_commit_latency_seconds_bucket{{le=\"+Inf\"}} {}\n\
                 queue_depth{{q=\"commit\"}} 64\nqueue_capacity{{q=\"commit\"}} 256\n\
                 breaker_open_seconds{{target=\"kms\"}} 12.5\nprocess_cpu_seconds_total {n}\n\
                 process_resident_memory_bytes 104857600\ndisk_pressure 37\n",
                100_000 + 1_000 * n,
                100_000 + 1_000 * n - 200,
                1_000 * n,
                10 * n,
                100 * n,
                100 * n,
                100 * n,
            ),
            readyz: json!({"ready": true, "degraded": true, "reason": "the breaker of kms is open"}),
            root: Some((99_000 + u64::from(n), "cd".repeat(32), 2_000)),
        };
        let mut looks = Looks::default();
        looks.note(reading(0.0, 1));
        looks.note(reading(2.0, 5));
        looks
    }

    #[test]
    fn rates_are_of_the_time_between_two_readings() {
        let looks = busy();
        let now = &looks.now;
        assert_eq!((now.entries, now.commits, now.requests), (2_000.0, 20.0, 202.0));
        assert_eq!((now.rejected, now.errors, now.cores), (2.0, 2.0, 2.0));
        assert_eq!(now.commit_ms.map(|ms| ms.round()), [5.0, 10.0, 10.0]);
        assert_eq!(now.levels[2], Level { name: "commit", depth: 64.0, capacity: 256.0 });
        assert_eq!(now.levels[2].share(), 0.25);
        assert_eq!(now.breakers[0], ("kms", 12.5));
        assert_eq!(looks.history, [2_000]);
        assert_eq!(looks.roots.iter().map(|root| root.0).collect::<Vec<_>>(), [99_001, 99_005]);
    }

    #[test]
    fn the_first_reading_and_a_restart_have_no_rates_and_history_is_bounded() {
        let mut looks = Looks::default();
        let reading = |at, n| Reading {
            at,
            metrics: format!("ledger_entries_committed_total {n}\n"),
            ..Reading::default()
        };
        looks.note(reading(0.0, 500));
        assert_eq!((looks.now.entries, looks.history.len()), (0.0, 0));
        looks.note(reading(1.0, 3));
        assert_eq!(looks.now.entries, 0.0, "the process began anew");
        (2..500).for_each(|n| looks.note(reading(f64::from(n), n)));
        assert_eq!(looks.history.len(), HISTORY);
        assert_eq!(looks.now.levels[0].share(), 0.0, "no capacity is told");
    }
}
