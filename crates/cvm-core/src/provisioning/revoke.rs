//! Revocation: an operator ends a certificate, and what lives on it.

use super::confirm::settle_holding;
use super::operate::{Done, OperatorRefusal};
use super::{CertificateShown, DECISIONS_MAX, Provisioning};
use crate::certificate::{CertificateState, Reason};
use crate::device::{Burning, Device, TokenState, Word};
use crate::id::{CertificateId, KeyIdentity};
use crate::journal::EventKind;
use crate::ports::{Holding, KeyOwner, KeyRule};
use crate::time::Timestamp;

impl Provisioning {
    /// Revokes a certificate, live or ended, and burns the token that it descends from. For
    /// `keyCompromise` its key is refused for every device for ever.
    ///
    /// # Errors
    /// [`OperatorRefusal`]; nothing was changed.
    pub async fn certificate_revoke(
        &self,
        id: &CertificateId,
        reason: Reason,
        operator: &str,
    ) -> Result<CertificateShown, OperatorRefusal> {
        for _ in 0..DECISIONS_MAX {
            let holding = self.ports.store.holding_find(id).await?;
            let holding = holding.ok_or(OperatorRefusal::NotFound("certificate"))?;
            let now = self.ports.clock.read().now;
            if is_done(&holding, reason) {
                let (record, state) = (holding.certificate, CertificateState::Revoked);
                return Ok(CertificateShown { record, state });
            }
            let owner = holding.key_owner.clone();
            if self.revoke_once(holding, reason, operator, now).await? {
                if reason == Reason::KeyCompromise {
                    self.end_compromised(id, owner, now).await;
                }
                let shown = self.certificate_show(id).await?;
                return shown.ok_or(OperatorRefusal::NotFound("certificate"));
            }
        }
        Err(OperatorRefusal::Unavailable(String::from("the record moved under every attempt")))
    }

    async fn revoke_once(
        &self,
        holding: Holding,
        reason: Reason,
        operator: &str,
        now: Timestamp,
    ) -> Result<bool, OperatorRefusal> {
        let certificate = holding.certificate.clone();
        let (_, mut device, mut moved) = settle_holding(holding, now);
        let by = Burning { by: operator.to_owned(), word: Word::Revoke, at: now };
        moved.extend(device.revoke(&certificate, reason, &by));
        let mut keys = Vec::new();
        if reason == Reason::KeyCompromise {
            keys.push(KeyRule::Compromise(certificate.key));
            remember_contested(&mut device, certificate.key);
        }
        let done = Done::new(EventKind::CertificateRevoked, String::new());
        self.write_word(&device, done.with(moved, keys), operator, now).await
    }

    /// Writes at once that other devices' certificates with a compromised key ended. Whatever
    /// fails here is judged at the read, and written by the sweeper.
    async fn end_compromised(&self, id: &CertificateId, owner: Option<KeyOwner>, now: Timestamp) {
        let Ok(Some(holding)) = self.ports.store.holding_find(id).await else { return };
        let serial = holding.device.serial_number;
        if let Some(KeyOwner::Device(owner)) = owner
            && owner != serial
        {
            let _swept_later = self.end_loser(&owner, &holding.certificate.key, now).await;
        }
        let _swept_later = self.sweep_device(&serial, now).await;
    }
}

/// Whether there is nothing left to do: it is revoked, for that reason or a graver one, and its
/// token is burnt by an operator or has no slot any more.
fn is_done(holding: &Holding, reason: Reason) -> bool {
    let Holding { certificate, device, .. } = holding;
    let is_burnt = device
        .tokens
        .iter()
        .filter(|token| token.generation == certificate.token)
        .all(|token| matches!(token.state, TokenState::BurntByOperator(_)));
    let is_graver =
        reason == Reason::KeyCompromise && certificate.reason != Some(Reason::KeyCompromise);
    certificate.state == CertificateState::Revoked && is_burnt && !is_graver
}

fn remember_contested(device: &mut Device, key: KeyIdentity) {
    if !device.contested.contains(&key) {
        device.contested.push(key);
    }
}
