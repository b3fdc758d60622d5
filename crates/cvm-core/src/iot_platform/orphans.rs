//! Certificates that AWS made for us and that nobody recorded: a request was cut off between the
//! call and its record, or a call was carried out twice.
//!
//! They are INACTIVE, and certify a key of a device of ours; nothing else is ever touched.

use std::collections::BTreeSet;

use super::IotCorePlatform;
use crate::device::{Device, Owed};
use crate::id::{CertificateId, KeyIdentity, SerialNumber};
use crate::ports::{CarryOutError, Change, CommitError, IotStatus, Sought};
use crate::time::{Span, Timestamp};

/// How far back every sweep looks, sought or not, and how far AWS's clock may be from ours.
const LOOKED_BACK: Span = Span(2 * Span::MINUTE.0);

/// How many pages are read at most: a hundred thousand certificates.
const PAGES_MAX: usize = 400;

impl IotCorePlatform {
    /// Removes what nobody recorded, back to the oldest moment that is sought; returns how many.
    pub(super) async fn end_orphans(&self, sought: &[Sought]) -> Result<usize, CarryOutError> {
        let oldest = sought.iter().map(|it| it.since).min().unwrap_or_else(|| self.now());
        let (mut ended, mut failed) = (0, None);
        for id in self.inactive_since(oldest.min(self.now()).minus(LOOKED_BACK)).await? {
            // Also others' certificates are looked at: none of them may hold up the rest.
            match self.end_orphan(&id, sought).await {
                Ok(is_ended) => ended += usize::from(is_ended),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        self.forget_orphans(sought).await?;
        failed.map_or(Ok(ended), Err)
    }

    /// The INACTIVE certificates that were made since then, newest first.
    async fn inactive_since(&self, since: Timestamp) -> Result<Vec<CertificateId>, CarryOutError> {
        let (mut found, mut marker) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let page = self.ports.iot.certificate_page(marker).await?;
            for listed in page.certificates {
                if listed.created_at < since {
                    return Ok(found);
                }
                if listed.status == IotStatus::Inactive {
                    found.push(listed.id);
                }
            }
            marker = page.next;
            if marker.is_none() {
                return Ok(found);
            }
        }
        Err(CarryOutError::Unavailable(String::from("too many certificates to look through")))
    }

    async fn end_orphan(
        &self,
        id: &CertificateId,
        sought: &[Sought],
    ) -> Result<bool, CarryOutError> {
        if self.row(id).await?.is_some() {
            return Ok(false);
        }
        let Some(certificate) = self.ports.iot.certificate_describe(id).await? else {
            return Ok(false);
        };
        let owners = self.owners(&certificate.key, sought).await?;
        if certificate.status != IotStatus::Inactive || owners.is_empty() {
            return Ok(false);
        }
        for owner in owners {
            if self.is_making(&owner, &certificate.key).await? {
                return Ok(false);
            }
        }
        // After the records: whoever made it has recorded it by now, or lost the right to.
        if self.row(id).await?.is_some() {
            return Ok(false);
        }
        self.ports.iot.certificate_delete(id).await?;
        Ok(true)
    }

    /// The devices for which a certificate with this key may have been made.
    async fn owners(
        &self,
        key: &KeyIdentity,
        sought: &[Sought],
    ) -> Result<BTreeSet<SerialNumber>, CarryOutError> {
        let claims = self.ports.catalogue.claims_of(key).await?;
        let sought = sought.iter().filter(|it| it.key == *key);
        Ok(claims.into_iter().chain(sought.map(|it| it.serial_number.clone())).collect())
    }

    /// Whether a request may be about to record a certificate for the key.
    async fn is_making(
        &self,
        serial: &SerialNumber,
        key: &KeyIdentity,
    ) -> Result<bool, CarryOutError> {
        let device = self.read(serial).await?;
        let is_unnamed = |device: &Device| {
            device.reserved().is_some_and(|it| it.id.is_provisional() && it.key == *key)
        };
        Ok(device.as_ref().is_some_and(is_unnamed))
    }

    /// Seeks no longer what was looked for until its time was over.
    pub(super) async fn forget_orphans(&self, sought: &[Sought]) -> Result<(), CarryOutError> {
        let now = self.now();
        let serials: BTreeSet<_> = sought.iter().map(|it| &it.serial_number).collect();
        for serial in serials {
            let Some(mut device) = self.read(serial).await? else { continue };
            let had = device.owed.len();
            device.owed.retain(|it| !matches!(it, Owed::Orphan { until, .. } if *until < now));
            if device.owed.len() == had {
                continue;
            }
            match self.commit(Change::new(device, Vec::new(), Vec::new())).await {
                Ok(_) | Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
