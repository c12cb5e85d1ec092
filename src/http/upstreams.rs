//! The upstreams and their breakers, as operators see them.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};

use super::Shared;
use crate::actors::pipeline::UpstreamReport;

/// `GET /admin/breakers`.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct BreakersOut {
    /// One for each upstream.
    pub breakers: Vec<BreakerOut>,
}

/// One of them.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct BreakerOut {
    /// `kms`, `policy` or `wallet`.
    pub target: String,
    /// `local`, or `remote`: a service is asked.
    pub mode: String,
    /// `closed`, `half_open` or `open`.
    pub state: String,
    /// How long the current opening has lasted, in ms; 0 while closed.
    pub open_ms: u64,
    /// Openings since the start.
    pub openings: u64,
    /// What went wrong last, if anything has since the start.
    pub last_failure: Option<String>,
}

/// `GET /admin/breakers`.
pub async fn breakers(shared: Data<Shared>) -> HttpResponse {
    let row = |report: UpstreamReport| BreakerOut {
        target: report.target.as_str().to_owned(),
        mode: if report.is_remote { "remote" } else { "local" }.to_owned(),
        state: report.phase.as_str().to_owned(),
        open_ms: u64::try_from(report.open_for.as_millis()).unwrap_or(u64::MAX),
        openings: report.openings,
        last_failure: report.last_failure,
    };
    let breakers = shared.pipeline.upstreams().into_iter().map(row).collect();
    HttpResponse::Ok().json(BreakersOut { breakers })
}
