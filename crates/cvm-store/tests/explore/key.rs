//! The canonical key of a world: two worlds with one key go on alike for ever.
//!
//! Times are told as steps until they are over, ids as places, keys and devices up to exchanging
//! them; versions, attempt codes, journal, addresses and times that are over are left out, because
//! nothing decides by them. The whole key is kept and compared, no hash of it.

use cvm_core::certificate::{CertificateState, Reason};
use cvm_core::device::{Device, LiveCertificate, ReviewKey, ReviewState, TokenRecord, TokenState};
use cvm_core::id::{CertificateId, KeyIdentity};
use cvm_core::ports::KeyOwner;
use cvm_core::profile::Reissue;
use cvm_core::time::Timestamp;

use super::act::origin_number;
use super::ghost::{Burnt, Ghost, GhostCert, GhostDevice};
use super::scene::{Hands, Scene};
use super::view::{Seen, TEN_MINUTES, View};

/// Stands for a certificate that is none of the live ones.
const ENDED: u8 = 200;
const NONE: u8 = 255;

pub(crate) type Key = Box<[u8]>;

/// The least key under all exchanges of keys and of devices.
pub(crate) fn key_of(scene: &Scene, view: &View, ghost: &Ghost) -> Key {
    let keys: [[u8; 2]; 2] = [[0, 1], [1, 0]];
    let devices: &[&[usize]] = if scene.serials.len() == 1 { &[&[0]] } else { &[&[0, 1], &[1, 0]] };
    let all = keys.iter().flat_map(|keys| devices.iter().map(move |devices| (keys, devices)));
    let key = |(keys, devices): (&[u8; 2], &&[usize])| {
        let mut writer = Writer { scene, now: view.now, keys, out: Vec::with_capacity(160) };
        writer.world(view, ghost, devices);
        writer.out
    };
    all.map(key).min().expect("there is one").into_boxed_slice()
}

struct Writer<'a> {
    scene: &'a Scene,
    now: Timestamp,
    keys: &'a [u8; 2],
    out: Vec<u8>,
}

impl Writer<'_> {
    fn world(&mut self, view: &View, ghost: &Ghost, devices: &[usize]) {
        for device in devices {
            self.device(&view.devices[*device], &ghost.devices[*device]);
        }
        for original in [0, 1] {
            let key = usize::from(self.keys[original]);
            let renamed =
                |device: usize| devices.iter().position(|it| *it == device).unwrap() as u8;
            let owner = match &view.owners[key] {
                None => NONE,
                Some(KeyOwner::Compromised) => NONE - 1,
                Some(KeyOwner::Device(serial)) => renamed(self.scene.device_number(serial)),
            };
            let proven = ghost.owners[key].map_or(NONE, renamed);
            self.out.extend([owner, proven, u8::from(ghost.compromised[key])]);
        }
    }

    fn device(&mut self, seen: &Seen, ghost: &GhostDevice) {
        let device = &seen.device;
        let flags = [device.disabled, device.deleted_at.is_some(), ghost.is_disabled];
        self.out.extend(flags.map(u8::from));
        for token in &device.tokens {
            self.token(token, device, ghost);
        }
        self.out.push(NONE);
        for live in &device.live {
            self.live(live, seen, ghost);
        }
        self.out.push(NONE);
        if let Some(outlived) = &device.outlived {
            let until = outlived.not_after.plus(self.scene.profile.renew_after_expiry);
            let (key, until) = (self.key(&outlived.key), self.left(until));
            self.out.extend([key, outlived.token as u8, until]);
        }
        self.out.push(NONE);
        self.review(device);
        let mut contested: Vec<u8> = device.contested.iter().map(|key| self.key(key)).collect();
        contested.sort_unstable();
        self.out.extend(contested);
        self.out.push(NONE);
        self.ended(seen, ghost);
        self.out.push(NONE);
    }

    fn token(&mut self, token: &TokenRecord, device: &Device, ghost: &GhostDevice) {
        let state = match &token.state {
            TokenState::BurntByConfirmation => [1, 0, 0, 0, 0],
            TokenState::BurntByOperator(_) => [2, 0, 0, 0, 0],
            TokenState::Expired => [3, 0, 0, 0, 0],
            TokenState::Unused => [4, self.left(token.expires), 0, 0, 0],
            TokenState::Used { bound, obtained, first_issue_at, is_confirmed } => {
                let bound = bound.map_or(NONE, |bound| self.key(&bound.key));
                let first = self.first_issue(*first_issue_at);
                [5, bound, place_of(obtained, device), first, u8::from(*is_confirmed)]
            }
        };
        self.out.extend(state);
        let mut denied: Vec<u8> = token.denied.iter().map(|key| self.review_key(*key)).collect();
        denied.sort_unstable();
        self.out.extend(denied);
        let known = &ghost.tokens[token.generation as usize - 1];
        let keys = [0, 1].map(|key| (known.keys >> key & 1) << self.keys[key]);
        let burnt = match known.burnt {
            None => 0,
            Some(Burnt::Confirmation) => 1,
            Some(Burnt::Word) => 2,
        };
        let first = known.first_issue.map_or(NONE, |first| self.first_issue(first));
        self.out.extend([keys[0] | keys[1], burnt, first, u8::from(known.was_released), NONE]);
    }

    /// Only `never` asks when a token was used first.
    fn first_issue(&self, at: Timestamp) -> u8 {
        match self.scene.profile.reissue {
            Reissue::Never => self.left(at.plus(TEN_MINUTES)),
            Reissue::Always | Reissue::Approval | Reissue::SameKey | Reissue::UntilConfirmed => 0,
        }
    }

    fn live(&mut self, live: &LiveCertificate, seen: &Seen, ghost: &GhostDevice) {
        let number = ghost.certs.iter().position(|it| it.id == live.id).unwrap();
        let cert = &ghost.certs[number];
        let row = seen.rows[number].as_ref();
        let parent = cert
            .parent
            .filter(|_| !cert.is_proven)
            .map_or(NONE, |it| place_of(&ghost.certs[it].id, &seen.device));
        let retiring = ghost.retiring.filter(|(it, _)| *it == number);
        // Who has not been looked at since it expired may still renew.
        let is_current = live.state == CertificateState::Current;
        let renewable = live.not_after.plus(self.scene.profile.renew_after_expiry);
        self.out.extend([
            if is_current { self.left(renewable) } else { 0 },
            live.state as u8,
            row.map_or(NONE, |row| row.state as u8),
            self.key(&live.key),
            origin_number(live.origin),
            live.token as u8,
            self.left(live.not_after),
            self.left(live.last_tenth_at()),
            live.until.map_or(NONE, |until| self.left(until)),
            parent,
            retiring.map_or(NONE, |(_, until)| self.left(until)),
            bits(&[
                cert.is_known,
                cert.is_ended,
                cert.is_lost,
                cert.is_proven,
                ghost.working == Some(number),
            ]),
        ]);
    }

    fn review(&mut self, device: &Device) {
        if let Some(review) = &device.review {
            let state = match review.state {
                ReviewState::Approved(_) => review.approved_until().map_or(0, |it| self.left(it)),
                ReviewState::Waiting => NONE - 1,
                ReviewState::Closed
                | ReviewState::Denied
                | ReviewState::Lapsed
                | ReviewState::Spent => NONE - 2,
            };
            let key = self.review_key(review.key);
            self.out.extend([review.token as u8, key, state]);
        }
        self.out.push(NONE);
    }

    /// What ended, each kind once.
    fn ended(&mut self, seen: &Seen, ghost: &GhostDevice) {
        let mut kinds = Vec::new();
        for (number, cert) in ghost.certs.iter().enumerate() {
            if seen.device.live_by_id(&cert.id).is_some() {
                continue;
            }
            let EndedKind { generation, how, is_parent, .. } =
                ended_kind(self.scene, seen, ghost, number);
            let is_live = seen.rows[number].as_ref().is_some_and(|row| row.state.is_live());
            let links = [seen.is_outlived(&cert.id), is_parent, is_live];
            if self.scene.hands == Hands::All || links != [false; 3] {
                let left = if is_live { self.left(cert.not_after) } else { 0 };
                kinds.push([self.keys[cert.key], generation as u8, how, left, bits(&links)]);
            }
        }
        kinds.sort_unstable();
        // A review is closed by each revoking that changes something: there it counts how many.
        if self.scene.profile.reissue != Reissue::Approval {
            kinds.dedup();
        }
        self.out.extend(kinds.into_flattened());
    }

    fn key(&self, key: &KeyIdentity) -> u8 {
        self.keys[self.scene.key_number(key)]
    }

    fn review_key(&self, key: ReviewKey) -> u8 {
        match key {
            ReviewKey::Device(key) => self.key(&key),
            ReviewKey::Server(_) => NONE,
        }
    }

    fn left(&self, deadline: Timestamp) -> u8 {
        let steps = self.scene.steps_until_after(deadline, self.now);
        u8::try_from(steps).expect("no deadline is so far ahead")
    }
}

/// What an ended certificate still means.
///
/// Nothing but an operator's revoking looks at it again, and that burns its token and takes its key,
/// whatever it ended as; but where it changes nothing, it closes no review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndedKind {
    key: usize,
    generation: u32,
    /// Under `approval`: whether it was revoked, and for what.
    how: u8,
    /// Whether what was renewed from it lives, and is not proven.
    is_parent: bool,
}

/// What the ended certificate with this number still means.
pub(crate) fn ended_kind(
    scene: &Scene,
    seen: &Seen,
    ghost: &GhostDevice,
    number: usize,
) -> EndedKind {
    let how = match &seen.rows[number] {
        Some(row) if scene.profile.reissue == Reissue::Approval => bits(&[
            row.state == CertificateState::Revoked,
            row.reason == Some(Reason::KeyCompromise),
        ]),
        Some(_) | None => 0,
    };
    let is_parent = ghost.certs.iter().any(|cert| {
        let is_live = seen.device.live_by_id(&cert.id).is_some();
        cert.parent == Some(number) && is_live && !cert.is_proven
    });
    let GhostCert { key, generation, .. } = ghost.certs[number];
    EndedKind { key, generation, how, is_parent }
}

fn place_of(id: &CertificateId, device: &Device) -> u8 {
    let live = device.live.iter().position(|live| live.id == *id);
    let outlived = device.outlived.as_ref().is_some_and(|outlived| outlived.id == *id);
    live.map_or(if outlived { ENDED + 1 } else { ENDED }, |place| place as u8)
}

fn bits(flags: &[bool]) -> u8 {
    flags.iter().fold(0, |bits, flag| bits << 1 | u8::from(*flag))
}
