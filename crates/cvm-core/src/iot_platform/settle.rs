//! What is owed: the platform is told what the record says, after its commit, and again.

use std::collections::BTreeSet;

use super::{BRACKET, IotCorePlatform, TRIES};
use crate::device::{Device, Owed, Wanted};
use crate::id::{CertificateId, SerialNumber, ThingName};
use crate::ports::{CarryOutError, Change, CommitError, IotError, IotStatus};
use crate::time::Timestamp;

/// Whether something is still owed once it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paid {
    /// It is told again later.
    Again,
    /// It is not owed any more.
    Done,
}

impl IotCorePlatform {
    /// Does what is owed for the device; the record as it is then. Whatever fails, the rest is done.
    pub(super) async fn pay(&self, serial: &SerialNumber) -> Result<Option<Device>, CarryOutError> {
        let mut told = BTreeSet::new();
        for _ in 0..TRIES {
            let Some(device) = self.read(serial).await? else { return Ok(None) };
            let due = due(&device, &told);
            if due.owed.is_empty() {
                return Ok(Some(device));
            }
            let (left, failed) = self.pay_all(&due).await;
            told.extend(due.owed.iter().filter_map(certificate_of));
            let version = device.version;
            if left != device.owed {
                let paid = Device { owed: left, ..device };
                match self.commit(Change::new(paid, Vec::new(), Vec::new())).await {
                    Ok(device) => return failed.map_or(Ok(Some(device)), Err),
                    Err(CommitError::Conflict) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            // What was said may not hold any more.
            match self.read(serial).await? {
                Some(again) if again.version != version => {}
                again => return Ok(again),
            }
        }
        Err(CarryOutError::Unavailable(String::from("the record moved under every attempt")))
    }

    /// Does all of it once; what of it is still owed, and the first failure.
    async fn pay_all(&self, device: &Device) -> (Vec<Owed>, Option<CarryOutError>) {
        let began = self.ports.stopwatch.elapsed();
        let (mut left, mut failed, mut is_told) = (Vec::new(), None, true);
        // Certificates first: a session that ends comes back while they are active, and a thing
        // goes last.
        let mut in_order: Vec<_> = device.owed.iter().collect();
        in_order.sort_by_key(|owed| match owed {
            Owed::Certificate { .. } => 0,
            Owed::Session { .. } => 1,
            Owed::Orphan { .. } | Owed::Thing { .. } => 2,
        });
        for owed in in_order {
            let late = self.ports.stopwatch.elapsed().saturating_sub(began) > BRACKET;
            if late {
                left.push(owed.clone());
                continue;
            }
            let paid = match owed {
                Owed::Certificate { id, until } => self
                    .apply(device, id)
                    .await
                    .map(|()| if self.now() > *until { Paid::Done } else { Paid::Again }),
                // Until the list of certificates was read after its time.
                Owed::Orphan { .. } => Ok(Paid::Again),
                Owed::Session { thing } => match self.ports.iot.connection_delete(thing).await {
                    // What is ACTIVE all the same lets its device come back at once.
                    Ok(()) | Err(IotError::NotFound(_)) if !is_told => Ok(Paid::Again),
                    Ok(()) | Err(IotError::NotFound(_)) => Ok(Paid::Done),
                    Err(error) => Err(error.into()),
                },
                Owed::Thing { thing } => self.remove(device, thing).await,
            };
            match paid {
                Ok(Paid::Done) => {}
                Ok(Paid::Again) => left.push(owed.clone()),
                Err(error) => {
                    is_told &= certificate_of(owed).is_none();
                    left.push(owed.clone());
                    failed = failed.or(Some(error));
                }
            }
        }
        left.sort_by_key(|owed| device.owed.iter().position(|it| it == owed));
        (left, failed)
    }

    /// Makes the status of one certificate what the record says, whoever moves it meanwhile.
    pub(super) async fn certificate_settle(
        &self,
        serial: &SerialNumber,
        id: &CertificateId,
    ) -> Result<(), CarryOutError> {
        for _ in 0..TRIES {
            let Some(device) = self.read(serial).await? else { return Ok(()) };
            self.apply(&device, id).await?;
            let again = self.read(serial).await?;
            if again.is_none_or(|again| again.version == device.version) {
                return Ok(());
            }
        }
        Err(CarryOutError::Unavailable(String::from("the record moved under every attempt")))
    }

    async fn apply(&self, device: &Device, id: &CertificateId) -> Result<(), CarryOutError> {
        let set = |status| self.ports.iot.certificate_status_set(id, status);
        let told = match device.wanted(id) {
            Wanted::Active => set(IotStatus::Active).await,
            Wanted::AsItIs => Ok(()),
            Wanted::Inactive => set(IotStatus::Inactive).await,
            Wanted::Revoked => self.revoke(id).await,
        };
        match told {
            // It never came there, or was removed from the account.
            Ok(()) | Err(IotError::NotFound(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// REVOKED, and its policy taken from it: what comes back ACTIVE can do nothing.
    pub(super) async fn revoke(&self, id: &CertificateId) -> Result<(), IotError> {
        let iot = &self.ports.iot;
        match iot.certificate_status_set(id, IotStatus::Revoked).await {
            Err(IotError::NotFound(_)) => return Ok(()),
            told => told?,
        }
        let row = self.row(id).await.map_err(|error| IotError::NotNow(error.to_string()))?;
        let Some(record) = row else { return Ok(()) };
        let policy = self.policy_of(&record).map_err(|it| IotError::Refused(it.to_string()))?;
        match iot.policy_detach(&policy, id).await {
            Ok(()) | Err(IotError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes the thing of a deleted device. One to which others have bound certificates stays.
    async fn remove(&self, device: &Device, thing: &ThingName) -> Result<Paid, CarryOutError> {
        let rows = self.ports.catalogue.certificates_of(&device.serial_number).await?;
        let ours = rows.iter().filter(|row| row.thing_name == *thing);
        let ours: Vec<_> = ours.map(|row| row.id).collect();
        match self.ports.iot.thing_delete(thing, &ours).await {
            Ok(()) | Err(IotError::NotFound(_) | IotError::Conflict(_)) => Ok(Paid::Done),
            Err(error) => Err(error.into()),
        }
    }
}

/// The record with what is owed now: also the status of what was `told` already, by a record that
/// moved since, though another has paid it meanwhile.
fn due(device: &Device, told: &BTreeSet<CertificateId>) -> Device {
    let mut due = device.clone();
    for id in told {
        if !device.owed.iter().filter_map(certificate_of).any(|owed| owed == *id) {
            due.owed.push(Owed::Certificate { id: *id, until: Timestamp(0) });
        }
    }
    due
}

fn certificate_of(owed: &Owed) -> Option<CertificateId> {
    match owed {
        Owed::Certificate { id, .. } => Some(*id),
        Owed::Orphan { .. } | Owed::Session { .. } | Owed::Thing { .. } => None,
    }
}
