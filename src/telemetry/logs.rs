//! Starts logging, and tracing where a collector is configured, for the whole process.
//!
//! Logs go to standard error: a command's own output stays apart.

use std::io::IsTerminal as _;

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use super::Telemetry;
use super::repeats::{Bounded, Repeats};
use super::traces::Traces;
use crate::config::{LogFormat, TelemetryConfig};

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter directives do not parse.
    #[error("telemetry.log is no list of filter directives: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The exporter of traces could not be made.
    #[error("cannot export traces to telemetry.otlp_endpoint: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The thread of the exporter could not be started.
    #[error("cannot start the runtime of the trace exporter: {0}")]
    Runtime(#[from] std::io::Error),
    /// This process writes no log that could be changed.
    #[error("the log cannot be changed: {0}")]
    Reload(#[from] reload::Error),
    /// As [`TelemetryError::Reload`], where logging was not started.
    #[error("the log cannot be changed: it was not started")]
    NoLog,
    /// Something has set a subscriber before.
    #[error("logging was started twice: {0}")]
    Twice(#[from] TryInitError),
}

/// Keeps telemetry alive. Dropping it sends the spans that are left, for two seconds at most.
#[must_use = "traces end when this is dropped"]
pub struct Guard {
    telemetry: Telemetry,
    _traces: Option<Traces>,
}

impl Guard {
    /// What the rest of the process uses it by.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
}

/// Starts logs, and traces where an endpoint is set. Once in a process.
///
/// # Errors
/// [`TelemetryError`]; a collector that cannot be reached is none, its spans are lost.
pub fn init(config: &TelemetryConfig) -> Result<Guard, TelemetryError> {
    let traces = config.otlp_endpoint.as_deref().map(Traces::start).transpose()?;
    let (layer, log) = log_layer(config, std::io::stderr)?;
    let registry = tracing_subscriber::registry().with(layer);
    // Listens without authentication, where TOKIO_CONSOLE_BIND says: not in builds that are shipped.
    #[cfg(feature = "console")]
    let registry = registry.with(console_subscriber::spawn());
    registry.try_init()?;
    let telemetry = Telemetry::new(config.sample_ratio, traces.as_ref(), Some(log));
    Ok(Guard { telemetry, _traces: traces })
}

/// The log as it can be changed while it is written.
pub(super) struct LogControl {
    filter: reload::Handle<EnvFilter, Registry>,
    directives: Mutex<String>,
    pub(super) repeats: Repeats,
}

impl LogControl {
    pub(super) fn directives(&self) -> String {
        self.directives.lock().clone()
    }

    /// From the next line on.
    pub(super) fn set(&self, directives: &str) -> Result<(), TelemetryError> {
        let filter = EnvFilter::try_new(directives)?;
        let mut now = self.directives.lock();
        self.filter.reload(filter)?;
        directives.clone_into(&mut now);
        Ok(())
    }
}

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// The layer that writes log lines, and the means to change it.
fn log_layer<W>(config: &TelemetryConfig, writer: W) -> Result<(Lines, LogControl), TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(&config.log)?);
    let repeats = Repeats::default();
    let bounded = repeats.clone();
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match config.log_format {
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            let lines = lines.with_current_span(true).with_span_list(false);
            Bounded { lines, repeats: bounded }.with_filter(filter).boxed()
        }
        LogFormat::Pretty => {
            let lines = lines.with_ansi(std::io::stderr().is_terminal());
            Bounded { lines, repeats: bounded }.with_filter(filter).boxed()
        }
    };
    let directives = Mutex::new(config.log.clone());
    Ok((layer, LogControl { filter: handle, directives, repeats }))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::super::repeats::LINES_MAX;
    use super::*;
    use crate::config::{Config, Sources};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn telemetry(format: LogFormat, filter: &str) -> TelemetryConfig {
        let mut config = Config::load(Sources::default()).unwrap().config.telemetry;
        config.log_format = format;
        config.log = filter.to_owned();
        config
    }

    fn logged(config: &TelemetryConfig, events: impl FnOnce(&LogControl)) -> String {
        let lines = Written::default();
        let writer = lines.clone();
        let (layer, log) = log_layer(config, move || writer.clone()).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || events(&log));
        let bytes = lines.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_lines_carry_fields_and_the_span() {
        let text = logged(&telemetry(LogFormat::Json, "info"), |_| {
            let _span = tracing::info_span!("ingest", request = 7).entered();
            tracing::info!(seq = 42, "committed");
            tracing::debug!("below the level");
        });
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["message"], "committed");
        assert_eq!(lines[0]["level"], "INFO");
        assert_eq!(lines[0]["seq"], 42);
        assert_eq!(lines[0]["span"]["request"], 7);
    }

    #[test]
    fn pretty_lines_are_for_people() {
        let text = logged(&telemetry(LogFormat::Pretty, "warn"), |_| {
            tracing::warn!(depth = 3, "queue is filling");
            tracing::info!("below the level");
        });
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("WARN") && text.contains("queue is filling depth=3"), "{text}");
    }

    #[test]
    fn bad_directives_are_an_error() {
        let result = log_layer(&telemetry(LogFormat::Json, "info,="), Written::default);
        assert!(matches!(result.err(), Some(TelemetryError::Filter(_))));
    }

    #[test]
    fn the_level_changes_while_the_log_is_written() {
        let text = logged(&telemetry(LogFormat::Json, "warn"), |log| {
            let say = |at: u32| tracing::info!(at, "said");
            say(1);
            log.set("info").unwrap();
            say(2);
            assert!(matches!(log.set("info,="), Err(TelemetryError::Filter(_))));
            assert_eq!(log.directives(), "info", "a bad one changes nothing");
            say(3);
            log.set("error").unwrap();
            say(4);
        });
        let said: Vec<u64> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["at"].as_u64())
            .map(Option::unwrap)
            .collect();
        assert_eq!(said, [2, 3]);
    }

    #[test]
    fn one_failing_place_does_not_fill_the_log() {
        let text = logged(&telemetry(LogFormat::Json, "info"), |log| {
            (0..500).for_each(|at| tracing::error!(at, "fails"));
            tracing::error!("another place");
            assert_eq!(log.repeats.left_out() as u32, 500 - LINES_MAX);
        });
        assert_eq!(text.lines().count() as u32, LINES_MAX + 1);
    }
}
