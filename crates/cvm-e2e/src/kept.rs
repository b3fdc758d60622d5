//! A client that keeps its connection from request to request, as devices and consoles do.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result};
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

use crate::client::{Client, Response, is_close, parse, request_bytes};

/// A client and its connection, as far as one is open.
#[derive(Debug)]
pub struct Kept {
    client: Client,
    open: Option<StreamOwned<ClientConnection, TcpStream>>,
}

impl Kept {
    /// The client, not connected yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, open: None }
    }

    /// A well-formed request on the connection that is open, or on a new one where the server closed
    /// that before it said anything.
    ///
    /// # Errors
    /// Where no whole answer comes.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: Option<&Value>,
    ) -> Result<Response> {
        let request = request_bytes(method, path, headers, body);
        if let Some(mut stream) = self.open.take()
            && let Some(response) = exchange(&mut stream, &request)?
        {
            self.open = Some(stream);
            return Ok(response);
        }
        let mut stream = self.client.connect()?;
        let response = exchange(&mut stream, &request)?.context("no answer on a new connection")?;
        self.open = Some(stream);
        Ok(response)
    }
}

/// One answer; none where the server closed the connection without a word.
fn exchange(
    stream: &mut StreamOwned<ClientConnection, TcpStream>,
    request: &[u8],
) -> Result<Option<Response>> {
    let _broken_pipe = stream.write_all(request);
    let _broken_pipe = stream.flush();
    let mut answer = Vec::new();
    let mut buffer = [0_u8; 16_384];
    while !is_whole(&answer)? {
        match stream.read(&mut buffer) {
            Ok(0) if answer.is_empty() => return Ok(None),
            Err(error) if is_close(error.kind()) && answer.is_empty() => return Ok(None),
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) => return Err(error.into()),
        }
    }
    parse(&answer).map(Some)
}

/// Whether all of an answer has come. Our server names every body's length.
fn is_whole(answer: &[u8]) -> Result<bool> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(false) };
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(Ok(0), |length| length.trim().parse())?;
    Ok(body.len() >= length)
}
