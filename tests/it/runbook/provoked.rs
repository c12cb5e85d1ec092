//! Rows of the tables of `RUNBOOK.md` that no other test provokes, against a real daemon: the symptom,
//! the metric, and the reason in `/readyz` are those of the row.

use super::hooks;
use super::sandbox::Sandbox;

/// Installed, configured and ready, with a token and entries.
fn node() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.must("mkdir -p /etc/ron && cp configs/macronode.toml /etc/ron/ledger.toml");
    sandbox.must("cp target/release/* /usr/bin/ && chmod 755 /usr/bin/*");
    sandbox.must("cp systemd/ron-ledger.service /etc/systemd/system/");
    hooks::configured(&mut sandbox);
    sandbox.must("ron-ledgerctl init --config /etc/ron/ledger.toml");
    hooks::audited(&mut sandbox);
    sandbox
}

/// The value of a series; 0 before it has counted anything.
fn metric(sandbox: &Sandbox, series: &str) -> f64 {
    let text = sandbox.must("curl -s http://127.0.0.1:9909/metrics");
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

fn readyz(sandbox: &Sandbox) -> String {
    sandbox.must("curl -s http://127.0.0.1:9909/readyz")
}

/// What `/ingest` answers to a body, with the status after it.
fn post(sandbox: &Sandbox, token: &str, body: &str) -> String {
    sandbox.write("body", body);
    sandbox.must(&format!(
        "curl -s -w ' %{{http_code}}' http://127.0.0.1:5082/ingest -d @body \
         -H 'content-type: application/json' -H \"Authorization: Bearer {token}\""
    ))
}

fn whole(sandbox: &Sandbox) -> String {
    format!("{{\"batch\":[{}]}}", sandbox.read("entry.json"))
}

const TOKEN: &str = "$(cat writer.token)";

#[test]
fn rows_of_trouble_are_told_as_they_say() {
    let sandbox = node();
    let check = |what: &str, token: &str, body: &str, told: &[&str], series: &str| {
        let before = metric(&sandbox, series);
        let answer = post(&sandbox, token, body);
        for text in told {
            assert!(answer.contains(text), "{what}: no `{text}` in {answer}");
        }
        let after = metric(&sandbox, series);
        assert!(after > before, "{what}: {series} stays at {after}");
    };
    let body = whole(&sandbox);
    let unknown = body.replace("\"Mint\"", "\"Gift\"");
    assert_ne!(unknown, body);
    let series = "rejected_total{reason=\"unknown_kind\"}";
    check(
        "a client with another schema",
        TOKEN,
        &unknown,
        &["unknown_kind", "Gift", " 400"],
        series,
    );
    let series = "auth_failures_total";
    check("a token that is none", "abc", &body, &["unauth", " 401"], series);
    // Both look at the way of a commit.
    for series in ["committer_batch_latency_seconds_count", "sequencer_batch_size_count"] {
        assert!(metric(&sandbox, series) > 0.0, "{series}");
    }
    sandbox.must("ron-ledgerctl limits set --plain 1");
    let again = format!("{body}{}", " ".repeat(8));
    post(&sandbox, TOKEN, &again);
    let series = "busy_rejections_total{q=\"ingress\"}";
    check("above the rate", TOKEN, &again, &["busy", " 429"], series);
    sandbox.must("ron-ledgerctl limits set --plain 0");
    assert!(post(&sandbox, TOKEN, &body).contains("replayed"));
    sandbox.must("systemctl stop ron-ledger");
}

#[test]
fn readiness_says_in_words_what_bars_writes() {
    let sandbox = node();
    let body = whole(&sandbox);
    for (order, opposite, reason, told) in [
        (
            "safe-mode enter",
            "safe-mode clear",
            "writes are barred: safe_mode: operator",
            "safe_mode",
        ),
        ("freeze", "unfreeze", "writes are barred: frozen", "frozen"),
        ("maintenance on", "maintenance off", "writes are barred: maintenance", "maintenance"),
    ] {
        sandbox.must(&format!("ron-ledgerctl {order}"));
        let health = readyz(&sandbox);
        assert!(health.contains(&format!("\"reason\":\"{reason}\"")), "{order}: {health}");
        assert!(health.contains("\"ready\":false"), "{health}");
        let answer = post(&sandbox, TOKEN, &body);
        assert!(answer.contains(told) && answer.ends_with(" 503"), "{order}: {answer}");
        let stands = f64::from(order.starts_with("safe-mode"));
        assert!((metric(&sandbox, "ledger_safe_mode") - stands).abs() < 0.5, "{order}");
        sandbox.must(&format!("ron-ledgerctl {opposite}"));
        assert!(readyz(&sandbox).contains("\"reason\":null"), "{opposite}");
    }
    sandbox.must("ron-ledgerctl ingress lock --to uds");
    let health = readyz(&sandbox);
    assert!(
        health.contains("\"ingress\":\"uds\"") && health.contains("\"degraded\":true"),
        "{health}"
    );
    let answer = post(&sandbox, TOKEN, &body);
    assert!(answer.contains("ingress_locked") && answer.ends_with(" 503"), "{answer}");
    assert!(metric(&sandbox, "ledger_ingress_locked") > 0.5);
    sandbox.must("ron-ledgerctl ingress unlock && systemctl stop ron-ledger");
}
