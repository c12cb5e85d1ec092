//! `RUNBOOK.md` line by line: each command of its blocks is run against a real daemon, in the order of
//! the page, and does what the text says; each row of its tables of failures is provoked by a test.
//! What is on the page and not in the manifest fails.

mod early;
mod hooks;
mod late;
mod page;
mod provoked;
mod rows;
mod sandbox;
mod step;

use std::fmt::Write as _;
use std::time::Duration;

use crate::house;
use page::{Line, commands};
use sandbox::{PROFILE, Sandbox};
use step::{Chapter, Kind, SOON, Step};

fn chapters() -> Vec<Chapter> {
    early::chapters().into_iter().chain(late::chapters()).collect()
}

/// The commands of the page and those of the manifest are the same, in the same order.
#[test]
fn every_command_of_the_runbook_is_in_the_manifest() {
    let told = commands(&house::read("RUNBOOK.md"));
    let known: Vec<Line> = chapters()
        .iter()
        .flat_map(|(section, steps)| {
            steps
                .iter()
                .map(|step| Line { section: section.to_string(), text: step.command.to_owned() })
        })
        .collect();
    let mut known_left = known.iter();
    for line in &told {
        assert!(known.contains(line), "not in tests/it/runbook/: {line:#?}");
        assert_eq!(known_left.next(), Some(line), "the order is another one");
    }
    assert_eq!(known_left.next(), None, "no longer on the page");
    assert!(told.len() > 80, "only {} commands", told.len());
}

/// What cannot be run here says why, and the tests that it names instead are there.
#[test]
fn what_is_not_run_has_its_reason_or_its_test() {
    let tests = house::docs::tests();
    for step in chapters().into_iter().flat_map(|(_, steps)| steps) {
        match step.kind {
            Kind::HeldBy(test) => assert!(tests.contains(test), "{}: no test {test}", step.command),
            Kind::Cannot(reason) => assert!(reason.len() > 10, "{}", step.command),
            Kind::Ends { .. } | Kind::Serves { .. } => {}
        }
    }
}

/// One node, from its installation to its last drill.
#[test]
fn each_command_of_the_runbook_does_what_it_says() {
    let mut sandbox = Sandbox::new();
    let (mut failures, mut run) = (String::new(), 0);
    for (section, steps) in chapters() {
        // What a block sets in its shell is there for the commands that follow.
        let mut shell = String::new();
        for step in steps.iter().filter(|step| step.runs()) {
            if let Some(before) = step.before {
                before(&mut sandbox);
            }
            run += 1;
            if let Err(what) = step.check(&mut sandbox, &shell, SOON) {
                writeln!(failures, "# {section}\n$ {}\n{what}\n", step.command).unwrap();
            }
            if step.command.starts_with("umask ") {
                shell = format!("{}\n", step.command);
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(run > 60, "only {run} were run as {PROFILE}");
}

#[test]
fn a_step_that_is_not_kept_is_told() {
    let mut sandbox = Sandbox::new();
    let mut told = |step: Step| step.check(&mut sandbox, "", Duration::ZERO).unwrap_err();
    assert!(told(step::ends("echo a", "b")).contains("does not say `b`"));
    assert!(told(step::ends("false", "")).contains("ends with Some(1)"));
    assert!(told(step::ends("true", "").logs("up")).contains("no line of the log"));
    assert!(told(step::ends("echo a > f", "").leaves("f", "b")).contains("f has not `b`"));
    assert!(told(step::serves("echo a", "b")).contains("does not say `b`"));
}
