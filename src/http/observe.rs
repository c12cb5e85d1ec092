//! What is seen of each request from outside of it: its two metrics and its span.
//!
//! Neither holds a path, a query or a header, since each of them may carry what a client would not
//! want to be written down. A route is known by its pattern.

use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderMap;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage as _};
use opentelemetry::propagation::Extractor;
use tracing::Span;
use tracing::field::{Empty, display};
use tracing_actix_web::{RequestId, RootSpanBuilder};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{Shared, anomaly};

/// Middleware: counts the request and takes its time.
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
    let outcome = next.call(request).await;
    let status = match &outcome {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    if let Some(shared) = shared {
        let (route, seconds) = (route.as_deref(), started.elapsed().as_secs_f64());
        let metrics = shared.pipeline.metrics();
        metrics.observe_http(route, method.as_str(), status.as_u16(), seconds);
        anomaly::look(metrics, &shared.refusals, status, path.as_deref());
    }
    outcome
}

/// The span around each request, a child of the caller's where it names one.
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
            otel.name = %format_args!("{method} {route}"),
            otel.kind = "server",
            otel.status_code = Empty,
            request_id = Empty,
        );
        if let Some(id) = request.extensions().get::<RequestId>() {
            span.record("request_id", display(id));
        }
        let parent = opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.extract(&Headers(request.headers()))
        });
        // Fails when traces are off, and then there is nothing to join.
        let _ = span.set_parent(parent);
        span
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        let status = match outcome {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        span.record("http.response.status_code", status.as_u16());
        span.record("otel.status_code", if status.is_server_error() { "ERROR" } else { "OK" });
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
