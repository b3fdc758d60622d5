//! The statements that write. Each function first looks at all conditions and then writes, so that
//! what is refused has written nothing; an error of the driver leaves the outcome to the caller.
//!
//! A vend is six statements: three that look, then certificate, device and journal; ending another
//! certificate adds three. Of the trees it changes three anywhere (devices, and the indexes of
//! certificates and of live keys) and two at their end.

mod device;

use cvm_core::certificate::{CertificateState, shard_of};
use cvm_core::id::CertificateId;
use cvm_core::policy::Policy;
use cvm_core::ports::{CertificateChange, Change, CommitError};
use cvm_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use self::device::Stored;
use super::numbers::Numbers;
use super::{keys, revocations};
use crate::conditions::{self, Holder};

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
    let (found, mut stored) = device::look(connection, change)?;
    if let Some(refusal) = conditions::refusal(change, &found) {
        return Ok(Err(refusal));
    }
    let holder_of = |id: &CertificateId| certificate_holder(connection, change, id);
    if let Some(refusal) = conditions::certificate_refusal(change, holder_of)? {
        return Ok(Err(refusal));
    }

    for certificate in &change.certificates {
        write_certificate(connection, certificate, &mut stored)?;
    }
    stored.thing_at = device::write_thing(connection, change, (&stored, found.thing))?;
    device::write(connection, &change.device, record, &stored)?;
    for rule in &change.keys {
        keys::write(connection, rule, &change.device.serial_number)?;
    }
    for mac in &change.spent_tokens {
        keys::spend(connection, &change.device.serial_number, mac)?;
    }
    for event in &change.events {
        numbers.record(connection, event)?;
    }
    Ok(Ok(()))
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

/// Writes what happens to a certificate; a new one is the device's newest then.
fn write_certificate(
    connection: &Connection,
    change: &CertificateChange,
    stored: &mut Stored,
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
                 confirmed_at, ended_at, reason, attempt, der, shard, before) VALUES (?1, ?2, ?3, \
                 ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
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
                stored.newest_certificate,
            ])?;
            stored.newest_certificate = Some(connection.last_insert_rowid());
            if row.state.is_listed() {
                revocations::count(connection, &row.id)?;
            }
        }
    }
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
