//! The registry: what every decision is made from, read consistently, and changes, each in one
//! transaction.

use async_trait::async_trait;
use cvm_core::device::Device;
use cvm_core::id::{CertificateId, KeyIdentity, SerialNumber, TokenMac};
use cvm_core::journal::Event;
use cvm_core::ports::{Change, CommitError, Holding, KeyOwner, Store, StoreError};
use cvm_core::time::Timestamp;

use super::DynamoStore;
use super::calls::{TRIES_MAX, Written};
use super::expression::{Changes, Condition};
use super::failure::Failure;
use super::item::{Item, attributes, number};
use super::journal::contended;
use super::key::Key;
use super::record;
use super::transact::{Action, Write};

#[async_trait]
impl Store for DynamoStore {
    async fn device_find(&self, serial: &SerialNumber) -> Result<Option<Device>, StoreError> {
        let item = self.calls.get(&Key::device(serial)).await?;
        Ok(item.as_ref().map(record::device).transpose()?)
    }

    async fn devices_find(
        &self,
        serials: Vec<SerialNumber>,
    ) -> Vec<Result<Option<Device>, StoreError>> {
        let found = self.calls.get_each(serials.iter().map(Key::device).collect()).await;
        let find = |serial: &SerialNumber| match &found {
            Err(failure) => Err(failure.clone()),
            Ok(items) => items.get(&Key::device(serial)).map(record::device).transpose(),
        };
        serials.iter().map(|serial| find(serial).map_err(StoreError::from)).collect()
    }

    async fn holding_find(&self, id: &CertificateId) -> Result<Option<Holding>, StoreError> {
        Ok(self.holding(id).await?)
    }

    async fn key_owner(&self, key: &KeyIdentity) -> Result<Option<KeyOwner>, StoreError> {
        let Some(item) = self.calls.get(&Key::key_owner(key)).await? else { return Ok(None) };
        let owner = record::named_owner(&item)?;
        let KeyOwner::Device(serial) = &owner else { return Ok(Some(owner)) };
        let device = self.calls.get(&Key::device(serial)).await?;
        let is_released = record::is_released(&item, device.as_ref())?;
        Ok(Some(owner).filter(|_| !is_released))
    }

    async fn token_is_spent(
        &self,
        serial: &SerialNumber,
        mac: &TokenMac,
    ) -> Result<bool, StoreError> {
        Ok(self.calls.get(&Key::spent(serial, mac)).await?.is_some())
    }

    async fn device_commit(&self, change: Change) -> Result<(), CommitError> {
        self.commit_one(&change).await
    }

    async fn devices_commit(&self, changes: Vec<Change>) -> Vec<Result<(), CommitError>> {
        self.commit_many(&changes).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.calls.put(Key::ready().attributes(), None).await?;
        Ok(())
    }

    async fn mark_raise(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let set = vec![("at", number(now.0))];
        let is_later = Condition::Below("at", number(now.0));
        let condition = Condition::Any(vec![Condition::Lacks("at"), is_later]);
        let changes = Changes { set, ..Changes::default() };
        let written = self.calls.update(&Key::mark(), &changes, Some(&condition)).await?;
        let (Written::Done(before) | Written::Refused(before)) = written;
        Ok(mark_of(before.as_ref())?)
    }

    async fn mark_set(&self, now: Timestamp, event: Event) -> Result<(), StoreError> {
        let mark = attributes(&Key::mark(), [("at", number(now.0))]);
        self.record(vec![Write::always(Action::Put(mark))], &event).await
    }

    async fn mark_find(&self) -> Result<Option<Timestamp>, StoreError> {
        let item = self.calls.get(&Key::mark()).await?;
        Ok(mark_of(item.as_ref())?)
    }
}

fn mark_of(item: Option<&Item>) -> Result<Option<Timestamp>, Failure> {
    let at = item.map(|item| item.number_if("at")).transpose()?;
    Ok(at.flatten().map(Timestamp))
}

impl DynamoStore {
    /// The row is read first, because it names the others; what it names never changes.
    async fn holding(&self, id: &CertificateId) -> Result<Option<Holding>, Failure> {
        let Some(row) = self.calls.get(&Key::certificate(id)).await? else { return Ok(None) };
        let row = record::certificate(&row)?;
        let mut keys =
            vec![Key::certificate(id), Key::device(&row.serial_number), Key::key_owner(&row.key)];
        for _ in 0..TRIES_MAX {
            let found = self.calls.get_together(&keys).await?;
            let [Some(certificate), device, owner, others @ ..] = found.as_slice() else {
                let what = format!("certificate {id} was there and is not any more");
                return Err(Failure::Corrupt(what));
            };
            let Some(device) = device else {
                return Err(Failure::Corrupt(format!("certificate {id} has no device")));
            };
            let mut holding = Holding {
                certificate: record::certificate(certificate)?,
                device: record::device(device)?,
                key_owner: None,
            };
            let Some(owner) = owner else { return Ok(Some(holding)) };
            let named = record::named_owner(owner)?;
            let key = match &named {
                KeyOwner::Device(serial) => Key::device(serial),
                KeyOwner::Compromised => {
                    holding.key_owner = Some(named);
                    return Ok(Some(holding));
                }
            };
            let place = keys.iter().position(|known| *known == key);
            let known = place.and_then(|place| found.get(place));
            if let Some(its_device) = known {
                let is_released = record::is_released(owner, its_device.as_ref())?;
                holding.key_owner = Some(named).filter(|_| !is_released);
                return Ok(Some(holding));
            }
            // The key is another device's, whose word counts too: all of it again, with that one.
            keys.truncate(keys.len() - others.len());
            keys.push(key);
        }
        Err(contended())
    }
}
