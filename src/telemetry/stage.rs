//! The stages of a sampled request, as spans below the one of its request. For every other request each
//! of these is an empty option: nothing is made, and no clock is read.

use std::sync::Arc;

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, TraceId,
    Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, Span};

/// Where a request stands in its trace; nothing when it is not sampled. Travels with the request.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<Sampled>>);

struct Sampled {
    tracer: SdkTracer,
    /// Holds the span of the request, the parent of all stages.
    request: Context,
}

impl Trace {
    /// Of a request that is not sampled.
    pub fn none() -> Self {
        Trace(None)
    }

    /// Begins the span of a request, below the caller's where there is one, and gives what its stages
    /// begin from.
    pub(super) fn begin(tracer: &SdkTracer, name: String, caller: &Context) -> (Trace, Stage) {
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Server);
        let span = tracer.build_with_context(builder, caller);
        let request = Context::new().with_remote_span_context(span.span_context().clone());
        let trace = Trace(Some(Arc::new(Sampled { tracer: tracer.clone(), request })));
        (trace, Stage(Some(Box::new(span))))
    }

    /// Whether its stages are recorded.
    pub fn is_sampled(&self) -> bool {
        self.0.is_some()
    }

    /// The span of the request.
    pub fn context(&self) -> Option<SpanContext> {
        Some(self.0.as_ref()?.request.span().span_context().clone())
    }

    /// The trace.
    pub fn id(&self) -> Option<TraceId> {
        Some(self.0.as_ref()?.request.span().span_context().trace_id())
    }

    /// Begins a stage; it ends when it is dropped.
    pub fn stage(&self, name: &'static str) -> Stage {
        Stage(self.0.as_ref().map(|sampled| {
            let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Internal);
            Box::new(sampled.tracer.build_with_context(builder, &sampled.request))
        }))
    }
}

/// One stage of a request, from where it was begun to its drop.
#[must_use = "it ends when it is dropped"]
#[derive(Default)]
pub struct Stage(Option<Box<Span>>);

impl Stage {
    /// Says a number or a fixed word of it.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Says a text of it, which is copied for a sampled request only.
    pub fn set_text(&mut self, key: &'static str, text: &str) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, text.to_owned()));
        }
    }

    /// It did not do what it is for.
    pub fn fail(&mut self, why: &'static str) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(why));
        }
    }
}

/// The same stage of all sampled requests of a commit group: a span in the trace of each, so that
/// whoever reads one trace finds the whole way of that request.
#[must_use = "they end when this is dropped"]
#[derive(Default)]
pub struct Stages(Vec<Stage>);

impl Stages {
    /// Begins it for those of `traces` that are sampled. Takes no memory when none is.
    pub fn begin<'a>(traces: impl Iterator<Item = &'a Trace>, name: &'static str) -> Self {
        Stages(traces.filter(|trace| trace.is_sampled()).map(|trace| trace.stage(name)).collect())
    }

    /// As [`Stage::set`], of each.
    pub fn set(&mut self, key: &'static str, value: i64) {
        self.0.iter_mut().for_each(|stage| stage.set(key, value));
    }

    /// As [`Stage::fail`], of each.
    pub fn fail(&mut self, why: &'static str) {
        self.0.iter_mut().for_each(|stage| stage.fail(why));
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData};

    use super::super::traces::testing::Kept;
    use super::*;

    fn recorded(record: impl FnOnce(&SdkTracer)) -> Vec<SpanData> {
        let kept = Kept::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
        record(&provider.tracer("test"));
        kept.spans()
    }

    #[test]
    fn stages_lie_below_the_request_on_whatever_thread_they_end() {
        let spans = recorded(|tracer| {
            let (trace, mut request) = Trace::begin(tracer, "POST /ingest".into(), &Context::new());
            let mut stage = trace.stage("commit.append");
            stage.set("ledger.seq", 7);
            stage.set_text("ledger.kid", "r1");
            std::thread::spawn(move || drop(stage)).join().unwrap();
            let mut group = Stages::begin([&Trace::none(), &trace].into_iter(), "commit.fsync");
            group.set("ledger.batch_size", 3);
            group.fail("not written");
            drop(group);
            request.fail("refused");
        });
        let names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
        assert_eq!(names, ["commit.append", "commit.fsync", "POST /ingest"]);
        let request = &spans[2].span_context;
        for stage in &spans[..2] {
            assert_eq!(stage.span_context.trace_id(), request.trace_id());
            assert_eq!(stage.parent_span_id, request.span_id());
        }
        let said = [KeyValue::new("ledger.seq", 7), KeyValue::new("ledger.kid", "r1")];
        assert_eq!(spans[0].attributes, said);
        assert_eq!(spans[1].status, Status::error("not written"));
    }

    #[test]
    fn what_is_not_sampled_makes_nothing() {
        let trace = Trace::none();
        let mut stage = trace.stage("commit.append");
        stage.set("ledger.seq", 7);
        let group = Stages::begin([&trace].into_iter(), "commit.fsync");
        assert!(stage.0.is_none() && group.0.capacity() == 0);
        assert!(trace.id().is_none() && trace.context().is_none());
    }
}
