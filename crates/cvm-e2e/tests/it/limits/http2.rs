//! HTTP/2 frame by frame (RFC 9113), for what no well-behaved client sends.

use std::io::{Read, Write};

use cvm_e2e::Client;

use super::{Connection, SOON};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// Section 7.
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The error of a frame that ends with one, at `offset`.
    fn error_at(&self, offset: usize) -> u32 {
        u32::from_be_bytes(self.payload[offset..offset + 4].try_into().unwrap())
    }
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Answered(String),
    /// The stream was reset.
    Reset(u32),
    /// The connection was, or is about to be, closed.
    GoneAway(u32),
    /// The connection ended without a word.
    Cut,
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// RFC 7541, section 5.1 with a prefix of 7 bits, and the text uncompressed.
fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match u8::try_from(text.len()) {
        Ok(short) if short < 127 => bytes.push(short),
        _ => {
            bytes.push(127);
            let mut left = text.len() - 127;
            while left >= 128 {
                bytes.push(u8::try_from(left % 128 + 128).unwrap());
                left /= 128;
            }
            bytes.push(u8::try_from(left).unwrap());
        }
    }
    bytes.extend(text.as_bytes());
    bytes
}

/// A field that goes into no table.
pub(super) fn field(name: &str, value: &str) -> Vec<u8> {
    [vec![0], text(name), text(value)].concat()
}

/// The fields of `GET path`, or of `POST path` with a body of JSON.
pub(super) fn fields(method: &str, path: &str) -> Vec<u8> {
    // Of the static table: `:method`, `:scheme: https`; by name `:path`, `:authority`.
    let method_index = if method == "GET" { 0x82 } else { 0x83 };
    let mut block = vec![method_index, 0x87, 0x04];
    block.extend(text(path));
    block.push(0x01);
    block.extend(text("localhost"));
    if method == "POST" {
        block.extend(field("content-type", "application/json"));
    }
    block
}

/// A connection that has said its preface.
pub(super) struct Http2(Connection);

impl Http2 {
    pub(super) fn connect(client: &Client) -> Self {
        Self::with_settings(client, &[])
    }

    pub(super) fn with_settings(client: &Client, settings: &[u8]) -> Self {
        let mut stream = client.clone().asking_for_http2().connect().unwrap();
        stream.sock.set_write_timeout(Some(SOON)).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let mut http2 = Self(stream);
        http2.send(&frame(SETTINGS, 0, 0, settings)).unwrap();
        // Their settings hold once they are acknowledged.
        let theirs = http2.read().unwrap();
        assert_eq!((theirs.kind, theirs.flags), (SETTINGS, 0));
        http2.send(&frame(SETTINGS, ACK, 0, &[])).unwrap();
        http2
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    pub(super) fn get(&mut self, stream: u32, path: &str) {
        let block = fields("GET", path);
        self.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)).unwrap();
    }

    /// A request whose body is one byte short of the end.
    pub(super) fn begin_post(&mut self, stream: u32, path: &str) {
        let head = frame(HEADERS, END_HEADERS, stream, &fields("POST", path));
        self.send(&[head, frame(DATA, 0, stream, b"{")].concat()).unwrap();
    }

    pub(super) fn finish_post(&mut self, stream: u32) {
        self.send(&frame(DATA, END_STREAM, stream, b"}")).unwrap();
    }

    /// The next frame; none where the connection has ended.
    pub(super) fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// What becomes of the request on `stream`; frames of others are not looked at.
    pub(super) fn end_of(&mut self, stream: u32) -> End {
        let mut body = Vec::new();
        while let Some(frame) = self.read() {
            match frame.kind {
                GOAWAY if frame.error_at(4) != 0 => return End::GoneAway(frame.error_at(4)),
                RST_STREAM if frame.stream == stream => return End::Reset(frame.error_at(0)),
                DATA | HEADERS if frame.stream == stream => {
                    if frame.kind == DATA {
                        body.extend_from_slice(&frame.payload);
                    }
                    if frame.flags & END_STREAM != 0 {
                        return End::Answered(String::from_utf8(body).unwrap());
                    }
                }
                _ => {}
            }
        }
        End::Cut
    }

    /// How the connection ends, which it has to.
    pub(super) fn end(&mut self) -> End {
        self.end_of(u32::MAX)
    }
}
