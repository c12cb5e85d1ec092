//! What operators are given to watch a ledger says what is so: alerts are the rows of the runbook, each
//! is tried, rules and dashboards ask for metrics that there are, and Prometheus itself takes them.

use std::collections::BTreeSet;
use std::process::Command;

use ron_ledger::telemetry::Metrics;
use serde_json::Value;

use super::{files, read, root};

const ALERTS: &str = "ops/prometheus/alerts.yml";
const RULES: &str = "ops/prometheus/rules.yml";

/// An alert, as the rules or the runbook have it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Alert {
    name: String,
    severity: String,
    expression: String,
    lasting: String,
}

/// The value of `key: value` within the lines of one rule; each key stands on a line of its own.
fn field<'a>(rule: &'a str, key: &str) -> Option<&'a str> {
    rule.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "))
}

/// The alerts of the rules, each with the section that it leads to.
fn alerts_of(rules: &str) -> Vec<(Alert, String)> {
    let alert = |rule: &str| {
        let field = |key| field(rule, key).map(str::to_owned);
        let alert = Alert {
            name: rule.lines().next().unwrap().to_owned(),
            severity: field("severity").expect(rule),
            expression: field("expr").expect(rule),
            lasting: field("for").unwrap_or_else(|| "at once".to_owned()),
        };
        assert!(field("summary").is_some_and(|it| it.contains("$labels.instance")), "{rule}");
        (alert, field("runbook").expect(rule))
    };
    rules.split("- alert: ").skip(1).map(alert).collect()
}

/// Every row of a table of alerts. One that names no alert is a row nevertheless.
fn alerts_told(runbook: &str) -> Vec<Alert> {
    let told = |row: &str| {
        let row = row.replace("\\|", "\u{1}");
        let cells: Vec<String> = row.split('|').map(|it| it.trim().replace('\u{1}', "|")).collect();
        let cell = |at: usize| cells.get(at).map_or("", |it| it.trim_matches('`')).to_owned();
        let [severity, expression, lasting, name] = [1, 2, 3, 4].map(cell);
        Alert { name, severity, expression, lasting }
    };
    let is_row = |line: &&str| line.starts_with("| page |") || line.starts_with("| warn |");
    runbook.lines().filter(is_row).map(told).collect()
}

#[test]
fn alerts_are_the_rows_of_the_runbook() {
    let rules: BTreeSet<Alert> = alerts_of(&read(ALERTS)).into_iter().map(|(it, _)| it).collect();
    let told: BTreeSet<Alert> = alerts_told(&read("RUNBOOK.md")).into_iter().collect();
    assert!(rules.len() >= 28, "only {} alerts found", rules.len());
    let only = |here: &BTreeSet<Alert>, there| -> Vec<String> {
        here.difference(there).map(|alert| format!("{alert:?}")).collect()
    };
    let (rules, told) = (only(&rules, &told), only(&told, &rules));
    assert!(rules.is_empty(), "not in RUNBOOK.md:\n{}", rules.join("\n"));
    assert!(told.is_empty(), "not in {ALERTS}:\n{}", told.join("\n"));
}

/// The anchors of a document's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let heading = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_alert_leads_to_a_section() {
    let sections = anchors(&read("RUNBOOK.md"));
    for (alert, runbook) in alerts_of(&read(ALERTS)) {
        let section = runbook.strip_prefix("RUNBOOK.md#").expect("a section of the runbook");
        assert!(sections.contains(section), "{}: RUNBOOK.md has no {section}", alert.name);
    }
}

/// The names of the unit tests in a file, in which the alert of that name is seen to be silent and to fire.
fn tried(text: &str) -> Vec<String> {
    let tests = text.split("  - name: ").skip(1);
    let complete = tests.filter(|test| {
        let name = test.lines().next().unwrap();
        let steps: Vec<&str> = test.split("- expr: ").skip(1).collect();
        let fires = |step: &&str| step.contains(&format!("alertname=\"{name}\""));
        steps.first().is_some_and(|step| !fires(step)) && steps.iter().any(fires)
    });
    complete.map(|test| test.lines().next().unwrap().to_owned()).collect()
}

fn unit_tests() -> Vec<String> {
    files("ops/prometheus/tests", "yml")
}

#[test]
fn every_alert_has_a_unit_test_in_which_it_is_silent_before_it_fires() {
    let tried: BTreeSet<String> = unit_tests().iter().flat_map(|path| tried(&read(path))).collect();
    let alerts: BTreeSet<String> =
        alerts_of(&read(ALERTS)).into_iter().map(|(alert, _)| alert.name).collect();
    assert_eq!(tried, alerts);
}

/// What an expression asks for: words that are neither functions nor keywords nor labels.
fn metrics_of(expression: &str) -> BTreeSet<String> {
    const KEYWORDS: [&str; 11] = [
        "and", "or", "unless", "by", "on", "without", "ignoring", "offset", "bool", "sum", "count",
    ];
    const LISTS: [&str; 4] = ["by", "on", "without", "ignoring"];
    let (mut found, mut rest, mut last) = (BTreeSet::new(), expression, String::new());
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let until = |close: char| rest.find(close).map_or(rest.len(), |at| at + 1);
        let skip = match first {
            '{' => until('}'),
            '[' => until(']'),
            '"' => 1 + rest[1..].find('"').map_or(rest.len() - 1, |at| at + 1),
            '(' if LISTS.contains(&last.as_str()) => {
                last.clear();
                until(')')
            }
            _ if end > 0 => {
                let word = &rest[..end];
                last = word.to_owned();
                let is_function = rest[end..].starts_with('(');
                let is_number = first.is_ascii_digit();
                if !is_function && !is_number && !KEYWORDS.contains(&word) {
                    found.insert(word.to_owned());
                }
                end
            }
            _ => first.len_utf8(),
        };
        rest = &rest[skip..];
    }
    found
}

/// The metrics of these expressions that neither the process nor a rule makes.
fn unknown(expressions: &[String], recorded: &BTreeSet<String>) -> Vec<String> {
    let asked = expressions.iter().flat_map(|expression| metrics_of(expression));
    let is_known = |name: &String| {
        let ends = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        Metrics::NAMES.contains(&ends.unwrap_or(name))
            || name.starts_with("process_")
            || ["up", "ALERTS"].contains(&name.as_str())
            || recorded.contains(name)
    };
    asked.filter(|name| !is_known(name)).collect()
}

fn fields(text: &str, key: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.trim().trim_start_matches("- "));
    lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).map(str::to_owned).collect()
}

#[test]
fn rules_and_dashboards_ask_for_metrics_that_there_are() {
    let recorded: BTreeSet<String> = fields(&read(RULES), "record").into_iter().collect();
    let mut asked: Vec<String> =
        [ALERTS, RULES].iter().flat_map(|path| fields(&read(path), "expr")).collect();
    let series = |path: &String| fields(&read(path), "series");
    asked.extend(unit_tests().iter().flat_map(series).map(|it| it.trim_matches('\'').to_owned()));
    asked.extend(dashboards().iter().flat_map(|(_, board)| expressions(board)));
    assert!(asked.len() > 100, "{asked:?}");
    assert_eq!(unknown(&asked, &recorded), Vec::<String>::new());
}

fn dashboards() -> Vec<(String, Value)> {
    let read = |path: String| {
        let board = serde_json::from_str(&read(&path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        (path, board)
    };
    files("ops/grafana", "json").into_iter().map(read).collect()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn expressions(board: &Value) -> Vec<String> {
    let targets = list(board, "panels").iter().flat_map(|panel| list(panel, "targets"));
    targets.map(|target| text(target, "expr").to_owned()).collect()
}

/// What is amiss with a panel. That it is one at all, Grafana's schema says: `tests/interop/dashboards.py`.
fn faults_of(panel: &Value, sections: &BTreeSet<String>) -> Vec<&'static str> {
    let targets = list(panel, "targets");
    let asks_for_latency = targets.iter().any(|it| text(it, "expr").contains("_seconds_bucket"));
    let has_exemplars = targets.iter().all(|it| it["exemplar"] == true);
    let is_linked = list(panel, "links").iter().any(|link| {
        let section = text(link, "url").strip_prefix("${runbook}#");
        section.is_some_and(|section| sections.contains(section))
    });
    let uses = |value: &Value| text(&value["datasource"], "uid") == "${datasource}";
    let checks = [
        (text(panel, "title").is_empty(), "no title"),
        (text(panel, "description").is_empty(), "no description"),
        (text(&panel["fieldConfig"]["defaults"], "unit").is_empty(), "no unit"),
        (targets.is_empty(), "asks for nothing"),
        (!uses(panel) || !targets.iter().all(uses), "another source than the variable"),
        (!is_linked, "no link to a section of the runbook"),
        (asks_for_latency && !has_exemplars, "a latency without exemplars"),
    ];
    checks.into_iter().filter(|(is_so, _)| *is_so).map(|(_, fault)| fault).collect()
}

#[test]
fn every_panel_has_a_unit_a_source_and_a_way_into_the_runbook() {
    let (sections, boards) = (anchors(&read("RUNBOOK.md")), dashboards());
    let uids: BTreeSet<&str> = boards.iter().map(|(_, board)| text(board, "uid")).collect();
    assert_eq!((uids.len(), boards.len()), (5, 5));
    let mut found = Vec::new();
    for (path, board) in &boards {
        let variables: Vec<&str> =
            list(&board["templating"], "list").iter().map(|it| text(it, "name")).collect();
        assert_eq!(variables, ["datasource", "instance", "runbook"], "{path}");
        for panel in list(board, "panels") {
            let faults = faults_of(panel, &sections);
            let told = |fault| format!("{path}: {}: {fault}", text(panel, "title"));
            found.extend(faults.into_iter().map(told));
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// Runs Debian's promtool, and shows what it says when it does not agree.
fn promtool(args: &[&str], paths: &[String]) {
    let mut command = Command::new("promtool");
    let ran = match command.args(args).args(paths).current_dir(root()).output() {
        Ok(ran) => ran,
        Err(_) if !super::units::is_demanded() => {
            eprintln!("no promtool here: not checked; scripts/setup.sh --checks installs it");
            return;
        }
        Err(error) => panic!("promtool: {error}: scripts/setup.sh --checks installs it"),
    };
    let said = [ran.stdout, ran.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(ran.status.success(), "promtool {args:?}\n{}", said.concat());
}

#[test]
fn prometheus_takes_the_rules_and_their_unit_tests_pass() {
    promtool(&["check", "rules"], &[ALERTS, RULES].map(str::to_owned));
    promtool(&["check", "config"], &["ops/prometheus/prometheus.example.yml".to_owned()]);
    promtool(&["test", "rules"], &unit_tests());
}

#[test]
fn prometheus_understands_what_dashboards_ask() {
    let mut rules = "groups:\n  - name: panels\n    rules:\n".to_owned();
    for (at, asked) in dashboards().iter().flat_map(|(_, board)| expressions(board)).enumerate() {
        let asked = asked.replace("$__rate_interval", "5m").replace("$instance", ".*");
        rules.push_str(&format!("      - record: panel:{at}\n        expr: {asked}\n"));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("panels.yml");
    std::fs::write(&path, rules).unwrap();
    promtool(&["check", "rules"], &[path.display().to_string()]);
}

#[test]
fn each_rule_of_operations_can_fail() {
    let asked = r#"sum by (q) (rate(a_b{c="d"}[5m])) / on (e) f:g > 14 * 86400 and h_total or up"#;
    let names = ["a_b", "f:g", "h_total", "up"].map(str::to_owned);
    assert_eq!(metrics_of(asked), BTreeSet::from(names));
    let recorded = BTreeSet::from(["f:g".to_owned()]);
    assert_eq!(unknown(&[asked.to_owned()], &recorded), ["a_b", "h_total"]);
    let row = "| page | `a{b=~\"c\\|d\"} > 0` | 1m | `A` |\n| warn | `e` | at once |";
    let told = alerts_told(row);
    assert_eq!(told[0].expression, "a{b=~\"c|d\"} > 0");
    assert_eq!((told[0].name.as_str(), told[1].name.as_str()), ("A", ""));
    let test =
        |first: &str| format!("  - name: A\n - expr: x\n {first}\n - expr: x\n alertname=\"A\"");
    assert_eq!(tried(&test("[]")), ["A"]);
    assert_eq!(tried(&test("alertname=\"A\"")), Vec::<String>::new());
    let panel = serde_json::json!({"title": "t", "description": "d", "datasource": {"uid": "x"},
        "fieldConfig": {"defaults": {"unit": "s"}},
        "links": [{"url": "${runbook}#none"}], "targets": [{"expr": "a_seconds_bucket"}]});
    let faults = faults_of(&panel, &BTreeSet::from(["disk".to_owned()]));
    assert_eq!(faults.len(), 3, "{faults:?}");
}
