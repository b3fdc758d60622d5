//! What happens at the listeners: connections, requests, refusals, limits.

use cvm_api::{Answered, Limit, Notice, Observer, Side};
use prometheus::{Error, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry};

use super::made::Made;
use super::{counters, gauges, histograms};

/// Seconds: a refusal takes under a millisecond, a server-made RSA key a tenth of a second, and
/// after 30 s every request is answered.
const DURATION_BUCKETS: [f64; 14] =
    [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Families and what was made of them stand beside each other, by the plural and the singular.
pub(super) struct Door {
    durations: HistogramVec,
    duration: Made<&'static str, Histogram>,
    limits: IntCounterVec,
    listeners: [Listener; 3],
    refusals: IntCounterVec,
    refusal: Made<&'static str, IntCounter>,
    requests: IntCounterVec,
    request: Made<(&'static str, &'static str, u16), IntCounter>,
}

/// One listener's.
struct Listener {
    connections: IntCounter,
    connections_open: IntGauge,
    handshakes_failed: IntCounter,
    requests_in_flight: IntGauge,
}

const SIDES: [(Side, &str); 3] =
    [(Side::Device, "device"), (Side::Operator, "operator"), (Side::Plain, "plain")];

impl Door {
    pub(super) fn new(registry: &Registry) -> Result<Self, Error> {
        let of_listener = &["listener"];
        let connections = counters(
            registry,
            ("cvm_connections_total", "Connections accepted, before their handshake."),
            of_listener,
        )?;
        let open = ("cvm_connections_open", "Connections open, handshakes included.");
        let open = gauges(registry, open, of_listener)?;
        let failed = "Handshakes that failed; those that took too long are limits reached.";
        let failed = counters(registry, ("cvm_handshakes_failed_total", failed), of_listener)?;
        let in_flight = "Requests whose head is complete and that are not answered yet.";
        let in_flight = gauges(registry, ("cvm_requests_in_flight", in_flight), of_listener)?;
        let listeners = SIDES.map(|(_, name)| Listener {
            connections: connections.with_label_values(&[name]),
            connections_open: open.with_label_values(&[name]),
            handshakes_failed: failed.with_label_values(&[name]),
            requests_in_flight: in_flight.with_label_values(&[name]),
        });
        let limits = "How often somebody came up against a limit, by its key in [limits].";
        let refusals = "Problem documents answered, by the last part of their type.";
        let requests = ("cvm_requests_total", "Requests answered.");
        let took = "From the end of a request's head to its answer.";
        let took = ("cvm_request_duration_seconds", took);
        let door = Self {
            durations: histograms(registry, took, &["route"], &DURATION_BUCKETS)?,
            duration: Made::default(),
            limits: counters(registry, ("cvm_limits_reached_total", limits), &["limit"])?,
            listeners,
            refusals: counters(registry, ("cvm_refusals_total", refusals), &["problem"])?,
            refusal: Made::default(),
            requests: counters(registry, requests, &["route", "method", "status"])?,
            request: Made::default(),
        };
        // There before the first time: the step from nothing to one is no increase to Prometheus.
        for limit in Limit::ALL {
            door.limits.with_label_values(&[limit.as_str()]).reset();
        }
        for problem in cvm_api::problems() {
            door.refusal(problem);
        }
        Ok(door)
    }

    fn refusal(&self, problem: &'static str) -> IntCounter {
        self.refusal.get(&problem, || (problem, self.refusals.with_label_values(&[problem])))
    }

    fn listener(&self, side: Side) -> &Listener {
        let [device, operator, plain] = &self.listeners;
        match side {
            Side::Device => device,
            Side::Operator => operator,
            Side::Plain => plain,
        }
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Door")
    }
}

impl Observer for Door {
    fn request_answered(&self, answered: Answered) {
        let Answered { method, route, status, problem, took } = answered;
        let key = (route, method, status);
        let count = || self.requests.with_label_values(&[route, method, &status.to_string()]);
        self.request.get(&key, || (key, count())).inc();
        let observe = || (route, self.durations.with_label_values(&[route]));
        self.duration.get(&route, observe).observe(took.as_secs_f64());
        if let Some(problem) = problem {
            self.refusal(problem).inc();
        }
    }

    fn noticed(&self, side: Side, notice: Notice) {
        let listener = self.listener(side);
        match notice {
            Notice::ConnectionClosed => listener.connections_open.dec(),
            Notice::ConnectionOpened => {
                listener.connections.inc();
                listener.connections_open.inc();
            }
            Notice::HandshakeFailed => listener.handshakes_failed.inc(),
            // Rare, and so by its name.
            Notice::LimitReached(limit) => self.limits.with_label_values(&[limit.as_str()]).inc(),
            Notice::RequestBegun => listener.requests_in_flight.inc(),
            Notice::RequestEnded => listener.requests_in_flight.dec(),
        }
    }
}
