//! What the function is called with: a request through a REST API, an HTTP API or a function URL, or
//! `EventBridge`'s word that a minute has passed.
//!
//! The client's address is the one that the gateway saw. Header fields that claim another are left
//! to who believes them.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cvm_api::Peer;
use http::{HeaderMap, Method, Request};
use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;

/// What the function is called for.
#[derive(Debug)]
pub(crate) enum Event {
    /// A minute has passed.
    Minute,
    /// Somebody asks.
    Request(Box<Call>),
}

/// A request, from whom, and in which form its answer goes.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) form: Form,
    pub(crate) request: Request<Bytes>,
    pub(crate) peer: Peer,
}

/// The form of a request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Payload format 2.0: HTTP APIs and function URLs.
    Http,
    /// Payload format 1.0: REST APIs, and HTTP APIs that ask for it.
    Rest,
}

/// What the function cannot be called with. Says nothing of what was in it.
#[derive(Debug, Error)]
pub(crate) enum NotOurs {
    #[error("its body is not base64")]
    Body,
    #[error("the event is none of a REST API, an HTTP API, a function URL or a schedule")]
    Form,
    #[error("the event is not a request that can be read")]
    Request,
}

/// By what events are told apart.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow, default, rename = "detail-type")]
    detail_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    version: Option<Cow<'a, str>>,
    #[serde(default, rename = "requestContext")]
    request_context: Option<IgnoredAny>,
}

impl Event {
    /// Reads an event. `base` is the path of the URL that the API is reached by, which its routes
    /// do not have.
    pub(crate) fn read(json: &str, base: &str) -> Result<Self, NotOurs> {
        let told: Told<'_> = serde_json::from_str(json).map_err(|_| NotOurs::Form)?;
        match (told.request_context, told.version.as_deref(), told.detail_type.as_deref()) {
            (Some(_), Some("2.0"), _) => http(json, base).map(|call| Self::Request(Box::new(call))),
            (Some(_), Some("1.0") | None, _) => {
                rest(json, base).map(|call| Self::Request(Box::new(call)))
            }
            (None, _, Some("Scheduled Event")) => Ok(Self::Minute),
            (_, _, _) => Err(NotOurs::Form),
        }
    }
}

fn http(json: &str, base: &str) -> Result<Call, NotOurs> {
    let event: ApiGatewayV2httpRequest =
        serde_json::from_str(json).map_err(|_| NotOurs::Request)?;
    let raw_path = event.raw_path.unwrap_or_default();
    // A named stage begins the path here, and not that of payload format 1.0.
    let stage = event.request_context.stage.filter(|stage| stage != "$default");
    let stage = stage.map(|stage| format!("/{stage}")).unwrap_or_default();
    let path = below(below(&raw_path, &stage), base);
    let asked = event.request_context.http;
    let query = event.raw_query_string.unwrap_or_default();
    let request = request(asked.method, (path, &query), event.headers)?;
    let body = body(event.body, event.is_base64_encoded)?;
    Ok(Call { form: Form::Http, request: request.map(|()| body), peer: peer(asked.source_ip) })
}

fn rest(json: &str, base: &str) -> Result<Call, NotOurs> {
    let event: ApiGatewayProxyRequest = serde_json::from_str(json).map_err(|_| NotOurs::Request)?;
    let raw_path = event.path.unwrap_or_default();
    // The values of both are decoded.
    let several = event.multi_value_query_string_parameters;
    let query = match several.is_empty() {
        true => event.query_string_parameters.to_query_string(),
        false => several.to_query_string(),
    };
    let fields = match event.multi_value_headers.is_empty() {
        true => event.headers,
        false => event.multi_value_headers,
    };
    let request = request(event.http_method, (below(&raw_path, base), &query), fields)?;
    let body = body(event.body, event.is_base64_encoded)?;
    let peer = peer(event.request_context.identity.source_ip);
    Ok(Call { form: Form::Rest, request: request.map(|()| body), peer })
}

/// The path below `base`, if it is below it.
fn below<'a>(path: &'a str, base: &str) -> &'a str {
    match path.strip_prefix(base) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        Some(_) | None => path,
    }
}

fn request(
    method: Method,
    (path, query): (&str, &str),
    fields: HeaderMap,
) -> Result<Request<()>, NotOurs> {
    let mut target = encoded(path);
    if !query.is_empty() {
        target.push('?');
        target.push_str(query);
    }
    let mut request = Request::builder().method(method).uri(target).body(());
    if let Ok(request) = &mut request {
        *request.headers_mut() = fields;
    }
    request.map_err(|_| NotOurs::Request)
}

/// A path in which some gateways have decoded what was encoded: RFC 3986 §3.3 has no place for it.
fn encoded(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'!'..=b'~' if !b"\"#<>?[\\]^`{|}".contains(&byte) => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn body(body: Option<String>, is_base64: bool) -> Result<Bytes, NotOurs> {
    match (body, is_base64) {
        (None, _) => Ok(Bytes::new()),
        (Some(text), false) => Ok(text.into()),
        (Some(text), true) => STANDARD.decode(text).map(Bytes::from).map_err(|_| NotOurs::Body),
    }
}

/// No gateway hands over what a client proved in its handshake: such a client signs its requests.
fn peer(source: Option<String>) -> Peer {
    let address = source.and_then(|source| source.parse().ok());
    let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    Peer { address: address.unwrap_or(nowhere), certificate: None }
}

#[cfg(test)]
mod tests;
