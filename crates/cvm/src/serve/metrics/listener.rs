//! `GET /metrics` over plain HTTP/1.1: one request a connection, few connections at once, each for
//! a bounded time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::Source;

/// A request's line and header fields.
const HEADER_BYTES_MAX: usize = 8 * 1_024;

/// Header fields of a request.
const HEADERS_MAX: usize = 64;

/// From a connection's beginning to the end of its answer.
const CONNECTION_SECONDS_MAX: u64 = 10;

/// How long to wait after an accept that failed for want of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(100);

/// The listener at work; it stops when this is dropped.
pub(in crate::serve) struct MetricsServing {
    local_addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl MetricsServing {
    /// The address it listens on.
    pub(in crate::serve) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

impl Drop for MetricsServing {
    fn drop(&mut self) {
        // The connections are in it.
        self.accepting.abort();
    }
}

/// Serves what `source` has on a socket that is listening already, over `connections_max` connections at
/// once; the next ones wait in the kernel's backlog.
pub(in crate::serve) fn serve(
    listener: TcpListener,
    connections_max: usize,
    source: Source,
) -> std::io::Result<MetricsServing> {
    let local_addr = listener.local_addr()?;
    let accepting = tokio::spawn(accept_all(listener, connections_max, Arc::new(source)));
    Ok(MetricsServing { local_addr, accepting })
}

async fn accept_all(listener: TcpListener, connections_max: usize, source: Arc<Source>) {
    let bound = Duration::from_secs(CONNECTION_SECONDS_MAX);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < connections_max => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(timeout(bound, speak(stream, source.clone())));
                }
                Err(error) => {
                    tracing::debug!(%error, "accepting a connection for metrics");
                    sleep(BACK_OFF).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn speak(stream: TcpStream, source: Arc<Source>) {
    let service = service_fn(move |request| {
        let source = source.clone();
        async move { Ok::<_, Infallible>(answer(&request, source).await) }
    });
    let connection = http1::Builder::new()
        // `CONNECTION_SECONDS_MAX` bounds it all.
        .header_read_timeout(None)
        .keep_alive(false)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection for metrics");
    }
}

async fn answer(request: &Request<Incoming>, source: Arc<Source>) -> Response<Full<Bytes>> {
    let plain = |status, text: String| {
        let mut answer = Response::new(Full::new(Bytes::from(text)));
        *answer.status_mut() = status;
        let text = http::HeaderValue::from_static(prometheus::TEXT_FORMAT);
        answer.headers_mut().insert(CONTENT_TYPE, text);
        answer
    };
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, String::from("metrics are at /metrics\n"));
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, String::from("use GET\n"));
        answer.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match tokio::task::spawn_blocking(move || source.text()).await {
        Ok(Ok(text)) => plain(StatusCode::OK, text),
        Ok(Err(error)) => {
            tracing::error!(%error, "metrics cannot be written");
            plain(StatusCode::INTERNAL_SERVER_ERROR, String::from("see the server's log\n"))
        }
        Err(panic) => {
            tracing::error!(%panic, "metrics cannot be read");
            plain(StatusCode::INTERNAL_SERVER_ERROR, String::from("see the server's log\n"))
        }
    }
}
