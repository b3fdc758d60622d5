//! One exchange of HTTP/1.1 over TLS, which can be broken off at any byte.
//!
//! Written on the bytes, because a client that cannot be broken off is no use here, and because the
//! load takes its time from the same cores as the server. Answers without a length are not read.

mod answer;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use crate::fault::Fault;
use crate::plan::Connections;
use crate::site::Endpoint;

pub(crate) use answer::Answer;

/// How long an exchange may take: longer than the server takes at most.
const EXCHANGE_MAX: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum NoAnswer {
    #[error("{0}")]
    Broken(#[from] io::Error),
    #[error("the connection was broken off on purpose")]
    Lost,
}

/// A request as it travels; may hold a token.
pub(crate) struct Request {
    bytes: Zeroizing<Vec<u8>>,
    body_at: usize,
}

/// What a request is made of.
pub(crate) struct Parts<'a> {
    pub(crate) method: &'static str,
    pub(crate) path: &'a str,
    /// Whole lines.
    pub(crate) fields: &'a str,
    pub(crate) body: Option<&'a [u8]>,
}

impl Request {
    pub(crate) fn new(endpoint: &Endpoint, connections: Connections, parts: &Parts<'_>) -> Self {
        let Parts { method, path, fields, body } = parts;
        let host = &endpoint.authority;
        let mut head = Zeroizing::new(String::with_capacity(512 + fields.len()));
        head.push_str(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n"));
        head.push_str("User-Agent: cvm-rehearse\r\n");
        head.push_str(fields);
        if connections == Connections::Each {
            head.push_str("Connection: close\r\n");
        }
        match body {
            Some(body) => head.push_str(&format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            )),
            None if *method == "POST" => head.push_str("Content-Length: 0\r\n"),
            None => {}
        }
        head.push_str("\r\n");
        let body = body.unwrap_or_default();
        let mut bytes = Zeroizing::new(Vec::with_capacity(head.len() + body.len()));
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(body);
        Self { bytes, body_at: head.len() }
    }

    /// How many bytes its head has, and how many the whole.
    pub(crate) fn lengths(&self) -> (usize, usize) {
        (self.body_at, self.bytes.len())
    }
}

/// Asks one listener, one request after the other.
pub(crate) struct Client {
    endpoint: Endpoint,
    connections: Connections,
    kept: Option<TlsStream<TcpStream>>,
    /// Protocol and key exchange of the last new connection.
    pub(crate) agreed: Option<(String, String)>,
}

impl Client {
    pub(crate) fn new(endpoint: Endpoint, connections: Connections) -> Self {
        Self { endpoint, connections, kept: None, agreed: None }
    }

    /// Closes the connection that was kept.
    pub(crate) fn hang_up(&mut self) {
        self.kept = None;
    }

    /// The request that `parts` make, for this listener.
    pub(crate) fn request(&self, parts: &Parts<'_>) -> Request {
        Request::new(&self.endpoint, self.connections, parts)
    }

    /// Sends a request and reads its answer, unless `fault` comes between.
    pub(crate) async fn ask(
        &mut self,
        tls: &Arc<ClientConfig>,
        request: &Request,
        fault: Option<Fault>,
    ) -> Result<Answer, NoAnswer> {
        let is_kept = self.kept.is_some();
        match self.ask_within(tls, request, fault).await {
            // Servers close what is idle, and may do so at the very moment.
            Err(NoAnswer::Broken(_)) if is_kept => self.ask_within(tls, request, fault).await,
            asked => asked,
        }
    }

    async fn ask_within(
        &mut self,
        tls: &Arc<ClientConfig>,
        request: &Request,
        fault: Option<Fault>,
    ) -> Result<Answer, NoAnswer> {
        let late = |_| NoAnswer::Broken(io::Error::from(io::ErrorKind::TimedOut));
        timeout(EXCHANGE_MAX, self.exchange(tls, request, fault)).await.map_err(late).flatten()
    }

    async fn exchange(
        &mut self,
        tls: &Arc<ClientConfig>,
        request: &Request,
        fault: Option<Fault>,
    ) -> Result<Answer, NoAnswer> {
        let began = Instant::now();
        let mut stream = match self.kept.take() {
            Some(stream) => stream,
            None => self.connect(tls).await?,
        };
        if let Some(Fault::CutRequest(at)) = fault {
            stream.write_all(request.bytes.get(..at).unwrap_or_default()).await?;
            stream.flush().await?;
            return Err(NoAnswer::Lost);
        }
        stream.write_all(&request.bytes).await?;
        stream.flush().await?;
        let bytes_max = match fault {
            None | Some(Fault::Forget) => None,
            Some(Fault::CutAnswer(at)) => Some(at),
            Some(Fault::CutRequest(_) | Fault::HangUp) => return Err(NoAnswer::Lost),
        };
        let mut answer = answer::read(&mut stream, bytes_max).await?;
        answer.took = began.elapsed();
        if self.connections == Connections::Kept && !answer.is_last {
            self.kept = Some(stream);
        } else {
            // The answer is here; how the connection ends changes nothing.
            let _ended = stream.shutdown().await;
        }
        Ok(answer)
    }

    async fn connect(&mut self, tls: &Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, NoAnswer> {
        let stream = TcpStream::connect(&*self.endpoint.addresses).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(tls));
        let stream = connector.connect(self.endpoint.name.clone(), stream).await?;
        if self.agreed.is_none() {
            let (_, connection) = stream.get_ref();
            let protocol = connection.protocol_version().map(|it| format!("{it:?}"));
            let group = connection.negotiated_key_exchange_group();
            let group = group.map(|group| format!("{:?}", group.name()));
            self.agreed = protocol.zip(group);
        }
        Ok(stream)
    }
}
