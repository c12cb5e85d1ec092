//! The log's level and the share of traces, as operators see and set them.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use super::error::Failure;
use super::{Shared, body, caller};
use crate::config::Role;

/// Directives and a number.
const BODY_BYTES_MAX: usize = 4096;

/// `POST /admin/levels`: what is absent stays. Lasts until the process ends, or SIGHUP.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LevelsIn {
    /// Filter directives of the log, as in `telemetry.log`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Share of requests that is traced, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_ratio: Option<f64>,
}

/// What is logged and traced now.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
pub struct LevelsOut {
    /// Filter directives of the log; absent where none is written.
    pub log: Option<String>,
    /// Share of requests that is traced while nothing is amiss.
    pub sample_ratio: f64,
    /// Share that is traced now: 1 in safe-mode and while a breaker is open.
    pub sample_ratio_now: f64,
    /// There is a collector to send traces to.
    pub has_collector: bool,
}

/// `GET /admin/telemetry`.
pub async fn levels(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(levels_out(&shared))
}

/// `POST /admin/levels`.
///
/// # Errors
/// 400, and then nothing is changed; 401 and 403 from elsewhere without the right.
pub async fn set_levels(
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Result<HttpResponse, Failure> {
    let bytes = body::read(payload, body::announced_bytes(&request), BODY_BYTES_MAX).await?;
    let asked: LevelsIn = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::malformed(format!("body: not levels: {error}")))?;
    caller::asked(&request, &asked);
    caller::require(&request, &shared, Role::Operator).await?;
    if asked.sample_ratio.is_some_and(|ratio| !(0.0..=1.0).contains(&ratio)) {
        return Err(Failure::malformed("sample_ratio: must be 0 to 1: it is a share"));
    }
    let telemetry = &shared.telemetry;
    if let Some(log) = &asked.log {
        telemetry.set_log(log).map_err(|error| Failure::malformed(format!("log: {error}")))?;
    }
    if let Some(ratio) = asked.sample_ratio {
        telemetry.sampling().set_ratio(ratio);
    }
    Ok(HttpResponse::Ok().json(levels_out(&shared)))
}

fn levels_out(shared: &Shared) -> LevelsOut {
    let telemetry = &shared.telemetry;
    LevelsOut {
        log: telemetry.log(),
        sample_ratio: telemetry.sampling().ratio(),
        sample_ratio_now: telemetry.sampling().ratio_now(),
        has_collector: telemetry.has_collector(),
    }
}
