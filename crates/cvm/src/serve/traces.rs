//! OpenTelemetry traces, where the configuration names a collector: how a request reaches it.

use std::sync::Arc;

use bytes::Bytes;
use cvm_otel::{Collector, Settings, SpanLayer, Traces};
use ureq::http::{Request, Response};

use super::outgoing::{Receiver, words};
use crate::config::Trace;
use crate::data_dir::Layout;
use crate::failure::{Exit, Failure};

/// The most of a collector's answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1_024;

#[derive(Debug)]
struct Posting(ureq::Agent);

impl Collector for Posting {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, body.to_vec());
        let answer = self.0.run(request).map_err(|error| words(&error))?;
        let (parts, mut body) = answer.into_parts();
        let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| words(&error))?;
        Ok(Response::from_parts(parts, body.into()))
    }
}

/// Starts sending to the collector that `trace` names, if it names one.
pub(crate) fn start(
    layout: &Layout,
    trace: &Trace,
) -> Result<Option<(Traces, SpanLayer)>, Failure> {
    let Some(url) = &trace.endpoint else { return Ok(None) };
    let receiver = Receiver { section: "trace", url, root_ca: trace.root_ca.as_deref() };
    let collector = Arc::new(Posting(receiver.agent(layout, 1)?));
    let settings = Settings {
        endpoint: url.uri().to_string(),
        one_in: trace.one_in,
        version: env!("CARGO_PKG_VERSION"),
    };
    Traces::start(&settings, collector)
        .map(Some)
        .map_err(|error| Failure::new(Exit::Failed, format!("[trace] endpoint: {error}")))
}
