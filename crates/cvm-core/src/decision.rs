//! The decision: what a request with this token and this key is to be answered, as a pure function
//! of the settled record (protocol, sections 2 and 3).
//!
//! Nothing here reads a clock or a store: everything that decides is an argument.

mod renewal;
mod reuse;

use crate::certificate::CertificateState;
use crate::device::{Device, Review, ReviewKey, TokenRecord, TokenState};
use crate::id::{CertificateId, KeyIdentity};
use crate::key::KeyAlgorithm;
use crate::profile::{Profile, Reissue};
use crate::time::Timestamp;

pub use renewal::{Renewal, decide_renewal, may_renew_expired};

/// Why a request is refused with the one answer for every kind of no; told by `explain` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The device was decommissioned.
    DeviceDeleted,
    /// The device is disabled.
    DeviceDisabled,
    /// The token's certificate was used, and this is not the key of the device's certificate.
    TokenBurntByConfirmation,
    /// An operator took the token back.
    TokenBurntByOperator,
    /// The token expired before its first issue.
    TokenExpired,
    /// Nobody registered this serial number.
    UnknownSerialNumber,
    /// The token is none of this device's.
    WrongToken,
}

impl Denial {
    /// The name in attempts and journal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeviceDeleted => "device-deleted",
            Self::DeviceDisabled => "device-disabled",
            Self::TokenBurntByConfirmation => "token-burnt-by-confirmation",
            Self::TokenBurntByOperator => "token-burnt-by-operator",
            Self::TokenExpired => "token-expired",
            Self::UnknownSerialNumber => "unknown-serial-number",
            Self::WrongToken => "wrong-token",
        }
    }
}

/// How far a token opens the door, before anything else of the request is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Its certificate was used: it may be answered that certificate, and issues nothing.
    Burnt,
    /// It may issue.
    Open,
}

/// Whose key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// One that the device made.
    DeviceKey(&'a KeyIdentity),
    /// One that the server is to make.
    ServerKey(KeyAlgorithm),
}

impl Asked<'_> {
    /// As a review names it.
    #[must_use]
    pub fn review_key(self) -> ReviewKey {
        match self {
            Self::DeviceKey(key) => ReviewKey::Device(*key),
            Self::ServerKey(algorithm) => ReviewKey::Server(algorithm),
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer these bytes again.
    Answer(CertificateId),
    /// The token is bound to another key, and this one is refused.
    AnotherKey(Conflict),
    /// Refuse like any other no.
    Deny,
    /// Issue a certificate.
    Issue,
    /// Issue a certificate to another key than the token is bound to, and raise an alarm.
    IssueToAnother,
    /// A human has to say; this is the question that waits already.
    Pending(Review),
    /// Answer these bytes again with the key that the server made.
    ReplayKey(CertificateId),
    /// Put the question to a human.
    Review,
    /// The time for asking again with the same key is over.
    TooLate,
}

/// Why another key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The profile allows no other key.
    AnotherKey,
    /// A human said no to this key.
    KeyDenied,
    /// A human is asked about another key, or said yes to another.
    ReviewOpen,
}

/// How far the token in `slot` opens the door.
///
/// # Errors
/// The [`Denial`] that `explain` will tell.
pub fn admit(device: &Device, slot: Option<usize>, profile: &Profile) -> Result<Admission, Denial> {
    let Some(token) = slot.and_then(|slot| device.tokens.get(slot)) else {
        return Err(Denial::WrongToken);
    };
    if device.deleted_at.is_some() {
        return Err(Denial::DeviceDeleted);
    }
    if device.disabled {
        return Err(Denial::DeviceDisabled);
    }
    match token.state {
        TokenState::BurntByConfirmation => Ok(Admission::Burnt),
        TokenState::BurntByOperator(_) => Err(Denial::TokenBurntByOperator),
        TokenState::Expired => Err(Denial::TokenExpired),
        // The profile may have become a stricter one since.
        TokenState::Used { is_confirmed: true, .. } if profile.reissue.confirmation_burns() => {
            Ok(Admission::Burnt)
        }
        TokenState::Unused | TokenState::Used { .. } => Ok(Admission::Open),
    }
}

/// What a request with the token in `slot` and the key `asked` is to be answered.
///
/// The record is settled and [`admit`] let the token in.
#[must_use]
pub fn decide(
    device: &Device,
    slot: usize,
    asked: Asked<'_>,
    profile: &Profile,
    now: Timestamp,
) -> Decision {
    let Some(token) = device.tokens.get(slot) else {
        return Decision::Deny;
    };
    let burns = profile.reissue.confirmation_burns();
    match &token.state {
        TokenState::Unused => Decision::Issue,
        TokenState::Used { is_confirmed: true, .. } if !burns => {
            reuse::decide_confirmed(device, token, asked, profile.reissue, now)
        }
        TokenState::Used { is_confirmed: false, .. } => {
            reuse::decide_unconfirmed(device, token, asked, profile.reissue, now)
        }
        TokenState::BurntByConfirmation | TokenState::Used { .. } => {
            decide_burnt(device, token, asked, profile.reissue)
        }
        TokenState::BurntByOperator(_) | TokenState::Expired => Decision::Deny,
    }
}

/// Rule 3: confirmation burnt the token. Only the key of the device's current certificate, or
/// where there is none of its unconfirmed one, is answered, if this token or a renewal from it
/// obtained that; under `never` not even that.
fn decide_burnt(
    device: &Device,
    token: &TokenRecord,
    asked: Asked<'_>,
    reissue: Reissue,
) -> Decision {
    let Asked::DeviceKey(key) = asked else {
        return Decision::Deny;
    };
    let held = device
        .live_in(CertificateState::Current)
        .or_else(|| device.live_in(CertificateState::Unconfirmed));
    match held {
        Some(live)
            if live.key == *key && live.token == token.generation && reissue != Reissue::Never =>
        {
            Decision::Answer(live.id)
        }
        Some(_) | None => Decision::Deny,
    }
}

#[cfg(test)]
mod tests;
