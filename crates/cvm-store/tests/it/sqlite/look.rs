//! A look from outside: beside a server and without one, at what is whole and at what is not.

use cvm_core::time::Timestamp;
use cvm_store::{OpenError, look};

use super::open_in;

const URL: &str = "sqlite:cvm.db";

#[tokio::test]
async fn the_mark_is_seen_while_the_store_is_open_and_after_it_closed() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open_in(directory.path());
    assert_eq!(look(URL, directory.path()).unwrap(), None);
    stores.store.mark_raise(Timestamp(7)).await.unwrap();
    assert_eq!(look(URL, directory.path()).unwrap(), Some(Timestamp(7)));
    drop(stores);
    let names = || {
        let entries = std::fs::read_dir(directory.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    let before = names();
    assert_eq!(look(URL, directory.path()).unwrap(), Some(Timestamp(7)));
    assert_eq!(names(), before, "nothing is left behind");
    let stores = open_in(directory.path());
    stores.store.mark_raise(Timestamp(9)).await.unwrap();
    assert_eq!(look(URL, directory.path()).unwrap(), Some(Timestamp(9)));
}

#[test]
fn nothing_is_made_where_there_is_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let error = look(URL, directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::File { .. }), "{error:?}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_damaged_file_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open_in(directory.path());
    for second in 0..50 {
        let event = cvm_core::provisioning::clock_accept_event(
            None,
            Timestamp(second),
            cvm_core::operator::Actor::Server,
        );
        stores.journal.event_record(event).await.unwrap();
    }
    drop(stores);
    let path = directory.path().join("cvm.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 4;
    bytes[middle..].fill(0x55);
    std::fs::write(&path, bytes).unwrap();
    let error = look(URL, directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}
