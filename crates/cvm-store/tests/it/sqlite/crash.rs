//! `kill -9`: what was acknowledged is there. (A power cut needs root and is shown elsewhere.)

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use cvm_store::conformance::given::{device, vend};
use rusqlite::Connection;

use super::{gapless_journal, open_in};

const DIRECTORY: &str = "CVM_STORE_TEST_KILL";

/// How many acknowledgements to wait for before the kill.
const ACKNOWLEDGED: usize = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::crash::in_another_process", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // A line that the kill cut short has no end mark.
        let line = line.unwrap();
        let number = line.strip_prefix("ack ").and_then(|rest| rest.strip_suffix(" ."));
        acknowledged.extend(number.map(|n| n.parse::<u64>().unwrap()));
        if acknowledged.len() == ACKNOWLEDGED {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= ACKNOWLEDGED);

    let stores = open_in(directory.path());
    for n in &acknowledged {
        assert_eq!(stores.device(&format!("D-{n}")).await.version, 1);
        assert!(stores.has_certificate(*n).await);
    }
    assert!(gapless_journal(&stores).await.len() >= acknowledged.len());
    drop(stores);
    let connection = Connection::open(directory.path().join("cvm.db")).unwrap();
    let check: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_another_process() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let stores = open_in(std::path::Path::new(&directory));
    let tasks: Vec<_> = (0..8_u64)
        .map(|task| {
            let stores = stores.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let n = task * 1_000_000 + n;
                    stores.commit(vend(n, &device(&format!("D-{n}")))).await;
                    // Past the harness's own capture, and in one write.
                    let line = format!("ack {n} .\n");
                    if std::io::stdout().write_all(line.as_bytes()).is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
