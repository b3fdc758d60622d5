//! The statements behind the filters of the list of devices. One writer needs no shards: a list is
//! one range of one index, or, of registered devices, the parts of the table that have some.

use cvm_core::device::{Device, DeviceFilter, DeviceState, Place};
use cvm_core::ports::Due;
use cvm_core::time::Timestamp;
use rusqlite::Connection;

use super::{Read, SWEPT_MAX, device_row, many, one, str_of};
use crate::sqlite::text;

const DISABLED: &str = concat!(
    "SELECT ",
    device_columns!(),
    " FROM device AS d WHERE d.disabled = 1 AND d.serial_number > ?1 \
     ORDER BY d.serial_number LIMIT ?2"
);

const LISTED: &str = concat!(
    "SELECT ",
    device_columns!(),
    " FROM device AS d WHERE d.state = ?1 AND d.listed_at IS NOT NULL \
     AND (d.listed_at, d.serial_number) > (?2, ?3) \
     AND d.listed_at <= ?4 ORDER BY d.listed_at, d.serial_number LIMIT ?5"
);

/// In the order of their rows, which is the order in which they were registered.
const REGISTERED: &str = concat!(
    "SELECT ",
    device_columns!(),
    " FROM registered AS r CROSS JOIN device AS d \
     ON d.rowid BETWEEN max(r.part * 256, ?1 + 1) AND r.part * 256 + 255 \
     WHERE r.part >= ?1 / 256 AND r.devices > 0 AND d.state = 'registered' \
     ORDER BY r.part, d.rowid LIMIT ?2"
);

/// Each half ends by itself, so that neither is read further than the limit.
const OUTLIVED: &str = "SELECT * FROM (\
     SELECT listed_at, serial_number FROM device WHERE state = 'active' \
     AND listed_at IS NOT NULL AND (listed_at, serial_number) > (?2, ?3) AND listed_at < ?1 \
     ORDER BY listed_at, serial_number LIMIT ?4) \
     UNION ALL SELECT * FROM (\
     SELECT listed_at, serial_number FROM device WHERE state = 'issued' \
     AND listed_at IS NOT NULL AND (listed_at, serial_number) > (?2, ?3) AND listed_at < ?1 \
     ORDER BY listed_at, serial_number LIMIT ?4) \
     ORDER BY 1, 2 LIMIT ?4";

/// The devices that the filter has, those after `after` only.
pub(in crate::sqlite) fn devices_where(
    connection: &Connection,
    filter: DeviceFilter,
    after: Option<&Place>,
    limit: i64,
) -> Read<Vec<Device>> {
    let serial = after.map_or("", |place| place.serial_number.as_str());
    let at = after.map_or(i64::MIN, |place| place.at.0);
    let (state, start, last) = match filter {
        DeviceFilter::Disabled => {
            return many(connection, DISABLED, (serial, limit), |row| device_row(row, 0));
        }
        DeviceFilter::State(DeviceState::Registered) => {
            let Some(row) = row_of(connection, after)? else { return Ok(Vec::new()) };
            return many(connection, REGISTERED, (row, limit), |row| device_row(row, 0));
        }
        // No serial number sorts before the empty one.
        DeviceFilter::Expiring { from, until } => {
            (DeviceState::Active, (at, serial).max((from.0, "")), until.0)
        }
        DeviceFilter::State(state) => (state, (at, serial), i64::MAX),
    };
    let key = (state.as_str(), start.0, start.1, last, limit);
    many(connection, LISTED, key, |row| device_row(row, 0))
}

/// The row of the device that stands there; the one before all where nobody is named.
fn row_of(connection: &Connection, place: Option<&Place>) -> Read<Option<i64>> {
    let Some(place) = place else { return Ok(Some(0)) };
    let sql = "SELECT rowid FROM device WHERE serial_number = ?1";
    one(connection, sql, [place.serial_number.as_str()], |row| Ok(row.get(0)?))
}

/// Issued and active ones whose certificate expired before `now`.
pub(in crate::sqlite) fn outlived(
    connection: &Connection,
    now: Timestamp,
    after: Option<&Due>,
) -> Read<Vec<Due>> {
    let (at, serial) = after.map_or((i64::MIN, ""), |it| (it.at.0, it.serial_number.as_str()));
    many(connection, OUTLIVED, (now.0, at, serial, SWEPT_MAX), |row| {
        let serial_number = text::id(str_of(row, 1)?, "a device")?;
        Ok(Due { at: Timestamp(row.get(0)?), serial_number })
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::params;

    use super::*;
    use crate::sqlite::database::REGISTRY;

    /// The steps of a statement's plan.
    fn plan(sql: &str, key: impl rusqlite::Params) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let connection = REGISTRY.open(&directory.path().join("cvm.db")).unwrap();
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        explain.query_map(key, |row| row.get(3)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_list_is_one_range_of_an_index_and_is_not_sorted() {
        let search = "SEARCH d USING INDEX device_disabled (serial_number>?)";
        assert_eq!(plan(DISABLED, params!["", 1]), [search]);
        let search = "SEARCH d USING INDEX device_listed \
                      (state=? AND (listed_at,serial_number)>(?,?) AND listed_at<?)";
        assert_eq!(plan(LISTED, params!["active", 0, "", 1, 1]), [search]);
    }

    #[test]
    fn registered_devices_are_read_from_parts_of_the_table_that_have_some() {
        let steps = [
            "SEARCH r USING INTEGER PRIMARY KEY (rowid>?)",
            "SEARCH d USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        ];
        assert_eq!(plan(REGISTERED, params![0, 1]), steps);
    }

    #[test]
    fn what_expired_is_read_from_the_index_alone() {
        let plan = plan(OUTLIVED, params![1, 0, "", 1]);
        let covered = |step: &&String| step.contains("device USING COVERING INDEX device_listed");
        assert_eq!(plan.iter().filter(covered).count(), 2, "{plan:#?}");
        assert!(!plan.iter().any(|step| step.contains("SCAN device")), "{plan:#?}");
    }
}
