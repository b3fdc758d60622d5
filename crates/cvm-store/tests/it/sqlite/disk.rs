//! What is on the disk: nothing that the store let go of, and a disk that really takes no more.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cvm_core::device::{Device, LiveCertificate, TokenRecord, TokenState};
use cvm_core::ports::CommitError;
use cvm_store::conformance::given::{change, device, full_device, vend};

use super::{gapless_journal, open_in};

const DIRECTORY: &str = "CVM_STORE_TEST_FULL_DISK";

fn contains(file: &[u8], text: &str) -> bool {
    file.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn a_sealed_key_that_was_destroyed_is_not_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cvm.db");
    let sealed = "c0ffee00c0ffee11c0ffee22c0ffee33".repeat(8);
    let stores = open_in(directory.path());
    for n in 0..40 {
        let mut fresh = full_device(&format!("D-{n}"));
        fresh.sealed.as_mut().unwrap().ciphertext = [
            0xC0, 0xFF, 0xEE, 0, 0xC0, 0xFF, 0xEE, 0x11, 0xC0, 0xFF, 0xEE, 0x22, 0xC0, 0xFF, 0xEE,
            0x33,
        ]
        .repeat(8);
        stores.commit(change(&fresh)).await;
    }
    // Closing copies the log into the file.
    drop(stores);
    assert!(contains(&std::fs::read(&path).unwrap(), &sealed));

    let stores = open_in(directory.path());
    for n in 0..40 {
        let mut read = stores.device(&format!("D-{n}")).await;
        read.sealed = None;
        stores.commit(change(&read)).await;
    }
    drop(stores);
    let file = std::fs::read(&path).unwrap();
    assert!(!contains(&file, "c0ffee00"));
    assert!(contains(&file, "D-39"));
    assert!(!directory.path().join("cvm.db-wal").exists());
}

/// Pages of the table of devices.
fn device_pages(path: &std::path::Path) -> i64 {
    let sql = "SELECT count(*) FROM dbstat WHERE name = 'device'";
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn the_first_certificate_of_a_device_makes_no_room_among_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cvm.db");
    let stores = open_in(directory.path());
    // Serial numbers of every length: whichever size their rows have, they keep it.
    let name = |n: u64| format!("D-{n:0width$}", width = usize::try_from(3 + n % 40).unwrap());
    let mut token = full_device("any").tokens.remove(0);
    token.denied.clear();
    for n in 0..400 {
        let unused = TokenRecord { state: TokenState::Unused, ..token.clone() };
        stores.commit(change(&Device { tokens: vec![unused], ..device(&name(n)) })).await;
    }
    let before = device_pages(&path);
    for n in 0..400 {
        let mut read = stores.device(&name(n)).await;
        read.tokens = vec![token.clone()];
        let live = full_device("any").live.into_iter();
        read.live = live.map(|live| LiveCertificate { life_ends: None, ..live }).collect();
        stores.commit(vend(n, &read)).await;
    }
    assert_eq!(device_pages(&path), before);
}

/// A limit on the size of files makes the log's write in COMMIT fail as a broken disk does; the
/// other process lifts it from itself, as an operator makes space.
#[test]
fn a_disk_that_takes_no_more_loses_nothing_and_heals() {
    let directory = tempfile::tempdir().unwrap();
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::disk::in_another_process", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    assert!(directory.path().join("healed").exists(), "the other process ran the test");
}

fn limit_own_files(limit: &str) {
    let pid = std::process::id().to_string();
    let limit = format!("--fsize={limit}:");
    let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_another_process() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = std::path::Path::new(&directory);
    let stores = open_in(directory);
    stores.commit(vend(0, &device("D-0"))).await;
    limit_own_files("1000000");
    let mut written = 1;
    let told = loop {
        match stores.store.device_commit(vend(written, &device(&format!("D-{written}")))).await {
            Ok(()) => written += 1,
            Err(CommitError::Unavailable(why)) => break why.to_string(),
            Err(other) => panic!("{other}"),
        }
    };
    assert!(told.contains("disk"), "{told}");
    assert!(stores.store.ready().await.is_err());
    assert_eq!(stores.device("D-0").await.version, 1);

    limit_own_files("unlimited");
    let deadline = Instant::now() + Duration::from_secs(20);
    while stores.store.ready().await.is_err() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stores.commit(vend(10_000, &device("after"))).await;
    for n in 0..written {
        assert_eq!(stores.device(&format!("D-{n}")).await.version, 1);
        assert!(stores.has_certificate(n).await);
    }
    let rows = gapless_journal(&stores).await;
    assert!(rows.iter().any(|row| row.class == "void"));
    std::fs::write(directory.join("healed"), "").unwrap();
}
