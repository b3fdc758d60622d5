//! A server in the test's own process, with the real one's certificate, that takes imports and
//! answers each row as the test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use cvm_e2e::Environment;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// How long a client may take for its next bytes.
const PROGRESS_WITHIN: Duration = Duration::from_secs(60);

/// What is said to a row.
#[derive(Clone, Debug)]
pub(super) enum Say {
    /// A line with this status.
    Answer(u16),
    /// A line with this status and so many bytes that nobody asked for.
    AtLength(u16, usize),
    /// Nothing, and the connection ends.
    HangUp,
    /// This line.
    Line(String),
}

type Judge = dyn Fn(&Value) -> Say + Send + Sync;
type Stream = BufReader<StreamOwned<ServerConnection, TcpStream>>;

/// A data directory, and a server on it that is not the real one; it stays up as long as the test's
/// process.
pub(super) struct StandIn {
    pub(super) environment: Environment,
    url: String,
}

impl StandIn {
    /// Answers each row as `judge` says.
    pub(super) fn start(judge: impl Fn(&Value) -> Say + Send + Sync + 'static) -> Self {
        let environment = Environment::new(&[]).unwrap();
        environment.init(&["--unsealed"]).unwrap();
        let config = Arc::new(config(&environment.data().join("server")).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let judge: Arc<Judge> = Arc::new(judge);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, judge) = (config.clone(), judge.clone());
                // Connections that end are what the tests are about.
                std::thread::spawn(move || drop(speak(stream, config, &*judge)));
            }
        });
        Self { environment, url }
    }

    /// Runs an import from this server to its end: exit code, standard output, standard error.
    pub(super) fn import(&self, arguments: &[&str]) -> (i32, String, String) {
        super::import(&self.environment, &[arguments, &["--server", &self.url]].concat())
    }
}

fn config(server: &Path) -> Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(server.join("cert.pem"))?;
    let key = PrivateKeyDer::from_pem_file(server.join("key.pem"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain.collect::<Result<_, _>>()?, key)?)
}

fn speak(stream: TcpStream, config: Arc<ServerConfig>, judge: &Judge) -> Result<()> {
    stream.set_read_timeout(Some(PROGRESS_WITHIN))?;
    stream.set_write_timeout(Some(PROGRESS_WITHIN))?;
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config)?, stream));
    loop {
        let rows = read_head(&mut stream)?;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        stream.get_mut().write_all(head.as_bytes())?;
        answer(&mut stream, rows, judge)?;
        stream.get_mut().write_all(b"0\r\n\r\n")?;
        stream.get_mut().flush()?;
    }
}

/// Answers each row before it reads the next: who does not read the answers is not read.
fn answer(stream: &mut Stream, length: u64, judge: &Judge) -> Result<()> {
    let (mut read, mut number) = (0, 0);
    while read < length {
        let mut row = String::new();
        read += stream.by_ref().take(length - read).read_line(&mut row)? as u64;
        number += 1;
        let row: Value = serde_json::from_str(&row)?;
        let line = |status: u16, more: usize| {
            let serial = row["serialNumber"].clone();
            let mut line = json!({"line": number, "status": status, "serialNumber": serial});
            if status >= 400 {
                let kind = "/problems/unknown-policy";
                line["problem"] = json!({"type": kind, "title": "t", "status": status, "detail": "says the test"});
            }
            if more > 0 {
                line["more"] = "x".repeat(more).into();
            }
            line.to_string()
        };
        let line = match judge(&row) {
            Say::Answer(status) => line(status, 0),
            Say::AtLength(status, more) => line(status, more),
            Say::HangUp => return Err(anyhow::anyhow!("as the test says")),
            Say::Line(line) => line,
        };
        write!(stream.get_mut(), "{:x}\r\n{line}\n\r\n", line.len() + 1)?;
    }
    Ok(())
}

/// Reads the head of a request, and returns the length of its body.
fn read_head(stream: &mut Stream) -> Result<u64> {
    let mut length = None;
    loop {
        let mut line = String::new();
        anyhow::ensure!(stream.read_line(&mut line)? > 0, "the client hung up");
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = Some(text.parse()?);
        }
        if line.is_empty() {
            return length.context("no length");
        }
    }
}
