//! What is counted, as Prometheus reads it; `docs/METRICS.md` lists it, and is held to that.
//!
//! Labels are words of ours from short lists: no path, no serial number, nothing that a stranger
//! wrote. Counting takes no lock where it happens for every request.

mod counted;
mod door;
mod listener;
mod made;
mod process;
mod scraped;

use std::sync::Arc;

use cvm_api::Observer;
use cvm_core::attempt::Act;
use cvm_core::journal::EventKind;
use cvm_core::key::KeyAlgorithm;
use cvm_core::ports::Ports;
use cvm_core::time::Timestamp;
use prometheus::proto::MetricFamily;
use prometheus::{
    Error, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use crate::timers::Ran;

pub(crate) use counted::Counted;
pub(super) use listener::{MetricsServing, serve};
pub(super) use scraped::Source;

use counted::USUAL_OUTCOMES;
use door::Door;
use made::Made;

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

/// All metrics of one server that are counted as things happen.
pub(crate) struct Metrics {
    registry: Registry,
    alarms: IntCounterVec,
    attempts: IntCounterVec,
    attempt: Made<String, IntCounter>,
    certificates_issued: IntCounter,
    clock_trusted: IntGauge,
    crls_due: IntGauge,
    crls_signed: IntCounter,
    door: Arc<Door>,
    journal_failures: IntCounter,
    key_failures: IntCounter,
    keys_made: IntCounterVec,
    keys_waiting: IntGauge,
    notify_failures: IntCounterVec,
    sweep_failures: IntCounterVec,
    timers_ran: IntGauge,
    unknown_callers: IntCounter,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// All at nought, and what is counted by rare words with them.
    ///
    /// # Errors
    /// A name that is none, or is there twice: a bug.
    pub(crate) fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let all = &registry;
        let version = Opts::new("cvm_build_info", "The version that runs.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        let version = IntGauge::with_opts(version)?;
        version.set(1);
        all.register(Box::new(version))?;
        let alarms = "Alarms raised, at most one a minute for each device and kind.";
        let attempts = "Requests of registered devices that were decided.";
        let trusted = "Whether certificates may be issued by the clock (1) or not (0).";
        let due = "CRLs that a sweep left unsigned although they were due.";
        let journal = "Journal rows beside decisions that were not written.";
        let made = "Private keys made for devices.";
        let unmade = "Private keys that were asked for and not made.";
        let waiting = "Private keys that are being made or wait for it.";
        let lost = "Alarms that did not reach a receiver, by why.";
        let sweeps = "Devices and CRLs that a sweep could not do what was due for.";
        let ran = "When the timers last ran, in seconds since 1970.";
        let unknown = "Requests of serial numbers and certificates that nobody registered.";
        let metrics = Self {
            alarms: counters(all, ("cvm_alarms_total", alarms), &["kind"])?,
            attempts: counters(
                all,
                ("cvm_attempts_total", attempts),
                &["act", "outcome", "reason"],
            )?,
            attempt: Made::default(),
            certificates_issued: counter(
                all,
                "cvm_certificates_issued_total",
                "Certificates issued and recorded.",
            )?,
            clock_trusted: gauge(all, "cvm_clock_trusted", trusted)?,
            crls_due: gauge(all, "cvm_crls_due", due)?,
            crls_signed: counter(all, "cvm_crls_signed_total", "CRLs signed and recorded.")?,
            door: Arc::new(Door::new(all)?),
            journal_failures: counter(all, "cvm_journal_failures_total", journal)?,
            key_failures: counter(all, "cvm_key_failures_total", unmade)?,
            keys_made: counters(all, ("cvm_keys_made_total", made), &["algorithm"])?,
            keys_waiting: gauge(all, "cvm_keys_waiting", waiting)?,
            notify_failures: counters(all, ("cvm_notify_failures_total", lost), &["reason"])?,
            sweep_failures: counters(all, ("cvm_sweep_failures_total", sweeps), &["of"])?,
            timers_ran: gauge(all, "cvm_timers_last_run_timestamp_seconds", ran)?,
            unknown_callers: counter(all, "cvm_unknown_callers_total", unknown)?,
            registry,
        };
        metrics.begin();
        Ok(metrics)
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
        for (act, outcome) in USUAL_OUTCOMES {
            self.attempt(act, outcome, "");
        }
        for algorithm in [KeyAlgorithm::EcP256, KeyAlgorithm::Rsa2048] {
            self.keys_made.with_label_values(&[algorithm.as_str()]).reset();
        }
        for of in [OF_CRL, OF_DEVICE] {
            self.sweep_failures.with_label_values(&[of]).reset();
        }
    }

    /// Who is told what happens at the listeners.
    pub(super) fn observer(&self) -> Arc<dyn Observer> {
        self.door.clone()
    }

    /// Counts an alarm.
    pub(super) fn alarm_raised(&self, kind: EventKind) {
        self.alarms.with_label_values(&[kind.as_str()]).inc();
    }

    /// Counts an alarm that did not reach one receiver.
    pub(super) fn notify_failed(&self, reason: Reason) {
        self.notify_failures.with_label_values(&[reason.as_str()]).inc();
    }

    /// Counts what a run of the timers did, which ended at `now`.
    pub(super) fn timers_ran(&self, now: Timestamp, Ran { swept, crls }: &Ran) {
        let failures = |of, count: usize| {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.sweep_failures.with_label_values(&[of]).inc_by(count);
        };
        failures(OF_DEVICE, swept.failures.len());
        failures(OF_CRL, crls.failed);
        self.crls_due.set(i64::try_from(crls.left).unwrap_or(i64::MAX));
        self.timers_ran.set(now.0);
    }

    /// Outcome and reason are words of ours: slugs of refusals and names of denials.
    fn attempt(&self, act: Act, outcome: &str, reason: &str) -> IntCounter {
        let key = format!("{} {outcome} {reason}", act.as_str());
        let make = || self.attempts.with_label_values(&[act.as_str(), outcome, reason]);
        self.attempt.get(key.as_str(), || (key.clone(), make()))
    }

    /// Everything that was counted, with the clock as `ports` have it now.
    fn gather(&self, ports: &Ports) -> Vec<MetricFamily> {
        let reading = ports.clock.read();
        let may_issue = reading.is_trusted && reading.now >= ports.issuer.not_before();
        self.clock_trusted.set(i64::from(may_issue));
        self.registry.gather()
    }
}

const OF_CRL: &str = "crl";
const OF_DEVICE: &str = "device";

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, Error> {
    let made = IntCounter::new(name, help)?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, Error> {
    let made = IntGauge::new(name, help)?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

fn counters(
    registry: &Registry,
    (name, help): (&str, &str),
    labels: &[&str],
) -> Result<IntCounterVec, Error> {
    let made = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

fn gauges(
    registry: &Registry,
    (name, help): (&str, &str),
    labels: &[&str],
) -> Result<IntGaugeVec, Error> {
    let made = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

fn histograms(
    registry: &Registry,
    (name, help): (&str, &str),
    labels: &[&str],
    buckets: &[f64],
) -> Result<HistogramVec, Error> {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    let made = HistogramVec::new(options, labels)?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

#[cfg(test)]
mod tests;
