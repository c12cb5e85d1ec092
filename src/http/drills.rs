//! Drills, over the local socket and the admin plane, where `chaos.enabled` is set.

use std::time::Duration;

use actix_web::web::{self, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use super::error::Failure;
use super::{Shared, body, caller};
use crate::actors::drills::{Blow, DrillError, Drills, Target};
use crate::actors::probe::Point;
use crate::config::Role;
use crate::ledger::reason::Reason;
use crate::telemetry::Drill as Label;

/// A drill is a few words.
const BODY_BYTES_MAX: usize = 1024;

/// The longest that a disk is filled, or connections are held, in seconds: an hour.
pub const SECONDS_MAX: u64 = 3_600;

/// `POST /admin/drills`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "drill", rename_all = "snake_case", deny_unknown_fields)]
pub enum DrillIn {
    /// Strikes at a point.
    Kill {
        /// Whom.
        target: TargetName,
        /// How.
        signal: SignalName,
        /// Where; the target's worst point when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        point: Option<String>,
    },
    /// The next commit's fsync fails.
    FsyncFail,
    /// Ballast in the data directory.
    DiskFill {
        /// Of the file system, 1 to 99.
        percent: u8,
        /// Then it is removed, 1 to [`SECONDS_MAX`].
        seconds: u64,
    },
    /// Removes it.
    DiskFree,
    /// Says that slow connections are about to come. The daemon does nothing but write it down.
    Slowloris {
        /// How many.
        conns: u32,
        /// For how long.
        seconds: u64,
    },
}

/// Targets on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "as in `actors::drills::Target`")]
pub enum TargetName {
    Committer,
    Sequencer,
    Prevalidator,
    Publisher,
    Process,
}

/// Blows on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
pub enum SignalName {
    /// Ends the process.
    #[serde(rename = "SIGKILL")]
    #[value(name = "SIGKILL")]
    Kill,
    /// Ends the actor's life.
    #[serde(rename = "PANIC")]
    #[value(name = "PANIC")]
    Panic,
}

/// `GET /admin/chaos`: whether drills are taken, and what they would find.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ChaosOut {
    /// `chaos.enabled`.
    pub enabled: bool,
    /// The ledger outlives the process.
    pub durable: bool,
    /// Something starts the process again when it is killed: systemd does.
    pub restarted_by_systemd: bool,
    /// The marks of `disk.degraded_percent` and `disk.refuse_percent`.
    pub disk_marks: (u8, u8),
    /// Of the ballast that lies there now.
    pub ballast_bytes: u64,
}

/// What an accepted drill came to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DrillOut {
    /// Where it strikes.
    pub point: Option<String>,
    /// What it took from the disk.
    pub ballast_bytes: u64,
}

/// `GET /admin/chaos`.
pub async fn chaos(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(ChaosOut {
        enabled: shared.drills.is_some(),
        durable: shared.pipeline.reader().durability().as_str() == "fsync",
        restarted_by_systemd: is_restarted(),
        disk_marks: shared.settings.disk_marks,
        ballast_bytes: shared.drills.as_ref().map_or(0, |drills| drills.ballast_bytes()),
    })
}

/// `POST /admin/drills`.
///
/// # Errors
/// 400; 401 and 403 from elsewhere without the right; 403 without `chaos.enabled`; 409 when the drill does not fit the node.
pub async fn drill(
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Result<HttpResponse, Failure> {
    let bytes = body::read(payload, body::announced_bytes(&request), BODY_BYTES_MAX).await?;
    let order: DrillIn = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::malformed(format!("body: not a drill: {error}")))?;
    caller::asked(&request, &order);
    caller::require(&request, &shared, Role::Chaos).await?;
    Ok(HttpResponse::Ok().json(carry_out(&shared, order).await?))
}

async fn carry_out(shared: &Shared, order: DrillIn) -> Result<DrillOut, Failure> {
    let Some(drills) = shared.drills.clone() else {
        let why = "drills are refused: chaos.enabled is not set, and in production cannot be";
        return Err(Failure::new(Reason::PolicyDenied, why));
    };
    if let Some(label) = label_of(&order) {
        shared.pipeline.metrics().chaos_drills.of(label).inc();
    }
    match web::block(move || strike(&drills, order)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::new(Reason::Internal, "the drill was not carried out")),
    }
}

/// May wait for the disk.
fn strike(drills: &Drills, order: DrillIn) -> Result<DrillOut, Failure> {
    let mut out = DrillOut { point: None, ballast_bytes: 0 };
    match order {
        DrillIn::Kill { target, signal, point } => {
            let point = match point {
                Some(name) => Some(
                    name.parse::<Point>()
                        .map_err(|error| Failure::malformed(format!("point: {error}")))?,
                ),
                None => None,
            };
            let armed = drills.kill(target_of(target), blow_of(signal), point).map_err(refusal)?;
            out.point = armed.map(|point| point.to_string());
        }
        DrillIn::FsyncFail => drills.fail_fsync(),
        DrillIn::DiskFill { percent, seconds } => {
            if !(1..=99).contains(&percent) || !(1..=SECONDS_MAX).contains(&seconds) {
                return Err(Failure::malformed("disk_fill: percent 1 to 99, seconds 1 to 3600"));
            }
            let lasting = Duration::from_secs(seconds);
            out.ballast_bytes = drills.fill_disk(percent, lasting).map_err(refusal)?;
        }
        DrillIn::DiskFree => drills.free_disk(),
        DrillIn::Slowloris { .. } => {}
    }
    Ok(out)
}

fn refusal(error: DrillError) -> Failure {
    match error {
        DrillError::Meaningless(why) => Failure::malformed(why),
        other => Failure::illegal(other.to_string()),
    }
}

fn label_of(order: &DrillIn) -> Option<Label> {
    Some(match order {
        DrillIn::Kill { .. } => Label::Kill,
        DrillIn::FsyncFail => Label::FsyncFail,
        DrillIn::DiskFill { .. } => Label::DiskFill,
        DrillIn::Slowloris { .. } => Label::Slowloris,
        DrillIn::DiskFree => return None,
    })
}

fn target_of(name: TargetName) -> Target {
    match name {
        TargetName::Committer => Target::Committer,
        TargetName::Sequencer => Target::Sequencer,
        TargetName::Prevalidator => Target::Prevalidator,
        TargetName::Publisher => Target::Publisher,
        TargetName::Process => Target::Process,
    }
}

fn blow_of(name: SignalName) -> Blow {
    match name {
        SignalName::Kill => Blow::Kill,
        SignalName::Panic => Blow::Panic,
    }
}

/// Its child has this process as its parent, and systemd names each invocation. A shell under systemd
/// hands the name on, but is a parent of its own.
fn is_restarted() -> bool {
    let by_init = rustix::process::getppid().is_some_and(rustix::process::Pid::is_init);
    by_init && std::env::var_os("INVOCATION_ID").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<DrillIn>) {
        assert_eq!(serde_json::from_str(text).ok(), expected, "{text}");
    }

    #[test]
    fn a_drill_is_read_as_the_manual_says() {
        let (target, signal) = (TargetName::Committer, SignalName::Kill);
        let kill = |point| DrillIn::Kill { target, signal, point };
        let text = r#"{"drill":"kill","target":"committer","signal":"SIGKILL"}"#;
        check(text, Some(kill(None)));
        assert_eq!(serde_json::to_string(&kill(None)).unwrap(), text);
        let pointed = r#"{"drill":"kill","target":"committer","signal":"SIGKILL","point":"p"}"#;
        check(pointed, Some(kill(Some("p".to_owned()))));
        check(r#"{"drill":"fsync_fail"}"#, Some(DrillIn::FsyncFail));
        check(r#"{"drill":"disk_free"}"#, Some(DrillIn::DiskFree));
        for text in [
            r#"{"drill":"reboot"}"#,
            r#"{"drill":"kill","target":"committer"}"#,
            r#"{"drill":"kill","target":"admin","signal":"SIGKILL"}"#,
            r#"{"drill":"kill","target":"process","signal":"SIGTERM"}"#,
            r#"{"drill":"disk_fill","percent":300,"seconds":1}"#,
            r#"{"drill":"disk_fill","percent":95,"seconds":1,"more":1}"#,
        ] {
            check(text, None);
        }
    }

    #[test]
    fn bounds_are_kept_and_a_refusal_has_its_status() {
        let (_probe, trigger) = crate::actors::probe::Probe::armable();
        let drills = Drills::new(trigger, Default::default(), None);
        let status = |order| strike(&drills, order).map_err(|failure| failure.reason());
        for (percent, seconds) in [(0, 1), (100, 1), (95, 0), (95, SECONDS_MAX + 1)] {
            let refused = status(DrillIn::DiskFill { percent, seconds });
            assert_eq!(refused, Err(Reason::UnknownKind), "{percent} {seconds}");
        }
        let no_disk = status(DrillIn::DiskFill { percent: 95, seconds: 1 });
        assert_eq!(no_disk, Err(Reason::Conflict));
        let (target, signal) = (TargetName::Process, SignalName::Panic);
        for point in [None, Some("nowhere".to_owned())] {
            let refused = status(DrillIn::Kill { target, signal, point });
            assert_eq!(refused, Err(Reason::UnknownKind));
        }
        assert!(status(DrillIn::DiskFree).is_ok());
    }
}
