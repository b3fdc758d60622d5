//! From a certificate that is on record to one that is bound, and what it takes the place of ended.

use futures_util::future::join;

use super::IotCorePlatform;
use super::make::is_at_work;
use crate::certificate::CertificateRecord;
use crate::device::{Device, Owed, Wanted};
use crate::id::AttemptCode;
use crate::ports::{CarryOutError, IotError};

use super::IotIssuer;

/// Whether the thing of a certificate is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThingIs {
    /// This request has seen to it.
    Made,
    /// Nobody has looked.
    ToBeMade,
}

impl IotCorePlatform {
    /// Binds and activates the certificate, and takes its reservation back. What fails lets the
    /// next one go on at once.
    pub(super) async fn finish(
        &self,
        device: Device,
        record: &CertificateRecord,
        thing: ThingIs,
    ) -> Result<(), CarryOutError> {
        let Some(attempt) = device.reservation.as_ref().map(|it| it.attempt) else {
            return Err(CarryOutError::Conflict);
        };
        let finished = match self.bind(record, thing).await {
            Ok(()) => match self.end_others(&device).await {
                Ok(()) => self.activate(device, record, attempt).await,
                Err(error) => Err(error.into()),
            },
            Err(IotError::NotFound(what)) => self.without(record, attempt, what).await,
            Err(error) => Err(error.into()),
        };
        if let Err(CarryOutError::Unavailable(_) | CarryOutError::Bug(_)) = &finished {
            self.release(&record.serial_number, attempt).await;
        }
        finished
    }

    /// Registers the certificate where we signed it, and binds it to its thing and its policy; what
    /// does not wait for each other side by side.
    async fn bind(&self, record: &CertificateRecord, thing: ThingIs) -> Result<(), IotError> {
        let iot = &self.ports.iot;
        let thing = async {
            match thing {
                ThingIs::Made => Ok(()),
                ThingIs::ToBeMade => iot.thing_create(&record.thing_name).await,
            }
        };
        let (registered, made) = join(self.register(record), thing).await;
        registered.and(made)?;
        let thing = iot.thing_attach(&record.thing_name, &record.id);
        let (attached, allowed) = join(thing, self.allow(record)).await;
        attached.and(allowed)
    }

    async fn register(&self, record: &CertificateRecord) -> Result<(), IotError> {
        match self.issuer {
            IotIssuer::Aws => Ok(()),
            IotIssuer::OwnCa => {
                let ca = self.ports.issuer.ca_certificate(&record.issuer);
                let ca = ca.ok_or(IotError::NotFound("CA of ours that signed it"))?;
                self.ports.iot.certificate_register(&record.der, &ca).await
            }
        }
    }

    /// Binds the certificate to its policy, which is made from ours where the account has none.
    async fn allow(&self, record: &CertificateRecord) -> Result<(), IotError> {
        let iot = &self.ports.iot;
        let policy = self.policy_of(record).map_err(|it| IotError::Refused(it.to_string()))?;
        match iot.policy_attach(&policy, &record.id).await {
            Err(IotError::NotFound(_)) => {
                let ours = self.ports.policies.policy_find(&record.policy).await;
                let ours = ours.map_err(|error| IotError::NotNow(error.to_string()))?;
                let ours = ours.ok_or(IotError::NotFound("policy"))?;
                iot.policy_create(&policy, &ours.document).await?;
                iot.policy_attach(&policy, &record.id).await
            }
            attached => attached,
        }
    }

    /// Something is not there: where it is the certificate, somebody removed it from the account,
    /// and the device gets another.
    async fn without(
        &self,
        record: &CertificateRecord,
        attempt: AttemptCode,
        what: &'static str,
    ) -> Result<(), CarryOutError> {
        if self.ports.iot.certificate_describe(&record.id).await?.is_some() {
            let cause = format!("AWS IoT: there is no such {what}: see policy {}", record.policy);
            return Err(CarryOutError::Unavailable(cause));
        }
        self.is_gone(record, attempt).await
    }

    /// The certificate was removed from the account: it is ended here too.
    pub(super) async fn is_gone(
        &self,
        record: &CertificateRecord,
        attempt: AttemptCode,
    ) -> Result<(), CarryOutError> {
        self.give_up(&record.serial_number, attempt, Some(record.id)).await?;
        Err(CarryOutError::Conflict)
    }

    /// Ends what the new one takes the place of, before it is activated.
    async fn end_others(&self, device: &Device) -> Result<(), IotError> {
        for owed in &device.owed {
            if let Owed::Certificate { id, .. } = owed
                && device.wanted(id) == Wanted::Revoked
            {
                self.revoke(id).await?;
            }
        }
        Ok(())
    }

    /// The record, if the reservation of the certificate is still the request's; otherwise its
    /// status is made what the record says.
    pub(super) async fn still_mine(
        &self,
        record: &CertificateRecord,
        attempt: AttemptCode,
    ) -> Result<Device, CarryOutError> {
        let device = self.read(&record.serial_number).await?;
        match device.filter(|device| is_at_work(device, attempt, Some(record.id))) {
            Some(device) => Ok(device),
            None => {
                self.certificate_settle(&record.serial_number, &record.id).await?;
                Err(CarryOutError::Conflict)
            }
        }
    }
}
