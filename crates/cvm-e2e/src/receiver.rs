//! A receiver of webhooks in the test's own process: it remembers what came and answers what it is
//! told to.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How long a sender may take for a request.
const REQUEST_WITHIN: Duration = Duration::from_secs(60);

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Not at all: the connection is held until the sender gives up.
    Never,
    /// With this status, and `Retry-After` with so many seconds.
    RetryAfter(u16, u32),
    /// With 302 and this `Location`.
    Redirect(String),
    /// With this status.
    Status(u16),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The method and the path.
    pub line: String,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Received {
    /// The field called `name`; empty where there is none.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(of, _)| of == name).map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// Where it is none.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }
}

#[derive(Debug, Default)]
struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    received: Mutex<Vec<Received>>,
    holding: AtomicUsize,
}

/// A receiver at work; it stays up as long as the test's process.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    /// The root of its certificate, PEM; empty without TLS.
    pub root: String,
    shared: Arc<Shared>,
}

impl Receiver {
    /// A receiver over plain HTTP that answers `replies` in turn, and 204 after them.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub fn http(replies: &[Reply]) -> Result<Self> {
        Self::listen(TcpListener::bind("127.0.0.1:0")?, replies, None)
    }

    /// The same on an address of a receiver that is not up yet.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub fn http_at(address: SocketAddr) -> Result<Self> {
        Self::listen(TcpListener::bind(address)?, &[], None)
    }

    /// A receiver over TLS, as `localhost`, under a root of its own.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub fn https() -> Result<Self> {
        Self::https_with(&[])
    }

    /// The same that answers `replies` in turn, and 204 after them.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub fn https_with(replies: &[Reply]) -> Result<Self> {
        Self::listen(TcpListener::bind("127.0.0.1:0")?, replies, Some(identity()?))
    }

    fn listen(
        listener: TcpListener,
        replies: &[Reply],
        tls: Option<(ServerConfig, String)>,
    ) -> Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        shared.replies.lock().extend(replies.iter().cloned());
        let (config, root) = match tls {
            Some((config, root)) => (Some(Arc::new(config)), root),
            None => (None, String::new()),
        };
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, shared) = (config.clone(), accepting.clone());
                // A sender that hangs up is what some tests are about.
                std::thread::spawn(move || drop(speak(stream, config, &shared)));
            }
        });
        Ok(Self { address, root, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as a URL with `path`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        match self.root.is_empty() {
            true => format!("http://{}{path}", self.address),
            false => format!("https://localhost:{}{path}", self.address.port()),
        }
    }

    /// What came so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().clone()
    }

    /// How many requests it holds now without an answer.
    #[must_use]
    pub fn holding(&self) -> usize {
        self.shared.holding.load(Ordering::SeqCst)
    }
}

/// A certificate for `localhost` under a new root, and that root.
fn identity() -> Result<(ServerConfig, String)> {
    let mut root = CertificateParams::new(Vec::new())?;
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Another name than the certificate has, or OpenSSL takes that for one that signed itself.
    root.distinguished_name.push(DnType::CommonName, "the receiver's root");
    let root_key = KeyPair::generate()?;
    let root_pem = root.self_signed(&root_key)?.pem();
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec![String::from("localhost")])?;
    let leaf = leaf.signed_by(&key, &Issuer::new(root, root_key))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    Ok((config, root_pem))
}

fn speak(stream: TcpStream, config: Option<Arc<ServerConfig>>, shared: &Shared) -> Result<()> {
    stream.set_read_timeout(Some(REQUEST_WITHIN))?;
    match config {
        None => answer(stream, shared),
        Some(config) => {
            let mut stream = StreamOwned::new(ServerConnection::new(config)?, stream);
            answer(&mut stream, shared)?;
            stream.conn.send_close_notify();
            Ok(stream.flush()?)
        }
    }
}

fn answer(mut stream: impl Read + Write, shared: &Shared) -> Result<()> {
    let received = read_request(&mut stream)?;
    shared.received.lock().push(received);
    let reply = shared.replies.lock().pop_front().unwrap_or(Reply::Status(204));
    let head = match reply {
        Reply::Never => {
            shared.holding.fetch_add(1, Ordering::SeqCst);
            // It ends when the sender hangs up.
            let ended = stream.read(&mut [0]);
            shared.holding.fetch_sub(1, Ordering::SeqCst);
            return Ok(ended.map(drop)?);
        }
        Reply::RetryAfter(status, seconds) => {
            format!("HTTP/1.1 {status} -\r\nRetry-After: {seconds}\r\n")
        }
        Reply::Redirect(to) => format!("HTTP/1.1 302 -\r\nLocation: {to}\r\n"),
        Reply::Status(status) => format!("HTTP/1.1 {status} -\r\n"),
    };
    let rest = "Content-Length: 0\r\nConnection: close\r\n\r\n";
    stream.write_all(format!("{head}{rest}").as_bytes())?;
    Ok(stream.flush()?)
}

fn read_request(stream: &mut impl Read) -> Result<Received> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        bytes.extend(byte);
    }
    let head = String::from_utf8(bytes)?;
    let mut lines = head.trim_end().lines();
    let line = lines.next().context("no request line")?;
    let line = line.trim_end_matches(" HTTP/1.1").to_owned();
    let fields: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = fields.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(Ok(0), |(_, length)| length.parse())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Received { line, fields, body: String::from_utf8(body)? })
}
