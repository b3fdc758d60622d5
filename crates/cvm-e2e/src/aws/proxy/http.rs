//! As much of HTTP/1.1 as the proxy needs: one whole message at a time.

use std::io::{BufRead, Write};

use anyhow::{Context, Result, ensure};

/// A request as it came.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// The next request of a connection; none where the caller closed it.
    pub(super) fn read(stream: &mut (impl BufRead + Write)) -> Result<Option<Self>> {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next(), words.next());
        let (method, target) = (method.context("no method")?, target.context("no target")?);
        let fields = read_fields(stream)?;
        let mut request = Self { method, target, fields, body: Vec::new() };
        if request.field("expect").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.body = if request.field("transfer-encoding").is_some() {
            read_chunks(stream)?
        } else {
            let length = request.field("content-length").map_or(Ok(0), str::parse)?;
            let mut body = vec![0; length];
            stream.read_exact(&mut body)?;
            body
        };
        Ok(Some(request))
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_str())
    }

    /// The same for another hop, that ends with its answer.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        const OF_THE_HOP: [&str; 4] =
            ["connection", "expect", "transfer-encoding", "content-length"];
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let is_kept =
            |name: &str| !OF_THE_HOP.iter().any(|dropped| name.eq_ignore_ascii_case(dropped));
        for (name, value) in self.fields.iter().filter(|(name, _)| is_kept(name)) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\nConnection: close\r\n\r\n", self.body.len()));
        [head.into_bytes(), self.body.clone()].concat()
    }
}

fn read_fields(stream: &mut impl BufRead) -> Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let mut line = String::new();
        ensure!(stream.read_line(&mut line)? > 0, "the head ends early");
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(fields) };
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn read_chunks(stream: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).context("a chunk without its size")?;
        if size == 0 {
            read_fields(stream)?;
            return Ok(body);
        }
        let begun = body.len();
        body.resize(begun + size, 0);
        stream.read_exact(body.get_mut(begun..).unwrap_or_default())?;
        stream.read_line(&mut String::new())?;
    }
}

/// A whole answer, said to be the last of its connection.
pub(super) fn closing(answer: &[u8]) -> Result<Vec<u8>> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("no whole head")?;
    let (head, rest) = answer.split_at(end);
    let head = std::str::from_utf8(head).context("a head that is not text")?;
    let lines = head.lines().filter(|line| {
        let name = line.split(':').next().unwrap_or_default();
        !name.eq_ignore_ascii_case("connection") && !name.eq_ignore_ascii_case("keep-alive")
    });
    let mut head: String = lines.map(|line| format!("{line}\r\n")).collect();
    head.push_str("Connection: close");
    Ok([head.as_bytes(), rest].concat())
}
