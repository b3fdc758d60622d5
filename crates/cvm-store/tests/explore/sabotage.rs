//! Rules taken out, one at a time, by what the store makes of a change or of a read; nothing in the
//! use cases knows of it.

use cvm_core::certificate::CertificateState;
use cvm_core::device::{Device, LiveCertificate, Moved, TokenRecord, TokenState};
use cvm_core::id::{CertificateId, KeyIdentity};
use cvm_core::ports::{CertificateChange, Change, Store as _};
use cvm_core::time::{Span, Timestamp};
use cvm_store::MemoryStore;

use super::act::Act;
use super::scene::{START, Scene};
use super::view::{TEN_MINUTES, at_once};

/// A rule that is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// The key that a token is bound to is not known to who asks for another.
    BindingIsForgotten,
    /// A token that confirmation burnt is read as unused by who asks for another key.
    BurntTokensIssue,
    /// The current certificate ends when its candidate is taken up.
    CurrentEndsAtTakeUp,
    /// `disable` writes everything but that the device is disabled.
    DisablingIsForgotten,
    /// What a new certificate displaces stays.
    DisplacedStays,
    /// When a token was used first is forgotten.
    FirstIssueIsForgotten,
    /// A retiring certificate has no end to its grace.
    GraceIsForgotten,
    /// A new token is given, and what was asked for with the old one stays.
    NewTokenEndsNothing,
    /// Which certificate a token obtained is not written.
    ObtainedIsForgotten,
    /// A candidate has no end to its overlap.
    OverlapIsForgotten,
    /// Nobody owns a key.
    OwnersAreForgotten,
    /// A second promotion does not end the retiring one.
    RetiringOnesStay,
    /// `revoke` burns no token.
    RevokedTokensLive,
    /// Rows of new certificates are not written.
    RowsAreForgotten,
    /// A first use burns no token.
    UsedTokensLive,
    /// A change is written whatever became of the record since it was read.
    VersionsAreForgotten,
    /// A certificate that nobody has used is as young as on its first day.
    YouthIsEternal,
}

impl Sabotage {
    /// Makes of a change what the sabotaged store writes.
    pub(crate) fn spoil(self, act: Act, change: &mut Change, store: &MemoryStore) {
        let stored = at_once(store.device_find(&change.device.serial_number)).unwrap();
        let Some(stored) = stored else { return };
        let is_issue = change.certificates.iter().any(is_insert);
        let device = &mut change.device;
        match self {
            Self::CurrentEndsAtTakeUp if is_issue => end_current(change),
            Self::DisablingIsForgotten => device.disabled = false,
            Self::DisplacedStays if is_issue => {
                keep_live(change, &stored, LiveCertificate::is_unproven);
            }
            Self::FirstIssueIsForgotten => each_used(device, |first, _| *first = THE_END),
            Self::GraceIsForgotten => each_live(device, CertificateState::Retiring, |live| {
                live.until = Some(live.not_after);
            }),
            Self::NewTokenEndsNothing if device.tokens.len() > stored.tokens.len() => {
                keep_live(change, &stored, LiveCertificate::is_unproven);
            }
            Self::ObtainedIsForgotten => {
                each_used(device, |_, obtained| *obtained = CertificateId([0; 32]));
            }
            Self::OverlapIsForgotten => each_live(device, CertificateState::Candidate, |live| {
                live.until = None;
            }),
            Self::OwnersAreForgotten => change.keys.clear(),
            Self::RetiringOnesStay if act.shown().is_some() => {
                keep_live(change, &stored, |live| live.state == CertificateState::Retiring);
            }
            Self::RevokedTokensLive if matches!(act, Act::Revoke(..)) => {
                device.tokens.clone_from(&stored.tokens);
            }
            Self::RowsAreForgotten => change.certificates.retain(|it| !is_insert(it)),
            Self::UsedTokensLive if act.shown().is_some() => {
                device.tokens.clone_from(&stored.tokens);
            }
            Self::VersionsAreForgotten => device.version = stored.version,
            _ => {}
        }
    }

    /// Makes of a record what the sabotaged store reads.
    pub(crate) fn mislead(self, scene: &Scene, mut device: Device, act: Act) -> Device {
        let Act::Vend { generation, key, .. } = act else { return device };
        let asked = scene.keys[key];
        let is_mislaid = |token: &TokenRecord, device: &Device| match (self, &token.state) {
            (Self::BindingIsForgotten, TokenState::Used { bound, .. }) => {
                bound.is_some_and(|bound| bound.key != asked)
            }
            (Self::BurntTokensIssue, TokenState::BurntByConfirmation) => !has(device, &asked),
            _ => false,
        };
        let shown = device.tokens.iter().position(|token| token.generation == generation);
        if let Some(shown) = shown
            && is_mislaid(&device.tokens[shown], &device)
        {
            device.tokens[shown].state = TokenState::Unused;
        }
        if self == Self::YouthIsEternal {
            let unproven = device.live.iter_mut().filter(|live| live.is_unproven());
            unproven.for_each(|live| live.not_after = live.not_after.plus(A_LIFE));
        }
        device
    }
}

/// Later than an exploration under `never` ever comes.
const THE_END: Timestamp = Timestamp(START.0 + 100 * TEN_MINUTES.0);

/// Longer than any life.
const A_LIFE: Span = Span(1_000_000_000);

fn is_insert(change: &CertificateChange) -> bool {
    matches!(change, CertificateChange::Insert(_))
}

fn has(device: &Device, key: &KeyIdentity) -> bool {
    device.live.iter().any(|live| live.key == *key)
}

fn each_used(device: &mut Device, change: impl Fn(&mut Timestamp, &mut CertificateId)) {
    for token in &mut device.tokens {
        if let TokenState::Used { first_issue_at, obtained, .. } = &mut token.state {
            change(first_issue_at, obtained);
        }
    }
}

fn each_live(device: &mut Device, state: CertificateState, change: impl Fn(&mut LiveCertificate)) {
    device.live.iter_mut().filter(|live| live.state == state).for_each(change);
}

/// Takes back what the change ends of what `is_kept` names.
fn keep_live(change: &mut Change, stored: &Device, is_kept: impl Fn(&LiveCertificate) -> bool) {
    let is_gone = |live: &LiveCertificate| change.device.live_by_id(&live.id).is_none();
    let kept = stored.live.iter().filter(|live| is_kept(live) && is_gone(live));
    let kept: Vec<_> = kept.cloned().collect();
    change.certificates.retain(|it| match it {
        CertificateChange::Move(moved, _) => !kept.iter().any(|live| live.id == moved.id),
        CertificateChange::Confirm(..) | CertificateChange::Insert(_) => true,
    });
    change.device.live.splice(0..0, kept);
}

/// Ends the current certificate, and makes its candidate the unconfirmed one.
fn end_current(change: &mut Change) {
    let current = change.device.live_in(CertificateState::Current).map(|live| live.id);
    let Some(id) = current else { return };
    let unconfirmed = CertificateState::Unconfirmed;
    change.device.live.retain(|live| live.id != id);
    change.device.live.iter_mut().for_each(|live| live.state = unconfirmed);
    for certificate in &mut change.certificates {
        if let CertificateChange::Insert(row) = certificate {
            row.state = unconfirmed;
        }
    }
    let moved = Moved {
        id,
        state: CertificateState::Superseded,
        reason: None,
        by: cvm_core::device::MovedBy::Act,
    };
    change.certificates.push(CertificateChange::Move(moved, START));
}
