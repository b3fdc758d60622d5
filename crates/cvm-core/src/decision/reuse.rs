//! What a used token still obtains: rule 2 and the table of the protocol's section 3.

use super::{Asked, Conflict, Decision};
use crate::certificate::CertificateState;
use crate::device::{Binding, Device, LiveCertificate, ReviewState, TokenRecord, TokenState};
use crate::id::CertificateId;
use crate::profile::Reissue;
use crate::time::{Span, Timestamp};

/// How long `never` answers the same key the same bytes, from the token's first issue.
const NEVER_ANSWERS: Span = Span(10 * Span::MINUTE.0);

/// How many keys a human may say no to before every further one is refused unasked: whoever goes
/// on then is no device.
const DENIED_MAX: usize = 16;

/// The token obtained a certificate that nobody has used.
pub(super) fn decide_unconfirmed(
    device: &Device,
    token: &TokenRecord,
    asked: Asked<'_>,
    reissue: Reissue,
    now: Timestamp,
) -> Decision {
    let TokenState::Used { bound, obtained, first_issue_at, .. } = &token.state else {
        return Decision::Deny;
    };
    if is_denied(token, asked) {
        return Decision::AnotherKey(Conflict::KeyDenied);
    }
    let Some(bound) = bound.filter(|bound| !is_released(device, *bound, obtained, reissue)) else {
        return Decision::Issue;
    };
    if !is_same(bound, asked) {
        return decide_other(device, token, asked, reissue);
    }
    if reissue == Reissue::Never {
        // What is not finished was answered to nobody yet.
        let is_unfinished =
            device.reservation.as_ref().is_some_and(|it| it.certificate == *obtained);
        let is_late = !is_unfinished && now > first_issue_at.plus(NEVER_ANSWERS);
        let is_destroyed = bound.server_made.is_some() && device.sealed.is_none();
        if is_late || (is_destroyed && matches!(asked, Asked::ServerKey(_))) {
            return Decision::TooLate;
        }
    }
    match device.live_by_id(obtained) {
        Some(live) if live.has_a_tenth_left(now) => again(live, asked),
        Some(_) | None => Decision::Issue,
    }
}

/// A certificate that the token obtained was used, under a policy where that burns no token.
pub(super) fn decide_confirmed(
    device: &Device,
    token: &TokenRecord,
    asked: Asked<'_>,
    reissue: Reissue,
    now: Timestamp,
) -> Decision {
    let TokenState::Used { bound, obtained, .. } = &token.state else {
        return Decision::Deny;
    };
    let held = held_with(device, token, asked, *bound, obtained);
    match held {
        // A current one is answered to its end, and never superseded so.
        Some(live) if !live.is_unproven() || live.has_a_tenth_left(now) => {
            return again(live, asked);
        }
        Some(_) => return Decision::Issue,
        None if is_denied(token, asked) => {
            return Decision::AnotherKey(Conflict::KeyDenied);
        }
        None => {}
    }
    let Asked::DeviceKey(key) = asked else {
        let is_released = bound.is_none_or(|bound| {
            is_same(bound, asked)
                && device.unproven().is_some_and(|live| live.id == *obtained)
                && device.sealed.is_none()
        });
        return if is_released {
            Decision::Issue
        } else {
            decide_other(device, token, asked, reissue)
        };
    };
    // Its own key after the end of what it held.
    let was_bound = bound.is_none_or(|bound| bound.key == *key);
    let was_current = device
        .outlived
        .as_ref()
        .is_some_and(|outlived| outlived.key == *key && outlived.token == token.generation);
    if was_bound || was_current {
        return Decision::Issue;
    }
    decide_other(device, token, asked, reissue)
}

/// The live certificate with the asked key that the token, or a renewal from it, obtained.
fn held_with<'a>(
    device: &'a Device,
    token: &TokenRecord,
    asked: Asked<'_>,
    bound: Option<Binding>,
    obtained: &CertificateId,
) -> Option<&'a LiveCertificate> {
    match asked {
        Asked::DeviceKey(key) => {
            let is_held =
                |live: &&LiveCertificate| live.key == *key && live.token == token.generation;
            // The current one before what is to be proven, and the retiring one, which ends with
            // its grace, last.
            device
                .live
                .iter()
                .filter(is_held)
                .min_by_key(|live| (live.state != CertificateState::Current, !live.is_unproven()))
        }
        Asked::ServerKey(_) => {
            let is_sealed = device.sealed.is_some() && bound.is_some_and(|it| is_same(it, asked));
            device.live_by_id(obtained).filter(|live| is_sealed && live.is_unproven())
        }
    }
}

fn again(live: &LiveCertificate, asked: Asked<'_>) -> Decision {
    match asked {
        Asked::DeviceKey(_) => Decision::Answer(live.id),
        Asked::ServerKey(_) => Decision::ReplayKey(live.id),
    }
}

fn is_same(bound: Binding, asked: Asked<'_>) -> bool {
    match asked {
        Asked::DeviceKey(key) => bound.key == *key,
        Asked::ServerKey(algorithm) => bound.server_made == Some(algorithm),
    }
}

/// Whether a human said no to this key with this token: for ever, also where the token has been
/// released for another key since.
fn is_denied(token: &TokenRecord, asked: Asked<'_>) -> bool {
    token.denied.contains(&asked.review_key())
}

/// Whether the token is good for one new key, because the key that the server made for it cannot
/// be answered any more (protocol, section 6).
fn is_released(
    device: &Device,
    bound: Binding,
    obtained: &CertificateId,
    reissue: Reissue,
) -> bool {
    let is_sealed = device.sealed.as_ref().is_some_and(|key| key.certificate == *obtained);
    bound.server_made.is_some() && !is_sealed && reissue != Reissue::Never
}

/// Another key than the token is bound to.
fn decide_other(
    device: &Device,
    token: &TokenRecord,
    asked: Asked<'_>,
    reissue: Reissue,
) -> Decision {
    match reissue {
        Reissue::Never | Reissue::SameKey => Decision::AnotherKey(Conflict::AnotherKey),
        Reissue::Always | Reissue::UntilConfirmed => Decision::IssueToAnother,
        Reissue::Approval => decide_reviewed(device, token, asked),
    }
}

fn decide_reviewed(device: &Device, token: &TokenRecord, asked: Asked<'_>) -> Decision {
    let key = asked.review_key();
    if token.denied.len() >= DENIED_MAX {
        return Decision::AnotherKey(Conflict::KeyDenied);
    }
    let open = device.review.as_ref().filter(|review| review.is_open());
    match open.filter(|review| review.token == token.generation) {
        Some(review) if review.key != key => Decision::AnotherKey(Conflict::ReviewOpen),
        Some(review) if review.state == ReviewState::Waiting => Decision::Pending(review.clone()),
        Some(_) => Decision::Issue,
        None => Decision::Review,
    }
}
