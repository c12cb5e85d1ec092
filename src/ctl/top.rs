//! `top`: a live view of one ledger.

mod look;
mod view;

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use tokio::time::timeout;

use self::look::{Looks, Reading};
use self::view::Screen;
use super::CtlError;
use super::context::{Context, ask};
use crate::client::Client;

/// Of what `--once` prints.
const ONCE: (u16, u16) = (80, 24);

/// A reading that takes longer is none.
const ANSWER: Duration = Duration::from_secs(2);

/// A key is answered within this time.
const TICK: Duration = Duration::from_millis(50);

/// Watch a ledger live: throughput, latency, queues, breakers, roots
///
/// Reads the metrics listener and the API; writes nothing. Keys: q or Ctrl-C ends it, the space bar
/// holds the picture. Without colours where NO_COLOR is set.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ron-ledgerctl top\n  \
    ron-ledgerctl top --interval 5s --metrics-url http://10.0.0.7:9909\n  \
    ron-ledgerctl top --once")]
pub(super) struct TopArgs {
    /// Time between two readings
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,

    /// Print one picture, of one interval, and end: for a file or a pipe
    #[arg(long)]
    once: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let bounds = Duration::from_millis(200)..=Duration::from_secs(60);
    bounds.contains(&interval).then_some(interval).ok_or("is not within 200ms and 1m".into())
}

struct Sources {
    metrics: Client,
    api: Client,
    started: Instant,
}

impl Sources {
    async fn read(&self) -> Result<Reading, CtlError> {
        let at = self.started.elapsed().as_secs_f64();
        let metrics = ask(|| self.metrics.text("metrics")).await?;
        let readyz = ask(|| self.metrics.probe("readyz")).await?;
        let published = super::bench::ledger::series(&metrics);
        let size = published.get("ledger_published_size").map_or(0, |size| *size as u64);
        // The API may be elsewhere, or closed: the figures are worth seeing without it.
        let page = self.api.roots(size.saturating_sub(1), 1).await;
        let newest = page.ok().and_then(|page| page.roots.into_iter().next());
        let root = newest.map(|row| (row.seq, row.root.to_string(), row.ts));
        Ok(Reading { at, metrics, readyz, root })
    }
}

pub(super) async fn run(args: TopArgs, context: &Context) -> Result<(), CtlError> {
    let sources = Sources {
        metrics: context.metrics_client()?,
        api: context.client()?,
        started: Instant::now(),
    };
    // Also finds out whether a ledger is there at all, before the screen is taken.
    let first = sources.read().await?;
    let mut looks = Looks::default();
    looks.note(first);
    if args.once {
        tokio::time::sleep(args.interval).await;
        looks.note(sources.read().await?);
        return context.ui.line(picture(&looks, &context.global.metrics_url)?);
    }
    if !io::stdout().is_terminal() {
        return Err(CtlError::usage("stdout is no terminal").hint("--once prints one picture"));
    }
    let mut terminal = ratatui::init();
    let ended = live(&mut terminal, &mut looks, &sources, &args, context).await;
    ratatui::restore();
    ended
}

async fn live(
    terminal: &mut ratatui::DefaultTerminal,
    looks: &mut Looks,
    sources: &Sources,
    args: &TopArgs,
    context: &Context,
) -> Result<(), CtlError> {
    let (mut is_paused, mut read_at) = (false, Instant::now());
    let in_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    loop {
        let url = &context.global.metrics_url;
        let screen = Screen { looks, url, is_paused, in_colour };
        terminal.draw(|frame| screen.draw(frame))?;
        while event::poll(Duration::ZERO)? {
            match event::read()? {
                Event::Key(key) if ends(key) => return Ok(()),
                Event::Key(KeyEvent { code: KeyCode::Char(' '), .. }) => is_paused = !is_paused,
                _ => {}
            }
        }
        if !is_paused && read_at.elapsed() >= args.interval {
            read_at = Instant::now();
            match timeout(ANSWER, sources.read()).await {
                Ok(Ok(reading)) => looks.note(reading),
                Ok(Err(error)) => looks.unreachable = Some(error.to_string()),
                Err(_) => looks.unreachable = Some("no answer within 2 s".into()),
            }
        }
        tokio::time::sleep(TICK).await;
    }
}

fn ends(key: KeyEvent) -> bool {
    let is_interrupt =
        key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
    is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
}

/// The screen as text.
fn picture(looks: &Looks, url: &str) -> Result<String, CtlError> {
    let screen = Screen { looks, url, is_paused: false, in_colour: false };
    let mut terminal =
        Terminal::new(TestBackend::new(ONCE.0, ONCE.1)).map_err(CtlError::internal)?;
    terminal.draw(|frame| screen.draw(frame)).map_err(CtlError::internal)?;
    let buffer = terminal.backend().buffer();
    let rows = buffer.content.chunks(usize::from(ONCE.0));
    let lines = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    Ok(lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n"))
}
