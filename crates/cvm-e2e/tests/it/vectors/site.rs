//! The server that all traces share, its clock, and the connections to it.

use std::collections::BTreeMap;

use cvm_core::time::{Span, Timestamp};
use cvm_e2e::{Environment, Kept, Key, Response};
use serde_json::Value;

use super::alarms::Asked;
use super::trace::{Trace, profiles_toml};

/// When the server is made.
const START: Timestamp = Timestamp(1_800_000_000);

/// After how long the server is started anew, which renews its certificate of 90 days: clients judge
/// that by the same clock, and the minute's tick that would renew it does not come that fast.
const CERTIFICATE_AFTER: Span = Span(60 * Span::DAY.0);

/// What happened, for the test's output.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) steps: u32,
    /// Connections that `confirm` stands for, with the same outcome.
    pub(super) connects_confirmed: u32,
    /// Those of retiring certificates, which `confirm` has to refuse.
    pub(super) connects_refused: u32,
    /// Left to the server's own timers.
    pub(super) sweeps: u32,
    /// Rows of alarms that steps ask for.
    pub(super) alarms: u32,
    /// Alarms within a minute of another of their device and kind, which have no row.
    pub(super) alarms_muted: u32,
    /// How often the clock had to be accepted.
    accepted: u32,
    /// How often the server was started anew in the middle of traces, and at the end.
    restarts: u32,
}

pub(super) struct Site {
    environment: Environment,
    operator: Kept,
    devices: Kept,
    /// Whose certificate is which, by its id.
    holders: BTreeMap<String, Kept>,
    /// Where the clock should be.
    now: Timestamp,
    /// How far off it is by a trace's word.
    off: Span,
    started: Timestamp,
    pub(super) counts: Counts,
    pub(super) asked: Vec<Asked>,
    pub(super) failures: Vec<String>,
}

impl Site {
    pub(super) fn start(traces: &[Trace]) -> Self {
        let connections = ("limits.connections_per_address", "1024");
        let mut environment = Environment::new(&[connections]).unwrap();
        environment.freeze_clock(START).unwrap();
        environment.init(&["--unsealed"]).unwrap();
        let path = environment.data().join("cvm.toml");
        let text = std::fs::read_to_string(&path).unwrap() + &profiles_toml(traces);
        std::fs::write(path, text).unwrap();
        environment.serve().unwrap();
        Self {
            operator: Kept::new(environment.operator_client().unwrap()),
            devices: Kept::new(environment.device_client().unwrap()),
            environment,
            holders: BTreeMap::new(),
            now: START,
            off: Span(0),
            started: START,
            counts: Counts::default(),
            asked: Vec::new(),
            failures: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// What the server's clock shows.
    pub(super) fn shown(&self) -> Timestamp {
        self.now.plus(self.off)
    }

    pub(super) fn counts(&self) -> String {
        format!("{:?}", self.counts)
    }

    /// Moves the clock on, as far off as it is.
    pub(super) fn move_to(&mut self, now: Timestamp) {
        if now == self.now {
            return;
        }
        assert!(now > self.now, "time goes on");
        self.now = now;
        if self.off == Span(0) && now.since(self.started) > CERTIFICATE_AFTER {
            self.restart();
        }
        self.environment.freeze_clock(self.shown()).unwrap();
        if self.off == Span(0) && !self.is_trusted() {
            self.accept();
        }
    }

    /// What a trace says that the clock is.
    pub(super) fn set_clock(&mut self, is: &str) {
        let (off, reason) = match is {
            "behind" => (Span(-10 * Span::MINUTE.0), Some("behind-mark")),
            "suspicious" => (Span(2 * Span::DAY.0), Some("stepped-forward")),
            "ok" => (Span(0), None),
            _ => panic!("clock {is}"),
        };
        if self.off == Span(0) {
            // The mark is raised each minute, and by this.
            self.accept();
        }
        self.off = off;
        self.environment.freeze_clock(self.shown()).unwrap();
        let clock = self.operate("GET", "/v1/clock", None).json().unwrap();
        assert_eq!(clock["reason"].as_str(), reason, "{clock}");
    }

    fn is_trusted(&mut self) -> bool {
        self.operate("GET", "/v1/clock", None).json().unwrap()["trusted"] == true
    }

    fn accept(&mut self) {
        let accepted = self.operate("POST", "/v1/clock:accept", None);
        assert_eq!(accepted.status, 200, "{accepted:?}");
        self.counts.accepted += 1;
    }

    /// Stops the server, so that everything that follows from an answer has happened, and starts it.
    pub(super) fn restart(&mut self) {
        assert_eq!(self.environment.terminate().unwrap(), Some(0), "{}", self.environment.log());
        self.environment.freeze_clock(self.now).unwrap();
        self.environment.succeed(&["doctor", "--accept-time"]).unwrap();
        self.environment.serve().unwrap();
        self.operator = Kept::new(self.environment.operator_client().unwrap());
        self.devices = Kept::new(self.environment.device_client().unwrap());
        self.holders.clear();
        self.started = self.now;
        self.counts.restarts += 1;
    }

    /// A request of the operator API.
    pub(super) fn operate(&mut self, method: &str, path: &str, body: Option<&Value>) -> Response {
        let bearer = format!("Authorization: Bearer {}", self.environment.admin_token().unwrap());
        self.operator.request(method, path, &[&bearer], body).unwrap()
    }

    /// A request of a device that shows no certificate.
    pub(super) fn ask(&mut self, path: &str, body: &Value) -> Response {
        self.devices.request("POST", path, &[], Some(body)).unwrap()
    }

    /// A request on the connection of the certificate `id`.
    pub(super) fn ask_with(
        &mut self,
        (id, chain, key): (&str, &str, &Key),
        path: &str,
        body: Option<&Value>,
    ) -> Response {
        let holder = self
            .holders
            .entry(id.to_owned())
            .or_insert_with(|| Kept::new(self.environment.certificate_client(chain, key).unwrap()));
        holder.request("POST", path, &[], body).unwrap()
    }
}
