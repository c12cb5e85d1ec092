//! The rows of the tables of failures in `RUNBOOK.md`, each with the tests that provoke it. A row that
//! is not here, a test that is not there, and a metric of a row that none of its tests looks at, fail.

use ron_ledger::telemetry::Metrics;

use super::page::{Line, rows};
use crate::house;

/// The headers of tables that say what goes wrong and what to do.
const HEADERS: &[&str] = &[
    "exit code of `ron-ledgerd`",
    "exit code of `ron-ledgerctl`",
    "`reason` begins with",
    "reason",
    "symptom",
    "last failure",
    "the log says",
    "what is seen",
    "drill",
];

/// The beginning of a row, and what provokes it.
type Row = (&'static str, &'static [&'static str]);

const FAILURES: &str = "whole::command_line::each_failure_has_its_exit_code";
const UNFIT: &str =
    "whole::certificates::what_is_unfit_to_serve_is_refused_at_the_start_with_its_reason";
const BREAKERS: &str =
    "whole::upstreams::every_way_to_fail_opens_one_breaker_and_the_end_of_it_closes_it";
const STRANGERS: &str =
    "whole::upstreams::who_is_not_known_by_a_certificate_is_not_asked_nor_answered";
const TROUBLE: &str = "runbook::provoked::rows_of_trouble_are_told_as_they_say";
const BARRED: &str = "runbook::provoked::readiness_says_in_words_what_bars_writes";
const BALLAST: &str = "faults::ballast::a_filled_disk_is_told_and_freed_whoever_is_killed";
const FULL_DISK: &str = "faults::full::a_full_disk_refuses_writes_and_goes_on_when_there_is_room";
const DAMAGE: &str = "pipeline::verifier::each_kind_of_damage_is_found_and_stops_writes";
const ARCHIVE: &str = "runbook::provoked::an_archive_that_does_not_answer_is_told_and_writes_go_on";
const PANICS: &str = "whole::drills::an_actor_that_panics_is_up_again_and_nothing_is_lost";
const KILLS: &str = "whole::drills::a_kill_at_each_targets_point_loses_nothing";
const SLOW: &str = "whole::drills::slow_connections_are_cut_and_others_do_not_notice";
const FSYNC: &str = "whole::drills::an_fsync_that_fails_bars_writes_until_the_process_is_another";
const MORE_SEEN: &str =
    "pipeline::witnesses::a_ledger_that_a_witness_has_seen_more_of_takes_no_writes";
const OTHER_SEEN: &str =
    "pipeline::witnesses::a_ledger_whose_history_a_witness_has_seen_otherwise_takes_no_writes";

const ROWS: &[Row] = &[
    ("0 | drained", &["whole::stops::sigterm_answers_everyone_and_loses_nothing"]),
    ("1 | could not start", &["whole::starts::a_port_that_is_taken"]),
    (
        "2 | wrong command line or",
        &["whole::starts::a_configuration_that_does_not_hold_together_is_told_in_full"],
    ),
    (
        "70 |",
        &[
            "whole::crash_loop::an_actor_that_fails_in_every_life_ends_the_process_with_70_and_says_so",
        ],
    ),
    ("0 | done", &["whole::command_line::init_makes_what_is_missing_once"]),
    ("1 | refused", &[FAILURES]),
    ("2 | wrong command line,", &[FAILURES]),
    ("3 |", &["whole::command_line::a_ledger_that_stopped_is_unreachable"]),
    ("4 |", &["whole::command_line::a_checkpoint_is_checked_with_the_key_that_the_node_shows"]),
    ("5 |", &[FAILURES]),
    ("`writes are barred: safe_mode", &[BARRED]),
    (
        "`writes are barred: draining`",
        &["pipeline::admission::safe_mode_and_draining_are_told_at_the_door"],
    ),
    ("an actor `is starting`", &["pipeline::crashes::a_panic_of_the_committer_is_survived"]),
    (
        "an actor `is up`",
        &["supervised::lives::a_blocked_actor_is_found_stuck_and_a_freed_one_is_live"],
    ),
    ("`kms`, `policy`, `wallet`", &[BREAKERS]),
    (
        "`a queue is nearly full`",
        &["pipeline::order::all_that_is_not_durable_counts_and_a_full_queue_says_busy"],
    ),
    ("`the disk is", &[FULL_DISK]),
    ("`the archive is behind`", &[ARCHIVE]),
    (
        "`following has stopped`",
        &[
            "pipeline::follows::a_difference_stops_it_and_what_was_verified_is_served",
            "pipeline::follows::an_archive_that_does_not_answer_stops_nothing",
        ],
    ),
    (
        "503 `follower`",
        &["whole::follow::a_follower_serves_the_same_over_its_own_kill_and_becomes_the_writer"],
    ),
    (
        "`the wall clock stepped",
        &[
            "actors::clock::tests::a_step_of_the_wall_clock_either_way_suspends_expiry_until_it_is_mended",
        ],
    ),
    ("`roll_back`", &["pipeline::roots::a_log_that_lacks_what_was_signed_takes_no_writes"]),
    (
        "`head_mismatch`",
        &[DAMAGE, "pipeline::history::a_note_by_a_key_that_nobody_knows_bars_writes"],
    ),
    ("`gap`", &["faults::gaps::a_gap_that_a_read_meets_freezes_writes_and_the_runbook_leads_back"]),
    (
        "`write_unknown`",
        &["pipeline::safe_mode::a_write_of_unknown_outcome_ends_writes_for_this_process"],
    ),
    (
        "`committer_crashed`",
        &[PANICS, "pipeline::crashes::with_auto_clear_a_verified_ledger_is_ready_by_itself"],
    ),
    ("`operator`", &[BARRED, "whole::orders::orders_bar_writes_and_take_it_back"]),
    ("`recovering`", &["whole::stops::a_stop_during_recovery_is_orderly"]),
    (
        "`checking`",
        &["pipeline::crashes::sequencer_and_publisher_are_checked_before_writes_pass_again"],
    ),
    (
        "429 on `/ingest`",
        &[
            TROUBLE,
            "pipeline::order::all_that_is_not_durable_counts_and_a_full_queue_says_busy",
            "whole::caps::a_rate_is_set_on_a_running_node_and_named_where_it_refuses",
        ],
    ),
    ("503 `disk_pressure`", &[BALLAST, FULL_DISK]),
    (
        "503 `ingress_locked`",
        &[BARRED, "whole::orders::a_locked_ingress_takes_writes_over_the_local_socket_alone"],
    ),
    (
        "`tls_handshake_failures_total` rises",
        &["whole::tls::a_stranger_to_tls_gets_no_answer_and_a_silent_one_is_counted_too"],
    ),
    ("503 `upstream_unavailable`", &[BREAKERS]),
    (
        "503 `capacity`",
        &[
            "whole::lives::a_full_micronode_refuses_writes_and_reads_go_on",
            "pipeline::bounds::a_full_micronode_refuses_what_is_new_and_knows_what_is_old",
        ],
    ),
    ("commits slow", &[TROUBLE]),
    ("504 `timeout`", &["http::lost::a_deadline_that_passes_leaves_the_outcome_open"]),
    ("many `unknown_kind`", &[TROUBLE]),
    (
        "403 `policy_denied`",
        &[
            "whole::policy::a_hangup_takes_new_rules_and_keeps_the_old_ones_where_they_do_not_read",
            "whole::policy::what_is_denied_gets_no_further_until_it_is_no_longer",
        ],
    ),
    ("`anomaly_total` rises", &["whole::policy::a_synthetic_flood_is_counted_by_what_shows_it"]),
    ("401, 403", &[TROUBLE]),
    (
        "it does not start",
        &[
            "whole::starts::a_key_that_others_can_read",
            "whole::starts::a_second_process_on_the_same_directory",
        ],
    ),
    (
        "`cannot open the ledger: the ledger was made with",
        &["whole::starts::a_ledger_of_another_hash", "whole::starts::a_ledger_of_another_origin"],
    ),
    ("`the stored log is not what was published`", &[DAMAGE]),
    (
        "`verifier_last_complete_pass_seconds` is old",
        &[
            "pipeline::verifier::what_cannot_be_read_is_no_finding_of_integrity",
            "pipeline::verifier::a_store_in_order_is_passed_over_and_the_time_told",
        ],
    ),
    (
        "requests take longer under",
        &[
            "pipeline::rests::commits_rest_while_merges_are_far_behind_and_no_longer",
            "pipeline::rests::commits_rest_while_far_more_waits_for_its_flush_than_two_layers",
        ],
    ),
    (
        "derived data lags",
        &[
            "faults::errors::derived_data_that_cannot_be_written_trails_to_its_bound_and_catches_up_by_itself",
        ],
    ),
    (
        "`the store has schema",
        &[
            "faults::schema::another_schema_is_refused_with_the_way_out_and_never_upgraded_by_a_start",
        ],
    ),
    ("`does not answer in time`", &[BREAKERS]),
    ("`is not reached: ...` with a connection", &[BREAKERS, STRANGERS]),
    ("`is not reached: ...` with a certificate", &[STRANGERS]),
    ("`fails with status ...`", &[BREAKERS]),
    (
        "`refuses the question with status ...`",
        &["whole::upstreams::a_question_that_is_refused_leaves_the_breaker_closed"],
    ),
    ("`gives an answer that is none: ...`", &[BREAKERS]),
    ("`is open to others`", &[UNFIT]),
    ("`others can write to its directory`", &[UNFIT]),
    ("`expired at ...`", &[UNFIT]),
    ("`is not valid before ...`", &[UNFIT]),
    ("`is not the key of the certificate in ...`", &[UNFIT]),
    (
        "`witness_answers_total{answer=\"failed\"}` grows",
        &[
            "pipeline::witnesses::nothing_is_published_before_there_are_enough_where_publication_waits",
        ],
    ),
    ("safe-mode `roll_back`, log", &[MORE_SEEN]),
    ("safe-mode `head_mismatch`, log", &[OTHER_SEEN]),
    ("`kill`, SIGKILL", &[KILLS]),
    ("`kill`, PANIC", &[PANICS, "pipeline::crashes::a_panic_of_the_committer_is_survived"]),
    ("`disk-fill`", &[BALLAST]),
    ("`slowloris`", &[SLOW]),
    ("`fsync-fail`", &[FSYNC]),
];

fn told() -> Vec<Line> {
    rows(&house::read("RUNBOOK.md"), HEADERS)
}

#[test]
fn every_row_of_failures_is_provoked_by_a_test() {
    let tests = house::docs::tests();
    let told = told();
    for line in &told {
        let known: Vec<&Row> =
            ROWS.iter().filter(|(beginning, _)| line.text.starts_with(beginning)).collect();
        assert_eq!(known.len(), 1, "in tests/it/runbook/rows.rs, of {line:#?}: {known:#?}");
    }
    for (beginning, provoking) in ROWS {
        let there = told.iter().filter(|line| line.text.starts_with(beginning)).count();
        assert_eq!(there, 1, "rows of RUNBOOK.md that begin with {beginning}");
        assert!(!provoking.is_empty());
        for test in *provoking {
            assert!(tests.contains(*test), "{beginning}: there is no test {test}");
        }
    }
}

/// The text of the file that a test stands in.
fn file_of(test: &str) -> String {
    let parts: Vec<&str> = test.split("::").collect();
    let whole = |base: &str, count: usize| {
        let path = format!("{base}/{}.rs", parts[..count].join("/"));
        house::root().join(&path).is_file().then(|| house::read(&path))
    };
    let counts = (1..parts.len()).rev();
    let found = counts.flat_map(|count| [whole("tests/it", count), whole("src", count)]);
    found.flatten().next().unwrap_or_else(|| panic!("no file of {test}"))
}

/// The names of metrics in a text. A setting may be called as one is, after its section and a dot.
fn metrics_of(text: &str) -> Vec<&'static str> {
    let words: Vec<&str> =
        text.split(|c: char| !c.is_ascii_alphanumeric() && !"_.".contains(c)).collect();
    Metrics::NAMES.iter().filter(|name| words.contains(name)).copied().collect()
}

#[test]
fn each_metric_of_a_row_is_looked_at_by_its_tests() {
    let mut looked_at = 0;
    for line in told() {
        let (_, provoking) =
            ROWS.iter().find(|(beginning, _)| line.text.starts_with(beginning)).unwrap();
        let texts: Vec<String> = provoking.iter().map(|test| file_of(test)).collect();
        for metric in metrics_of(&line.text) {
            // Tests in the same process know it without its unit.
            let stem = metric.trim_end_matches("_total").trim_end_matches("_seconds");
            let seen = texts.iter().any(|text| text.contains(stem));
            assert!(seen, "none of {provoking:?} looks at {metric}");
            looked_at += 1;
        }
    }
    assert!(looked_at > 12, "only {looked_at}");
}
