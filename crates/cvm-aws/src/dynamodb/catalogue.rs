//! Lists and look-ups. Lists of devices are cut into 16 partitions of an index and merged, so that no
//! partition takes the writes of a whole fleet; the records are then read from the table itself.

use async_trait::async_trait;
use cvm_core::certificate::CertificateRecord;
use cvm_core::device::{Device, DeviceFilter, DeviceState, Place};
use cvm_core::id::{AttemptCode, CertificateId, KeyIdentity, SerialNumber};
use cvm_core::page::{Page, PageRequest};
use cvm_core::ports::{Catalogue, Due, StoreError};
use cvm_core::time::{Span, Timestamp};

use super::DynamoStore;
use super::failure::Failure;
use super::item::Item;
use super::key::{self, Index, Key, SHARDS, behind, sharded, sortable, sorted};
use super::page;
use super::query::{Found, Order, Stretch};
use super::record::{self, CLOSED_REVIEWS, DEVICES, DISABLED, DUE, OPEN_REVIEWS};

/// The most certificates of one device that are listed.
const CERTIFICATES_OF_MAX: usize = 1_000;

/// The most devices that the sweeper is given at once.
const SWEPT_MAX: usize = 100;

#[async_trait]
impl Catalogue for DynamoStore {
    async fn device_page(&self, request: &PageRequest) -> Result<Page<Device>, StoreError> {
        let limit = page::limit_of(request);
        let after = request.after.as_deref();
        let stretches = shards(Index::Listed, DEVICES).map(|shard| shard.after(after));
        let found = self.calls.merged(stretches.collect(), limit.saturating_add(1)).await?;
        Ok(self.devices_page(found, limit).await?)
    }

    async fn device_page_where(
        &self,
        filter: DeviceFilter,
        request: &PageRequest,
    ) -> Result<Page<Device>, StoreError> {
        let Ok(after) = request.after.as_deref().map(str::parse::<Place>).transpose() else {
            return Ok(page::empty());
        };
        let limit = page::limit_of(request);
        let stretches = filtered(filter, after.as_ref());
        let found = self.calls.merged(stretches, limit.saturating_add(1)).await?;
        let mut page = self.devices_page(found, limit).await?;
        let last = page.next.as_deref().map(|place| place_in(filter, place)).transpose()?;
        page.next = last.map(|place| place.to_string());
        page.items.retain(|device| filter.has(device));
        Ok(page)
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
        let first = after.and_then(|id| id.0.first().map(|octet| octet >> 4)).unwrap_or(0);
        let after = after.map(|id| id.to_string());
        let parts = (first..SHARDS).map(|part| Stretch::of(key::certificates(part)));
        let parts = parts.map(|part| part.after(after.as_deref()));
        let limit = page::limit_of(request);
        let items = self.calls.chained(parts, limit.saturating_add(1)).await?;
        let rows = items.iter().map(record::certificate).collect::<Result<Vec<_>, _>>()?;
        Ok(page::cut(rows, limit, |row| row.id.to_string()))
    }

    async fn certificates_of(
        &self,
        serial: &SerialNumber,
    ) -> Result<Vec<CertificateRecord>, StoreError> {
        let partition = record::certificates_of(serial.as_str());
        let newest_first =
            Stretch { order: Order::Falling, ..Stretch::in_index(Index::Listed, partition) };
        let found = self.calls.query(&newest_first, CERTIFICATES_OF_MAX).await?;
        let keys: Vec<_> = found.iter().rev().map(Item::key).collect::<Result<_, _>>()?;
        let items = self.calls.get_each(keys.clone()).await?;
        let rows = keys.iter().filter_map(|key| items.get(key)).map(record::certificate);
        let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
        rows.sort_by_key(|row| row.issued_at);
        Ok(rows)
    }

    async fn claims_of(&self, key: &KeyIdentity) -> Result<Vec<SerialNumber>, StoreError> {
        let stretch = Stretch::in_index(Index::Placed, record::claims_of(key));
        let found = self.calls.query(&stretch, SWEPT_MAX).await?;
        let keys = found.iter().map(Item::key).collect::<Result<Vec<_>, _>>()?;
        let items = self.calls.get_each(keys).await?;
        let serials = items.values().map(|item| item.id("serial_number"));
        let mut serials = serials.collect::<Result<Vec<SerialNumber>, Failure>>()?;
        serials.sort_unstable();
        serials.dedup();
        Ok(serials)
    }

    async fn due_devices(
        &self,
        now: Timestamp,
        after: Option<&Due>,
    ) -> Result<Vec<Due>, StoreError> {
        Ok(self.due(shards(Index::Due, DUE), now, after).await?)
    }

    async fn outlived_devices(
        &self,
        now: Timestamp,
        after: Option<&Due>,
    ) -> Result<Vec<Due>, StoreError> {
        let states = [DeviceState::Active, DeviceState::Issued].map(DeviceState::as_str);
        let lists = states.into_iter().flat_map(|state| shards(Index::Placed, state));
        // The last second of a life belongs to it.
        Ok(self.due(lists, now.minus(Span(1)), after).await?)
    }

    async fn reviewed_device(&self, id: AttemptCode) -> Result<Option<SerialNumber>, StoreError> {
        let name = id.to_string();
        for list in [OPEN_REVIEWS, CLOSED_REVIEWS] {
            let (from, until) = (Some(name.clone()), Some(name.clone()));
            let stretch = Stretch { from, until, ..Stretch::in_index(Index::Reviewed, list) };
            if let Some(item) = self.calls.query(&stretch, 1).await?.first() {
                return Ok(Some(serial_of(&item.key()?)?));
            }
        }
        Ok(None)
    }

    async fn review_page(&self, request: &PageRequest) -> Result<Page<Device>, StoreError> {
        let limit = page::limit_of(request);
        let open = Stretch::in_index(Index::Reviewed, OPEN_REVIEWS);
        let open = vec![open.after(request.after.as_deref())];
        let found = self.calls.merged(open, limit.saturating_add(1)).await?;
        Ok(self.devices_page(found, limit).await?)
    }
}

impl DynamoStore {
    /// The page of the devices that were found, of which there is one more than `limit` if the list
    /// goes on.
    async fn devices_page(&self, found: Vec<Found>, limit: usize) -> Result<Page<Device>, Failure> {
        let found = page::cut(found, limit, |found| found.place.clone());
        let keys: Vec<_> = found.items.into_iter().map(|found| found.key).collect();
        let items = self.calls.get_each(keys.clone()).await?;
        let devices = keys.iter().filter_map(|key| items.get(key)).map(record::device);
        Ok(Page { items: devices.collect::<Result<_, _>>()?, next: found.next })
    }

    /// The devices in a list of times whose time has come, earliest first.
    async fn due(
        &self,
        list: impl Iterator<Item = Stretch>,
        now: Timestamp,
        after: Option<&Due>,
    ) -> Result<Vec<Due>, Failure> {
        let after = after.map(|due| format!("{}#{}", sortable(due.at), due.serial_number));
        // Whatever is of this second, and nothing later.
        let until = Some(format!("{}~", sortable(now)));
        let stretches = list.map(|shard| Stretch { until: until.clone(), ..shard });
        let stretches = stretches.map(|shard| shard.after(after.as_deref()));
        let found = self.calls.merged(stretches.collect(), SWEPT_MAX).await?;
        found.iter().map(due_of).collect()
    }
}

/// The partitions of a list of devices.
fn shards(index: Index, list: &str) -> impl Iterator<Item = Stretch> {
    (0..SHARDS).map(move |shard| Stretch::in_index(index, sharded(list, shard)))
}

/// The partitions of a filtered list, from behind a place on.
fn filtered(filter: DeviceFilter, after: Option<&Place>) -> Vec<Stretch> {
    let (list, place) = match filter {
        DeviceFilter::Disabled => {
            (shards(Index::Disabled, DISABLED), after.map(|it| it.serial_number.to_string()))
        }
        DeviceFilter::Expiring { .. } => {
            (shards(Index::Placed, DeviceState::Active.as_str()), after.map(timed_place))
        }
        DeviceFilter::State(state) => {
            (shards(Index::Placed, state.as_str()), after.map(timed_place))
        }
    };
    let (first, until) = match filter {
        DeviceFilter::Expiring { from, until } => {
            (Some(sortable(from)), Some(format!("{}~", sortable(until))))
        }
        DeviceFilter::Disabled | DeviceFilter::State(_) => (None, None),
    };
    let from = first.max(place.as_deref().map(behind));
    list.map(|shard| Stretch { from: from.clone(), until: until.clone(), ..shard }).collect()
}

fn timed_place(place: &Place) -> String {
    format!("{}#{}", sortable(place.at), place.serial_number)
}

/// The place that an index has as its sort key.
fn place_in(filter: DeviceFilter, place: &str) -> Result<Place, Failure> {
    let parts = match filter {
        DeviceFilter::Disabled => Some((Timestamp(0), place)),
        DeviceFilter::Expiring { .. } | DeviceFilter::State(_) => {
            place.split_once('#').and_then(|(at, serial)| Some((sorted(at)?, serial)))
        }
    };
    let parsed =
        parts.and_then(|(at, serial)| Some(Place { at, serial_number: serial.parse().ok()? }));
    parsed.ok_or_else(|| Failure::Corrupt(format!("place {place} is in no list of devices")))
}

fn due_of(found: &Found) -> Result<Due, Failure> {
    let at = found.place.split_once('#').and_then(|(at, _)| sorted(at));
    let what = || Failure::Corrupt(format!("place {} is in no list of times", found.place));
    Ok(Due { at: at.ok_or_else(what)?, serial_number: serial_of(&found.key)? })
}

/// The device whose record is at `key`.
fn serial_of(key: &Key) -> Result<SerialNumber, Failure> {
    let serial = key.pk.strip_prefix("device#").and_then(|serial| serial.parse().ok());
    serial.ok_or_else(|| Failure::Corrupt(format!("item {} is no device's", key.pk)))
}
