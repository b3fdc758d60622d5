//! What devices do to their record: a certificate is taken up, used, and promoted.

use super::settle::SUPERSEDED;
use super::{
    Binding, Device, LiveCertificate, Moved, MovedBy, ReviewKey, ReviewState, SealedKey, TokenState,
};
use crate::certificate::{CertificateState, Origin};
use crate::id::{CertificateId, KeyIdentity};
use crate::key::KeyAlgorithm;
use crate::profile::{Profile, Reissue};
use crate::time::{Span, Timestamp};

/// What [`Device::take_up`] needs to know of a certificate.
#[derive(Clone, Debug)]
pub struct NewCertificate {
    /// Its id.
    pub id: CertificateId,
    /// Whose key it certifies.
    pub key: KeyIdentity,
    /// Where the server made the key: by which algorithm.
    pub server_made: Option<KeyAlgorithm>,
    /// The sealed key, where the server made it.
    pub sealed: Option<SealedKey>,
    /// What it was asked for with.
    pub basis: Basis,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Its last second.
    pub not_after: Timestamp,
    /// The last second of the life that the profile gives it, where others chose `not_after`.
    pub life_ends: Option<Timestamp>,
    /// How long it is a candidate, where there is a current one.
    pub overlap: Span,
}

/// What a certificate is asked for with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// With a certificate that descends from the token of this generation.
    Renewal(u32),
    /// With the token in this slot.
    Token(usize),
}

/// What the first use of a certificate moves.
#[derive(Clone, Debug)]
pub struct Confirmation {
    /// The key that it proves.
    pub key: KeyIdentity,
    /// What else moved.
    pub moved: Vec<Moved>,
}

impl Device {
    /// Takes up a certificate: beside a current one as its candidate, else as the unconfirmed one.
    ///
    /// What nobody has confirmed gives way: superseded, or dropped where a renewal wins over what
    /// was asked for with a token.
    #[must_use = "what moved has to be written with the next commit"]
    pub fn take_up(&mut self, issue: NewCertificate) -> Vec<Moved> {
        let state = match (issue.basis, self.unproven().map(|live| live.origin)) {
            (Basis::Renewal(_), Some(Origin::Token)) => CertificateState::Dropped,
            (Basis::Renewal(_) | Basis::Token(_), _) => CertificateState::Superseded,
        };
        let moved = self.end_where(state, SUPERSEDED, LiveCertificate::is_unproven);
        let (origin, token) = match issue.basis {
            Basis::Renewal(generation) => (Origin::Renewal, generation),
            Basis::Token(slot) => (Origin::Token, self.use_token(slot, &issue)),
        };
        let (state, until) = match self.live_in(CertificateState::Current) {
            Some(_) => (CertificateState::Candidate, Some(issue.issued_at.plus(issue.overlap))),
            None => (CertificateState::Unconfirmed, None),
        };
        self.first_issued_at.get_or_insert(issue.issued_at);
        self.sealed = issue.sealed;
        self.live.push(LiveCertificate {
            id: issue.id,
            key: issue.key,
            state,
            origin,
            token,
            issued_at: issue.issued_at,
            not_after: issue.not_after,
            until,
            life_ends: issue.life_ends,
        });
        moved
    }

    /// Takes note that the token in `slot` obtained `issue`; returns its generation.
    fn use_token(&mut self, slot: usize, issue: &NewCertificate) -> u32 {
        let Some(token) = self.tokens.get_mut(slot) else { return 0 };
        let (first_issue_at, is_confirmed) = match token.state {
            TokenState::Used { first_issue_at, is_confirmed, .. } => (first_issue_at, is_confirmed),
            TokenState::BurntByConfirmation
            | TokenState::BurntByOperator(_)
            | TokenState::Expired
            | TokenState::Unused => (issue.issued_at, false),
        };
        let bound = Some(Binding { key: issue.key, server_made: issue.server_made });
        token.state = TokenState::Used { bound, obtained: issue.id, first_issue_at, is_confirmed };
        let asked = issue.server_made.map_or(ReviewKey::Device(issue.key), ReviewKey::Server);
        let generation = token.generation;
        // An approval is spent by its issue.
        if let Some(review) = &mut self.review
            && (review.token, review.key) == (generation, asked)
            && review.is_open()
        {
            review.state = ReviewState::Spent;
        }
        generation
    }

    /// A use of the current certificate called `id`: evidence that a candidate whose overlap is
    /// over was not taken up by its device. The candidate is dropped.
    #[must_use = "what moved has to be written with the next commit"]
    pub fn use_current(&mut self, id: &CertificateId, now: Timestamp) -> Vec<Moved> {
        if self.live_in(CertificateState::Current).is_none_or(|live| live.id != *id) {
            return Vec::new();
        }
        self.end_where(CertificateState::Dropped, SUPERSEDED, |live| {
            live.state == CertificateState::Candidate && live.until.is_some_and(|until| now > until)
        })
    }

    /// The first use of the unconfirmed certificate or candidate called `id`: it becomes the current
    /// one, and the former current one retires. The token it descends from is burnt where `profile`
    /// says so, the sealed key destroyed, a review closed. `None` where it is neither.
    #[must_use = "what moved has to be written with the next commit"]
    pub fn confirm(
        &mut self,
        id: &CertificateId,
        profile: &Profile,
        now: Timestamp,
    ) -> Option<Confirmation> {
        let live = self.live_by_id(id).filter(|live| live.is_unproven())?;
        // Nobody was answered it yet.
        if self.reserved().is_some_and(|reserved| reserved.id == *id) {
            return None;
        }
        let (generation, key, is_candidate) =
            (live.token, live.key, live.state == CertificateState::Candidate);
        let mut moved = Vec::new();
        if is_candidate {
            let state = CertificateState::Superseded;
            let is_retiring = |live: &LiveCertificate| live.state == CertificateState::Retiring;
            moved = self.end_where(state, SUPERSEDED, is_retiring);
        }
        for live in &mut self.live {
            if live.id == *id {
                (live.state, live.until) = (CertificateState::Current, None);
            } else if live.state == CertificateState::Current {
                let state = CertificateState::Retiring;
                (live.state, live.until) = (state, Some(now.plus(profile.grace_after_confirm)));
                let (id, by) = (live.id, MovedBy::Act);
                moved.push(Moved { id, state, reason: None, by });
            }
        }
        self.confirm_token(generation, profile.reissue);
        self.outlived = None;
        self.sealed = None;
        if let Some(review) = &mut self.review {
            review.close();
        }
        Some(Confirmation { key, moved })
    }

    fn confirm_token(&mut self, generation: u32, reissue: Reissue) {
        for token in &mut self.tokens {
            if token.generation != generation {
                continue;
            }
            if let TokenState::Used { is_confirmed, .. } = &mut token.state {
                if reissue.confirmation_burns() {
                    token.state = TokenState::BurntByConfirmation;
                } else {
                    *is_confirmed = true;
                }
            }
        }
    }
}
