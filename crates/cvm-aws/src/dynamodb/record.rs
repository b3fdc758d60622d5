//! Records as items, and back. A device's record is the same JSON as in every other store, with the
//! places in the indexes beside it; a certificate's row has an attribute for each field.

use cvm_core::certificate::{CertificateRecord, IssuerId};
use cvm_core::device::{Device, Review};
use cvm_core::id::{CertificateId, KeyIdentity};
use cvm_core::ports::KeyOwner;
use cvm_core::time::Timestamp;

use super::expression::Changes;
use super::failure::Failure;
use super::item::{Attributes, Item, attributes, bytes, number, text};
use super::key::{Index, Key, shard_of, sharded, sortable};

/// The stored form of a device's record is JSON in this format.
const RECORD_FORMAT: u32 = 1;

/// Who owns a compromised key: no serial number has this character.
const COMPROMISED: &str = "!";

/// What is written of a device with each version, but for what only a new one has.
pub(super) fn device_changes(device: &Device) -> Result<Changes, Failure> {
    let record = serde_json::to_string(device).map_err(|error| {
        Failure::Unavailable(format!("the record cannot be written as JSON ({error})"))
    })?;
    let mut set = vec![
        ("format", number(RECORD_FORMAT)),
        ("record", text(record)),
        ("version", number(device.version.saturating_add(1))),
    ];
    let places = places_of(device);
    let is_in = |index: &Index| places.iter().any(|(place, _)| place == index);
    let gone = Index::ALL.into_iter().filter(|index| !is_in(index));
    let remove = gone.flat_map(|index| [index.pk(), index.sk()]).collect();
    set.extend(places.into_iter().flat_map(|(index, place)| index.place(place)));
    Ok(Changes { remove, set, ..Changes::default() })
}

/// Where a device is in the indexes. Where a place stays what it was, no index is written.
fn places_of(device: &Device) -> Vec<(Index, (String, String))> {
    let serial = device.serial_number.as_str();
    let shard = shard_of(serial);
    let timed = |at: Timestamp| format!("{}#{serial}", sortable(at));
    let mut places = vec![
        (Index::Listed, (sharded(DEVICES, shard), serial.to_owned())),
        (Index::Placed, (sharded(device.state().as_str(), shard), timed(device.listed_at()))),
    ];
    if device.disabled {
        places.push((Index::Disabled, (sharded(DISABLED, shard), serial.to_owned())));
    }
    if let Some(due) = device.due_at() {
        places.push((Index::Due, (sharded(DUE, shard), timed(due))));
    }
    if let Some(review) = &device.review {
        let list = if Review::is_open(review) { OPEN_REVIEWS } else { CLOSED_REVIEWS };
        places.push((Index::Reviewed, (list.to_owned(), review.id.to_string())));
    }
    places
}

pub(super) const CLOSED_REVIEWS: &str = "closed";
pub(super) const DEVICES: &str = "device";
pub(super) const DISABLED: &str = "disabled";
pub(super) const DUE: &str = "due";
pub(super) const OPEN_REVIEWS: &str = "open";

pub(super) fn device(item: &Item) -> Result<Device, Failure> {
    if item.number::<u32>("format")? != RECORD_FORMAT {
        return Err(item.unreadable("is in a format that this release does not know"));
    }
    // The JSON's own error may quote what it stumbled over; where it did is enough.
    let mut device: Device = serde_json::from_str(item.text("record")?).map_err(|error| {
        item.unreadable(format_args!("cannot be read at column {}", error.column()))
    })?;
    if Key::device(&device.serial_number) != item.key()? {
        return Err(item.unreadable("is another device's"));
    }
    device.version = item.number("version")?;
    Ok(device)
}

/// The item of a new certificate.
pub(super) fn certificate_item(row: &CertificateRecord) -> Attributes {
    let mut item = attributes(
        &Key::certificate(&row.id),
        [
            ("certificate_serial", bytes(row.certificate_serial.clone())),
            ("serial_number", text(row.serial_number.as_str())),
            ("thing_name", text(row.thing_name.as_str())),
            ("policy", text(row.policy.as_str())),
            ("key_id", bytes(row.key.0)),
            ("state", text(row.state.as_str())),
            ("origin", text(row.origin.as_str())),
            ("token", number(row.token)),
            ("issuer", bytes(row.issuer.0)),
            ("issued_at", number(row.issued_at.0)),
            ("not_before", number(row.not_before.0)),
            ("not_after", number(row.not_after.0)),
            ("attempt", text(row.attempt.to_string())),
            ("der", bytes(row.der.clone())),
        ],
    );
    let mut insert = |name: &str, value| item.insert(name.to_owned(), value);
    for (name, at) in [("confirmed_at", row.confirmed_at), ("ended_at", row.ended_at)] {
        if let Some(at) = at {
            insert(name, number(at.0));
        }
    }
    if let Some(reason) = row.reason {
        insert("reason", text(reason.as_str()));
    }
    let issued = format!("{}#{}", sortable(row.issued_at), row.id);
    let mut places = vec![(Index::Listed, (certificates_of(row.serial_number.as_str()), issued))];
    if row.state.is_live() {
        places.push((Index::Placed, (claims_of(&row.key), row.id.to_string())));
    }
    for (name, value) in places.into_iter().flat_map(|(index, place)| index.place(place)) {
        insert(name, value);
    }
    item
}

/// The partition of [`Index::Listed`] that has a device's certificates.
pub(super) fn certificates_of(serial: &str) -> String {
    format!("certificates-of#{serial}")
}

/// The partition of [`Index::Placed`] that has the live certificates of a key.
pub(super) fn claims_of(key: &KeyIdentity) -> String {
    format!("claim#{key}")
}

pub(super) fn certificate(item: &Item) -> Result<CertificateRecord, Failure> {
    let at = |name| item.number(name).map(Timestamp);
    let at_if = |name| Ok::<_, Failure>(item.number_if(name)?.map(Timestamp));
    Ok(CertificateRecord {
        id: certificate_id(item)?,
        certificate_serial: item.bytes("certificate_serial")?.to_vec(),
        serial_number: item.id("serial_number")?,
        thing_name: item.id("thing_name")?,
        policy: item.id("policy")?,
        key: KeyIdentity(item.digest("key_id")?),
        state: item.named("state")?,
        origin: item.named("origin")?,
        token: item.number("token")?,
        issuer: IssuerId(item.digest("issuer")?),
        issued_at: at("issued_at")?,
        not_before: at("not_before")?,
        not_after: at("not_after")?,
        confirmed_at: at_if("confirmed_at")?,
        ended_at: at_if("ended_at")?,
        reason: item.named_if("reason")?,
        attempt: item.id("attempt")?,
        der: item.bytes("der")?.to_vec(),
    })
}

/// The certificate whose row the item is.
pub(super) fn certificate_id(item: &Item) -> Result<CertificateId, Failure> {
    item.id(super::key::SK)
}

/// A key's owner, with the version of the owner's record since which it is.
pub(super) fn owner_item(key: &KeyIdentity, owner: &str, since: u64) -> Attributes {
    attributes(&Key::key_owner(key), [("owner", text(owner)), ("since", number(since))])
}

pub(super) fn compromised_item(key: &KeyIdentity) -> Attributes {
    owner_item(key, COMPROMISED, 0)
}

/// Who an owner's item names, whether the key was released since or not.
pub(super) fn named_owner(item: &Item) -> Result<KeyOwner, Failure> {
    match item.text("owner")? {
        COMPROMISED => Ok(KeyOwner::Compromised),
        _ => item.id("owner").map(KeyOwner::Device),
    }
}

/// Whether the device that an owner's item names has released its keys since.
pub(super) fn is_released(owner: &Item, device: Option<&Item>) -> Result<bool, Failure> {
    let Some(device) = device else { return Ok(false) };
    let released: Option<u64> = device.number_if("released")?;
    Ok(released.unwrap_or(0) > owner.number("since")?)
}
