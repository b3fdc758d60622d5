//! The device registry as a store: atomic operations, each with its contract.
//!
//! Every implementation passes one conformance suite, a named check per sentence here. No operation
//! needs more than one conditional transaction on a handful of keys, so that SQLite, PostgreSQL,
//! MySQL and DynamoDB can all keep it.

use std::error::Error as StdError;

use async_trait::async_trait;
use thiserror::Error;

use crate::certificate::CertificateRecord;
use crate::device::{Device, DeviceFilter, Moved};
use crate::id::{AttemptCode, CertificateId, KeyIdentity, Name, SerialNumber, ThingName, TokenMac};
use crate::journal::{Event, JournalRow};
use crate::page::{Page, PageRequest};
use crate::policy::Policy;
use crate::time::Timestamp;

/// What every decision is made from. Reads see every commit that was acknowledged before them.
#[async_trait]
pub trait Store: Send + Sync {
    /// The device's record, in one read by its key.
    async fn device_find(&self, serial: &SerialNumber) -> Result<Option<Device>, StoreError>;

    /// Several devices' records, in the order in which they are asked for, each as
    /// [`Store::device_find`] has it; one that cannot be read harms no other.
    async fn devices_find(
        &self,
        serials: Vec<SerialNumber>,
    ) -> Vec<Result<Option<Device>, StoreError>> {
        let mut found = Vec::with_capacity(serials.len());
        for serial in serials {
            found.push(self.device_find(&serial).await);
        }
        found
    }

    /// The certificate's row, its device's record, and who owns its key, all of one moment.
    async fn holding_find(&self, id: &CertificateId) -> Result<Option<Holding>, StoreError>;

    /// Which device has proven possession of `key`.
    async fn key_owner(&self, key: &KeyIdentity) -> Result<Option<KeyOwner>, StoreError>;

    /// Whether the device ever had this token and has no slot for it any more.
    async fn token_is_spent(
        &self,
        serial: &SerialNumber,
        mac: &TokenMac,
    ) -> Result<bool, StoreError>;

    /// Writes a change: all of it, durably, or nothing of it.
    ///
    /// Changes that wait at the same time may share a commit; each has its own answer, and one
    /// that is refused changes nothing of the others.
    ///
    /// # Errors
    /// [`CommitError`]; with any but [`CommitError::Unavailable`] nothing was written.
    async fn device_commit(&self, change: Change) -> Result<(), CommitError>;

    /// Writes several changes in their order, each as [`Store::device_commit`] does: it has its
    /// own answer, at its own place, and sees what those before it wrote.
    ///
    /// They share as few commits as the store likes, so a crash may leave the first of them
    /// written and the others not; of each, all or nothing.
    async fn devices_commit(&self, changes: Vec<Change>) -> Vec<Result<(), CommitError>> {
        let mut answers = Vec::with_capacity(changes.len());
        for change in changes {
            answers.push(self.device_commit(change).await);
        }
        answers
    }

    /// Whether the store can be written to now.
    async fn ready(&self) -> Result<(), StoreError>;

    /// Raises the latest time that was recorded to `now` where it is earlier, and returns what it
    /// was before; `None` the first time.
    async fn mark_raise(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// Sets the latest time that was recorded to `now`, forward or back, in one commit with its
    /// journal row.
    async fn mark_set(&self, now: Timestamp, event: Event) -> Result<(), StoreError>;

    /// The latest time that was recorded.
    async fn mark_find(&self) -> Result<Option<Timestamp>, StoreError>;
}

/// A certificate and whom it belongs to, read in one moment.
#[derive(Clone, Debug)]
pub struct Holding {
    /// The row.
    pub certificate: CertificateRecord,
    /// The record of its device.
    pub device: Device,
    /// Which device has proven possession of the certificate's key.
    pub key_owner: Option<KeyOwner>,
}

impl Holding {
    /// Whether the certificate's key is another device's, or nobody's any more.
    #[must_use]
    pub fn is_key_lost(&self) -> bool {
        self.key_owner.as_ref().is_some_and(|owner| !owner.is(&self.device.serial_number))
    }
}

/// Whose a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOwner {
    /// Nobody's, for ever: an operator called it compromised.
    Compromised,
    /// The device that has proven possession of it.
    Device(SerialNumber),
}

impl KeyOwner {
    /// Whether it is the device called `serial`.
    #[must_use]
    pub fn is(&self, serial: &SerialNumber) -> bool {
        matches!(self, Self::Device(owner) if owner == serial)
    }
}

/// A change of one device, decided upon the version of `device` that was read.
#[derive(Clone, Debug)]
pub struct Change {
    /// The record as it shall be. `device.version` is the version it was read at, 0 for a new
    /// one; the store writes the next version.
    pub device: Device,
    /// What happens to certificate rows.
    pub certificates: Vec<CertificateChange>,
    /// What must hold of keys, or is made to hold: at most two rules.
    pub keys: Vec<KeyRule>,
    /// What happens to the platform's entry.
    pub thing: Option<ThingChange>,
    /// Tokens that have no slot in the record any more, to be remembered as burnt.
    pub spent_tokens: Vec<TokenMac>,
    /// Rows for the journal.
    pub events: Vec<Event>,
}

impl Change {
    /// A change of the record and of certificate rows, with its journal rows.
    #[must_use]
    pub fn new(device: Device, certificates: Vec<CertificateChange>, events: Vec<Event>) -> Self {
        let (keys, spent_tokens) = (Vec::new(), Vec::new());
        Self { device, certificates, keys, thing: None, spent_tokens, events }
    }
}

/// What happens to one certificate row.
#[derive(Clone, Debug)]
pub enum CertificateChange {
    /// It was used for the first time at this moment, and is the current one.
    Confirm(CertificateId, Timestamp),
    /// It is new.
    Insert(Box<CertificateRecord>),
    /// It moved on at this moment, otherwise than by its first use. Where it is not live any more,
    /// this is when it ended.
    Move(Moved, Timestamp),
}

impl CertificateChange {
    /// The changes that write what moved.
    #[must_use]
    pub fn moves(moved: Vec<Moved>, at: Timestamp) -> Vec<Self> {
        moved.into_iter().map(|moved| Self::Move(moved, at)).collect()
    }
}

/// What must hold of a key in the commit, or is made to hold.
#[derive(Clone, Copy, Debug)]
pub enum KeyRule {
    /// It is nobody's from now on, whosever it was.
    Compromise(KeyIdentity),
    /// No other device owns it.
    NotOthers(KeyIdentity),
    /// It is this device's from now on; put if absent.
    Own(KeyIdentity),
    /// None of this device's keys is its own any more.
    ReleaseAll,
}

/// What happens to the platform's entry of a device.
#[derive(Clone, Debug)]
pub enum ThingChange {
    /// Made if it is not there.
    Put(Thing),
    /// Removed if it is there and this device's.
    Remove,
}

/// An entry of the embedded platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thing {
    /// Its name.
    pub name: ThingName,
    /// The device behind it.
    pub serial_number: SerialNumber,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Why a change was not written.
#[derive(Debug, Error)]
pub enum CommitError {
    /// The record's version moved, or a new record's serial number is taken.
    #[error("the record moved")]
    Conflict,
    /// Another device owns the key.
    #[error("another device owns the key")]
    KeyOwned,
    /// Another device, or a tombstone, has the thing name, or the platform's entry of that name.
    #[error("another device has the thing name")]
    ThingNameTaken,
    /// The outcome is not known: read again before saying anything of it.
    #[error("the commit's outcome is not known")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
}

/// Why a read or a simple write failed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// What is stored cannot be read; ours or the disk's to mend.
    #[error("what is stored cannot be read: {0}")]
    Corrupt(String),
    /// The store cannot now.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
}

/// A device that a timer has to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// Since when.
    pub at: Timestamp,
    /// Which one.
    pub serial_number: SerialNumber,
}

/// Lists and look-ups that no decision is made from; they may be a moment behind.
#[async_trait]
pub trait Catalogue: Send + Sync {
    /// Devices in order of their serial number, from an index, never by a scan of all.
    async fn device_page(&self, page: &PageRequest) -> Result<Page<Device>, StoreError>;

    /// The devices that `filter` has in order of [`DeviceFilter::place_of`], which is also where a
    /// page starts, from a sparse index; those registered in one second come in an order that stays
    /// the same. Which they are and where was written with their record; one that moves during a walk
    /// may be missed, or seen where it was and where it is.
    async fn device_page_where(
        &self,
        filter: DeviceFilter,
        page: &PageRequest,
    ) -> Result<Page<Device>, StoreError>;

    /// Certificates in order of their id.
    async fn certificate_page(
        &self,
        page: &PageRequest,
    ) -> Result<Page<CertificateRecord>, StoreError>;

    /// Every certificate that the device ever had, oldest first, at most 1,000.
    async fn certificates_of(
        &self,
        serial: &SerialNumber,
    ) -> Result<Vec<CertificateRecord>, StoreError>;

    /// The devices that hold a live certificate for `key`, from a sparse index, at most 100.
    async fn claims_of(&self, key: &KeyIdentity) -> Result<Vec<SerialNumber>, StoreError>;

    /// The devices whose [`Device::due_at`] is `now` or earlier, earliest first, from a sparse
    /// index, at most 100, those after `after` only.
    async fn due_devices(
        &self,
        now: Timestamp,
        after: Option<&Due>,
    ) -> Result<Vec<Due>, StoreError>;

    /// The devices that are stored as issued or active though their [`Device::listed_at`] is over,
    /// with that as their time, earliest first, from the index of the filters, at most 100, those
    /// after `after` only.
    async fn outlived_devices(
        &self,
        now: Timestamp,
        after: Option<&Due>,
    ) -> Result<Vec<Due>, StoreError>;

    /// The device whose [`Device::review`] is called `id`, from a sparse index.
    async fn reviewed_device(&self, id: AttemptCode) -> Result<Option<SerialNumber>, StoreError>;

    /// Devices with an open review in order of its name, from a sparse index.
    async fn review_page(&self, page: &PageRequest) -> Result<Page<Device>, StoreError>;
}

/// What a device may do.
#[async_trait]
pub trait Policies: Send + Sync {
    /// Puts a policy in place of what had its name, in one commit with its journal row.
    async fn policy_put(&self, policy: Policy, event: Event) -> Result<(), StoreError>;

    /// The policy called `name`.
    async fn policy_find(&self, name: &Name) -> Result<Option<Policy>, StoreError>;

    /// Policies in order of their name.
    async fn policy_page(&self, page: &PageRequest) -> Result<Page<Policy>, StoreError>;
}

/// The journal, for what changes no device, and for reading it.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Writes a row durably.
    async fn event_record(&self, event: Event) -> Result<(), StoreError>;

    /// Rows in order of writer and number.
    async fn journal_page(&self, page: &PageRequest) -> Result<Page<JournalRow>, StoreError>;
}
