//! What operators are shown, while devices go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use cvm_core::certificate::{CertificateRecord, CertificateState};
use cvm_core::device::{Device, DeviceFilter};
use cvm_core::id::{AttemptCode, CertificateId, KeyIdentity, SerialNumber};
use cvm_core::page::{Page, PageRequest};
use cvm_core::ports::{Catalogue, Due, Ports, StoreError};
use cvm_core::provisioning::Provisioning;
use cvm_core::testing::test_csr;
use cvm_core::time::Timestamp;

use super::use_cases::{World, caller};

/// A catalogue before whose first answer the device renews.
struct Overtaken {
    catalogue: Arc<dyn Catalogue>,
    renewing: Provisioning,
    held: CertificateId,
    is_overtaken: AtomicBool,
}

#[async_trait]
impl Catalogue for Overtaken {
    async fn device_page(&self, page: &PageRequest) -> Result<Page<Device>, StoreError> {
        self.catalogue.device_page(page).await
    }

    async fn device_page_where(
        &self,
        filter: DeviceFilter,
        page: &PageRequest,
    ) -> Result<Page<Device>, StoreError> {
        self.catalogue.device_page_where(filter, page).await
    }

    async fn outlived_devices(
        &self,
        now: Timestamp,
        after: Option<&Due>,
    ) -> Result<Vec<Due>, StoreError> {
        self.catalogue.outlived_devices(now, after).await
    }

    async fn certificate_page(
        &self,
        page: &PageRequest,
    ) -> Result<Page<CertificateRecord>, StoreError> {
        self.catalogue.certificate_page(page).await
    }

    async fn certificates_of(
        &self,
        serial: &SerialNumber,
    ) -> Result<Vec<CertificateRecord>, StoreError> {
        if !self.is_overtaken.swap(true, Ordering::SeqCst) {
            let csr = test_csr("L");
            let renewed = self.renewing.renew(Some(self.held), Some(&csr), &caller()).await;
            self.renewing.follow(renewed.1).await;
            renewed.0.unwrap();
        }
        self.catalogue.certificates_of(serial).await
    }

    async fn claims_of(&self, key: &KeyIdentity) -> Result<Vec<SerialNumber>, StoreError> {
        self.catalogue.claims_of(key).await
    }

    async fn due_devices(
        &self,
        now: Timestamp,
        after: Option<&Due>,
    ) -> Result<Vec<Due>, StoreError> {
        self.catalogue.due_devices(now, after).await
    }

    async fn reviewed_device(&self, id: AttemptCode) -> Result<Option<SerialNumber>, StoreError> {
        self.catalogue.reviewed_device(id).await
    }

    async fn review_page(&self, page: &PageRequest) -> Result<Page<Device>, StoreError> {
        self.catalogue.review_page(page).await
    }
}

#[tokio::test]
async fn a_device_is_shown_as_it_was_at_one_moment() {
    let world = World::new().await;
    world.register("SN-1").await;
    let held = world.issued("SN-1", "K").await;
    let catalogue = Arc::new(Overtaken {
        catalogue: world.ports.catalogue.clone(),
        renewing: world.through(world.ports.clone()),
        held,
        is_overtaken: AtomicBool::new(false),
    });
    let showing = world.through(Ports { catalogue, ..world.ports.clone() });
    let shown = showing.device_show(&"SN-1".parse().unwrap()).await.unwrap().unwrap();
    let states: Vec<CertificateState> =
        shown.certificates.iter().map(|certificate| certificate.state).collect();
    assert_eq!(states, [CertificateState::Current, CertificateState::Candidate]);
}
