//! `chaos`: drills on a running ledger, under load, with a verdict.

mod alerts;
mod load;
mod process;
mod roots;
mod slow;
mod stage;
mod strike;
mod verdict;
mod watch;

use std::time::Duration;

use clap::{Args, Subcommand};

use self::load::LoadArgs;
use self::stage::Stage;
use super::context::Context;
use super::{CtlError, Exit};
use crate::http::drills::{ChaosOut, SECONDS_MAX, SignalName, TargetName};

/// Hurt a ledger on purpose, and see whether it keeps its word
///
/// Each drill sends its own load, strikes, waits until writes are taken again, reads all back, and
/// says whether it was passed: exit code 0, or 4 when not. The node has to allow it (`chaos.enabled`,
/// refused in production), and nobody else may write to it meanwhile. Orders go over the local socket,
/// the load to --url, with a token that may write and read all.
#[derive(Debug, Subcommand)]
pub(super) enum ChaosCommand {
    /// Kill the process, or an actor, where it is the hardest to recover from
    #[command(after_help = "Examples:\n  \
        ron-ledgerctl chaos kill --target committer --signal SIGKILL --token-file t\n  \
        ron-ledgerctl chaos kill --target publisher --signal PANIC --token-file t --json")]
    Kill(KillArgs),
    /// Fill the file system of the data directory, and free it again
    #[command(after_help = "Example:\n  \
        ron-ledgerctl chaos disk-fill --percent 95 --duration 5m --token-file t")]
    DiskFill(DiskFillArgs),
    /// Hold many connections that send a byte now and then
    #[command(after_help = "Example:\n  \
        ron-ledgerctl chaos slowloris --conns 500 --duration 10m --token-file t")]
    Slowloris(SlowlorisArgs),
    /// Let an fsync fail, then kill the process, as the runbook says
    #[command(after_help = "Example:\n  \
        ron-ledgerctl chaos fsync-fail --token-file t")]
    FsyncFail(FsyncFailArgs),
}

#[derive(Debug, Args)]
pub(super) struct KillArgs {
    /// Whom
    #[arg(long, value_enum)]
    target: TargetName,

    /// SIGKILL ends the process at the target's point, PANIC the target alone
    #[arg(long, value_enum, ignore_case = true)]
    signal: SignalName,

    /// Where; by default the target's worst point, as `commit_after_write`
    #[arg(long, value_name = "POINT")]
    point: Option<String>,

    #[command(flatten)]
    exec: ExecArgs,

    #[command(flatten)]
    load: LoadArgs,
}

#[derive(Debug, Args)]
pub(super) struct DiskFillArgs {
    /// How full, of what the daemon's user may have
    #[arg(long, value_name = "N", default_value_t = 95)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=99))]
    percent: u8,

    /// For how long
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = lasting)]
    duration: Duration,

    #[command(flatten)]
    load: LoadArgs,
}

#[derive(Debug, Args)]
pub(super) struct SlowlorisArgs {
    /// How many at a time
    #[arg(long, value_name = "N", default_value_t = 500)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=50_000))]
    conns: u32,

    /// For how long
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = lasting)]
    duration: Duration,

    #[command(flatten)]
    load: LoadArgs,
}

#[derive(Debug, Args)]
pub(super) struct FsyncFailArgs {
    #[command(flatten)]
    exec: ExecArgs,

    #[command(flatten)]
    load: LoadArgs,
}

#[derive(Debug, Args)]
struct ExecArgs {
    /// Starts the daemon when its process has ended, by /bin/sh; not needed under systemd
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
}

fn lasting(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let bounds = Duration::from_secs(1)..=Duration::from_secs(SECONDS_MAX);
    if bounds.contains(&duration) { Ok(duration) } else { Err("must be 1s to 1h".to_owned()) }
}

pub(super) async fn run(command: ChaosCommand, context: &Context) -> Result<(), CtlError> {
    let stage = Stage::set(command.load(), context).await?;
    command.fits(&stage.chaos)?;
    let report = tokio::select! {
        report = stage.drill(&command) => report,
        never = stage.watch() => match never {},
        _ = tokio::signal::ctrl_c() => Err(CtlError::new(Exit::Refused, "interrupted")),
    };
    stage.end();
    stage.clear().await;
    let report = report?;
    context.ui.show(&report, || report.table(&context.ui))?;
    match report.passed {
        true => Ok(()),
        false => Err(CtlError::new(Exit::Unverified, "the drill was not passed")
            .hint("the lines that say FAILED; RUNBOOK.md has what each means")),
    }
}

impl ChaosCommand {
    fn load(&self) -> &LoadArgs {
        match self {
            ChaosCommand::Kill(args) => &args.load,
            ChaosCommand::DiskFill(args) => &args.load,
            ChaosCommand::Slowloris(args) => &args.load,
            ChaosCommand::FsyncFail(args) => &args.load,
        }
    }

    fn exec(&self) -> Option<&str> {
        match self {
            ChaosCommand::Kill(args) => args.exec.exec.as_deref(),
            ChaosCommand::FsyncFail(args) => args.exec.exec.as_deref(),
            ChaosCommand::DiskFill(_) | ChaosCommand::Slowloris(_) => None,
        }
    }

    /// The process ends with it.
    fn is_mortal(&self) -> bool {
        match self {
            ChaosCommand::Kill(args) => args.signal == SignalName::Kill,
            ChaosCommand::FsyncFail(_) => true,
            ChaosCommand::DiskFill(_) | ChaosCommand::Slowloris(_) => false,
        }
    }

    /// How long it strikes, about.
    fn lasts(&self) -> Duration {
        match self {
            ChaosCommand::DiskFill(args) => args.duration,
            ChaosCommand::Slowloris(args) => args.duration,
            ChaosCommand::Kill(_) | ChaosCommand::FsyncFail(_) => Duration::from_secs(5),
        }
    }

    fn name(&self) -> String {
        match self {
            ChaosCommand::Kill(KillArgs { target, signal, .. }) => {
                let signal = if *signal == SignalName::Kill { "SIGKILL" } else { "PANIC" };
                format!("kill {target:?} {signal}").to_lowercase()
            }
            ChaosCommand::DiskFill(args) => format!("disk-fill {} %", args.percent),
            ChaosCommand::Slowloris(args) => format!("slowloris {}", args.conns),
            ChaosCommand::FsyncFail(_) => "fsync-fail".to_owned(),
        }
    }

    /// Whether the node is one for this drill. Nothing has happened yet.
    fn fits(&self, chaos: &ChaosOut) -> Result<(), CtlError> {
        let refused = |why: &str| CtlError::new(Exit::Refused, why);
        if !chaos.enabled {
            return Err(refused("this node refuses drills: chaos.enabled is not set").hint(
                "set it where node.environment is dev, and restart; production never takes it",
            ));
        }
        let needs_disk = self.is_mortal() || matches!(self, ChaosCommand::DiskFill(_));
        if needs_disk && !chaos.durable {
            return Err(refused("a micronode forgets with its process, and has no disk to fill"));
        }
        if self.is_mortal() && self.exec().is_none() && !chaos.restarted_by_systemd {
            return Err(CtlError::usage("nothing would start the daemon again")
                .hint("--exec CMD does, or run it under systemd"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, Command};
    use super::*;

    fn parsed(line: &str) -> ChaosCommand {
        let words = ["ron-ledgerctl", "chaos"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words).unwrap().command {
            Command::Chaos(command) => command,
            other => panic!("{other:?}"),
        }
    }

    /// The exit code and a part of the message, or that it fits.
    fn check(line: &str, change: impl FnOnce(&mut ChaosOut), expected: Option<(Exit, &str)>) {
        let mut chaos = ChaosOut {
            enabled: true,
            durable: true,
            restarted_by_systemd: true,
            disk_marks: (85, 93),
            ballast_bytes: 0,
        };
        change(&mut chaos);
        let outcome = parsed(line).fits(&chaos);
        match (outcome, expected) {
            (Ok(()), None) => {}
            (Err(error), Some((exit, text))) => {
                assert_eq!(error.exit(), exit, "{line}: {error}");
                assert!(error.to_string().contains(text), "{line}: {error}");
            }
            (outcome, _) => panic!("{line}: {outcome:?}"),
        }
    }

    #[test]
    fn a_drill_that_does_not_fit_the_node_is_not_begun() {
        let kill = "kill --target committer --signal SIGKILL";
        let panic = "kill --target committer --signal panic";
        let all = [kill, panic, "disk-fill", "slowloris", "fsync-fail"];
        for line in all {
            check(line, |_| (), None);
            let off = Some((Exit::Refused, "chaos.enabled is not set"));
            check(line, |chaos| chaos.enabled = false, off);
        }
        let forgets = Some((Exit::Refused, "micronode"));
        for (line, expected) in all.into_iter().zip([forgets, None, forgets, None, forgets]) {
            check(line, |chaos| chaos.durable = false, expected);
        }
        let alone = |chaos: &mut ChaosOut| chaos.restarted_by_systemd = false;
        let stays_down = Some((Exit::Usage, "nothing would start"));
        for (line, expected) in all.into_iter().zip([stays_down, None, None, None, stays_down]) {
            check(line, alone, expected);
        }
        check("fsync-fail --exec true", alone, None);
        check(&format!("{kill} --exec true"), alone, None);
    }

    #[test]
    fn durations_have_bounds() {
        assert_eq!(lasting("5m"), Ok(Duration::from_secs(300)));
        for text in ["0s", "61m", "x"] {
            assert!(lasting(text).is_err(), "{text}");
        }
    }
}
