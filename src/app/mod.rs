//! The daemon as a whole: opens, wires bottom-up, serves, and drains in order.

mod args;
mod attend;
mod descriptors;
mod follow;
mod import;
mod listen;
mod node;
mod notify;
mod panics;
mod reload;
mod services;
mod socket;
mod tls;
mod watchers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use self::listen::Listeners;
use self::notify::Notify;
use self::reload::Reload;
use crate::actors::drills::Drills;
use crate::actors::pipeline::Pipeline;
use crate::config::{Config, Loaded, Profile};
use crate::storage::files::{DirLock, FileError};
use crate::telemetry::Telemetry;

pub use self::args::Args;
pub use self::descriptors::TooFewDescriptors;
pub use self::follow::Follow;
pub use self::import::{Import, ImportError};
pub use self::node::{OpenError, branch_store, open, upgrade_store};
pub use self::panics::log_panics;
pub use self::services::ServicesError;
pub use self::tls::TlsError;

/// How long the store may take to close after the drain's deadline.
const CLOSING: Duration = Duration::from_millis(500);

/// The exit codes of `ron-ledgerd`. Units and scripts depend on them: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Drained and stopped, as it was asked to.
    Ok = 0,
    /// It could not start: a key, the store, a port.
    NotStarted = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// An actor ended for good, or did not end when asked to (`EX_SOFTWARE` of sysexits).
    Broken = 70,
}

/// The codes as the help shows them.
pub const EXIT_CODES_HELP: &str = "\
Exit codes:
  0   drained and stopped by SIGTERM or SIGINT
  1   could not start: a key, the store, a port
  2   wrong command line or configuration
  70  an actor failed for good, or did not end in time";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A key or the store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A listener.
    #[error("cannot listen on {addr} ({key}): {source}")]
    Listen {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        addr: std::net::SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// File descriptors.
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    /// The local socket.
    #[error("cannot listen on {} (uds.path): {source}", path.display())]
    Socket {
        /// Its path.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system refuses what every process needs.
    #[error("cannot start a thread or catch a signal: {0}")]
    System(#[from] std::io::Error),
}

/// What a node begins with.
#[derive(Clone, Debug)]
pub enum Begin {
    /// What it has, or an empty ledger. With a file with a signed checkpoint of this ledger, the ledger must
    /// contain it, and takes no writes otherwise.
    Own {
        /// The file.
        at_least: Option<PathBuf>,
    },
    /// What another node archives, and no writes at all.
    Follow(Follow),
    /// The export of another node: a micronode.
    Import(Import),
}

/// Runs a node until SIGTERM or SIGINT, or until an actor ends for good. The configuration is
/// validated, and read again from its sources on SIGHUP.
///
/// # Errors
/// [`StartError`]; nothing was served then.
pub async fn run(loaded: &Loaded, begin: &Begin, telemetry: Telemetry) -> Result<Exit, StartError> {
    match begin {
        Begin::Own { at_least } => {
            let open = |config: &Config| node::open_for_service(config, at_least.as_deref());
            run_opened_by(loaded, telemetry, open).await
        }
        Begin::Follow(follow) => {
            let leader = follow::Leader::find(&loaded.config, follow).await?;
            let open = |config: &Config| Ok((follow::open(config, leader)?, None));
            run_opened_by(loaded, telemetry, open).await
        }
        Begin::Import(import) => {
            let open = |config: &Config| Ok((node::open_importing(config, import)?, None));
            run_opened_by(loaded, telemetry, open).await
        }
    }
}

/// As [`run`], around a pipeline that `open` opens, with the means of drills where it takes them.
///
/// # Errors
/// As [`run`].
pub async fn run_opened_by(
    loaded: &Loaded,
    telemetry: Telemetry,
    open: impl FnOnce(&Config) -> Result<(Pipeline, Option<Arc<Drills>>), OpenError>,
) -> Result<Exit, StartError> {
    let config = &loaded.config;
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    let (pipeline, drills) = open(config)?;
    let listeners = match listen::start(config, &pipeline, drills.clone(), telemetry.clone()) {
        Ok(listeners) => listeners,
        Err(error) => {
            give_up(config, pipeline).await;
            return Err(error);
        }
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        profile = config.profile.as_str(),
        origin = pipeline.reader().genesis().origin,
        hash = %pipeline.reader().genesis().hash,
        api = %listeners.api_addr,
        metrics = %listeners.metrics_addr,
        admin = listeners.admin_addr.map(tracing::field::display),
        tls = config.tls.cert_file.is_some(),
        "ron-ledgerd is up"
    );
    let notify = Arc::new(Notify::from_process());
    notify.ready();
    let attendants = [
        actix_rt::spawn(attend::announce(pipeline.clone(), Arc::clone(&notify))),
        actix_rt::spawn(attend::sample(pipeline.clone(), telemetry.clone())),
        actix_rt::spawn(attend::watchdog(pipeline.clone(), Arc::clone(&notify))),
    ];
    actix_rt::spawn(attend::tell_repeats(telemetry.clone()));
    actix_rt::spawn(tls::watch(listeners.endpoints.clone()));
    // Without a handler it would end the process undrained: a closed terminal is no reason to.
    let mut reload = Reload::new(loaded, &pipeline, listeners.endpoints.clone(), telemetry);
    actix_rt::spawn(async move {
        while hangup.recv().await.is_some() {
            reload.run();
        }
    });
    let mut exit = tokio::select! {
        _ = term.recv() => stop_asked("SIGTERM"),
        _ = int.recv() => stop_asked("SIGINT"),
        () = ordered_to_end(pipeline.clone()) => stop_asked("an order"),
        (actor, end) = pipeline.broken() => {
            tracing::error!(actor, ?end, "an actor ended for good: the process ends");
            Exit::Broken
        }
    };
    notify.stopping();
    // The last flush needs the room.
    if let Some(drills) = drills {
        drills.free_disk();
    }
    let deadline = Instant::now() + config.drain.deadline;
    if let Err(leaked) = drain(&pipeline, listeners, deadline).await {
        tracing::error!(actors = leaked.0, "actors did not end in time");
        exit = Exit::Broken;
    }
    attendants.iter().for_each(|attendant| attendant.abort());
    // Their end is a cancellation; by then they have let go of the pipeline.
    drop((futures_util::future::join_all(attendants).await, pipeline));
    close(config, deadline + CLOSING).await;
    Ok(exit)
}

async fn ordered_to_end(pipeline: Pipeline) {
    let mut modes = pipeline.modes();
    // Fails when the cell is gone, and the pipeline holds it.
    let _ = modes.wait_for(|mode| mode.is_draining()).await;
}

fn stop_asked(by: &str) -> Exit {
    tracing::info!(by, "asked to stop, draining");
    Exit::Ok
}

/// First the pipeline, so that what was accepted is answered over connections that still stand; then
/// the listeners. Both together keep to `drain.deadline`.
async fn drain(
    pipeline: &Pipeline,
    listeners: Listeners,
    deadline: Instant,
) -> Result<(), crate::actors::pipeline::Leaked> {
    let started = Instant::now();
    let outcome = pipeline.drain(deadline).await;
    let in_time = listeners.stop(deadline).await;
    let (head, millis) = (pipeline.reader().head().seq, started.elapsed().as_millis() as u64);
    tracing::info!(head, millis, connections_in_time = in_time, "drained");
    outcome
}

/// Ends what was opened and cannot be served.
async fn give_up(config: &Config, pipeline: Pipeline) {
    let deadline = Instant::now() + config.drain.deadline;
    // Why nothing is served is told, and the exit code is that of it.
    let _ = pipeline.drain(deadline).await;
    drop(pipeline);
    close(config, deadline + CLOSING).await;
}

/// Waits until nobody has the store open. A process that ends before that takes RocksDB's own state from
/// under its threads, and is aborted by them.
async fn close(config: &Config, deadline: Instant) {
    if !is_closed(config, deadline).await {
        tracing::warn!("the store is still in use at the end of the process");
    }
}

/// As the lock tells, which goes last.
async fn is_closed(config: &Config, deadline: Instant) -> bool {
    if config.profile == Profile::Micronode {
        return true;
    }
    loop {
        match DirLock::acquire(&config.node.data_dir) {
            Err(FileError::InUse { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            outcome => return outcome.is_ok(),
        }
    }
}
