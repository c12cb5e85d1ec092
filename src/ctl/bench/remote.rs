//! Load on a ledger that runs somewhere: closed loops and open ones.

use std::time::Instant;

use super::report::Asked;
use super::watch::Watch;
use super::{BenchArgs, capability_of, open, report};
use crate::client::load::{self, Load, PreloadError};
use crate::client::open::{Keep, Ready, Schedule};
use crate::client::{BearerToken, Client};
use crate::ctl::context::{Context, ask};
use crate::ctl::{CtlError, Exit};

pub(super) async fn run(
    args: &BenchArgs,
    token: BearerToken,
    context: &Context,
) -> Result<(), CtlError> {
    let load = args.load(capability_of(&token)?);
    let client = match args.local {
        true => context.local_client_with(token)?,
        false => context.client_with(Some(token))?,
    };
    let pid = match args.local {
        true => args.pid.or(peer(context).await),
        false => args.pid,
    };
    // Also finds out whether a ledger is there at all.
    ask(|| client.probe("version")).await?;
    if args.preload > 0 {
        context.ui.note(format_args!("sending {} entries first", args.preload));
        let bar = context.ui.progress(args.preload.into());
        let sent = load::preload(&client, &load, args.preload as usize, |one| bar.inc(one)).await;
        bar.finish_and_clear();
        sent?;
    }
    let watch = Watch::new(context, pid, args.data_dir.clone())?;
    match args.rate.zip(args.duration) {
        Some((rate, duration)) => {
            run_open(args, &load, Schedule { rate, duration }, &client, watch, context).await
        }
        None => run_closed(args, &load, &client, watch, context).await,
    }
}

async fn run_closed(
    args: &BenchArgs,
    load: &Load,
    client: &Client,
    mut watch: Watch,
    context: &Context,
) -> Result<(), CtlError> {
    context.ui.note("preparing the requests");
    let feeds = load.feeds(args.duration.is_some())?;
    let bar = match args.duration {
        Some(duration) => context.ui.clock(duration.as_secs()),
        None => context.ui.progress(args.entries().into()),
    };
    watch.start().await;
    let (ticking, timed, started) = (bar.clone(), args.duration.is_some(), Instant::now());
    let progress = move |entries| match timed {
        true => ticking.set_position(started.elapsed().as_secs()),
        false => ticking.inc(entries),
    };
    let measured = load::run(client, feeds, args.duration, progress).await;
    let seen = watch.end().await;
    bar.finish_and_clear();
    let report = report::Report::of(args.asked(), &measured?, seen);
    context.ui.show(&report, || report.table(&context.ui))?;
    show_bars(context, report.bars())
}

async fn run_open(
    args: &BenchArgs,
    load: &Load,
    schedule: Schedule,
    client: &Client,
    mut watch: Watch,
    context: &Context,
) -> Result<(), CtlError> {
    let since = ask(|| client.entries(1, 1)).await?.size;
    context.ui.note("preparing the requests");
    let keep = if args.verify { Keep::Receipts } else { Keep::Counts };
    let ready = Ready::new(client, load, schedule, keep).await?;
    let bar = context.ui.progress(schedule.planned());
    watch.start().await;
    let ticking = bar.clone();
    let offered = ready.offer(move || ticking.inc(1)).await;
    let seen = watch.end().await;
    bar.finish_and_clear();
    let mut report = open::Report::of(args.asked(), schedule, &offered, seen);
    if args.verify {
        context.ui.note("reading all entries back");
        report.audit = Some(offered.receipts.audit(client, since).await?);
    }
    context.ui.show(&report, || report.table(&context.ui))?;
    show_bars(context, report.bars())?;
    match report.audit {
        Some(audit) if !audit.is_clean() => {
            Err(CtlError::new(Exit::Unverified, "the ledger did not keep its word"))
        }
        _ => Ok(()),
    }
}

fn show_bars(context: &Context, bars: impl std::fmt::Display) -> Result<(), CtlError> {
    match context.ui.json {
        true => Ok(()),
        false => context.ui.line(format_args!("\nlatencies, up to\n{bars}")),
    }
}

/// The process that listens on the local socket.
async fn peer(context: &Context) -> Option<u32> {
    let stream = tokio::net::UnixStream::connect(&context.global.socket).await.ok()?;
    u32::try_from(stream.peer_cred().ok()?.pid()?).ok()
}

impl BenchArgs {
    fn asked(&self) -> Asked {
        let &BenchArgs { connections, batch, format, uuid, preload, .. } = self;
        Asked { connections, batch, format, uuid, preload }
    }
}

impl From<PreloadError> for CtlError {
    fn from(error: PreloadError) -> Self {
        match error {
            PreloadError::Spec(error) => error.into(),
            PreloadError::Client(error) => error.into(),
        }
    }
}
