//! The decision: what a request with this token and this key is to be answered, as a pure function
//! of the settled record (protocol, sections 2 and 3).
//!
//! Nothing here reads a clock or a store: everything that decides is an argument.

use crate::certificate::CertificateState;
use crate::device::{Device, TokenRecord, TokenState};
use crate::id::{CertificateId, KeyIdentity};
use crate::key::KeyAlgorithm;
use crate::profile::{Profile, Reissue};
use crate::time::Timestamp;

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

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer these bytes again.
    Answer(CertificateId),
    /// The token is bound to another key, which `bound` names, and the profile allows no other.
    AnotherKey {
        /// The key it is bound to.
        bound: KeyIdentity,
    },
    /// Refuse like any other no.
    Deny,
    /// Issue a certificate.
    Issue,
    /// Answer these bytes again with the key that the server made.
    ReplayKey(CertificateId),
}

/// How far the token in `slot` opens the door.
///
/// # Errors
/// The [`Denial`] that `explain` will tell.
pub fn admit(device: &Device, slot: Option<usize>) -> Result<Admission, Denial> {
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
        TokenState::BurntByOperator => Err(Denial::TokenBurntByOperator),
        TokenState::Expired => Err(Denial::TokenExpired),
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
    match &token.state {
        TokenState::Unused => Decision::Issue,
        TokenState::Used { .. } => match profile.reissue {
            Reissue::SameKey => decide_same_key(device, token, asked, now),
        },
        TokenState::BurntByConfirmation => decide_burnt(device, token, asked),
        TokenState::BurntByOperator | TokenState::Expired => Decision::Deny,
    }
}

/// Rule 2: the token obtained a certificate that nobody has used.
fn decide_same_key(
    device: &Device,
    token: &TokenRecord,
    asked: Asked<'_>,
    now: Timestamp,
) -> Decision {
    let TokenState::Used { bound, obtained, .. } = &token.state else {
        return Decision::Issue;
    };
    // A token that was released is good for one new key.
    let Some(bound) = bound else {
        return Decision::Issue;
    };
    let is_same = match asked {
        Asked::DeviceKey(key) => bound.key == *key,
        Asked::ServerKey(algorithm) => bound.server_made == Some(algorithm),
    };
    if !is_same {
        return Decision::AnotherKey { bound: bound.key };
    }
    match device.live_by_id(obtained) {
        Some(live) if live.has_a_tenth_left(now) => match asked {
            Asked::DeviceKey(_) => Decision::Answer(live.id),
            Asked::ServerKey(_) => Decision::ReplayKey(live.id),
        },
        Some(_) | None => Decision::Issue,
    }
}

/// Rule 3: confirmation burnt the token. Only the key of the device's current certificate, or
/// where there is none of its unconfirmed one, is answered, if this token or a renewal from it
/// obtained that.
fn decide_burnt(device: &Device, token: &TokenRecord, asked: Asked<'_>) -> Decision {
    let Asked::DeviceKey(key) = asked else {
        return Decision::Deny;
    };
    let held = device
        .live_in(CertificateState::Current)
        .or_else(|| device.live_in(CertificateState::Unconfirmed));
    match held {
        Some(live) if live.key == *key && live.token == token.generation => {
            Decision::Answer(live.id)
        }
        Some(_) | None => Decision::Deny,
    }
}

#[cfg(test)]
mod tests;
