//! Bodies in: their media type, their size, their time.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use cvm_wire::signed;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, TRANSFER_ENCODING};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::limit::Limits;
use crate::problem::{Refused, Slug};

/// The media type of lines of JSON (github.com/ndjson/ndjson-spec; none is registered).
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// How much of a refused body is read and thrown away, so that its sender, who writes before it
/// reads, sees the answer and not a reset connection.
const DISCARDED_BYTES_MAX: usize = 256 * 1_024;

/// How long that may take.
const DISCARDING_MAX: Duration = Duration::from_secs(1);

/// That the body says it is JSON: `application/json`, in UTF-8, not compressed.
pub(crate) fn require_json(fields: &HeaderMap) -> Result<(), Refused> {
    let detail = "send the body as it is, with Content-Type: application/json";
    require("application/json", fields, detail)
}

/// That the body says it is JSON, or a signed request, in UTF-8, not compressed.
pub(crate) fn require_json_or_signed(fields: &HeaderMap) -> Result<(), Refused> {
    if is_of(signed::MEDIA_TYPE, fields) {
        return Ok(());
    }
    let detail = "send the body as it is, with Content-Type: application/json, or signed, with \
                  Content-Type: application/jose+json";
    require("application/json", fields, detail)
}

/// That the body says it is lines of JSON: `application/x-ndjson`, in UTF-8, not compressed.
pub(crate) fn require_lines(fields: &HeaderMap) -> Result<(), Refused> {
    let detail = "send the body as it is, with Content-Type: application/x-ndjson";
    require(NDJSON, fields, detail)
}

fn require(media_type: &str, fields: &HeaderMap, detail: &'static str) -> Result<(), Refused> {
    let refused = || Refused::new(Slug::UnsupportedMediaType, detail);
    is_of(media_type, fields).then_some(()).ok_or_else(refused)
}

/// Whether the body says it is of this type, in UTF-8, not compressed.
pub(crate) fn is_of(media_type: &str, fields: &HeaderMap) -> bool {
    let mut types = fields.get_all(CONTENT_TYPE).iter();
    let is_it = match (types.next().and_then(|value| value.to_str().ok()), types.next()) {
        (Some(text), None) => is_in_utf_8(media_type, text),
        (_, _) => false,
    };
    is_it && !fields.contains_key(CONTENT_ENCODING)
}

/// That no body is announced (RFC 9112 §6.3, RFC 9113 §8.1: neither length nor coding).
pub(crate) fn is_none(fields: &HeaderMap) -> bool {
    let is_chunked = fields.contains_key(TRANSFER_ENCODING);
    !is_chunked && !fields.contains_key(CONTENT_TYPE) && announced(fields).unwrap_or(0) == 0
}

fn is_in_utf_8(media_type: &str, text: &str) -> bool {
    let mut parts = text.split(';').map(str::trim);
    let is_type = parts.next().is_some_and(|part| part.eq_ignore_ascii_case(media_type));
    is_type
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
                value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            // RFC 8259 §11 defines no parameter; others mean nothing.
            Some(_) | None => true,
        })
}

/// The whole body, if it is not too large and comes in time; zeroized when dropped.
pub(crate) async fn read(
    fields: &HeaderMap,
    mut body: Body,
    limits: &Limits,
) -> Result<Zeroizing<Vec<u8>>, Refused> {
    let too_large = || {
        let detail = format!("a body has at most {} bytes", limits.body_bytes_max);
        Refused::new(Slug::TooLarge, detail)
    };
    if announced(fields).is_some_and(|length| length > limits.body_bytes_max) {
        discard(fields, body).await;
        return Err(too_large());
    }
    let bound = Duration::from_secs(limits.request_seconds_max);
    match timeout(bound, collect(&mut body, limits.body_bytes_max)).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => {
            discard(fields, body).await;
            Err(too_large())
        }
        Ok(Err(Broken)) => Err(ended_early()),
        Err(_) => Err(too_slow()),
    }
}

/// The connection failed in the middle of a body.
#[derive(Debug)]
pub(crate) struct Broken;

/// A body of any length, of which the first or next bytes may be there.
pub(crate) struct Unread {
    first: Option<Bytes>,
    rest: Body,
}

impl Unread {
    /// The next bytes; `None` at the end. Nothing is lost where this is not waited for.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.first.is_some() {
            return Ok(self.first.take());
        }
        while let Some(frame) = self.rest.frame().await {
            if let Ok(data) = frame.map_err(|_| Broken)?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Gives back the end of what came last, for the next time.
    pub(crate) fn put_back(&mut self, end: Bytes) {
        self.first = Some(end);
    }
}

/// The body, once its first bytes or its end have come: only then does who waits for
/// `100 Continue` send it, and only until then can it be answered that nothing came.
pub(crate) async fn begin(body: Body, limits: &Limits) -> Result<Unread, Refused> {
    let mut unread = Unread { first: None, rest: body };
    let bound = Duration::from_secs(limits.request_seconds_max);
    match timeout(bound, unread.next()).await {
        Ok(Ok(first)) => Ok(Unread { first, ..unread }),
        Ok(Err(Broken)) => Err(ended_early()),
        Err(_) => Err(too_slow()),
    }
}

fn ended_early() -> Refused {
    Refused::invalid("the body ended before its announced end")
}

fn too_slow() -> Refused {
    let detail = "the body did not arrive in time: send the request again";
    Refused::new(Slug::RequestTimeout, detail)
}

async fn collect(body: &mut Body, bytes_max: usize) -> Result<Option<Zeroizing<Vec<u8>>>, Broken> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4 * 1_024));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Broken)?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > bytes_max {
            return Ok(None);
        }
        bytes.extend_from_slice(data);
    }
    Ok(Some(bytes))
}

/// Reads the rest of a body that nobody wants, within bounds.
pub(crate) async fn discard(fields: &HeaderMap, mut body: Body) {
    // Who waits for `100 Continue` has sent nothing yet.
    if fields.contains_key(EXPECT) || body.is_end_stream() {
        return;
    }
    let reading = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > DISCARDED_BYTES_MAX {
                break;
            }
        }
    };
    if timeout(DISCARDING_MAX, reading).await.is_err() {
        tracing::debug!("gave up on the rest of a body");
    }
}

fn announced(fields: &HeaderMap) -> Option<usize> {
    fields.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_json_in_utf_8_only() {
        for good in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json; v=1",
        ] {
            assert!(is_in_utf_8("application/json", good), "{good}");
        }
        for bad in
            ["", "text/json", "application/jsonx", "application/json; charset=latin1", "text/plain"]
        {
            assert!(!is_in_utf_8("application/json", bad), "{bad}");
        }
    }

    #[test]
    fn a_missing_a_doubled_and_a_compressed_type_are_refused() {
        let mut fields = HeaderMap::new();
        assert!(require_json(&fields).is_err());
        fields.append(CONTENT_TYPE, "application/json".parse().unwrap());
        assert!(require_json(&fields).is_ok());
        fields.append(CONTENT_TYPE, "application/json".parse().unwrap());
        assert!(require_json(&fields).is_err());
        fields.remove(CONTENT_TYPE);
        fields.append(CONTENT_TYPE, "application/json".parse().unwrap());
        fields.append(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(require_json(&fields).is_err());
    }
}
