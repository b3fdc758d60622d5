//! The floor's server: TCP, TLS 1.3, one request, a fixed answer. It issues nothing: what it costs
//! no server in Rust can avoid.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// As long as an answer with leaf, chain and root.
const ANSWER_BYTES: usize = 3_000;

/// Requests are smaller.
const REQUEST_BYTES_MAX: usize = 16 * 1_024;

/// Serves until the process is ended.
pub(crate) fn run(listen: &str, chain: &Path, key: &Path) -> Result<()> {
    use aws_lc_rs::kx_group::{X25519, X25519MLKEM768};
    let kx_groups = vec![X25519MLKEM768, X25519];
    let provider = CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() };
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
    let builder = ServerConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13])?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key)?;
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let body: Arc<[u8]> = vec![b'x'; ANSWER_BYTES].into();
    for stream in TcpListener::bind(listen)?.incoming() {
        let (stream, config, body) = (stream?, config.clone(), body.clone());
        let _thread = std::thread::spawn(move || drop(serve(stream, config, &body)));
    }
    Ok(())
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, body: &[u8]) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = StreamOwned::new(ServerConnection::new(config)?, stream);
    let mut buffer = vec![0; REQUEST_BYTES_MAX];
    while let Some(head) = request(&mut stream, &mut buffer)? {
        let connection = if head.contains("connection: close") { "close" } else { "keep-alive" };
        let length = body.len();
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: {connection}\r\n\
             Content-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        answer.extend_from_slice(body);
        stream.write_all(&answer)?;
        stream.flush()?;
        if connection == "close" {
            stream.conn.send_close_notify();
            return Ok(stream.flush()?);
        }
    }
    Ok(())
}

/// Reads a whole request and returns its head in lower case; `None` at the connection's end.
fn request(
    stream: &mut StreamOwned<ServerConnection, TcpStream>,
    buffer: &mut [u8],
) -> Result<Option<String>> {
    let mut filled = 0;
    loop {
        let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) else {
            return Ok(None);
        };
        match stream.read(room) {
            Ok(0) => return Ok(None),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let bytes = buffer.get(..filled).unwrap_or_default();
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        if filled >= end + 4 + length {
            return Ok(Some(head));
        }
    }
}
