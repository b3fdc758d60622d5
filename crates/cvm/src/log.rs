//! Log lines on standard error, for people or for machines; `docs/ERRORS-AND-LOGGING.md` says what
//! is in them.
//!
//! A line is one line, whatever is in its values, and a terminal does nothing with it but show it.

mod clean;
mod flat;

use std::fmt::{self, Write as _};
use std::io::IsTerminal;

use tracing::Subscriber;
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{JsonFields, Writer, debug_fn};
use tracing_subscriber::fmt::{self as lines, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Log, LogFormat, LogLevel};

use clean::Clean;
use flat::Flat;

/// What else than lines is made of what happens.
pub(crate) type SpanLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// From now on log lines of this process go to standard error, and panics with them.
pub(crate) fn to_stderr(log: &Log, spans: Option<SpanLayer>) {
    let is_terminal = std::io::stderr().is_terminal();
    // Somebody has set a logger already only in tests of this process.
    let _already_set = match spans {
        None => {
            let lines = lines(log.format, is_terminal, std::io::stderr);
            Registry::default().with(which(log.level)).with(lines).try_init()
        }
        // Each sees what it wants to, whatever the other does.
        Some(spans) => {
            let lines = lines(log.format, is_terminal, std::io::stderr);
            let lines = lines.with_filter(which(log.level));
            Registry::default().with(spans).with(lines).try_init()
        }
    };
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let what = panic.payload_as_str().unwrap_or_default();
        tracing::error!(place, what, "panicked");
    }));
}

/// Which lines there are: of ours from `level` on, of libraries what goes wrong.
fn which(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
    };
    // A prefix of the names of all our crates.
    Targets::new().with_target("cvm", level).with_default(level.min(LevelFilter::WARN))
}

/// What writes lines to `writer`.
fn lines<S, W>(format: LogFormat, has_colours: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = lines::layer().with_writer(writer).with_target(false).with_ansi(has_colours);
    match format {
        LogFormat::Json => {
            Box::new(layer.with_ansi(false).fmt_fields(JsonFields::new()).event_format(Flat))
        }
        LogFormat::Text => Box::new(layer.fmt_fields(debug_fn(write_field).delimited(" "))),
    }
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let mut clean = Clean::text(writer);
    match field.name() {
        "message" => write!(clean, "{value:?}"),
        name => write!(clean, "{name}={value:?}"),
    }
}

#[cfg(test)]
mod tests;
