//! What a drill found, and whether it was passed: each criterion by itself, with what was seen.

use comfy_table::Table;
use serde::Serialize;

use super::super::Ui;
use super::alerts::{NEVER, Seen};
use super::load::Part;
use super::roots::Roots;
use super::slow::Slow;
use super::watch::Times;
use crate::client::audit::Audit;

/// Of the requests before and after, and of those that others send during a slowloris.
const ACCEPTED_SHARE_MIN: f64 = 0.99;

/// One criterion.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Check {
    pub(super) passed: bool,
    pub(super) criterion: String,
    pub(super) seen: String,
}

impl Check {
    pub(super) fn new(
        passed: bool,
        criterion: impl Into<String>,
        seen: impl std::fmt::Display,
    ) -> Self {
        Check { passed, criterion: criterion.into(), seen: seen.to_string() }
    }
}

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Findings {
    pub(super) before: Part,
    pub(super) during: Part,
    pub(super) after: Option<Part>,
    /// `null` when the ledger could not be read any more.
    pub(super) audit: Option<Audit>,
    /// As for the audit.
    pub(super) roots: Option<Roots>,
    pub(super) times: Times,
    /// From the strike, or from the end of it where it lasts, until writes were taken again.
    pub(super) recovered_seconds: Option<f64>,
    pub(super) slow: Option<Slow>,
    pub(super) alerts: Vec<Seen>,
}

/// What is asked of a drill beyond what is asked of each.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// Alerts whose condition has to be met.
    pub(super) alerts: Vec<&'static str>,
    /// What the drill itself saw.
    pub(super) checks: Vec<Check>,
    /// Clients go on as if nothing was.
    pub(super) undisturbed: bool,
    /// The 95th percentile of latency afterwards, in ms.
    pub(super) p95_max_ms: f64,
}

/// Everything, as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) drill: String,
    pub(super) passed: bool,
    pub(super) checks: Vec<Check>,
    #[serde(flatten)]
    pub(super) findings: Findings,
}

impl Report {
    pub(super) fn of(drill: String, findings: Findings, expected: Expected) -> Self {
        let checks = judge(&findings, expected);
        Report { drill, passed: checks.iter().all(|check| check.passed), checks, findings }
    }

    pub(super) fn table(&self, ui: &Ui) -> Table {
        let Report { drill, findings, .. } = self;
        let mut table = ui.table(["", drill.as_str(), ""]);
        for Check { passed, criterion, seen } in &self.checks {
            table.add_row([if *passed { "ok" } else { "FAILED" }, criterion, seen]);
        }
        let mut row = |name: &str, text: String| _ = table.add_row(["", name, &text]);
        let after = findings.after.as_ref().map(|part| ("after", part));
        let parts = [("before", &findings.before), ("during", &findings.during)];
        for (name, part) in parts.into_iter().chain(after) {
            let share = part.accepted_share * 100.0;
            row(&format!("{name}: accepted, ms"), format!("{share:.1} %, {}", part.accepted_ms));
        }
        let Times { down_seconds, safe_mode_seconds, not_ready_seconds, degraded_seconds } =
            findings.times;
        row(
            "seconds down, in safe-mode, not ready, degraded",
            format!(
                "{down_seconds:.1}, {safe_mode_seconds:.1}, {not_ready_seconds:.1}, \
                 {degraded_seconds:.1}"
            ),
        );
        if let Some(slow) = findings.slow {
            let Slow { wanted, opened, cut, refused, longest_seconds } = slow;
            row(
                "slow connections",
                format!(
                    "{wanted} at a time, {opened} made, {cut} cut, {refused} refused, \
                     {longest_seconds:.1} s at most"
                ),
            );
        }
        for alert in findings.alerts.iter().filter(|alert| alert.was_true) {
            let outcome = if alert.fired { "would have fired" } else { "true, too short to fire" };
            row(&format!("{}: {}", alert.severity, alert.expression), outcome.to_owned());
        }
        table
    }
}

fn judge(findings: &Findings, expected: Expected) -> Vec<Check> {
    let mut checks = expected.checks;
    match &findings.audit {
        None => checks.push(Check::new(false, "all entries can be read back", "they cannot")),
        Some(audit) => checks.extend(kept(audit)),
    }
    checks.push(match &findings.roots {
        None => Check::new(false, "roots go on", "they cannot be read"),
        Some(roots) => {
            let Roots { seen, told, broken } = roots;
            let seen = format!("{broken} broken; {seen} checkpoints, {told} roots");
            Check::new(*broken == 0, "roots go on", seen)
        }
    });
    checks.push(match findings.recovered_seconds {
        None => Check::new(false, "writes are taken again", "not in time"),
        Some(seconds) => {
            Check::new(true, "writes are taken again", format!("after {seconds:.2} s"))
        }
    });
    for expression in expected.alerts {
        let alert = findings.alerts.iter().find(|alert| alert.expression == expression);
        let met = alert.is_some_and(|alert| alert.was_true);
        let fired = alert.is_some_and(|alert| alert.fired);
        let seen = if fired { "would have fired" } else { "too short to fire" };
        let seen = if met { seen } else { "never true" };
        checks.push(Check::new(met, format!("alert {expression}"), seen));
    }
    for alert in findings.alerts.iter().filter(|alert| NEVER.contains(&alert.expression)) {
        let seen = if alert.fired { "fired" } else { "silent" };
        checks.push(Check::new(!alert.fired, format!("no alert {}", alert.expression), seen));
    }
    checks.extend(accepted("before", Some(&findings.before)));
    if expected.undisturbed {
        checks.extend(accepted("during", Some(&findings.during)));
        checks.push(in_time("during", findings, &findings.during, expected.p95_max_ms));
    }
    checks.extend(accepted("after", findings.after.as_ref()));
    let after = findings.after.as_ref();
    checks.extend(after.map(|after| in_time("after", findings, after, expected.p95_max_ms)));
    checks
}

/// Nothing lost, doubled, missing or strange.
fn kept(audit: &Audit) -> [Check; 4] {
    let Audit { acknowledged, present, lost, doubled, gaps, strange, .. } = *audit;
    let none = |count: u64, criterion: &str, seen: String| Check::new(count == 0, criterion, seen);
    let all = format!("{lost} lost of {acknowledged}; {present} present");
    [
        // Without a single one the rest would say nothing.
        Check::new(lost == 0 && acknowledged > 0, "what was acknowledged is there", all),
        none(doubled, "nothing is there twice", format!("{doubled} doubled")),
        none(gaps, "no gap in the sequence", format!("{gaps} gaps")),
        none(strange, "nothing is there that nobody sent", format!("{strange} strange")),
    ]
}

fn accepted(when: &str, part: Option<&Part>) -> Option<Check> {
    let share = part?.accepted_share;
    let criterion = format!("requests are accepted {when} it");
    Some(Check::new(share >= ACCEPTED_SHARE_MIN, criterion, format!("{:.1} %", share * 100.0)))
}

/// Where the ledger was slow before, it need not be faster now.
fn in_time(when: &str, findings: &Findings, part: &Part, p95_max_ms: f64) -> Check {
    let bound = p95_max_ms.max(2.0 * findings.before.accepted_ms.p95);
    let p95 = part.accepted_ms.p95;
    let criterion = format!("p95 {when} it is at most {bound:.0} ms");
    Check::new(p95 <= bound, criterion, format!("{p95:.2} ms"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::alerts::{SAFE_MODE, evaluate};
    use super::super::watch::tests::history;
    use super::*;
    use crate::client::open::Offered;

    fn part(ok: u64, unavailable: u64, millis: u64) -> Part {
        let mut offered = Offered { elapsed: Duration::from_secs(1), ..Offered::default() };
        (offered.counts.ok, offered.counts.unavailable) = (ok, unavailable);
        offered.accepted_us.record_n(millis * 1_000, ok).unwrap();
        Part::of(&offered)
    }

    /// Those of a drill that was passed.
    fn findings() -> Findings {
        let history = history(&[(0, true, ""), (1, true, "ledger_safe_mode 1\n"), (2, true, "")]);
        Findings {
            before: part(100, 0, 5),
            during: part(60, 40, 5),
            after: Some(part(100, 0, 6)),
            audit: Some(Audit { acknowledged: 100, present: 101, ..Audit::default() }),
            roots: Some(Roots { seen: 3, told: 9, broken: 0 }),
            times: history.times,
            recovered_seconds: Some(1.5),
            slow: None,
            alerts: evaluate(&history.samples),
        }
    }

    fn expected() -> Expected {
        Expected { alerts: vec![SAFE_MODE], p95_max_ms: 80.0, ..Expected::default() }
    }

    /// The criteria that such findings fail.
    fn check(
        plant: impl FnOnce(&mut Findings),
        expect: impl FnOnce(&mut Expected),
        failed: &[&str],
    ) {
        let (mut findings, mut expected) = (findings(), expected());
        plant(&mut findings);
        expect(&mut expected);
        let report = Report::of("a drill".to_owned(), findings, expected);
        let told = report.checks.iter().filter(|check| !check.passed);
        let told: Vec<&str> = told.map(|check| check.criterion.as_str()).collect();
        assert_eq!(told, failed);
        assert_eq!(report.passed, failed.is_empty());
    }

    fn audit(findings: &mut Findings) -> &mut Audit {
        findings.audit.as_mut().unwrap()
    }

    #[test]
    fn a_drill_without_findings_is_passed() {
        check(|_| (), |_| (), &[]);
        // Slow before, and no slower now.
        let slow = |findings: &mut Findings| {
            (findings.before, findings.after) = (part(9, 0, 100), Some(part(9, 0, 150)));
        };
        check(slow, |_| (), &[]);
    }

    #[test]
    fn every_finding_fails_its_own_criterion() {
        check(|it| audit(it).lost = 1, |_| (), &["what was acknowledged is there"]);
        check(|it| audit(it).acknowledged = 0, |_| (), &["what was acknowledged is there"]);
        check(|it| audit(it).doubled = 1, |_| (), &["nothing is there twice"]);
        check(|it| audit(it).gaps = 1, |_| (), &["no gap in the sequence"]);
        check(|it| audit(it).strange = 1, |_| (), &["nothing is there that nobody sent"]);
        check(|it| it.audit = None, |_| (), &["all entries can be read back"]);
        check(|it| it.roots = None, |_| (), &["roots go on"]);
        let broken = Some(Roots { seen: 3, told: 9, broken: 1 });
        check(|it| it.roots = broken, |_| (), &["roots go on"]);
        check(|it| it.recovered_seconds = None, |_| (), &["writes are taken again"]);
        check(|it| it.before = part(98, 2, 5), |_| (), &["requests are accepted before it"]);
        let slow = |it: &mut Findings| it.after = Some(part(98, 2, 81));
        let expected = ["requests are accepted after it", "p95 after it is at most 80 ms"];
        check(slow, |_| (), &expected);
    }

    #[test]
    fn alerts_have_to_be_seen_and_those_of_real_trouble_must_not() {
        let silent = |it: &mut Findings| it.alerts = evaluate(&history(&[(0, true, "")]).samples);
        check(silent, |_| (), &["alert ledger_safe_mode == 1"]);
        let gap = |count| format!("ledger_safe_mode 1\nledger_seq_gap_detected_total {count}\n");
        let (none, one) = (gap(0), gap(1));
        let trouble = evaluate(&history(&[(0, true, &none), (1, true, &one)]).samples);
        let plant = |it: &mut Findings| it.alerts = trouble;
        check(plant, |_| (), &[&format!("no alert {}", NEVER[0])]);
    }

    #[test]
    fn a_drills_own_checks_count_and_so_does_who_must_not_notice() {
        let own = |it: &mut Expected| it.checks.push(Check::new(false, "own", "seen"));
        check(|_| (), own, &["own"]);
        let undisturbed = |it: &mut Expected| it.undisturbed = true;
        check(|_| (), undisturbed, &["requests are accepted during it"]);
        check(|it| it.during = part(100, 0, 5), undisturbed, &[]);
        let slow = |it: &mut Findings| it.during = part(100, 0, 81);
        check(slow, undisturbed, &["p95 during it is at most 80 ms"]);
    }
}
