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

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// What happened; past tense.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EventKind { $($(#[$doc])* $name,)+ }

        impl EventKind {
            /// All of them; the number of each is its place.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name in the API, and the metrics' label.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

kinds! {
    /// An operator's credential was made.
    AdminTokenCreated = "admin-token-created",
    /// An operator's credential was revoked.
    AdminTokenRevoked = "admin-token-revoked",
    /// A second key was shown for a token that is bound to another, and obtained a certificate.
    AnotherKeyIssued = "another-key-issued",
    /// A second key was shown for a token that is bound to another, and a human has to say.
    AnotherKeyPending = "another-key-pending",
    /// A second key was shown for a token that is bound to another.
    AnotherKeyRefused = "another-key-refused",
    /// A token that confirmation burnt was shown with a key that was never this device's.
    BurntTokenShown = "burnt-token-shown",
    /// A certificate was used for the first time.
    CertificateConfirmed = "certificate-confirmed",
    /// A candidate ended: its overlap was over, or a renewal won.
    CertificateDropped = "certificate-dropped",
    /// A certificate was issued.
    CertificateIssued = "certificate-issued",
    /// A certificate ended because another device proved the same key first.
    CertificateKeyLost = "certificate-key-lost",
    /// A certificate was revoked.
    CertificateRevoked = "certificate-revoked",
    /// Another certificate took one's place.
    CertificateSuperseded = "certificate-superseded",
    /// A device was decommissioned.
    DeviceDeleted = "device-deleted",
    /// A device was disabled.
    DeviceDisabled = "device-disabled",
    /// A device was enabled again.
    DeviceEnabled = "device-enabled",
    /// An operator made what the clock says the latest time on record.
    ClockAccepted = "clock-accepted",
    /// A device was registered.
    DeviceRegistered = "device-registered",
    /// A policy was put in place of what had its name.
    PolicyPut = "policy-put",
    /// A key that the server made was destroyed: its time was over.
    PrivateKeyDestroyed = "private-key-destroyed",
    /// A key that the server made was answered again.
    PrivateKeyReplayed = "private-key-replayed",
    /// A request with a valid token was answered or refused, and nothing changed.
    RequestDecided = "request-decided",
    /// A request with a valid token came too soon after others.
    RequestSlowedDown = "request-slowed-down",
    /// A human said yes to another key.
    ReviewApproved = "review-approved",
    /// A human said no to another key.
    ReviewDenied = "review-denied",
    /// A human is asked whether a token may be used with another key.
    ReviewOpened = "review-opened",
    /// A revoked certificate was used.
    RevokedCertificateUsed = "revoked-certificate-used",
    /// A device was given another token.
    TokenGiven = "token-given",
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
