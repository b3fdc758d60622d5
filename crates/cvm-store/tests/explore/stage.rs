//! The store between the use cases and the world: at each access another act may come in between,
//! and each commit may go wrong.

use std::sync::Arc;

use async_trait::async_trait;
use cvm_core::certificate::{CertificateRecord, CertificateState};
use cvm_core::device::{Device, DeviceFilter};
use cvm_core::id::{AttemptCode, CertificateId, KeyIdentity, SerialNumber, TokenMac};
use cvm_core::journal::Event;
use cvm_core::page::{Page, PageRequest};
use cvm_core::ports::{
    Catalogue, CertificateChange, Change, CommitError, Due, Holding, KeyOwner, KeyRule, Store,
    StoreError,
};
use cvm_core::time::Timestamp;
use cvm_store::MemoryStore;
use parking_lot::Mutex;

use super::act::{Act, Cert, Fault, Trouble};
use super::ghost::Noted;
use super::invariants::Violation;
use super::sabotage::Sabotage;
use super::scene::{Scene, World};
use super::view::View;

/// What comes in between, and where.
pub(crate) type Intrusion = (usize, Box<dyn FnOnce() + Send>);

/// The store on which a step is played.
pub(crate) struct Stage {
    scene: Arc<Scene>,
    sabotage: Option<Sabotage>,
    play: Mutex<Option<Play>>,
}

/// A step that is being played.
pub(crate) struct Play {
    pub(crate) world: World,
    /// Whether its store is no other world's.
    is_own: bool,
    intrusion: Option<Intrusion>,
    trouble: Option<Trouble>,
    /// Who acts: the act of the step, and above it what came in between.
    acting: Vec<Acting>,
    /// How often the step's own act came to the store.
    pub(crate) accesses: usize,
    /// How many commits the step's own act asked for.
    pub(crate) commits: usize,
    /// How many were written, by whomever.
    pub(crate) written: usize,
    pub(crate) violations: Vec<Violation>,
}

struct Acting {
    act: Act,
    has_spoken: bool,
}

impl Stage {
    pub(crate) fn new(scene: Arc<Scene>, sabotage: Option<Sabotage>) -> Self {
        Self { scene, sabotage, play: Mutex::new(None) }
    }

    /// Sets the stage.
    pub(crate) fn set(&self, world: World, intrusion: Option<Intrusion>, trouble: Option<Trouble>) {
        *self.play.lock() = Some(Play {
            world,
            is_own: false,
            intrusion,
            trouble,
            acting: Vec::new(),
            accesses: 0,
            commits: 0,
            written: 0,
            violations: Vec::new(),
        });
    }

    /// Takes everything off the stage.
    pub(crate) fn clear(&self) -> Play {
        self.play.lock().take().expect("a step is played")
    }

    /// Looks at, or changes, what is played.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Play) -> T) -> T {
        work(self.play.lock().as_mut().expect("a step is played"))
    }

    /// `act` begins.
    pub(crate) fn enter(&self, act: Act) {
        self.with(|play| play.acting.push(Acting { act, has_spoken: false }));
    }

    /// The act that began last is over.
    pub(crate) fn leave(&self) {
        let over = self.with(|play| play.acting.pop());
        assert!(over.is_some(), "nobody acted");
    }

    fn store(&self) -> Arc<MemoryStore> {
        self.with(|play| play.world.store.clone())
    }

    /// An access to the store: whoever is to come in between does so now.
    fn access(&self) -> Arc<MemoryStore> {
        let intruder = self.with(|play| {
            if play.acting.len() != 1 {
                return None;
            }
            let number = play.accesses;
            play.accesses += 1;
            play.intrusion.take_if(|(at, _)| *at == number).map(|(_, intruder)| intruder)
        });
        if let Some(intruder) = intruder {
            intruder();
        }
        self.store()
    }

    /// What goes wrong with this commit.
    fn fault(&self) -> Option<Fault> {
        self.with(|play| {
            if play.acting.len() != 1 {
                return None;
            }
            let number = play.commits;
            play.commits += 1;
            match play.trouble {
                Some(Trouble::Commit(at, fault)) if at == number => Some(fault),
                Some(_) | None => None,
            }
        })
    }

    /// Writes; into a copy of the store, unless it is one already.
    async fn write(&self, mut change: Change) -> Result<(), CommitError> {
        let store = self.with(|play| {
            if !std::mem::replace(&mut play.is_own, true) {
                play.world.store = Arc::new(MemoryStore::clone(&play.world.store));
            }
            play.world.store.clone()
        });
        let device = self.scene.device_number(&change.device.serial_number);
        let noted = Noted::of(&self.scene, &change);
        let compromised = compromised(&self.scene, &change);
        let (is_word, before) = self.with(|play| {
            let acting = play.acting.last().expect("somebody acts");
            let devices = &play.world.ghost.devices;
            let id_of = |cert: Cert| devices[cert.device].certs[cert.number].id;
            let is_word = acting.act.device() == Some(device)
                && !acting.has_spoken
                && is_word(acting.act, &change, id_of);
            let is_told = is_word || compromised.is_some();
            (is_word, is_told.then(|| View::of(&self.scene, &play.world)))
        });
        // The journal decides nothing, and would be copied with each world.
        change.events.clear();
        if let Some(sabotage) = self.sabotage {
            let act = self.with(|play| play.acting.last().expect("somebody acts").act);
            sabotage.spoil(act, &mut change, &store);
        }
        store.device_commit(change).await?;
        self.with(|play| {
            play.written += 1;
            let acting = play.acting.last_mut().expect("somebody acts");
            let act = acting.act;
            acting.has_spoken |= is_word;
            if let Some(before) = before {
                let ghost = &mut play.world.ghost;
                if let Some(key) = compromised {
                    ghost.compromise(&self.scene, key, &before);
                }
                if is_word {
                    ghost.spoken(&self.scene, act, &before);
                }
            }
            let now = play.world.now;
            let told = play.world.ghost.written(&self.scene, act, device, &noted, now);
            play.violations.extend(told);
        });
        Ok(())
    }
}

/// Whether this commit is the operator's word itself, and not what is swept before or after it.
fn is_word(act: Act, change: &Change, id_of: impl FnOnce(Cert) -> CertificateId) -> bool {
    let device = &change.device;
    match act {
        Act::Delete(_) => device.deleted_at.is_some(),
        Act::Disable(_) => device.disabled,
        Act::Enable(_) => !device.disabled,
        Act::NewToken(..) => device.tokens.len() > 1,
        Act::Revoke(cert, _) => {
            let id = id_of(cert);
            change.certificates.iter().any(|change| match change {
                CertificateChange::Move(moved, _) => {
                    moved.id == id && moved.state == CertificateState::Revoked
                }
                CertificateChange::Confirm(..) | CertificateChange::Insert(_) => false,
            })
        }
        Act::Confirm(_)
        | Act::Connect(_)
        | Act::Renew(..)
        | Act::Review(..)
        | Act::Sweep
        | Act::Vend { .. }
        | Act::Wait { .. } => false,
    }
}

/// The key that a commit calls compromised.
fn compromised(scene: &Scene, change: &Change) -> Option<usize> {
    change.keys.iter().find_map(|rule| match rule {
        KeyRule::Compromise(key) => Some(scene.key_number(key)),
        KeyRule::NotOthers(_) | KeyRule::Own(_) | KeyRule::ReleaseAll => None,
    })
}

fn unknown() -> CommitError {
    CommitError::Unavailable("told to be unknown".into())
}

#[async_trait]
impl Store for Stage {
    async fn device_find(&self, serial: &SerialNumber) -> Result<Option<Device>, StoreError> {
        let found = self.access().device_find(serial).await?;
        let act = self.with(|play| play.acting.last().map(|acting| acting.act));
        Ok(match (self.sabotage, act) {
            (Some(sabotage), Some(act)) => {
                found.map(|found| sabotage.mislead(&self.scene, found, act))
            }
            _ => found,
        })
    }

    async fn holding_find(&self, id: &CertificateId) -> Result<Option<Holding>, StoreError> {
        self.access().holding_find(id).await
    }

    async fn key_owner(&self, key: &KeyIdentity) -> Result<Option<KeyOwner>, StoreError> {
        self.access().key_owner(key).await
    }

    async fn token_is_spent(
        &self,
        serial: &SerialNumber,
        mac: &TokenMac,
    ) -> Result<bool, StoreError> {
        self.access().token_is_spent(serial, mac).await
    }

    async fn device_commit(&self, change: Change) -> Result<(), CommitError> {
        drop(self.access());
        let fault = self.fault();
        match fault {
            Some(Fault::CrashBefore) => return std::future::pending().await,
            Some(Fault::UnknownUnwritten) => return Err(unknown()),
            Some(Fault::CrashAfter | Fault::UnknownWritten) | None => {}
        }
        self.write(change).await?;
        match fault {
            Some(Fault::CrashAfter) => std::future::pending().await,
            Some(Fault::UnknownWritten) => Err(unknown()),
            Some(Fault::CrashBefore | Fault::UnknownUnwritten) | None => Ok(()),
        }
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.store().ready().await
    }

    async fn mark_raise(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.store().mark_raise(now).await
    }

    async fn mark_set(&self, now: Timestamp, event: Event) -> Result<(), StoreError> {
        self.store().mark_set(now, event).await
    }

    async fn mark_find(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store().mark_find().await
    }
}

#[async_trait]
impl Catalogue for Stage {
    async fn device_page(&self, page: &PageRequest) -> Result<Page<Device>, StoreError> {
        self.access().device_page(page).await
    }

    async fn device_page_where(
        &self,
        filter: DeviceFilter,
        page: &PageRequest,
    ) -> Result<Page<Device>, StoreError> {
        self.access().device_page_where(filter, page).await
    }

    async fn outlived_devices(
        &self,
        now: Timestamp,
        after: Option<&Due>,
    ) -> Result<Vec<Due>, StoreError> {
        self.access().outlived_devices(now, after).await
    }

    async fn certificate_page(
        &self,
        page: &PageRequest,
    ) -> Result<Page<CertificateRecord>, StoreError> {
        self.access().certificate_page(page).await
    }

    async fn certificates_of(
        &self,
        serial: &SerialNumber,
    ) -> Result<Vec<CertificateRecord>, StoreError> {
        self.access().certificates_of(serial).await
    }

    async fn claims_of(&self, key: &KeyIdentity) -> Result<Vec<SerialNumber>, StoreError> {
        self.access().claims_of(key).await
    }

    async fn due_devices(
        &self,
        now: Timestamp,
        after: Option<&Due>,
    ) -> Result<Vec<Due>, StoreError> {
        self.access().due_devices(now, after).await
    }

    async fn reviewed_device(&self, id: AttemptCode) -> Result<Option<SerialNumber>, StoreError> {
        self.access().reviewed_device(id).await
    }

    async fn review_page(&self, page: &PageRequest) -> Result<Page<Device>, StoreError> {
        self.access().review_page(page).await
    }
}
