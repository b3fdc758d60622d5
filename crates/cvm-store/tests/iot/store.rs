//! A store whose calls a fault may strike.

use std::sync::Arc;

use async_trait::async_trait;
use cvm_core::device::Device;
use cvm_core::id::{CertificateId, KeyIdentity, SerialNumber, TokenMac};
use cvm_core::journal::Event;
use cvm_core::ports::{Change, CommitError, Holding, KeyOwner, Store, StoreError};
use cvm_core::time::Timestamp;

use crate::stage::{Fault, Stage, staged};

pub(crate) struct StagedStore {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) stage: Arc<Stage>,
}

fn unread<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("told to".into()))
}

fn unwritten() -> Result<(), CommitError> {
    Err(CommitError::Unavailable("told to".into()))
}

#[async_trait]
impl Store for StagedStore {
    async fn device_find(&self, serial: &SerialNumber) -> Result<Option<Device>, StoreError> {
        let find = || self.store.device_find(serial);
        staged!(self.stage, "device_find", find().await, unread(), unread())
    }

    async fn holding_find(&self, id: &CertificateId) -> Result<Option<Holding>, StoreError> {
        let find = || self.store.holding_find(id);
        staged!(self.stage, "holding_find", find().await, unread(), unread())
    }

    /// A transaction has a token by which it is carried out once only.
    async fn device_commit(&self, change: Change) -> Result<(), CommitError> {
        match self.stage.before("device_commit").await {
            None | Some(Fault::Twice) => self.store.device_commit(change).await,
            Some(Fault::NotSent | Fault::Throttled) => unwritten(),
            Some(Fault::Lost) => {
                drop(self.store.device_commit(change).await);
                unwritten()
            }
            Some(fault) => {
                let written = self.store.device_commit(change).await;
                self.stage.after(fault).await;
                written
            }
        }
    }

    async fn key_owner(&self, key: &KeyIdentity) -> Result<Option<KeyOwner>, StoreError> {
        self.store.key_owner(key).await
    }

    async fn token_is_spent(
        &self,
        serial: &SerialNumber,
        mac: &TokenMac,
    ) -> Result<bool, StoreError> {
        self.store.token_is_spent(serial, mac).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.store.ready().await
    }

    async fn mark_raise(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.store.mark_raise(now).await
    }

    async fn mark_set(&self, now: Timestamp, event: Event) -> Result<(), StoreError> {
        self.store.mark_set(now, event).await
    }

    async fn mark_find(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.mark_find().await
    }
}
