//! The planes on their sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_server::Server;
use actix_web::HttpServer;
use actix_web::dev::{Extensions, ServerHandle};
use actix_web::web::Data;
use rustls::ServerConnection;

use super::StartError;
use super::descriptors;
use super::socket::{Socket, caller};
use super::tls::{self, Endpoint, Files, Times, TlsError};
use crate::actors::drills::Drills;
use crate::actors::pipeline::Pipeline;
use crate::capability::Peer;
use crate::config::Config;
use crate::http::{self, Caller, Shared};
use crate::telemetry::{Telemetry, TlsPlane};

/// How long a connection without a request is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// From the first byte of a request to the end of its head.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);

const TIMES: Times = Times { keep_alive: KEEP_ALIVE, head_deadline: HEAD_DEADLINE };

/// Connections on the metrics plane: scrapers and probes.
pub(super) const METRICS_CONNECTIONS_MAX: usize = 64;

/// Connections on the admin plane.
pub(super) const ADMIN_CONNECTIONS_MAX: usize = 64;

/// Connections on the local plane.
pub(super) const LOCAL_CONNECTIONS_MAX: usize = 256;

/// A plane on TCP.
struct Served {
    handle: ServerHandle,
    addr: SocketAddr,
    endpoint: Option<Arc<Endpoint>>,
}

/// All planes, serving.
pub(super) struct Listeners {
    pub(super) api_addr: SocketAddr,
    pub(super) metrics_addr: SocketAddr,
    pub(super) admin_addr: Option<SocketAddr>,
    /// Those that speak TLS.
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    servers: Servers,
    _socket: Option<Socket>,
}

impl Listeners {
    /// Takes no new connections, and waits for those that stand, until the deadline. Returns whether
    /// all had ended by then.
    pub(super) async fn stop(self, deadline: Instant) -> bool {
        let graceful =
            futures_util::future::join_all(self.servers.0.iter().map(|server| server.stop(true)));
        tokio::time::timeout_at(deadline.into(), graceful).await.is_ok()
    }
}

/// End at once when they are dropped: when not all planes can be bound, the others let go of the pipeline.
#[derive(Default)]
struct Servers(Vec<ServerHandle>);

impl Drop for Servers {
    fn drop(&mut self) {
        // It is told by the call; there is nothing to wait for.
        self.0.iter().for_each(|server| drop(server.stop(false)));
    }
}

/// Binds the planes and serves on them: on all or on none.
pub(super) fn start(
    config: &Config,
    pipeline: &Pipeline,
    drills: Option<Arc<Drills>>,
    telemetry: Telemetry,
) -> Result<Listeners, StartError> {
    let settings = http::Settings::of(config);
    let shared = Shared::of_process(pipeline.clone(), settings, drills, telemetry);
    let mut servers = Servers::default();
    let api = api(config, shared.clone())?;
    servers.0.push(api.handle);
    let (metrics, metrics_addr) = metrics_plane(config, shared.clone())?;
    servers.0.push(metrics);
    let mut endpoints: Vec<_> = api.endpoint.into_iter().collect();
    let mut admin_addr = None;
    if let Some(addr) = config.admin.addr {
        let admin = admin_plane(config, addr, shared.clone())?;
        admin_addr = Some(admin.addr);
        servers.0.push(admin.handle);
        endpoints.extend(admin.endpoint);
    }
    let mut socket = None;
    if let Some(path) = &config.uds.path {
        let served = local_plane(path, &config.uds.allow_uids, shared);
        let (handle, file) =
            served.map_err(|source| StartError::Socket { path: path.clone(), source })?;
        servers.0.push(handle);
        socket = Some(file);
    }
    Ok(Listeners {
        api_addr: api.addr,
        metrics_addr,
        admin_addr,
        endpoints,
        servers,
        _socket: socket,
    })
}

fn api(config: &Config, shared: Data<Shared>) -> Result<Served, StartError> {
    let workers = match config.http.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let connections_max = (descriptors::connections_max(config)? / workers).max(1);
    if let Some(files) = Files::of_api(config) {
        return api_by_tls(config, shared, files, (workers, connections_max));
    }
    let server = HttpServer::new(move || http::api(shared.clone()))
        .workers(workers)
        .max_connections(connections_max)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_DEADLINE)
        .shutdown_timeout(1)
        .disable_signals()
        .on_connect(move |_, data| {
            data.insert(Peer::Plain);
        });
    let addr = config.http.api_addr;
    let server = server.bind(addr).map_err(refused("http.api_addr", addr))?;
    let addr = server.addrs().first().copied().unwrap_or(addr);
    let server = server.run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok(Served { handle, addr, endpoint: None })
}

fn api_by_tls(
    config: &Config,
    shared: Data<Shared>,
    files: Files,
    (workers, connections_max): (usize, usize),
) -> Result<Served, StartError> {
    // Without a certificate of its authority there is no connection.
    let peer = if files.has_authority() { Peer::Mtls } else { Peer::Tls };
    let endpoint = Endpoint::open(TlsPlane::Api, files, shared.metrics())?;
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections(connections_max)
        .shutdown_timeout(1)
        .disable_signals();
    let refused = refused("http.api_addr", config.http.api_addr);
    let listener = TcpListener::bind(config.http.api_addr).map_err(&refused)?;
    let addr = listener.local_addr().map_err(&refused)?;
    let on_connect = move |_: &ServerConnection, data: &mut Extensions| {
        data.insert(peer);
    };
    let app = move || http::api(shared.clone());
    let server = tls::serve(server, listener, Arc::clone(&endpoint), TIMES, on_connect, app);
    let server = server.map_err(&refused)?.run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok(Served { handle, addr, endpoint: Some(endpoint) })
}

fn admin_plane(
    config: &Config,
    addr: SocketAddr,
    shared: Data<Shared>,
) -> Result<Served, StartError> {
    let files = Files::of_admin(config).ok_or(TlsError::AdminWithoutTls)?;
    let endpoint = Endpoint::open(TlsPlane::Admin, files, shared.metrics())?;
    let server = Server::build()
        .workers(1)
        .max_concurrent_connections(ADMIN_CONNECTIONS_MAX)
        .shutdown_timeout(1)
        .disable_signals();
    let refused = refused("admin.addr", addr);
    let listener = TcpListener::bind(addr).map_err(&refused)?;
    let addr = listener.local_addr().map_err(&refused)?;
    let roles = Arc::new(config.admin.roles.clone());
    let on_connect = move |session: &ServerConnection, data: &mut Extensions| {
        let leaf = session.peer_certificates().and_then(|chain| chain.first());
        let names = leaf.map(tls::names).unwrap_or_default();
        data.insert(Peer::Mtls);
        data.insert(Caller::certified(&names, &roles));
    };
    let app = move || http::admin_plane(shared.clone());
    let server = tls::serve(server, listener, Arc::clone(&endpoint), TIMES, on_connect, app);
    let server = server.map_err(&refused)?.run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok(Served { handle, addr, endpoint: Some(endpoint) })
}

fn refused(key: &'static str, addr: SocketAddr) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::Listen { key, addr, source }
}

fn metrics_plane(
    config: &Config,
    shared: Data<Shared>,
) -> Result<(ServerHandle, SocketAddr), StartError> {
    let addr = config.http.metrics_addr;
    let server = HttpServer::new(move || http::metrics_plane(shared.clone()))
        .workers(1)
        .max_connections(METRICS_CONNECTIONS_MAX)
        .client_request_timeout(HEAD_DEADLINE)
        .shutdown_timeout(1)
        .disable_signals()
        .bind(addr)
        .map_err(refused("http.metrics_addr", addr))?;
    let addr = server.addrs().first().copied().unwrap_or(addr);
    let server = server.run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok((handle, addr))
}

fn local_plane(
    path: &Path,
    allowed: &[u32],
    shared: Data<Shared>,
) -> std::io::Result<(ServerHandle, Socket)> {
    let (socket, listener) = Socket::bind(path)?;
    let allowed: Arc<[u32]> = allowed.into();
    let server = HttpServer::new(move || http::local_plane(shared.clone()))
        .workers(1)
        .max_connections(LOCAL_CONNECTIONS_MAX)
        .client_request_timeout(HEAD_DEADLINE)
        .shutdown_timeout(1)
        .disable_signals()
        .on_connect(move |stream, data| {
            data.insert(Peer::Uds);
            let stream = stream.downcast_ref::<tokio::net::UnixStream>();
            if let Some(caller) = stream.and_then(|stream| caller(stream, &allowed)) {
                data.insert(caller);
            }
        })
        .listen_uds(listener)?
        .run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok((handle, socket))
}
