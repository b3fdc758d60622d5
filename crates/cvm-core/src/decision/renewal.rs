//! What a renewal is to be answered (protocol, section 7), as a pure function of the record.

use crate::certificate::{CertificateState, Origin};
use crate::device::{Device, LiveCertificate};
use crate::id::{CertificateId, KeyIdentity};
use crate::profile::Profile;
use crate::time::Timestamp;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Answer these bytes again.
    Answer(CertificateId),
    /// Issue a candidate, or where there is no current certificate an unconfirmed one.
    Issue,
    /// What was asked for with a token waits to be used first.
    TokenPending(CertificateId),
}

/// What a renewal for `key` is to be answered, by a device whose record is settled, and in which
/// the use of the certificate that asks has been taken note of.
#[must_use]
pub fn decide_renewal(
    device: &Device,
    key: &KeyIdentity,
    profile: &Profile,
    now: Timestamp,
) -> Renewal {
    let Some(unproven) = device.unproven() else { return Renewal::Issue };
    match unproven.origin {
        Origin::Renewal if unproven.key == *key && unproven.has_a_tenth_left(now) => {
            Renewal::Answer(unproven.id)
        }
        Origin::Renewal => Renewal::Issue,
        Origin::Token => match device.live_in(CertificateState::Current) {
            Some(current) if !is_late(current, profile, now) => Renewal::TokenPending(unproven.id),
            // A thief who holds a token cannot keep the device from renewing to its end.
            Some(_) | None => Renewal::Issue,
        },
    }
}

/// Whether less than a tenth of its life, or less than the overlap, is left.
fn is_late(current: &LiveCertificate, profile: &Profile, now: Timestamp) -> bool {
    !current.has_a_tenth_left(now) || current.lasts_until().since(now) < profile.overlap
}

/// Whether the expired certificate called `id` is the device's last current one, within the time
/// for which the profile lets it renew.
#[must_use]
pub fn may_renew_expired(
    device: &Device,
    id: &CertificateId,
    profile: &Profile,
    now: Timestamp,
) -> bool {
    device.outlived.as_ref().is_some_and(|outlived| {
        outlived.id == *id && now <= outlived.not_after.plus(profile.renew_after_expiry)
    })
}
