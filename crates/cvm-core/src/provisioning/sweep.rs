//! The sweeper: writes what time and other devices' proofs have done already.
//!
//! No decision waits for it: everything it writes is also judged at the read. It keeps secrets and
//! live certificates from lying in the store longer than they may be used, and the lists of issued
//! and active devices from having what expired.

use super::Provisioning;
use super::platform::failure;
use crate::certificate::CertificateState;
use crate::device::{Device, Moved};
use crate::error::chain_of;
use crate::id::{KeyIdentity, SerialNumber};
use crate::journal::{Event, EventClass, EventKind};
use crate::operator::Actor;
use crate::ports::{
    CarryOutError, CertificateChange, Change, CommitError, Due, KeyOwner, Sought, StoreError,
};
use crate::time::Timestamp;

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Swept {
    /// How many devices were written.
    pub devices: usize,
    /// How many certificates were removed from the platform that nobody had recorded.
    pub orphans: usize,
    /// What could not be done; it is tried again at the next sweep.
    pub failures: Vec<String>,
}

/// Pages of a hundred expired certificates in one sweep: a fleet whose certificates expire at once
/// is written over many sweeps, so that none holds up what else is due each minute.
const OUTLIVED_PAGES_MAX: usize = 20;

/// What a sweep looks for.
#[derive(Clone, Copy)]
enum Timer {
    /// What [`Device::due_at`] names.
    Due,
    /// Certificates that expired.
    Outlived,
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
        let mut sought = Vec::new();
        for timer in [Timer::Due, Timer::Outlived] {
            sought.extend(self.sweep_all(timer, reading.now, &mut swept).await);
        }
        match self.ports.platform.orphans_end(&sought).await {
            Ok(ended) => swept.orphans = ended,
            Err(error) => swept.failures.push(chain_of(&error)),
        }
        swept
    }

    /// Returns what may have left orphans on the platform.
    async fn sweep_all(&self, timer: Timer, now: Timestamp, swept: &mut Swept) -> Vec<Sought> {
        let catalogue = &self.ports.catalogue;
        let (mut after, mut sought) = (None, Vec::new());
        let pages_max = match timer {
            Timer::Due => usize::MAX,
            Timer::Outlived => OUTLIVED_PAGES_MAX,
        };
        for _ in 0..pages_max {
            let found = match timer {
                Timer::Due => catalogue.due_devices(now, after.as_ref()).await,
                Timer::Outlived => catalogue.outlived_devices(now, after.as_ref()).await,
            };
            let due = match found {
                Ok(due) => due,
                Err(error) => {
                    swept.failures.push(chain_of(&error));
                    break;
                }
            };
            for Due { serial_number, .. } in &due {
                match self.sweep_device(serial_number, now).await {
                    Ok(is_written) => swept.devices += usize::from(is_written),
                    Err(error) => {
                        swept.failures.push(format!("{serial_number}: {}", chain_of(&error)));
                    }
                }
                sought.extend(self.sweep_platform(serial_number, swept).await);
            }
            // What moved or failed is looked at again by the next sweep, and holds up no other.
            match due.last() {
                Some(last) => after = Some(last.clone()),
                None => break,
            }
        }
        sought
    }

    /// Brings one device's record to the platform, and finishes what was left there; returns what
    /// may have left orphans. Whatever becomes of the one, the others are done.
    async fn sweep_platform(&self, serial: &SerialNumber, swept: &mut Swept) -> Vec<Sought> {
        let platform = &self.ports.platform;
        let sought = match platform.device_settle(serial, self.attempt_code()).await {
            Ok(found) => found,
            Err(error) => {
                swept.failures.push(failure(serial, &error));
                let read = self.ports.store.device_find(serial).await;
                read.ok().flatten().as_ref().map_or_else(Vec::new, Sought::of)
            }
        };
        // What is not named yet is issued only here.
        if self.require_trusted_clock(self.ports.clock.read()).is_ok() {
            match platform.certificate_complete(serial, self.attempt_code()).await {
                Ok(()) | Err(CarryOutError::Conflict | CarryOutError::Leased) => {}
                Err(error) => swept.failures.push(failure(serial, &error)),
            }
        }
        sought
    }

    /// Writes what is due of one device: a sealed key, a grace or a certificate whose time is over,
    /// and the losers of a key that it has proven. `false` where nothing is, or the record moved meanwhile.
    pub(super) async fn sweep_device(
        &self,
        serial: &SerialNumber,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(mut device) = self.ports.store.device_find(serial).await? else {
            return Ok(false);
        };
        if device.due_at().is_none_or(|due| due > now) && !device.is_outlived(now) {
            return Ok(false);
        }
        let had_sealed_key = device.sealed.is_some();
        let moved = device.settle(now);
        let is_destroyed = had_sealed_key && device.sealed.is_none();
        let contested = device.contested.len();
        let mut failure = Ok(());
        for key in std::mem::take(&mut device.contested) {
            match self.settle_contest(&key, serial, now).await {
                Ok(true) => {}
                Ok(false) => device.contested.push(key),
                Err(error) => {
                    device.contested.push(key);
                    failure = Err(error);
                }
            }
        }
        if !is_destroyed && moved.is_empty() && device.contested.len() == contested {
            return failure.map(|()| false);
        }
        let event = event(&device, now, EventKind::PrivateKeyDestroyed);
        let mut events = event.of_moves(&moved);
        events.extend(is_destroyed.then_some(event));
        let is_written = self.write(device, moved, events, now).await?;
        failure.map(|()| is_written)
    }

    /// Ends what others have lost with `key` to `serial`, or to an operator's word; `true` once none
    /// of it is left. When the key has become another device's, `serial` has nothing to win any more.
    async fn settle_contest(
        &self,
        key: &KeyIdentity,
        serial: &SerialNumber,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.end_losers(key, serial, now).await?;
        let owner = self.ports.store.key_owner(key).await?;
        if !owner.is_some_and(|owner| owner == KeyOwner::Compromised || owner.is(serial)) {
            return Ok(true);
        }
        let claims = self.ports.catalogue.claims_of(key).await?;
        Ok(!claims.iter().any(|claim| claim != serial))
    }

    /// Ends what other devices hold for a key that `owner` has proven. One that cannot be read or
    /// written holds up no other.
    pub(super) async fn end_losers(
        &self,
        key: &KeyIdentity,
        owner: &SerialNumber,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut ended = Ok(());
        for claim in self.ports.catalogue.claims_of(key).await? {
            if claim != *owner {
                ended = ended.and(self.end_loser(&claim, key, now).await.map(drop));
            }
        }
        ended
    }

    /// Ends what `serial` holds for a key that another device has proven; nothing where the key has
    /// become its own meanwhile, or nobody's.
    pub(super) async fn end_loser(
        &self,
        serial: &SerialNumber,
        key: &KeyIdentity,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(mut device) = self.ports.store.device_find(serial).await? else {
            return Ok(false);
        };
        // After the record: whoever proves the key from here on moves the record's version.
        let owner = self.ports.store.key_owner(key).await?;
        if owner.is_none_or(|owner| owner.is(serial)) {
            return Ok(false);
        }
        let mut moved = device.settle(now);
        let lost = device.lose_key(key);
        let event = event(&device, now, EventKind::CertificateKeyLost);
        let mut events = event.of_moves(&moved);
        let revoked = lost.iter().filter(|lost| lost.state == CertificateState::Revoked);
        events.extend(revoked.map(|lost| Event { certificate: Some(lost.id), ..event.clone() }));
        moved.extend(lost);
        // What expired is written too: as long as its row is live, it is a claim to the key.
        if moved.is_empty() {
            return Ok(false);
        }
        self.write(device, moved, events, now).await
    }

    /// Writes what was swept; `false` where the record moved meanwhile.
    async fn write(
        &self,
        device: Device,
        moved: Vec<Moved>,
        events: Vec<Event>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let change = Change::new(device, CertificateChange::moves(moved, now), events);
        match self.device_commit(change).await {
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
