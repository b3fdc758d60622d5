//! Revocation: an operator ends a certificate, and what lives on it.

use super::confirm::settle_holding;
use super::operate::{Done, OperatorRefusal};
use super::{CertificateShown, DECISIONS_MAX, Provisioning};
use crate::certificate::{CertificateState, Reason};
use crate::device::{Burning, Device, TokenState, Word};
use crate::id::{CertificateId, KeyIdentity, SerialNumber};
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
        let (mut is_owner_bare, mut owner_told) = (false, Ok(()));
        for _ in 0..DECISIONS_MAX {
            let holding = self.ports.store.holding_find(id).await?;
            let holding = holding.ok_or(OperatorRefusal::NotFound("certificate"))?;
            let now = self.ports.clock.read().now;
            if reason == Reason::KeyCompromise
                && !is_owner_bare
                && let Some(KeyOwner::Device(owner)) = &holding.key_owner
                && *owner != holding.device.serial_number
            {
                // A record that cannot be read holds up no word: what it has is judged at the read.
                let taken = self.take_key(owner, &holding.certificate.key, operator, now).await;
                if let Ok(true) = taken {
                    owner_told = self.bring(owner).await;
                }
                is_owner_bare = taken.unwrap_or(true);
                continue;
            }
            if is_done(&holding, reason) {
                self.bring_again(&holding.device).await?;
                let (record, state) = (holding.certificate, CertificateState::Revoked);
                return Ok(CertificateShown { record, state });
            }
            let owner = holding.key_owner.clone();
            let serial = holding.device.serial_number.clone();
            if self.revoke_once(holding, reason, operator, now).await? {
                let told = self.bring(&serial).await;
                if reason == Reason::KeyCompromise {
                    self.end_compromised(id, owner, now).await;
                }
                told.and(owner_told)?;
                let shown = self.certificate_show(id).await?;
                return shown.ok_or(OperatorRefusal::NotFound("certificate"));
            }
        }
        Err(OperatorRefusal::Unavailable(String::from("the record moved under every attempt")))
    }

    /// Takes a key that was called compromised from the device that has proven it, in one commit
    /// with all that this device has by it: what was renewed from its certificate has another key,
    /// and nobody would see at the read of that one that it ended. `false` where the record moved
    /// meanwhile.
    async fn take_key(
        &self,
        owner: &SerialNumber,
        key: &KeyIdentity,
        operator: &str,
        now: Timestamp,
    ) -> Result<bool, OperatorRefusal> {
        let Some(mut device) = self.ports.store.device_find(owner).await? else {
            return Ok(true);
        };
        let mut moved = device.settle(now);
        moved.extend(device.lose_key(key));
        remember_contested(&mut device, *key);
        let done = Done::new(EventKind::CertificateRevoked, String::new());
        let done = done.with(moved, vec![KeyRule::Compromise(*key)]);
        self.write_word(&device, done, operator, now).await
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
