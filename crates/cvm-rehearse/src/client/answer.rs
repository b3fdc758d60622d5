//! Reading one answer: its head by `httparse`, its body by its length.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::NoAnswer;

/// A page of a thousand devices has less.
const BYTES_MAX: usize = 16 * 1_024 * 1_024;
const FIELDS_MAX: usize = 64;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    /// Whether the server closes the connection after it.
    pub(crate) is_last: bool,
    /// From connect to its last byte.
    pub(crate) took: Duration,
    bytes: Vec<u8>,
    body_at: usize,
}

impl Answer {
    pub(crate) fn body(&self) -> &[u8] {
        self.bytes.get(self.body_at..).unwrap_or_default()
    }

    pub(crate) fn is_success(&self) -> bool {
        // A 202 says that a human has to say yes.
        (200..300).contains(&self.status) && self.status != 202
    }

    #[cfg(test)]
    pub(crate) fn of(status: u16, body: &[u8]) -> Self {
        let (bytes, took) = (body.to_vec(), Duration::ZERO);
        Self { status, retry_after: None, is_last: true, took, bytes, body_at: 0 }
    }
}

/// Reads an answer; where it is to be lost, at most `lost_at` bytes of it.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    lost_at: Option<usize>,
) -> Result<Answer, NoAnswer> {
    let mut bytes = Vec::with_capacity(8 * 1_024);
    let mut head = None;
    loop {
        if head.is_none() {
            head = parse(&bytes)?;
        }
        let is_whole = head.as_ref().is_some_and(|head| bytes.len() >= head.length);
        if lost_at.is_some_and(|at| is_whole || bytes.len() >= at) {
            return Err(NoAnswer::Lost);
        }
        match head.take_if(|_| is_whole) {
            Some(Head { length, mut answer }) => {
                bytes.truncate(length);
                answer.bytes = bytes;
                return Ok(answer);
            }
            None if bytes.len() > BYTES_MAX => return Err(bad("the answer does not end")),
            None => {}
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

/// An answer whose body is still on its way.
struct Head {
    /// Of head and body.
    length: usize,
    answer: Answer,
}

fn parse(bytes: &[u8]) -> Result<Option<Head>, NoAnswer> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut fields);
    let status = parsed.parse(bytes).map_err(|_| bad("the answer is not HTTP/1.1"))?;
    let httparse::Status::Complete(body_at) = status else { return Ok(None) };
    let field = |name: &str| {
        let found = parsed.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok().map(str::trim)
    };
    let status = parsed.code.unwrap_or_default();
    let length: Option<usize> = field("content-length").and_then(|text| text.parse().ok());
    let length = match (length, status) {
        (Some(length), _) => length,
        // RFC 9110, section 15.3.5.
        (None, 204) => 0,
        (None, _) => return Err(bad("the answer does not say how long it is")),
    };
    let seconds = field("retry-after").and_then(|text| text.parse().ok());
    let is_last = field("connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
    let retry_after = seconds.map(Duration::from_secs);
    let (bytes, took) = (Vec::new(), Duration::ZERO);
    let answer = Answer { status, retry_after, is_last, took, bytes, body_at };
    Ok(Some(Head { length: body_at.saturating_add(length), answer }))
}

fn bad(what: &str) -> NoAnswer {
    NoAnswer::Broken(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(text: &str, lost_at: Option<usize>) -> Result<Answer, NoAnswer> {
        read(&mut text.as_bytes(), lost_at).await
    }

    const WHOLE: &str = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\n\
                         connection: close\r\ncontent-length: 3\r\n\r\nabcNEXT";

    #[tokio::test]
    async fn an_answer_ends_where_its_length_says() {
        let answer = read_all(WHOLE, None).await.unwrap();
        assert_eq!((answer.status, answer.body(), answer.is_last), (429, &b"abc"[..], true));
        assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
        let empty = read_all("HTTP/1.1 204 No Content\r\n\r\n", None).await.unwrap();
        assert!(empty.is_success() && empty.body().is_empty() && !empty.is_last);
    }

    #[tokio::test]
    async fn what_is_to_be_lost_is_lost_wherever_it_ends() {
        for at in [1, 40, WHOLE.len(), 4_000] {
            assert!(matches!(read_all(WHOLE, Some(at)).await, Err(NoAnswer::Lost)), "{at}");
        }
    }

    #[tokio::test]
    async fn what_is_no_whole_answer_is_none() {
        let cut = WHOLE.split("bcNEXT").next().unwrap();
        for text in ["", "SSH-2.0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", cut] {
            assert!(matches!(read_all(text, None).await, Err(NoAnswer::Broken(_))), "{text:?}");
        }
    }
}
