//! The two planes on their sockets.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpServer;
use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::StartError;
use super::socket::{Socket, caller};
use crate::actors::drills::Drills;
use crate::actors::pipeline::Pipeline;
use crate::capability::Peer;
use crate::config::{Config, TlsConfig};
use crate::http::{self, Shared};
use crate::storage::files::{FileError, check_private};

/// How long a connection without a request is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// From the first byte of a request to the end of its head.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);

/// Connections on the metrics plane: scrapers and probes.
const METRICS_CONNECTIONS_MAX: usize = 64;

/// Connections on the local plane.
const LOCAL_CONNECTIONS_MAX: usize = 256;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file.
    #[error("{key}: cannot read {}: {message}", path.display())]
    Pem {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it. Never its content.
        message: String,
    },
    /// The private key can be read by others.
    #[error("tls.key_file: {0}")]
    Open(#[from] FileError),
    /// Certificate and key do not go together, or are of no use.
    #[error("tls.cert_file, tls.key_file: {0}")]
    Pair(#[from] rustls::Error),
    /// The authority of the clients.
    #[error("tls.ca_file: {0}")]
    Authority(#[from] rustls::server::VerifierBuilderError),
}

/// Both planes, serving.
pub(super) struct Listeners {
    pub(super) api_addr: SocketAddr,
    pub(super) metrics_addr: SocketAddr,
    handles: Vec<ServerHandle>,
    _socket: Option<Socket>,
}

impl Listeners {
    /// Takes no new connections, and waits for those that stand, until the deadline. Returns whether
    /// all had ended by then.
    pub(super) async fn stop(self, deadline: Instant) -> bool {
        let graceful =
            futures_util::future::join_all(self.handles.iter().map(|handle| handle.stop(true)));
        tokio::time::timeout_at(deadline.into(), graceful).await.is_ok()
    }
}

/// Binds both planes and serves on them.
pub(super) fn start(
    config: &Config,
    pipeline: &Pipeline,
    drills: Option<Arc<Drills>>,
) -> Result<Listeners, StartError> {
    let shared = Shared::with_drills(pipeline.clone(), http::Settings::of(config), drills);
    let (api, api_addr) = api(config, shared.clone())?;
    let (metrics, metrics_addr) = metrics_plane(config, shared.clone())?;
    let mut handles = vec![api, metrics];
    let mut socket = None;
    if let Some(path) = &config.uds.path {
        let served = local_plane(path, &config.uds.allow_uids, shared);
        let (handle, file) =
            served.map_err(|source| StartError::Socket { path: path.clone(), source })?;
        handles.push(handle);
        socket = Some(file);
    }
    Ok(Listeners { api_addr, metrics_addr, handles, _socket: socket })
}

fn api(config: &Config, shared: Data<Shared>) -> Result<(ServerHandle, SocketAddr), StartError> {
    let workers = match config.http.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let tls = tls(&config.tls)?;
    let peer = match (&tls, &config.tls.ca_file) {
        (None, _) => Peer::Plain,
        (Some(_), None) => Peer::Tls,
        // Without a certificate of this authority there is no connection.
        (Some(_), Some(_)) => Peer::Mtls,
    };
    let server = HttpServer::new(move || http::api(shared.clone()))
        .workers(workers)
        .max_connections((config.limits.connections_max / workers).max(1))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_DEADLINE)
        .shutdown_timeout(1)
        .disable_signals()
        .on_connect(move |_, data| {
            data.insert(peer);
        });
    let addr = config.http.api_addr;
    let bound = match tls {
        Some(tls) => server.bind_rustls_0_23(addr, tls),
        None => server.bind(addr),
    };
    let server =
        bound.map_err(|source| StartError::Listen { key: "http.api_addr", addr, source })?;
    let addr = server.addrs().first().copied().unwrap_or(addr);
    let server = server.run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok((handle, addr))
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
        .map_err(|source| StartError::Listen { key: "http.metrics_addr", addr, source })?;
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

/// TLS 1.3 alone, where it is configured; with an authority, clients must have a certificate of it.
fn tls(config: &TlsConfig) -> Result<Option<ServerConfig>, TlsError> {
    let (Some(cert_file), Some(key_file)) = (&config.cert_file, &config.key_file) else {
        return Ok(None);
    };
    check_private(key_file)?;
    let chain = certificates("tls.cert_file", cert_file)?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(pem("tls.key_file", key_file))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = match &config.ca_file {
        None => builder.with_no_client_auth(),
        Some(ca_file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("tls.ca_file", ca_file)? {
                roots.add(certificate)?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    Ok(Some(builder.with_single_cert(chain, key)?))
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(pem(key, path))
}

fn pem(key: &'static str, path: &Path) -> impl Fn(rustls::pki_types::pem::Error) -> TlsError {
    move |error| TlsError::Pem { key, path: path.to_owned(), message: error.to_string() }
}
