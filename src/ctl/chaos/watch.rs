//! What a drill sees of the ledger meanwhile: samples of its metrics and its readiness, and the
//! checkpoints that it shows.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::super::bench::ledger::series;
use super::super::checkpoint;
use crate::client::Client;

/// Between two samples.
const PAUSE: Duration = Duration::from_millis(200);

/// A sample that takes longer is none.
const ANSWER: Duration = Duration::from_secs(2);

/// Of the longest drill; what comes after it is not looked at.
const SAMPLES_MAX: usize = 40_000;

/// Counters that are looked at; what has labels is summed up over those that begin like this.
pub(super) const COUNTERS: [&str; 10] = [
    "ledger_seq_gap_detected_total",
    "wal_fsync_fail_total",
    "tasks_leaked_total",
    "busy_rejections_total{q=\"ingress\"}",
    "actor_restarts_total{",
    "verifier_findings_total{kind=\"chain_broken\"}",
    "verifier_findings_total{kind=\"differs\"}",
    "anomaly_total{",
    "policy_reloads_total{outcome=\"refused\"}",
    "config_reloads_total{outcome=\"refused\"}",
];

const BUCKETS: &str = "ledger_commit_latency_seconds_bucket{le=\"";

/// One look.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// Since the first one.
    pub(super) at: Duration,
    /// It answered.
    pub(super) is_up: bool,
    pub(super) is_ready: bool,
    pub(super) is_degraded: bool,
    pub(super) safe_mode: f64,
    pub(super) commit_queue: f64,
    pub(super) disk_pressure: f64,
    pub(super) head: f64,
    pub(super) published: f64,
    /// Rises of [`COUNTERS`] since the first look, over restarts of the process.
    pub(super) risen: [f64; COUNTERS.len()],
    /// The same of the buckets of the commit latency, by upper bound in seconds.
    pub(super) buckets: Vec<(f64, f64)>,
}

/// For how long it was how, in seconds, as far as it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Times {
    /// Nobody answered.
    pub(super) down_seconds: f64,
    /// Writes were refused because the store was in doubt.
    pub(super) safe_mode_seconds: f64,
    /// Writes were refused for any reason, or nobody answered.
    pub(super) not_ready_seconds: f64,
    /// It worked, and something was amiss.
    pub(super) degraded_seconds: f64,
}

/// All looks of one drill.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) samples: Vec<Sample>,
    pub(super) times: Times,
    /// Each size that was shown, with its root, in the order in which they were seen.
    pub(super) checkpoints: Vec<(u64, String)>,
    counters: Option<[f64; COUNTERS.len()]>,
    raw_buckets: Vec<(f64, f64)>,
}

impl History {
    /// Takes note of a look; without texts, nobody answered.
    pub(super) fn note(&mut self, at: Duration, seen: Option<(&str, &Value)>) {
        if self.samples.len() >= SAMPLES_MAX {
            return;
        }
        let last = self.samples.last().cloned().unwrap_or_default();
        let mut sample = Sample { at, is_up: false, is_ready: false, is_degraded: false, ..last };
        if let Some((metrics, readyz)) = seen {
            self.read(&mut sample, metrics, readyz);
        }
        let passed = at.saturating_sub(last.at).as_secs_f64();
        let times = &mut self.times;
        for (holds, sum) in [
            (!sample.is_up, &mut times.down_seconds),
            (sample.is_up && sample.safe_mode > 0.0, &mut times.safe_mode_seconds),
            (!sample.is_ready, &mut times.not_ready_seconds),
            (sample.is_degraded, &mut times.degraded_seconds),
        ] {
            *sum += if holds { passed } else { 0.0 };
        }
        self.samples.push(sample);
    }

    fn read(&mut self, sample: &mut Sample, metrics: &str, readyz: &Value) {
        let flag = |name: &str| readyz.get(name).and_then(Value::as_bool).unwrap_or(false);
        (sample.is_up, sample.is_ready, sample.is_degraded) =
            (true, flag("ready"), flag("degraded"));
        let all = series(metrics);
        let value = |name: &str| all.get(name).copied().unwrap_or(0.0);
        sample.safe_mode = value("ledger_safe_mode");
        sample.commit_queue =
            value("queue_depth{q=\"commit\"}") / value("queue_capacity{q=\"commit\"}").max(1.0);
        sample.disk_pressure = value("disk_pressure");
        (sample.head, sample.published) =
            (value("ledger_head_seq"), value("ledger_published_size"));
        let sum = |name: &str| -> f64 {
            all.iter().filter(|(series, _)| series.starts_with(name)).map(|(_, value)| value).sum()
        };
        let counters = COUNTERS.map(sum);
        let before = self.counters.replace(counters).unwrap_or(counters);
        for ((sum, old), new) in sample.risen.iter_mut().zip(before).zip(counters) {
            *sum += rise(old, new);
        }
        let buckets = buckets_of(all);
        if self.raw_buckets.len() != buckets.len() {
            sample.buckets = buckets.iter().map(|&(bound, _)| (bound, 0.0)).collect();
        } else {
            for ((sum, old), new) in sample.buckets.iter_mut().zip(&self.raw_buckets).zip(&buckets)
            {
                sum.1 += rise(old.1, new.1);
            }
        }
        self.raw_buckets = buckets;
    }

    /// The same checkpoint again is no news.
    pub(super) fn note_checkpoint(&mut self, size: u64, root: &str) {
        if self
            .checkpoints
            .last()
            .is_none_or(|(last, known)| (*last, known.as_str()) != (size, root))
        {
            self.checkpoints.push((size, root.to_owned()));
        }
    }
}

/// A counter that is smaller than it was begins anew with the process.
fn rise(old: f64, new: f64) -> f64 {
    if new < old { new } else { new - old }
}

fn buckets_of(all: std::collections::BTreeMap<&str, f64>) -> Vec<(f64, f64)> {
    let bucket = |(series, value): (&str, f64)| {
        let bound = series.strip_prefix(BUCKETS)?.strip_suffix("\"}")?;
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
        Some((bound, value))
    };
    let mut buckets: Vec<(f64, f64)> = all.into_iter().filter_map(bucket).collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    buckets
}

/// Looks again and again, for ever. `tell` is told the time.
pub(super) async fn watch(
    client: &Client,
    history: &std::cell::RefCell<History>,
    tell: impl Fn(Duration),
) -> std::convert::Infallible {
    let started = Instant::now();
    loop {
        let look = async {
            let metrics = client.text("metrics").await.ok()?;
            Some((metrics, client.probe("readyz").await.ok()?))
        };
        let seen = timeout(ANSWER, look).await.ok().flatten();
        let told = seen.as_ref().map(|(metrics, readyz)| (metrics.as_str(), readyz));
        history.borrow_mut().note(started.elapsed(), told);
        // The note as it is: whether it is signed is the auditors' business.
        if let Ok(Ok(note)) = timeout(ANSWER, client.checkpoint()).await
            && let Ok(shown) = checkpoint::read(&note, None)
        {
            history.borrow_mut().note_checkpoint(shown.size(), &shown.root().to_string());
        }
        tell(started.elapsed());
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A history of one look a second: seconds, whether it answers, and lines of metrics.
    pub(in crate::ctl::chaos) fn history(looks: &[(u64, bool, &str)]) -> History {
        let mut history = History::default();
        for &(second, is_up, metrics) in looks {
            let readyz = json!({"ready": !metrics.contains("ledger_safe_mode 1")});
            history.note(Duration::from_secs(second), is_up.then_some((metrics, &readyz)));
        }
        history
    }

    #[test]
    fn counters_go_on_over_a_restart_of_the_process() {
        let fails = |count| format!("wal_fsync_fail_total {count}\n");
        let lines = [7, 8, 0, 2].map(fails);
        let history = history(&[
            (0, true, &lines[0]),
            (1, true, &lines[1]),
            (2, false, ""),
            (3, true, &lines[2]),
            (4, true, &lines[3]),
        ]);
        let risen: Vec<f64> = history.samples.iter().map(|sample| sample.risen[1]).collect();
        assert_eq!(risen, [0.0, 1.0, 1.0, 1.0, 3.0]);
    }

    #[test]
    fn time_is_counted_where_it_was_spent() {
        let (well, safe) = ("ledger_safe_mode 0\n", "ledger_safe_mode 1\n");
        let history = history(&[
            (0, true, well),
            (1, true, well),
            (3, true, safe),
            (6, false, ""),
            (7, true, well),
        ]);
        let expected = Times {
            down_seconds: 3.0,
            safe_mode_seconds: 2.0,
            not_ready_seconds: 5.0,
            degraded_seconds: 0.0,
        };
        assert_eq!(history.times, expected);
    }

    #[test]
    fn labelled_counters_are_summed_and_buckets_are_sorted() {
        let text = |panics: u32, fast: u32| {
            format!(
                "actor_restarts_total{{actor=\"a\"}} {panics}\nactor_restarts_total{{actor=\"b\"}} 2\n\
                 {BUCKETS}+Inf\"}} 9\n{BUCKETS}0.1\"}} {fast}\n{BUCKETS}0.02\"}} 1\n"
            )
        };
        let (one, two) = (text(1, 3), text(4, 5));
        let history = history(&[(0, true, &one), (1, true, &two)]);
        let last = history.samples.last().unwrap();
        assert_eq!(last.risen[4], 3.0);
        assert_eq!(last.buckets, [(0.02, 0.0), (0.1, 2.0), (f64::INFINITY, 0.0)]);
    }
}
