//! The smallest HTTPS server: one thread per connection, everything it reads kept.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::pki::{Pki, ServerIdentity};

/// No test waits longer for a peer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// Method and path.
    pub(crate) what: String,
    pub(crate) body: Vec<u8>,
    /// The client's certificate, if it showed one.
    pub(crate) shown: Option<Vec<u8>>,
}

/// What to do about it.
pub(crate) enum Answer {
    /// Closes without a word.
    HangUp,
    Reply(u16, &'static str, String),
}

impl Answer {
    pub(crate) fn json(status: u16, body: String) -> Self {
        Self::Reply(status, "", body)
    }
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// The plaintext of every connection whose handshake succeeded.
    pub(crate) heard: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves as `identity`; client certificates under `pki` are asked for and not demanded.
    pub(crate) fn start(
        identity: ServerIdentity,
        pki: &Pki,
        handler: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(pki.root.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .allow_unauthenticated()
                .build()
                .unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(identity.chain, identity.key)
            .unwrap();
        let config = Arc::new(config);
        let handler: Arc<Handler> = Arc::new(handler);
        Self::listen(move |stream, heard| serve(stream, &config, &*handler, heard))
    }

    /// Accepts connections and does with each what it is told.
    pub(crate) fn listen(
        each: impl Fn(TcpStream, &Mutex<Vec<Vec<u8>>>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (told, kept, each) = (Arc::clone(&stop), Arc::clone(&heard), Arc::new(each));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if told.load(Ordering::SeqCst) {
                    break;
                }
                let (kept, each) = (Arc::clone(&kept), Arc::clone(&each));
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                std::thread::spawn(move || each(stream, &kept));
            }
        });
        Self { address, heard, stop, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn serve(
    mut stream: TcpStream,
    config: &Arc<ServerConfig>,
    handler: &Handler,
    heard: &Mutex<Vec<Vec<u8>>>,
) {
    let mut connection = ServerConnection::new(Arc::clone(config)).unwrap();
    while connection.is_handshaking() {
        if connection.complete_io(&mut stream).is_err() {
            return;
        }
    }
    let place = {
        let mut heard = heard.lock();
        heard.push(Vec::new());
        heard.len() - 1
    };
    let mut tls = StreamOwned::new(connection, stream);
    while let Some(mut request) = read_request(&mut tls, &mut |bytes| {
        heard.lock()[place].extend_from_slice(bytes);
    }) {
        let shown = tls.conn.peer_certificates().and_then(|chain| chain.first());
        request.shown = shown.map(|leaf| leaf.to_vec());
        let Answer::Reply(status, headers, body) = handler(&request) else {
            return;
        };
        let length = body.len();
        let reply = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n");
        if tls.write_all(reply.as_bytes()).is_err() || tls.write_all(body.as_bytes()).is_err() {
            return;
        }
    }
}

fn read_request(stream: &mut impl Read, hear: &mut dyn FnMut(&[u8])) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if let Some(request) = parse(&bytes) {
            return Some(request);
        }
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
        hear(&buffer[..length]);
        bytes.extend_from_slice(&buffer[..length]);
    }
}

fn parse(bytes: &[u8]) -> Option<Request> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let field = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
        })
    };
    // Of chunked bodies, the client sends empty ones: their end alone.
    let length = match field("transfer-encoding") {
        Some(_) => b"0\r\n\r\n".len(),
        None => field("content-length").map_or(0, |length| length.parse().unwrap()),
    };
    let body = bytes.get(end..end + length)?.to_vec();
    let what = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
    Some(Request { what, body, shown: None })
}
