//! The client that every server is asked by: HTTP/1.1 over TLS 1.3, as lean as it can be, because
//! it takes its time from the same cores.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::plan::Groups;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Own addresses that connections come from in turn, so that closed ones do not use up the ports.
const ADDRESSES: usize = 200;

/// An answer's head and body, as they came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    bytes: Vec<u8>,
    body_at: usize,
    is_chunked: bool,
}

impl Answer {
    /// The body.
    pub(crate) fn body(&self) -> Result<Vec<u8>> {
        let raw = self.bytes.get(self.body_at..).unwrap_or_default();
        if self.is_chunked { unchunked(raw) } else { Ok(raw.to_vec()) }
    }
}

/// A client of one server.
pub(crate) struct Client {
    address: SocketAddr,
    connector: TlsConnector,
    connection: Option<TlsStream<TcpStream>>,
    connected: usize,
}

/// TLS as the clients speak it: 1.3, nothing resumed.
pub(crate) fn tls(roots: &Path, groups: Groups) -> Result<Arc<ClientConfig>> {
    use aws_lc_rs::kx_group::{X25519, X25519MLKEM768};
    let kx_groups = match groups {
        Groups::Hybrid => vec![X25519MLKEM768, X25519],
        Groups::X25519 => vec![X25519],
    };
    let provider = CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() };
    let mut trusted = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(roots)? {
        trusted.add(root?)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut config = builder.with_root_certificates(trusted).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

impl Client {
    /// A client that is `number`th of its kind.
    pub(crate) fn new(address: SocketAddr, config: Arc<ClientConfig>, number: usize) -> Self {
        let connector = TlsConnector::from(config);
        Self { address, connector, connection: None, connected: number * 7 }
    }

    /// Sends a whole request and reads its answer, over the connection that is open or a new one.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        let answer = timeout(ANSWER_WITHIN, self.ask_unbounded(request)).await;
        let answer = answer.map_err(anyhow::Error::from).flatten();
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    /// Closes the connection; the next request opens another.
    pub(crate) fn close(&mut self) {
        self.connection = None;
    }

    async fn ask_unbounded(&mut self, request: &[u8]) -> Result<Answer> {
        let mut stream = match self.connection.take() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        stream.write_all(request).await?;
        let answer = read(&mut stream).await?;
        self.connection = Some(stream);
        Ok(answer)
    }

    async fn connect(&mut self) -> Result<TlsStream<TcpStream>> {
        self.connected = (self.connected + 1) % ADDRESSES;
        let last = u8::try_from(2 + self.connected).unwrap_or(2);
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 1, last)), 0))?;
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        self.connector.connect(name, stream).await.context("the handshake")
    }
}

async fn read(stream: &mut TlsStream<TcpStream>) -> Result<Answer> {
    let mut bytes = Vec::with_capacity(8 * 1_024);
    let head_end = loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            break at;
        }
        ensure!(stream.read_buf(&mut bytes).await? > 0, "closed before an answer");
    };
    let head = String::from_utf8_lossy(bytes.get(..head_end).unwrap_or_default()).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.context("no status")?;
    let field = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    };
    let is_chunked = field("transfer-encoding") == Some("chunked");
    let length = field("content-length").map_or(Ok(0), str::parse::<usize>)?;
    let body_at = head_end + 4;
    loop {
        let body = bytes.get(body_at..).unwrap_or_default();
        let is_whole = match is_chunked {
            true => body == b"0\r\n\r\n" || body.ends_with(b"\r\n0\r\n\r\n"),
            false => body.len() >= length,
        };
        if is_whole {
            return Ok(Answer { status, bytes, body_at, is_chunked });
        }
        ensure!(stream.read_buf(&mut bytes).await? > 0, "closed within an answer");
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// RFC 9112 §7.1, without extensions and trailers.
fn unchunked(raw: &[u8]) -> Result<Vec<u8>> {
    let (mut body, mut rest) = (Vec::new(), raw);
    while let Some(line_end) = find(rest, b"\r\n") {
        let (line, behind) = rest.split_at(line_end);
        let length = usize::from_str_radix(std::str::from_utf8(line)?, 16)?;
        if length == 0 {
            return Ok(body);
        }
        let behind = behind.get(2..).unwrap_or_default();
        let Some((chunk, after)) = behind.split_at_checked(length) else { break };
        body.extend_from_slice(chunk);
        rest = after.get(2..).unwrap_or_default();
    }
    bail!("a body that does not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together() {
        assert_eq!(
            unchunked(b"3\r\nabc\r\n0a\r\n0123456789\r\n0\r\n\r\n").unwrap(),
            b"abc0123456789"
        );
        assert!(unchunked(b"3\r\nabc\r\n").is_err());
        assert!(unchunked(b"9\r\nabc\r\n").is_err());
    }
}
