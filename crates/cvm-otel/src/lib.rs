//! OpenTelemetry: what our spans say, to a collector, by OTLP over HTTP.
//!
//! A crate so that what it needs is built only where it is wanted. How a request reaches the
//! collector is the caller's: see [`Collector`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::registry::Registry;

/// How long the last spans may take to leave.
const END_MAX: Duration = Duration::from_secs(5);

/// A layer for the registry of an application.
pub type SpanLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Who is sent spans. It is called on a thread where it may block.
pub trait Collector: fmt::Debug + Send + Sync {
    /// Sends a request and returns the answer, whatever its status is.
    ///
    /// # Errors
    /// Where no answer came.
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError>;
}

/// Which requests' spans are sent, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The collector's URL, with its path.
    pub endpoint: String,
    /// One request in so many, chosen at random.
    pub one_in: u32,
    /// The version of the service.
    pub version: &'static str,
}

/// The sending of spans; they are sent until [`Traces::end`].
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts sending. What arrives from outside as a trace's context is not looked at.
    ///
    /// # Errors
    /// Where `settings` are no good, in words.
    pub fn start(
        settings: &Settings,
        collector: Arc<dyn Collector>,
    ) -> Result<(Self, SpanLayer), String> {
        let client = Client { collector, is_failing: AtomicBool::default() };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(settings.endpoint.as_str())
            .with_protocol(Protocol::HttpBinary)
            .build()
            .map_err(|error| error.to_string())?;
        let resource = Resource::builder_empty()
            .with_service_name("cvm")
            .with_attribute(opentelemetry::KeyValue::new("service.version", settings.version))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                1.0 / f64::from(settings.one_in.max(1)),
            ))))
            .with_resource(resource)
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("cvm"))
            .with_context_activation(false)
            .with_error_events_to_status(true)
            .with_level(true)
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(of_requests());
        Ok((Self(provider), Box::new(layer)))
    }

    /// Sends what is left, for a bounded time; blocks.
    pub fn end(self) {
        if let Err(error) = self.0.shutdown_with_timeout(END_MAX) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// What happens in requests: all of their spans, and lines from `info` on.
fn of_requests() -> FilterFn<fn(&tracing::Metadata<'_>) -> bool> {
    let is_of_request: fn(&tracing::Metadata<'_>) -> bool = |metadata| {
        metadata.target().starts_with("cvm")
            && match metadata.is_span() {
                // A connection lives long, and is nobody's request.
                true => metadata.name() != "connection",
                false => *metadata.level() <= Level::INFO,
            }
    };
    FilterFn::new(is_of_request).with_max_level_hint(Level::DEBUG)
}

/// The collector as the exporter wants it; tells the log when it begins to fail, and when that ends.
#[derive(Debug)]
struct Client {
    collector: Arc<dyn Collector>,
    is_failing: AtomicBool,
}

impl Client {
    fn tell(&self, failure: Option<String>) {
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(cause) if !was_failing => {
                tracing::warn!(cause, "traces do not reach their collector: they are dropped");
            }
            None if was_failing => tracing::info!("traces reach their collector again"),
            Some(_) | None => {}
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.collector.send(request);
        self.tell(match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answered {}", answer.status().as_u16())),
            Err(error) => Some(error.to_string()),
        });
        answer
    }
}
