//! Opening: what is ours is opened, what is not is refused and left as it was.

use std::os::unix::fs::PermissionsExt as _;

use cvm_core::ports::StoreError;
use cvm_store::OpenError;
use cvm_store::conformance::given::{change, device, serial, vend};
use rusqlite::Connection;

use super::{gapless_journal, open_in};

#[test]
fn a_url_that_names_no_store_is_refused_without_its_password() {
    let directory = tempfile::tempdir().unwrap();
    for url in ["postgres://cvm:secret@db/cvm", "cvm.db", "sqlite:", "sqlite://cvm.db", ""] {
        let error = cvm_store::open(url, directory.path()).unwrap_err();
        assert!(matches!(error, OpenError::Url(_)), "{url}");
        let text = error.to_string();
        assert!(text.contains("sqlite:PATH") && !text.contains("secret"), "{text}");
    }
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let error = cvm_store::open("sqlite:absent/cvm.db", directory.path()).unwrap_err();
    assert!(error.to_string().contains("absent/cvm.db"), "{error}");
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again_and_the_writer_is_another() {
    let directory = tempfile::tempdir().unwrap();
    for (n, name) in [(1, "A"), (2, "B"), (3, "C")] {
        open_in(directory.path()).commit(vend(n, &device(name))).await;
    }
    let stores = open_in(directory.path());
    for (n, name) in [(1, "A"), (2, "B"), (3, "C")] {
        assert_eq!(stores.device(name).await.version, 1);
        assert!(stores.has_certificate(n).await);
    }
    let mut writers: Vec<_> = gapless_journal(&stores).await.iter().map(|r| r.writer).collect();
    writers.dedup();
    assert_eq!(writers.len(), 3);
}

#[test]
fn the_file_is_its_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let _stores = open_in(directory.path());
    for name in ["cvm.db", "cvm.db-wal", "attempts.db"] {
        let mode = directory.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn another_programs_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cvm.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = cvm_store::open("sqlite:cvm.db", directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::NotOurs { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_newer_schema_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open_in(directory.path()));
    let path = directory.path().join("cvm.db");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = cvm_store::open("sqlite:cvm.db", directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, known: 2, .. }), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cvm.db");
    std::fs::write(&path, [7; 8_192]).unwrap();
    let error = cvm_store::open("sqlite:cvm.db", directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), [7; 8_192]);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_named_and_harms_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open_in(directory.path());
    for name in ["A", "B", "C", "D"] {
        stores.commit(change(&device(name))).await;
    }
    let other_hand = Connection::open(directory.path().join("cvm.db")).unwrap();
    for damage in [
        "UPDATE device SET record = '{\"secret\"' WHERE serial_number = 'A'",
        "UPDATE device SET format = 99 WHERE serial_number = 'B'",
        "UPDATE device SET record = (SELECT record FROM device WHERE serial_number = 'D') \
         WHERE serial_number = 'C'",
    ] {
        other_hand.execute_batch(damage).unwrap();
    }
    let names = ["A", "B", "C"];
    let mut found = stores.store.devices_find(["D", "A", "B", "C"].map(serial).into()).await;
    assert_eq!(found.remove(0).unwrap().unwrap().version, 1);
    for (name, among_many) in names.into_iter().zip(found) {
        let alone = stores.store.device_find(&serial(name)).await;
        assert_eq!(format!("{alone:?}"), format!("{among_many:?}"));
        match alone {
            Err(StoreError::Corrupt(what)) => {
                assert!(what.contains(&format!("device {name}")) && !what.contains("secret"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stores.device("D").await.version, 1);
}
