//! The embedded platform: the platform port over the store port.
//!
//! Signs in memory, writes one commit with device, certificate, thing, policy binding and journal
//! row, and returns only when that is durable. Nothing signed leaves before (protocol, section 4).

use std::sync::Arc;

use async_trait::async_trait;

use crate::certificate::{CertificateRecord, CertificateState, Origin};
use crate::device::{NewCertificate, SealedKey};
use crate::journal::{Event, EventClass, EventKind};
use crate::ports::{
    CarryOutError, CertificateChange, Change, CommitError, IssueOrder, Issuer, IssuerError,
    KeyRule, LeafTemplate, Platform, SignedLeaf, Store, Thing, ThingChange,
};

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
    async fn certificate_issue(
        &self,
        order: IssueOrder<'_>,
    ) -> Result<CertificateRecord, CarryOutError> {
        let leaf = self
            .issuer
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
            let what =
                format!("the devices CA ended at {}: import or make another", leaf.not_after);
            return Err(CarryOutError::Unavailable(what));
        }
        let (record, change) = record_of(order, leaf);
        match self.store.device_commit(change).await {
            Ok(()) => Ok(record),
            Err(CommitError::Conflict) => Err(CarryOutError::Conflict),
            Err(error @ CommitError::ThingNameTaken) => {
                Err(CarryOutError::Unavailable(error.to_string()))
            }
            Err(CommitError::KeyOwned) => Err(CarryOutError::KeyOwned),
            Err(error @ CommitError::Unavailable(_)) => {
                Err(CarryOutError::Unavailable(crate::error::chain_of(&error)))
            }
        }
    }
}

/// The row of a certificate that was just signed, and the change that records it.
fn record_of(mut order: IssueOrder<'_>, leaf: SignedLeaf) -> (CertificateRecord, Change) {
    let at = order.at;
    let (server_made, sealed) = order.server_made.take().unzip();
    order.moved.extend(order.device.take_up(NewCertificate {
        id: leaf.id,
        key: order.key.identity,
        server_made,
        sealed: sealed.map(|sealed| SealedKey { certificate: leaf.id, ..sealed }),
        basis: order.basis,
        issued_at: at,
        not_after: leaf.not_after,
        overlap: order.profile.overlap,
    }));
    let device = order.device;
    let taken_up = device.live_by_id(&leaf.id);
    let record = CertificateRecord {
        id: leaf.id,
        certificate_serial: leaf.certificate_serial,
        serial_number: device.serial_number.clone(),
        thing_name: device.thing_name.clone(),
        policy: device.policy.clone(),
        key: order.key.identity,
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
        attempt: order.attempt,
        der: leaf.der,
    };
    let event = Event {
        at,
        class: EventClass::Change,
        kind: EventKind::CertificateIssued,
        serial_number: Some(device.serial_number.clone()),
        certificate: Some(record.id),
        attempt: Some(order.attempt),
        actor: order.actor,
        detail: format!(
            "thing {}, policy {}, key {}",
            device.thing_name, device.policy, record.key
        ),
    };
    let mut events = event.of_moves(&order.moved);
    let mut certificates = CertificateChange::moves(order.moved, at);
    let mut keys = vec![KeyRule::NotOthers(record.key)];
    if let Some((id, key)) = order.confirmed {
        certificates.push(CertificateChange::Confirm(id, at));
        keys.push(KeyRule::Own(key));
        let (kind, certificate) = (EventKind::CertificateConfirmed, Some(id));
        events.push(Event { kind, certificate, detail: String::new(), ..event.clone() });
    }
    certificates.push(CertificateChange::Insert(Box::new(record.clone())));
    events.push(event);
    let thing = ThingChange::Put(Thing {
        name: device.thing_name.clone(),
        serial_number: device.serial_number.clone(),
        created_at: at,
    });
    let change = Change { keys, thing: Some(thing), ..Change::new(device, certificates, events) };
    (record, change)
}
