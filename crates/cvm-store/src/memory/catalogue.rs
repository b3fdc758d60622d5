//! Lists and look-ups, in memory.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use cvm_core::certificate::CertificateRecord;
use cvm_core::device::{Device, DeviceFilter, Place};
use cvm_core::id::{AttemptCode, CertificateId, KeyIdentity, SerialNumber};
use cvm_core::page::{Page, PageRequest};
use cvm_core::ports::{Catalogue, Due, StoreError};
use cvm_core::time::Timestamp;

use super::{MemoryStore, page_of};
use crate::page;

/// The most certificates of one device that are listed.
const CERTIFICATES_OF_MAX: usize = 1_000;

/// The most devices that the sweeper is given at once.
const SWEPT_MAX: usize = 100;

#[async_trait]
impl Catalogue for MemoryStore {
    async fn device_page(&self, request: &PageRequest) -> Result<Page<Device>, StoreError> {
        let after = request.after.as_deref().unwrap_or_default();
        let is_after = |serial: &SerialNumber| serial.as_str() > after;
        let key_of = |device: &Device| device.serial_number.to_string();
        Ok(page_of(&self.state()?.devices, request, is_after, key_of))
    }

    async fn device_page_where(
        &self,
        filter: DeviceFilter,
        request: &PageRequest,
    ) -> Result<Page<Device>, StoreError> {
        let Ok(after) = page::place_of(request) else { return Ok(page::empty()) };
        let state = self.state()?;
        let listed = state.devices.values().filter(|device| filter.has(device));
        let listed: BTreeMap<Place, Device> =
            listed.map(|device| (filter.place_of(device), device.clone())).collect();
        let is_after = |place: &Place| Some(place) > after.as_ref();
        Ok(page_of(&listed, request, is_after, |device| filter.place_of(device).to_string()))
    }

    async fn outlived_devices(
        &self,
        now: Timestamp,
        after: Option<&Due>,
    ) -> Result<Vec<Due>, StoreError> {
        let state = self.state()?;
        let outlived = state.devices.values().filter(|device| device.is_outlived(now));
        let due = outlived.map(|device| {
            let serial_number = device.serial_number.clone();
            Due { at: device.listed_at(), serial_number }
        });
        Ok(swept(due, after))
    }

    async fn certificate_page(
        &self,
        request: &PageRequest,
    ) -> Result<Page<CertificateRecord>, StoreError> {
        let after = match request.after.as_deref().map(str::parse::<CertificateId>) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => return Ok(page::empty()),
        };
        let is_after = |id: &CertificateId| Some(*id) > after;
        let key_of = |row: &CertificateRecord| row.id.to_string();
        Ok(page_of(&self.state()?.certificates, request, is_after, key_of))
    }

    async fn certificates_of(
        &self,
        serial: &SerialNumber,
    ) -> Result<Vec<CertificateRecord>, StoreError> {
        let state = self.state()?;
        let ids = state.certificates_by_serial.get(serial).map(Vec::as_slice).unwrap_or_default();
        let mut rows: Vec<_> =
            ids.iter().filter_map(|id| state.certificates.get(id).cloned()).collect();
        rows.sort_by_key(|row| row.issued_at);
        rows.drain(..rows.len().saturating_sub(CERTIFICATES_OF_MAX));
        Ok(rows)
    }

    async fn claims_of(&self, key: &KeyIdentity) -> Result<Vec<SerialNumber>, StoreError> {
        let state = self.state()?;
        let is_claim = |row: &&CertificateRecord| row.key == *key && row.state.is_live();
        let rows = state.certificates.values().filter(is_claim);
        let serials: BTreeSet<_> = rows.map(|row| row.serial_number.clone()).collect();
        Ok(serials.into_iter().take(SWEPT_MAX).collect())
    }

    async fn due_devices(
        &self,
        now: Timestamp,
        after: Option<&Due>,
    ) -> Result<Vec<Due>, StoreError> {
        let state = self.state()?;
        let due = state.devices.values().filter_map(|device| {
            let at = device.due_at().filter(|due| *due <= now)?;
            Some(Due { at, serial_number: device.serial_number.clone() })
        });
        Ok(swept(due, after))
    }

    async fn reviewed_device(&self, id: AttemptCode) -> Result<Option<SerialNumber>, StoreError> {
        let state = self.state()?;
        let has = |device: &&Device| device.review.as_ref().is_some_and(|review| review.id == id);
        Ok(state.devices.values().find(has).map(|device| device.serial_number.clone()))
    }

    async fn review_page(&self, request: &PageRequest) -> Result<Page<Device>, StoreError> {
        let state = self.state()?;
        let open = state.devices.values().filter_map(|device| {
            let review = device.review.as_ref().filter(|review| review.is_open())?;
            Some((review.id.to_string(), device.clone()))
        });
        let open: BTreeMap<String, Device> = open.collect();
        let after = request.after.as_deref().unwrap_or_default();
        Ok(page_of(&open, request, |id| id.as_str() > after, page::review_of))
    }
}

/// What the sweeper is given of them.
fn swept(due: impl Iterator<Item = Due>, after: Option<&Due>) -> Vec<Due> {
    let mut due: Vec<_> = due.filter(|due| after.is_none_or(|after| due > after)).collect();
    due.sort();
    due.truncate(SWEPT_MAX);
    due
}
