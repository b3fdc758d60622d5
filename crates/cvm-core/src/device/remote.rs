//! What a platform outside of this process has still to do for a device (protocol, section 5):
//! the certificate that is being made there, and what is owed there.
//!
//! At home both are always empty, and take no room in the record.

use serde::{Deserialize, Serialize};

use super::{Device, LiveCertificate, Moved, TokenState};
use crate::certificate::CertificateState;
use crate::id::{AttemptCode, CertificateId, KeyIdentity, ThingName};
use crate::time::{Span, Timestamp};

/// How long the request that makes a certificate has it to itself: longer than a function runs.
pub const LEASE: Span = Span(60);

/// How long the platform is told again and again what became of a certificate, and how long what
/// a request that was cut off may have left there is looked for.
pub const REASSERTED: Span = Span(15 * Span::MINUTE.0);

/// A live certificate that is not finished on the platform, and was answered to nobody yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Which one; provisional as long as the platform has not named it.
    pub certificate: CertificateId,
    /// Since when.
    pub since: Timestamp,
    /// The request that works on it, or did.
    pub attempt: AttemptCode,
    /// Until when nobody else may.
    pub lease_until: Timestamp,
    /// How far it has come.
    pub stage: Stage,
}

/// How far a certificate has come on the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It is bound, and may be active at any moment.
    Activating,
    /// Its name and its bytes are on record.
    Recorded,
    /// The platform is asked for it with this request, DER.
    Reserved(#[serde(with = "super::parts::hex_bytes")] Vec<u8>),
}

/// Something that the platform has still to do, or to be told again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owed {
    /// This certificate's status has to follow the record; told again until then.
    Certificate {
        /// Which.
        id: CertificateId,
        /// Until when.
        until: Timestamp,
    },
    /// A certificate for this key may have been made that nobody recorded; looked for until then.
    Orphan {
        /// The key.
        key: KeyIdentity,
        /// The earliest moment at which it can have been made.
        since: Timestamp,
        /// Until when.
        until: Timestamp,
    },
    /// The sessions of this thing have to end, once.
    Session {
        /// Whose.
        thing: ThingName,
    },
    /// This thing has to be removed, once.
    Thing {
        /// Which.
        thing: ThingName,
    },
}

/// What the platform's status of a certificate has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It opens connections.
    Active,
    /// Whoever makes it says so.
    AsItIs,
    /// It opens none until its device is enabled.
    Inactive,
    /// It opens none any more.
    Revoked,
}

impl Reservation {
    /// Whether the request that works on it has it to itself.
    #[must_use]
    pub fn is_leased(&self, now: Timestamp) -> bool {
        now < self.lease_until
    }
}

impl Device {
    /// Makes the live certificate called `id` one that the platform has still to finish.
    pub fn reserve(
        &mut self,
        id: CertificateId,
        stage: Stage,
        attempt: AttemptCode,
        now: Timestamp,
    ) {
        let (since, lease_until) = (now, now.plus(LEASE));
        self.reservation =
            Some(Reservation { certificate: id, since, attempt, lease_until, stage });
    }

    /// The live certificate that is not finished.
    #[must_use]
    pub fn reserved(&self) -> Option<&LiveCertificate> {
        self.reservation.as_ref().and_then(|it| self.live_by_id(&it.certificate))
    }

    /// Hands the reservation to another request. What the one before may have made and not
    /// recorded has to be looked for.
    pub fn take_over(&mut self, attempt: AttemptCode, now: Timestamp) {
        self.expect_orphan(now);
        if let Some(reservation) = &mut self.reservation {
            (reservation.attempt, reservation.lease_until) = (attempt, now.plus(LEASE));
        }
    }

    /// Takes note that the platform may have made a certificate for the reservation that nobody
    /// will record.
    fn expect_orphan(&mut self, now: Timestamp) {
        let Some(reservation) = &self.reservation else { return };
        let since = reservation.since;
        let Some(live) = self.live_by_id(&reservation.certificate) else { return };
        if live.id.is_provisional() {
            let (key, until) = (live.key, now.plus(REASSERTED));
            self.owe(Owed::Orphan { key, since, until });
        }
    }

    /// Puts the name and the life that the platform gave to what was reserved into the record.
    pub fn name_reserved(&mut self, id: CertificateId, not_after: Timestamp, now: Timestamp) {
        let Some(reservation) = &mut self.reservation else { return };
        let provisional = std::mem::replace(&mut reservation.certificate, id);
        reservation.stage = Stage::Recorded;
        self.restart_first_issue(&provisional, now);
        for live in &mut self.live {
            if live.id == provisional {
                let life = live.lasts_until().since(live.issued_at);
                (live.id, live.issued_at, live.not_after) = (id, now, not_after);
                live.life_ends = Some(now.plus(life).min(not_after));
            }
        }
        for token in &mut self.tokens {
            if let TokenState::Used { obtained, .. } = &mut token.state
                && *obtained == provisional
            {
                *obtained = id;
            }
        }
        if let Some(sealed) = &mut self.sealed
            && sealed.certificate == provisional
        {
            sealed.certificate = id;
        }
    }

    /// Takes the reservation back: what it is of can be answered from now on.
    pub fn finish_reserved(&mut self, now: Timestamp) {
        if let Some(reservation) = self.reservation.take() {
            self.restart_first_issue(&reservation.certificate, now);
        }
    }

    /// Counts a token's first issue from now, where it is of the certificate called `id`: nobody
    /// could be answered that before.
    fn restart_first_issue(&mut self, id: &CertificateId, now: Timestamp) {
        let Some(issued_at) = self.live_by_id(id).map(|live| live.issued_at) else { return };
        for token in &mut self.tokens {
            if let TokenState::Used { obtained, first_issue_at, .. } = &mut token.state
                && *obtained == *id
                && *first_issue_at == issued_at
            {
                *first_issue_at = now;
            }
        }
    }

    /// Ends what is reserved: it cannot be made. Where it never had a name, the token that asked
    /// for it is released for another key.
    #[must_use = "what moved has to be written with the next commit"]
    pub fn withdraw(&mut self) -> Vec<Moved> {
        let Some(id) = self.reservation.as_ref().map(|it| it.certificate) else {
            return Vec::new();
        };
        if id.is_provisional() {
            for token in &mut self.tokens {
                if let TokenState::Used { obtained, bound, .. } = &mut token.state
                    && *obtained == id
                {
                    *bound = None;
                }
            }
        }
        self.end_where(CertificateState::Superseded, super::settle::SUPERSEDED, |live| {
            live.id == id
        })
    }

    /// Takes note of something that the platform has still to do.
    pub fn owe(&mut self, mut owed: Owed) {
        self.owed.retain(|had| match (had, &mut owed) {
            (Owed::Certificate { id: had, .. }, Owed::Certificate { id, .. }) => had != id,
            // One of each key: every try that fails owes another, and the record has to stay small.
            (
                Owed::Orphan { key: had, since: began, until: ends },
                Owed::Orphan { key, since, until },
            ) if had == key => {
                (*since, *until) = ((*began).min(*since), (*ends).max(*until));
                false
            }
            (had, owed) => had != owed,
        });
        self.owed.push(owed);
    }

    /// What the platform's status of the certificate called `id` has to be.
    #[must_use]
    pub fn wanted(&self, id: &CertificateId) -> Wanted {
        match self.live_by_id(id) {
            None => Wanted::Revoked,
            Some(_) if self.reservation.as_ref().is_some_and(|it| it.certificate == *id) => {
                Wanted::AsItIs
            }
            Some(_) if self.disabled => Wanted::Inactive,
            Some(_) => Wanted::Active,
        }
    }

    /// When somebody has to look after the platform.
    pub(super) fn platform_due_at(&self) -> Option<Timestamp> {
        if !self.owed.is_empty() {
            return Some(Timestamp(0));
        }
        self.reservation.as_ref().map(|it| it.lease_until)
    }

    /// Lets a reservation end with its certificate, and says what of `moved` has a row: what
    /// never had a name has none.
    pub(super) fn end_reservation(&mut self, moved: Vec<Moved>) -> Vec<Moved> {
        let moved = moved.into_iter().filter(|moved| !moved.id.is_provisional()).collect();
        self.reservation.take_if(|it| !self.live.iter().any(|live| live.id == it.certificate));
        moved
    }

    /// Takes note of what may have been made for those of `ended` that never had a name.
    pub(super) fn expect_orphans(&mut self, ended: &[LiveCertificate]) {
        let Some(Reservation { since, lease_until, .. }) = self.reservation else { return };
        for live in ended.iter().filter(|live| live.id.is_provisional()) {
            // Whoever works on it may go on for as long as its lease runs.
            let until = lease_until.plus(REASSERTED);
            self.owe(Owed::Orphan { key: live.key, since, until });
        }
    }
}

impl Moved {
    /// Whether the platform has to be told that the certificate opens no connection any more.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.state.is_listed()
    }
}
