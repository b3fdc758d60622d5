//! The use cases, and what they share: who calls, how a refusal is worded, what happens after the
//! answer.
//!
//! A use case returns its answer and a [`FollowUp`]. Nothing in the follow-up may happen before
//! the answer has left, so that what a refusal writes cannot be told from outside.

mod admin_token;
mod clock;
mod confirm;
mod crl;
mod follow_up;
mod operate;
mod passing;
mod platform;
mod policy;
mod possession;
mod register;
mod renew;
mod review;
mod revoke;
mod show;
mod sweep;
mod vend;

use parking_lot::Mutex;
use thiserror::Error;

use crate::decision::{Conflict, Denial};
use crate::error::chain_of;
use crate::id::{AttemptCode, SerialNumber};
use crate::journal::EventKind;
use crate::key::{CsrError, WeakKey};
use crate::limit::{Rate, RateLimit};
use crate::operator::Actor;
use crate::ports::{ClockReading, Ports};
use crate::profile::Profiles;
use crate::time::{Span, Timestamp};

use crl::CrlFlights;
use follow_up::Trace;
use passing::Passing;
use possession::SIGNED_REQUESTS;

pub use admin_token::{
    AdminTokenRefusal, NewAdminToken, created_event as admin_token_created_event,
};
pub use clock::{ClockAccepted, ClockShown, accept_event as clock_accept_event};
pub use confirm::Confirmed;
pub use crl::{CrlShown, SweptCrls};
pub use follow_up::{FollowUp, Followed};
pub use operate::{GiveToken, OperatorRefusal, ThingFate, Whom};
pub use policy::put_event as policy_put_event;
pub use possession::{Shown, SignedRequest, Unproven};
pub use register::{NewDevice, NewToken, Registered};
pub use show::{CertificateShown, DeviceShown};
pub use sweep::Swept;
pub use vend::{Ask, VendRequest, Vended};

/// How often a decision is made afresh because the record moved, before the caller is asked to
/// come back: more racers than this on one serial number are not a device.
const DECISIONS_MAX: u32 = 8;

/// Why nothing was decided: the server's clock is not to be trusted.
const CLOCK: &str = "clock";

/// Why nothing was answered: another request is at work on the device's certificate.
const LEASED: &str = "in-progress";

/// Why nothing was decided: the record moved under every decision.
const CONTENDED: &str = "contended";

/// At most one alarm a minute for each device and kind (protocol, section 10).
const ALARMS: Rate = Rate { count: 1, per: Span::MINUTE };

/// How many devices that have used up some of their budget are remembered.
const BUDGET_DEVICES_MAX: usize = 100_000;

/// The use cases over their ports.
pub struct Provisioning {
    ports: Ports,
    profiles: Profiles,
    budget: Mutex<RateLimit<SerialNumber>>,
    burnt_budget: Mutex<RateLimit<SerialNumber>>,
    signed_budget: Mutex<RateLimit<SerialNumber>>,
    alarms: Mutex<RateLimit<(Option<SerialNumber>, EventKind)>>,
    passing: Mutex<Passing>,
    crl_flights: CrlFlights,
}

impl std::fmt::Debug for Provisioning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Provisioning")
    }
}

impl Provisioning {
    /// The use cases over `ports`, by the rules of `profiles`; each device may ask `budget` often
    /// with a valid credential.
    #[must_use]
    pub fn new(ports: Ports, profiles: Profiles, budget: Rate) -> Self {
        let [budget, burnt_budget] =
            [(); 2].map(|()| Mutex::new(RateLimit::new(budget, BUDGET_DEVICES_MAX)));
        let signed_budget = Mutex::new(RateLimit::new(SIGNED_REQUESTS, BUDGET_DEVICES_MAX));
        let alarms = Mutex::new(RateLimit::new(ALARMS, BUDGET_DEVICES_MAX));
        let (passing, crl_flights) = (Mutex::default(), CrlFlights::default());
        Self { ports, profiles, budget, burnt_budget, signed_budget, alarms, passing, crl_flights }
    }

    /// The ports, for reading lists.
    #[must_use]
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// A new attempt code.
    #[must_use]
    pub fn attempt_code(&self) -> AttemptCode {
        let mut random = [0_u8; 8];
        self.ports.entropy.fill(&mut random);
        AttemptCode::from_random(u64::from_le_bytes(random))
    }

    /// Counts a request with a valid credential against the device's budget.
    fn spend(&self, serial: &SerialNumber, now: Timestamp) -> Result<(), Refusal> {
        let asked = self.budget.lock().ask(serial.clone(), now);
        asked.map_err(|retry_after| Refusal::SlowDown { retry_after })
    }

    /// Counts a request with a token that confirmation burnt: as much, and of a budget of its own, so
    /// that its thief uses up nothing of what the device needs (protocol, section 10).
    fn spend_burnt(&self, serial: &SerialNumber, now: Timestamp) -> Result<(), Refusal> {
        let asked = self.burnt_budget.lock().ask(serial.clone(), now);
        asked.map_err(|retry_after| Refusal::SlowDown { retry_after })
    }

    /// Refuses where the clock may not issue: behind its mark, or before the CA's notBefore.
    fn require_trusted_clock(&self, reading: ClockReading) -> Result<(), Refusal> {
        if reading.is_trusted && reading.now >= self.ports.issuer.not_before() {
            Ok(())
        } else {
            Err(Refusal::unavailable_for(CLOCK, "the server's clock is not to be trusted"))
        }
    }
}

/// Who calls, and under which code the request is told of.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The network address.
    pub address: String,
    /// The code that the answer carries.
    pub attempt: AttemptCode,
}

impl Caller {
    fn actor(&self) -> Actor {
        Actor::Device(self.address.clone())
    }
}

/// Why a device's request is refused, by who must act.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// One answer for every kind of no; which kind, `explain` tells.
    #[error("serial number and token do not fit")]
    AccessDenied(Denial),
    /// The token is valid and has obtained what it may; why it obtains nothing else.
    #[error("{0}")]
    AlreadyIssued(Taken),
    /// The certificate's life is over.
    #[error("the certificate has expired")]
    CertificateExpired,
    /// The device is disabled.
    #[error("the device is disabled")]
    CertificateInactive,
    /// No certificate was shown where one is needed.
    #[error(
        "this route needs the device's certificate: connect with it, or sign the request with \
         its key (POST it as application/jose+json, see docs/SIGNED-REQUESTS.md)"
    )]
    CertificateRequired,
    /// The certificate was revoked.
    #[error("the certificate is revoked")]
    CertificateRevoked,
    /// Another certificate took its place.
    #[error("another certificate has taken this one's place: use the newest")]
    CertificateSuperseded,
    /// The registry does not know it.
    #[error("this server did not issue the certificate")]
    CertificateUnknown,
    /// No CSR came, and the server makes no keys for this device.
    #[error("send a certificate request in `csr`: the server makes no keys for this device")]
    CsrRequired,
    /// The certificate request is malformed or its signature is wrong.
    #[error("{0}")]
    InvalidCsr(CsrError),
    /// The key may not be used by this device.
    #[error("this key may not be used here: make a new one")]
    KeyNotAcceptable,
    /// A human has to say.
    #[error(
        "this token has obtained a certificate for another key; an operator has to approve this \
         one: `cvm review approve {review}`; then the same request succeeds"
    )]
    PendingApproval {
        /// The question's name.
        review: AttemptCode,
    },
    /// The device asked too often.
    #[error("too many requests: wait {retry_after} and ask again")]
    SlowDown {
        /// How long to wait.
        retry_after: Span,
    },
    /// What was asked for with a token waits to be used before anything can be renewed.
    #[error(
        "a certificate that was asked for with a newer token waits to be used: use that one, or \
         let an operator revoke it"
    )]
    TokenPending,
    /// Store, signer or clock cannot now; nothing is lost.
    #[error("the server cannot answer now; the same request succeeds later")]
    Unavailable {
        /// How long to wait.
        retry_after: Span,
        /// Which of the causes that `explain` tells apart; may be empty.
        reason: &'static str,
        /// For the log, not for the caller.
        cause: String,
    },
    /// The request is signed, and proves nothing.
    #[error("{0}")]
    Unproven(Unproven),
    /// The key is too weak.
    #[error("{0}")]
    WeakKey(WeakKey),
}

impl Refusal {
    /// What `explain` tells apart of [`Self::Unavailable`].
    pub const UNAVAILABLE_REASONS: [&str; 4] = ["", CLOCK, CONTENDED, LEASED];

    /// The stable name: the last part of the problem's type, and an attempt's outcome.
    #[must_use]
    pub fn slug(&self) -> &'static str {
        match self {
            Self::AccessDenied(_) => "access-denied",
            Self::AlreadyIssued(_) => "already-issued",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateInactive => "certificate-inactive",
            Self::CertificateRequired | Self::Unproven(_) => "certificate-required",
            Self::CertificateRevoked => "certificate-revoked",
            Self::CertificateSuperseded => "certificate-superseded",
            Self::CertificateUnknown => "certificate-unknown",
            Self::CsrRequired => "csr-required",
            Self::InvalidCsr(_) => "invalid-csr",
            Self::KeyNotAcceptable => "key-not-acceptable",
            Self::PendingApproval { .. } => "pending-approval",
            Self::SlowDown { .. } => "slow-down",
            Self::TokenPending => "token-pending",
            Self::Unavailable { .. } => "unavailable",
            Self::WeakKey(_) => "weak-key",
        }
    }

    /// Which of several reasons for one slug, for `explain`; empty where there is one only.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AccessDenied(denial) => denial.as_str(),
            Self::AlreadyIssued(taken) => taken.as_str(),
            Self::Unavailable { reason, .. } => reason,
            Self::Unproven(unproven) => unproven.as_str(),
            Self::CertificateExpired
            | Self::CertificateInactive
            | Self::CertificateRequired
            | Self::CertificateRevoked
            | Self::CertificateSuperseded
            | Self::CertificateUnknown
            | Self::CsrRequired
            | Self::InvalidCsr(_)
            | Self::KeyNotAcceptable
            | Self::PendingApproval { .. }
            | Self::SlowDown { .. }
            | Self::TokenPending
            | Self::WeakKey(_) => "",
        }
    }

    /// What the log is told and the caller is not.
    fn cause(&self) -> Option<&str> {
        if let Self::Unavailable { cause, .. } = self { Some(cause) } else { None }
    }

    /// The review in which a human has to say.
    #[must_use]
    pub fn review(&self) -> Option<AttemptCode> {
        if let Self::PendingApproval { review } = self { Some(*review) } else { None }
    }

    /// Whether it decides something, and is not merely that the server cannot.
    fn is_decision(&self) -> bool {
        !matches!(self, Self::Unavailable { .. })
    }

    pub(crate) fn unavailable(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Unavailable { retry_after: Span(2), reason: "", cause: chain_of(error) }
    }

    fn unavailable_for(reason: &'static str, cause: &str) -> Self {
        Self::Unavailable { retry_after: Span(30), reason, cause: cause.to_owned() }
    }

    /// Another request is at work on the device's certificate (protocol, section 5).
    fn leased() -> Self {
        let cause = String::from("another request is at work on the device's certificate");
        Self::Unavailable { retry_after: Span(2), reason: LEASED, cause }
    }

    /// The record moved under every decision that was made.
    fn contended() -> Self {
        let cause = String::from("the record moved under every decision");
        Self::Unavailable { retry_after: Span(1), reason: CONTENDED, cause }
    }
}

/// Why a valid token obtains nothing else.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Taken {
    /// It is bound to another key.
    #[error("this token has obtained a certificate for another key")]
    AnotherKey,
    /// A human said no to this key.
    #[error("an operator has denied this key: let the device use its first one")]
    KeyDenied,
    /// A human is asked about another key, or said yes to another.
    #[error("an operator is asked about another key of this device")]
    ReviewOpen,
    /// The time for asking again is over.
    #[error("this token has obtained its certificate, and the time for asking again is over")]
    TooLate,
}

impl Taken {
    /// The name in attempts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AnotherKey => "",
            Self::KeyDenied => "key-denied",
            Self::ReviewOpen => "review-open",
            Self::TooLate => "too-late",
        }
    }
}

impl From<Conflict> for Taken {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::AnotherKey => Self::AnotherKey,
            Conflict::KeyDenied => Self::KeyDenied,
            Conflict::ReviewOpen => Self::ReviewOpen,
        }
    }
}

impl From<CsrError> for Refusal {
    fn from(error: CsrError) -> Self {
        match error {
            CsrError::Platform => Self::KeyNotAcceptable,
            CsrError::Weak(weak) => Self::WeakKey(weak),
            CsrError::Encoding(_)
            | CsrError::KeyAlgorithm
            | CsrError::Pem(_)
            | CsrError::Subject
            | CsrError::Signature
            | CsrError::SignatureAlgorithm
            | CsrError::TooLarge(_) => Self::InvalidCsr(error),
        }
    }
}
