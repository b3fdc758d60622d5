//! What was said and heard, remembered beside the store and never read by the use cases: which
//! certificates were recorded, received and proven, and what operators said.
//!
//! It follows the protocol's text, not the records: what it remembers is taken from the acts that
//! were carried out, and holds whatever a store makes of them.

use cvm_core::certificate::{CertificateState, Origin};
use cvm_core::device::Fate;
use cvm_core::id::CertificateId;
use cvm_core::ports::{CertificateChange, Change};
use cvm_core::time::Timestamp;

use super::act::Act;
use super::invariants::{Invariant, Violation};
use super::scene::Scene;
use super::view::{Judged, View};

/// All of it.
#[derive(Clone, Default)]
pub(crate) struct Ghost {
    pub(crate) devices: Vec<GhostDevice>,
    /// Which device proved possession of the key first.
    pub(crate) owners: [Option<usize>; 2],
    /// An operator called it compromised.
    pub(crate) compromised: [bool; 2],
}

/// Of one device.
#[derive(Clone, Default)]
pub(crate) struct GhostDevice {
    /// In the order of their issue.
    pub(crate) certs: Vec<GhostCert>,
    /// By generation, from 1.
    pub(crate) tokens: Vec<GhostToken>,
    /// The one that was proven last, until it expires or an operator ends it.
    pub(crate) working: Option<usize>,
    /// The one that was working before, and the last second of its grace.
    pub(crate) retiring: Option<(usize, Timestamp)>,
    pub(crate) is_disabled: bool,
    pub(crate) is_deleted: bool,
}

/// Of one certificate that was recorded.
#[derive(Clone)]
pub(crate) struct GhostCert {
    pub(crate) id: CertificateId,
    pub(crate) key: usize,
    /// Of the token that it descends from.
    pub(crate) generation: u32,
    pub(crate) origin: Origin,
    /// The one that it was renewed from.
    pub(crate) parent: Option<usize>,
    pub(crate) issued_at: Timestamp,
    pub(crate) not_after: Timestamp,
    /// It left the process, whether it arrived or not.
    pub(crate) has_left: bool,
    /// Whoever asked received it.
    pub(crate) is_known: bool,
    /// It was used.
    pub(crate) is_proven: bool,
    /// An operator's word ended it.
    pub(crate) is_ended: bool,
    /// Another device proved its key first.
    pub(crate) is_lost: bool,
}

/// Of one token.
#[derive(Clone, Copy, Default)]
pub(crate) struct GhostToken {
    /// The keys that it obtained certificates for, one bit each, but for those that were lost.
    pub(crate) keys: u8,
    pub(crate) first_issue: Option<Timestamp>,
    pub(crate) burnt: Option<Burnt>,
    /// It obtained one for a key that was lost to another device.
    pub(crate) was_released: bool,
}

/// What burnt a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Burnt {
    Confirmation,
    Word,
}

/// What a commit records of first uses and of new certificates.
pub(crate) struct Noted {
    confirmed: Option<CertificateId>,
    inserted: Option<(CertificateId, usize)>,
}

impl Noted {
    pub(crate) fn of(scene: &Scene, change: &Change) -> Self {
        let (mut confirmed, mut inserted) = (None, None);
        for certificate in &change.certificates {
            match certificate {
                CertificateChange::Confirm(id, _) => confirmed = Some(*id),
                CertificateChange::Insert(row) => {
                    inserted = Some((row.id, scene.key_number(&row.key)));
                }
                CertificateChange::Move(..) => {}
            }
        }
        Self { confirmed, inserted }
    }
}

impl GhostCert {
    /// The last second at which at least a tenth of its life is left.
    pub(crate) fn last_tenth_at(&self) -> Timestamp {
        let life = self.not_after.since(self.issued_at).0;
        Timestamp(self.not_after.0 - (life + 9) / 10)
    }
}

impl Ghost {
    /// Nothing was said and heard yet; each device has its first token.
    pub(crate) fn of(devices: usize) -> Self {
        let tokens = vec![GhostToken::default()];
        let device = GhostDevice { tokens, ..GhostDevice::default() };
        Self { devices: vec![device; devices], ..Self::default() }
    }

    /// A commit was written.
    pub(crate) fn written(
        &mut self,
        scene: &Scene,
        act: Act,
        device: usize,
        noted: &Noted,
        now: Timestamp,
    ) -> Option<Violation> {
        if let Some(id) = &noted.confirmed {
            self.proven(scene, device, id, now);
        }
        let (id, key) = noted.inserted?;
        let mine = &mut self.devices[device];
        let (generation, parent) = match act {
            Act::Vend { generation, .. } => (generation, None),
            Act::Renew(from, _) => (mine.certs[from.number].generation, Some(from.number)),
            other => panic!("{other} issued a certificate"),
        };
        mine.certs.push(GhostCert {
            id,
            key,
            generation,
            origin: if parent.is_some() { Origin::Renewal } else { Origin::Token },
            parent,
            issued_at: now,
            not_after: now.plus(scene.profile.lifetime),
            has_left: false,
            is_known: false,
            is_proven: false,
            is_ended: false,
            is_lost: false,
        });
        if parent.is_none() { self.obtained(scene, device, generation, key, now) } else { None }
    }

    /// A token obtained a certificate for a key.
    fn obtained(
        &mut self,
        scene: &Scene,
        device: usize,
        generation: u32,
        key: usize,
        now: Timestamp,
    ) -> Option<Violation> {
        let token = &mut self.devices[device].tokens[generation as usize - 1];
        token.first_issue.get_or_insert(now);
        token.keys |= 1 << key;
        let burnt = token.burnt.map(|by| {
            let invariant = match by {
                Burnt::Confirmation => Invariant::I9,
                Burnt::Word => Invariant::I10,
            };
            Violation::new(invariant, format!("token {generation} was burnt by {by:?} and issued"))
        });
        let is_bound = matches!(
            scene.profile.reissue,
            cvm_core::profile::Reissue::Never | cvm_core::profile::Reissue::SameKey
        );
        let two = (is_bound && token.keys.count_ones() > 1).then(|| {
            let what = format!("token {generation} obtained certificates for two keys");
            Violation::new(Invariant::I2, what)
        });
        burnt.or(two)
    }

    /// Whether another device has proven the key, or an operator has called it compromised.
    pub(crate) fn is_lost(&self, key: usize, device: usize) -> bool {
        self.compromised[key] || self.owners[key].is_some_and(|owner| owner != device)
    }

    /// A certificate's first use was written.
    fn proven(&mut self, scene: &Scene, device: usize, id: &CertificateId, now: Timestamp) {
        let mine = &mut self.devices[device];
        let number = mine.certs.iter().position(|it| it.id == *id).expect("it was recorded");
        let cert = &mut mine.certs[number];
        cert.is_proven = true;
        let token = &mut mine.tokens[cert.generation as usize - 1];
        if scene.profile.reissue.confirmation_burns() {
            token.burnt.get_or_insert(Burnt::Confirmation);
        }
        let key = cert.key;
        let grace = now.plus(scene.profile.grace_after_confirm);
        if let Some(former) = mine.working.filter(|former| *former != number) {
            mine.retiring = Some((former, grace));
        }
        mine.working = Some(number);
        self.owners[key].get_or_insert(device);
        self.release(key, Some(device));
    }

    /// Whoever else obtained certificates for `key` has lost them, and the token with which they
    /// were asked for is good for another key.
    fn release(&mut self, key: usize, winner: Option<usize>) {
        for (_, device) in self.devices.iter_mut().enumerate().filter(|(it, _)| Some(*it) != winner)
        {
            for token in &mut device.tokens {
                token.was_released |= token.keys >> key & 1 == 1;
                token.keys &= !(1 << key);
            }
            let losers = device.certs.iter_mut().filter(|cert| cert.key == key);
            losers.for_each(|cert| cert.is_lost = true);
        }
    }

    /// An operator's word was written; `before` is what was stored until then.
    pub(crate) fn spoken(&mut self, scene: &Scene, act: Act, before: &View) {
        let Some(device) = act.device() else { return };
        let judged = before.judged(scene, device);
        let mine = &mut self.devices[device];
        match act {
            Act::Delete(_) => {
                mine.is_deleted = true;
                mine.is_disabled = false;
                mine.burn(|_| true);
                mine.end(&judged, |_, _| true);
                for owner in &mut self.owners {
                    owner.take_if(|owner| *owner == device);
                }
            }
            Act::Disable(_) => mine.is_disabled = true,
            Act::Enable(_) => mine.is_disabled = false,
            // The same again burns nothing, and revokes what came with older tokens.
            Act::NewToken(_, fate) if mine.tokens.len() > 1 => {
                let newest = u32::try_from(mine.tokens.len()).unwrap();
                mine.end(&judged, |cert, _| fate == Fate::Revoke && cert.generation < newest);
            }
            Act::NewToken(_, fate) => {
                mine.burn(|token| token.burnt.is_none());
                mine.tokens.push(GhostToken::default());
                mine.end(&judged, |cert, state| {
                    fate == Fate::Revoke || (is_unproven(state) && cert.origin == Origin::Token)
                });
            }
            Act::Revoke(cert, _) => {
                let generation = mine.certs[cert.number].generation;
                let was_current = judged.states[cert.number] == Some(CertificateState::Current);
                mine.tokens[generation as usize - 1].burnt = Some(Burnt::Word);
                mine.certs[cert.number].is_ended = true;
                mine.end(&judged, |it, state| {
                    let is_asked_with = it.origin == Origin::Token && it.generation == generation;
                    (is_unproven(state) && is_asked_with)
                        || (was_current && state == CertificateState::Retiring)
                });
            }
            _ => panic!("{act} is no operator's word"),
        }
    }

    /// An operator called a key compromised; `before` is what was stored until then.
    pub(crate) fn compromise(&mut self, scene: &Scene, key: usize, before: &View) {
        self.compromised[key] = true;
        self.release(key, None);
        for device in 0..self.devices.len() {
            let judged = before.judged(scene, device);
            self.devices[device].end(&judged, |cert, _| cert.key == key);
        }
    }

    /// Time has passed.
    pub(crate) fn waited(&mut self, now: Timestamp) {
        for device in &mut self.devices {
            let certs = &device.certs;
            device.working.take_if(|working| now > certs[*working].not_after);
        }
    }
}

impl GhostDevice {
    fn burn(&mut self, is_burnt: impl Fn(&GhostToken) -> bool) {
        for token in &mut self.tokens {
            if is_burnt(token) {
                token.burnt = Some(Burnt::Word);
            }
        }
    }

    /// What is live and named by `is_ended` was ended by an operator, and what was renewed from an
    /// ended one and not confirmed.
    fn end(&mut self, judged: &Judged, is_ended: impl Fn(&GhostCert, CertificateState) -> bool) {
        for (cert, state) in self.certs.iter_mut().zip(&judged.states) {
            if let Some(state) = state.filter(|state| state.is_live())
                && is_ended(cert, state)
            {
                cert.is_ended = true;
            }
        }
        for (number, state) in judged.states.iter().enumerate() {
            let is_renewed = |parent: usize| self.certs[parent].is_ended;
            if state.is_some_and(is_unproven) && self.certs[number].parent.is_some_and(is_renewed) {
                self.certs[number].is_ended = true;
            }
        }
        let certs = &self.certs;
        self.working.take_if(|working| certs[*working].is_ended);
    }
}

pub(crate) fn is_unproven(state: CertificateState) -> bool {
    matches!(state, CertificateState::Candidate | CertificateState::Unconfirmed)
}
