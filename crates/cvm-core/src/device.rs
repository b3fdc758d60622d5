//! A device's record: its names, its tokens, its live certificates.
//!
//! The record is the unit of every decision and every commit. It is small: at most four tokens and
//! three live certificates, and the keys whose other claims have still to be ended; what has ended
//! lives on in the certificate rows only.
//! [`Device::settle`] must come before any decision, so that nothing waits for a timer.
//!
//! What happens to a record: [`settle`] by time alone, `issue` by devices, `operate` by operators.
//! Each returns what [`Moved`], to be written with the same commit.

mod issue;
mod listed;
mod operate;
mod parts;
mod remote;
mod review;
mod settle;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::certificate::{CertificateState, Reason};
use crate::id::{CertificateId, KeyIdentity, Name, SerialNumber, ThingName};
use crate::time::Timestamp;

pub use issue::{Basis, Confirmation, NewCertificate};
pub use listed::{DeviceFilter, DeviceFilterError, Place, PlaceError};
pub use operate::{Fate, TokenToGive};
pub use parts::{
    Binding, Burning, LiveCertificate, Outlived, Road, SealedKey, TokenRecord, TokenState, Word,
};
pub use remote::{LEASE, Owed, REASSERTED, Reservation, Stage, Wanted};
pub use review::{Review, ReviewKey, ReviewState, Verdict};

/// How often a key that the server made is answered again, at most.
pub const KEY_REPLAYS_MAX: u8 = 5;

/// Counts the commits of one record; every commit names the version it was decided on.
pub type Version = u64;

/// Everything that is known of a device, but for what has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// The manufacturer's number; the key of the record.
    pub serial_number: SerialNumber,
    /// The registry entry it is bound to.
    pub thing_name: ThingName,
    /// What it may do.
    pub policy: Name,
    /// By which rules it gets certificates.
    pub profile: Name,
    /// What its operator says of it.
    pub attributes: BTreeMap<String, String>,
    /// By which roads it may come to its first certificate.
    pub roads: Vec<Road>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it first obtained a certificate in this life.
    pub first_issued_at: Option<Timestamp>,
    /// An operator said: nothing is accepted from it.
    pub disabled: bool,
    /// When an operator decommissioned it.
    pub deleted_at: Option<Timestamp>,
    /// Newest first: the live token, if there is one, and the last three burnt ones.
    pub tokens: Vec<TokenRecord>,
    /// The certificates that may be used, or that a timer has yet to end.
    pub live: Vec<LiveCertificate>,
    /// The current one that expired last, where nothing was confirmed since.
    pub outlived: Option<Outlived>,
    /// The key that the server made for an unconfirmed certificate, until it is destroyed.
    pub sealed: Option<SealedKey>,
    /// The last question that was put to a human, until another is.
    pub review: Option<Review>,
    /// Keys that this device has proven, or an operator has called compromised, while others held
    /// unconfirmed certificates for them, until those are written as ended.
    pub contested: Vec<KeyIdentity>,
    /// The live certificate that a platform outside of this process has still to finish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<Reservation>,
    /// What such a platform has still to do, or to be told again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<Owed>,
    /// The version that was read; 0 for a record that no store has yet. Kept beside the record.
    #[serde(skip)]
    pub version: Version,
}

/// A certificate that moved on by something else than its first use, to be written to its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Which one.
    pub id: CertificateId,
    /// Where it stands now.
    pub state: CertificateState,
    /// Why, where the world is told.
    pub reason: Option<Reason>,
    /// By what.
    pub by: MovedBy,
}

/// By what a certificate moved on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovedBy {
    /// By what is written with it: a device's or an operator's act.
    Act,
    /// By time alone; whoever writes next only writes it down.
    Time,
}

/// `registered`, `issued` or `active`, or a tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceState {
    /// A live certificate was used.
    Active,
    /// Decommissioned; serial number, thing name and history remain.
    Deleted,
    /// Its certificate was answered and not used yet.
    Issued,
    /// It has no live certificate.
    Registered,
}

impl DeviceState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Deleted, Self::Issued, Self::Registered];

    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deleted => "deleted",
            Self::Issued => "issued",
            Self::Registered => "registered",
        }
    }
}

impl Device {
    /// Where the device stands, judged by its live certificates.
    #[must_use]
    pub fn state(&self) -> DeviceState {
        if self.deleted_at.is_some() {
            DeviceState::Deleted
        } else if self.live_in(CertificateState::Current).is_some() {
            DeviceState::Active
        } else if self.live_in(CertificateState::Unconfirmed).is_some() {
            DeviceState::Issued
        } else {
            DeviceState::Registered
        }
    }

    /// The live certificate in `state`; there is at most one of each (invariant I1).
    #[must_use]
    pub fn live_in(&self, state: CertificateState) -> Option<&LiveCertificate> {
        self.live.iter().find(|certificate| certificate.state == state)
    }

    /// The live certificate called `id`.
    #[must_use]
    pub fn live_by_id(&self, id: &CertificateId) -> Option<&LiveCertificate> {
        self.live.iter().find(|certificate| certificate.id == *id)
    }

    /// The live certificate that nobody has used yet: unconfirmed, or a candidate.
    #[must_use]
    pub fn unproven(&self) -> Option<&LiveCertificate> {
        self.live.iter().find(|certificate| certificate.is_unproven())
    }

    /// The newest token, whatever became of it.
    #[must_use]
    pub fn newest_token(&self) -> Option<&TokenRecord> {
        self.tokens.first()
    }
}

#[cfg(test)]
mod tests;
