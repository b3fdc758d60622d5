//! Several processes, and several writers of one, on one table.

use cvm_core::ports::{Change, CommitError, KeyRule};
use cvm_store::Stores;
use cvm_store::conformance::given::{change, device, key, vend};

use super::{Table, gapless_journal};

/// All at once, each by the next of these processes.
async fn race(processes: &[Stores], changes: Vec<Change>) -> Vec<Result<(), CommitError>> {
    let tasks: Vec<_> = changes
        .into_iter()
        .zip(processes.iter().cycle())
        .map(|(change, stores)| {
            let store = stores.store.clone();
            tokio::spawn(async move { store.device_commit(change).await })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_20_commits_of_one_version_by_many_processes_one_wins() {
    let table = Table::make().await;
    let processes: Vec<_> = (0..20).map(|_| table.open(1)).collect();
    processes[0].commit(change(&device("A"))).await;
    let read = processes[0].device("A").await;
    let answers = race(&processes, (1..=20).map(|n| vend(n, &read)).collect()).await;
    let mut winners = 0;
    for (n, answer) in (1..=20).zip(answers) {
        assert_eq!(processes[0].has_certificate(n).await, answer.is_ok());
        match answer {
            Ok(()) => winners += 1,
            Err(error) => assert!(matches!(error, CommitError::Conflict), "{error:?}"),
        }
    }
    assert_eq!((winners, processes[0].device("A").await.version), (1, 2));
    assert_eq!(gapless_journal(&processes[0]).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_devices_that_claim_one_key_by_many_processes_one_has_it() {
    let table = Table::make().await;
    let processes: Vec<_> = (0..20).map(|_| table.open(1)).collect();
    let owning = |n: u64| {
        let fresh = device(&format!("D-{n}"));
        Change { keys: vec![KeyRule::Own(key(500))], ..vend(n, &fresh) }
    };
    let answers = race(&processes, (0..20).map(owning).collect()).await;
    let mut winners = 0;
    for answer in answers {
        match answer {
            Ok(()) => winners += 1,
            Err(error) => assert!(matches!(error, CommitError::KeyOwned), "{error:?}"),
        }
    }
    assert_eq!(winners, 1);
    assert!(processes[0].store.key_owner(&key(500)).await.unwrap().is_some());
    assert_eq!(gapless_journal(&processes[0]).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_writers_number_their_rows_without_a_gap_whatever_is_refused() {
    let table = Table::make().await;
    let stores = table.open(4);
    let changes = (0..60).map(|n| vend(n, &device(&format!("D-{}", n / 2)))).collect();
    let answers = race(std::slice::from_ref(&stores), changes).await;
    let written = answers.iter().filter(|answer| answer.is_ok()).count();
    let rows = gapless_journal(&stores).await;
    let writers: std::collections::BTreeSet<_> = rows.iter().map(|row| row.writer).collect();
    assert_eq!((written, rows.len()), (30, 30));
    assert!((2..=4).contains(&writers.len()), "{writers:?}");
}
