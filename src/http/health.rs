//! How the process is: for load balancers in short form, for operators in full, and for Prometheus.

use actix_web::http::{StatusCode, header};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde_json::{Value, json};

use super::Shared;
use crate::actors::pipeline::Readiness;
use crate::ledger::entry::ENTRY_VERSION;
use crate::telemetry::openmetrics;

/// The version of routes and fields; a change that clients must follow raises it.
pub const API_VERSION: u32 = 1;

/// `GET /healthz` on the API plane.
pub async fn live(shared: Data<Shared>) -> HttpResponse {
    let now = shared.pipeline.readiness();
    good(now.live).json(json!({ "live": now.live }))
}

/// `GET /healthz` on the metrics plane.
pub async fn live_in_full(shared: Data<Shared>) -> HttpResponse {
    let now = shared.pipeline.readiness();
    good(now.live).json(json!({ "live": now.live, "mode": now.mode, "actors": actors(&now) }))
}

/// `GET /readyz` on the API plane.
pub async fn ready(shared: Data<Shared>) -> HttpResponse {
    let now = shared.pipeline.readiness();
    good(now.ready).json(json!({
        "ready": now.ready,
        "degraded": now.degraded,
        "mode": now.mode,
        "ingress": ingress(&now),
    }))
}

/// `GET /readyz` on the metrics plane.
pub async fn ready_in_full(shared: Data<Shared>) -> HttpResponse {
    let now = shared.pipeline.readiness();
    good(now.ready).json(json!({
        "ready": now.ready,
        "live": now.live,
        "mode": now.mode,
        "reason": now.reason,
        "degraded": now.degraded,
        "ingress": ingress(&now),
        "kms_ready": now.kms_ready,
        "policy_ready": now.policy_ready,
        "wallet_ready": now.wallet_ready,
        "backpressure_ok": now.backpressure_ok,
        "committer_lag_ms": now.committer_lag_ms,
        "head_seq": now.head_seq,
        "published_size": now.published_size,
        "actors": actors(&now),
    }))
}

/// `GET /version`.
pub async fn version(shared: Data<Shared>) -> HttpResponse {
    let genesis = shared.pipeline.reader().genesis();
    HttpResponse::Ok().json(json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "api": API_VERSION,
        "entry_version": ENTRY_VERSION,
        "schema": crate::storage::reader::SCHEMA,
        "hash": genesis.hash,
        "origin": genesis.origin,
        "parent": genesis.parent,
        "verifier_key": shared.pipeline.verifier_key().to_string(),
        "profile": shared.settings.profile,
    }))
}

/// The older format of metrics.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`, in the format that the scraper prefers. Exemplars are in the newer one alone.
pub async fn metrics(request: HttpRequest, shared: Data<Shared>) -> HttpResponse {
    let metrics = shared.pipeline.measure();
    shared.telemetry.measure(metrics);
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let (format, text) = match accept.is_some_and(openmetrics::is_accepted) {
        true => (openmetrics::CONTENT_TYPE, metrics.render_openmetrics()),
        false => (TEXT, metrics.render()),
    };
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, format))
        .insert_header((header::VARY, "accept"))
        .body(text)
}

/// Over what `POST /ingest` is taken.
fn ingress(now: &Readiness) -> &'static str {
    if now.is_ingress_locked { "uds" } else { "open" }
}

fn good(is_good: bool) -> HttpResponseBuilder {
    let bad = StatusCode::SERVICE_UNAVAILABLE;
    HttpResponse::build(if is_good { StatusCode::OK } else { bad })
}

fn actors(now: &Readiness) -> Vec<Value> {
    let row = |actor: &crate::actors::report::ActorReport| {
        json!({
            "name": actor.name,
            "state": actor.state.as_str(),
            "restarts": actor.restarts,
            "depth": actor.depth,
            "capacity": actor.capacity,
            "idle_ms": u64::try_from(actor.last_progress.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    };
    now.actors.iter().map(row).collect()
}
