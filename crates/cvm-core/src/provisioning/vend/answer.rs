//! Answers: the certificate's bytes with what goes with them.

use super::key::Vending;
use super::{Outcome, Provisioning, Refusal, Settled, Trace, Vended};
use crate::attempt::StepName;
use crate::certificate::CertificateRecord;
use crate::device::{Device, Ended};
use crate::id::CertificateId;
use crate::journal::{Event, EventClass, EventKind};
use crate::key::PrivateKey;
use crate::ports::{CertificateChange, Change, CommitError};
use crate::time::Timestamp;

impl Provisioning {
    /// Answers the bytes of `id` again.
    pub(super) async fn answer(
        &self,
        id: &CertificateId,
        settled: Settled<'_>,
    ) -> Result<Outcome, Refusal> {
        if let Some(held) = settled.held.filter(|held| held.id == *id) {
            return self.vended(held, None, false);
        }
        let held = self.ports.store.holding_find(id).await;
        let held = held.map_err(|error| Refusal::unavailable(&error))?;
        // Bytes are given only of the moment that was decided upon.
        match held.filter(|held| held.device.version == settled.device.version) {
            Some(held) => self.vended(held.certificate, None, false),
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
        let Settled { mut device, mut ended, held, .. } = settled;
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
        ended.extend(device.settle(vending.reading.now));
        match self.commit(device, ended, event, vending.reading.now).await {
            Ok(true) => self.vended(held, Some(private_key), false),
            Ok(false) => Ok(Outcome::Moved),
            Err(refusal) => Err(refusal),
        }
    }

    /// Writes a change that binds no key; `false` where the record moved.
    async fn commit(
        &self,
        device: Device,
        ended: Vec<Ended>,
        event: Event,
        at: Timestamp,
    ) -> Result<bool, Refusal> {
        let change = Change {
            device,
            certificates: CertificateChange::endings(ended, at),
            key: None,
            thing: None,
            events: vec![event],
        };
        match self.ports.store.device_commit(change).await {
            Ok(()) => Ok(true),
            Err(CommitError::Conflict | CommitError::KeyOwned | CommitError::ThingNameTaken) => {
                Ok(false)
            }
            Err(error @ CommitError::Unavailable(_)) => Err(Refusal::unavailable(&error)),
        }
    }

    pub(super) fn vended(
        &self,
        certificate: CertificateRecord,
        private_key: Option<PrivateKey>,
        is_new: bool,
    ) -> Result<Outcome, Refusal> {
        let Some(chain) = self.ports.issuer.chain(&certificate.issuer) else {
            let cause = format!("no chain for issuer {}", certificate.issuer);
            return Err(Refusal::unavailable_for("", &cause));
        };
        Ok(Outcome::Answered(Box::new(Vended { certificate, chain, private_key, is_new })))
    }
}
