//! An HTTP/1.1 client over rustls that sends exactly what it is told.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use rcgen::{CertificateParams, CertificateSigningRequest, DistinguishedName, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::clock::FakeClock;

/// How long an answer may take on two cores full of other tests.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// What asks for the connection's end after the answer.
const CLOSE: &str = "Connection: close";

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The head without its status line, names in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Response {
    /// The body as JSON.
    ///
    /// # Errors
    /// Where it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }

    /// A text of the JSON body; empty where there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        let body = self.json().unwrap_or_default();
        body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The slug of the problem; empty where there is none.
    #[must_use]
    pub fn slug(&self) -> String {
        self.text("type").rsplit('/').next().unwrap_or_default().to_owned()
    }
}

/// A key that a device made.
#[derive(Debug)]
pub struct Key(KeyPair);

impl Key {
    /// A new key on P-256.
    ///
    /// # Errors
    /// Where there is no randomness.
    pub fn new() -> Result<Self> {
        Ok(Self(KeyPair::generate()?))
    }

    /// A key that somebody else made, PKCS #8 in PEM.
    ///
    /// # Errors
    /// Where it is none.
    pub fn from_pem(pem: &str) -> Result<Self> {
        Ok(Self(KeyPair::from_pem(pem)?))
    }

    /// A certificate request with an empty subject.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn csr(&self) -> Result<String> {
        Ok(self.request()?.pem()?)
    }

    /// The same with one bit of its signature flipped.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn bad_csr(&self) -> Result<String> {
        let mut der = self.request()?.der().to_vec();
        // The last bit of ECDSA's s: still two numbers, and not these.
        *der.last_mut().context("an empty request")? ^= 1;
        let text = BASE64_STANDARD.encode(der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        let (begin, end) =
            ("-----BEGIN CERTIFICATE REQUEST-----", "-----END CERTIFICATE REQUEST-----");
        Ok(format!("{begin}\n{}\n{end}\n", lines.join("\n")))
    }

    fn request(&self) -> Result<CertificateSigningRequest> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&self.0)?)
    }

    /// The private key, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.serialize_pem()
    }
}

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Client {
    address: String,
    config: Arc<ClientConfig>,
    from: Option<IpAddr>,
}

impl Client {
    /// A client that trusts `root` and shows no certificate.
    ///
    /// # Errors
    /// Where the root is none.
    pub fn new(address: &str, root: &str) -> Result<Self> {
        let builder = Self::builder(root)?;
        let config = Arc::new(builder.with_no_client_auth());
        Ok(Self { address: address.to_owned(), config, from: None })
    }

    /// A client that shows a certificate.
    ///
    /// # Errors
    /// Where root, certificate or key are none.
    pub fn with_certificate(address: &str, root: &str, chain: &str, key: &str) -> Result<Self> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
        let config = Self::builder(root)?.with_client_auth_cert(chain?, key)?;
        Ok(Self { address: address.to_owned(), config: Arc::new(config), from: None })
    }

    /// The same, judging the server's certificate by `clock`.
    #[must_use]
    pub fn by_clock(mut self, clock: &FakeClock) -> Self {
        Arc::make_mut(&mut self.config).time_provider = Arc::new(clock.clone());
        self
    }

    /// The same, from another address of this machine: all of 127.0.0.0/8 is.
    #[must_use]
    pub fn from_address(mut self, from: IpAddr) -> Self {
        self.from = Some(from);
        self
    }

    /// The same, asking for HTTP/2, which is the caller's to speak.
    #[must_use]
    pub fn asking_for_http2(mut self) -> Self {
        Arc::make_mut(&mut self.config).alpn_protocols = vec![b"h2".to_vec()];
        self
    }

    fn builder(
        root: &str,
    ) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots))
    }

    /// A connection, shaken hands when first written to.
    ///
    /// # Errors
    /// Where it is refused.
    pub fn connect(&self) -> Result<StreamOwned<ClientConnection, TcpStream>> {
        let tcp = match self.from {
            Some(from) => connect_from(from, self.address.parse()?)?,
            None => TcpStream::connect(&self.address)?,
        };
        tcp.set_read_timeout(Some(ANSWER_WITHIN))?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        Ok(StreamOwned::new(ClientConnection::new(self.config.clone(), name)?, tcp))
    }

    /// Sends `request` as it is and reads what comes until the server closes.
    ///
    /// # Errors
    /// Where no whole answer comes.
    pub fn exchange(&self, request: &[u8]) -> Result<Response> {
        let mut stream = self.connect()?;
        // The server may answer and close before it has read everything, as it should.
        let _broken_pipe = stream.write_all(request);
        let _broken_pipe = stream.flush();
        let mut answer = Vec::new();
        let mut buffer = [0_u8; 16_384];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => answer.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if is_close(error.kind()) => break,
                Err(error) => return Err(error.into()),
            }
        }
        parse(&answer)
    }

    /// A well-formed request on a connection of its own.
    ///
    /// # Errors
    /// Where no whole answer comes.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: Option<&Value>,
    ) -> Result<Response> {
        self.exchange(&request_bytes(method, path, &[&[CLOSE], headers].concat(), body))
    }

    /// Sends a well-formed request and hangs up without waiting for the answer.
    ///
    /// # Errors
    /// Where it cannot be sent.
    pub fn send_and_hang_up(&self, method: &str, path: &str, body: &Value) -> Result<()> {
        let mut stream = self.connect()?;
        stream.write_all(&request_bytes(method, path, &[CLOSE], Some(body)))?;
        Ok(stream.flush()?)
    }
}

fn connect_from(from: IpAddr, to: SocketAddr) -> Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddr::new(from, 0))?;
    connect(&socket, &to)?;
    Ok(TcpStream::from(socket))
}

pub(crate) fn request_bytes(
    method: &str,
    path: &str,
    headers: &[&str],
    body: Option<&Value>,
) -> Vec<u8> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
    if !body.is_empty() {
        head.push_str("Content-Type: application/json\r\n");
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    format!("{head}\r\n{body}").into_bytes()
}

pub(crate) fn is_close(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

pub(crate) fn parse(answer: &[u8]) -> Result<Response> {
    let text = String::from_utf8_lossy(answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").context("no whole answer came")?;
    let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.with_context(|| format!("no status in {line}"))?;
    Ok(Response { status, head: headers.to_ascii_lowercase(), body: body.to_owned() })
}
