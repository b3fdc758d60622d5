//! Listeners: accept, handshake, and one task for each connection, all of it bounded.
//!
//! A connection beyond the limit waits in the kernel's backlog. Stopping lets go of the port,
//! closes what is idle, finishes what was asked, and gives up after a bound.

mod protocol;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::crypto::WebPkiSupportedAlgorithms;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::Side;
use crate::api::{Api, Peer};
use crate::connection::{Connection, Driven, Watched, drive};
use crate::limit::{Guest, Occupancy, OpenConnection, RequestsMax};
use crate::observer::{Limit, Notice, Until};
use crate::possession::possessed;
use crate::tls::{self, ServerIdentity, TlsError};

use protocol::{http1_builder, http2_builder};

/// How long to wait after an accept that failed for want of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How long follow-ups may take once the last connection is closed.
const AFTERMATH_MAX: Duration = Duration::from_secs(10);

/// Why a listener did not start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The socket is no good.
    #[error("the listener's address cannot be told")]
    Socket(#[source] io::Error),
    /// TLS is no good.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Starts the device API on a socket that is listening already.
///
/// # Errors
/// [`ServeError`]; nothing was started.
pub fn serve_device(
    listener: TcpListener,
    identity: &Arc<ServerIdentity>,
    api: &Api,
) -> Result<Serving, ServeError> {
    serve(listener, tls::device_config(Arc::clone(identity), api.limits())?, api, Side::Device)
}

/// Starts the operator API on a socket that is listening already.
///
/// # Errors
/// [`ServeError`]; nothing was started.
pub fn serve_operator(
    listener: TcpListener,
    identity: &Arc<ServerIdentity>,
    api: &Api,
) -> Result<Serving, ServeError> {
    serve(listener, tls::operator_config(Arc::clone(identity))?, api, Side::Operator)
}

/// Starts what is served without TLS, over HTTP/1.1, on a socket that is listening already.
///
/// # Errors
/// [`ServeError`]; nothing was started.
pub fn serve_plain(listener: TcpListener, api: &Api) -> Result<Serving, ServeError> {
    start(listener, None, api, Side::Plain)
}

/// A listener at work. Dropped, it stops accepting and finishes in the background.
#[derive(Debug)]
pub struct Serving {
    local_addr: SocketAddr,
    drain: CancellationToken,
    abort: CancellationToken,
    connections: TaskTracker,
    api: Api,
}

impl Serving {
    /// The address it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops accepting, closes idle connections at once, finishes the requests in flight and what
    /// follows from them, and returns; after `drain_seconds_max` it ends what is left.
    pub async fn drain(self) {
        self.drain.cancel();
        self.connections.close();
        let bound = Duration::from_secs(self.api.limits().drain_seconds_max);
        if timeout(bound, self.connections.wait()).await.is_err() {
            tracing::warn!(
                left = self.connections.len(),
                "connections cut off at the end of drain"
            );
            self.abort.cancel();
            self.connections.wait().await;
        }
        let tasks = &self.api.aftermath().tasks;
        tasks.close();
        if timeout(AFTERMATH_MAX, tasks.wait()).await.is_err() {
            tracing::error!(left = tasks.len(), "what follows from answers was not written");
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.drain.cancel();
        self.connections.close();
    }
}

/// What every connection of a listener shares.
#[derive(Clone)]
struct Shared {
    api: Api,
    side: Side,
    router: Router,
    /// `None` on the listener without.
    tls: Option<Tls>,
    drain: CancellationToken,
    abort: CancellationToken,
}

impl Shared {
    fn notice(&self, notice: Notice) {
        self.api.notice(self.side, notice);
    }
}

#[derive(Clone)]
struct Tls {
    acceptor: TlsAcceptor,
    algorithms: WebPkiSupportedAlgorithms,
}

fn serve(
    listener: TcpListener,
    config: ServerConfig,
    api: &Api,
    side: Side,
) -> Result<Serving, ServeError> {
    let algorithms = config.crypto_provider().signature_verification_algorithms;
    let tls = Tls { acceptor: TlsAcceptor::from(Arc::new(config)), algorithms };
    start(listener, Some(tls), api, side)
}

fn start(
    listener: TcpListener,
    tls: Option<Tls>,
    api: &Api,
    side: Side,
) -> Result<Serving, ServeError> {
    let local_addr = listener.local_addr().map_err(ServeError::Socket)?;
    let (drain, abort) = (CancellationToken::new(), CancellationToken::new());
    let connections = TaskTracker::new();
    let shared = Shared {
        api: api.clone(),
        side,
        router: api.router(side),
        tls,
        drain: drain.clone(),
        abort: abort.clone(),
    };
    let _accepting = connections.spawn(accept_all(listener, shared, connections.clone()));
    Ok(Serving { local_addr, drain, abort, connections, api: api.clone() })
}

async fn accept_all(listener: TcpListener, shared: Shared, connections: TaskTracker) {
    let limits = *shared.api.limits();
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let open = Occupancy::default();
    let mut is_failing = false;
    loop {
        let accepted = tokio::select! {
            () = shared.drain.cancelled() => return,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, address, place)) => {
                is_failing = false;
                let (connections_max, requests_max) = share(&shared.api, address.ip());
                // Closed without a word: who has so many open is not asking for one more answer.
                let Some(one_of) = open.open(address.ip(), connections_max) else {
                    shared.notice(Notice::LimitReached(Limit::ConnectionsPerAddress));
                    continue;
                };
                let visitor = Visitor { address, guest: one_of.guest(requests_max) };
                let held = (place, one_of);
                let _connection = connections.spawn(connect(stream, visitor, held, shared.clone()));
            }
            // The peer gave up while it waited: nothing of ours.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::error!(%error, "cannot accept connections: trying on");
                }
                tokio::select! {
                    () = shared.drain.cancelled() => return,
                    () = tokio::time::sleep(BACK_OFF) => {}
                }
            }
        }
    }
}

/// How many of the listener's connections and requests one address may have.
fn share(api: &Api, address: IpAddr) -> (usize, RequestsMax) {
    let limits = api.limits();
    let in_all = limits.requests_max;
    if api.is_shared(address) {
        return (limits.connections_max, RequestsMax { in_all, per_address: in_all });
    }
    let per_address = limits.requests_per_address_max;
    (limits.connections_per_address_max, RequestsMax { in_all, per_address })
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, place))
}

/// Who has connected.
struct Visitor {
    address: SocketAddr,
    guest: Guest,
}

async fn connect(
    stream: TcpStream,
    Visitor { address, guest }: Visitor,
    _held: (OwnedSemaphorePermit, OpenConnection),
    shared: Shared,
) {
    let limits = *shared.api.limits();
    shared.notice(Notice::ConnectionOpened);
    let observer = shared.api.settings().observer.as_ref();
    let _until = Until::new(observer, shared.side, Notice::ConnectionClosed);
    // Answers are single writes: waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, peer = %address, "TCP_NODELAY");
    }
    let Some(tls) = &shared.tls else {
        let peer = Peer { address: address.ip().to_canonical(), certificate: None };
        return speak(stream, Protocol::Http1, (peer, guest), shared).await;
    };
    let bound = Duration::from_secs(limits.handshake_seconds_max);
    let handshake = timeout(bound, tls.acceptor.accept(stream));
    let stream = tokio::select! {
        () = shared.drain.cancelled() => return,
        done = handshake => match done {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                shared.notice(Notice::HandshakeFailed);
                tracing::debug!(%error, peer = %address, "handshake failed");
                return;
            }
            Err(_) => {
                shared.notice(Notice::LimitReached(Limit::HandshakeSeconds));
                tracing::debug!(peer = %address, "handshake took too long");
                return;
            }
        },
    };
    let (_, session) = stream.get_ref();
    let protocol = match session.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        Some(_) | None => Protocol::Http1,
    };
    let certificate = possessed(session.peer_certificates(), &tls.algorithms);
    let peer = Peer { address: address.ip().to_canonical(), certificate };
    speak(stream, protocol, (peer, guest), shared).await;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// A connection's bytes, as they are before or after TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

async fn speak(
    stream: impl Stream,
    protocol: Protocol,
    (peer, guest): (Peer, Guest),
    shared: Shared,
) {
    let limits = *shared.api.limits();
    let is_http2 = protocol == Protocol::Http2;
    let connection = Connection::new(shared.api.aftermath().clone(), limits, guest, !is_http2);
    let connection = Arc::new(connection);
    let service =
        Answering { router: shared.router.clone(), peer, connection: Arc::clone(&connection) };
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&connection)));
    let Shared { drain, abort, .. } = &shared;
    let span = tracing::debug_span!("connection", peer = %peer.address);
    if is_http2 {
        let driven = Box::pin(http2_builder(&limits).serve_connection(io, service));
        drive(&connection, driven, drain, abort).instrument(span).await;
    } else {
        let driven = Box::pin(http1_builder(&limits).serve_connection(io, service));
        drive(&connection, driven, drain, abort).instrument(span).await;
    }
}

/// Hands the requests of one connection to the API.
struct Answering {
    router: Router,
    peer: Peer,
    connection: Arc<Connection>,
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(Arc::new(self.connection.begin()));
        request.extensions_mut().insert(self.peer);
        tower::Service::call(&mut self.router.clone(), request)
    }
}

type Io<S> = TokioIo<Watched<S>>;

impl<S: Stream> Driven for http1::Connection<Io<S>, Answering> {
    fn farewell(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S: Stream> Driven for http2::Connection<Io<S>, Answering, TokioExecutor> {
    fn farewell(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
