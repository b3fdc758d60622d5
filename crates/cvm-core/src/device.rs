//! A device's record: its names, its tokens, its live certificates; and how time alone changes it.
//!
//! The record is the unit of every decision and every commit. It is bounded: at most four tokens
//! and four live certificates; what has ended lives on in the certificate rows only.
//! [`Device::settle`] must come before any decision, so that nothing waits for a timer.

mod parts;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::certificate::{CertificateState, Origin, Reason};
use crate::id::{CertificateId, KeyIdentity, Name, SerialNumber, ThingName};
use crate::key::KeyAlgorithm;
use crate::time::Timestamp;

pub use parts::{Binding, LiveCertificate, Road, SealedKey, TokenRecord, TokenState};

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
    /// An operator said: nothing is accepted from it.
    pub disabled: bool,
    /// When an operator decommissioned it.
    pub deleted_at: Option<Timestamp>,
    /// Newest first: the live token, if there is one, and the last three burnt ones.
    pub tokens: Vec<TokenRecord>,
    /// The certificates that may be used, or that a timer has yet to end.
    pub live: Vec<LiveCertificate>,
    /// The key that the server made for an unconfirmed certificate, until it is destroyed.
    pub sealed: Option<SealedKey>,
    /// A key that this device has proven while others held unconfirmed certificates for it, until
    /// those are written as ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contested: Option<KeyIdentity>,
    /// The version that was read; 0 for a record that no store has yet. Kept beside the record.
    #[serde(skip)]
    pub version: Version,
}

/// A live certificate that ended, to be written to its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which one.
    pub id: CertificateId,
    /// As what.
    pub state: CertificateState,
    /// Why, where the world is told.
    pub reason: Option<Reason>,
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

    /// The newest token, whatever became of it.
    #[must_use]
    pub fn newest_token(&self) -> Option<&TokenRecord> {
        self.tokens.first()
    }

    /// Does all that time alone has done to the record by `now`, and says what ended.
    ///
    /// A timer writes the same later; whoever decides settles first, so nothing waits for it.
    #[must_use = "what ended has to be written with the next commit"]
    pub fn settle(&mut self, now: Timestamp) -> Vec<Ended> {
        for token in &mut self.tokens {
            if token.state == TokenState::Unused && now > token.expires {
                token.state = TokenState::Expired;
            }
        }
        let ended = self.end_where(CertificateState::Expired, None, |live| now > live.not_after);
        self.destroy_due_key(now);
        ended
    }

    /// When a timer has to look at the record, so that what [`Self::settle`] would destroy does not
    /// lie in the store until somebody asks. Expiry destroys nothing and needs no timer.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        if self.contested.is_some() {
            return Some(Timestamp(0));
        }
        let key = self.sealed.as_ref()?;
        let live = self.live_by_id(&key.certificate);
        let tenth = live.map_or(key.until, LiveCertificate::last_tenth_at);
        Some(Timestamp(key.until.min(tenth).0.saturating_add(1)))
    }

    /// Ends what certifies `key`, because another device proved possession of it first, and
    /// releases the token that is bound to it for another key.
    #[must_use = "what ended has to be written with the next commit"]
    pub fn lose_key(&mut self, key: &KeyIdentity) -> Vec<Ended> {
        for token in &mut self.tokens {
            if let TokenState::Used { bound, .. } = &mut token.state {
                *bound = bound.filter(|binding| binding.key != *key);
            }
        }
        self.end_where(CertificateState::Revoked, Some(Reason::Superseded), |live| live.key == *key)
    }

    /// Takes up a certificate that the token in `slot` obtained, as the unconfirmed one. What
    /// nobody has confirmed is superseded.
    #[must_use = "what ended has to be written with the next commit"]
    pub fn take_up(&mut self, slot: usize, issue: NewCertificate) -> Vec<Ended> {
        let ended =
            self.end_where(CertificateState::Superseded, Some(Reason::Superseded), |live| {
                live.state == CertificateState::Unconfirmed
            });
        let mut generation = 0;
        if let Some(token) = self.tokens.get_mut(slot) {
            let first_issue_at = match token.state {
                TokenState::Used { first_issue_at, .. } => first_issue_at,
                TokenState::BurntByConfirmation
                | TokenState::BurntByOperator
                | TokenState::Expired
                | TokenState::Unused => issue.issued_at,
            };
            let bound = Some(Binding { key: issue.key, server_made: issue.server_made });
            token.state = TokenState::Used { bound, obtained: issue.id, first_issue_at };
            generation = token.generation;
        }
        self.sealed = issue.sealed;
        self.live.push(LiveCertificate {
            id: issue.id,
            key: issue.key,
            state: CertificateState::Unconfirmed,
            origin: Origin::Token,
            token: generation,
            issued_at: issue.issued_at,
            not_after: issue.not_after,
        });
        ended
    }

    /// The first use of the unconfirmed certificate called `id`: it becomes the current one, the
    /// token it descends from is burnt, the sealed key is destroyed.
    pub fn confirm(&mut self, id: &CertificateId) {
        let Some(live) = self.live.iter_mut().find(|live| live.id == *id) else {
            return;
        };
        live.state = CertificateState::Current;
        let generation = live.token;
        for token in &mut self.tokens {
            if token.generation == generation && matches!(token.state, TokenState::Used { .. }) {
                token.state = TokenState::BurntByConfirmation;
            }
        }
        self.sealed = None;
    }

    fn end_where(
        &mut self,
        state: CertificateState,
        reason: Option<Reason>,
        is_ended: impl Fn(&LiveCertificate) -> bool,
    ) -> Vec<Ended> {
        let mut ended = Vec::new();
        self.live.retain(|live| {
            let goes = is_ended(live);
            if goes {
                ended.push(Ended { id: live.id, state, reason });
            }
            !goes
        });
        if self.sealed.as_ref().is_some_and(|key| ended.iter().any(|e| e.id == key.certificate)) {
            self.sealed = None;
        }
        ended
    }

    /// Destroys the sealed key once it may not be answered again, and releases its token for one
    /// new key. The certificate stays: the device may hold the key already.
    fn destroy_due_key(&mut self, now: Timestamp) {
        let is_due = |key: &SealedKey| {
            let is_young = |live: &LiveCertificate| live.has_a_tenth_left(now);
            now > key.until
                || key.replays >= KEY_REPLAYS_MAX
                || !self.live_by_id(&key.certificate).is_some_and(is_young)
        };
        if self.sealed.as_ref().is_some_and(is_due) {
            self.sealed = None;
        }
        if self.sealed.is_none() {
            for token in &mut self.tokens {
                if let TokenState::Used { bound, .. } = &mut token.state {
                    *bound = bound.filter(|binding| binding.server_made.is_none());
                }
            }
        }
    }
}

/// What [`Device::take_up`] needs to know of a certificate.
#[derive(Clone, Debug)]
pub struct NewCertificate {
    /// Its id.
    pub id: CertificateId,
    /// Whose key it certifies.
    pub key: KeyIdentity,
    /// Where the server made the key: by which algorithm.
    pub server_made: Option<KeyAlgorithm>,
    /// The sealed key, where the server made it.
    pub sealed: Option<SealedKey>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Its last second.
    pub not_after: Timestamp,
}

#[cfg(test)]
mod tests;
