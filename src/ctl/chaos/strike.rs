//! The blows themselves, and what each has to be answered with.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::super::CtlError;
use super::super::bench::ledger::series;
use super::process::{Process, start};
use super::slow::{Slow, hold};
use super::stage::Stage;
use super::verdict::{Check, Findings};
use super::{ChaosCommand, DiskFillArgs, KillArgs, SlowlorisArgs, alerts};
use crate::client::ClientError;
use crate::http::admin::{ModeOut, OrderIn, OrderName};
use crate::http::drills::{DrillIn, SignalName, TargetName};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// What stands until somebody ends it stands at least so long, to be seen by others.
const STANDS: Duration = Duration::from_secs(1);

/// The longest that the ledger bears a connection which does not get on: `BODY_DEADLINE` of the edge
/// and as much again.
const BORNE: Duration = Duration::from_secs(20);

/// A criterion that is judged when all is known.
type Criterion = Box<dyn Fn(&Findings) -> Check>;

/// What a blow came to.
#[derive(Default)]
pub(super) struct Struck {
    pub(super) recovered_seconds: Option<f64>,
    pub(super) checks: Vec<Criterion>,
    pub(super) alerts: Vec<&'static str>,
    pub(super) undisturbed: bool,
    pub(super) slow: Option<Slow>,
}

impl Struck {
    fn check(&mut self, passed: bool, criterion: impl Into<String>, seen: impl ToString) {
        let check = Check::new(passed, criterion, seen.to_string());
        self.checks.push(Box::new(move |_| check.clone()));
    }
}

impl Stage<'_> {
    pub(super) async fn strike(&self, command: &ChaosCommand) -> Result<Struck, CtlError> {
        match command {
            ChaosCommand::Kill(args) if args.signal == SignalName::Kill => {
                let mut struck = Struck::default();
                self.kill(order(args), command.exec(), &mut struck).await?;
                Ok(struck)
            }
            ChaosCommand::Kill(args) => self.panic(args).await,
            ChaosCommand::FsyncFail(_) => self.fail_fsync(command.exec()).await,
            ChaosCommand::DiskFill(args) => self.fill_disk(args).await,
            ChaosCommand::Slowloris(args) => self.slow_down(args).await,
        }
    }

    async fn kill(
        &self,
        drill: DrillIn,
        exec: Option<&str>,
        struck: &mut Struck,
    ) -> Result<(), CtlError> {
        let process = Process::behind(self.socket()).await?;
        let began = Instant::now();
        let point = match self.local.drill(&drill).await {
            Ok(out) => out.point.unwrap_or_else(|| "any time".to_owned()),
            // It may have been quicker than its answer; whether it was is seen at once.
            Err(ClientError::Unreachable { .. }) => "its point".to_owned(),
            Err(refused) => return Err(refused.into()),
        };
        let ended = timeout(self.args.patience, process.ended()).await.is_ok();
        struck.check(ended, format!("the process is killed at {point}"), secs(began));
        if ended {
            if let Some(line) = exec {
                start(line)?;
            }
            struck.recovered_seconds = self.ready_again(began).await;
        }
        Ok(())
    }

    async fn panic(&self, args: &KillArgs) -> Result<Struck, CtlError> {
        let actor = match args.target {
            TargetName::Publisher => "root_publisher".to_owned(),
            other => format!("{other:?}").to_lowercase(),
        };
        let series = format!("actor_panics_total{{actor=\"{actor}\"}}");
        let (mut struck, before) = (Struck::default(), self.metric(&series).await.unwrap_or(0.0));
        let began = Instant::now();
        let point = self.local.drill(&order(args)).await?.point.unwrap_or_default();
        let panicked = self.until(async || Some(self.metric(&series).await? > before)).await;
        struck.check(panicked, format!("the actor panics at {point}"), secs(began));
        struck.alerts.push(alerts::RESTARTS);
        if args.target == TargetName::Committer {
            let stood = self.until(async || self.stands("committer_crashed").await).await;
            struck.check(stood, "safe-mode committer_crashed", if stood { "stood" } else { "-" });
            // Until an order ends it; where it ends by itself it may be too short to be sampled.
            sleep(STANDS).await;
            if self.stands("committer_crashed").await == Some(true) {
                struck.alerts.push(alerts::SAFE_MODE);
            }
        }
        struck.recovered_seconds = match panicked {
            true => self.ready_again(began).await,
            false => None,
        };
        Ok(struck)
    }

    async fn fail_fsync(&self, exec: Option<&str>) -> Result<Struck, CtlError> {
        let (mut struck, began) = (Struck::default(), Instant::now());
        self.local.drill(&DrillIn::FsyncFail).await?;
        let stood = self.until(async || self.stands("write_unknown").await).await;
        struck.check(stood, "safe-mode write_unknown", secs(began));
        struck.alerts.extend([alerts::FSYNC, alerts::SAFE_MODE]);
        sleep(STANDS).await;
        let stays = self.stands("write_unknown").await == Some(true);
        struck.check(stays, "it stands until a restart", if stays { "stood" } else { "ended" });
        let reads = self.local.supply().await;
        let seen = reads.as_ref().map_or_else(ToString::to_string, |_| "answered".to_owned());
        struck.check(reads.is_ok(), "reads go on meanwhile", seen);
        let kill =
            DrillIn::Kill { target: TargetName::Process, signal: SignalName::Kill, point: None };
        self.kill(kill, exec, &mut struck).await?;
        Ok(struck)
    }

    async fn fill_disk(&self, args: &DiskFillArgs) -> Result<Struck, CtlError> {
        let (mut struck, percent) = (Struck::default(), args.percent);
        let seconds = args.duration.as_secs_f64().ceil() as u64;
        let laid = self.local.drill(&DrillIn::DiskFill { percent, seconds }).await?;
        let mebibytes = laid.ballast_bytes >> 20;
        struck.check(laid.ballast_bytes > 0, "the ballast is laid", format!("{mebibytes} MiB"));
        sleep(args.duration).await;
        let began = Instant::now();
        self.local.drill(&DrillIn::DiskFree).await?;
        let left = self.local.chaos().await?.ballast_bytes;
        struck.check(left == 0, "the ballast is removed", format!("{left} bytes left"));
        struck.recovered_seconds = self.ready_again(began).await;
        let (degraded, refuse) = self.chaos.disk_marks;
        if percent > 85 {
            struck.alerts.push(alerts::DISK);
        }
        if percent >= degraded {
            struck.checks.push(Box::new(|findings| {
                let seconds = findings.times.degraded_seconds;
                Check::new(seconds > 0.0, "degraded is told", format!("{seconds:.1} s"))
            }));
        }
        if percent >= refuse {
            struck.checks.push(Box::new(|findings| {
                let refused = findings.during.requests.unavailable;
                Check::new(refused > 0, "writes are refused with 503", format!("{refused} refused"))
            }));
        }
        Ok(struck)
    }

    async fn slow_down(&self, args: &SlowlorisArgs) -> Result<Struck, CtlError> {
        let seconds = args.duration.as_secs();
        self.local.drill(&DrillIn::Slowloris { conns: args.conns, seconds }).await?;
        let slow = hold(&self.context.api_host()?, args.conns, args.duration).await;
        let mut struck = Struck { undisturbed: true, slow: Some(slow), ..Struck::default() };
        struck.recovered_seconds = self.ready_again(Instant::now()).await;
        let came = slow.opened >= u64::from(args.conns);
        struck.check(came, "slow connections are made", format!("{} made", slow.opened));
        let is_cut = slow.longest_seconds <= BORNE.as_secs_f64();
        // A short drill ends before the first deadline of the edge does.
        let is_cut = is_cut && (slow.cut > 0 || args.duration < BORNE);
        let seen = format!("{} cut, {:.1} s at most", slow.cut, slow.longest_seconds);
        struck.check(is_cut, "slow connections are cut", seen);
        Ok(struck)
    }

    /// Waits until writes are taken. What only an order ends is ended by one, once it stood for others
    /// to see.
    async fn ready_again(&self, began: Instant) -> Option<f64> {
        let ready = async || {
            let readyz = self.local.probe("readyz").await.ok()?;
            if readyz.get("ready").and_then(Value::as_bool)? {
                return Some(true);
            }
            if self.stands("committer_crashed").await? {
                let order = OrderIn { order: OrderName::SafeModeClear, has_verified: false };
                // Too early is told by a refusal, and it is given again.
                let _ = self.local.order(&order).await;
            }
            Some(false)
        };
        self.until(ready).await.then(|| began.elapsed().as_secs_f64())
    }

    async fn stands(&self, reason: &str) -> Option<bool> {
        let ModeOut { safe_mode, .. } = self.local.mode().await.ok()?;
        Some(safe_mode.iter().any(|stands| stands.reason == reason))
    }

    async fn metric(&self, name: &str) -> Option<f64> {
        let text = self.local.text("metrics").await.ok()?;
        series(&text).get(name).copied()
    }

    /// Whether it came true in time; no answer is not yet.
    async fn until(&self, holds: impl AsyncFn() -> Option<bool>) -> bool {
        let wait = async {
            while holds().await != Some(true) {
                sleep(PAUSE).await;
            }
        };
        timeout(self.args.patience, wait).await.is_ok()
    }
}

fn order(args: &KillArgs) -> DrillIn {
    DrillIn::Kill { target: args.target, signal: args.signal, point: args.point.clone() }
}

fn secs(began: Instant) -> String {
    format!("after {:.2} s", began.elapsed().as_secs_f64())
}
