//! What happens after the answer: attempts, decisions, alarms; and the trace that becomes it.

use std::net::IpAddr;

use super::{CONTENDED, Caller, Provisioning, Refusal};
use crate::attempt::{Act, Attempt, Step, StepName};
use crate::error::chain_of;
use crate::id::{KeyIdentity, SerialNumber};
use crate::journal::{Event, EventClass, EventKind};
use crate::key::UncheckedCsr;
use crate::limit::host_of;
use crate::ports::{KeyOwner, StoreError};
use crate::time::Timestamp;

/// What has to happen after the answer has left.
#[derive(Debug, Default)]
#[must_use = "run it after the answer has left"]
pub struct FollowUp {
    pub(super) attempt: Option<Attempt>,
    pub(super) unknown: Option<Attempt>,
    pub(super) events: Vec<Event>,
    pub(super) stranger: Option<Stranger>,
    pub(super) proven: Option<(KeyIdentity, SerialNumber)>,
}

/// A key that was shown with a burnt token and is not the device's current one: an alarm, if the
/// request proves possession of it.
#[derive(Debug)]
pub(super) struct Stranger {
    pub(super) csr: UncheckedCsr,
    pub(super) key: KeyIdentity,
    pub(super) formers: Formers,
    pub(super) alarm: Event,
}

/// What a former key of the device itself is, with a burnt token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Formers {
    /// Old, but no stranger's.
    AreKnown,
    /// As alarming as a stranger's.
    AreStrangers,
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

impl FollowUp {
    /// Whether the request is told of: otherwise nobody but its answer knows why it was refused.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.attempt.is_some() || self.unknown.is_some()
    }
}

impl Provisioning {
    /// Follows up at once what leaves nothing but a note, which waits for nothing; hands back what is
    /// for [`Provisioning::follow`]. To be called when the answer has left.
    #[must_use = "what is handed back was not begun"]
    pub fn follow_at_once(&self, mut follow_up: FollowUp) -> Option<FollowUp> {
        let FollowUp { events, stranger, proven, .. } = &follow_up;
        if !events.is_empty() || stranger.is_some() || proven.is_some() {
            return Some(follow_up);
        }
        self.note(&mut follow_up);
        None
    }

    fn note(&self, follow_up: &mut FollowUp) {
        let ports = &self.ports;
        if let Some(attempt) = follow_up.unknown.take() {
            let Attempt { address, at, .. } = attempt.clone();
            self.passing.lock().push(attempt);
            // Everybody behind one host counts together, as in the limit of refusals.
            let host = match address.parse().map(host_of) {
                Ok(IpAddr::V4(host)) => host.to_string(),
                Ok(IpAddr::V6(host)) => format!("{host}/64"),
                Err(_) => address,
            };
            ports.attempts.unknown_count(&host, at);
        }
        if let Some(attempt) = follow_up.attempt.take() {
            ports.attempts.attempt_record(attempt);
        }
    }

    /// Does what has to happen after the answer has left: attempts, decisions, alarms, and what
    /// another device's proof of a key ended.
    pub async fn follow(&self, mut follow_up: FollowUp) -> Followed {
        let ports = &self.ports;
        self.note(&mut follow_up);
        let mut events = follow_up.events;
        let mut followed = Followed::default();
        if let Some(stranger) = follow_up.stranger {
            match self.is_stranger(&stranger).await {
                Ok(true) => events.push(stranger.alarm),
                Ok(false) => {}
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
            let alarm = (event.class == EventClass::Alarm).then(|| event.clone());
            if let Err(error) = ports.journal.event_record(event).await {
                followed.failures.push(chain_of(&error));
            }
            // Without its row too: a full disk must not silence an alarm.
            if let Some(alarm) = alarm {
                followed.alarms_raised += 1;
                ports.alarms.alarm_raise(&alarm);
            }
        }
        followed
    }

    /// Whether the key is a stranger's. Only now, after the answer, is its signature verified: before
    /// it, that would tell this refusal from others.
    async fn is_stranger(&self, stranger: &Stranger) -> Result<bool, StoreError> {
        if self.ports.issuer.csr_check(&stranger.csr).is_err() {
            return Ok(false);
        }
        if stranger.formers == Formers::AreStrangers {
            return Ok(true);
        }
        let owner = self.ports.store.key_owner(&stranger.key).await?;
        let device = stranger.alarm.serial_number.as_ref();
        Ok(!matches!(owner, Some(KeyOwner::Device(owner)) if Some(&owner) == device))
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
        let is_decision =
            matches!(event.kind, EventKind::AnotherKeyPending | EventKind::AnotherKeyRefused);
        is_decision.then_some(Event { class: EventClass::Decision, ..event })
    }
}

/// Collects the steps of one request, and becomes its follow-up.
pub(super) struct Trace<'a> {
    pub(super) act: Act,
    pub(super) caller: &'a Caller,
    pub(super) at: Timestamp,
    pub(super) steps: Vec<Step>,
}

impl<'a> Trace<'a> {
    pub(super) fn new(act: Act, caller: &'a Caller, at: Timestamp) -> Self {
        Self { act, caller, at, steps: Vec::new() }
    }

    pub(super) fn passed(&mut self, name: StepName, evidence: impl Into<String>) {
        self.steps.push(Step { name, passed: true, evidence: evidence.into() });
    }

    pub(super) fn refused(&mut self, name: StepName, evidence: impl Into<String>) {
        self.steps.push(Step { name, passed: false, evidence: evidence.into() });
    }

    /// Sees to it that the last step is the one that refused.
    pub(super) fn end(&mut self, refusal: &Refusal) {
        if self.steps.last().is_some_and(|step| !step.passed) {
            return;
        }
        let evidence = match refusal.reason() {
            CONTENDED => "the record moved under every decision",
            _ => "signer or store could not",
        };
        self.refused(StepName::Record, evidence);
    }

    /// The refusal of a request whose device's record moved under every decision, and what follows.
    pub(super) fn contended(&mut self, device: Option<SerialNumber>) -> (Refusal, FollowUp) {
        let refusal = Refusal::contended();
        self.end(&refusal);
        let noted = device.map(|serial| self.noted(serial, refusal.slug(), refusal.reason()));
        (refusal, noted.unwrap_or_default())
    }

    /// Forgets the steps of a decision that has to be made afresh.
    pub(super) fn restart(&mut self) {
        self.steps.clear();
    }

    pub(super) fn follow_up(self, serial: SerialNumber, outcome: &str, reason: &str) -> FollowUp {
        self.noted(serial, outcome, reason)
    }

    /// The attempt, and nothing else.
    pub(super) fn noted(&self, serial: SerialNumber, outcome: &str, reason: &str) -> FollowUp {
        FollowUp {
            attempt: Some(Attempt {
                code: self.caller.attempt,
                at: self.at,
                serial_number: serial,
                address: self.caller.address.clone(),
                act: self.act,
                outcome: outcome.to_owned(),
                reason: reason.to_owned(),
                steps: self.steps.clone(),
            }),
            ..FollowUp::default()
        }
    }

    /// A refusal of a serial number or a certificate that nobody knows: counted, and remembered
    /// for a while.
    pub(super) fn unknown(&self, serial: SerialNumber, refusal: &Refusal) -> FollowUp {
        let noted = self.noted(serial, refusal.slug(), refusal.reason());
        FollowUp { unknown: noted.attempt, ..FollowUp::default() }
    }

    /// The journal row of a request with a valid credential that changed nothing.
    pub(super) fn decision(&self, serial: &SerialNumber, outcome: &str) -> Event {
        let kind = match outcome {
            "slow-down" => EventKind::RequestSlowedDown,
            _ => EventKind::RequestDecided,
        };
        let event = self.alarm(kind, serial, outcome.to_owned());
        Event { class: EventClass::Decision, ..event }
    }

    pub(super) fn alarm(&self, kind: EventKind, serial: &SerialNumber, detail: String) -> Event {
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
