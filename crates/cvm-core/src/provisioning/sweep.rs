//! The sweeper: writes what time and other devices' proofs have done already.
//!
//! No decision waits for it: everything it writes is also judged at the read. It keeps secrets and
//! live certificates from lying in the store longer than they may be used.

use super::{Provisioning, chain_of};
use crate::device::{Device, Ended};
use crate::id::{KeyIdentity, SerialNumber};
use crate::journal::{Event, EventClass, EventKind};
use crate::operator::Actor;
use crate::ports::{Change, CommitError, Ports, StoreError};
use crate::registry::endings;
use crate::time::Timestamp;

impl Provisioning {
    /// Does every timer that is due, and returns how many devices it wrote.
    ///
    /// # Errors
    /// [`StoreError`]; what was not done is done at the next sweep.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        let reading = self.ports.clock.read();
        // A clock that is not to be trusted destroys nothing.
        if !reading.is_trusted {
            return Ok(0);
        }
        let mut written = 0;
        loop {
            let due = self.ports.catalogue.due_devices(reading.now).await?;
            let mut moved = 0;
            for serial in &due {
                moved += usize::from(sweep_device(&self.ports, serial, reading.now).await?);
            }
            written += moved;
            // A device that moved meanwhile is looked at again; one that cannot be is left.
            if moved == 0 {
                return Ok(written);
            }
        }
    }
}

async fn sweep_device(
    ports: &Ports,
    serial: &SerialNumber,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(mut device) = ports.store.device_find(serial).await? else { return Ok(false) };
    if device.due_at().is_none_or(|due| due > now) {
        return Ok(false);
    }
    let ended = device.settle(now);
    let event = event(&device, now, EventClass::Change, EventKind::PrivateKeyDestroyed);
    write(ports, device, ended, event).await
}

/// Ends what other devices hold for `key`, now that `owner` has proven possession of it. Returns
/// what could not be done, for the log; it is judged at the read all the same.
pub(super) async fn end_losers(
    ports: &Ports,
    key: &KeyIdentity,
    owner: &SerialNumber,
    now: Timestamp,
) -> Vec<String> {
    let claims = match ports.catalogue.claims_of(key).await {
        Ok(claims) => claims,
        Err(error) => return vec![chain_of(&error)],
    };
    let mut failures = Vec::new();
    for serial in claims.iter().filter(|serial| *serial != owner) {
        if let Err(error) = end_loser(ports, serial, key, now).await {
            failures.push(chain_of(&error));
        }
    }
    failures
}

async fn end_loser(
    ports: &Ports,
    serial: &SerialNumber,
    key: &KeyIdentity,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(mut device) = ports.store.device_find(serial).await? else { return Ok(false) };
    let mut ended = device.settle(now);
    let lost = device.lose_key(key);
    let Some(first) = lost.first().copied() else { return Ok(false) };
    ended.extend(lost);
    let event = event(&device, now, EventClass::Change, EventKind::CertificateKeyLost);
    write(ports, device, ended, Event { certificate: Some(first.id), ..event }).await
}

fn event(device: &Device, now: Timestamp, class: EventClass, kind: EventKind) -> Event {
    Event {
        at: now,
        class,
        kind,
        serial_number: Some(device.serial_number.clone()),
        certificate: None,
        attempt: None,
        actor: Actor::Server,
        detail: String::new(),
    }
}

/// Writes what was swept; `false` where the record moved meanwhile.
async fn write(
    ports: &Ports,
    device: Device,
    ended: Vec<Ended>,
    event: Event,
) -> Result<bool, StoreError> {
    let certificates = endings(ended, event.at);
    let change = Change { device, certificates, key: None, thing: None, events: vec![event] };
    match ports.store.device_commit(change).await {
        Ok(()) => Ok(true),
        Err(CommitError::Conflict | CommitError::KeyOwned | CommitError::ThingNameTaken) => {
            Ok(false)
        }
        Err(CommitError::Unavailable(error)) => Err(StoreError::Unavailable(error)),
    }
}
