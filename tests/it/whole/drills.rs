//! Drills on a daemon of its own, by the command line: what is struck, what is found, and who may not.

use ron_ledger::client::{Client, ClientError, ClientOptions};
use ron_ledger::http::drills::DrillIn;
use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::drill::{Field, has};
use crate::support::keys::Keys;

#[test]
fn an_actor_that_panics_is_up_again_and_nothing_is_lost() {
    let field = Field::start("micronode", &[]);
    for (target, alerts) in
        [("prevalidator", 1), ("sequencer", 1), ("publisher", 1), ("committer", 2)]
    {
        let report = field.drill(&format!("kill --target {target} --signal PANIC"), &[], 0);
        assert!(has(&report, "the actor panics at"), "{report:#}");
        let checks = report["checks"].as_array().unwrap();
        let told = |check: &&Value| check["criterion"].as_str().unwrap().starts_with("alert ");
        assert_eq!(checks.iter().filter(told).count(), alerts, "{report:#}");
        assert!(report["audit"]["acknowledged"].as_u64() > Some(0), "{report:#}");
    }
}

#[test]
fn slow_connections_are_cut_and_others_do_not_notice() {
    let mut field = Field::start("micronode", &[]);
    let report = field.drill("slowloris --conns 30 --duration 7s", &[], 0);
    // The deadline of a request's head is shorter than this drill.
    assert!(report["slow"]["cut"].as_u64() >= Some(15), "{report:#}");
    let line = field.await_line("Slowloris");
    assert!(line.contains("admin call") && line.contains("\"uid\":"), "{line}");
}

/// Not begun, and the daemon takes no order either.
async fn check_refused(more: &[(&str, &str)]) {
    let field = Field::start("micronode", more);
    for line in ["kill --target process --signal SIGKILL", "disk-fill", "slowloris", "fsync-fail"] {
        let said = field.refused(line, 1);
        assert!(said.contains("chaos.enabled is not set"), "{said}");
    }
    let socket = Some(field.keys.dir().join("s"));
    let options = ClientOptions { socket, ..ClientOptions::new("http://localhost") };
    let client = Client::new(&options).unwrap();
    let refused = client.drill(&DrillIn::FsyncFail).await.unwrap_err();
    let ClientError::Refused { status, body, .. } = refused else { panic!("{refused}") };
    assert_eq!((status, &*body.reason), (403, "policy_denied"), "{}", body.details);
    let counts = reqwest::get(format!("{}/metrics", field.metrics())).await.unwrap();
    assert!(counts.text().await.unwrap().contains("chaos_drills_total{drill=\"fsync_fail\"} 0"));
}

#[actix_rt::test]
async fn a_node_that_does_not_allow_drills_refuses_them() {
    check_refused(&[("chaos.enabled", "false")]).await;
}

#[actix_rt::test]
async fn production_refuses_drills_and_does_not_start_with_them() {
    let production = [
        ("node.environment", "production"),
        ("keys.dev", "false"),
        ("governance.reversible_bridges", "disabled"),
        ("telemetry.otlp_endpoint", "http://127.0.0.1:1"),
    ];
    check_refused(&[&production[..], &[("chaos.enabled", "false")]].concat()).await;
    let (code, said) = Daemon::refused(
        &Keys::new(),
        "micronode",
        &[&production[..], &[("chaos.enabled", "true")]].concat(),
    );
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("chaos.enabled"), "{said}");
}

#[test]
fn what_does_not_fit_the_node_is_refused() {
    let field = Field::start("micronode", &[]);
    let said = field.refused("kill --target committer --signal SIGKILL --exec true", 1);
    assert!(said.contains("a micronode forgets"), "{said}");
    let said = field.refused("kill --target committer --signal PANIC --point sequencer_close", 1);
    assert!(said.contains("that point is not the target's"), "{said}");
}

#[cfg(feature = "rocks")]
#[test]
fn a_kill_at_each_targets_point_loses_nothing() {
    let field = Field::start("macronode", &[]);
    let again = field.starts_again();
    for (target, point) in [
        ("committer", "commit_after_write"),
        ("sequencer", "sequencer_close"),
        ("prevalidator", "prevalidator_handle"),
        ("publisher", "publisher_after_durable"),
        ("process", "any time"),
        ("committer --point commit_before_write", "commit_before_write"),
    ] {
        let line = format!("kill --target {target} --signal SIGKILL");
        let report = field.drill(&line, &["--exec", &again], 0);
        assert!(has(&report, &format!("the process is killed at {point}")), "{report:#}");
        assert_eq!(report["roots"]["broken"], 0);
    }
}

#[cfg(feature = "rocks")]
#[test]
fn an_fsync_that_fails_bars_writes_until_the_process_is_another() {
    let field = Field::start("macronode", &[]);
    let report = field.drill("fsync-fail", &["--exec", &field.starts_again()], 0);
    for criterion in ["write_unknown", "reads go on", "alert increase(wal_fsync_fail_total"] {
        assert!(has(&report, criterion), "{criterion}: {report:#}");
    }
    assert!(report["times"]["safe_mode_seconds"].as_f64() > Some(0.0), "{report:#}");
}

#[cfg(feature = "rocks")]
#[test]
fn a_ledger_that_does_not_come_back_is_no_success() {
    let field = Field::start("macronode", &[]);
    let line = "kill --target process --signal SIGKILL";
    let said = field.refused(line, 2);
    assert!(said.contains("--exec CMD"), "{said}");
    // Nothing starts it again, whatever was promised.
    let mut command = field.chaos(line, &["--exec", "true"]);
    let output = command.args(["--patience", "2s"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(4), "{report:#}");
    assert_eq!((&report["passed"], &report["audit"]), (&Value::Bool(false), &Value::Null));
}
