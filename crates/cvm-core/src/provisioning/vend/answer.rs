//! Answers: the certificate's bytes with what goes with them.

use super::key::Vending;
use super::{Outcome, Provisioning, Refusal, Settled, Trace, Vended};
use crate::attempt::StepName;
use crate::certificate::CertificateRecord;
use crate::device::{Device, Moved};
use crate::id::CertificateId;
use crate::journal::{Event, EventClass, EventKind};
use crate::key::PrivateKey;
use crate::ports::{CertificateChange, Change, CommitError};
use crate::time::Timestamp;

impl Provisioning {
    /// Answers the bytes of `id` again.
    pub(super) fn answer(
        &self,
        id: &CertificateId,
        settled: Settled<'_>,
        vending: &Vending<'_>,
    ) -> Result<Outcome, Refusal> {
        let life_ends = settled.life_ends(id);
        match settled.held.filter(|held| held.id == *id) {
            // What this request has finished was answered to nobody before.
            Some(held) => {
                self.vended(held, life_ends, None, vending.has_completed).map(Outcome::from)
            }
            None => Ok(Outcome::Moved),
        }
    }

    /// Answers the bytes of `id` again with the key that was made for it; each time is journalled
    /// before its answer.
    pub(super) async fn replay(
        &self,
        vending: &Vending<'_>,
        settled: Settled<'_>,
        id: &CertificateId,
        trace: &mut Trace<'_>,
    ) -> Result<Outcome, Refusal> {
        let life_ends = settled.life_ends(id);
        let Settled { mut device, mut moved, held, .. } = settled;
        let (Some(held), Some(sealed)) = (held.filter(|held| held.id == *id), &mut device.sealed)
        else {
            return Ok(Outcome::Moved);
        };
        let opened = self.ports.secrets.private_key_open(
            vending.token,
            &vending.serial,
            &held.key,
            &sealed.salt,
            &sealed.ciphertext,
        );
        let private_key = opened.map_err(|error| Refusal::unavailable(&error))?;
        sealed.replays += 1;
        let event = Event {
            at: vending.reading.now,
            class: EventClass::Change,
            kind: EventKind::PrivateKeyReplayed,
            serial_number: Some(vending.serial.clone()),
            certificate: Some(*id),
            attempt: Some(trace.caller.attempt),
            actor: trace.caller.actor(),
            detail: format!("replay {}", sealed.replays),
        };
        trace.passed(StepName::Decision, "the same request: the same certificate and key");
        // The last replay destroys the sealed key in its own commit.
        moved.extend(device.settle(vending.reading.now));
        match self.commit(device, moved, event).await {
            Ok(true) => {
                let is_new = vending.has_completed;
                self.vended(held, life_ends, Some(private_key), is_new).map(Outcome::from)
            }
            Ok(false) => Ok(Outcome::Moved),
            Err(refusal) => Err(refusal),
        }
    }

    /// Writes a change that binds no key; `false` where the record moved.
    pub(super) async fn commit(
        &self,
        device: Device,
        moved: Vec<Moved>,
        event: Event,
    ) -> Result<bool, Refusal> {
        let mut events = event.of_moves(&moved);
        let certificates = CertificateChange::moves(moved, event.at);
        events.push(event);
        match self.device_commit(Change::new(device, certificates, events)).await {
            Ok(()) => Ok(true),
            Err(CommitError::Conflict | CommitError::KeyOwned | CommitError::ThingNameTaken) => {
                Ok(false)
            }
            Err(error @ CommitError::Unavailable(_)) => Err(Refusal::unavailable(&error)),
        }
    }
}

impl Provisioning {
    /// The certificate's bytes with what goes with them.
    pub(in crate::provisioning) fn vended(
        &self,
        certificate: CertificateRecord,
        life_ends: Option<Timestamp>,
        private_key: Option<PrivateKey>,
        is_new: bool,
    ) -> Result<Vended, Refusal> {
        let Some(chain) = self.ports.issuer.chain(&certificate.issuer) else {
            let cause = format!("no chain for issuer {}", certificate.issuer);
            return Err(Refusal::unavailable_for("", &cause));
        };
        let renew_after = certificate.renew_after(life_ends);
        Ok(Vended { certificate, chain, private_key, renew_after, is_new })
    }
}

impl From<Vended> for Outcome {
    fn from(vended: Vended) -> Self {
        Self::Answered(Box::new(vended))
    }
}
