//! Starts logging, and tracing where a collector is configured, for the whole process.
//!
//! Logs go to standard error: a command's own output stays apart.

use std::io::IsTerminal as _;

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry};

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
    /// Something has set a subscriber before.
    #[error("logging was started twice: {0}")]
    Twice(#[from] TryInitError),
}

/// Keeps telemetry alive. Dropping it sends the spans that are left, for two seconds at most.
#[must_use = "traces end when this is dropped"]
pub struct Guard {
    _traces: Option<Traces>,
}

/// Starts logs, and traces where an endpoint is set. Once in a process.
///
/// # Errors
/// [`TelemetryError`]; a collector that cannot be reached is none, its spans are lost.
pub fn init(config: &TelemetryConfig) -> Result<Guard, TelemetryError> {
    let traces = config
        .otlp_endpoint
        .as_deref()
        .map(|endpoint| Traces::start(endpoint, config.sample_ratio))
        .transpose()?;
    tracing_subscriber::registry()
        .with(log_layer::<Registry, _>(config, std::io::stderr)?)
        .with(traces.as_ref().map(Traces::layer))
        .try_init()?;
    Ok(Guard { _traces: traces })
}

/// The layer that writes log lines. Its filter is its own: traces do not depend on the log level.
fn log_layer<S, W>(
    config: &TelemetryConfig,
    writer: W,
) -> Result<Box<dyn Layer<S> + Send + Sync>, TelemetryError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&config.log)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    Ok(match config.log_format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_filter(filter)
            .boxed(),
        LogFormat::Pretty => {
            lines.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed()
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::{Config, Sources};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
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

    fn logged(config: &TelemetryConfig, events: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = log_layer(config, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), events);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_lines_carry_fields_and_the_span() {
        let text = logged(&telemetry(LogFormat::Json, "info"), || {
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
        let text = logged(&telemetry(LogFormat::Pretty, "warn"), || {
            tracing::warn!(depth = 3, "queue is filling");
            tracing::info!("below the level");
        });
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("WARN") && text.contains("queue is filling depth=3"), "{text}");
    }

    #[test]
    fn bad_directives_are_an_error() {
        let result =
            log_layer::<Registry, _>(&telemetry(LogFormat::Json, "info,="), Lines::default);
        assert!(matches!(result.err(), Some(TelemetryError::Filter(_))));
    }
}
