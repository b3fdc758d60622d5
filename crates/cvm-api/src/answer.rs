//! Answers as they leave: status, fields, body; one way for successes and one for problems.

use bytes::Bytes;
use cvm_core::id::AttemptCode;
use cvm_core::provisioning::FollowUp;
use cvm_core::time::Span;
use cvm_wire::problem::{MEDIA_TYPE, Problem};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::problem::{Refused, Slug, kind_of};
use crate::stream::Content;

/// Room for every answer that holds a secret, so that it is never moved while it grows: chain,
/// roots and an RSA key in PEM are some 10 KiB.
pub(crate) const SECRET_BYTES: usize = 32 * 1_024;

/// A success.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) media_type: Option<&'static str>,
    pub(crate) body: Content,
    /// How long caches may keep it; by default nobody may.
    pub(crate) max_age: Option<Span>,
}

impl Answer {
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, media_type: None, body: Bytes::new().into(), max_age: None }
    }

    pub(crate) fn text(media_type: &'static str, body: impl Into<Bytes>) -> Self {
        let (status, media_type) = (StatusCode::OK, Some(media_type));
        Self { status, media_type, body: body.into().into(), max_age: None }
    }

    /// A JSON body; zeroized once it has left, whatever it holds.
    pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Result<Self, Refused> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES));
        serde_json::to_writer(&mut *bytes, value)
            .map_err(|error| Refused::internal(&error.to_string()))?;
        let body = Bytes::from_owner(bytes).into();
        Ok(Self { status, media_type: Some("application/json"), body, max_age: None })
    }
}

/// What became of a request, and what follows from it once the answer has left.
pub(crate) struct Outcome {
    pub(crate) result: Result<Answer, Refused>,
    pub(crate) follow_up: Option<FollowUp>,
}

impl Outcome {
    /// The outcome of a use case that has something to do after the answer.
    pub(crate) fn followed((result, follow_up): (Result<Answer, Refused>, FollowUp)) -> Self {
        Self { result, follow_up: Some(follow_up) }
    }

    /// Tells the log what the caller is not told.
    pub(crate) fn log_cause(&self) {
        if let Err(Refused { slug, cause: Some(cause), .. }) = &self.result {
            tracing::error!(problem = slug.as_str(), cause, "request failed");
        }
    }
}

impl From<Result<Answer, Refused>> for Outcome {
    fn from(result: Result<Answer, Refused>) -> Self {
        Self { result, follow_up: None }
    }
}

impl From<Refused> for Outcome {
    fn from(refused: Refused) -> Self {
        Err(refused).into()
    }
}

/// A request without an answer so far; the log is told where that does not change.
#[derive(Debug, Default)]
pub(crate) struct Unanswered {
    is_answered: bool,
}

impl Unanswered {
    pub(crate) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if !self.is_answered {
            tracing::info!("given up by who asked: what was begun is finished");
        }
    }
}

/// The answer on the wire, without what its body sets off.
pub(crate) fn response(result: Result<Answer, Refused>, attempt: AttemptCode) -> Response<Content> {
    let (status, media_type, body, mut fields) = match result {
        Ok(answer) => {
            let fields = answer_fields(answer.max_age);
            (answer.status, answer.media_type, answer.body, fields)
        }
        Err(refused) => {
            let status = StatusCode::from_u16(refused.slug.status())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let fields = problem_fields(&refused);
            (status, Some(MEDIA_TYPE), problem_body(refused, attempt).into(), fields)
        }
    };
    if let Some(media_type) = media_type {
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    fields.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}

/// A problem document with the one member that a 202 and a 401 may have besides.
#[derive(Serialize)]
struct Body {
    #[serde(flatten)]
    problem: Problem,
    #[serde(skip_serializing_if = "Option::is_none")]
    review: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<bool>,
}

fn answer_fields(max_age: Option<Span>) -> HeaderMap {
    let mut fields = HeaderMap::new();
    let seconds = max_age.map(|age| format!("public, max-age={}", age.0.max(0)));
    if let Some(value) = seconds.and_then(|text| HeaderValue::try_from(text).ok()) {
        fields.insert(header::CACHE_CONTROL, value);
    }
    fields
}

fn problem_body(refused: Refused, attempt: AttemptCode) -> Bytes {
    let problem = Problem {
        kind: kind_of(refused.slug),
        title: refused.slug.title().to_owned(),
        status: refused.slug.status(),
        detail: refused.detail.into_owned(),
        attempt: attempt.to_string(),
    };
    let review = refused.review.map(|review| review.to_string());
    let signed = refused.is_signable.then_some(true);
    serde_json::to_vec(&Body { problem, review, signed }).unwrap_or_default().into()
}

fn problem_fields(refused: &Refused) -> HeaderMap {
    let mut fields = HeaderMap::new();
    let mut put = |name: HeaderName, text: String| {
        if let Ok(value) = HeaderValue::try_from(text) {
            fields.insert(name, value);
        }
    };
    if let Some(wait) = refused.retry_after {
        put(header::RETRY_AFTER, wait.0.max(1).to_string());
    }
    if let Some(allow) = &refused.allow {
        put(header::ALLOW, allow.clone());
    }
    if refused.slug == Slug::Unauthenticated {
        put(header::WWW_AUTHENTICATE, String::from("Bearer"));
    }
    fields
}
