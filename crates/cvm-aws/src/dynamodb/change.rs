//! A change as the items that one transaction writes, with a condition for each sentence that
//! `Store::device_commit` refuses by.
//!
//! Nearly always nothing is read before: the record's version stands for everything that only its
//! own device can change. What has to be known besides is read when DynamoDB says that it is so:
//! [`Known`].

mod certificates;

use std::collections::{BTreeMap, HashMap};

use cvm_core::device::Device;
use cvm_core::id::KeyIdentity;
use cvm_core::ports::{Change, KeyRule, ThingChange};

pub(super) use certificates::{Ended, Listed, ending};

use super::expression::Condition;
use super::failure::Failure;
use super::item::{attributes, number, text};
use super::key::Key;
use super::record;
use super::transact::{Action, Guard, Write};

/// What was read for a change, after DynamoDB refused it as it first was.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Certificates that come into a state that CRLs list.
    pub(super) ended: Ended,
    /// The device has another thing name than the change.
    pub(super) renamed: Option<Renamed>,
    /// Owners of keys who have released them.
    pub(super) released: HashMap<KeyIdentity, Released>,
}

/// The names of a device that takes another thing name.
#[derive(Clone, Debug)]
pub(super) struct Renamed {
    /// The name that its record has.
    pub(super) old_name: String,
    /// When the thing of the old name was made, where there is one.
    pub(super) old_thing_at: Option<i64>,
    /// When the device made a thing of the new name, where it left one behind.
    pub(super) left_thing_at: Option<i64>,
}

/// An owner of a key who has released it, as its item has it.
#[derive(Clone, Debug)]
pub(super) struct Released {
    pub(super) owner: String,
    pub(super) since: u64,
}

/// Everything that the change writes, but for its journal rows.
pub(super) fn writes_of(change: &Change, known: &Known) -> Result<Vec<Write>, Failure> {
    let device = &change.device;
    let mut writes = vec![device_write(change, known)?];
    writes.extend(name_writes(device, known));
    writes.extend(certificates::writes(change, &known.ended));
    writes.extend(key_writes(change, known));
    for mac in &change.spent_tokens {
        let key = Key::spent(&device.serial_number, mac);
        writes.push(Write::always(Action::Put(key.attributes())));
    }
    Ok(writes)
}

fn device_write(change: &Change, known: &Known) -> Result<Write, Failure> {
    let device = &change.device;
    let key = Key::device(&device.serial_number);
    let mut changes = record::device_changes(device)?;
    let left_thing_at = known.renamed.as_ref().and_then(|renamed| renamed.left_thing_at);
    match (&change.thing, left_thing_at) {
        (Some(ThingChange::Remove), _) => changes.remove.push("thing_at"),
        (_, Some(made_at)) => changes.set.push(("thing_at", number(made_at))),
        (Some(ThingChange::Put(thing)), None) if known.renamed.is_some() => {
            changes.set.push(("thing_at", number(thing.created_at.0)));
        }
        (Some(ThingChange::Put(thing)), None) => {
            changes.set_once.push(("thing_at", number(thing.created_at.0)));
        }
        (None, None) if known.renamed.is_some() => changes.remove.push("thing_at"),
        (None, None) => {}
    }
    if change.keys.iter().any(|rule| matches!(rule, KeyRule::ReleaseAll)) {
        changes.set.push(("released", number(device.version.saturating_add(1))));
    }
    let name = device.thing_name.as_str();
    let condition = if device.version == 0 {
        changes.set.push(("thing_name", text(name)));
        Condition::Absent
    } else {
        let stored = known.renamed.as_ref().map_or(name, |renamed| renamed.old_name.as_str());
        if known.renamed.is_some() {
            changes.set.push(("thing_name", text(name)));
        }
        let version = Condition::Is("version", number(device.version));
        Condition::All(vec![version, Condition::Is("thing_name", text(stored))])
    };
    Ok(Write::new(Guard::Moved, Action::Update(key, changes), condition))
}

/// A name is written where a device is new or takes another: one that has its name keeps it, and
/// nobody else can have made a thing of that name.
fn name_writes(device: &Device, known: &Known) -> Vec<Write> {
    let serial = device.serial_number.as_str();
    if device.version > 0 && known.renamed.is_none() {
        return Vec::new();
    }
    let key = Key::thing_name(&device.thing_name);
    let taken = Action::Put(attributes(&key, [("holder", text(serial))]));
    let left = Condition::Is("left_by", text(serial));
    let free = Condition::Any(vec![Condition::Absent, left]);
    let mut writes = vec![Write::new(Guard::Name, taken, free)];
    if let Some(renamed) = &known.renamed {
        let key = Key::thing_called(&renamed.old_name);
        let action = match renamed.old_thing_at {
            None => Action::Delete(key),
            Some(at) => {
                let left = [("left_by", text(serial)), ("left_at", number(at))];
                Action::Put(attributes(&key, left))
            }
        };
        writes.push(Write::new(Guard::Moved, action, Condition::Is("holder", text(serial))));
    }
    writes
}

/// What the change does to one key.
#[derive(Clone, Copy, Default)]
struct KeyWrite {
    must_not_be_others: bool,
    shall_be: Option<Owner>,
}

#[derive(Clone, Copy)]
enum Owner {
    Nobody,
    This,
}

/// Two rules may be about one key, and a transaction has each item once.
fn key_writes(change: &Change, known: &Known) -> Vec<Write> {
    let mut keys = BTreeMap::<KeyIdentity, KeyWrite>::new();
    for rule in &change.keys {
        match rule {
            KeyRule::Compromise(key) => {
                keys.entry(*key).or_default().shall_be = Some(Owner::Nobody);
            }
            KeyRule::NotOthers(key) => keys.entry(*key).or_default().must_not_be_others = true,
            KeyRule::Own(key) => {
                let write = keys.entry(*key).or_default();
                write.must_not_be_others = true;
                write.shall_be = write.shall_be.or(Some(Owner::This));
            }
            KeyRule::ReleaseAll => {}
        }
    }
    keys.into_iter().map(|(key, write)| key_write(change, known, (&key, write))).collect()
}

fn key_write(change: &Change, known: &Known, (key, write): (&KeyIdentity, KeyWrite)) -> Write {
    let serial = change.device.serial_number.as_str();
    let action = match write.shall_be {
        None => Action::Check(Key::key_owner(key)),
        Some(Owner::Nobody) => Action::Put(record::compromised_item(key)),
        Some(Owner::This) => {
            let since = change.device.version.saturating_add(1);
            Action::Put(record::owner_item(key, serial, since))
        }
    };
    if !write.must_not_be_others {
        return Write::always(action);
    }
    let mut free = vec![Condition::Absent, Condition::Is("owner", text(serial))];
    if let Some(released) = known.released.get(key) {
        free.push(Condition::All(vec![
            Condition::Is("owner", text(&released.owner)),
            Condition::Is("since", number(released.since)),
        ]));
    }
    Write::new(Guard::Key(*key), action, Condition::Any(free))
}
