//! What goes on beside the pipeline while it runs: the log line of each change of readiness, the rate of
//! sampling, what repeats in the log, and the word to systemd.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::notify::Notify;
use crate::actors::pipeline::Pipeline;
use crate::telemetry::{STRETCH, Telemetry};

/// How often a breaker that opened is found: between, sampling goes on as before.
const LOOK: Duration = Duration::from_millis(100);

/// A log line whenever the ledger starts or stops taking writes, and the mode for systemd's status.
pub(super) async fn announce(pipeline: Pipeline, notify: Arc<Notify>) {
    let mut modes = pipeline.modes();
    let mut was_ready = None;
    loop {
        let mode = *modes.borrow_and_update();
        let ready = mode.bar().is_none();
        notify.status(&mode.to_string());
        // A node that follows takes no writes whatever the mode, and says itself where it is.
        if was_ready != Some(ready) && !pipeline.follows() {
            let head = pipeline.reader().head();
            match ready {
                true => tracing::info!(head = head.seq, root = %head.root, "ready=1"),
                false => tracing::warn!(head = head.seq, %mode, "ready=0"),
            }
            was_ready = Some(ready);
        }
        if modes.changed().await.is_err() {
            return;
        }
    }
}

/// While the ledger is in safe-mode or a breaker is open every request is traced.
pub(super) async fn sample(pipeline: Pipeline, telemetry: Telemetry) {
    if !telemetry.has_collector() {
        return;
    }
    let mut modes = pipeline.modes();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_forced = pipeline.is_in_trouble();
        if telemetry.sampling().is_forced() != is_forced {
            telemetry.sampling().force(is_forced);
            tracing::info!(ratio = telemetry.sampling().ratio_now(), "sampling of traces changed");
        }
        tokio::select! {
            changed = modes.changed() => if changed.is_err() { return },
            _ = looks.tick() => {}
        }
    }
}

/// Tells how many repeated lines were left out of the log.
pub(super) async fn tell_repeats(telemetry: Telemetry) {
    let mut stretches = interval(STRETCH);
    loop {
        stretches.tick().await;
        for left_out in telemetry.left_out() {
            let (lines, place) = (left_out.lines, left_out.place);
            tracing::info!(lines, place, of = left_out.target, "repeated log lines were left out");
        }
    }
}

/// Says that the process is alive as long as its actors get on with their work, so that systemd ends one
/// that hangs.
pub(super) async fn watchdog(pipeline: Pipeline, notify: Arc<Notify>) {
    let Some(often) = notify.watchdog_interval() else { return };
    let mut beats = interval(often);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        let now = pipeline.readiness();
        match now.live {
            true => notify.alive(),
            false => {
                let reason = now.reason.as_deref().unwrap_or("an actor is stuck");
                tracing::error!(reason, "not alive: systemd is not told otherwise");
            }
        }
    }
}
