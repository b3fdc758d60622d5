//! Answers: the certificate's bytes with what goes with them.

use super::key::Vending;
use super::{Outcome, Provisioning, Refusal, Settled, Trace, Vended};
use crate::attempt::StepName;
use crate::certificate::CertificateRecord;
use crate::device::{Device, Ended};
use crate::id::CertificateId;
use crate::journal::{Event, EventClass, EventKind};
use crate::key::PrivateKey;
use crate::ports::{Change, CommitError};
use crate::registry::endings;
use crate::time::Timestamp;

impl Provisioning {
    /// Answers the bytes of `id` again.
    pub(super) async fn answer(
        &self,
        id: &CertificateId,
        private_key: Option<PrivateKey>,
    ) -> Result<Outcome, Refusal> {
        let held = self.ports.store.holding_find(id).await;
        match held.map_err(|error| Refusal::unavailable(&error))? {
            Some(holding) => self.vended(holding.certificate, private_key, false),
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
        let Settled { mut device, ended, .. } = settled;
        let key = device.live_by_id(id).map(|live| live.key);
        let (Some(key), Some(sealed)) = (key, &mut device.sealed) else {
            return Ok(Outcome::Moved);
        };
        let opened = self.ports.secrets.private_key_open(
            vending.token,
            &vending.serial,
            &key,
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
        match self.commit(device, ended, event, vending.reading.now).await {
            Ok(true) => self.answer(id, Some(private_key)).await,
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
            certificates: endings(ended, at),
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
