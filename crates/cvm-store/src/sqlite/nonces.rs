//! Nonces that were used: the port, and the statements behind it.

use async_trait::async_trait;
use cvm_core::nonce::Nonce;
use cvm_core::ports::{NonceUse, Nonces, StoreError};
use cvm_core::time::Timestamp;
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::writer::{Outcome, Task};

/// How many that are over go with one that comes: more than one, so that they get fewer; and not
/// all, so that nobody waits for thousands after a burst.
const LET_GO_MAX: u32 = 64;

#[async_trait]
impl Nonces for SqliteStore {
    async fn nonce_use(&self, nonce: &Nonce, now: Timestamp) -> Result<NonceUse, StoreError> {
        match self.write_simply(Task::Nonce(*nonce, now)).await? {
            Outcome::Nonce(used) => Ok(used),
            // Nothing else is answered; and what is not known to be the first use is none.
            Outcome::Done | Outcome::Each(_) | Outcome::MarkWas(_) | Outcome::Refused(_) => {
                Ok(NonceUse::Again)
            }
        }
    }
}

/// Takes note of a use, and lets go of some of those that are over.
pub(super) fn put(
    connection: &Connection,
    nonce: &Nonce,
    now: Timestamp,
) -> Result<NonceUse, rusqlite::Error> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM used_nonce WHERE random IN \
         (SELECT random FROM used_nonce WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)",
    )?;
    delete.execute(params![now.0, LET_GO_MAX])?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO used_nonce (random, expires_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    let written = insert.execute(params![nonce.random(), nonce.expires_at().0])?;
    Ok(if written > 0 { NonceUse::First } else { NonceUse::Again })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_let_go_of_faster_than_it_comes() {
        let connection = Connection::open_in_memory().unwrap();
        let schema = include_str!("../../migrations/sqlite/0002_used_nonces.sql");
        connection.execute_batch(schema).unwrap();
        let use_at = |n: u8, second| {
            let at = Timestamp(second);
            put(&connection, &Nonce::new(at, [n; 16]), at).unwrap();
            let count = "SELECT count(*) FROM used_nonce";
            connection.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        for n in 0..200 {
            use_at(n, 0);
        }
        assert_eq!(use_at(200, 1_000), 200 + 1 - 64);
        for n in 201..205 {
            use_at(n, 1_000);
        }
        assert_eq!(use_at(205, 1_000), 6);
    }
}
