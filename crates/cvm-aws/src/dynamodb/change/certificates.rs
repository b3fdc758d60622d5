//! What a change writes of certificates: each row once, and, where CRLs list it from now on, its
//! entry in its shard's list and the shard's counter.

use std::collections::{BTreeMap, HashMap};

use cvm_core::certificate::{CertificateRecord, CertificateState, IssuerId, Reason, shard_of};
use cvm_core::id::CertificateId;
use cvm_core::ports::{CertificateChange, Change};
use cvm_core::time::Timestamp;

use super::super::expression::{Changes, Condition};
use super::super::item::{attributes, bytes, number, text};
use super::super::key::{Index, Key};
use super::super::record;
use super::super::transact::{Action, Guard, Write};

/// What never changes of certificates that come into a state that CRLs list.
pub(in super::super) type Ended = HashMap<CertificateId, Listed>;

/// What a list of revoked certificates needs of one.
#[derive(Clone, Debug)]
pub(in super::super) struct Listed {
    pub(in super::super) issuer: IssuerId,
    pub(in super::super) certificate_serial: Vec<u8>,
    pub(in super::super) not_after: Timestamp,
}

impl Listed {
    fn of(row: &CertificateRecord) -> Self {
        let certificate_serial = row.certificate_serial.clone();
        Self { issuer: row.issuer, certificate_serial, not_after: row.not_after }
    }

    fn shard(&self) -> (IssuerId, u8) {
        (self.issuer, shard_of(&self.certificate_serial))
    }
}

/// What became of one certificate in a change, all told.
#[derive(Default)]
struct Fate<'a> {
    inserted: Option<&'a CertificateRecord>,
    confirmed_at: Option<Timestamp>,
    state: Option<CertificateState>,
    /// When and why it ended, by the last word on that.
    end: Option<(Option<Timestamp>, Option<Reason>)>,
    /// How often it came into a state that CRLs list.
    counted: u64,
    /// It is inserted twice, which no caller does.
    is_double: bool,
}

/// The certificates that an insert is not the first word on, and that CRLs list afterwards.
pub(in super::super) fn ending(change: &Change) -> Vec<CertificateId> {
    let fates = fates(change);
    let ending = fates.into_iter().filter(|(_, fate)| fate.counted > 0 && fate.inserted.is_none());
    ending.map(|(id, _)| id).collect()
}

fn fates(change: &Change) -> BTreeMap<CertificateId, Fate<'_>> {
    let mut fates = BTreeMap::<CertificateId, Fate<'_>>::new();
    for certificate in &change.certificates {
        match certificate {
            CertificateChange::Confirm(id, at) => {
                let fate = fates.entry(*id).or_default();
                fate.state = Some(CertificateState::Current);
                fate.confirmed_at = Some(*at);
            }
            CertificateChange::Insert(row) => {
                let fate = fates.entry(row.id).or_default();
                fate.is_double = fate.inserted.is_some();
                fate.inserted = Some(row);
                fate.counted += u64::from(row.state.is_listed());
            }
            CertificateChange::Move(moved, at) => {
                let fate = fates.entry(moved.id).or_default();
                let is_listed = moved.state.is_listed();
                fate.state = Some(moved.state);
                fate.end = Some((Some(*at).filter(|_| is_listed), moved.reason));
                fate.counted += u64::from(is_listed);
            }
        }
    }
    fates
}

pub(super) fn writes(change: &Change, ended: &Ended) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut counters = BTreeMap::<(IssuerId, u8), u64>::new();
    for (id, fate) in fates(change) {
        writes.push(row_write(change, &id, &fate));
        let listed = fate.inserted.map(Listed::of).or_else(|| ended.get(&id).cloned());
        // What has no row is refused by the row's own condition.
        if let Some(listed) = listed.filter(|_| fate.counted > 0) {
            *counters.entry(listed.shard()).or_default() += fate.counted;
            writes.extend(entry_write(&id, &fate, &listed));
        }
    }
    writes.extend(counters.into_iter().map(|((issuer, shard), count)| {
        let add = vec![("changes", number(count))];
        // The place is the item's own, but what lists shards need not take keys apart.
        let set = vec![("issuer", bytes(issuer.0)), ("shard", number(shard))];
        let changes = Changes { add, set, ..Changes::default() };
        Write::always(Action::Update(Key::shard(&issuer, shard), changes))
    }));
    writes
}

fn row_write(change: &Change, id: &CertificateId, fate: &Fate<'_>) -> Write {
    if let Some(inserted) = fate.inserted.filter(|_| !fate.is_double) {
        let mut row = inserted.clone();
        row.state = fate.state.unwrap_or(row.state);
        row.confirmed_at = fate.confirmed_at.or(row.confirmed_at);
        (row.ended_at, row.reason) = fate.end.unwrap_or((row.ended_at, row.reason));
        let put = Action::Put(record::certificate_item(&row));
        return Write::new(Guard::Certificate, put, Condition::Absent);
    }
    let mut changes = Changes::default();
    if let Some(state) = fate.state {
        changes.set.push(("state", text(state.as_str())));
        if !state.is_live() {
            changes.remove.extend([Index::Placed.pk(), Index::Placed.sk()]);
        }
    }
    if let Some(at) = fate.confirmed_at {
        changes.set.push(("confirmed_at", number(at.0)));
    }
    if let Some((ended_at, reason)) = fate.end {
        match ended_at {
            None => changes.remove.push("ended_at"),
            Some(at) => changes.set.push(("ended_at", number(at.0))),
        }
        match reason {
            None => changes.remove.push("reason"),
            Some(reason) => changes.set.push(("reason", text(reason.as_str()))),
        }
    }
    let is_own = Condition::Is("serial_number", text(change.device.serial_number.as_str()));
    let condition =
        if fate.is_double { Condition::All(vec![Condition::Absent, is_own]) } else { is_own };
    Write::new(Guard::Certificate, Action::Update(Key::certificate(id), changes), condition)
}

/// The entry in the shard's list; nothing where what ended is live again, or has expired.
fn entry_write(id: &CertificateId, fate: &Fate<'_>, listed: &Listed) -> Option<Write> {
    let state = fate.state.or_else(|| fate.inserted.map(|row| row.state));
    let state = state.filter(|state| state.is_listed())?;
    let inserted = fate.inserted.map(|row| (row.ended_at, row.reason));
    let (ended_at, reason) = fate.end.or(inserted).unwrap_or_default();
    let (issuer, shard) = listed.shard();
    let key = Key::revoked((&issuer, shard), listed.not_after, id);
    let serial = bytes(listed.certificate_serial.clone());
    let mut item =
        attributes(&key, [("certificate_serial", serial), ("state", text(state.as_str()))]);
    if let Some(at) = ended_at {
        item.insert(String::from("ended_at"), number(at.0));
    }
    if let Some(reason) = reason {
        item.insert(String::from("reason"), text(reason.as_str()));
    }
    Some(Write::always(Action::Put(item)))
}
