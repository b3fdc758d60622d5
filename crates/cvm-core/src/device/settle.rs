//! What time alone, and other devices' proofs, do to a record.

use super::{
    Device, KEY_REPLAYS_MAX, LiveCertificate, Moved, MovedBy, Outlived, SealedKey, TokenState,
};
use crate::certificate::{CertificateState, Origin, Reason};
use crate::id::KeyIdentity;
use crate::time::Timestamp;

impl Device {
    /// Does all that time alone has done to the record by `now`, and says what moved.
    ///
    /// A timer writes the same later; whoever decides settles first, so nothing waits for it.
    #[must_use = "what moved has to be written with the next commit"]
    pub fn settle(&mut self, now: Timestamp) -> Vec<Moved> {
        for token in &mut self.tokens {
            if token.state == TokenState::Unused && now > token.expires {
                token.state = TokenState::Expired;
            }
        }
        let is_over = |live: &LiveCertificate| {
            live.state == CertificateState::Retiring
                && live.until.is_some_and(|until| now > until && until < live.not_after)
        };
        let mut moved = self.end_where(CertificateState::Superseded, SUPERSEDED, is_over);
        let current = self.live_in(CertificateState::Current).filter(|live| now > live.not_after);
        if let Some(live) = current {
            let LiveCertificate { id, key, token, not_after, .. } = *live;
            self.outlived = Some(Outlived { id, key, token, not_after });
        }
        let is_expired = |live: &LiveCertificate| now > live.not_after;
        moved.extend(self.end_where(CertificateState::Expired, None, is_expired));
        self.destroy_due_key(now);
        if let Some(review) = &mut self.review {
            review.settle(now);
        }
        for moved in &mut moved {
            moved.by = MovedBy::Time;
        }
        moved
    }

    /// When a timer has to look at the record, so that what [`Self::settle`] would end or destroy
    /// does not lie in the store until somebody asks. Expiry destroys nothing, and who looks for it
    /// finds it by [`Self::listed_at`].
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        if !self.contested.is_empty() {
            return Some(Timestamp(0));
        }
        let after = |last: Timestamp| Timestamp(last.0.saturating_add(1));
        let retiring = self.live_in(CertificateState::Retiring).and_then(|live| live.until);
        let key = self.sealed.as_ref().map(|key| {
            let live = self.live_by_id(&key.certificate);
            key.until.min(live.map_or(key.until, LiveCertificate::last_tenth_at))
        });
        let time = [retiring, key].into_iter().flatten().min().map(after);
        [time, self.platform_due_at()].into_iter().flatten().min()
    }

    /// Ends what certifies `key`, because another device proved possession of it first or an
    /// operator called it compromised, and releases the token that is bound to it for another key.
    /// A current one can be lost to an operator's word only: with it goes what was renewed from it.
    #[must_use = "what moved has to be written with the next commit"]
    pub fn lose_key(&mut self, key: &KeyIdentity) -> Vec<Moved> {
        for token in &mut self.tokens {
            if let TokenState::Used { bound, .. } = &mut token.state {
                *bound = bound.filter(|binding| binding.key != *key);
            }
        }
        let was_current =
            self.live_in(CertificateState::Current).is_some_and(|live| live.key == *key)
                || self.outlived.as_ref().is_some_and(|outlived| outlived.key == *key);
        let mut moved = Vec::new();
        if was_current {
            self.outlived = None;
            moved.extend(self.end_renewed());
        }
        moved
            .extend(self.end_where(CertificateState::Revoked, SUPERSEDED, |live| live.key == *key));
        moved
    }

    /// Ends what was renewed from the current certificate, or from the one that expired last, and
    /// is not confirmed, because an operator's word ends that.
    pub(super) fn end_renewed(&mut self) -> Vec<Moved> {
        self.end_where(CertificateState::Revoked, Some(Reason::Unspecified), |live| {
            live.is_unproven() && live.origin == Origin::Renewal
        })
    }

    /// Ends the live certificates that `is_ended` names, and what ends with them: a sealed key is
    /// destroyed, and where no current one is left its candidate becomes the unconfirmed one.
    pub(super) fn end_where(
        &mut self,
        state: CertificateState,
        reason: Option<Reason>,
        is_ended: impl Fn(&LiveCertificate) -> bool,
    ) -> Vec<Moved> {
        let ended: Vec<_> = self.live.extract_if(.., |live| is_ended(live)).collect();
        let by = MovedBy::Act;
        let mut moved: Vec<_> =
            ended.iter().map(|live| Moved { id: live.id, state, reason, by }).collect();
        self.expect_orphans(&ended);
        if self.sealed.as_ref().is_some_and(|key| moved.iter().any(|m| m.id == key.certificate)) {
            self.sealed = None;
        }
        if self.live_in(CertificateState::Current).is_none() {
            let state = CertificateState::Unconfirmed;
            for live in &mut self.live {
                if live.state == CertificateState::Candidate {
                    (live.state, live.until) = (state, None);
                    moved.push(Moved { id: live.id, state, reason: None, by: MovedBy::Act });
                }
            }
        }
        self.end_reservation(moved)
    }

    /// Destroys the sealed key once it may not be answered again. The certificate stays: the device
    /// may hold the key already.
    fn destroy_due_key(&mut self, now: Timestamp) {
        let is_due = |key: &SealedKey| {
            let is_young = |live: &LiveCertificate| live.has_a_tenth_left(now);
            now > key.until
                || key.replays >= KEY_REPLAYS_MAX
                || !self.live_by_id(&key.certificate).is_some_and(is_young)
        };
        if self.sealed.as_ref().is_some_and(is_due) {
            self.sealed = None;
        }
    }
}

/// The reason that the world is told where another took a certificate's place.
pub(super) const SUPERSEDED: Option<Reason> = Some(Reason::Superseded);
