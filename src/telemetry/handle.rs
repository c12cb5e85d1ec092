//! Telemetry as the rest of the process holds it: begins the traces of requests, and is what operators
//! change while the process runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;

use super::logs::LogControl;
use super::repeats::LeftOut;
use super::sampling::Sampling;
use super::stage::{Stage, Trace};
use super::traces::{SpanCounts, Traces};
use super::{DropReason, Metrics, TelemetryError};

/// The header by which a caller names its trace.
const TRACEPARENT: &str = "traceparent";

/// Cheap to clone; all clones are one. The default one traces nothing and has no log to change.
#[derive(Clone, Default)]
pub struct Telemetry(Arc<Inner>);

#[derive(Default)]
struct Inner {
    sampling: Sampling,
    traces: Option<Tracing>,
    log: Option<LogControl>,
}

struct Tracing {
    tracer: SdkTracer,
    counts: Arc<SpanCounts>,
    sampled: AtomicU64,
}

impl Telemetry {
    pub(super) fn new(ratio: f64, traces: Option<&Traces>, log: Option<LogControl>) -> Self {
        let traces = traces.map(|traces| (traces.tracer(), Arc::clone(traces.counts())));
        Self::of(ratio, traces, log)
    }

    fn of(
        ratio: f64,
        traces: Option<(SdkTracer, Arc<SpanCounts>)>,
        log: Option<LogControl>,
    ) -> Self {
        let traces =
            traces.map(|(tracer, counts)| Tracing { tracer, counts, sampled: AtomicU64::new(0) });
        Telemetry(Arc::new(Inner { sampling: Sampling::new(ratio), traces, log }))
    }

    /// The rule by which requests are sampled.
    pub fn sampling(&self) -> &Sampling {
        &self.0.sampling
    }

    /// Whether there is a collector to send traces to.
    pub fn has_collector(&self) -> bool {
        self.0.traces.is_some()
    }

    /// Begins the trace of a request if it is sampled, below its caller's span where the headers name
    /// one by W3C trace context. `name` is asked for a sampled request only.
    pub fn request(
        &self,
        headers: &dyn Extractor,
        name: impl FnOnce() -> String,
    ) -> Option<(Trace, Stage)> {
        let tracing = self.0.traces.as_ref()?;
        let caller = headers
            .get(TRACEPARENT)
            .map(|_| TraceContextPropagator::new().extract_with_context(&Context::new(), headers))
            .filter(Context::has_active_span);
        let wish = caller.as_ref().map(|caller| caller.span().span_context().is_sampled());
        if !self.0.sampling.samples(wish, rand::random(), second()) {
            return None;
        }
        tracing.sampled.fetch_add(1, Ordering::Relaxed);
        Some(Trace::begin(&tracing.tracer, name(), &caller.unwrap_or_default()))
    }

    /// The filter directives of the log.
    pub fn log(&self) -> Option<String> {
        self.0.log.as_ref().map(LogControl::directives)
    }

    /// Changes the filter of the log, from the next line on.
    ///
    /// # Errors
    /// Directives that do not parse, which change nothing; no log.
    pub fn set_log(&self, directives: &str) -> Result<(), TelemetryError> {
        self.0.log.as_ref().ok_or(TelemetryError::NoLog)?.set(directives)
    }

    /// The repeated lines that were left out since this was asked last.
    pub fn left_out(&self) -> Vec<LeftOut> {
        self.0.log.as_ref().map(|log| log.repeats.take()).unwrap_or_default()
    }

    /// Brings the metrics of telemetry itself up to date.
    pub fn measure(&self, metrics: &Metrics) {
        let raise = |counter: &prometheus::IntCounter, now: u64| {
            counter.inc_by(now.saturating_sub(counter.get()));
        };
        if let Some(log) = &self.0.log {
            raise(&metrics.log_lines_left_out, log.repeats.left_out());
        }
        let Some(Tracing { counts, sampled, .. }) = &self.0.traces else { return };
        metrics.trace_sampling_ratio.set(self.0.sampling.ratio_now());
        raise(&metrics.traces_sampled, sampled.load(Ordering::Relaxed));
        raise(&metrics.spans_exported, counts.exported());
        raise(metrics.spans_dropped.of(DropReason::Queue), counts.dropped_by_queue());
        raise(metrics.spans_dropped.of(DropReason::Export), counts.dropped_by_export());
        raise(&metrics.trace_exports_failed, counts.failed_exports());
    }
}

/// Of the wall clock: only told apart from the one before.
fn second() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as u32)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};

    use super::super::traces::testing::Kept;
    use super::*;

    fn telemetry(ratio: f64) -> (Telemetry, Kept, SdkTracerProvider) {
        let kept = Kept::default();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_simple_exporter(kept.clone())
            .build();
        let traces = Some((provider.tracer("test"), Arc::default()));
        (Telemetry::of(ratio, traces, None), kept, provider)
    }

    fn headers(traceparent: &str) -> HashMap<String, String> {
        HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())])
    }

    #[test]
    fn a_callers_trace_is_joined_and_what_is_no_trace_context_is_not() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        const SPAN: &str = "00f067aa0ba902b7";
        for (traceparent, is_joined) in [
            (format!("00-{TRACE}-{SPAN}-01"), true),
            (format!("00-{TRACE}-{SPAN}-00"), true),
            (format!("00-{}-{SPAN}-01", "0".repeat(32)), false),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), false),
            (format!("ff-{TRACE}-{SPAN}-01"), false),
            ("x".repeat(4096), false),
            (String::new(), false),
        ] {
            let (telemetry, kept, _provider) = telemetry(1.0);
            telemetry.sampling().force(true);
            drop(telemetry.request(&headers(&traceparent), || "POST /ingest".into()).unwrap());
            let span = kept.spans().remove(0);
            let joined = span.span_context.trace_id().to_string() == TRACE
                && span.parent_span_id.to_string() == SPAN;
            assert_eq!(joined, is_joined, "{traceparent}");
            assert!(span.span_context.is_sampled());
        }
    }

    #[test]
    fn what_is_not_sampled_is_not_even_named() {
        let (telemetry, kept, _provider) = telemetry(0.0);
        let none = telemetry.request(&headers(""), || unreachable!("nothing is sampled"));
        assert!(none.is_none() && kept.spans().is_empty());
        assert!(Telemetry::default().request(&headers(""), || unreachable!()).is_none());
    }

    #[test]
    fn its_own_metrics_follow() {
        let (telemetry, _kept, _provider) = telemetry(0.25);
        let metrics = Metrics::new();
        telemetry.sampling().force(true);
        for _ in 0..3 {
            drop(telemetry.request(&headers(""), String::new).unwrap());
        }
        telemetry.measure(&metrics);
        telemetry.measure(&metrics);
        assert_eq!(metrics.traces_sampled.get(), 3);
        assert_eq!(metrics.trace_sampling_ratio.get(), 1.0);
        telemetry.sampling().force(false);
        telemetry.measure(&metrics);
        assert_eq!(metrics.trace_sampling_ratio.get(), 0.25);
    }
}
