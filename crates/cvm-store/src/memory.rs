//! The reference implementation: everything in memory behind one lock, nothing durable.
//!
//! It is correct, not a mock: the same checks in the same order as every other store, the same
//! numbering of the journal. For tests and for the tests of others.

mod attempts;
mod catalogue;
mod nonces;
mod operators;
mod policies;
mod revocations;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use cvm_core::certificate::{CertificateRecord, CertificateState};
use cvm_core::device::Device;
use cvm_core::id::{CertificateId, KeyIdentity, Name, SerialNumber, ThingName, TokenMac};
use cvm_core::journal::{Event, JournalRow};
use cvm_core::operator::AdminToken;
use cvm_core::page::{Page, PageRequest};
use cvm_core::policy::Policy;
use cvm_core::ports::{
    CertificateChange, Change, CommitError, Holding, Journal, KeyOwner, KeyRule, Store, StoreError,
    Thing, ThingChange,
};
use cvm_core::time::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use self::attempts::Attempted;
use self::revocations::Shards;
use crate::conditions::{self, Found, Holder};
use crate::page;

/// The writer of every row of a journal in memory: each store is a world of its own.
const WRITER: u64 = 1;

/// A store in memory.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    attempted: Mutex<Attempted>,
    is_down: AtomicBool,
}

#[derive(Clone, Default)]
struct State {
    devices: BTreeMap<SerialNumber, Device>,
    serial_by_thing_name: HashMap<ThingName, SerialNumber>,
    certificates: BTreeMap<CertificateId, CertificateRecord>,
    certificates_by_serial: HashMap<SerialNumber, Vec<CertificateId>>,
    key_owners: HashMap<KeyIdentity, KeyOwner>,
    spent_tokens: BTreeSet<(SerialNumber, [u8; 32])>,
    things: BTreeMap<ThingName, Thing>,
    policies: BTreeMap<Name, Policy>,
    admin_tokens: BTreeMap<String, AdminToken>,
    used_nonces: nonces::Used,
    journal: Vec<JournalRow>,
    mark: Option<Timestamp>,
    shards: Shards,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on everything is refused as unavailable, until [`MemoryStore::recover`].
    pub fn fail(&self) {
        self.is_down.store(true, Ordering::SeqCst);
    }

    /// Ends what [`MemoryStore::fail`] began.
    pub fn recover(&self) {
        self.is_down.store(false, Ordering::SeqCst);
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        self.check_up().map_err(|reason| StoreError::Unavailable(reason.into()))?;
        Ok(self.state.lock())
    }

    fn check_up(&self) -> Result<(), &'static str> {
        if self.is_down.load(Ordering::SeqCst) { Err("told to fail") } else { Ok(()) }
    }
}

/// Another world, which is as this one is now and shares nothing with it.
impl Clone for MemoryStore {
    fn clone(&self) -> Self {
        Self {
            state: Mutex::new(self.state.lock().clone()),
            attempted: Mutex::new(self.attempted.lock().clone()),
            is_down: AtomicBool::new(self.is_down.load(Ordering::SeqCst)),
        }
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryStore")
    }
}

impl State {
    /// All conditions, before anything is written.
    fn check(&self, change: &Change) -> Result<(), CommitError> {
        let serial = &change.device.serial_number;
        let holder = |serial_found: Option<&SerialNumber>| {
            Holder::of(serial_found.map(SerialNumber::as_str), serial)
        };
        let thing = self.things.get(&change.device.thing_name);
        let is_anothers =
            |key: &KeyIdentity| self.key_owners.get(key).is_some_and(|owner| !owner.is(serial));
        let found = Found {
            version: self.devices.get(serial).map_or(0, |stored| stored.version),
            thing_name: holder(self.serial_by_thing_name.get(&change.device.thing_name)),
            thing: holder(thing.map(|thing| &thing.serial_number)),
            is_key_taken: conditions::keys_of(change).any(is_anothers),
        };
        if let Some(refusal) = conditions::refusal(change, &found) {
            return Err(refusal);
        }
        let holder_of = |id: &CertificateId| {
            Ok::<_, CommitError>(holder(self.certificates.get(id).map(|row| &row.serial_number)))
        };
        conditions::certificate_refusal(change, holder_of)?.map_or(Ok(()), Err)
    }

    /// All writes of a change that was checked.
    fn write(&mut self, change: Change) {
        let Change { mut device, certificates, keys, thing, spent_tokens, events } = change;
        let serial = device.serial_number.clone();
        device.version += 1;
        for certificate in certificates {
            self.write_certificate(certificate);
        }
        for rule in keys {
            self.write_key(rule, &serial);
        }
        match thing {
            Some(ThingChange::Put(thing)) => {
                self.things.entry(thing.name.clone()).or_insert(thing);
            }
            Some(ThingChange::Remove) => {
                self.things.remove(&device.thing_name);
            }
            None => {}
        }
        self.spent_tokens.extend(spent_tokens.into_iter().map(|mac| (serial.clone(), mac.0)));
        if let Some(old) = self.devices.get(&serial)
            && old.thing_name != device.thing_name
        {
            self.serial_by_thing_name.remove(&old.thing_name);
        }
        self.serial_by_thing_name.insert(device.thing_name.clone(), serial.clone());
        self.devices.insert(serial, device);
        for event in events {
            self.record(event);
        }
    }

    fn write_key(&mut self, rule: KeyRule, serial: &SerialNumber) {
        match rule {
            KeyRule::Compromise(key) => {
                self.key_owners.insert(key, KeyOwner::Compromised);
            }
            KeyRule::NotOthers(_) => {}
            KeyRule::Own(key) => {
                let owner = || KeyOwner::Device(serial.clone());
                self.key_owners.entry(key).or_insert_with(owner);
            }
            KeyRule::ReleaseAll => self.key_owners.retain(|_, owner| !owner.is(serial)),
        }
    }

    fn write_certificate(&mut self, change: CertificateChange) {
        match change {
            CertificateChange::Confirm(id, at) => {
                if let Some(row) = self.certificates.get_mut(&id) {
                    row.state = CertificateState::Current;
                    row.confirmed_at = Some(at);
                }
            }
            CertificateChange::Move(moved, at) => {
                if let Some(row) = self.certificates.get_mut(&moved.id) {
                    row.state = moved.state;
                    row.ended_at = Some(at).filter(|_| moved.state.is_listed());
                    row.reason = moved.reason;
                    self.shards.count(row);
                }
            }
            CertificateChange::Insert(row) => {
                let ids = self.certificates_by_serial.entry(row.serial_number.clone());
                ids.or_default().push(row.id);
                self.shards.count(&row);
                self.certificates.insert(row.id, *row);
            }
        }
    }

    fn record(&mut self, event: Event) {
        let number = u64::try_from(self.journal.len()).unwrap_or(u64::MAX) + 1;
        self.journal.push(JournalRow {
            writer: WRITER,
            number,
            at: event.at,
            class: event.class.as_str().to_owned(),
            kind: event.kind.as_str().to_owned(),
            serial_number: event
                .serial_number
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            certificate: event.certificate,
            attempt: event.attempt,
            actor: event.actor.to_string(),
            detail: event.detail,
        });
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn device_find(&self, serial: &SerialNumber) -> Result<Option<Device>, StoreError> {
        Ok(self.state()?.devices.get(serial).cloned())
    }

    async fn holding_find(&self, id: &CertificateId) -> Result<Option<Holding>, StoreError> {
        let state = self.state()?;
        let Some(certificate) = state.certificates.get(id).cloned() else { return Ok(None) };
        let Some(device) = state.devices.get(&certificate.serial_number).cloned() else {
            return Err(StoreError::Corrupt(format!("certificate {id} has no device")));
        };
        let key_owner = state.key_owners.get(&certificate.key).cloned();
        Ok(Some(Holding { certificate, device, key_owner }))
    }

    async fn key_owner(&self, key: &KeyIdentity) -> Result<Option<KeyOwner>, StoreError> {
        Ok(self.state()?.key_owners.get(key).cloned())
    }

    async fn token_is_spent(
        &self,
        serial: &SerialNumber,
        mac: &TokenMac,
    ) -> Result<bool, StoreError> {
        Ok(self.state()?.spent_tokens.contains(&(serial.clone(), mac.0)))
    }

    async fn device_commit(&self, change: Change) -> Result<(), CommitError> {
        self.check_up().map_err(|reason| CommitError::Unavailable(reason.into()))?;
        let mut state = self.state.lock();
        state.check(&change)?;
        state.write(change);
        Ok(())
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.state().map(drop)
    }

    async fn mark_raise(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let mut state = self.state()?;
        let before = state.mark;
        state.mark = before.max(Some(now));
        Ok(before)
    }

    async fn mark_set(&self, now: Timestamp, event: Event) -> Result<(), StoreError> {
        let mut state = self.state()?;
        state.mark = Some(now);
        state.record(event);
        Ok(())
    }

    async fn mark_find(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.state()?.mark)
    }
}

/// The page of `map` that is asked for, where `after` is what was parsed of the request's key.
fn page_of<K: Ord, V: Clone>(
    map: &BTreeMap<K, V>,
    request: &PageRequest,
    is_after: impl Fn(&K) -> bool,
    key_of: impl Fn(&V) -> String,
) -> Page<V> {
    let limit = page::limit_of(request);
    let rows = map.iter().filter(|(key, _)| is_after(key)).map(|(_, value)| value.clone());
    page::cut(rows.take(limit + 1).collect(), limit, key_of)
}

#[async_trait]
impl Journal for MemoryStore {
    async fn event_record(&self, event: Event) -> Result<(), StoreError> {
        self.state()?.record(event);
        Ok(())
    }

    async fn journal_page(&self, request: &PageRequest) -> Result<Page<JournalRow>, StoreError> {
        let after = match request.after.as_deref().map(page::journal_key_parse) {
            None => (0, 0),
            Some(Some(key)) => key,
            Some(None) => return Ok(page::empty()),
        };
        let state = self.state()?;
        let limit = page::limit_of(request);
        let rows = state.journal.iter().filter(|row| (row.writer, row.number) > after);
        Ok(page::cut(rows.take(limit + 1).cloned().collect(), limit, page::journal_key))
    }
}
