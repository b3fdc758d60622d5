//! What operators are shown: records as of now, whoever has swept or not.

use super::{DECISIONS_MAX, Provisioning, confirm::settle_holding};
use crate::certificate::{CertificateRecord, CertificateState};
use crate::device::Device;
use crate::id::{CertificateId, SerialNumber};
use crate::ports::StoreError;

/// A device and every certificate it ever had, oldest first, each with its state now.
#[derive(Clone, Debug)]
pub struct DeviceShown {
    /// The record, settled.
    pub device: Device,
    /// Its certificates.
    pub certificates: Vec<CertificateShown>,
}

/// A certificate with its state now.
#[derive(Clone, Debug)]
pub struct CertificateShown {
    /// The row.
    pub record: CertificateRecord,
    /// Where it stands now.
    pub state: CertificateState,
}

impl Provisioning {
    /// The device called `serial`, as of now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn device_show(
        &self,
        serial: &SerialNumber,
    ) -> Result<Option<DeviceShown>, StoreError> {
        let Some((mut device, rows)) = self.device_read(serial).await? else {
            return Ok(None);
        };
        let now = self.ports.clock.read().now;
        let mut moved = device.settle(now);
        let keys: Vec<_> = device.live.iter().map(|live| live.key).collect();
        for key in keys {
            let owner = self.ports.store.key_owner(&key).await?;
            if owner.is_some_and(|owner| !owner.is(serial)) {
                moved.extend(device.lose_key(&key));
            }
        }
        let shown = rows.into_iter().map(|record| {
            let live = device.live_by_id(&record.id).map(|live| live.state);
            let moved = moved.iter().rfind(|moved| moved.id == record.id).map(|moved| moved.state);
            let state = live.or(moved).unwrap_or(record.state);
            CertificateShown { record, state }
        });
        let certificates = shown.collect();
        Ok(Some(DeviceShown { device, certificates }))
    }

    /// The record and its certificates' rows, of one moment: a record from before a promotion must
    /// not stand beside a row from after it.
    async fn device_read(
        &self,
        serial: &SerialNumber,
    ) -> Result<Option<(Device, Vec<CertificateRecord>)>, StoreError> {
        let Some(mut device) = self.ports.store.device_find(serial).await? else {
            return Ok(None);
        };
        for _ in 0..DECISIONS_MAX {
            let rows = self.ports.catalogue.certificates_of(serial).await?;
            let Some(again) = self.ports.store.device_find(serial).await? else {
                return Ok(None);
            };
            if again.version == device.version {
                return Ok(Some((device, rows)));
            }
            device = again;
        }
        Err(StoreError::Unavailable("the record moved under every read".into()))
    }

    /// The certificate called `id`, as of now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn certificate_show(
        &self,
        id: &CertificateId,
    ) -> Result<Option<CertificateShown>, StoreError> {
        let Some(holding) = self.ports.store.holding_find(id).await? else {
            return Ok(None);
        };
        let record = holding.certificate.clone();
        let (state, ..) = settle_holding(holding, self.ports.clock.read().now);
        Ok(Some(CertificateShown { record, state }))
    }
}
