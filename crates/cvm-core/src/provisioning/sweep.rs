//! The sweeper: writes what time and other devices' proofs have done already.
//!
//! No decision waits for it: everything it writes is also judged at the read. It keeps secrets and
//! live certificates from lying in the store longer than they may be used.

use super::Provisioning;
use crate::device::{Device, Ended};
use crate::error::chain_of;
use crate::id::{KeyIdentity, SerialNumber};
use crate::journal::{Event, EventClass, EventKind};
use crate::operator::Actor;
use crate::ports::{CertificateChange, Change, CommitError, StoreError};
use crate::time::Timestamp;

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Swept {
    /// How many devices were written.
    pub devices: usize,
    /// What could not be done; it is tried again at the next sweep.
    pub failures: Vec<String>,
}

impl Provisioning {
    /// Does every timer that is due. One device that cannot be read or written holds up no other.
    pub async fn sweep(&self) -> Swept {
        let mut swept = Swept::default();
        let reading = self.ports.clock.read();
        // A clock that is not to be trusted destroys nothing.
        if !reading.is_trusted {
            return swept;
        }
        loop {
            let due = match self.ports.catalogue.due_devices(reading.now).await {
                Ok(due) => due,
                Err(error) => {
                    swept.failures.push(chain_of(&error));
                    return swept;
                }
            };
            let before = swept.devices;
            for serial in &due {
                match self.sweep_device(serial, reading.now).await {
                    Ok(is_written) => swept.devices += usize::from(is_written),
                    Err(error) => swept.failures.push(format!("{serial}: {}", chain_of(&error))),
                }
            }
            // What is left is not to be had now: it moved, or it failed.
            if swept.devices == before {
                return swept;
            }
        }
    }

    /// Writes what is due of one device: a sealed key whose time is over, and the losers of a key
    /// that it has proven. `false` where nothing is, or the record moved meanwhile.
    pub(super) async fn sweep_device(
        &self,
        serial: &SerialNumber,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(mut device) = self.ports.store.device_find(serial).await? else {
            return Ok(false);
        };
        if device.due_at().is_none_or(|due| due > now) {
            return Ok(false);
        }
        let had_sealed_key = device.sealed.is_some();
        let ended = device.settle(now);
        let is_destroyed = had_sealed_key && device.sealed.is_none();
        if let Some(key) = device.contested {
            self.end_losers(&key, serial, now).await?;
            let claims = self.ports.catalogue.claims_of(&key).await?;
            let is_over = claims.iter().all(|claim| claim == serial);
            device.contested = device.contested.filter(|_| !is_over);
            if !is_over && !is_destroyed {
                return Ok(false);
            }
        }
        let events = is_destroyed.then(|| event(&device, now, EventKind::PrivateKeyDestroyed));
        self.write(device, ended, events, now).await
    }

    /// Ends what other devices hold for a key that `owner` has proven.
    pub(super) async fn end_losers(
        &self,
        key: &KeyIdentity,
        owner: &SerialNumber,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for claim in self.ports.catalogue.claims_of(key).await? {
            if claim != *owner {
                self.end_loser(&claim, key, now).await?;
            }
        }
        Ok(())
    }

    /// Ends what `serial` holds for a key that another device has proven.
    async fn end_loser(
        &self,
        serial: &SerialNumber,
        key: &KeyIdentity,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(mut device) = self.ports.store.device_find(serial).await? else {
            return Ok(false);
        };
        let mut ended = device.settle(now);
        let lost = device.lose_key(key);
        let lost_one = lost.first().map(|lost| lost.id);
        ended.extend(lost);
        if ended.is_empty() {
            return Ok(false);
        }
        let event = event(&device, now, EventKind::CertificateKeyLost);
        let event = lost_one.map(|id| Event { certificate: Some(id), ..event });
        self.write(device, ended, event, now).await
    }

    /// Writes what was swept; `false` where the record moved meanwhile.
    async fn write(
        &self,
        device: Device,
        ended: Vec<Ended>,
        event: Option<Event>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let change = Change {
            device,
            certificates: CertificateChange::endings(ended, now),
            key: None,
            thing: None,
            events: event.into_iter().collect(),
        };
        match self.ports.store.device_commit(change).await {
            Ok(()) => Ok(true),
            Err(CommitError::Conflict | CommitError::KeyOwned | CommitError::ThingNameTaken) => {
                Ok(false)
            }
            Err(CommitError::Unavailable(error)) => Err(StoreError::Unavailable(error)),
        }
    }
}

fn event(device: &Device, now: Timestamp, kind: EventKind) -> Event {
    Event {
        at: now,
        class: EventClass::Change,
        kind,
        serial_number: Some(device.serial_number.clone()),
        certificate: None,
        attempt: None,
        actor: Actor::Server,
        detail: String::new(),
    }
}
