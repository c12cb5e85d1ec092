//! The wire: translates HTTP to messages and back, and decides nothing.
//!
//! [`api`], [`metrics_plane`], [`local_plane`] and [`admin_plane`] are the whole of the planes, for the daemon and for tests; the
//! types on the wire are in [`dto`], and what each error looks like is in [`error`].

pub mod binary;
pub mod dto;
pub mod error;
pub mod parse;

pub mod admin;
pub mod caps;
pub mod denials;
pub mod drills;
pub mod limits;
pub mod snapshots;
pub mod telemetry;
pub mod upstreams;
pub mod witness;

mod anomaly;
mod auth;
mod body;
mod caller;
mod query;

mod checkpoint;
mod format;
mod health;
mod ingest;
mod observe;
mod proofs;
mod range;
mod reads;
mod receipts;
mod tiles;

use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{Handler, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::{ConnectionType, header};
use actix_web::middleware::{DefaultHeaders, Next, from_fn};
use actix_web::web::{self, Data, Payload, ServiceConfig};
use actix_web::{App, Error, FromRequest, HttpRequest, Resource, Responder, guard};
use tracing_actix_web::TracingLogger;

use self::anomaly::Refusals;
use self::denials::Denials;
use self::error::Failure;
use self::observe::{RequestSpan, measure};
use crate::actors::drills::Drills;
use crate::actors::pipeline::Pipeline;
use crate::config::Config;
use crate::ledger::reason::Reason;
use crate::telemetry::{Metrics, Telemetry};

pub use self::body::BODY_DEADLINE;
pub use self::caller::Caller;
pub use self::format::{Body, Format, UnknownFormat};
pub use self::health::API_VERSION;

/// What every handler gets: the way into the ledger, and the limits of the edge.
pub struct Shared {
    pipeline: Pipeline,
    settings: Settings,
    drills: Option<Arc<Drills>>,
    denials: Denials,
    refusals: Refusals,
    telemetry: Telemetry,
}

/// What the configuration says of the edge.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of one request.
    pub body_bytes_max: usize,
    /// Of one request.
    pub batch_max_entries: usize,
    /// Of one page of a read.
    pub page_max: usize,
    /// Reads need no capability.
    pub open_reads: bool,
    /// Bundles of entries need no capability.
    pub public_entries: bool,
    /// For `/version`.
    pub profile: &'static str,
    /// Whether writes can come over a local socket.
    pub has_local_socket: bool,
    /// In percent: degraded, and refused.
    pub disk_marks: (u8, u8),
}

impl Settings {
    /// Takes what it needs.
    pub fn of(config: &Config) -> Self {
        Settings {
            body_bytes_max: usize::try_from(config.limits.body_max_bytes).unwrap_or(usize::MAX),
            batch_max_entries: config.limits.batch_max_entries,
            page_max: config.limits.page_max,
            open_reads: config.capabilities.open_reads,
            public_entries: config.tlog.public_entries,
            profile: config.profile.as_str(),
            has_local_socket: config.uds.path.is_some(),
            disk_marks: (config.disk.degraded_percent, config.disk.refuse_percent),
        }
    }
}

impl Shared {
    /// One for all workers of both planes.
    pub fn new(pipeline: Pipeline, settings: Settings) -> Data<Self> {
        Self::of_process(pipeline, settings, None, Telemetry::default())
    }

    /// As [`Shared::new`], of a node that takes drills where there are `drills`, and whose telemetry is
    /// the process's.
    pub fn of_process(
        pipeline: Pipeline,
        settings: Settings,
        drills: Option<Arc<Drills>>,
        telemetry: Telemetry,
    ) -> Data<Self> {
        let (denials, refusals) = (Denials::default(), Refusals::default());
        Data::new(Shared { pipeline, settings, drills, denials, refusals, telemetry })
    }

    /// The metrics of the node, for listeners.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(self.pipeline.metrics())
    }

    /// How many items a page has that was asked for with `limit`.
    fn page(&self, limit: Option<u64>) -> Result<usize, Failure> {
        match limit {
            Some(0) => Err(Failure::malformed("limit: must be at least 1")),
            Some(limit) => {
                Ok(usize::try_from(limit).unwrap_or(usize::MAX).min(self.settings.page_max))
            }
            None => Ok(self.settings.page_max),
        }
    }

    /// Counts an entry, or a whole request to `/ingest`, that was refused.
    fn count_rejected(&self, reason: Reason) {
        self.pipeline.metrics().count_rejected(reason.as_str());
    }
}

/// The clients' and auditors' plane.
pub fn api(
    shared: Data<Shared>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    app(shared, |routes| {
        ledger_routes(routes);
        routes
            .service(get("/healthz", health::live))
            .service(get("/readyz", health::ready))
            .service(get("/version", health::version));
    })
    .wrap(from_fn(denials::refuse_denied))
}

/// The operators' plane: health in full, and the metrics.
pub fn metrics_plane(
    shared: Data<Shared>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    app(shared, operators_routes)
}

/// The local plane: both of the others, and the orders, for whom the socket lets in.
pub fn local_plane(
    shared: Data<Shared>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let all = |routes: &mut ServiceConfig| {
        ledger_routes(routes);
        operators_routes(routes);
        admin_routes(routes);
    };
    app(shared, all).wrap(from_fn(caller::only_known))
}

/// The plane of operators elsewhere: health, metrics and the orders, for whom a certificate names.
pub fn admin_plane(
    shared: Data<Shared>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let all = |routes: &mut ServiceConfig| {
        operators_routes(routes);
        admin_routes(routes);
    };
    app(shared, all).wrap(from_fn(caller::only_known))
}

fn admin_routes(routes: &mut ServiceConfig) {
    routes
        .service(get("/admin/mode", admin::mode))
        .service(post("/admin/orders", admin::order))
        .service(post("/admin/snapshots", snapshots::snapshot))
        .service(get("/admin/capabilities", caps::capabilities))
        .service(post("/admin/revocations", caps::revoke))
        .service(get("/admin/breakers", upstreams::breakers))
        .service(get("/admin/rates", limits::limits))
        .service(post("/admin/limits", limits::set_limits))
        .service(get("/admin/denials", denials::denials))
        .service(post("/admin/deny", denials::deny))
        .service(get("/admin/telemetry", telemetry::levels))
        .service(post("/admin/levels", telemetry::set_levels))
        .service(get("/admin/chaos", drills::chaos))
        .service(post("/admin/drills", drills::drill));
}

fn ledger_routes(routes: &mut ServiceConfig) {
    routes
        .service(post("/ingest", ingest::ingest))
        .service(get("/roots", checkpoint::roots))
        .service(get("/checkpoint", checkpoint::checkpoint))
        .service(get("/proofs/range", range::range))
        .service(get("/proofs/inclusion", proofs::inclusion))
        .service(get("/proofs/consistency", proofs::consistency))
        .service(get("/tile/{path}*", tiles::tile))
        .service(get("/entries", reads::entries))
        .service(get("/entries/by-id/{id}", reads::entry_by_id))
        .service(get("/entries/{seq}", reads::entry))
        .service(get("/accounts/{account}*", reads::account))
        .service(get("/holds/{id}", reads::hold))
        .service(get("/supply", reads::supply));
}

fn operators_routes(routes: &mut ServiceConfig) {
    routes
        .service(get("/healthz", health::live_in_full))
        .service(get("/readyz", health::ready_in_full))
        .service(get("/version", health::version))
        .service(get("/metrics", health::metrics));
}

fn app(
    shared: Data<Shared>,
    routes: impl FnOnce(&mut ServiceConfig),
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let headers = DefaultHeaders::new()
        .add((header::CACHE_CONTROL, "no-store"))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    App::new()
        .app_data(shared)
        .configure(routes)
        .default_service(web::to(no_such_route))
        .wrap(headers)
        .wrap(from_fn(let_go))
        .wrap(from_fn(measure))
        .wrap(TracingLogger::<RequestSpan>::new())
}

/// Middleware: while the service drains, each answer ends its connection, so that clients with a pool
/// of them go elsewhere.
async fn let_go(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let shared = request.app_data::<Data<Shared>>().cloned();
    let mut response = next.call(request).await?;
    if shared.is_some_and(|shared| shared.pipeline.mode().is_draining()) {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

fn get<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let readable = guard::Any(guard::Get()).or(guard::Head());
    web::resource(path)
        .route(web::route().guard(readable).to(handler))
        .default_service(web::to(only_get))
}

fn post<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path).route(web::post().to(handler)).default_service(web::to(only_post))
}

async fn only_get(request: HttpRequest, payload: Payload) -> Failure {
    refuse(Failure::method_not_allowed("GET, HEAD"), request, payload).await
}

async fn only_post(request: HttpRequest, payload: Payload) -> Failure {
    refuse(Failure::method_not_allowed("POST"), request, payload).await
}

async fn no_such_route(request: HttpRequest, payload: Payload) -> Failure {
    refuse(Failure::new(Reason::NotFound, "there is no such route"), request, payload).await
}

/// Reads a small body away first: what is left of it would be taken for the next request.
async fn refuse(failure: Failure, request: HttpRequest, payload: Payload) -> Failure {
    let announced = body::announced_bytes(&request);
    if body::discard(payload, announced).await { failure } else { failure.closing() }
}
