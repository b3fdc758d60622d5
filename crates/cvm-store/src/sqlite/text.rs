//! Names in columns, and back: what is not a name of ours makes the row unreadable, and says which.

use std::fmt::Display;
use std::str::FromStr;

use cvm_core::attempt::Act;
use cvm_core::certificate::{CertificateState, Origin, Reason};
use cvm_core::operator::Role;
use cvm_core::ports::KeyOwner;

use crate::error::ReadError;

const ACTS: [Act; 4] = [Act::Confirm, Act::Connect, Act::Renew, Act::Vend];
const ORIGINS: [Origin; 2] = [Origin::Renewal, Origin::Token];
const STATES: [CertificateState; 8] = [
    CertificateState::Candidate,
    CertificateState::Current,
    CertificateState::Dropped,
    CertificateState::Expired,
    CertificateState::Retiring,
    CertificateState::Revoked,
    CertificateState::Superseded,
    CertificateState::Unconfirmed,
];

pub(super) fn act(name: &str, row: impl Display) -> Result<Act, ReadError> {
    named(&ACTS, |act| act.as_str(), name, row)
}

pub(super) fn origin(name: &str, row: impl Display) -> Result<Origin, ReadError> {
    named(&ORIGINS, |origin| origin.as_str(), name, row)
}

pub(super) fn reason(name: &str, row: impl Display) -> Result<Reason, ReadError> {
    named(&Reason::ALL, |reason| reason.as_str(), name, row)
}

pub(super) fn role(name: &str, row: impl Display) -> Result<Role, ReadError> {
    named(&Role::ALL, Role::as_str, name, row)
}

pub(super) fn state(name: &str, row: impl Display) -> Result<CertificateState, ReadError> {
    named(&STATES, |state| state.as_str(), name, row)
}

/// Who owns a compromised key: no serial number has this character.
pub(super) const COMPROMISED: &str = "!";

/// Whose a key is.
pub(super) fn key_owner(text: &str) -> Result<KeyOwner, ReadError> {
    match text {
        COMPROMISED => Ok(KeyOwner::Compromised),
        serial => id(serial, "an owner of a key").map(KeyOwner::Device),
    }
}

/// An identifier that was parsed before it was stored.
pub(super) fn id<T: FromStr>(text: &str, row: impl Display) -> Result<T, ReadError> {
    text.parse().map_err(|_| unreadable(row, "has an identifier that is none"))
}

pub(super) fn unreadable(row: impl Display, why: &str) -> ReadError {
    ReadError::Corrupt(format!("{row} {why}"))
}

fn named<T: Copy>(
    all: &[T],
    name_of: fn(T) -> &'static str,
    name: &str,
    row: impl Display,
) -> Result<T, ReadError> {
    all.iter()
        .copied()
        .find(|candidate| name_of(*candidate) == name)
        .ok_or_else(|| unreadable(row, "has a state or kind that this release does not know"))
}
