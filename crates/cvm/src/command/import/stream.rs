//! `POST /v1/devices:import` over one connection: rows out and answers in, both at once, because a
//! server whose answers are not read stops reading.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use cvm_agent::client::Client;
use cvm_agent::error::Error;
use cvm_core::error::chain_of;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::Authority;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::cli::ServerArgs;
use crate::command::remote;
use crate::failure::{Exit, Failure};

const PATH: &str = "/v1/devices:import";
const ROWS: &str = "application/x-ndjson";
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Without a byte for so long the connection is given up.
const PROGRESS_WITHIN: Duration = Duration::from_secs(60);
/// A problem document, and more than any answer to a row.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why an exchange ended before its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The same again will end the same.
    Lasting(Failure),
    /// The same again may succeed.
    Passing {
        /// What happened.
        failure: Failure,
        /// How long the server asks to wait.
        wait: Option<Duration>,
    },
}

impl Trouble {
    pub(super) fn passing(what: impl Into<String>) -> Self {
        Self::Passing { failure: Failure::new(Exit::Failed, what), wait: None }
    }

    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Lasting(failure) | Self::Passing { failure, .. } => failure,
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let wait = error.retry_after();
        match error {
            later @ Error::TryLater { .. } => {
                Self::Passing { failure: remote::operator_failure(later), wait }
            }
            other @ (Error::BadAnswer { .. }
            | Error::Local { .. }
            | Error::LocalContent { .. }
            | Error::NotPinned { .. }
            | Error::Refused(_)
            | Error::Usage(_)) => Self::Lasting(remote::operator_failure(other)),
        }
    }
}

/// Who takes the answers.
pub(super) trait Answers {
    /// Takes the answer to the next row, a line without its end.
    fn take(&mut self, line: &[u8]) -> Result<(), Failure>;
}

/// A connection on which the server has said that rows may come.
pub(super) struct Connection {
    client: Client,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects to the server that `args` name now, and asks with an import of nothing whether it
    /// takes ours: who is refused before anything was sent reads why.
    pub(super) async fn open(args: &ServerArgs) -> Result<Self, Trouble> {
        // A server that was started anew may be somewhere else, and may not be there yet.
        let client = remote::connect(args).map_err(|failure| match failure.exit {
            Exit::Failed => Trouble::Passing { failure, wait: None },
            Exit::Configuration | Exit::Files | Exit::Later | Exit::NotPinned | Exit::Usage => {
                Trouble::Lasting(failure)
            }
        })?;
        let sender = connect(&client).await?;
        let mut connection = Self { client, sender };
        connection.exchange(Bytes::new(), &mut Nothing).await?;
        Ok(connection)
    }

    /// Sends rows and hands their answers on as they come.
    pub(super) async fn exchange(
        &mut self,
        rows: Bytes,
        answers: &mut dyn Answers,
    ) -> Result<(), Trouble> {
        let request = self.request(rows)?;
        let server = self.client.server();
        let answered = in_time(&server, async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        });
        let answer = answered.await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refusal(answer).await);
        }
        let mut body = answer.into_body();
        let mut line = Vec::new();
        while let Some(frame) = in_time(&server, async { body.frame().await.transpose() }).await? {
            if let Ok(data) = frame.into_data() {
                split(&data, &mut line, answers)?;
            }
        }
        match line.is_empty() {
            true => Ok(()),
            false => Err(Trouble::passing("the server's answer ended in the middle of a line")),
        }
    }

    fn request(&self, rows: Bytes) -> Result<Request<Full<Bytes>>, Trouble> {
        let mut request = Request::post(PATH)
            .header(HOST, self.client.authority())
            .header(CONTENT_TYPE, ROWS)
            .header(CONTENT_LENGTH, rows.len())
            .header(ACCEPT, "application/x-ndjson, application/problem+json")
            .header(USER_AGENT, "cvm");
        if let Some(value) = self.client.authorization()? {
            request = request.header(AUTHORIZATION, value);
        }
        request
            .body(Full::new(rows))
            .map_err(|error| Trouble::Lasting(Failure::new(Exit::Failed, error.to_string())))
    }

    /// What is to be done about an answer other than 200.
    async fn refusal(&self, answer: Response<Incoming>) -> Trouble {
        let (head, body) = answer.into_parts();
        let body = timeout(PROGRESS_WITHIN, Limited::new(body, ANSWER_BYTES_MAX).collect()).await;
        let body = body.ok().and_then(Result::ok).map(|body| body.to_bytes().to_vec());
        let body = Zeroizing::new(body.unwrap_or_default());
        match self.client.answer(head.status, &head.headers, body).accepted() {
            Err(error) => error.into(),
            Ok(_) => Trouble::Lasting(Failure::new(
                Exit::Failed,
                format!("{} answered {} to an import", self.client.server(), head.status),
            )),
        }
    }
}

async fn in_time<T>(
    server: &str,
    exchange: impl Future<Output = Result<T, hyper::Error>>,
) -> Result<T, Trouble> {
    match timeout(PROGRESS_WITHIN, exchange).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Trouble::passing(format!("{server}: {}", told(&error)))),
        Err(_) => {
            let seconds = PROGRESS_WITHIN.as_secs();
            Err(Trouble::passing(format!("{server}: no answer for {seconds} s")))
        }
    }
}

fn told(error: &hyper::Error) -> String {
    let mut is_end = error.is_incomplete_message();
    let mut source = error.source();
    while let Some(cause) = source {
        let fault = cause.downcast_ref::<io::Error>();
        is_end |= fault.is_some_and(|fault| fault.kind() == io::ErrorKind::UnexpectedEof);
        source = cause.source();
    }
    match is_end {
        true => String::from("the connection ended before the answer"),
        false => chain_of(error),
    }
}

/// Takes no answers, because nothing was asked.
struct Nothing;

impl Answers for Nothing {
    fn take(&mut self, _line: &[u8]) -> Result<(), Failure> {
        Err(Failure::new(Exit::Failed, "the server answered rows that were not sent"))
    }
}

/// Hands every whole line on, and keeps the begun one.
fn split(data: &[u8], begun: &mut Vec<u8>, answers: &mut dyn Answers) -> Result<(), Trouble> {
    for part in data.split_inclusive(|byte| *byte == b'\n') {
        match (part.strip_suffix(b"\n"), begun.is_empty()) {
            (Some(line), true) => answers.take(line).map_err(Trouble::Lasting)?,
            (Some(end), false) => {
                begun.extend_from_slice(end);
                answers.take(begun).map_err(Trouble::Lasting)?;
                begun.clear();
            }
            (None, _) if begun.len() + part.len() > ANSWER_BYTES_MAX => {
                let what = "the server's answer has a line without an end";
                return Err(Trouble::Lasting(Failure::new(Exit::Failed, what)));
            }
            (None, _) => begun.extend_from_slice(part),
        }
    }
    Ok(())
}

async fn connect(client: &Client) -> Result<SendRequest<Full<Bytes>>, Trouble> {
    let usage = |what: &str| Trouble::Lasting(Failure::new(Exit::Usage, what));
    let authority: Authority =
        client.authority().parse().map_err(|_| usage("the server's address cannot be read"))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(443);
    let name = ServerName::try_from(host.clone())
        .map_err(|_| usage("the server's host is no DNS name or address"))?;
    let shaken = async {
        let socket = TcpStream::connect((host.as_str(), port)).await?;
        socket.set_nodelay(true)?;
        TlsConnector::from(client.tls()).connect(name, socket).await
    };
    let stream = match timeout(CONNECT_WITHIN, shaken).await {
        Ok(stream) => stream.map_err(|error| Trouble::from(client.fault(error)))?,
        Err(_) => return Err(client.fault(io::Error::from(io::ErrorKind::TimedOut)).into()),
    };
    let hands = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = hands.map_err(|error| Trouble::passing(chain_of(&error)))?;
    // Its failures are those of the exchange on it.
    drop(tokio::spawn(async move { drop(connection.await) }));
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Taken(Vec<String>);

    impl Answers for Taken {
        fn take(&mut self, line: &[u8]) -> Result<(), Failure> {
            self.0.push(String::from_utf8(line.to_vec()).unwrap());
            Ok(())
        }
    }

    #[test]
    fn lines_are_whole_wherever_the_stream_is_cut() {
        let text = b"one\ntwo\n\nfour\nfive";
        for cut in 0..text.len() {
            let (mut taken, mut begun) = (Taken::default(), Vec::new());
            split(&text[..cut], &mut begun, &mut taken).unwrap();
            split(&text[cut..], &mut begun, &mut taken).unwrap();
            assert_eq!(taken.0, ["one", "two", "", "four"], "cut at {cut}");
            assert_eq!(begun, b"five");
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_collected_for_ever() {
        let (mut taken, mut begun) = (Taken::default(), Vec::new());
        let data = vec![b'x'; ANSWER_BYTES_MAX];
        split(&data, &mut begun, &mut taken).unwrap();
        let trouble = split(&data, &mut begun, &mut taken).unwrap_err();
        assert!(matches!(trouble, Trouble::Lasting(_)));
    }
}
