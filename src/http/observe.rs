//! What is seen of each request from outside of it: its two metrics, its log span, and its trace.
//!
//! None holds a path, a query or a header but the caller's id, since each of them may carry what a
//! client would not want to be written down. A route is known by its pattern.

use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage as _, HttpRequest};
use opentelemetry::propagation::Extractor;
use tracing::Span;
use tracing::field::{Empty, display};
use tracing_actix_web::{RequestId, RootSpanBuilder};

use super::{Shared, anomaly};
use crate::telemetry::{Stage, Trace};

/// By which callers name a request in their own logs and ours.
const CORR_ID: HeaderName = HeaderName::from_static("x-corr-id");

/// Of a caller's id.
const CORR_ID_BYTES_MAX: usize = 64;

/// By which a sampled request's caller learns of its trace (W3C Trace Context, level 2, draft).
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// What machines ask every few seconds, and what no trace tells of: it would be most of all traces.
const UNTRACED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// What a sampled request keeps with it.
struct Traced {
    trace: Trace,
    stage: Stage,
}

/// The trace that the handler's work belongs to.
pub fn trace_of(request: &HttpRequest) -> Trace {
    let extensions = request.extensions();
    extensions.get::<Traced>().map(|traced| traced.trace.clone()).unwrap_or_default()
}

/// Says something of a sampled request in its own span.
pub fn note(request: &HttpRequest, say: impl FnOnce(&mut Stage)) {
    if let Some(traced) = request.extensions_mut().get_mut::<Traced>() {
        say(&mut traced.stage);
    }
}

/// Middleware: counts the request, takes its time, and names it to its caller.
///
/// # Errors
/// What the service returns.
pub async fn measure(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let shared = request.app_data::<Data<Shared>>().cloned();
    let method = request.method().clone();
    let route = request.match_pattern();
    let path = route.is_none().then(|| request.path().to_owned());
    let trace = trace_of(request.request());
    let corr_id = corr_id(&request);
    let mut outcome = next.call(request).await;
    let status = match &outcome {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    if let Some(shared) = shared {
        let (route, seconds) = (route.as_deref(), started.elapsed().as_secs_f64());
        let metrics = shared.pipeline.metrics();
        metrics.observe_http((route, method.as_str()), status.as_u16(), seconds, &trace);
        anomaly::look(metrics, &shared.refusals, status, path.as_deref());
    }
    if let Ok(response) = &mut outcome {
        let headers = response.headers_mut();
        for (name, value) in [(CORR_ID, corr_id), (TRACERESPONSE, traceresponse(&trace))] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
    }
    outcome
}

/// The caller's, where it is fit to be written down, or ours.
fn corr_id(request: &ServiceRequest) -> Option<HeaderValue> {
    if let Some(theirs) = request.headers().get(&CORR_ID).filter(|id| is_fit(id.as_bytes())) {
        return Some(theirs.clone());
    }
    let ours = request.extensions().get::<RequestId>()?.to_string();
    HeaderValue::try_from(ours).ok()
}

fn is_fit(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    (1..=CORR_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(is_plain)
}

fn traceresponse(trace: &Trace) -> Option<HeaderValue> {
    let context = trace.context()?;
    let text = format!("00-{}-{}-01", context.trace_id(), context.span_id());
    HeaderValue::try_from(text).ok()
}

/// The span around each request: of its log lines, and of its trace where it is sampled.
pub struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        let route = request.match_pattern();
        let route = route.as_deref().unwrap_or("unmatched");
        let method = request.method().as_str();
        let span = tracing::info_span!(
            "http_request",
            http.request.method = method,
            http.route = route,
            http.response.status_code = Empty,
            request_id = Empty,
            corr_id = Empty,
            trace_id = Empty,
        );
        if let Some(id) = request.extensions().get::<RequestId>() {
            span.record("request_id", display(id));
        }
        let corr_id = corr_id(request);
        let corr_id = corr_id.as_ref().and_then(|id| id.to_str().ok());
        if let Some(corr_id) = corr_id {
            span.record("corr_id", corr_id);
        }
        let Some(shared) = request.app_data::<Data<Shared>>() else { return span };
        if UNTRACED.contains(&route) {
            return span;
        }
        let name = || format!("{method} {route}");
        let begun = shared.telemetry.request(&Headers(request.headers()), name);
        let Some((trace, mut stage)) = begun else { return span };
        stage.set_text("http.request.method", method);
        stage.set_text("http.route", route);
        if let Some(corr_id) = corr_id {
            stage.set_text("corr_id", corr_id);
        }
        if let Some(id) = trace.id() {
            span.record("trace_id", display(id));
        }
        request.extensions_mut().insert(Traced { trace, stage });
        span
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        let status = match outcome {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        span.record("http.response.status_code", status.as_u16());
        // Of an error the request is gone, and its stage with it.
        let Ok(response) = outcome else { return };
        let traced = response.request().extensions_mut().remove::<Traced>();
        if let Some(Traced { mut stage, .. }) = traced {
            stage.set("http.response.status_code", i64::from(status.as_u16()));
            if status.is_server_error() {
                stage.fail("server error");
            }
        }
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_id_is_written_down_only_if_it_is_short_and_plain() {
        for (id, fit) in [
            ("order-17", true),
            ("01890a5d:ac96.774b_b", true),
            ("", false),
            ("two words", false),
            ("line\nbreak", false),
            ("{\"json\":1}", false),
            (&"x".repeat(CORR_ID_BYTES_MAX), true),
            (&"x".repeat(CORR_ID_BYTES_MAX + 1), false),
        ] {
            assert_eq!(is_fit(id.as_bytes()), fit, "{id}");
        }
    }
}
