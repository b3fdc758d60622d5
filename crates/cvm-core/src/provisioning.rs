//! The use cases, and what they share: who calls, how a refusal is worded, what happens after the
//! answer.
//!
//! A use case returns its answer and a [`FollowUp`]. Nothing in the follow-up may happen before
//! the answer has left, so that what a refusal writes cannot be told from outside.

mod confirm;
mod policy;
mod register;
mod show;
mod sweep;
mod vend;

use std::net::IpAddr;

use parking_lot::Mutex;
use thiserror::Error;

use crate::attempt::{Act, Attempt, Step, StepName};
use crate::decision::Denial;
use crate::error::chain_of;
use crate::id::{AttemptCode, KeyIdentity, SerialNumber};
use crate::journal::{Event, EventClass, EventKind};
use crate::key::{CsrError, WeakKey};
use crate::limit::{Rate, RateLimit, host_of};
use crate::operator::Actor;
use crate::ports::{ClockReading, Ports};
use crate::profile::Profiles;
use crate::time::{Span, Timestamp};

pub use confirm::Confirmed;
pub use policy::put_event as policy_put_event;
pub use register::{NewDevice, NewToken, RegisterRefusal, Registered};
pub use show::{CertificateShown, DeviceShown};
pub use sweep::Swept;
pub use vend::{Ask, VendRequest, Vended};

/// How often a decision is made afresh because the record moved, before the caller is asked to
/// come back: more racers than this on one serial number are not a device.
const DECISIONS_MAX: u32 = 8;

/// At most one alarm a minute for each device and kind (protocol, section 10).
const ALARMS: Rate = Rate { count: 1, per: Span::MINUTE };

/// How many devices that have used up some of their budget are remembered.
const BUDGET_DEVICES_MAX: usize = 100_000;

/// The use cases over their ports.
pub struct Provisioning {
    ports: Ports,
    profiles: Profiles,
    budget: Mutex<RateLimit<SerialNumber>>,
    alarms: Mutex<RateLimit<(Option<SerialNumber>, EventKind)>>,
}

impl std::fmt::Debug for Provisioning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Provisioning")
    }
}

impl Provisioning {
    /// The use cases over `ports`, by the rules of `profiles`; each device may ask `budget` often
    /// with a valid credential.
    #[must_use]
    pub fn new(ports: Ports, profiles: Profiles, budget: Rate) -> Self {
        let budget = Mutex::new(RateLimit::new(budget, BUDGET_DEVICES_MAX));
        let alarms = Mutex::new(RateLimit::new(ALARMS, BUDGET_DEVICES_MAX));
        Self { ports, profiles, budget, alarms }
    }

    /// The ports, for reading lists.
    #[must_use]
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// A new attempt code.
    #[must_use]
    pub fn attempt_code(&self) -> AttemptCode {
        let mut random = [0_u8; 8];
        self.ports.entropy.fill(&mut random);
        AttemptCode::from_random(u64::from_le_bytes(random))
    }

    /// Counts a request with a valid credential against the device's budget.
    fn spend(&self, serial: &SerialNumber, now: Timestamp) -> Result<(), Refusal> {
        let asked = self.budget.lock().ask(serial.clone(), now);
        asked.map_err(|retry_after| Refusal::SlowDown { retry_after })
    }

    /// Refuses where the clock may not issue: behind its mark, or before the CA's notBefore.
    fn require_trusted_clock(&self, reading: ClockReading) -> Result<(), Refusal> {
        if reading.is_trusted && reading.now >= self.ports.issuer.not_before() {
            Ok(())
        } else {
            Err(Refusal::unavailable_for("clock", "the server's clock is not to be trusted"))
        }
    }
}

/// Who calls, and under which code the request is told of.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The network address.
    pub address: String,
    /// The code that the answer carries.
    pub attempt: AttemptCode,
}

impl Caller {
    fn actor(&self) -> Actor {
        Actor::Device(self.address.clone())
    }
}

/// Why a device's request is refused, by who must act.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// One answer for every kind of no; which kind, `explain` tells.
    #[error("serial number and token do not fit")]
    AccessDenied(Denial),
    /// The token is valid and bound to another key.
    #[error("this token has obtained a certificate for another key")]
    AlreadyIssued,
    /// The certificate's life is over.
    #[error("the certificate has expired")]
    CertificateExpired,
    /// The device is disabled.
    #[error("the device is disabled")]
    CertificateInactive,
    /// No certificate was shown where one is needed.
    #[error("this route needs the device's certificate: connect with it")]
    CertificateRequired,
    /// The certificate was revoked.
    #[error("the certificate is revoked")]
    CertificateRevoked,
    /// Another certificate took its place.
    #[error("another certificate has taken this one's place: use the newest")]
    CertificateSuperseded,
    /// The registry does not know it.
    #[error("this server did not issue the certificate")]
    CertificateUnknown,
    /// No CSR came, and the server makes no keys for this device.
    #[error("send a certificate request in `csr`: the server makes no keys for this device")]
    CsrRequired,
    /// The certificate request is malformed or its signature is wrong.
    #[error("{0}")]
    InvalidCsr(CsrError),
    /// The key may not be used by this device.
    #[error("this key may not be used here: make a new one")]
    KeyNotAcceptable,
    /// The device asked too often.
    #[error("too many requests: wait {retry_after} and ask again")]
    SlowDown {
        /// How long to wait.
        retry_after: Span,
    },
    /// Store, signer or clock cannot now; nothing is lost.
    #[error("the server cannot answer now; the same request succeeds later")]
    Unavailable {
        /// How long to wait.
        retry_after: Span,
        /// Which of the causes that `explain` tells apart; may be empty.
        reason: &'static str,
        /// For the log, not for the caller.
        cause: String,
    },
    /// The key is too weak.
    #[error("{0}")]
    WeakKey(WeakKey),
}

impl Refusal {
    /// The stable name: the last part of the problem's type, and an attempt's outcome.
    #[must_use]
    pub fn slug(&self) -> &'static str {
        match self {
            Self::AccessDenied(_) => "access-denied",
            Self::AlreadyIssued => "already-issued",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateInactive => "certificate-inactive",
            Self::CertificateRequired => "certificate-required",
            Self::CertificateRevoked => "certificate-revoked",
            Self::CertificateSuperseded => "certificate-superseded",
            Self::CertificateUnknown => "certificate-unknown",
            Self::CsrRequired => "csr-required",
            Self::InvalidCsr(_) => "invalid-csr",
            Self::KeyNotAcceptable => "key-not-acceptable",
            Self::SlowDown { .. } => "slow-down",
            Self::Unavailable { .. } => "unavailable",
            Self::WeakKey(_) => "weak-key",
        }
    }

    /// Which of several reasons for one slug, for `explain`; empty where there is one only.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AccessDenied(denial) => denial.as_str(),
            Self::Unavailable { reason, .. } => reason,
            Self::AlreadyIssued
            | Self::CertificateExpired
            | Self::CertificateInactive
            | Self::CertificateRequired
            | Self::CertificateRevoked
            | Self::CertificateSuperseded
            | Self::CertificateUnknown
            | Self::CsrRequired
            | Self::InvalidCsr(_)
            | Self::KeyNotAcceptable
            | Self::SlowDown { .. }
            | Self::WeakKey(_) => "",
        }
    }

    /// Whether it decides something, and is not merely that the server cannot.
    fn is_decision(&self) -> bool {
        !matches!(self, Self::Unavailable { .. })
    }

    pub(crate) fn unavailable(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Unavailable { retry_after: Span(2), reason: "", cause: chain_of(error) }
    }

    fn unavailable_for(reason: &'static str, cause: &str) -> Self {
        Self::Unavailable { retry_after: Span(30), reason, cause: cause.to_owned() }
    }

    /// The record moved under every decision that was made.
    fn contended() -> Self {
        let cause = String::from("the record moved under every decision");
        Self::Unavailable { retry_after: Span(1), reason: "", cause }
    }
}

impl From<CsrError> for Refusal {
    fn from(error: CsrError) -> Self {
        match error {
            CsrError::Weak(weak) => Self::WeakKey(weak),
            CsrError::Encoding(_)
            | CsrError::KeyAlgorithm
            | CsrError::Pem(_)
            | CsrError::Signature
            | CsrError::SignatureAlgorithm
            | CsrError::TooLarge(_) => Self::InvalidCsr(error),
        }
    }
}

/// What has to happen after the answer has left.
#[derive(Debug, Default)]
#[must_use = "run it after the answer has left"]
pub struct FollowUp {
    attempt: Option<Attempt>,
    unknown: Option<(String, Timestamp)>,
    events: Vec<Event>,
    alarm_unless_own: Option<(KeyIdentity, Event)>,
    proven: Option<(KeyIdentity, SerialNumber)>,
}

/// What a follow-up did.
#[derive(Debug, Default)]
pub struct Followed {
    /// How many alarms the decision asked for, before the limit of one a minute.
    pub alarms_asked: usize,
    /// How many alarms were raised.
    pub alarms_raised: usize,
    /// Why rows were not written, for the log.
    pub failures: Vec<String>,
}

impl Provisioning {
    /// Does what has to happen after the answer has left: attempts, decisions, alarms, and what
    /// another device's proof of a key ended.
    pub async fn follow(&self, follow_up: FollowUp) -> Followed {
        let ports = &self.ports;
        if let Some((address, at)) = follow_up.unknown {
            // Everybody behind one host counts together, as in the limit of refusals.
            let host = match address.parse().map(host_of) {
                Ok(IpAddr::V4(host)) => host.to_string(),
                Ok(IpAddr::V6(host)) => format!("{host}/64"),
                Err(_) => address,
            };
            ports.attempts.unknown_count(&host, at);
        }
        if let Some(attempt) = follow_up.attempt {
            ports.attempts.attempt_record(attempt);
        }
        let mut events = follow_up.events;
        let mut followed = Followed::default();
        if let Some((key, event)) = follow_up.alarm_unless_own {
            match ports.store.key_owner(&key).await {
                // The device's own former key: old, but no stranger's.
                Ok(owner) if owner.is_some() && owner == event.serial_number => {}
                Ok(_) => events.push(event),
                Err(error) => followed.failures.push(chain_of(&error)),
            }
        }
        if let Some((key, serial)) = follow_up.proven {
            let now = ports.clock.read().now;
            // Now that the proof is on record nobody else can come to this key any more.
            let ended = self.end_losers(&key, &serial, now).await;
            let swept = self.sweep_device(&serial, now).await;
            let failed = [ended.err(), swept.err()].into_iter().flatten();
            followed.failures.extend(failed.map(|error| chain_of(&error)));
        }
        for event in events {
            followed.alarms_asked += usize::from(event.class == EventClass::Alarm);
            let Some(event) = self.muted(event) else { continue };
            followed.alarms_raised += usize::from(event.class == EventClass::Alarm);
            if let Err(error) = ports.journal.event_record(event).await {
                followed.failures.push(chain_of(&error));
            }
        }
        followed
    }

    /// The row to write, if any. Of alarms, and of requests that came too soon, one a minute for
    /// each device and kind: whoever makes them must not fill the journal. An alarm that is muted is
    /// still a decision where a valid token was shown.
    fn muted(&self, event: Event) -> Option<Event> {
        let is_limited =
            event.class == EventClass::Alarm || event.kind == EventKind::RequestSlowedDown;
        let key = (event.serial_number.clone(), event.kind);
        if !is_limited || self.alarms.lock().ask(key, event.at).is_ok() {
            return Some(event);
        }
        let is_decision = event.kind == EventKind::AnotherKeyRefused;
        is_decision.then_some(Event { class: EventClass::Decision, ..event })
    }
}

/// Collects the steps of one request, and becomes its follow-up.
struct Trace<'a> {
    act: Act,
    caller: &'a Caller,
    at: Timestamp,
    steps: Vec<Step>,
}

impl<'a> Trace<'a> {
    fn new(act: Act, caller: &'a Caller, at: Timestamp) -> Self {
        Self { act, caller, at, steps: Vec::new() }
    }

    fn passed(&mut self, name: StepName, evidence: impl Into<String>) {
        self.steps.push(Step { name, passed: true, evidence: evidence.into() });
    }

    fn refused(&mut self, name: StepName, evidence: impl Into<String>) {
        self.steps.push(Step { name, passed: false, evidence: evidence.into() });
    }

    /// Forgets the steps of a decision that has to be made afresh.
    fn restart(&mut self) {
        self.steps.clear();
    }

    fn follow_up(self, serial: SerialNumber, outcome: &str, reason: &str) -> FollowUp {
        FollowUp {
            attempt: Some(Attempt {
                code: self.caller.attempt,
                at: self.at,
                serial_number: serial,
                address: self.caller.address.clone(),
                act: self.act,
                outcome: outcome.to_owned(),
                reason: reason.to_owned(),
                steps: self.steps,
            }),
            ..FollowUp::default()
        }
    }

    fn unknown(self) -> FollowUp {
        FollowUp { unknown: Some((self.caller.address.clone(), self.at)), ..FollowUp::default() }
    }

    /// The journal row of a request with a valid credential that changed nothing.
    fn decision(&self, serial: &SerialNumber, outcome: &str) -> Event {
        let kind = match outcome {
            "slow-down" => EventKind::RequestSlowedDown,
            _ => EventKind::RequestDecided,
        };
        let event = self.alarm(kind, serial, outcome.to_owned());
        Event { class: EventClass::Decision, ..event }
    }

    fn alarm(&self, kind: EventKind, serial: &SerialNumber, detail: String) -> Event {
        Event {
            at: self.at,
            class: EventClass::Alarm,
            kind,
            serial_number: Some(serial.clone()),
            certificate: None,
            attempt: Some(self.caller.attempt),
            actor: self.caller.actor(),
            detail,
        }
    }
}
