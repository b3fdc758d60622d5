//! What operators do to a record (protocol, section 8): their word holds at once.

use super::settle::SUPERSEDED;
use super::{
    Burning, Device, LiveCertificate, Moved, MovedBy, ReviewState, TokenRecord, TokenState,
    Verdict, Word,
};
use crate::certificate::{CertificateRecord, CertificateState, Origin, Reason};
use crate::id::TokenMac;
use crate::time::Timestamp;
use crate::token::SLOTS;

/// A token that an operator gives to a device.
#[derive(Clone, Copy, Debug)]
pub struct TokenToGive {
    /// Its keyed hash.
    pub mac: TokenMac,
    /// When it is given.
    pub given_at: Timestamp,
    /// Until when it may wait for its first issue.
    pub expires: Timestamp,
}

/// What a new token means for the certificates that were confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They work until their successor is confirmed.
    Keep,
    /// All live ones are revoked now.
    Revoke,
}

impl Device {
    /// Gives the device another token: burns every older one that is not burnt yet, and revokes what
    /// was asked for with it and is not confirmed. A candidate by renewal stays.
    ///
    /// Returns what moved, and the tokens that no longer have a slot in the record.
    #[must_use = "what moved has to be written with the next commit"]
    pub fn give_token(
        &mut self,
        token: TokenToGive,
        fate: Fate,
        by: &Burning,
    ) -> (Vec<Moved>, Vec<TokenMac>) {
        let mut moved = self.burn_where(by, TokenRecord::is_unburnt);
        if fate == Fate::Revoke {
            self.outlived = None;
            moved.extend(self.end_where(
                CertificateState::Revoked,
                Some(Reason::Unspecified),
                |_| true,
            ));
        }
        self.close_review();
        (moved, self.push_token(token))
    }

    /// Revokes what descends from older tokens than the newest.
    #[must_use = "what moved has to be written with the next commit"]
    pub fn revoke_older(&mut self) -> Vec<Moved> {
        let newest = self.tokens.first().map_or(0, |token| token.generation);
        self.outlived.take_if(|outlived| outlived.token < newest);
        let unspecified = Some(Reason::Unspecified);
        self.end_where(CertificateState::Revoked, unspecified, |live| live.token < newest)
    }

    /// Puts a token into the first slot; returns those that no longer have one.
    pub fn push_token(&mut self, token: TokenToGive) -> Vec<TokenMac> {
        let generation = self.tokens.first().map_or(0, |newest| newest.generation) + 1;
        let TokenToGive { mac, given_at, expires } = token;
        let (state, denied) = (TokenState::Unused, Vec::new());
        self.tokens.insert(0, TokenRecord { generation, mac, given_at, expires, state, denied });
        let kept = self.tokens.len().min(SLOTS);
        self.tokens.drain(kept..).map(|token| token.mac).collect()
    }

    /// Revokes `certificate`, live or ended, and burns the token that it descends from, whatever
    /// that's state. With a current one go the candidate renewed from it and a retiring one.
    #[must_use = "what moved has to be written with the next commit"]
    pub fn revoke(
        &mut self,
        certificate: &CertificateRecord,
        reason: Reason,
        by: &Burning,
    ) -> Vec<Moved> {
        let id = certificate.id;
        let was_current = self.live_in(CertificateState::Current).is_some_and(|live| live.id == id)
            || self.outlived.as_ref().is_some_and(|outlived| outlived.id == id);
        let mut moved = Vec::new();
        if was_current {
            moved.extend(self.end_where(CertificateState::Superseded, SUPERSEDED, |live| {
                live.state == CertificateState::Retiring && live.id != id
            }));
            moved.extend(self.end_renewed());
            self.outlived = None;
        }
        let revoked = CertificateState::Revoked;
        self.live.retain(|live| live.id != id);
        moved.push(Moved { id, state: revoked, reason: Some(reason), by: MovedBy::Act });
        moved.extend(self.burn_where(by, |token| token.generation == certificate.token));
        if reason == Reason::KeyCompromise {
            moved.extend(self.lose_key(&certificate.key));
        }
        // Whose current one is gone: its candidate becomes the unconfirmed one.
        moved.extend(self.end_where(revoked, None, |_| false));
        if self.sealed.as_ref().is_some_and(|sealed| sealed.certificate == id) {
            self.sealed = None;
        }
        self.close_review();
        moved
    }

    /// Nothing is accepted from the device until it is enabled again.
    pub fn disable(&mut self) {
        self.disabled = true;
        self.close_review();
    }

    /// Decommissions the device: its certificates are revoked, its tokens burnt, whatever their
    /// state; a tombstone stays.
    #[must_use = "what moved has to be written with the next commit"]
    pub fn delete(&mut self, by: &Burning) -> Vec<Moved> {
        let reason = Some(Reason::CessationOfOperation);
        let moved = self.end_where(CertificateState::Revoked, reason, |_| true);
        let _nothing_left =
            self.burn_where(by, |token| !matches!(token.state, TokenState::BurntByOperator(_)));
        self.close_review();
        self.outlived = None;
        self.disabled = false;
        self.deleted_at = Some(by.at);
        moved
    }

    /// Decides the review that waits; `false` where none does.
    pub fn decide_review(&mut self, verdict: Verdict, now: Timestamp) -> bool {
        let Some(review) = &mut self.review else { return false };
        if review.state != ReviewState::Waiting {
            return false;
        }
        match verdict {
            Verdict::Approve => review.state = ReviewState::Approved(now),
            Verdict::Deny => {
                review.state = ReviewState::Denied;
                let (generation, key) = (review.token, review.key);
                for token in &mut self.tokens {
                    if token.generation == generation {
                        token.denied.push(key);
                    }
                }
            }
        }
        true
    }

    /// Burns the tokens that `is_burnt` names, and revokes what was asked for with them and is not
    /// confirmed.
    fn burn_where(&mut self, by: &Burning, is_burnt: impl Fn(&TokenRecord) -> bool) -> Vec<Moved> {
        let mut burnt = Vec::new();
        for token in &mut self.tokens {
            if is_burnt(token) {
                token.state = TokenState::BurntByOperator(by.clone());
                burnt.push(token.generation);
            }
        }
        let reason = match by.word {
            Word::Delete => Some(Reason::CessationOfOperation),
            Word::NewToken => SUPERSEDED,
            Word::Revoke => Some(Reason::Unspecified),
        };
        self.end_where(CertificateState::Revoked, reason, |live: &LiveCertificate| {
            live.is_unproven() && live.origin == Origin::Token && burnt.contains(&live.token)
        })
    }

    fn close_review(&mut self) {
        if let Some(review) = &mut self.review {
            review.close();
        }
    }
}
