//! The journal: every change of state in its own commit, and decisions on requests that showed a
//! valid credential.
//!
//! Rows are keyed by (writer, number), which the store assigns; chaining them is a later reader's
//! work (protocol, section 10).

use crate::id::{AttemptCode, CertificateId, SerialNumber};
use crate::operator::Actor;
use crate::time::Timestamp;

/// What kind of row it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventClass {
    /// Somebody should look.
    Alarm,
    /// A state changed; the row is in the commit that changed it.
    Change,
    /// A request with a valid credential was decided and nothing changed.
    Decision,
    /// A number whose row was never written, or whose writing had no known outcome.
    Void,
}

impl EventClass {
    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Change => "change",
            Self::Decision => "decision",
            Self::Void => "void",
        }
    }
}

/// What happened; past tense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// An operator's credential was made.
    AdminTokenCreated,
    /// An operator's credential was revoked.
    AdminTokenRevoked,
    /// A second key was shown for a token that is bound to another.
    AnotherKeyRefused,
    /// A token that confirmation burnt was shown with a key that was never this device's.
    BurntTokenShown,
    /// A certificate was used for the first time.
    CertificateConfirmed,
    /// A certificate was issued.
    CertificateIssued,
    /// A certificate ended because another device proved the same key first.
    CertificateKeyLost,
    /// An operator made what the clock says the latest time on record.
    ClockAccepted,
    /// A device was registered.
    DeviceRegistered,
    /// A policy was put in place of what had its name.
    PolicyPut,
    /// A key that the server made was destroyed: its time was over.
    PrivateKeyDestroyed,
    /// A key that the server made was answered again.
    PrivateKeyReplayed,
    /// A request with a valid token was answered or refused, and nothing changed.
    RequestDecided,
    /// A request with a valid token came too soon after others.
    RequestSlowedDown,
    /// A revoked certificate was used.
    RevokedCertificateUsed,
}

impl EventKind {
    /// The kinds that alarms are of, so that who counts them can begin at nought.
    pub const ALARMS: [Self; 3] =
        [Self::AnotherKeyRefused, Self::BurntTokenShown, Self::RevokedCertificateUsed];

    /// The name in the API; for alarms, also the metric's label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AdminTokenCreated => "admin-token-created",
            Self::AdminTokenRevoked => "admin-token-revoked",
            Self::AnotherKeyRefused => "another-key-refused",
            Self::BurntTokenShown => "burnt-token-shown",
            Self::CertificateConfirmed => "certificate-confirmed",
            Self::CertificateIssued => "certificate-issued",
            Self::CertificateKeyLost => "certificate-key-lost",
            Self::ClockAccepted => "clock-accepted",
            Self::DeviceRegistered => "device-registered",
            Self::PolicyPut => "policy-put",
            Self::PrivateKeyDestroyed => "private-key-destroyed",
            Self::PrivateKeyReplayed => "private-key-replayed",
            Self::RequestDecided => "request-decided",
            Self::RequestSlowedDown => "request-slowed-down",
            Self::RevokedCertificateUsed => "revoked-certificate-used",
        }
    }
}

/// A row before the store has given it its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub at: Timestamp,
    /// What kind of row it is.
    pub class: EventClass,
    /// What happened.
    pub kind: EventKind,
    /// To which device; `None` where it concerns none.
    pub serial_number: Option<SerialNumber>,
    /// With which certificate.
    pub certificate: Option<CertificateId>,
    /// In which request.
    pub attempt: Option<AttemptCode>,
    /// By whom.
    pub actor: Actor,
    /// What else there is to know, in words and without secrets; may be empty.
    pub detail: String,
}

/// A row as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRow {
    /// Which process wrote it.
    pub writer: u64,
    /// Its number among that process's rows, from 1 on without a gap.
    pub number: u64,
    /// When it happened.
    pub at: Timestamp,
    /// [`EventClass`] by name.
    pub class: String,
    /// [`EventKind`] by name; empty in a void row.
    pub kind: String,
    /// To which device; empty in a void row, and where it concerns none.
    pub serial_number: String,
    /// With which certificate.
    pub certificate: Option<CertificateId>,
    /// In which request.
    pub attempt: Option<AttemptCode>,
    /// By whom.
    pub actor: String,
    /// What else there is to know.
    pub detail: String,
}
