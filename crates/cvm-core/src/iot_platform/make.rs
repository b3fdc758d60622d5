//! From an order to a certificate that is on record and INACTIVE.

use futures_util::future::join;

use super::finish::ThingIs;
use super::{IotCorePlatform, TRIES};
use crate::certificate::CertificateRecord;
use crate::device::{Device, Reservation, Stage};
use crate::id::{AttemptCode, CertificateId, SerialNumber};
use crate::key::CsrError;
use crate::operator::Actor;
use crate::ports::{
    CarryOutError, CertificateChange, Change, CommitError, IotCertificate, IotError, IssueOrder,
    Issued, IssuerError, KeyRequest, KeyRule, SignedLeaf,
};
use crate::registry::{issued_event, leaf_sign, record_of, row_of, taken_up};
use crate::time::Timestamp;

impl IotCorePlatform {
    /// Our own certificate has its name before it is registered, so it is reserved and recorded in
    /// one commit.
    pub(super) async fn issue_by_own_ca(
        &self,
        order: IssueOrder<'_>,
    ) -> Result<Issued, CarryOutError> {
        let attempt = order.attempt;
        let leaf = leaf_sign(&*self.ports.issuer, &order).await?;
        let (record, mut change) = record_of(order, leaf);
        change.device.reserve(record.id, Stage::Recorded, attempt, self.now());
        let device = self.commit(change).await?;
        self.finish(device, &record, ThingIs::ToBeMade).await?;
        Ok(Issued { record, life_ends: None })
    }

    pub(super) async fn issue_by_aws(
        &self,
        order: IssueOrder<'_>,
    ) -> Result<Issued, CarryOutError> {
        let (attempt, actor) = (order.attempt, order.actor.clone());
        let csr = match order.request {
            KeyRequest::Device(der) => der.to_vec(),
            KeyRequest::Server(key) => {
                self.ports.key_maker.csr_make(key).map_err(|error| match error {
                    IssuerError::Bug(what) => CarryOutError::Bug(what),
                    IssuerError::Unavailable(what) => CarryOutError::Unavailable(what),
                })?
            }
        };
        let id = CertificateId::provisional(attempt);
        let ends = order.at.plus(order.profile.lifetime);
        let mut change = taken_up(order, id, ends, Some(ends));
        change.device.reserve(id, Stage::Reserved(csr), attempt, self.now());
        let device = self.commit(change).await?;
        let (device, record) = self.make(device, attempt, actor).await?;
        let life_ends = device.reserved().and_then(|live| live.life_ends);
        self.finish(device, &record, ThingIs::Made).await?;
        Ok(Issued { record, life_ends })
    }

    /// Has AWS make what is reserved, its thing beside it, and records it.
    pub(super) async fn make(
        &self,
        device: Device,
        attempt: AttemptCode,
        actor: Actor,
    ) -> Result<(Device, CertificateRecord), CarryOutError> {
        let Some(Reservation { stage: Stage::Reserved(csr), .. }) = &device.reservation else {
            return Err(CarryOutError::Conflict);
        };
        let iot = &self.ports.iot;
        let (made, thing) =
            join(iot.certificate_create(csr), iot.thing_create(&device.thing_name)).await;
        let serial = device.serial_number.clone();
        let made = match made {
            Ok(made) => made,
            Err(error) => return Err(self.not_made(&serial, attempt, error).await),
        };
        let recorded = self.record(device, &made, attempt, actor).await?;
        // Once the certificate cannot be lost any more.
        if let Err(error) = thing {
            self.release(&serial, attempt).await;
            return Err(error.into());
        }
        Ok(recorded)
    }

    /// Records what AWS made, on condition that the reservation is still this request's; who loses
    /// deletes it.
    async fn record(
        &self,
        mut device: Device,
        made: &IotCertificate,
        attempt: AttemptCode,
        actor: Actor,
    ) -> Result<(Device, CertificateRecord), CarryOutError> {
        let serial = device.serial_number.clone();
        if device.reserved().is_none_or(|live| live.key != made.key) {
            let _sought = self.ports.iot.certificate_delete(&made.id).await;
            self.give_up(&serial, attempt, None).await?;
            let what = String::from("AWS IoT certified another key than was asked for");
            return Err(CarryOutError::Bug(what));
        }
        for _ in 0..TRIES {
            if !is_at_work(&device, attempt, None) {
                break;
            }
            let now = self.now();
            device.name_reserved(made.id, made.not_after, now);
            let record = row_of(&device, leaf_of(made), attempt, now);
            let event = issued_event(&record, actor.clone());
            let insert = CertificateChange::Insert(Box::new(record.clone()));
            let keys = vec![KeyRule::NotOthers(record.key)];
            let change = Change { keys, ..Change::new(device, vec![insert], vec![event]) };
            match self.commit(change).await {
                Ok(device) => return Ok((device, record)),
                Err(CommitError::KeyOwned) => {
                    let _sought = self.ports.iot.certificate_delete(&made.id).await;
                    return Err(self.lose_key(&serial, attempt).await);
                }
                // Whether it was written is not known: the record says.
                Err(
                    CommitError::Conflict
                    | CommitError::ThingNameTaken
                    | CommitError::Unavailable(_),
                ) => {}
            }
            device = self.read(&serial).await?.ok_or(CarryOutError::Conflict)?;
            if is_at_work(&device, attempt, Some(made.id)) {
                return Ok((device, record));
            }
        }
        if self.row(&made.id).await?.is_none() {
            let _sought = self.ports.iot.certificate_delete(&made.id).await;
        }
        Err(CarryOutError::Conflict)
    }

    /// AWS made nothing, or did not say so.
    async fn not_made(
        &self,
        serial: &SerialNumber,
        attempt: AttemptCode,
        error: IotError,
    ) -> CarryOutError {
        match error {
            IotError::Refused(_) => match self.give_up(serial, attempt, None).await {
                Ok(()) => CarryOutError::Csr(CsrError::Platform),
                Err(error) => error,
            },
            IotError::Conflict(_)
            | IotError::NotFound(_)
            | IotError::NotNow(_)
            | IotError::Unknown(_) => {
                self.release(serial, attempt).await;
                error.into()
            }
        }
    }

    /// Lets the next request, or the sweeper, go on at once: this one does not. Where that cannot be
    /// written the lease runs out.
    pub(super) async fn release(&self, serial: &SerialNumber, attempt: AttemptCode) {
        let Ok(Some(mut device)) = self.read(serial).await else { return };
        if let Some(reservation) = &mut device.reservation
            && reservation.attempt == attempt
        {
            reservation.lease_until = Timestamp(0);
            let _runs_out = self.commit(Change::new(device, Vec::new(), Vec::new())).await;
        }
    }

    /// Ends the request's reservation, of the certificate called `id` or of one without a name
    /// yet, which cannot be carried out.
    pub(super) async fn give_up(
        &self,
        serial: &SerialNumber,
        attempt: AttemptCode,
        id: Option<CertificateId>,
    ) -> Result<(), CarryOutError> {
        let Some(mut device) = self.read(serial).await? else { return Ok(()) };
        if !is_at_work(&device, attempt, id) {
            return Ok(());
        }
        let now = self.now();
        let moved = device.withdraw();
        let certificates = CertificateChange::moves(moved, now);
        self.commit(Change::new(device, certificates, Vec::new())).await?;
        Ok(())
    }

    /// Ends a reservation for a key that another device has proven meanwhile, or that an operator
    /// called compromised.
    pub(super) async fn lose_key(
        &self,
        serial: &SerialNumber,
        attempt: AttemptCode,
    ) -> CarryOutError {
        let device = match self.read(serial).await {
            Ok(device) => device,
            Err(error) => return error,
        };
        let is_mine = |it: &Device| it.reservation.as_ref().is_some_and(|it| it.attempt == attempt);
        let Some(mut device) = device.filter(is_mine) else { return CarryOutError::Conflict };
        let Some(key) = device.reserved().map(|live| live.key) else {
            return CarryOutError::Conflict;
        };
        let moved = device.lose_key(&key);
        let certificates = CertificateChange::moves(moved, self.now());
        match self.commit(Change::new(device, certificates, Vec::new())).await {
            Ok(_) => CarryOutError::KeyOwned,
            Err(error) => error.into(),
        }
    }
}

/// Whether the reservation is the request's called `attempt`: of the certificate called `id`, or of
/// one that has no name yet.
pub(super) fn is_at_work(device: &Device, attempt: AttemptCode, id: Option<CertificateId>) -> bool {
    device.reservation.as_ref().is_some_and(|it| {
        let is_this = match id {
            Some(id) => it.certificate == id,
            None => it.certificate.is_provisional(),
        };
        it.attempt == attempt && is_this
    })
}

fn leaf_of(made: &IotCertificate) -> SignedLeaf {
    SignedLeaf {
        id: made.id,
        certificate_serial: made.certificate_serial.clone(),
        issuer: made.issuer,
        not_before: made.not_before,
        not_after: made.not_after,
        der: made.der.clone(),
    }
}
