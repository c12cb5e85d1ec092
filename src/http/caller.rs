//! Who gives orders, what he may do, and the line in the log that each call leaves.

use std::fmt;
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage as _, HttpRequest};

use super::error::Failure;
use super::{Shared, auth};
use crate::actors::authority::Purpose;
use crate::actors::pipeline::Bearer;
use crate::capability::{Action, Context, Lookup, Peer, Plane};
use crate::config::{CertName, Role, RoleSet, Roles};
use crate::ledger::reason::Reason;

/// A longer name is cut in the log.
const NAME_CHARS_MAX: usize = 256;

/// Who is at the other end of a connection. Listeners put it into the data of each connection.
#[derive(Clone, Debug)]
pub struct Caller {
    who: Who,
    roles: RoleSet,
}

#[derive(Clone, Debug)]
enum Who {
    /// As the kernel says (SO_PEERCRED).
    Local { uid: u32, pid: Option<i32> },
    /// As the certificate says.
    Certified(String),
}

impl Caller {
    /// A user of this machine: who is allowed may do everything, others nothing.
    pub fn local(uid: u32, pid: Option<i32>, is_allowed: bool) -> Self {
        let roles = if is_allowed { RoleSet::ALL } else { RoleSet::default() };
        Caller { who: Who::Local { uid, pid }, roles }
    }

    /// The holder of a certificate with these names.
    pub fn certified(names: &[CertName], roles: &Roles) -> Self {
        let known = names.iter().find(|name| !roles.of(&[(*name).clone()]).is_empty());
        let name = known.or(names.first()).map(CertName::to_string).unwrap_or_default();
        let name = name.chars().take(NAME_CHARS_MAX).collect();
        Caller { who: Who::Certified(name), roles: roles.of(names) }
    }

    fn uid(&self) -> Option<u32> {
        match self.who {
            Who::Local { uid, .. } => Some(uid),
            Who::Certified(_) => None,
        }
    }

    fn pid(&self) -> Option<i32> {
        match self.who {
            Who::Local { pid, .. } => pid,
            Who::Certified(_) => None,
        }
    }

    fn certificate(&self) -> Option<&str> {
        match &self.who {
            Who::Local { .. } => None,
            Who::Certified(name) => Some(name),
        }
    }
}

/// What a handler was asked for, in words, for the line in the log.
struct Asked(String);

/// Lets the line in the log say what was asked for. It holds nothing secret.
pub(super) fn asked(request: &HttpRequest, what: impl fmt::Debug) {
    request.extensions_mut().insert(Asked(format!("{what:?}")));
}

/// Whether the caller has the role, and, from elsewhere, a capability for it: with the action `admin`,
/// and narrowed to the admin plane, so that a token for everything in the hands of a client is none.
///
/// # Errors
/// 401 and 403.
pub(super) async fn require(
    request: &HttpRequest,
    shared: &Shared,
    role: Role,
) -> Result<(), Failure> {
    let denied = |why: String| Failure::new(Reason::CapInvalid, why);
    let caller = request.conn_data::<Caller>();
    let caller = caller.filter(|caller| caller.roles.has(role));
    let caller =
        caller.ok_or_else(|| denied(format!("needs the role `{role}`: see admin.roles")))?;
    if let Who::Local { .. } = caller.who {
        return Ok(());
    }
    let token = auth::bearer(request);
    let context = |plane| Context { plane, peer: Peer::Mtls };
    let authority = shared.pipeline.authority();
    let capability = match authority.lookup(token, &context(Plane::Admin))? {
        Lookup::Verified(capability) => capability,
        Lookup::Unproven(unproven) => {
            let token = Bearer::new(token.unwrap_or_default());
            let (by, context) =
                (Instant::now() + shared.pipeline.deadline(), context(Plane::Admin));
            authority.prove(unproven, &token, &context, Purpose::Act, by).await?
        }
    };
    capability.allows_unscoped(Action::Admin).map_err(|error| denied(error.to_string()))?;
    if capability.admits(auth::now_ms(), &context(Plane::Api)).is_ok() {
        return Err(denied("needs the caveat `plane = admin`".to_owned()));
    }
    Ok(())
}

/// Middleware: strangers get no further than the connection, and each call of an administrator leaves
/// one line in the log.
///
/// # Errors
/// What the service returns.
pub(super) async fn only_known(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let caller = request.conn_data::<Caller>().cloned();
    let is_admin = request.path().starts_with("/admin/");
    let route = format!("{} {}", request.method(), request.match_pattern().unwrap_or_default());
    let Some(known) = caller.clone().filter(|caller| !caller.roles.is_empty()) else {
        let is_certified = caller.as_ref().is_some_and(|caller| caller.certificate().is_some());
        if let Some(shared) = request.app_data::<Data<Shared>>() {
            let metrics = shared.pipeline.metrics();
            let counter = if is_certified { &metrics.admin_denied } else { &metrics.uds_denied };
            counter.inc();
        }
        record(caller.as_ref(), &route, None, 403);
        let details = match is_certified {
            true => "the certificate's names have no role: see admin.roles",
            false => "this user may not use the socket: see uds.allow_uids",
        };
        return Err(Failure::new(Reason::CapInvalid, details).closing().into());
    };
    let shared = request.app_data::<Data<Shared>>().cloned();
    let response = next.call(request).await?.map_into_boxed_body();
    let status = response.status().as_u16();
    if is_admin {
        let extensions = response.request().extensions();
        let what = extensions.get::<Asked>().map(|asked| asked.0.as_str());
        record(Some(&known), &route, what, status);
    }
    if matches!(status, 401 | 403) && known.certificate().is_some() {
        shared.iter().for_each(|shared| shared.pipeline.metrics().admin_denied.inc());
    }
    Ok(response)
}

fn record(caller: Option<&Caller>, route: &str, what: Option<&str>, status: u16) {
    tracing::info!(
        uid = caller.and_then(Caller::uid),
        pid = caller.and_then(Caller::pid),
        certificate = caller.and_then(Caller::certificate),
        route,
        what,
        status,
        done = (200..300).contains(&status),
        "admin call"
    );
}
