//! What is counted, as Prometheus reads it.
//!
//! Labels are words of ours from short lists: no path, no serial number, nothing that a stranger
//! wrote. Counting takes no lock.

mod counted;
mod listener;

use std::collections::HashMap;
use std::hash::Hash;

use arc_swap::ArcSwap;
use cvm_api::{Answered, Observer};
use cvm_core::journal::EventKind;
use cvm_core::ports::Ports;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

pub(crate) use counted::Counted;
pub(super) use listener::{MetricsServing, serve};

/// Seconds: a refusal takes under a millisecond, a server-made RSA key a tenth of a second, and
/// after 30 s every request is answered.
const DURATION_BUCKETS: [f64; 14] =
    [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Why an alarm did not reach a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It was tried as often and as long as it may be.
    GaveUp,
    /// Too many waited before it.
    QueueFull,
    /// The server ended.
    Shutdown,
}

impl Reason {
    const ALL: [Self; 3] = [Self::GaveUp, Self::QueueFull, Self::Shutdown];

    /// The metric's label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::GaveUp => "gave-up",
            Self::QueueFull => "queue-full",
            Self::Shutdown => "shutdown",
        }
    }
}

/// All metrics of one server.
///
/// Families and what was made of them stand beside each other, by the plural and the singular.
pub(crate) struct Metrics {
    registry: Registry,
    alarms: IntCounterVec,
    certificates_issued: IntCounter,
    clock_trusted: IntGauge,
    journal_failures: IntCounter,
    notify_failures: IntCounterVec,
    requests: IntCounterVec,
    request: Made<(&'static str, &'static str, u16), IntCounter>,
    durations: HistogramVec,
    duration: Made<&'static str, Histogram>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// All at nought, and all kinds of alarms with them.
    ///
    /// # Errors
    /// A name that is none, or is there twice: a bug.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let alarms = "Alarms raised, at most one a minute for each device and kind.";
        let issued = "Certificates issued and recorded.";
        let trusted = "Whether certificates may be issued by the clock (1) or not (0).";
        let journal = "Journal rows beside decisions that were not written.";
        let notify = "Alarms that did not reach a receiver, by why.";
        let requests = "Requests answered.";
        let durations = "From the end of a request's head to its answer.";
        let version = Opts::new("cvm_build_info", "The version that runs.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        let version = IntGauge::with_opts(version)?;
        version.set(1);
        let durations = HistogramOpts::new("cvm_request_duration_seconds", durations)
            .buckets(DURATION_BUCKETS.to_vec());
        let metrics = Self {
            alarms: IntCounterVec::new(Opts::new("cvm_alarms_total", alarms), &["kind"])?,
            certificates_issued: IntCounter::new("cvm_certificates_issued_total", issued)?,
            clock_trusted: IntGauge::new("cvm_clock_trusted", trusted)?,
            journal_failures: IntCounter::new("cvm_journal_failures_total", journal)?,
            notify_failures: IntCounterVec::new(
                Opts::new("cvm_notify_failures_total", notify),
                &["reason"],
            )?,
            requests: IntCounterVec::new(
                Opts::new("cvm_requests_total", requests),
                &["route", "method", "status"],
            )?,
            request: Made::default(),
            durations: HistogramVec::new(durations, &["route"])?,
            duration: Made::default(),
            registry,
        };
        metrics.registry.register(Box::new(version))?;
        metrics.register()?;
        metrics.begin();
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(self.alarms.clone()))?;
        self.registry.register(Box::new(self.certificates_issued.clone()))?;
        self.registry.register(Box::new(self.clock_trusted.clone()))?;
        self.registry.register(Box::new(self.durations.clone()))?;
        self.registry.register(Box::new(self.journal_failures.clone()))?;
        self.registry.register(Box::new(self.notify_failures.clone()))?;
        self.registry.register(Box::new(self.requests.clone()))
    }

    /// What is counted by rare words is there before the first time: the step from nothing to one
    /// is no increase to Prometheus.
    fn begin(&self) {
        for kind in EventKind::ALARMS {
            self.alarms.with_label_values(&[kind.as_str()]).reset();
        }
        for reason in Reason::ALL {
            self.notify_failures.with_label_values(&[reason.as_str()]).reset();
        }
    }

    /// Counts an alarm.
    pub(super) fn alarm_raised(&self, kind: EventKind) {
        self.alarms.with_label_values(&[kind.as_str()]).inc();
    }

    /// Counts an alarm that did not reach one receiver.
    pub(super) fn notify_failed(&self, reason: Reason) {
        self.notify_failures.with_label_values(&[reason.as_str()]).inc();
    }

    /// Everything, in Prometheus' text format 0.0.4, with the clock as `ports` have it now.
    fn text(&self, ports: &Ports) -> Result<String, prometheus::Error> {
        let reading = ports.clock.read();
        let may_issue = reading.is_trusted && reading.now >= ports.issuer.not_before();
        self.clock_trusted.set(i64::from(may_issue));
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl Observer for Metrics {
    fn request_answered(&self, answered: Answered) {
        let Answered { method, route, status, took } = answered;
        let count = || self.requests.with_label_values(&[route, method, &status.to_string()]);
        self.request.get((route, method, status), count).inc();
        let observe = || self.durations.with_label_values(&[route]);
        self.duration.get(route, observe).observe(took.as_secs_f64());
    }
}

/// Metrics of one family by their labels, found without a lock once they are made.
struct Made<K, M>(ArcSwap<HashMap<K, M>>);

impl<K, M> Default for Made<K, M> {
    fn default() -> Self {
        Self(ArcSwap::default())
    }
}

impl<K: Copy + Eq + Hash, M: Clone> Made<K, M> {
    fn get(&self, key: K, make: impl FnOnce() -> M) -> M {
        if let Some(found) = self.0.load().get(&key) {
            return found.clone();
        }
        let made = make();
        self.0.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.insert(key, made.clone());
            all
        });
        made
    }
}

#[cfg(test)]
mod tests;
