//! What operators may do, over the local socket and the admin plane: see the mode, and give orders.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use super::error::Failure;
use super::{Shared, body, caller};
use crate::actors::mode::{Mode, WayOut};
use crate::actors::pipeline::Order;
use crate::config::Role;
use crate::ledger::reason::Reason;

/// An order is a word or two.
const BODY_BYTES_MAX: usize = 1024;

/// `POST /admin/orders`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OrderIn {
    /// What to do.
    pub order: OrderName,
    /// For `safe_mode_clear`: the operator has verified the ledger.
    #[serde(default)]
    pub has_verified: bool,
}

/// The orders on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "as in `actors::pipeline::Order`")]
pub enum OrderName {
    SafeModeEnter,
    SafeModeClear,
    Freeze,
    Unfreeze,
    MaintenanceBegin,
    MaintenanceEnd,
    IngressLock,
    IngressUnlock,
    Drain,
}

/// The mode, with everything that stands.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ModeOut {
    /// `ready`, or all that stands, the worst first.
    pub mode: String,
    /// Why writes are refused by safe-mode.
    pub safe_mode: Vec<SafeModeOut>,
    /// Frozen by an operator.
    pub frozen: bool,
    /// Under maintenance.
    pub maintenance: bool,
    /// Writes are taken over the local socket alone.
    #[serde(default)]
    pub ingress_locked: bool,
    /// About to end.
    pub draining: bool,
}

/// One reason for safe-mode.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SafeModeOut {
    /// Its name.
    pub reason: String,
    /// What ends it: `automatic`, `restart`, `clear`, or `verified_clear`.
    pub way_out: String,
    /// It is over after a restart that recovers cleanly.
    pub ends_with_the_process: bool,
}

/// `GET /admin/mode`.
pub async fn mode(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(mode_out(shared.pipeline.mode()))
}

/// `POST /admin/orders`.
///
/// # Errors
/// 400; 401 and 403 from elsewhere without the right; 409 when the order does not fit the mode, which stays as it was.
pub async fn order(
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared>,
) -> Result<HttpResponse, Failure> {
    let bytes = body::read(payload, body::announced_bytes(&request), BODY_BYTES_MAX).await?;
    let OrderIn { order: name, has_verified } = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::malformed(format!("body: not an order: {error}")))?;
    caller::asked(&request, (name, has_verified));
    caller::require(&request, &shared, Role::Operator).await?;
    if name == OrderName::IngressLock && !shared.settings.has_local_socket {
        return Err(Failure::illegal("nothing would take writes any more: uds.path is not set"));
    }
    let outcome = shared.pipeline.order(order_of(name, has_verified)).await;
    match outcome {
        Some(Ok(mode)) => Ok(HttpResponse::Ok().json(mode_out(mode))),
        Some(Err(illegal)) => Err(Failure::illegal(illegal.to_string())),
        None => Err(Failure::new(Reason::OutcomeUnknown, "no answer: look at the mode")),
    }
}

fn order_of(name: OrderName, has_verified: bool) -> Order {
    match name {
        OrderName::SafeModeEnter => Order::SafeModeEnter,
        OrderName::SafeModeClear => Order::SafeModeClear { has_verified },
        OrderName::Freeze => Order::Freeze,
        OrderName::Unfreeze => Order::Unfreeze,
        OrderName::MaintenanceBegin => Order::MaintenanceBegin,
        OrderName::MaintenanceEnd => Order::MaintenanceEnd,
        OrderName::IngressLock => Order::IngressLock,
        OrderName::IngressUnlock => Order::IngressUnlock,
        OrderName::Drain => Order::Drain,
    }
}

fn mode_out(mode: Mode) -> ModeOut {
    let safe_mode = mode.reasons().map(|reason| SafeModeOut {
        reason: reason.as_str().to_owned(),
        way_out: match reason.way_out() {
            WayOut::Automatic => "automatic",
            WayOut::Restart => "restart",
            WayOut::VerifiedClear => "verified_clear",
            WayOut::Clear => "clear",
        }
        .to_owned(),
        ends_with_the_process: !reason.outlives_process(),
    });
    ModeOut {
        mode: mode.to_string(),
        safe_mode: safe_mode.collect(),
        frozen: mode.is_frozen(),
        maintenance: mode.is_under_maintenance(),
        ingress_locked: mode.is_ingress_locked(),
        draining: mode.is_draining(),
    }
}
