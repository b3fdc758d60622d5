//! Certificates as the registry knows them: their states, and the row that is kept for ever.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{AttemptCode, CertificateId, KeyIdentity, Name, SerialNumber, ThingName};
use crate::time::{Span, Timestamp};

/// Where a certificate stands in its life (protocol, section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateState {
    /// Beside a current one, not yet used.
    Candidate,
    /// In use.
    Current,
    /// A candidate after its overlap, or one that lost to a renewal.
    Dropped,
    /// Past its notAfter.
    Expired,
    /// A former current one in its grace.
    Retiring,
    /// Ended by an operator's word, or by another device's proof of the same key.
    Revoked,
    /// Another took its place.
    Superseded,
    /// Answered, not yet used, and the device has no other live one.
    Unconfirmed,
}

impl CertificateState {
    /// Whether a certificate in this state may still be used.
    #[must_use]
    pub fn is_live(self) -> bool {
        match self {
            Self::Candidate | Self::Current | Self::Retiring | Self::Unconfirmed => true,
            Self::Dropped | Self::Expired | Self::Revoked | Self::Superseded => false,
        }
    }

    /// Whether CRLs list a certificate in this state (protocol, section 1).
    #[must_use]
    pub fn is_listed(self) -> bool {
        match self {
            Self::Dropped | Self::Revoked | Self::Superseded => true,
            Self::Candidate
            | Self::Current
            | Self::Expired
            | Self::Retiring
            | Self::Unconfirmed => false,
        }
    }

    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Current => "current",
            Self::Dropped => "dropped",
            Self::Expired => "expired",
            Self::Retiring => "retiring",
            Self::Revoked => "revoked",
            Self::Superseded => "superseded",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

impl fmt::Display for CertificateState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The road by which a certificate came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// By renewal from another certificate.
    Renewal,
    /// With a one-time token.
    Token,
}

impl Origin {
    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Renewal => "renewal",
            Self::Token => "token",
        }
    }
}

/// The subject key identifier of a CA: which of our CAs signed a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IssuerId(pub [u8; 20]);

impl IssuerId {
    /// The issuer that 40 lower-case hexadecimal digits name, as [`fmt::Display`] writes them.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut id = [0; 20];
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        if pairs.len() != id.len() {
            return None;
        }
        for (octet, pair) in id.iter_mut().zip(pairs) {
            *octet = octet_of(*pair)?;
        }
        Some(Self(id))
    }
}

/// The octet that two lower-case hexadecimal digits are.
fn octet_of(pair: [u8; 2]) -> Option<u8> {
    let [high, low] = pair.map(|digit| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    });
    Some(high? << 4 | low?)
}

/// The CRL shard that two lower-case hexadecimal digits name.
#[must_use]
pub fn shard_from_hex(text: &str) -> Option<u8> {
    octet_of(<[u8; 2]>::try_from(text.as_bytes()).ok()?)
}

/// The shard whose CRL would list the certificate with this X.509 serial number: the first octet
/// of its magnitude.
#[must_use]
pub fn shard_of(certificate_serial: &[u8]) -> u8 {
    certificate_serial.first().copied().unwrap_or(0)
}

impl fmt::Display for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::id::hex(&self.0))
    }
}

/// What the registry keeps of a certificate, for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRecord {
    /// SHA-256 of `der`.
    pub id: CertificateId,
    /// The X.509 serial number, big-endian, as it stands in the certificate.
    pub certificate_serial: Vec<u8>,
    /// The device it was issued to.
    pub serial_number: SerialNumber,
    /// The thing it is bound to.
    pub thing_name: ThingName,
    /// The policy it is bound to.
    pub policy: Name,
    /// Whose key it certifies.
    pub key: KeyIdentity,
    /// The state as last written; what a timer would have done since is judged at the read.
    pub state: CertificateState,
    /// The road by which it came.
    pub origin: Origin,
    /// The generation of the token it descends from.
    pub token: u32,
    /// The CA that signed it.
    pub issuer: IssuerId,
    /// When it was issued; its life is counted from here to `not_after`.
    pub issued_at: Timestamp,
    /// As in the certificate.
    pub not_before: Timestamp,
    /// As in the certificate.
    pub not_after: Timestamp,
    /// When it was first used.
    pub confirmed_at: Option<Timestamp>,
    /// When it ended, other than by its notAfter.
    pub ended_at: Option<Timestamp>,
    /// Why it ended, in RFC 5280's words.
    pub reason: Option<Reason>,
    /// The request that obtained it.
    pub attempt: AttemptCode,
    /// The certificate itself.
    pub der: Vec<u8>,
}

impl CertificateRecord {
    /// When the device should renew: two thirds into the life, spread by ±10 % of the life by the
    /// certificate's id, so that a fleet that was made in one night does not renew in one night.
    /// Where others chose `not_after`, the life is the profile's, from the issue to `life_ends`.
    #[must_use]
    pub fn renew_after(&self, life_ends: Option<Timestamp>) -> Timestamp {
        let (begin, life) = match life_ends {
            Some(ends) => (self.issued_at, ends.since(self.issued_at).0),
            None => (self.not_before, self.not_after.since(self.not_before).0),
        };
        let [first, second, ..] = self.id.0;
        let hash = i64::from(u16::from_be_bytes([first, second]));
        // hash/65535 of a fifth of the life, less a tenth: from -10 % to +10 %.
        let spread = life / 5 * hash / 65_535 - life / 10;
        begin.plus(Span(life / 3 * 2 + spread))
    }

    /// The state at `now`, for lists that show what is stored: expiry needs no timer to be seen.
    #[must_use]
    pub fn state_at(&self, now: Timestamp) -> CertificateState {
        if self.state.is_live() && now > self.not_after {
            CertificateState::Expired
        } else {
            self.state
        }
    }
}

/// Why a certificate ended, as RFC 5280 §5.3.1 names it. `certificateHold` and `removeFromCRL`
/// are not among them: what is revoked stays revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// An attribute authority's key is in other hands.
    #[serde(rename = "aACompromise")]
    AaCompromise,
    /// The subject's name or affiliation changed.
    AffiliationChanged,
    /// The key of the CA is in other hands.
    #[serde(rename = "cACompromise")]
    CaCompromise,
    /// The device was decommissioned.
    CessationOfOperation,
    /// The private key is in other hands.
    KeyCompromise,
    /// What it was allowed to do was taken back.
    PrivilegeWithdrawn,
    /// Another took its place.
    Superseded,
    /// No reason was given.
    Unspecified,
}

impl Reason {
    /// Every reason that is accepted.
    pub const ALL: [Self; 8] = [
        Self::AaCompromise,
        Self::AffiliationChanged,
        Self::CaCompromise,
        Self::CessationOfOperation,
        Self::KeyCompromise,
        Self::PrivilegeWithdrawn,
        Self::Superseded,
        Self::Unspecified,
    ];

    /// The name in RFC 5280 and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AaCompromise => "aACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::CaCompromise => "cACompromise",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::KeyCompromise => "keyCompromise",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::Superseded => "superseded",
            Self::Unspecified => "unspecified",
        }
    }
}

/// Not a reason that is accepted.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "reason is one of unspecified, keyCompromise, cACompromise, affiliationChanged, superseded, \
     cessationOfOperation, privilegeWithdrawn, aACompromise: what is revoked stays revoked, so \
     there is no hold"
)]
pub struct ReasonError;

impl FromStr for Reason {
    type Err = ReasonError;

    fn from_str(text: &str) -> Result<Self, ReasonError> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(ReasonError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: [u8; 32]) -> CertificateRecord {
        CertificateRecord {
            id: CertificateId(id),
            certificate_serial: vec![1; 16],
            serial_number: "SN-1".parse().unwrap(),
            thing_name: "SN-1".parse().unwrap(),
            policy: "cvm-default".parse().unwrap(),
            key: KeyIdentity([0; 32]),
            state: CertificateState::Current,
            origin: Origin::Token,
            token: 1,
            issuer: IssuerId([0; 20]),
            issued_at: Timestamp(0),
            not_before: Timestamp(0),
            not_after: Timestamp(30_000),
            confirmed_at: None,
            ended_at: None,
            reason: None,
            attempt: AttemptCode::from_random(0),
            der: Vec::new(),
        }
    }

    #[test]
    fn renewal_is_due_at_two_thirds_of_the_life_give_or_take_a_tenth() {
        assert_eq!(record([0x00; 32]).renew_after(None), Timestamp(17_000));
        assert_eq!(record([0xFF; 32]).renew_after(None), Timestamp(23_000));
        let issued = CertificateRecord { issued_at: Timestamp(500), ..record([0; 32]) };
        assert_eq!(issued.renew_after(Some(Timestamp(30_500))), Timestamp(17_500));
    }

    #[test]
    fn issuers_and_shards_are_read_as_they_are_written_and_no_other_way() {
        let issuer = IssuerId([0xA9; 20]);
        assert_eq!(IssuerId::from_hex(&issuer.to_string()), Some(issuer));
        for bad in [&"a9".repeat(19), &"a9".repeat(21), &"A9".repeat(20), &"g9".repeat(20), ""] {
            assert_eq!(IssuerId::from_hex(bad), None, "{bad}");
        }
        assert_eq!(shard_from_hex("0f"), Some(15));
        for bad in ["", "f", "0F", "0ff", "+f", "é"] {
            assert_eq!(shard_from_hex(bad), None, "{bad}");
        }
        assert_eq!((shard_of(&[0x9A, 1]), shard_of(&[])), (0x9A, 0));
    }

    #[test]
    fn the_last_second_of_a_life_belongs_to_it() {
        let record = record([0; 32]);
        assert_eq!(record.state_at(Timestamp(30_000)), CertificateState::Current);
        assert_eq!(record.state_at(Timestamp(30_001)), CertificateState::Expired);
    }
}
