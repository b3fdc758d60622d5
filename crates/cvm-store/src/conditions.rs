//! The conditions of a change, the same in every store, in the order in which they are judged.
//!
//! A store looks up what it [`Found`] and asks for the [`refusal`] before it writes anything, so
//! that a refused change has written nothing.

use cvm_core::device::{Moved, Version};
use cvm_core::id::{CertificateId, KeyIdentity, SerialNumber};
use cvm_core::ports::{CertificateChange, Change, CommitError, KeyRule};

/// Who has what only one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody.
    Nobody,
    /// Another device.
    Other,
    /// The device that changes.
    This,
}

impl Holder {
    /// What `holder` is to the device called `serial`.
    pub(crate) fn of(holder: Option<&str>, serial: &SerialNumber) -> Self {
        match holder {
            None => Self::Nobody,
            Some(holder) if holder == serial.as_str() => Self::This,
            Some(_) => Self::Other,
        }
    }
}

/// What the store holds of what a change names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// The version of the device's record; 0 where there is none.
    pub(crate) version: Version,
    /// Whose record has the thing name.
    pub(crate) thing_name: Holder,
    /// Whose the platform's entry of that name is.
    pub(crate) thing: Holder,
    /// Whether one of the keys is another's that must not be.
    pub(crate) is_key_taken: bool,
}

/// The keys that must not be another's.
pub(crate) fn keys_of(change: &Change) -> impl Iterator<Item = &KeyIdentity> {
    change.keys.iter().filter_map(|rule| match rule {
        KeyRule::NotOthers(key) | KeyRule::Own(key) => Some(key),
        KeyRule::Compromise(_) | KeyRule::ReleaseAll => None,
    })
}

/// Why the change may not be written, but for its certificates.
pub(crate) fn refusal(change: &Change, found: &Found) -> Option<CommitError> {
    if found.version != change.device.version {
        Some(CommitError::Conflict)
    } else if found.thing_name == Holder::Other || found.thing == Holder::Other {
        Some(CommitError::ThingNameTaken)
    } else if found.is_key_taken {
        Some(CommitError::KeyOwned)
    } else {
        None
    }
}

/// Why what happens to the change's certificates may not: a new one is there already, or one that
/// is confirmed or ends is not this device's. Callers do not do that; if one does, nobody else in
/// its commit shall suffer.
pub(crate) fn certificate_refusal<E>(
    change: &Change,
    mut holder_of: impl FnMut(&CertificateId) -> Result<Holder, E>,
) -> Result<Option<CommitError>, E> {
    let mut inserted = Vec::new();
    for certificate in &change.certificates {
        let why = match certificate {
            CertificateChange::Confirm(id, _) | CertificateChange::Move(Moved { id, .. }, _) => {
                if inserted.contains(id) || holder_of(id)? == Holder::This {
                    continue;
                }
                "the device has no such certificate"
            }
            CertificateChange::Insert(row) => {
                if !inserted.contains(&row.id) && holder_of(&row.id)? == Holder::Nobody {
                    inserted.push(row.id);
                    continue;
                }
                "the certificate is there already"
            }
        };
        return Ok(Some(CommitError::Unavailable(why.into())));
    }
    Ok(None)
}
