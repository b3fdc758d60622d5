//! One test per map: every refusal has its own slug, status and wording.

use cvm_core::attempt::{Explanation, explain};
use cvm_core::decision::Denial;
use cvm_core::key::{CsrError, WeakKey};
use cvm_core::nonce::NonceError;
use cvm_core::provisioning::{Taken, Unproven};

use super::*;

/// One of each, with the status that the contract gives it.
fn refusals() -> Vec<(Refusal, u16)> {
    let unavailable = || Refusal::Unavailable {
        retry_after: Span(30),
        reason: "clock",
        cause: String::from("the cause"),
    };
    vec![
        (Refusal::AccessDenied(Denial::WrongToken), 403),
        (Refusal::AlreadyIssued(Taken::AnotherKey), 409),
        (Refusal::PendingApproval { review: AttemptCode::from_random(1) }, 202),
        (Refusal::TokenPending, 409),
        (Refusal::CertificateExpired, 403),
        (Refusal::CertificateInactive, 403),
        (Refusal::CertificateRequired, 401),
        (Refusal::CertificateRevoked, 403),
        (Refusal::CertificateSuperseded, 403),
        (Refusal::CertificateUnknown, 403),
        (Refusal::CsrRequired, 400),
        (Refusal::InvalidCsr(CsrError::Signature), 400),
        (Refusal::KeyNotAcceptable, 400),
        (Refusal::SlowDown { retry_after: Span(7) }, 429),
        (unavailable(), 503),
        (Refusal::Unproven(Unproven::Nonce(NonceError::Expired)), 401),
        (Refusal::WeakKey(WeakKey::Roca), 400),
    ]
}

#[test]
fn every_refusal_of_core_keeps_its_slug_and_has_its_status() {
    for (refusal, status) in refusals() {
        let slug = refusal.slug();
        let refused = Refused::from(refusal);
        assert_eq!((refused.slug.as_str(), refused.slug.status()), (slug, status));
        let waits = matches!(status, 202 | 429 | 503);
        assert_eq!(refused.retry_after.is_some(), waits, "{slug}");
    }
}

/// Every denial: a new one does not compile until it stands here.
fn denials() -> [Denial; 7] {
    use Denial::*;
    match WrongToken {
        DeviceDeleted
        | DeviceDisabled
        | TokenBurntByConfirmation
        | TokenBurntByOperator
        | TokenExpired
        | UnknownSerialNumber
        | WrongToken => [
            DeviceDeleted,
            DeviceDisabled,
            TokenBurntByConfirmation,
            TokenBurntByOperator,
            TokenExpired,
            UnknownSerialNumber,
            WrongToken,
        ],
    }
}

/// Everything that a token may have obtained already: a new one does not compile until it stands
/// here.
fn takings() -> [Taken; 4] {
    use Taken::*;
    match AnotherKey {
        AnotherKey | KeyDenied | ReviewOpen | TooLate => {
            [AnotherKey, KeyDenied, ReviewOpen, TooLate]
        }
    }
}

/// The row for this outcome and this reason, and no other.
fn row(outcome: &str, reason: &str) -> &'static Explanation {
    let row = explain(outcome, reason).unwrap_or_else(|| panic!("{outcome} is not explained"));
    assert_eq!((row.outcome, row.reason), (outcome, reason), "it has no row of its own");
    for told in [row.meaning, row.cure] {
        assert!(told.ends_with('.') && told.chars().next().is_some_and(|it| !it.is_lowercase()));
    }
    row
}

#[test]
fn every_problem_is_explained_with_what_it_means_and_what_to_do() {
    for slug in Slug::ALL {
        row(slug.as_str(), "");
    }
}

#[test]
fn every_reason_that_explain_tells_apart_has_a_row_of_its_own() {
    let denied = denials().map(Refusal::AccessDenied);
    let taken = takings().map(Refusal::AlreadyIssued);
    let unproven = Unproven::ALL.map(Refusal::Unproven);
    for refusal in denied.into_iter().chain(taken).chain(unproven) {
        row(refusal.slug(), refusal.reason());
    }
    for reason in Refusal::UNAVAILABLE_REASONS {
        row("unavailable", reason);
    }
}

#[test]
fn what_everybody_reads_of_a_no_says_nothing_of_this_one() {
    let told = row("access-denied", "");
    for denial in denials() {
        let own = row("access-denied", denial.as_str());
        assert_ne!((told.meaning, told.cure), (own.meaning, own.cure));
    }
}

#[test]
fn every_kind_of_no_is_one_wording() {
    let details: Vec<_> =
        denials().map(|denial| Refused::from(Refusal::AccessDenied(denial)).detail).into();
    assert!(details.iter().all(|detail| detail == &details[0]), "{details:?}");
}

#[test]
fn the_cause_is_for_the_log_only() {
    for refused in [
        Refused::from(StoreError::Corrupt(String::from("the cause"))),
        Refused::from(StoreError::Unavailable("the cause".into())),
        Refused::from(OperatorRefusal::Unavailable(String::from("the cause"))),
        Refused::from(refusals().into_iter().find(|(_, status)| *status == 503).unwrap().0),
    ] {
        assert_eq!(refused.slug, Slug::Unavailable);
        assert!(!refused.detail.contains("cause"), "{}", refused.detail);
        assert!(refused.cause.unwrap().contains("the cause"));
        assert!(refused.retry_after.is_some());
    }
}

#[test]
fn every_refusal_of_a_registration_has_its_slug() {
    for (refusal, slug, status) in [
        (OperatorRefusal::AlreadyExists, "already-exists", 409),
        (OperatorRefusal::DeviceDeleted, "device-deleted", 409),
        (OperatorRefusal::Invalid(String::from("so")), "invalid-request", 400),
        (OperatorRefusal::NotFound("device"), "not-found", 404),
        (OperatorRefusal::NotUnissued, "role-required", 403),
        (OperatorRefusal::TokenReused, "token-reused", 409),
        (OperatorRefusal::WrongState(String::from("so")), "wrong-state", 409),
        (OperatorRefusal::ThingNameTaken, "thing-name-taken", 409),
        (OperatorRefusal::Unavailable(String::from("so")), "unavailable", 503),
        (OperatorRefusal::UnknownPolicy("p".parse().unwrap()), "unknown-policy", 400),
        (OperatorRefusal::UnknownProfile("p".parse().unwrap()), "unknown-profile", 400),
    ] {
        let refused = Refused::from(refusal);
        assert_eq!((refused.slug.as_str(), refused.slug.status()), (slug, status));
    }
}

#[test]
fn slugs_and_titles_are_told_apart() {
    for (at, slug) in Slug::ALL.iter().enumerate() {
        for other in &Slug::ALL[..at] {
            assert_ne!(slug.as_str(), other.as_str());
            assert_ne!(slug.title(), other.title());
        }
    }
}
