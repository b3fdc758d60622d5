//! The parts of a device's record: its tokens, its live certificates, its sealed key.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ReviewKey;
use crate::certificate::{CertificateState, Origin};
use crate::id::{CertificateId, KeyIdentity, TokenMac};
use crate::key::KeyAlgorithm;
use crate::time::{Span, Timestamp};

/// A way to a first certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Road {
    /// The front door: serial number and one-time token over HTTPS.
    Vend,
}

/// A token as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenRecord {
    /// 1 for the first token of the device, then counting up.
    pub generation: u32,
    /// Its keyed hash.
    pub mac: TokenMac,
    /// When it was given.
    pub given_at: Timestamp,
    /// Until when it may wait for its first issue.
    pub expires: Timestamp,
    /// What became of it.
    pub state: TokenState,
    /// The keys that a human said no to.
    pub denied: Vec<ReviewKey>,
}

impl TokenRecord {
    /// Whether neither a confirmation nor an operator has burnt it.
    #[must_use]
    pub fn is_unburnt(&self) -> bool {
        match self.state {
            TokenState::BurntByConfirmation | TokenState::BurntByOperator(_) => false,
            TokenState::Expired | TokenState::Unused | TokenState::Used { .. } => true,
        }
    }
}

impl PartialEq for TokenRecord {
    /// For tests and snapshots; a request is compared by [`crate::token::slot_of`] only.
    fn eq(&self, other: &Self) -> bool {
        let parts = |it: &Self| (it.generation, it.mac.0, it.given_at, it.expires);
        parts(self) == parts(other) && self.state == other.state && self.denied == other.denied
    }
}

/// What became of a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenState {
    /// The certificate that it obtained was used: it issues nothing any more.
    BurntByConfirmation,
    /// An operator took it back.
    BurntByOperator(Burning),
    /// It waited too long for its first issue.
    Expired,
    /// It obtained nothing yet.
    Unused,
    /// It obtained a certificate that nobody has used yet.
    Used {
        /// The key it is bound to; `None` once it was released for another key.
        bound: Option<Binding>,
        /// The newest certificate it obtained.
        obtained: CertificateId,
        /// When it first obtained one.
        first_issue_at: Timestamp,
        /// A certificate that it obtained was used, under a policy where that burns no token.
        is_confirmed: bool,
    },
}

/// Who took a token back, and by which word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burning {
    /// The operator, by the id of the admin token.
    pub by: String,
    /// The word.
    pub word: Word,
    /// When.
    pub at: Timestamp,
}

impl fmt::Display for Burning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "burnt by operator {} with `{}` at {}", self.by, self.word.as_str(), self.at)
    }
}

/// An operator's word that burns tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// The device was decommissioned.
    Delete,
    /// Another token was given.
    NewToken,
    /// A certificate that descends from it was revoked.
    Revoke,
}

impl Word {
    /// As an operator types it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::NewToken => "new-token",
            Self::Revoke => "revoke",
        }
    }
}

impl TokenState {
    /// The name in the API.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::BurntByConfirmation | Self::BurntByOperator(_) => "burnt",
            Self::Expired => "expired",
            Self::Unused => "unused",
            Self::Used { .. } => "used",
        }
    }
}

/// The key that a used token is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Whose key.
    pub key: KeyIdentity,
    /// Where the server made it: by which algorithm.
    pub server_made: Option<KeyAlgorithm>,
}

/// A certificate that may be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveCertificate {
    /// Its id; the row with its bytes has the same.
    pub id: CertificateId,
    /// Whose key it certifies.
    pub key: KeyIdentity,
    /// Where it stands; always a live state.
    pub state: CertificateState,
    /// The road by which it came.
    pub origin: Origin,
    /// The generation of the token it descends from, through renewals too.
    pub token: u32,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Its last second.
    pub not_after: Timestamp,
    /// The last second of a candidate's overlap, or of a retiring one's grace.
    pub until: Option<Timestamp>,
    /// The last second of the life that the profile gives it, where others chose `not_after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_ends: Option<Timestamp>,
}

/// A current certificate that expired: within `renew_after_expiry` it may still renew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlived {
    /// Its id.
    pub id: CertificateId,
    /// Whose key it certifies.
    pub key: KeyIdentity,
    /// The generation of the token it descends from.
    pub token: u32,
    /// Its last second.
    pub not_after: Timestamp,
}

impl LiveCertificate {
    /// Whether nobody has used it yet: unconfirmed, or a candidate.
    #[must_use]
    pub fn is_unproven(&self) -> bool {
        matches!(self.state, CertificateState::Candidate | CertificateState::Unconfirmed)
    }

    /// The last second of its life, by which its renewal is reckoned.
    #[must_use]
    pub fn lasts_until(&self) -> Timestamp {
        self.life_ends.unwrap_or(self.not_after)
    }

    /// Whether at least a tenth of its life is left; the edge belongs to the time before it.
    #[must_use]
    pub fn has_a_tenth_left(&self, now: Timestamp) -> bool {
        now <= self.last_tenth_at()
    }

    /// The last second at which a tenth of its life is left.
    #[must_use]
    pub fn last_tenth_at(&self) -> Timestamp {
        let life = self.lasts_until().since(self.issued_at).0;
        self.lasts_until().minus(Span(life.saturating_add(9) / 10))
    }
}

/// A private key that the server made, sealed so that neither store nor token alone opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedKey {
    /// The certificate that certifies it.
    pub certificate: CertificateId,
    /// The record's own salt.
    pub salt: [u8; 16],
    /// Nonce, ciphertext and tag.
    #[serde(with = "hex_bytes")]
    pub ciphertext: Vec<u8>,
    /// Until when it is answered again.
    pub until: Timestamp,
    /// How often it was answered again.
    pub replays: u8,
}

/// Bytes as lower-case hexadecimal in the stored form.
pub(super) mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::device) fn serialize<S: Serializer>(
        bytes: &[u8],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(&crate::id::hex(bytes))
    }

    pub(in crate::device) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        let nibbles: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
        let nibbles = nibbles
            .filter(|n| n.len().is_multiple_of(2))
            .ok_or_else(|| D::Error::custom("not hexadecimal"))?;
        let byte = |pair: &[u32]| pair.iter().fold(0_u32, |sum, n| (sum << 4) | n);
        nibbles.chunks(2).map(|pair| u8::try_from(byte(pair)).map_err(D::Error::custom)).collect()
    }
}
