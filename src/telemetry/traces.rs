//! Exports traces by OTLP over gRPC.
//!
//! The exporter lives on a runtime of its own: on a runtime of the actors its flush would wait for
//! the very thread that it blocks, and it has to outlive their system to send the last spans. Whoever
//! ends a span never waits: what does not fit in the queue is dropped and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span, SpanData,
    SpanExporter, SpanProcessor,
};
use tokio::runtime::{Builder, Runtime};

use super::TelemetryError;

/// Name of the service in traces.
const SERVICE: &str = "ron-ledger";
/// Longest time for one export.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time that the end of the process waits for the last spans.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// Spans that wait for export; more are dropped.
const SPANS_MAX: usize = 16_384;

/// What became of spans since the start.
#[derive(Debug, Default)]
pub struct SpanCounts {
    waiting: AtomicUsize,
    exported: AtomicU64,
    dropped_queue: AtomicU64,
    dropped_export: AtomicU64,
    failed_exports: AtomicU64,
}

impl SpanCounts {
    /// Spans that the collector took.
    pub fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// Spans for which the queue had no room.
    pub fn dropped_by_queue(&self) -> u64 {
        self.dropped_queue.load(Ordering::Relaxed)
    }

    /// Spans of exports that failed.
    pub fn dropped_by_export(&self) -> u64 {
        self.dropped_export.load(Ordering::Relaxed)
    }

    /// Exports that failed.
    pub fn failed_exports(&self) -> u64 {
        self.failed_exports.load(Ordering::Relaxed)
    }

    /// Room for one more span, or it is dropped.
    fn admits(&self) -> bool {
        let more = |waiting| (waiting < SPANS_MAX).then_some(waiting + 1);
        let admitted = self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok();
        if !admitted {
            self.dropped_queue.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    fn sent(&self, spans: usize, outcome: &OTelSdkResult) {
        self.waiting.fetch_sub(spans, Ordering::AcqRel);
        let counter = match outcome {
            Ok(()) => &self.exported,
            Err(_) => {
                self.failed_exports.fetch_add(1, Ordering::Relaxed);
                &self.dropped_export
            }
        };
        counter.fetch_add(spans as u64, Ordering::Relaxed);
    }
}

/// Stands before the batches, and lets no more in than fit: the batches would drop the rest and tell
/// nobody.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    counts: Arc<SpanCounts>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.counts.admits() {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Stands behind the batches, and counts what became of each.
#[derive(Debug)]
struct Counted<E> {
    exporter: E,
    counts: Arc<SpanCounts>,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let outcome = self.exporter.export(batch).await;
        self.counts.sent(spans, &outcome);
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// The running exporter. Dropping it sends what is left.
pub(super) struct Traces {
    provider: SdkTracerProvider,
    counts: Arc<SpanCounts>,
    /// Taken on drop: a runtime must not be dropped where blocking is forbidden.
    runtime: Option<Runtime>,
}

impl Traces {
    /// Starts the exporter. Does not connect: an unreachable collector costs spans and nothing else.
    pub(super) fn start(endpoint: &str) -> Result<Self, TelemetryError> {
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
        let counts = Arc::new(SpanCounts::default());
        let provider = provider(exporter, &counts);
        Ok(Self { provider, counts, runtime: Some(runtime) })
    }

    /// Makes spans.
    pub(super) fn tracer(&self) -> SdkTracer {
        self.provider.tracer(SERVICE)
    }

    /// What became of them.
    pub(super) fn counts(&self) -> &Arc<SpanCounts> {
        &self.counts
    }
}

/// What is to be sampled is decided before a span is made: here every span counts.
fn provider(exporter: impl SpanExporter + 'static, counts: &Arc<SpanCounts>) -> SdkTracerProvider {
    let counted = Counted { exporter, counts: Arc::clone(counts) };
    let batches = BatchSpanProcessor::builder(counted)
        .with_batch_config(BatchConfigBuilder::default().with_max_queue_size(SPANS_MAX).build())
        .build();
    SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(SERVICE).build())
        .with_sampler(Sampler::AlwaysOn)
        .with_span_processor(Bounded { batches, counts: Arc::clone(counts) })
        .build()
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
pub(super) mod testing;
#[cfg(test)]
mod tests;
