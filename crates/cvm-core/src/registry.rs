//! The embedded platform: the platform port over the store port.
//!
//! Signs in memory, writes one commit with device, certificate, thing, policy binding and journal
//! row, and returns only when that is durable. Nothing signed leaves before (protocol, section 4).

use std::sync::Arc;

use async_trait::async_trait;

use crate::certificate::{CertificateRecord, CertificateState, Origin};
use crate::device::{Device, NewCertificate, SealedKey};
use crate::id::{AttemptCode, CertificateId, KeyIdentity, Name, SerialNumber, ThingName};
use crate::journal::{Event, EventClass, EventKind};
use crate::key::{CheckedCsr, CsrError};
use crate::operator::Actor;
use crate::ports::{
    CarryOutError, CertificateChange, Change, CommitError, IssueOrder, Issued, Issuer, IssuerError,
    KeyRule, LeafTemplate, Platform, SignedLeaf, Sought, Store, Thing, ThingChange,
};
use crate::time::Timestamp;

/// Our own IoT platform, in the same process.
#[expect(missing_debug_implementations, reason = "holds the signer")]
pub struct EmbeddedPlatform {
    issuer: Arc<dyn Issuer>,
    store: Arc<dyn Store>,
}

impl EmbeddedPlatform {
    /// The platform that signs with `issuer` and records in `store`.
    #[must_use]
    pub fn new(issuer: Arc<dyn Issuer>, store: Arc<dyn Store>) -> Self {
        Self { issuer, store }
    }
}

#[async_trait]
impl Platform for EmbeddedPlatform {
    fn request_judge(&self, _: &CheckedCsr, _: &ThingName) -> Result<(), CsrError> {
        Ok(())
    }

    fn owe(&self, _: &mut Change) {}

    async fn certificate_issue(&self, order: IssueOrder<'_>) -> Result<Issued, CarryOutError> {
        let leaf = leaf_sign(&*self.issuer, &order).await?;
        let (record, mut change) = record_of(order, leaf);
        change.thing = Some(ThingChange::Put(Thing {
            name: record.thing_name.clone(),
            serial_number: record.serial_number.clone(),
            created_at: record.issued_at,
        }));
        self.store.device_commit(change).await?;
        Ok(Issued { record, life_ends: None })
    }

    /// What is issued here is finished.
    async fn certificate_complete(
        &self,
        _: &SerialNumber,
        _: AttemptCode,
    ) -> Result<(), CarryOutError> {
        Ok(())
    }

    /// What the record says holds at its commit.
    async fn device_settle(
        &self,
        _: &SerialNumber,
        _: AttemptCode,
    ) -> Result<Vec<Sought>, CarryOutError> {
        Ok(Vec::new())
    }

    async fn orphans_end(&self, _: &[Sought]) -> Result<usize, CarryOutError> {
        Ok(0)
    }

    /// The store has all that there are.
    async fn policy_is_known(&self, _: &Name) -> Result<bool, CarryOutError> {
        Ok(false)
    }
}

impl From<CommitError> for CarryOutError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict => Self::Conflict,
            CommitError::KeyOwned => Self::KeyOwned,
            CommitError::ThingNameTaken | CommitError::Unavailable(_) => {
                Self::Unavailable(crate::error::chain_of(&error))
            }
        }
    }
}

/// Signs what is ordered.
pub(crate) async fn leaf_sign(
    issuer: &dyn Issuer,
    order: &IssueOrder<'_>,
) -> Result<SignedLeaf, CarryOutError> {
    let leaf = issuer
        .leaf_sign(LeafTemplate {
            serial_number: &order.device.serial_number,
            thing_name: &order.device.thing_name,
            key: order.key,
            not_before: order.at.minus(order.profile.backdate),
            not_after: order.at.plus(order.profile.lifetime),
        })
        .await
        .map_err(|error| match error {
            IssuerError::Bug(what) => CarryOutError::Bug(what),
            IssuerError::Unavailable(what) => CarryOutError::Unavailable(what),
        })?;
    // Cut to an issuing CA that has expired: nobody would accept it.
    if leaf.not_after <= order.at {
        let what = format!("the devices CA ended at {}: import or make another", leaf.not_after);
        return Err(CarryOutError::Unavailable(what));
    }
    Ok(leaf)
}

/// The row of a certificate that was just signed, and the change that records it.
pub(crate) fn record_of(order: IssueOrder<'_>, leaf: SignedLeaf) -> (CertificateRecord, Change) {
    let (at, id, attempt) = (order.at, leaf.id, order.attempt);
    let actor = order.actor.clone();
    let mut change = taken_up(order, id, leaf.not_after, None);
    let record = row_of(&change.device, leaf, attempt, at);
    let event = issued_event(&record, actor);
    change.certificates.push(CertificateChange::Insert(Box::new(record.clone())));
    change.events.push(event);
    (record, change)
}

/// The change by which what is ordered becomes a live certificate of its device, but for its row.
pub(crate) fn taken_up(
    mut order: IssueOrder<'_>,
    id: CertificateId,
    not_after: Timestamp,
    life_ends: Option<Timestamp>,
) -> Change {
    let at = order.at;
    let (server_made, sealed) = order.server_made.take().unzip();
    order.moved.extend(order.device.take_up(NewCertificate {
        id,
        key: order.key.identity,
        server_made,
        sealed: sealed.map(|sealed| SealedKey { certificate: id, ..sealed }),
        basis: order.basis,
        issued_at: at,
        not_after,
        life_ends,
        overlap: order.profile.overlap,
    }));
    let device = order.device;
    let event = Event {
        at,
        class: EventClass::Change,
        kind: EventKind::CertificateConfirmed,
        serial_number: Some(device.serial_number.clone()),
        certificate: None,
        attempt: Some(order.attempt),
        actor: order.actor,
        detail: String::new(),
    };
    let mut events = event.of_moves(&order.moved);
    let mut certificates = CertificateChange::moves(order.moved, at);
    let mut keys = vec![KeyRule::NotOthers(order.key.identity)];
    if let Some((id, key)) = order.confirmed {
        certificates.push(CertificateChange::Confirm(id, at));
        keys.push(KeyRule::Own(key));
        events.push(Event { certificate: Some(id), ..event });
    }
    Change { keys, ..Change::new(device, certificates, events) }
}

/// The row of a certificate that `device` has taken up.
pub(crate) fn row_of(
    device: &Device,
    leaf: SignedLeaf,
    attempt: AttemptCode,
    at: Timestamp,
) -> CertificateRecord {
    let taken_up = device.live_by_id(&leaf.id);
    CertificateRecord {
        id: leaf.id,
        certificate_serial: leaf.certificate_serial,
        serial_number: device.serial_number.clone(),
        thing_name: device.thing_name.clone(),
        policy: device.policy.clone(),
        key: taken_up.map_or(KeyIdentity([0; 32]), |live| live.key),
        state: taken_up.map_or(CertificateState::Unconfirmed, |live| live.state),
        origin: taken_up.map_or(Origin::Token, |live| live.origin),
        token: taken_up.map_or(0, |live| live.token),
        issuer: leaf.issuer,
        issued_at: at,
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        confirmed_at: None,
        ended_at: None,
        reason: None,
        attempt,
        der: leaf.der,
    }
}

/// The journal row of a certificate that was issued.
pub(crate) fn issued_event(record: &CertificateRecord, actor: Actor) -> Event {
    Event {
        at: record.issued_at,
        class: EventClass::Change,
        kind: EventKind::CertificateIssued,
        serial_number: Some(record.serial_number.clone()),
        certificate: Some(record.id),
        attempt: Some(record.attempt),
        actor,
        detail: format!(
            "thing {}, policy {}, key {}",
            record.thing_name, record.policy, record.key
        ),
    }
}
