//! The statements that write whose keys are, and which tokens are burnt for ever.

use cvm_core::id::{SerialNumber, TokenMac};
use cvm_core::ports::KeyRule;
use rusqlite::{Connection, params};

use super::text::COMPROMISED;

/// Writes what a rule makes hold.
pub(super) fn write(
    connection: &Connection,
    rule: &KeyRule,
    serial: &SerialNumber,
) -> Result<(), rusqlite::Error> {
    match rule {
        KeyRule::Compromise(key) => {
            let mut put = connection.prepare_cached(
                "INSERT INTO key_owner (key, serial_number) VALUES (?1, ?2) \
                 ON CONFLICT (key) DO UPDATE SET serial_number = ?2",
            )?;
            put.execute(params![key.0, COMPROMISED])?;
        }
        KeyRule::NotOthers(_) => {}
        KeyRule::Own(key) => {
            let mut put = connection.prepare_cached(
                "INSERT INTO key_owner (key, serial_number) VALUES (?1, ?2) \
                 ON CONFLICT (key) DO NOTHING",
            )?;
            put.execute(params![key.0, serial.as_str()])?;
        }
        KeyRule::ReleaseAll => {
            let mut delete =
                connection.prepare_cached("DELETE FROM key_owner WHERE serial_number = ?1")?;
            delete.execute([serial.as_str()])?;
        }
    }
    Ok(())
}

/// Remembers a token that has no slot in its device's record any more.
pub(super) fn spend(
    connection: &Connection,
    serial: &SerialNumber,
    mac: &TokenMac,
) -> Result<(), rusqlite::Error> {
    let mut put = connection.prepare_cached(
        "INSERT INTO spent_token (serial_number, mac) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    put.execute(params![serial.as_str(), mac.0])?;
    Ok(())
}
