//! The journal: every change of state in its own commit, and decisions on requests that showed a
//! valid credential.
//!
//! Rows are keyed by (writer, number), which the store assigns; chaining them is a later reader's
//! work (protocol, section 10).

use crate::certificate::{CertificateState, Reason};
use crate::device::{Moved, MovedBy};
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
    /// A second key was shown for a token that is bound to another, and obtained a certificate.
    AnotherKeyIssued,
    /// A second key was shown for a token that is bound to another, and a human has to say.
    AnotherKeyPending,
    /// A second key was shown for a token that is bound to another.
    AnotherKeyRefused,
    /// A token that confirmation burnt was shown with a key that was never this device's.
    BurntTokenShown,
    /// A certificate was used for the first time.
    CertificateConfirmed,
    /// A candidate ended: its overlap was over, or a renewal won.
    CertificateDropped,
    /// A certificate was issued.
    CertificateIssued,
    /// A certificate ended because another device proved the same key first.
    CertificateKeyLost,
    /// A certificate was revoked.
    CertificateRevoked,
    /// Another certificate took one's place.
    CertificateSuperseded,
    /// A device was decommissioned.
    DeviceDeleted,
    /// A device was disabled.
    DeviceDisabled,
    /// A device was enabled again.
    DeviceEnabled,
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
    /// A human said yes to another key.
    ReviewApproved,
    /// A human said no to another key.
    ReviewDenied,
    /// A human is asked whether a token may be used with another key.
    ReviewOpened,
    /// A revoked certificate was used.
    RevokedCertificateUsed,
    /// A device was given another token.
    TokenGiven,
}

impl EventKind {
    /// The kinds that alarms are of, so that who counts them can begin at nought.
    pub const ALARMS: [Self; 5] = [
        Self::AnotherKeyIssued,
        Self::AnotherKeyPending,
        Self::AnotherKeyRefused,
        Self::BurntTokenShown,
        Self::RevokedCertificateUsed,
    ];

    /// The name in the API; for alarms, also the metric's label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AdminTokenCreated => "admin-token-created",
            Self::AdminTokenRevoked => "admin-token-revoked",
            Self::AnotherKeyIssued => "another-key-issued",
            Self::AnotherKeyPending => "another-key-pending",
            Self::AnotherKeyRefused => "another-key-refused",
            Self::BurntTokenShown => "burnt-token-shown",
            Self::CertificateConfirmed => "certificate-confirmed",
            Self::CertificateDropped => "certificate-dropped",
            Self::CertificateIssued => "certificate-issued",
            Self::CertificateKeyLost => "certificate-key-lost",
            Self::CertificateRevoked => "certificate-revoked",
            Self::CertificateSuperseded => "certificate-superseded",
            Self::DeviceDeleted => "device-deleted",
            Self::DeviceDisabled => "device-disabled",
            Self::DeviceEnabled => "device-enabled",
            Self::ClockAccepted => "clock-accepted",
            Self::DeviceRegistered => "device-registered",
            Self::PolicyPut => "policy-put",
            Self::PrivateKeyDestroyed => "private-key-destroyed",
            Self::PrivateKeyReplayed => "private-key-replayed",
            Self::RequestDecided => "request-decided",
            Self::RequestSlowedDown => "request-slowed-down",
            Self::ReviewApproved => "review-approved",
            Self::ReviewDenied => "review-denied",
            Self::ReviewOpened => "review-opened",
            Self::RevokedCertificateUsed => "revoked-certificate-used",
            Self::TokenGiven => "token-given",
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

impl Event {
    /// The same event's rows for the certificates that `moved` with it. What time alone ended is the
    /// server's, whoever writes it down; that a life is over is no event.
    #[must_use]
    pub fn of_moves(&self, moved: &[Moved]) -> Vec<Self> {
        let row = |moved: &Moved| {
            let kind = match moved.state {
                CertificateState::Dropped => EventKind::CertificateDropped,
                CertificateState::Revoked => EventKind::CertificateRevoked,
                CertificateState::Superseded => EventKind::CertificateSuperseded,
                CertificateState::Candidate
                | CertificateState::Current
                | CertificateState::Expired
                | CertificateState::Retiring
                | CertificateState::Unconfirmed => return None,
            };
            let detail = moved.reason.map_or("", Reason::as_str).to_owned();
            let certificate = Some(moved.id);
            let row = Self { class: EventClass::Change, kind, certificate, detail, ..self.clone() };
            Some(match moved.by {
                MovedBy::Act => row,
                MovedBy::Time => Self {
                    actor: Actor::Server,
                    attempt: None,
                    detail: String::from("its grace was over"),
                    ..row
                },
            })
        };
        moved.iter().filter_map(row).collect()
    }
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
