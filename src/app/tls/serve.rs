//! A listener that speaks TLS and counts the handshakes that come to nothing. The acceptor of
//! actix-web drops their errors, so this one stands in its place.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol, Request, Response};
use actix_rt::net::TcpStream;
use actix_server::ServerBuilder;
use actix_service::{
    IntoServiceFactory, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config,
};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Extensions};
use rustls::ServerConnection;
use tokio_rustls::TlsAcceptor;

use super::Endpoint;

/// From the connection to the end of its handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(3);

/// How long connections may be idle, and a request's head may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::app) struct Times {
    pub(in crate::app) keep_alive: Duration,
    pub(in crate::app) head_deadline: Duration,
}

/// Adds the listener to a server.
///
/// # Errors
/// Of the socket.
pub(in crate::app) fn serve<F, I, S, B>(
    server: ServerBuilder,
    listener: TcpListener,
    endpoint: Arc<Endpoint>,
    times: Times,
    on_connect: impl Fn(&ServerConnection, &mut Extensions) + Clone + Send + 'static,
    app: F,
) -> io::Result<ServerBuilder>
where
    F: Fn() -> I + Clone + Send + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error>,
    S::InitError: std::fmt::Debug,
    S::Response: Into<Response<B>>,
    B: MessageBody + 'static,
{
    // As actix-web has it: at the end of the server idle connections end at once.
    let stopping = server.graceful_shutdown_signal();
    server.listen(endpoint.name(), listener, move || {
        let (endpoint, on_connect) = (Arc::clone(&endpoint), on_connect.clone());
        let stopping = stopping.clone();
        let app = app().into_factory().map_err(|error| error.into().error_response());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(times.keep_alive)
            .client_request_timeout(times.head_deadline)
            .on_connect_ext(move |stream: &TlsStream<TcpStream>, data: &mut Extensions| {
                on_connect(stream.get_ref().1, data);
            })
            .finish(map_config(app, |()| AppConfig::default()));
        fn_service(move |socket| accept(Arc::clone(&endpoint), socket)).and_then(http)
    })
}

async fn accept(
    endpoint: Arc<Endpoint>,
    socket: TcpStream,
) -> Result<(TlsStream<TcpStream>, Protocol, Option<std::net::SocketAddr>), DispatchError> {
    let address = socket.peer_addr().ok();
    let handshake = TlsAcceptor::from(endpoint.config()).accept(socket);
    let outcome = tokio::time::timeout(HANDSHAKE_DEADLINE, handshake).await;
    let error = match outcome {
        Ok(Ok(stream)) => return Ok((stream.into(), Protocol::Http1, address)),
        Ok(Err(error)) => error,
        Err(_) => io::Error::new(io::ErrorKind::TimedOut, "no handshake in time"),
    };
    endpoint.metrics().tls_handshake_failures.inc();
    tracing::debug!(%error, plane = endpoint.name(), "tls handshake failed");
    Err(DispatchError::Io(error))
}
