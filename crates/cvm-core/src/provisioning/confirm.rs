//! Confirmation: the first use of a certificate, durable before it is answered.

use super::{Caller, DECISIONS_MAX, FollowUp, Provisioning, Refusal, Trace};
use crate::attempt::{Act, StepName};
use crate::certificate::CertificateState;
use crate::device::Ended;
use crate::id::{CertificateId, SerialNumber};
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
    /// Confirms the certificate that the caller proved possession of in its handshake: its token
    /// is burnt and its key is this device's from now on. Doing it again changes nothing.
    pub async fn confirm(
        &self,
        shown: Option<CertificateId>,
        caller: &Caller,
    ) -> (Result<Confirmed, Refusal>, FollowUp) {
        let now = self.ports.clock.read().now;
        let mut trace = Trace::new(Act::Confirm, caller, now);
        let Some(id) = shown else {
            return (Err(Refusal::CertificateRequired), FollowUp::default());
        };
        let mut device = None;
        for _ in 0..DECISIONS_MAX {
            trace.restart();
            let holding = match self.ports.store.holding_find(&id).await {
                Ok(Some(holding)) => holding,
                Ok(None) => return (Err(Refusal::CertificateUnknown), trace.unknown()),
                Err(error) => return (Err(Refusal::unavailable(&error)), FollowUp::default()),
            };
            let serial_number = holding.device.serial_number.clone();
            device = Some(serial_number.clone());
            let key = holding.certificate.key;
            let done = self.confirm_once(holding, &mut trace).await;
            match done {
                Ok(Some(())) => {
                    let mut after = trace.follow_up(serial_number.clone(), "confirmed", "");
                    after.proven = Some((key, serial_number.clone()));
                    return (Ok(Confirmed { serial_number }), after);
                }
                Ok(None) => {}
                Err(refusal) => {
                    let kind = EventKind::RevokedCertificateUsed;
                    let alarm = (refusal == Refusal::CertificateRevoked).then(|| Event {
                        certificate: Some(id),
                        ..trace.alarm(kind, &serial_number, String::new())
                    });
                    let mut after =
                        trace.follow_up(serial_number, refusal.slug(), refusal.reason());
                    after.events.extend(alarm);
                    return (Err(refusal), after);
                }
            }
        }
        let refusal = Refusal::contended();
        let noted = device.map(|serial| trace.follow_up(serial, refusal.slug(), ""));
        (Err(refusal), noted.unwrap_or_default())
    }

    /// One decision on the holding as it was read; `None` where the record moved meanwhile.
    async fn confirm_once(
        &self,
        holding: Holding,
        trace: &mut Trace<'_>,
    ) -> Result<Option<()>, Refusal> {
        let id = holding.certificate.id;
        let key = holding.certificate.key;
        let (state, mut device, ended) = settle_holding(holding, trace.at);
        if let Err(refusal) = usable(state, device.disabled) {
            trace.refused(StepName::Certificate, format!("{state} {id}"));
            return Err(refusal);
        }
        trace.passed(StepName::Certificate, format!("{state} {id}"));
        if state == CertificateState::Current {
            return Ok(Some(()));
        }
        device.confirm(&id);
        // Whoever else holds an unconfirmed certificate for the key loses it in this commit. That is
        // judged at every read, and written once the answer has left; the record remembers it for
        // the sweeper, in case this process ends before.
        let claims = self.ports.catalogue.claims_of(&key).await;
        let claims = claims.map_err(|error| Refusal::unavailable(&error))?;
        device.contested = claims.iter().any(|it| *it != device.serial_number).then_some(key);
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
        let mut certificates = CertificateChange::endings(ended, trace.at);
        certificates.push(CertificateChange::Confirm(id, trace.at));
        let change = Change {
            device,
            certificates,
            key: Some(KeyRule::Own(key)),
            thing: None,
            events: vec![event],
        };
        match self.ports.store.device_commit(change).await {
            Ok(()) => {
                trace.passed(StepName::Record, "first use: the token is burnt");
                Ok(Some(()))
            }
            // Who lost the race for the key finds itself refused at the next read.
            Err(CommitError::Conflict | CommitError::KeyOwned | CommitError::ThingNameTaken) => {
                Ok(None)
            }
            Err(error @ CommitError::Unavailable(_)) => Err(Refusal::unavailable(&error)),
        }
    }
}

/// The holding's certificate state and record as of `now`, whoever has swept or not.
pub(super) fn settle_holding(
    holding: Holding,
    now: Timestamp,
) -> (CertificateState, crate::device::Device, Vec<Ended>) {
    let Holding { certificate, mut device, key_owner } = holding;
    let mut ended = device.settle(now);
    if key_owner.is_some_and(|owner| owner != device.serial_number) {
        ended.extend(device.lose_key(&certificate.key));
    }
    let is_this = |ended: &&Ended| ended.id == certificate.id;
    let state = match (device.live_by_id(&certificate.id), ended.iter().find(is_this)) {
        (Some(live), _) => live.state,
        (None, Some(ended)) => ended.state,
        // A record that lost sight of a certificate does not let it in.
        (None, None) if certificate.state.is_live() => CertificateState::Superseded,
        (None, None) => certificate.state,
    };
    (state, device, ended)
}

/// Of several reasons to refuse, the first that holds, in the contract's order: revoked,
/// superseded, inactive, expired.
fn usable(state: CertificateState, is_disabled: bool) -> Result<(), Refusal> {
    match state {
        CertificateState::Revoked => Err(Refusal::CertificateRevoked),
        CertificateState::Dropped | CertificateState::Superseded | CertificateState::Retiring => {
            Err(Refusal::CertificateSuperseded)
        }
        CertificateState::Candidate
        | CertificateState::Current
        | CertificateState::Expired
        | CertificateState::Unconfirmed
            if is_disabled =>
        {
            Err(Refusal::CertificateInactive)
        }
        CertificateState::Expired => Err(Refusal::CertificateExpired),
        CertificateState::Candidate | CertificateState::Current | CertificateState::Unconfirmed => {
            Ok(())
        }
    }
}
