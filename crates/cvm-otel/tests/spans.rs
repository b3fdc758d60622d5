//! What is sent to a collector, and when it is not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, mpsc};

use bytes::Bytes;
use cvm_otel::{Collector, Settings, Traces};
use http::{Request, Response};
use opentelemetry_http::HttpError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::Registry;

#[derive(Debug)]
struct Kept(mpsc::SyncSender<Request<Bytes>>);

impl Collector for Kept {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.0.send(request)?;
        Ok(Response::new(Bytes::new()))
    }
}

/// The bodies that are sent of what `work` does.
fn sent(one_in: u32, work: impl Fn()) -> Vec<Request<Bytes>> {
    let (kept, received) = mpsc::sync_channel(1_000);
    let endpoint = String::from("http://collector.invalid/v1/traces");
    let settings = Settings { endpoint, one_in, version: "0" };
    let (traces, layer) = Traces::start(&settings, Arc::new(Kept(kept))).unwrap();
    tracing::subscriber::with_default(Registry::default().with(layer), work);
    traces.end();
    received.try_iter().collect()
}

fn contains(request: &Request<Bytes>, text: &str) -> bool {
    request.body().windows(text.len()).any(|window| window == text.as_bytes())
}

fn request(attempt: &str) {
    let request = tracing::error_span!(target: "cvm_api", parent: None, "request", %attempt);
    request.in_scope(|| {
        tracing::debug_span!(target: "cvm_store", "commit").in_scope(|| {
            tracing::debug!(target: "cvm_store", "a detail");
        });
        tracing::info!(target: "cvm_api", status = 201, "answered");
    });
}

#[test]
fn a_request_is_sent_with_its_code_and_what_happened_in_it() {
    let sent = sent(1, || request("K7QF2-M8WXA"));
    let request = sent.first().unwrap();
    assert_eq!(request.uri(), "http://collector.invalid/v1/traces");
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    for text in ["cvm", "request", "K7QF2-M8WXA", "commit", "answered"] {
        assert!(contains(request, text), "{text}");
    }
    assert!(!contains(request, "a detail"));
}

#[test]
fn connections_and_other_crates_are_not_sent() {
    let sent = sent(1, || {
        tracing::error_span!(target: "h2", "request").in_scope(|| {});
        tracing::debug_span!(target: "cvm_api", "connection").in_scope(|| {});
    });
    assert!(sent.is_empty());
}

#[test]
fn of_many_requests_a_part_is_sent() {
    let sent = sent(4, || (0..400).for_each(|number| request(&format!("code-{number}"))));
    let spans: usize = sent
        .iter()
        .map(|it| it.body().windows(6).filter(|window| *window == b"commit").count())
        .sum();
    // 100 on average; one run in 10^12 is outside.
    assert!((40..=160).contains(&spans), "{spans}");
}
