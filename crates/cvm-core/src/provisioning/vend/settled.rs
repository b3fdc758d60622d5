//! What a vending decision is made on.

use super::key::Vending;
use crate::certificate::CertificateRecord;
use crate::device::{Device, Moved, TokenRecord, TokenState};
use crate::id::{CertificateId, KeyIdentity};
use crate::profile::Profile;
use crate::time::Timestamp;

/// A decision's record: settled, with what moved by that.
pub(super) struct Settled<'a> {
    pub(super) device: Device,
    pub(super) moved: Vec<Moved>,
    pub(super) slot: usize,
    pub(super) profile: &'a Profile,
    /// The row of what the decision is about, of the same moment as the record.
    pub(super) held: Option<CertificateRecord>,
}

impl Settled<'_> {
    pub(super) fn token(&self) -> Option<&TokenRecord> {
        self.device.tokens.get(self.slot)
    }

    /// The last second of the life that its profile gives the certificate called `id`, where
    /// others chose its notAfter.
    pub(super) fn life_ends(&self, id: &CertificateId) -> Option<Timestamp> {
        self.device.live_by_id(id).and_then(|live| live.life_ends)
    }

    /// The key that the token is bound to.
    pub(super) fn bound(&self) -> Option<KeyIdentity> {
        match self.token().map(|token| &token.state) {
            Some(TokenState::Used { bound, .. }) => bound.map(|bound| bound.key),
            Some(
                TokenState::BurntByConfirmation
                | TokenState::BurntByOperator(_)
                | TokenState::Expired
                | TokenState::Unused,
            )
            | None => None,
        }
    }

    /// What the token obtained, where it is bound to a key.
    pub(super) fn obtained(&self) -> Option<CertificateId> {
        match self.token().map(|token| &token.state) {
            Some(TokenState::Used { bound: Some(_), obtained, .. }) => Some(*obtained),
            Some(
                TokenState::BurntByConfirmation
                | TokenState::BurntByOperator(_)
                | TokenState::Expired
                | TokenState::Unused
                | TokenState::Used { .. },
            )
            | None => None,
        }
    }

    /// The evidence that another key was shown than the token is bound to.
    pub(super) fn another_key(&self, vending: &Vending<'_>) -> String {
        let asked = vending.asked().review_key();
        match self.bound() {
            Some(bound) => format!("{asked} was shown, the token is bound to key {bound}"),
            None => format!("{asked} was shown"),
        }
    }
}
