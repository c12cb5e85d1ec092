//! Exports traces by OTLP over gRPC.
//!
//! The exporter lives on a runtime of its own: on a runtime of the actors its flush would wait for
//! the very thread that it blocks, and it has to outlive their system to send the last spans.

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider,
};
use tokio::runtime::{Builder, Runtime};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::registry::LookupSpan;

use super::TelemetryError;

/// Name of the service in traces.
const SERVICE: &str = "ron-ledger";
/// Longest time for one export.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time that the end of the process waits for the last spans.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// Spans that wait for export; more are dropped.
const SPANS_MAX: usize = 16_384;

/// The running exporter. Dropping it sends what is left.
pub(super) struct Traces {
    provider: SdkTracerProvider,
    /// Taken on drop: a runtime must not be dropped where blocking is forbidden.
    runtime: Option<Runtime>,
}

impl Traces {
    /// Starts the exporter and makes W3C trace context the way in which traces are joined. Does not
    /// connect: an unreachable collector costs spans and nothing else.
    pub(super) fn start(endpoint: &str, sample_ratio: f64) -> Result<Self, TelemetryError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("telemetry")
            .enable_all()
            .build()?;
        let exporter = {
            let _entered = runtime.enter();
            opentelemetry_otlp::SpanExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint)
                .with_timeout(EXPORT_TIMEOUT)
                .build()?
        };
        let batches = BatchSpanProcessor::builder(exporter)
            .with_batch_config(BatchConfigBuilder::default().with_max_queue_size(SPANS_MAX).build())
            .build();
        let provider = SdkTracerProvider::builder()
            .with_resource(Resource::builder().with_service_name(SERVICE).build())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample_ratio))))
            .with_span_processor(batches)
            .build();
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        Ok(Self { provider, runtime: Some(runtime) })
    }

    /// The layer that turns spans of level info and above into traces.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(SERVICE))
            .with_filter(LevelFilter::INFO)
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT) {
            tracing::warn!(%error, "the last traces were not sent");
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _};
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::thread;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Far beyond the two seconds of a shutdown: only a hang reaches it.
    const HANG: Duration = Duration::from_secs(30);

    /// Records one span towards `endpoint` and shuts down, on a thread of its own.
    fn trace_and_stop(endpoint: String, sample_ratio: f64) -> Result<(), mpsc::RecvTimeoutError> {
        let (done, ended) = mpsc::channel();
        thread::spawn(move || {
            let traces = Traces::start(&endpoint, sample_ratio).unwrap();
            let subscriber = tracing_subscriber::registry().with(traces.layer());
            tracing::subscriber::with_default(subscriber, || {
                tracing::info_span!("request").in_scope(|| ());
            });
            drop(traces);
            done.send(()).unwrap();
        });
        ended.recv_timeout(HANG)
    }

    fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        (listener, endpoint)
    }

    #[test]
    fn shutdown_sends_what_is_left() {
        let (listener, endpoint) = listener();
        let collector = thread::spawn(move || {
            let mut preface = [0; 24];
            listener.accept().unwrap().0.read_exact(&mut preface).unwrap();
            preface
        });
        assert_eq!(trace_and_stop(endpoint, 1.0), Ok(()));
        assert_eq!(&collector.join().unwrap(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    }

    #[test]
    fn what_is_not_sampled_is_not_sent() {
        let (listener, endpoint) = listener();
        assert_eq!(trace_and_stop(endpoint, 0.0), Ok(()));
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_collector_that_is_down_or_silent_does_not_hold_the_process() {
        let (down, endpoint) = listener();
        drop(down);
        assert_eq!(trace_and_stop(endpoint, 1.0), Ok(()));
        let (_silent, endpoint) = listener();
        assert_eq!(trace_and_stop(endpoint, 1.0), Ok(()));
    }

    #[test]
    fn dropping_inside_a_runtime_does_not_panic() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (_silent, endpoint) = listener();
        runtime.block_on(async { drop(Traces::start(&endpoint, 1.0).unwrap()) });
    }

    #[test]
    fn an_endpoint_that_is_no_address_is_an_error() {
        assert!(matches!(
            Traces::start("no address", 1.0).err(),
            Some(TelemetryError::Exporter(_))
        ));
    }
}
