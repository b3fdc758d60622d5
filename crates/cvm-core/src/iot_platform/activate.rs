//! Activation, in its bracket: announced by a conditional write, made soon after it, and looked at
//! again (protocol, section 5).

use super::{BRACKET, IotCorePlatform, TRIES};
use crate::certificate::CertificateRecord;
use crate::device::{Device, Stage};
use crate::id::AttemptCode;
use crate::ports::{CarryOutError, Change, CommitError, IotError, IotStatus, KeyRule};

impl IotCorePlatform {
    /// Activates the certificate and takes its reservation back. Where the device was disabled
    /// meanwhile it stays INACTIVE, and where it was ended, REVOKED.
    pub(super) async fn activate(
        &self,
        mut device: Device,
        record: &CertificateRecord,
        attempt: AttemptCode,
    ) -> Result<(), CarryOutError> {
        let iot = &self.ports.iot;
        for _ in 0..TRIES {
            let is_disabled = device.disabled;
            if is_disabled {
                iot.certificate_status_set(&record.id, IotStatus::Inactive).await?;
            } else {
                let announced = self.ports.stopwatch.elapsed();
                match self.write(&device, Some(Stage::Activating), record).await {
                    Ok(written) => device = written,
                    Err(error) => {
                        device = self.look_again(error, record, attempt).await?;
                        continue;
                    }
                }
                // The function was frozen, or the store slow: somebody may have looked since.
                if self.ports.stopwatch.elapsed().saturating_sub(announced) > BRACKET {
                    continue;
                }
                match iot.certificate_status_set(&record.id, IotStatus::Active).await {
                    Ok(()) => {}
                    Err(IotError::NotFound(_)) => return self.is_gone(record, attempt).await,
                    Err(error) => return Err(error.into()),
                }
            }
            match self.write(&device, None, record).await {
                Ok(_) if is_disabled => return Err(CarryOutError::Conflict),
                Ok(_) => return Ok(()),
                Err(error) => device = self.look_again(error, record, attempt).await?,
            }
        }
        Err(CarryOutError::Unavailable(String::from("the record moved under every attempt")))
    }

    /// Writes how far the reservation has come; with `None` it is finished.
    async fn write(
        &self,
        device: &Device,
        stage: Option<Stage>,
        record: &CertificateRecord,
    ) -> Result<Device, CommitError> {
        let mut device = device.clone();
        match (stage, &mut device.reservation) {
            (Some(stage), Some(reservation)) => reservation.stage = stage,
            (None, Some(_)) => device.finish_reserved(self.now()),
            (Some(_) | None, None) => {}
        }
        let keys = vec![KeyRule::NotOthers(record.key)];
        self.commit(Change { keys, ..Change::new(device, Vec::new(), Vec::new()) }).await
    }

    /// The record after a write that was refused, while there is something left to do.
    async fn look_again(
        &self,
        error: CommitError,
        record: &CertificateRecord,
        attempt: AttemptCode,
    ) -> Result<Device, CarryOutError> {
        match error {
            CommitError::Conflict => self.still_mine(record, attempt).await,
            CommitError::KeyOwned => {
                let lost = self.lose_key(&record.serial_number, attempt).await;
                self.certificate_settle(&record.serial_number, &record.id).await?;
                Err(lost)
            }
            CommitError::ThingNameTaken | CommitError::Unavailable(_) => Err(error.into()),
        }
    }
}
