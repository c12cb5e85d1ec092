//! The alerts of the runbook, over what a drill has sampled: whether the condition of each was met,
//! and whether for so long that it would have fired. `RUNBOOK.md` has the same table.

use std::time::Duration;

use serde::Serialize;

use super::super::bench::ledger::quantile_of;
use super::watch::Sample;

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// One row of the table.
struct Alert {
    severity: &'static str,
    /// As Prometheus is given it.
    expression: &'static str,
    /// For how long it has to be true.
    lasting: Duration,
    holds: fn(&View) -> bool,
}

/// What became of one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Seen {
    pub(super) severity: &'static str,
    pub(super) expression: &'static str,
    for_seconds: u64,
    /// The longest time in one piece.
    true_seconds: f64,
    /// The condition was met, if only for a moment.
    pub(super) was_true: bool,
    /// For so long that it would have fired.
    pub(super) fired: bool,
}

/// Everything up to one sample.
struct View<'a> {
    samples: &'a [Sample],
}

impl View<'_> {
    fn now(&self) -> &Sample {
        self.samples.last().expect("a view ends with a sample")
    }

    /// The first sample in the window that ends now.
    fn before(&self, window: Duration) -> &Sample {
        let from = self.now().at.saturating_sub(window);
        let later = self.samples.partition_point(|sample| sample.at < from);
        &self.samples[later.min(self.samples.len() - 1)]
    }

    fn least_head(&self, window: Duration) -> f64 {
        let from = self.now().at.saturating_sub(window);
        let within = self.samples.iter().rev().take_while(|sample| sample.at >= from);
        within.map(|sample| sample.head).fold(f64::INFINITY, f64::min)
    }

    fn rise(&self, counter: usize, window: Duration) -> f64 {
        self.now().risen[counter] - self.before(window).risen[counter]
    }

    /// Of the commit latency, in seconds; 0 when nothing was committed.
    fn quantile(&self, quantile: f64) -> f64 {
        let (now, before) = (&self.now().buckets, &self.before(minutes(5)).buckets);
        let old = |at: usize| before.get(at).map_or(0.0, |bucket| bucket.1);
        let risen = now.iter().enumerate().map(|(at, &(bound, count))| (bound, count - old(at)));
        let risen: Vec<(f64, f64)> = risen.collect();
        match risen.last() {
            Some((_, all)) if *all > 0.0 => quantile_of(&risen, quantile),
            _ => 0.0,
        }
    }
}

/// `ledger_safe_mode`.
pub(super) const SAFE_MODE: &str = "ledger_safe_mode == 1";
/// `wal_fsync_fail_total`.
pub(super) const FSYNC: &str = "increase(wal_fsync_fail_total[5m]) > 0";
/// `disk_pressure`.
pub(super) const DISK: &str = "disk_pressure > 85";
/// `actor_restarts_total`.
pub(super) const RESTARTS: &str = "increase(actor_restarts_total[10m]) > 0";

/// Those that no drill may set off: what they tell of is never part of one.
pub(super) const NEVER: [&str; 3] = [
    "increase(ledger_seq_gap_detected_total[5m]) > 0",
    "increase(tasks_leaked_total[5m]) > 0",
    "increase(verifier_findings_total{kind=~\"chain_broken|differs\"}[5m]) > 0",
];

const TABLE: [Alert; 15] = [
    page("up{job=\"ron-ledger\"} == 0", minutes(1), |view| !view.now().is_up),
    page(SAFE_MODE, Duration::ZERO, |view| view.now().is_up && view.now().safe_mode == 1.0),
    page(NEVER[0], Duration::ZERO, |view| view.rise(0, minutes(5)) > 0.0),
    page(NEVER[2], Duration::ZERO, |view| {
        view.rise(5, minutes(5)) + view.rise(6, minutes(5)) > 0.0
    }),
    page(FSYNC, Duration::ZERO, |view| view.rise(1, minutes(5)) > 0.0),
    page(NEVER[1], Duration::ZERO, |view| view.rise(2, minutes(5)) > 0.0),
    page(
        "histogram_quantile(0.99, sum by (instance, le) (rate(ledger_commit_latency_seconds_bucket[5m]))) > 0.15",
        minutes(5),
        |view| view.quantile(0.99) > 0.15,
    ),
    warn(
        "histogram_quantile(0.95, sum by (instance, le) (rate(ledger_commit_latency_seconds_bucket[5m]))) > 0.08",
        minutes(5),
        |view| view.quantile(0.95) > 0.08,
    ),
    warn("queue_depth{q=\"commit\"} / queue_capacity{q=\"commit\"} > 0.8", minutes(2), |view| {
        view.now().commit_queue > 0.8
    }),
    warn("rate(busy_rejections_total{q=\"ingress\"}[1m]) > 50", minutes(1), |view| {
        view.rise(3, minutes(1)) > 50.0 * 60.0
    }),
    page("sum by (instance) (rate(anomaly_total[5m])) > 1", minutes(5), |view| {
        view.rise(7, minutes(5)) > 300.0
    }),
    warn(
        "increase(policy_reloads_total{outcome=\"refused\"}[1h]) + \
         increase(config_reloads_total{outcome=\"refused\"}[1h]) > 0",
        Duration::ZERO,
        |view| view.rise(8, minutes(60)) + view.rise(9, minutes(60)) > 0.0,
    ),
    warn(DISK, minutes(5), |view| view.now().disk_pressure > 85.0),
    warn(
        "min_over_time(ledger_head_seq[1m]) - ledger_published_size > 0",
        minutes(1),
        // Under load the newest entry is never published yet; what a minute has passed over is late.
        |view| view.least_head(minutes(1)) > view.now().published,
    ),
    warn(RESTARTS, Duration::ZERO, |view| view.rise(4, minutes(10)) > 0.0),
];

const fn page(expression: &'static str, lasting: Duration, holds: fn(&View) -> bool) -> Alert {
    Alert { severity: "page", expression, lasting, holds }
}

const fn warn(expression: &'static str, lasting: Duration, holds: fn(&View) -> bool) -> Alert {
    Alert { severity: "warn", expression, lasting, holds }
}

/// The whole table over these samples.
pub(super) fn evaluate(samples: &[Sample]) -> Vec<Seen> {
    TABLE.iter().map(|alert| seen(alert, samples)).collect()
}

fn seen(alert: &Alert, samples: &[Sample]) -> Seen {
    let (mut longest, mut since, mut was_true) = (Duration::ZERO, None, false);
    for end in 1..=samples.len() {
        let view = View { samples: &samples[..end] };
        if (alert.holds)(&view) {
            was_true = true;
            let since = *since.get_or_insert(view.now().at);
            longest = longest.max(view.now().at - since);
        } else {
            since = None;
        }
    }
    Seen {
        severity: alert.severity,
        expression: alert.expression,
        for_seconds: alert.lasting.as_secs(),
        true_seconds: longest.as_secs_f64(),
        was_true,
        fired: was_true && longest >= alert.lasting,
    }
}

#[cfg(test)]
mod tests {
    use super::super::watch::tests::history;
    use super::*;

    /// The alerts that were seen, with a `!` when they fired.
    fn check(looks: &[(u64, bool, &str)], expected: &[&str]) {
        let seen = evaluate(&history(looks).samples);
        let told: Vec<String> = seen
            .iter()
            .filter(|seen| seen.was_true)
            .map(|seen| format!("{}{}", seen.expression, if seen.fired { " !" } else { "" }))
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn an_alert_fires_when_its_condition_lasts() {
        let fired = |expression: &str| format!("{expression} !");
        check(&[(0, true, ""), (600, true, "")], &[]);
        let safe = "ledger_safe_mode 1\n";
        check(&[(0, true, ""), (1, true, safe), (2, true, "")], &[&fired(SAFE_MODE)]);
        let full = "disk_pressure 95\n";
        check(&[(0, true, full), (299, true, full), (300, true, "")], &[DISK]);
        check(&[(0, true, full), (300, true, full)], &[&fired(DISK)]);
        // Twice half of it is not the whole.
        check(&[(0, true, full), (200, true, full), (201, true, ""), (400, true, full)], &[DISK]);
        check(&[(0, true, ""), (1, false, ""), (30, true, "")], &["up{job=\"ron-ledger\"} == 0"]);
        check(&[(0, false, ""), (61, false, "")], &["up{job=\"ron-ledger\"} == 0 !"]);
    }

    #[test]
    fn an_increase_is_forgotten_with_its_window() {
        let (none, one) = ("wal_fsync_fail_total 0\n", "wal_fsync_fail_total 1\n");
        let looks = [(0, true, none), (1, true, one), (200, true, one), (900, true, one)];
        let seen = evaluate(&history(&looks).samples);
        let fsync = seen.iter().find(|seen| seen.expression == FSYNC).unwrap();
        assert!(fsync.fired);
        assert_eq!(fsync.true_seconds, 199.0);
    }

    #[test]
    fn only_what_stays_unpublished_for_a_minute_is_late() {
        let at = |head: u32, published: u32| {
            format!("ledger_head_seq {head}\nledger_published_size {published}\n")
        };
        let [one, two, three, late] = [at(10, 5), at(20, 10), at(30, 20), at(30, 25)];
        check(
            &[(0, true, &at(5, 5)), (40, true, &one), (80, true, &two), (120, true, &three)],
            &[],
        );
        let lags = TABLE[13].expression;
        check(&[(0, true, &three), (61, true, &late)], &[&format!("{lags} !")]);
        check(&[(0, true, &at(5, 5)), (1, true, &three), (70, true, &late)], &[lags]);
    }

    #[test]
    fn slow_commits_are_told_by_their_quantiles() {
        let text = |fast: u32, slow: u32| {
            let bucket = "ledger_commit_latency_seconds_bucket{le=";
            let all = fast + slow;
            format!(
                "{bucket}\"0.04\"}} {fast}\n{bucket}\"0.08\"}} {fast}\n{bucket}\"0.15\"}} {all}\n\
                 {bucket}\"+Inf\"}} {all}\n"
            )
        };
        let (none, quick, slow) = (text(0, 0), text(100, 0), text(50, 50));
        check(&[(0, true, &none), (301, true, &quick)], &[]);
        let p95 = TABLE[7].expression;
        check(&[(0, true, &none), (10, true, &slow), (20, true, &slow)], &[p95]);
    }

    #[test]
    fn the_runbook_has_exactly_these_alerts() {
        let runbook =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/RUNBOOK.md")).unwrap();
        let (_, section) = runbook.split_once("\n## Metrics to watch\n").unwrap();
        // The first table; what stands behind it no drill can set off.
        let rows = section.lines().skip_while(|line| !line.starts_with('|'));
        let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
        let lasting = |alert: &Alert| match alert.lasting.as_secs() / 60 {
            0 => "at once".to_owned(),
            minutes => format!("{minutes}m"),
        };
        // The name in the last column is the concern of `ops/prometheus/alerts.yml`.
        let without_name = |row: String| {
            let cells = row.trim_end_matches([' ', '|']);
            cells.rsplit_once(" `").expect("a name in backticks").0.to_owned()
        };
        let row = |alert: &Alert| {
            format!("| {} | `{}` | {} |", alert.severity, alert.expression, lasting(alert))
        };
        // A table of a document escapes the bar.
        let told: Vec<String> = rows.map(|row| row.replace("\\|", "|")).map(without_name).collect();
        assert_eq!(told, TABLE.iter().map(row).collect::<Vec<_>>());
    }
}
