//! The rates of requests, as operators see and set them.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use super::error::Failure;
use super::{Shared, body, caller};
use crate::actors::pipeline::{CAPABILITY_BUCKETS_MAX, RATE_MAX, Rates};
use crate::config::Role;

/// Some numbers.
const BODY_BYTES_MAX: usize = 1024;

/// `POST /admin/limits`: requests a second, 0 for no limit; what is absent stays.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in `actors::limits::Rates`")]
pub struct LimitsIn {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uds: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtls: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain: Option<u32>,
}

/// The rates of now, in requests a second; 0 for no limit.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[expect(missing_docs, reason = "as in `actors::limits::Rates`")]
pub struct LimitsOut {
    pub global: u32,
    pub capability: u32,
    pub uds: u32,
    pub mtls: u32,
    pub tls: u32,
    pub plain: u32,
    /// Capabilities with a bucket of their own.
    pub capability_buckets: usize,
    /// The most of them.
    pub capability_buckets_max: usize,
}

/// `GET /admin/rates`.
pub async fn limits(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(limits_out(&shared))
}

/// `POST /admin/limits`.
///
/// # Errors
/// 400; 401 and 403 from elsewhere without the right.
pub async fn set_limits(
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Result<HttpResponse, Failure> {
    let bytes = body::read(payload, body::announced_bytes(&request), BODY_BYTES_MAX).await?;
    let asked: LimitsIn = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::malformed(format!("body: not limits: {error}")))?;
    let limits = shared.pipeline.limits();
    let rates = merged(limits.rates(), &asked)?;
    caller::asked(&request, rates);
    caller::require(&request, &shared, Role::Operator).await?;
    limits.set(rates);
    Ok(HttpResponse::Ok().json(limits_out(&shared)))
}

fn merged(old: Rates, asked: &LimitsIn) -> Result<Rates, Failure> {
    let of = |asked: Option<u32>, old: u32| match asked {
        Some(rate) if rate > RATE_MAX => {
            Err(Failure::malformed(format!("body: a rate is at most {RATE_MAX}")))
        }
        asked => Ok(asked.unwrap_or(old)),
    };
    Ok(Rates {
        global: of(asked.global, old.global)?,
        capability: of(asked.capability, old.capability)?,
        uds: of(asked.uds, old.uds)?,
        mtls: of(asked.mtls, old.mtls)?,
        tls: of(asked.tls, old.tls)?,
        plain: of(asked.plain, old.plain)?,
    })
}

fn limits_out(shared: &Shared) -> LimitsOut {
    let limits = shared.pipeline.limits();
    let Rates { global, capability, uds, mtls, tls, plain } = limits.rates();
    LimitsOut {
        global,
        capability,
        uds,
        mtls,
        tls,
        plain,
        capability_buckets: limits.buckets(),
        capability_buckets_max: CAPABILITY_BUCKETS_MAX,
    }
}
