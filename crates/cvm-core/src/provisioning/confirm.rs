//! The use of a certificate; the first one is its confirmation, durable before it is answered.

use super::possession::Possession;
use super::{Caller, DECISIONS_MAX, FollowUp, Provisioning, Refusal, Shown, Trace};
use crate::attempt::{Act, StepName};
use crate::certificate::CertificateState;
use crate::device::{Device, Moved};
use crate::id::{CertificateId, KeyIdentity, SerialNumber};
use crate::journal::{Event, EventClass, EventKind};
use crate::ports::{CertificateChange, Change, CommitError, Holding, KeyRule};
use crate::time::Timestamp;

/// A certificate that was used by its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The device.
    pub serial_number: SerialNumber,
}

impl Provisioning {
    /// Confirms the certificate that the caller proves possession of: its token
    /// is burnt where the profile says so, and its key is this device's from now on. A candidate
    /// is promoted. Doing it again changes nothing.
    pub async fn confirm(
        &self,
        shown: impl Into<Shown<'_>>,
        caller: &Caller,
    ) -> (Result<Confirmed, Refusal>, FollowUp) {
        self.use_certificate(Act::Confirm, shown.into(), caller).await
    }

    /// Lets a connection in. It confirms as [`Self::confirm`] does; a retiring certificate is let
    /// in as well, and confirms nothing.
    pub async fn connect(
        &self,
        shown: impl Into<Shown<'_>>,
        caller: &Caller,
    ) -> (Result<Confirmed, Refusal>, FollowUp) {
        self.use_certificate(Act::Connect, shown.into(), caller).await
    }

    async fn use_certificate(
        &self,
        act: Act,
        shown: Shown<'_>,
        caller: &Caller,
    ) -> (Result<Confirmed, Refusal>, FollowUp) {
        let now = self.ports.clock.read().now;
        let mut trace = Trace::new(act, caller, now);
        let mut possession = match self.possession_of(shown, now) {
            Ok(possession) => possession,
            Err(refusal) => return (Err(refusal), FollowUp::default()),
        };
        let id = possession.id;
        let mut device = None;
        for _ in 0..DECISIONS_MAX {
            let holding = match self.holding_of(&mut possession, &mut trace).await {
                Ok(holding) => holding,
                Err((refusal, after)) => return (Err(refusal), after),
            };
            let serial_number = holding.device.serial_number.clone();
            device = Some(serial_number.clone());
            match self.use_once(holding, &mut trace).await {
                Ok(Some(proven)) => {
                    let outcome = match act {
                        Act::Connect => "connected",
                        Act::Confirm | Act::Other | Act::Renew | Act::Vend => "confirmed",
                    };
                    let mut after = trace.follow_up(serial_number.clone(), outcome, "");
                    after.proven = proven.key.map(|key| (key, serial_number.clone()));
                    return (Ok(Confirmed { serial_number }), after);
                }
                Ok(None) => {}
                Err(refusal) => {
                    trace.end(&refusal);
                    let after = trace.certificate_refused(&id, serial_number, &refusal);
                    return (Err(refusal), after);
                }
            }
        }
        let (refusal, after) = trace.contended(device);
        (Err(refusal), after)
    }

    /// The certificate that was shown, with its device, for a decision to be made afresh; or the
    /// refusal, and what follows from it.
    pub(super) async fn holding_of(
        &self,
        possession: &mut Possession<'_>,
        trace: &mut Trace<'_>,
    ) -> Result<Holding, (Refusal, FollowUp)> {
        trace.restart();
        let id = possession.id;
        match self.ports.store.holding_find(&id).await {
            Ok(Some(holding)) => {
                self.prove(possession, &holding, trace).await?;
                Ok(holding)
            }
            Ok(None) => {
                trace.refused(StepName::Certificate, format!("{id} is not in the registry"));
                let refusal = Refusal::CertificateUnknown;
                let after = trace.unknown(SerialNumber::nobody(), &refusal);
                Err((refusal, after))
            }
            Err(error) => Err((Refusal::unavailable(&error), FollowUp::default())),
        }
    }

    /// One decision on the holding as it was read; `None` where the record moved meanwhile.
    async fn use_once(
        &self,
        holding: Holding,
        trace: &mut Trace<'_>,
    ) -> Result<Option<Proven>, Refusal> {
        let id = holding.certificate.id;
        let (state, mut device, mut moved) = settle_holding(holding, trace.at);
        if let Err(refusal) = usable(state, device.disabled, trace.act) {
            trace.refused(StepName::Certificate, format!("{state} {id}"));
            return Err(refusal);
        }
        trace.passed(StepName::Certificate, format!("{state} {id}"));
        let key = self.take_note_of_use(&mut device, &id, trace.at, &mut moved).await?;
        let event = Event {
            at: trace.at,
            class: EventClass::Change,
            kind: EventKind::CertificateConfirmed,
            serial_number: Some(device.serial_number.clone()),
            certificate: Some(id),
            attempt: Some(trace.caller.attempt),
            actor: trace.caller.actor(),
            detail: String::new(),
        };
        let mut events = event.of_moves(&moved);
        // What time alone did is judged at every read; there is nothing to write for it.
        if key.is_none() && events.is_empty() {
            return Ok(Some(Proven { key }));
        }
        let mut certificates = CertificateChange::moves(moved, trace.at);
        if key.is_some() {
            certificates.push(CertificateChange::Confirm(id, trace.at));
            events.push(event);
        }
        let keys = key.map(KeyRule::Own).into_iter().collect();
        let change = Change { keys, ..Change::new(device, certificates, events) };
        match self.device_commit(change).await {
            Ok(()) => {
                let what = if key.is_some() { "first use" } else { "its candidate is dropped" };
                trace.passed(StepName::Record, what);
                Ok(Some(Proven { key }))
            }
            // Who lost the race for the key finds itself refused at the next read.
            Err(CommitError::Conflict | CommitError::KeyOwned | CommitError::ThingNameTaken) => {
                Ok(None)
            }
            Err(error @ CommitError::Unavailable(_)) => Err(Refusal::unavailable(&error)),
        }
    }

    /// Notes in the record that the certificate called `id` was used; returns its key where this
    /// is its first use.
    ///
    /// Whoever else holds an unconfirmed certificate for the key loses it in the same commit. That
    /// is judged at every read, and written once the answer has left; the record remembers it for
    /// the sweeper, in case this process ends before.
    pub(super) async fn take_note_of_use(
        &self,
        device: &mut Device,
        id: &CertificateId,
        now: Timestamp,
        moved: &mut Vec<Moved>,
    ) -> Result<Option<KeyIdentity>, Refusal> {
        let profile = self.profiles.find_or_default(&device.profile);
        let Some(confirmation) = device.confirm(id, profile, now) else {
            moved.extend(device.use_current(id, now));
            return Ok(None);
        };
        moved.extend(confirmation.moved);
        let key = confirmation.key;
        let claims = self.ports.catalogue.claims_of(&key).await;
        let claims = claims.map_err(|error| Refusal::unavailable(&error))?;
        if claims.iter().any(|it| *it != device.serial_number) && !device.contested.contains(&key) {
            device.contested.push(key);
        }
        Ok(Some(key))
    }
}

/// The key that a use proved, where it was the first.
struct Proven {
    key: Option<KeyIdentity>,
}

/// The holding's certificate state and record as of `now`, whoever has swept or not.
pub(super) fn settle_holding(
    holding: Holding,
    now: Timestamp,
) -> (CertificateState, Device, Vec<Moved>) {
    let is_key_lost = holding.is_key_lost();
    let Holding { certificate, mut device, .. } = holding;
    let mut moved = device.settle(now);
    if is_key_lost {
        moved.extend(device.lose_key(&certificate.key));
    }
    let is_this = |moved: &&Moved| moved.id == certificate.id;
    let state = match (device.live_by_id(&certificate.id), moved.iter().rfind(is_this)) {
        (Some(live), _) => live.state,
        (None, Some(moved)) => moved.state,
        // A record that lost sight of a certificate does not let it in.
        (None, None) if certificate.state.is_live() => CertificateState::Superseded,
        (None, None) => certificate.state,
    };
    (state, device, moved)
}

/// Of several reasons to refuse, the first that holds, in the contract's order: revoked,
/// superseded, inactive, expired.
pub(super) fn usable(state: CertificateState, is_disabled: bool, act: Act) -> Result<(), Refusal> {
    match state {
        CertificateState::Revoked => Err(Refusal::CertificateRevoked),
        CertificateState::Dropped | CertificateState::Superseded => {
            Err(Refusal::CertificateSuperseded)
        }
        CertificateState::Retiring if act != Act::Connect => Err(Refusal::CertificateSuperseded),
        CertificateState::Candidate
        | CertificateState::Current
        | CertificateState::Expired
        | CertificateState::Retiring
        | CertificateState::Unconfirmed
            if is_disabled =>
        {
            Err(Refusal::CertificateInactive)
        }
        CertificateState::Expired => Err(Refusal::CertificateExpired),
        CertificateState::Candidate
        | CertificateState::Current
        | CertificateState::Retiring
        | CertificateState::Unconfirmed => Ok(()),
    }
}
