//! An actor that fails in every life ends the process, with a code and a line that say so; and whoever
//! starts it again gives up in the end.
//!
//! No input makes an actor fail for ever, so that the process under test is this test's own program,
//! started anew: it runs what the daemon runs, with a probe in the actors.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ron_ledger::actors::probe::{Point, Probe, Trigger};
use ron_ledger::app;
use ron_ledger::config::{Config, Sources};
use ron_ledger::telemetry::{self, Telemetry};

use crate::support::daemon::Daemon;
use crate::support::keys::Keys;

const POINT: &str = "RON_CRASH_LOOP_POINT";
const SETTINGS: &str = "RON_CRASH_LOOP_SETTINGS";

/// Strikes at every hit.
fn strike(trigger: Arc<Trigger>, point: Point) {
    let again = Arc::clone(&trigger);
    trigger.arm(point, 1, move || {
        strike(again, point);
        panic!("planted in every life");
    });
}

/// Not a test: what the tests below start as a process. Without its environment it does nothing.
#[test]
fn process() {
    let (Ok(point), Ok(settings)) = (std::env::var(POINT), std::env::var(SETTINGS)) else { return };
    let overrides = serde_json::from_str(&settings).unwrap();
    let loaded = Config::load(Sources { overrides, ..Sources::default() }).unwrap();
    let telemetry = telemetry::init(&loaded.config.telemetry).unwrap();
    app::log_panics();
    let point: Point = point.parse().unwrap();
    let run = app::run_opened_by(&loaded, Telemetry::default(), |config| {
        let (probe, trigger) = Probe::armable();
        strike(trigger, point);
        Ok((app::open(config, None, probe)?, None))
    });
    let exit = actix_rt::System::new().block_on(run).unwrap();
    drop(telemetry);
    std::process::exit(exit as i32);
}

#[test]
fn an_actor_that_fails_in_every_life_ends_the_process_with_70_and_says_so() {
    for (point, actor) in [
        (Point::CommitterStarted, "committer"),
        (Point::SequencerStarted, "sequencer"),
        (Point::PublisherStarted, "root_publisher"),
    ] {
        let keys = Keys::new();
        let quick = [("supervision.backoff_max", "100ms"), ("supervision.restarts", "4")];
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["whole::crash_loop::process", "--exact", "--nocapture"]);
        command.env(POINT, point.as_str());
        command.env(SETTINGS, serde_json::to_string(&keys.settings("micronode", &quick)).unwrap());
        let (code, _, log) = Daemon::of(command).ended();
        assert_eq!(code, Some(70), "{actor}: {log:#?}");
        let lines = |text: &str| log.iter().filter(|line| line.contains(text)).count();
        let named =
            |line: &&String| line.contains("an actor ended for good") && line.contains(actor);
        assert_eq!(log.iter().filter(named).count(), 1, "{actor}: {log:#?}");
        // The first life and four restarts.
        assert_eq!(lines("\"panic\""), 5, "{actor}: {log:#?}");
        assert_eq!(lines("ready=1"), 0, "{actor}: {log:#?}");
    }
}

/// A value of the shipped unit, in seconds or as a count.
fn of_the_unit(key: &str) -> u64 {
    let unit = include_str!("../../../systemd/ron-ledger.service");
    let value = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {key} in the unit")).parse().unwrap()
}

/// systemd counts the starts of an interval. A process that lives too long for them all to fall into
/// one would be started for ever.
#[test]
fn the_unit_gives_up_on_a_crash_loop_however_slow() {
    let config = Config::load(Sources::default()).unwrap().config;
    // A start that recovers, and crashes that come as slowly as just spends the budget.
    let life = Duration::from_secs(30) + config.supervision.window + config.drain.deadline;
    let pause = Duration::from_secs(of_the_unit("RestartSec"));
    let burst = u32::try_from(of_the_unit("StartLimitBurst")).unwrap();
    let interval = Duration::from_secs(of_the_unit("StartLimitIntervalSec"));
    assert!((life + pause) * burst < interval, "{life:?} {burst} {interval:?}");
    assert!(include_str!("../../../systemd/ron-ledger.service").contains("Restart=on-failure"));
}
