//! One request and its answer, both bounded.

use std::fmt;
use std::time::Duration;

use cvm_wire::problem::{Pending, Problem};
use cvm_wire::signed::{self, Flattened};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use zeroize::Zeroizing;

use super::address::{Address, encode};
use super::{Client, fault};
use crate::error::{Error, Refusal};

/// `contract.md`, section 2: bodies are at most 64 KiB.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// None of our answers comes near it.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
const JSON: &str = "application/json";

/// A request that is not sent yet.
#[must_use = "a request does nothing until it is sent"]
pub struct Request<'c> {
    client: &'c Client,
    builder: http::request::Builder,
    path: String,
    body: Result<Option<Zeroizing<Vec<u8>>>, Error>,
}

impl<'c> Request<'c> {
    pub(super) fn new(client: &'c Client, method: http::Method, path: &str) -> Self {
        Self {
            client,
            builder: http::Request::builder().method(method),
            path: path.to_owned(),
            body: Ok(None),
        }
    }

    /// Adds a query parameter.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.path.push(match self.path.contains('?') {
            true => '&',
            false => '?',
        });
        self.path.push_str(&encode(name, false));
        self.path.push('=');
        self.path.push_str(&encode(value, false));
        self
    }

    /// Sends an `Idempotency-Key`, so that the same request can be repeated.
    pub fn idempotency_key(mut self, key: &str) -> Self {
        self.builder = self.builder.header("idempotency-key", key);
        self
    }

    /// Sends a JSON body.
    pub fn json(self, value: &impl Serialize) -> Self {
        self.body(JSON, value)
    }

    /// Sends a signed request.
    pub(super) fn signed(self, value: &Flattened) -> Self {
        self.body(signed::MEDIA_TYPE, value)
    }

    fn body(mut self, media_type: &'static str, value: &impl Serialize) -> Self {
        // Full size from the start: a buffer that grows leaves copies of a token behind.
        let mut body = Zeroizing::new(Vec::with_capacity(REQUEST_BYTES_MAX));
        self.body = match serde_json::to_writer(&mut *body, value) {
            Err(fault) => Err(Error::Usage(format!("the request is not JSON: {fault}"))),
            Ok(()) if body.len() > REQUEST_BYTES_MAX => {
                Err(Error::Usage(format!("the request is longer than {REQUEST_BYTES_MAX} bytes")))
            }
            Ok(()) => Ok(Some(body)),
        };
        self.builder = self.builder.header(CONTENT_TYPE, media_type);
        self
    }

    /// Sends it and returns what was answered, whatever the status.
    ///
    /// # Errors
    /// If there was no answer, or not one of our server.
    pub fn send(self) -> Result<Response, Error> {
        let Self { client, mut builder, path, body } = self;
        let usage = |what: &str| Error::Usage(format!("{what} cannot be sent"));
        if let Some(value) = client.authorization()? {
            builder = builder.header(AUTHORIZATION, value);
        }
        let builder = builder.uri(client.address.url(&path));
        let answer = match &body? {
            None => client.agent.run(builder.body(()).map_err(|_| usage("the request"))?),
            Some(body) => {
                let body = body.as_slice();
                client.agent.run(builder.body(body).map_err(|_| usage("the request"))?)
            }
        };
        let answer = answer.map_err(|error| fault::from_ureq(error, &client.address))?;
        let retry_after = retry_after(answer.headers());
        let status = answer.status().as_u16();
        let body = read_body(answer, &client.address)?;
        Ok(Response { server: client.address.to_string(), status, retry_after, body })
    }

    /// Sends it and reads the answer's JSON.
    ///
    /// # Errors
    /// As [`Self::send`], [`Response::accepted`] and [`Response::json`].
    pub fn fetch<T: DeserializeOwned>(self) -> Result<T, Error> {
        self.send()?.accepted()?.json()
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", self.path)
    }
}

pub(super) fn read_body(
    mut answer: http::Response<ureq::Body>,
    address: &Address,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let body = answer
        .body_mut()
        .with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_vec()
        .map_err(|error| fault::from_ureq(error, address))?;
    Ok(Zeroizing::new(body))
}

/// RFC 9110, section 10.2.3, in seconds; our server sends no dates.
pub(super) fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse();
    seconds.ok().map(Duration::from_secs)
}

/// What was answered. Its body may hold secrets: it is zeroized and not printed.
pub struct Response {
    pub(super) server: String,
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Response {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// How long the server asks to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The answer, if it is the one asked for: a status from 200 to 299, but not 202, which means
    /// that somebody has to decide first.
    ///
    /// # Errors
    /// [`Error::TryLater`] for 202, 408, 429 and from 500, else [`Error::Refused`].
    pub fn accepted(self) -> Result<Self, Error> {
        if matches!(self.status, 200..=299) && self.status != 202 {
            return Ok(self);
        }
        let refusal = Refusal {
            server: self.server,
            status: self.status,
            problem: serde_json::from_slice::<Problem>(&self.body).ok(),
            review: serde_json::from_slice(&self.body).ok().and_then(review),
        };
        Err(match self.status {
            202 | 408 | 429 | 500.. => Error::TryLater {
                what: format!("{refusal}{}", advice(&refusal, self.retry_after)),
                retry_after: self.retry_after,
                refusal: Some(Box::new(refusal)),
            },
            _ => Error::Refused(Box::new(refusal)),
        })
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// [`Error::BadAnswer`] if it is not what was asked for.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|fault| Error::BadAnswer {
            server: self.server.clone(),
            // Where, not what: the text may be a secret.
            what: format!(
                "the answer is not the JSON that was expected (line {}, column {})",
                fault.line(),
                fault.column()
            ),
        })
    }
}

/// The name of a review: something that can be typed as it is.
fn review(pending: Pending) -> Option<String> {
    const CHARACTERS_MAX: usize = 64;
    let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let length = 1..=CHARACTERS_MAX;
    Some(pending.review).filter(|text| length.contains(&text.len()) && is_plain(text))
}

fn advice(refusal: &Refusal, wait: Option<Duration>) -> String {
    let told = refusal.problem.as_ref().map_or("", |problem| problem.detail.as_str());
    let who = match (refusal.status, &refusal.review) {
        // Where the server's own words name the review, they say what to type as well.
        (202, Some(review)) if told.contains(review.as_str()) => String::new(),
        (202, Some(review)) => {
            format!(
                "; an operator has to say yes to review {review}: `cvm review approve {review}`"
            )
        }
        (202, None) => "; an operator has to approve it (`cvm review list`)".to_owned(),
        _ => String::new(),
    };
    match wait {
        Some(wait) => format!("{who}; try again in {} s", wait.as_secs()),
        None => format!("{who}; try again later"),
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.body.len();
        write!(f, "Response({}, {length} bytes)", self.status)
    }
}
