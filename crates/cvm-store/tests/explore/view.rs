//! What is stored, as an outsider reads it: records, rows, owners of keys.

use cvm_core::certificate::{CertificateRecord, CertificateState};
use cvm_core::device::{Device, LiveCertificate, TokenState};
use cvm_core::id::CertificateId;
use cvm_core::ports::{Catalogue as _, KeyOwner, Store as _};
use cvm_core::profile::Reissue;
use cvm_core::time::{Span, Timestamp};
use futures_util::FutureExt as _;

use super::ghost::Ghost;
use super::scene::{Scene, World};

/// What the protocol gives `never` for asking again.
pub(crate) const TEN_MINUTES: Span = Span(600);

/// What a store in memory answers, which waits for nothing.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a store in memory waits for nothing")
}

/// Everything that is stored of the scene's devices and keys.
pub(crate) struct View {
    pub(crate) now: Timestamp,
    pub(crate) devices: Vec<Seen>,
    pub(crate) owners: [Option<KeyOwner>; 2],
}

/// What is stored of one device.
pub(crate) struct Seen {
    /// Its record, as it was written last.
    pub(crate) device: Device,
    /// Its rows in the order of their issue, `None` where one that was written is not there.
    pub(crate) rows: Vec<Option<CertificateRecord>>,
}

/// One device as of now.
pub(crate) struct Judged {
    /// Its record, settled.
    pub(crate) device: Device,
    /// Where its certificates stand, to all the world: by its record, or by the row alone where
    /// the record has lost sight of a live one.
    pub(crate) states: Vec<Option<CertificateState>>,
}

impl View {
    pub(crate) fn of(scene: &Scene, world: &World) -> Self {
        let store = &world.store;
        let seen = |(serial, ghost): (_, &super::ghost::GhostDevice)| {
            let mut rows = at_once(store.certificates_of(serial)).unwrap();
            let mut row_of = |id: &CertificateId| {
                let place = rows.iter().position(|row| row.id == *id)?;
                Some(rows.remove(place))
            };
            Seen {
                device: at_once(store.device_find(serial)).unwrap().expect("it is registered"),
                rows: ghost.certs.iter().map(|cert| row_of(&cert.id)).collect(),
            }
        };
        let owner = |key| at_once(store.key_owner(key)).unwrap();
        Self {
            now: world.now,
            devices: scene.serials.iter().zip(&world.ghost.devices).map(seen).collect(),
            owners: [owner(&scene.keys[0]), owner(&scene.keys[1])],
        }
    }

    /// The device as of now: whoever has swept or not, whoever else has proven its keys.
    pub(crate) fn judged(&self, scene: &Scene, number: usize) -> Judged {
        let Seen { device, rows } = &self.devices[number];
        let mut settled = device.clone();
        let moved = settled.settle(self.now);
        let state = |row: &CertificateRecord| {
            let live = settled.live_by_id(&row.id).map(|live| live.state);
            let is_this = |moved: &&cvm_core::device::Moved| moved.id == row.id;
            let moved = moved.iter().rfind(is_this).map(|moved| moved.state);
            let state = live.or(moved).unwrap_or(row.state);
            let owner = &self.owners[scene.key_number(&row.key)];
            let is_lost = owner.as_ref().is_some_and(|owner| !owner.is(&device.serial_number));
            match state {
                state if !state.is_live() => state,
                _ if is_lost => CertificateState::Revoked,
                _ if self.now > row.not_after => CertificateState::Expired,
                state => state,
            }
        };
        let states = rows.iter().map(|row| row.as_ref().map(state)).collect();
        Judged { device: settled, states }
    }

    /// How many steps of the grid until something is over.
    pub(crate) fn steps_to_next_moment(&self, scene: &Scene, ghost: &Ghost) -> Option<i64> {
        let mut ends = Vec::new();
        for (seen, mine) in self.devices.iter().zip(&ghost.devices) {
            let is_live = |number: usize| seen.device.live_by_id(&mine.certs[number].id).is_some();
            let retiring = mine.retiring.filter(|(number, _)| is_live(*number));
            ends.extend(retiring.map(|(_, end)| end));
            if scene.profile.reissue == Reissue::Never {
                let first = mine.tokens.iter().filter_map(|token| token.first_issue);
                ends.extend(first.map(|first| first.plus(TEN_MINUTES)));
            }
            seen.deadlines(scene, &mut ends);
        }
        let steps = ends.into_iter().map(|end| scene.steps_until_after(end, self.now));
        steps.filter(|steps| *steps > 0).min()
    }
}

impl Seen {
    /// Whether it is the current one that expired last.
    pub(crate) fn is_outlived(&self, id: &CertificateId) -> bool {
        self.device.outlived.as_ref().is_some_and(|outlived| outlived.id == *id)
    }

    /// All moments after which something is judged otherwise.
    fn deadlines(&self, scene: &Scene, ends: &mut Vec<Timestamp>) {
        let profile = &scene.profile;
        for live in &self.device.live {
            ends.extend([live.not_after, live.last_tenth_at()]);
            ends.extend(live.until);
            if live.state == CertificateState::Current {
                let expired = live.not_after.plus(profile.renew_after_expiry);
                ends.extend([late_from(live, scene), expired]);
            }
        }
        for token in &self.device.tokens {
            if token.state == TokenState::Unused {
                ends.push(token.expires);
            }
        }
        let outlived = self.device.outlived.as_ref();
        ends.extend(outlived.map(|it| it.not_after.plus(profile.renew_after_expiry)));
        ends.extend(self.device.review.as_ref().and_then(|review| review.approved_until()));
    }
}

/// The last moment at which at least the overlap is left of a life.
pub(crate) fn late_from(live: &LiveCertificate, scene: &Scene) -> Timestamp {
    live.not_after.minus(scene.profile.overlap)
}
