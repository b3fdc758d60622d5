//! Refusals as RFC 9457 problem documents: the single exhaustive map from core's refusals and the
//! edge's own.
//!
//! What the caller is told and what the log is told are different fields; `cause` never travels.

use std::borrow::Cow;

use cvm_core::error::chain_of;
use cvm_core::id::AttemptCode;
use cvm_core::ports::StoreError;
use cvm_core::provisioning::{AdminTokenRefusal, OperatorRefusal, Refusal};
use cvm_core::time::Span;

use crate::limit::Crowded;

/// How long to wait for a store or an answer that is not there now.
const RETRY_AFTER: Span = Span(2);

/// How soon a device asks again whether a human has said yes.
const APPROVAL_RETRY_AFTER: Span = Span(60);

macro_rules! slugs {
    ($($(#[$doc:meta])* $name:ident = $slug:literal, $status:literal, $title:literal;)*) => {
        /// The stable names of refusals: the last part of a problem's `type`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Slug { $($(#[$doc])* $name,)* }

        impl Slug {
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            pub(crate) fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

slugs! {
    AccessDenied = "access-denied", 403, "Access denied";
    AlreadyExists = "already-exists", 409, "It exists already";
    AlreadyIssued = "already-issued", 409, "The token has obtained its certificate";
    CertificateExpired = "certificate-expired", 403, "The certificate has expired";
    CertificateInactive = "certificate-inactive", 403, "The certificate is inactive";
    CertificateRequired = "certificate-required", 401, "A client certificate is needed";
    CertificateRevoked = "certificate-revoked", 403, "The certificate is revoked";
    CertificateSuperseded = "certificate-superseded", 403, "The certificate is superseded";
    CertificateUnknown = "certificate-unknown", 403, "The certificate is unknown";
    CsrRequired = "csr-required", 400, "A certificate request is needed";
    DeviceDeleted = "device-deleted", 409, "The device was deleted";
    HeaderTooLarge = "header-too-large", 431, "The request's header is too large";
    InternalError = "internal-error", 500, "The server failed";
    InvalidCsr = "invalid-csr", 400, "The certificate request is invalid";
    InvalidRequest = "invalid-request", 400, "The request is invalid";
    KeyNotAcceptable = "key-not-acceptable", 400, "The key is not acceptable";
    MethodNotAllowed = "method-not-allowed", 405, "The method is not allowed here";
    NotFound = "not-found", 404, "There is nothing here";
    PendingApproval = "pending-approval", 202, "An operator has to approve";
    RequestTimeout = "request-timeout", 408, "The request took too long to arrive";
    RoleRequired = "role-required", 403, "Another role is needed";
    SlowDown = "slow-down", 429, "Too many requests";
    ThingNameTaken = "thing-name-taken", 409, "Another device has the thing name";
    TokenPending = "token-pending", 409, "A certificate of a newer token waits";
    TokenReused = "token-reused", 409, "The token is burnt";
    TooLarge = "too-large", 413, "The request is too large";
    Unauthenticated = "unauthenticated", 401, "An operator's token is needed";
    Unavailable = "unavailable", 503, "The server cannot answer now";
    UnknownPolicy = "unknown-policy", 400, "The policy is unknown";
    UnknownProfile = "unknown-profile", 400, "The profile is unknown";
    UnsupportedMediaType = "unsupported-media-type", 415, "The media type is not supported";
    WeakKey = "weak-key", 400, "The key is too weak";
    WrongState = "wrong-state", 409, "This cannot be done now";
}

/// A refusal on its way out.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) slug: Slug,
    /// What is wrong and what to do; nothing of what was sent.
    pub(crate) detail: Cow<'static, str>,
    pub(crate) retry_after: Option<Span>,
    /// For the `Allow` field of a 405.
    pub(crate) allow: Option<String>,
    /// The review in which a human has to say.
    pub(crate) review: Option<AttemptCode>,
    /// Whether the same request may be signed instead.
    pub(crate) is_signable: bool,
    /// Whether it counts against the address that it came from.
    pub(crate) is_counted: bool,
    /// For the log only.
    pub(crate) cause: Option<String>,
}

impl Refused {
    pub(crate) fn new(slug: Slug, detail: impl Into<Cow<'static, str>>) -> Self {
        let (retry_after, allow, review, cause) = (None, None, None, None);
        let (detail, is_signable, is_counted) = (detail.into(), false, true);
        Self { slug, detail, retry_after, allow, review, is_signable, is_counted, cause }
    }

    pub(crate) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Slug::InvalidRequest, detail)
    }

    /// A signed request that is for another address.
    pub(crate) fn unproven(detail: String) -> Self {
        Self { is_signable: true, ..Self::new(Slug::CertificateRequired, detail) }
    }

    pub(crate) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Slug::NotFound, detail)
    }

    pub(crate) fn method_not_allowed(allow: String) -> Self {
        let detail = "this route has other methods: see Allow";
        Self { allow: Some(allow), ..Self::new(Slug::MethodNotAllowed, detail) }
    }

    pub(crate) fn slow_down(retry_after: Span) -> Self {
        let detail = "too many refused requests from this address: wait and ask again";
        Self { retry_after: Some(retry_after), ..Self::new(Slug::SlowDown, detail) }
    }

    /// Every place for a request is taken: by this address, or on the whole listener.
    pub(crate) fn crowded(crowded: Crowded) -> Self {
        let (slug, detail) = match crowded {
            Crowded::Address => (
                Slug::SlowDown,
                "too many requests at once from this address: wait for answers, then ask again",
            ),
            Crowded::Listener => (
                Slug::Unavailable,
                "the server has as many requests at once as it may: the same one succeeds later",
            ),
        };
        Self { retry_after: Some(RETRY_AFTER), ..Self::new(slug, detail) }
    }

    pub(crate) fn unavailable(cause: String) -> Self {
        let detail = "the server cannot answer now; the same request succeeds later";
        let retry_after = Some(RETRY_AFTER);
        Self { retry_after, cause: Some(cause), ..Self::new(Slug::Unavailable, detail) }
    }

    pub(crate) fn internal(cause: &str) -> Self {
        let detail = "the server failed at this request: hand its attempt code to support";
        Self { cause: Some(cause.to_owned()), ..Self::new(Slug::InternalError, detail) }
    }
}

/// A problem's `type`.
pub(crate) fn kind_of(slug: Slug) -> String {
    format!("/problems/{}", slug.as_str())
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let (slug, retry_after) = match &refusal {
            // Every kind of no is one answer; the denial is for `explain` alone.
            Refusal::AccessDenied(_) => (Slug::AccessDenied, None),
            Refusal::AlreadyIssued(_) => (Slug::AlreadyIssued, None),
            Refusal::CertificateExpired => (Slug::CertificateExpired, None),
            Refusal::CertificateInactive => (Slug::CertificateInactive, None),
            Refusal::CertificateRequired | Refusal::Unproven(_) => {
                (Slug::CertificateRequired, None)
            }
            Refusal::CertificateRevoked => (Slug::CertificateRevoked, None),
            Refusal::CertificateSuperseded => (Slug::CertificateSuperseded, None),
            Refusal::CertificateUnknown => (Slug::CertificateUnknown, None),
            Refusal::CsrRequired => (Slug::CsrRequired, None),
            Refusal::InvalidCsr(_) => (Slug::InvalidCsr, None),
            Refusal::KeyNotAcceptable => (Slug::KeyNotAcceptable, None),
            Refusal::PendingApproval { .. } => (Slug::PendingApproval, Some(APPROVAL_RETRY_AFTER)),
            Refusal::TokenPending => (Slug::TokenPending, None),
            Refusal::SlowDown { retry_after } => (Slug::SlowDown, Some(*retry_after)),
            Refusal::Unavailable { retry_after, .. } => (Slug::Unavailable, Some(*retry_after)),
            Refusal::WeakKey(_) => (Slug::WeakKey, None),
        };
        let detail = refusal.to_string();
        let review = refusal.review();
        let is_signable = slug == Slug::CertificateRequired;
        // A device whose TLS ends elsewhere learns by it that it has to sign: an answer to nothing.
        let is_counted = refusal != Refusal::CertificateRequired;
        let cause = match refusal {
            Refusal::Unavailable { cause, .. } => Some(cause),
            Refusal::AccessDenied(_)
            | Refusal::AlreadyIssued(_)
            | Refusal::CertificateExpired
            | Refusal::CertificateInactive
            | Refusal::CertificateRequired
            | Refusal::CertificateRevoked
            | Refusal::CertificateSuperseded
            | Refusal::CertificateUnknown
            | Refusal::CsrRequired
            | Refusal::InvalidCsr(_)
            | Refusal::KeyNotAcceptable
            | Refusal::PendingApproval { .. }
            | Refusal::SlowDown { .. }
            | Refusal::TokenPending
            | Refusal::Unproven(_)
            | Refusal::WeakKey(_) => None,
        };
        Self { retry_after, review, is_signable, is_counted, cause, ..Self::new(slug, detail) }
    }
}

impl From<OperatorRefusal> for Refused {
    fn from(refusal: OperatorRefusal) -> Self {
        let detail = refusal.to_string();
        let slug = match refusal {
            OperatorRefusal::AlreadyExists => Slug::AlreadyExists,
            OperatorRefusal::DeviceDeleted => Slug::DeviceDeleted,
            OperatorRefusal::Invalid(_) => Slug::InvalidRequest,
            OperatorRefusal::NotFound(_) => Slug::NotFound,
            OperatorRefusal::NotUnissued => Slug::RoleRequired,
            OperatorRefusal::ThingNameTaken => Slug::ThingNameTaken,
            OperatorRefusal::TokenReused => Slug::TokenReused,
            OperatorRefusal::Unavailable(cause) => return Self::unavailable(cause),
            OperatorRefusal::UnknownPolicy(_) => Slug::UnknownPolicy,
            OperatorRefusal::UnknownProfile(_) => Slug::UnknownProfile,
            OperatorRefusal::WrongState(_) => Slug::WrongState,
        };
        Self::new(slug, detail)
    }
}

impl From<AdminTokenRefusal> for Refused {
    fn from(refusal: AdminTokenRefusal) -> Self {
        let detail = refusal.to_string();
        let slug = match refusal {
            AdminTokenRefusal::AlreadyExists => Slug::AlreadyExists,
            AdminTokenRefusal::Expired => Slug::InvalidRequest,
            AdminTokenRefusal::LastOwner => Slug::WrongState,
            AdminTokenRefusal::RoleRequired(required) => return required.into(),
            AdminTokenRefusal::Unavailable(cause) => return Self::unavailable(cause),
            AdminTokenRefusal::Unknown => Slug::NotFound,
        };
        Self::new(slug, detail)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Corrupt(_) | StoreError::Unavailable(_) => {
                Self::unavailable(chain_of(&error))
            }
        }
    }
}

#[cfg(test)]
mod tests;
