//! The statements that write. Each function first looks at all conditions and then writes, so that
//! what is refused has written nothing; an error of the driver leaves the outcome to the caller.
//!
//! A vend is six statements: two that look, then device, certificate, thing and journal; ending
//! another certificate adds three.

use cvm_core::certificate::{CertificateState, shard_of};
use cvm_core::device::{Device, Review};
use cvm_core::id::CertificateId;
use cvm_core::policy::Policy;
use cvm_core::ports::{CertificateChange, Change, CommitError, Thing, ThingChange};
use cvm_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::numbers::Numbers;
use super::{keys, revocations};
use crate::conditions::{self, Found, Holder};

type Written = Result<(), CommitError>;

/// The stored form of a device's record is JSON in this format.
pub(super) const RECORD_FORMAT: i64 = 1;

const MARK: &str = "mark";

/// Writes a change, or says why not.
pub(super) fn change(
    connection: &Connection,
    numbers: &mut Numbers,
    change: &Change,
    record: &str,
) -> Result<Written, rusqlite::Error> {
    let (found, is_renamed) = look(connection, change)?;
    if let Some(refusal) = conditions::refusal(change, &found) {
        return Ok(Err(refusal));
    }
    let holder_of = |id: &CertificateId| certificate_holder(connection, change, id);
    if let Some(refusal) = conditions::certificate_refusal(change, holder_of)? {
        return Ok(Err(refusal));
    }

    write_device(connection, &change.device, record, is_renamed)?;
    for certificate in &change.certificates {
        write_certificate(connection, certificate)?;
    }
    for rule in &change.keys {
        keys::write(connection, rule, &change.device.serial_number)?;
    }
    match &change.thing {
        Some(ThingChange::Put(thing)) if found.thing == Holder::Nobody => {
            write_thing(connection, thing)?;
        }
        Some(ThingChange::Remove) => remove_thing(connection, &change.device)?,
        Some(ThingChange::Put(_)) | None => {}
    }
    for mac in &change.spent_tokens {
        keys::spend(connection, &change.device.serial_number, mac)?;
    }
    for event in &change.events {
        numbers.record(connection, event)?;
    }
    Ok(Ok(()))
}

/// What is stored of what the change names, and whether the device has another thing name.
fn look(connection: &Connection, change: &Change) -> Result<(Found, bool), rusqlite::Error> {
    let device = &change.device;
    let serial = &device.serial_number;
    let mut select = connection.prepare_cached(
        "SELECT (SELECT version FROM device WHERE serial_number = ?1), \
         (SELECT serial_number FROM device WHERE thing_name = ?2), \
         (SELECT serial_number FROM thing WHERE name = ?2), \
         EXISTS (SELECT 1 FROM key_owner WHERE key IN (?3, ?4) AND serial_number <> ?1)",
    )?;
    let mut keys = conditions::keys_of(change).map(|key| key.0);
    let names = params![serial.as_str(), device.thing_name.as_str(), keys.next(), keys.next(),];
    let holder = |row: &Row<'_>, column: usize| {
        Ok::<_, rusqlite::Error>(Holder::of(row.get_ref(column)?.as_str_or_null()?, serial))
    };
    select.query_row(names, |row| {
        let version = row.get::<_, Option<i64>>(0)?.unwrap_or(0).cast_unsigned();
        let found = Found {
            version,
            thing_name: holder(row, 1)?,
            thing: holder(row, 2)?,
            is_key_taken: row.get(3)?,
        };
        Ok((found, version > 0 && found.thing_name == Holder::Nobody))
    })
}

fn certificate_holder(
    connection: &Connection,
    change: &Change,
    id: &CertificateId,
) -> Result<Holder, rusqlite::Error> {
    let serial = &change.device.serial_number;
    let mut select =
        connection.prepare_cached("SELECT serial_number FROM certificate WHERE id = ?1")?;
    let holder = select
        .query_row([id.0], |row| Ok(Holder::of(row.get_ref(0)?.as_str_or_null()?, serial)))
        .optional()?;
    Ok(holder.unwrap_or(Holder::Nobody))
}

fn write_device(
    connection: &Connection,
    device: &Device,
    record: &str,
    is_renamed: bool,
) -> Result<(), rusqlite::Error> {
    let serial = device.serial_number.as_str();
    let version = (device.version + 1).cast_signed();
    let state = device.state().as_str();
    let due_at = device.due_at().map(|due| due.0);
    let review = device.review.as_ref().map(|review| review.id.to_string());
    let open_review =
        review.as_ref().filter(|_| device.review.as_ref().is_some_and(Review::is_open));
    if device.version == 0 {
        let mut insert = connection.prepare_cached(
            "INSERT INTO device (serial_number, version, thing_name, state, disabled, created_at, \
             due_at, review, open_review, format, record) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        insert.execute(params![
            serial,
            version,
            device.thing_name.as_str(),
            state,
            device.disabled,
            device.created_at.0,
            due_at,
            review,
            open_review,
            RECORD_FORMAT,
            record,
        ])?;
        return Ok(());
    }
    let mut update = connection.prepare_cached(
        "UPDATE device SET version = ?2, state = ?3, disabled = ?4, due_at = ?5, review = ?6, \
         open_review = ?7, format = ?8, record = ?9 WHERE serial_number = ?1",
    )?;
    update.execute(params![
        serial,
        version,
        state,
        device.disabled,
        due_at,
        review,
        open_review,
        RECORD_FORMAT,
        record
    ])?;
    // Apart, because it would touch the name's index each time.
    if is_renamed {
        let mut rename = connection
            .prepare_cached("UPDATE device SET thing_name = ?2 WHERE serial_number = ?1")?;
        rename.execute(params![serial, device.thing_name.as_str()])?;
    }
    Ok(())
}

fn write_certificate(
    connection: &Connection,
    change: &CertificateChange,
) -> Result<(), rusqlite::Error> {
    match change {
        CertificateChange::Confirm(id, at) => {
            let mut update = connection.prepare_cached(
                "UPDATE certificate SET state = ?2, confirmed_at = ?3 WHERE id = ?1",
            )?;
            update.execute(params![id.0, CertificateState::Current.as_str(), at.0])?;
        }
        CertificateChange::Move(moved, at) => {
            let mut update = connection.prepare_cached(
                "UPDATE certificate SET state = ?2, ended_at = ?3, reason = ?4 WHERE id = ?1",
            )?;
            // Its notAfter says when it expired.
            let ended_at = Some(at.0).filter(|_| moved.state.is_listed());
            let reason = moved.reason.map(|reason| reason.as_str());
            update.execute(params![moved.id.0, moved.state.as_str(), ended_at, reason])?;
            if moved.state.is_listed() {
                revocations::count(connection, &moved.id)?;
            }
        }
        CertificateChange::Insert(row) => {
            let mut insert = connection.prepare_cached(
                "INSERT INTO certificate (id, certificate_serial, serial_number, thing_name, \
                 policy, key, state, origin, token, issuer, issued_at, not_before, not_after, \
                 confirmed_at, ended_at, reason, attempt, der, shard) VALUES (?1, ?2, ?3, ?4, ?5, \
                 ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
            )?;
            insert.execute(params![
                row.id.0,
                row.certificate_serial,
                row.serial_number.as_str(),
                row.thing_name.as_str(),
                row.policy.as_str(),
                row.key.0,
                row.state.as_str(),
                row.origin.as_str(),
                row.token,
                row.issuer.0,
                row.issued_at.0,
                row.not_before.0,
                row.not_after.0,
                row.confirmed_at.map(|at| at.0),
                row.ended_at.map(|at| at.0),
                row.reason.map(|reason| reason.as_str()),
                row.attempt.to_string(),
                row.der,
                shard_of(&row.certificate_serial),
            ])?;
            if row.state.is_listed() {
                revocations::count(connection, &row.id)?;
            }
        }
    }
    Ok(())
}

fn write_thing(connection: &Connection, thing: &Thing) -> Result<(), rusqlite::Error> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO thing (name, serial_number, created_at) VALUES (?1, ?2, ?3)",
    )?;
    insert.execute(params![
        thing.name.as_str(),
        thing.serial_number.as_str(),
        thing.created_at.0
    ])?;
    Ok(())
}

fn remove_thing(connection: &Connection, device: &Device) -> Result<(), rusqlite::Error> {
    let mut delete =
        connection.prepare_cached("DELETE FROM thing WHERE name = ?1 AND serial_number = ?2")?;
    delete.execute(params![device.thing_name.as_str(), device.serial_number.as_str()])?;
    Ok(())
}

/// Puts a policy in place of what had its name.
pub(super) fn policy(connection: &Connection, policy: &Policy) -> Result<(), rusqlite::Error> {
    let mut put = connection.prepare_cached(
        "INSERT INTO policy (name, document, updated_at) VALUES (?1, ?2, ?3) \
         ON CONFLICT (name) DO UPDATE SET document = ?2, updated_at = ?3",
    )?;
    put.execute(params![policy.name.as_str(), policy.document, policy.updated_at.0])?;
    Ok(())
}

/// Raises the mark to `now` where it is earlier, and returns what it was.
pub(super) fn mark(
    connection: &Connection,
    now: Timestamp,
) -> Result<Option<Timestamp>, rusqlite::Error> {
    let before = mark_find(connection)?;
    if before < Some(now) {
        mark_set(connection, now)?;
    }
    Ok(before)
}

/// Sets the mark to `now`, whatever it was.
pub(super) fn mark_set(connection: &Connection, now: Timestamp) -> Result<(), rusqlite::Error> {
    let mut put = connection.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) \
         ON CONFLICT (key) DO UPDATE SET value = ?2",
    )?;
    put.execute(params![MARK, now.0])?;
    Ok(())
}

/// The mark.
pub(super) fn mark_find(connection: &Connection) -> Result<Option<Timestamp>, rusqlite::Error> {
    let mut select = connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    select.query_row([MARK], |row| row.get(0).map(Timestamp)).optional()
}

/// Counts a recovery: a write that shows whether there can be any.
pub(super) fn recovery(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('recoveries', 1) \
         ON CONFLICT (key) DO UPDATE SET value = value + 1",
        [],
    )?;
    Ok(())
}
